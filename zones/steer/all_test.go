package steer

import (
	"fmt"
	"net/netip"
	"testing"

	"leeward/zones"
)

// pick: all returns all addresses, however many, and begins anywhere, in answers and in transfers. It does not
// allocate.
func TestAllAreAll(t *testing.T) {
	for _, n := range []int{1, 2, MaxAnswers - 1, MaxAnswers, MaxAnswers + 1, 200, zones.MostAddresses(16)} {
		w := threeRegions()
		w.members["www-eu"] = nil
		for i := range n {
			w.members["www-eu"] = append(w.members["www-eu"], &zones.Endpoint{
				Pool: "www-eu", Endpoint: fmt.Sprint("lb-", i), Addresses: []netip.Addr{
					netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}),
					netip.AddrFrom16([16]byte{0x20, 1, 14: byte(i >> 8), 15: byte(i)}),
				},
			})
		}
		p := compile(t, nil, w, &zones.Policy{
			Name: "www.example.test", Pick: zones.PickAll,
			Rules: []zones.Rule{{Failover: steps("www-eu")}},
		})
		program := w.program()
		v := NewView(program, Sight{State: allUp}, nil)
		for _, family := range []Family{V4, V6} {
			width := 4 << (2 * family)
			begins := map[string]bool{}
			d, req := new(Decision), &Request{Client: netip.MustParseAddr("2.1.2.3"), Family: family}
			for i := range uint64(50) {
				req.Random = mix(i)
				p.Decide(v, req, d)
				if d.Count != n || len(d.Data) != n*width || len(distinct(d.Data, width)) != n {
					t.Fatalf("%d endpoints: %d answers in %d octets", n, d.Count, len(d.Data))
				}
				begins[string(d.Data[:width])] = true
			}
			if n > 1 && len(begins) < 2 {
				t.Errorf("%d endpoints: every answer begins with the same", n)
			}
			if k := testing.AllocsPerRun(20, func() { req.Random++; p.Decide(v, req, d) }); k != 0 {
				t.Errorf("%d endpoints: %v allocations", n, k)
			}
			if a, _ := p.Fixed(program, family); len(distinct(a, width)) != n {
				t.Errorf("%d endpoints: %d in a transfer", n, len(a)/width)
			}
		}
	}
}

func distinct(addresses []byte, width int) map[string]bool {
	all := map[string]bool{}
	for at := 0; at < len(addresses); at += width {
		all[string(addresses[at:at+width])] = true
	}
	return all
}
