package snapshot_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
)

// TestManyLabels: names, owners and origins of up to 126 labels are found. For a name that does not exist, the closest
// one is found that does, as by trying each name above it.
func TestManyLabels(t *testing.T) {
	deep := func(labels int) string { // the lowest ones belong to one chain
		return strings.TrimSuffix(strings.Repeat("d.", labels), ".")
	}
	depth := rapid.OneOf(rapid.IntRange(1, 126), rapid.SampledFrom([]int{1, 2, 4, 5, 6, 62, 63, 64, 65, 126}))
	rapid.Check(t, func(t *rapid.T) {
		origins := rapid.SliceOfNDistinct(depth, 1, 3, rapid.ID).Draw(t, "origins")
		slices.Sort(origins)
		var all []zones.Resource
		for _, n := range origins {
			all = append(all, &zones.Zone{Origin: deep(n), Nameservers: []string{"ns.example.net"}})
		}
		exists := slices.Clone(origins) // wildcards are made of these
		for _, n := range rapid.SliceOfDistinct(depth, rapid.ID).Draw(t, "wildcards") {
			in := 0
			for _, o := range origins {
				if o <= n {
					in = o
				}
			}
			if in == 0 || n > 125 {
				continue
			}
			owner := strings.TrimSuffix("*."+deep(n-in), ".")
			all = append(all, &zones.Record{
				Origin: deep(in), Owner: owner, Type: "TXT", Data: []string{`"` + owner + `"`},
			})
			exists = append(exists, n)
		}
		c := catalog.New(time.Now)
		b := zones.Batch{Revision: 1, Full: true}
		for _, r := range all {
			b.Changes = append(b.Changes, zones.Change{Key: r.Key(), Resource: r, Revision: 1})
		}
		delta := c.Apply(b)
		if wrong := c.Problems().Errors(); len(wrong) > 0 {
			t.Fatal(wrong[0])
		}
		shot, _ := snapshot.NewBuilder(time.Now).Update(c, delta, nil)
		for range 20 {
			along := rapid.IntRange(1, 126).Draw(t, "along") // labels that are of the chain
			beside := rapid.IntRange(0, 126-along).Draw(t, "beside")
			name, err := rr.ParseName(strings.Repeat("x.", beside) + deep(along))
			if err != nil {
				t.Fatal(err)
			}
			in, highest := 0, 0
			for _, o := range origins {
				if o <= along {
					in = o
				}
			}
			for _, n := range exists { // a wildcard makes all names above it exist, up to its zone
				if n >= in && !slices.ContainsFunc(origins, func(o int) bool { return o > in && o <= n }) {
					highest = max(highest, n)
				}
			}
			closest := min(along, highest)
			want := snapshot.NameError
			switch {
			case in == 0:
				want = snapshot.Refused
			case beside == 0 && along <= highest:
				want = snapshot.NoData
			case slices.Contains(exists[len(origins):], closest):
				want = snapshot.Positive
			}
			var a snapshot.Answer
			shot.Lookup([]byte(name), uint16(rr.TypeTXT), 1, &a)
			if a.Outcome != want {
				t.Fatalf("%d labels beside %d of the chain, zones %v, wildcards %v: %v, not %v", beside, along, origins,
					exists[len(origins):], a.Outcome, want)
			}
			if at := len(deep(closest)) + 2; want == snapshot.Positive && a.Encloser != len(name)-at {
				t.Fatalf("the closest name begins at %d, not at %d", a.Encloser, len(name)-at)
			}
		}
	})
}
