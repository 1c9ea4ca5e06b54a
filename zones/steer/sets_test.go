package steer

import (
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"leeward/zones"
	"leeward/zones/rr"
)

// canonical formats a set of addresses, whatever their order.
func canonical(data []byte, count int) string {
	width := len(data) / count
	var all []string
	for at := 0; at < len(data); at += width {
		all = append(all, string(data[at:at+width]))
	}
	slices.Sort(all)
	return fmt.Sprintf("%x", all)
}

// TestSetsAreAll: whatever is up, and however the policy picks, its answer is among Sets.
func TestSetsAreAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := threeRegions()
		for _, pool := range []string{"www-eu", "www-us"} {
			w.members[pool] = nil
			for i := range rapid.SampledFrom([]int{1, 3, 8, 12, 30, 70}).Draw(t, "endpoints") {
				weight := rapid.SampledFrom([]int{0, 1, 1, 5, 100}).Draw(t, "weight")
				a := netip.AddrFrom4([4]byte{192, 0, byte(len(pool)) ^ pool[4], byte(i)})
				w.members[pool] = append(w.members[pool], &zones.Endpoint{
					Pool: pool, Endpoint: fmt.Sprint("e", i), Weight: &weight, Addresses: []netip.Addr{a},
				})
			}
		}
		refer := w.refer()
		refer.Signed = func(string) bool { return true }
		p, err := NewCompiler(nil).Policy(&zones.Policy{
			Name: "www.example.test", Answers: rapid.SampledFrom([]int{1, 2, 3, 4, 8, 64}).Draw(t, "answers"),
			Pick: rapid.SampledFrom([]zones.Pick{
				zones.PickWeighted, zones.PickSticky, zones.PickLeastLoad, zones.PickAll,
			}).Draw(t, "pick"),
			Rules: []zones.Rule{{Failover: steps("www-eu", "www-us")}},
		}, refer)
		if err != nil {
			t.Fatal(err)
		}
		var away []string
		for _, pool := range []string{"www-eu", "www-us"} {
			up := rapid.SampledFrom([]int{0, 1, 10}).Draw(t, "up of ten")
			for _, e := range w.members[pool] {
				if rapid.IntRange(1, 10).Draw(t, "health") > up {
					away = append(away, e.ID())
				}
			}
		}
		v := NewView(w.program(), Sight{State: down(away...)}, nil)
		sets := map[string]bool{}
		p.Sets(v, func(typ rr.Type, data []byte, count int) bool {
			sets[canonical(data, count)] = true
			return typ == rr.TypeA
		})
		for range 200 {
			var d Decision
			client := netip.AddrFrom4([4]byte{10, rapid.Byte().Draw(t, "client"), rapid.Byte().Draw(t, "client")})
			p.Decide(v, &Request{Client: client, Random: rapid.Uint64().Draw(t, "dice")}, &d)
			if d.Count > 1 && !sets[canonical(d.Data, d.Count)] {
				t.Fatalf("%d sets, and %s is none of them", len(sets), canonical(d.Data, d.Count))
			}
		}
	})
}

func TestCombinations(t *testing.T) {
	for _, n := range []int{2, 3, 6, 7, 11, 64} {
		for k := 2; k <= n; k++ {
			if many(n, k) {
				continue
			}
			var cs []candidate
			for i := range n {
				cs = append(cs, candidate{addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), weight: 1})
			}
			sets := map[string]bool{}
			newTable(cs).combinations(k, func(data []byte) bool {
				sets[canonical(data, k)] = true
				return true
			})
			if want := new(big.Int).Binomial(int64(n), int64(k)).Int64(); int64(len(sets)) != want {
				t.Errorf("%d of %d: %d sets, want %d", k, n, len(sets), want)
			}
		}
	}
}
