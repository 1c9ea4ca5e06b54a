package geo

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

func addr6Prefix(upper, lower uint64, bits int) netip.Prefix {
	return netip.PrefixFrom(addr6(upper, lower), bits).Masked()
}

// TestIndexChangesNothing compares the search with the index and the search without.
func TestIndexChangesNothing(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	draw4 := func() uint32 { return random.Uint32() >> random.IntN(20) }
	draw6 := func() (uint64, uint64) {
		upper := random.Uint64() >> random.IntN(8)
		if random.IntN(3) == 0 {
			upper = upper>>3 | 1<<61 // within 2000::/3
		}
		return upper, random.Uint64() >> random.IntN(64)
	}
	var networks []Network
	for i := range 40_000 {
		network := Network{Location: Location{Country: []string{"DE", "FR", "US"}[i%3]}}
		if i%2 == 0 {
			network.Prefix, _ = addr4(draw4()).Prefix(8 + random.IntN(25))
		} else {
			network.Prefix, _ = addr6(draw6()).Prefix(3 + random.IntN(126))
		}
		networks = append(networks, network)
	}
	for i := range 2_000 { // many starts with one upper half
		network := Network{Prefix: addr6Prefix(0x20010db8<<32, uint64(i)<<8, 120+i%9), ASN: uint32(i)}
		network.Location.Country = []string{"DE", "FR", "US"}[i%3]
		networks = append(networks, network)
	}
	seen := map[string]bool{}
	distinct := networks[:0]
	for _, n := range networks {
		if p := n.Prefix.String(); !seen[p] {
			seen[p] = true
			distinct = append(distinct, n)
		}
	}
	table, err := Compile(distinct)
	if err != nil {
		t.Fatal(err)
	}
	r := table.places
	if r.index4 == nil || r.levels6 == nil || len(r.deep) == 0 {
		t.Fatalf("%d and %d ranges (%d within a /64) do not try the index", len(r.v4), len(r.v6), len(r.deep))
	}
	bare := r
	bare.index4, bare.levels6 = nil, nil
	check4 := func(a uint32) {
		if got, want := r.leaf4(a), bare.leaf4(a); got != want {
			t.Fatalf("%s: leaf %d, without the index %d", addr4(a), got, want)
		}
	}
	check6 := func(upper, lower uint64) {
		if got, want := r.leaf6(upper, lower), bare.leaf6(upper, lower); got != want {
			t.Fatalf("%s: leaf %d, without the index %d", addr6(upper, lower), got, want)
		}
	}
	for range 100_000 {
		check4(draw4())
		check6(draw6())
	}
	for i, start := range r.v4 {
		check4(start)
		check4(start - 1)
		if got := r.leaf4(start); got != uint32(i) {
			t.Fatalf("%s starts leaf %d, not %d", addr4(start), i, got)
		}
	}
	for i, start := range r.v6 {
		low := r.low(uint32(i))
		check6(start, low)
		check6(start, low-1)
		check6(start-1, 1<<64-1)
		if got := r.leaf6(start, low); got != uint32(i) {
			t.Fatalf("%s starts leaf %d, not %d", addr6(start, low), i, got)
		}
	}
}
