package steer

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"leeward/zones"
	"leeward/zones/rr"
)

// TestEverySet: EverySet needs no state, and has the sets of every state, each once. For pools with many addresses it
// has those of the states in which at most one address is down.
func TestEverySet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := threeRegions()
		few := rapid.Bool().Draw(t, "few addresses")
		for _, pool := range []string{"www-eu", "www-us"} {
			w.members[pool] = nil
			count := rapid.SampledFrom([]int{1, 2, 3, 6, 8}).Draw(t, "endpoints")
			if !few {
				count = rapid.SampledFrom([]int{9, 20, 70}).Draw(t, "endpoints")
			}
			for i := range count {
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
			Name: "www.example.test", Answers: rapid.SampledFrom([]int{2, 3, 4}).Draw(t, "answers"),
			Pick:  rapid.SampledFrom([]zones.Pick{zones.PickWeighted, zones.PickSticky}).Draw(t, "pick"),
			Rules: []zones.Rule{{Failover: steps("www-eu", "www-us")}},
		}, refer)
		if err != nil {
			t.Fatal(err)
		}
		every := map[string]bool{}
		p.EverySet(w.program(), func(typ rr.Type, data []byte, count int) bool {
			key := canonical(data, count)
			if typ == rr.TypeA && every[key] {
				t.Fatalf("%s is told twice", key)
			}
			every[key] = true
			return true
		})
		var away []string
		for _, pool := range []string{"www-eu", "www-us"} {
			for i, e := range w.members[pool] {
				is := few && rapid.Bool().Draw(t, "down")
				if !few && len(away) == 0 {
					is = i == rapid.IntRange(0, 8).Draw(t, "the one down")
				}
				if is {
					away = append(away, e.ID())
				}
			}
		}
		p.Sets(NewView(w.program(), Sight{State: down(away...)}, nil), func(typ rr.Type, data []byte, count int) bool {
			if len(every) < mostSets && !every[canonical(data, count)] {
				t.Fatalf("%d sets, and %s is none of them", len(every), canonical(data, count))
			}
			return true
		})
	})
}

// TestSubsets: every subset comes once, the smaller first.
func TestSubsets(t *testing.T) {
	for n := range 11 {
		var all []string
		size := 0
		for s := range subsets(n) {
			if len(s) < size {
				t.Fatalf("%v comes after one of %d", s, size)
			}
			size = len(s)
			all = append(all, fmt.Sprint(s))
		}
		want := max(1, 1<<n-1) // all but the one that has everything
		if n == 1 {
			want = 2
		}
		slices.Sort(all)
		if len(all) != want || len(slices.Compact(all)) != want {
			t.Errorf("of %d there are %d subsets, want %d", n, len(all), want)
		}
	}
}
