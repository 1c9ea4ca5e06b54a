package zones_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"leeward/zones"
	"leeward/zones/sourcetest"
)

// TestReferencesAreRelations compares the two halves of the table: whatever a resource names is of a kind that
// Relations has, and each relation comes up in References.
func TestReferencesAreRelations(t *testing.T) {
	met := map[zones.Relation]bool{}
	property := func(t *rapid.T) {
		r := sourcetest.Resource(t)
		if d := sourcetest.Defaults(t); d.For == r.Key().Kind() {
			r = zones.Inherit(r, d)
		}
		for ref := range zones.References(r) {
			i := slices.IndexFunc(zones.Relations,
				func(x zones.Relation) bool { return x.From == r.Key().Kind() && x.To == ref.Kind })
			if i < 0 {
				t.Fatalf("%s names %s, which is no relation", r.Key(), ref.Key())
			}
			met[zones.Relations[i]] = true
		}
	}
	unmet := func(x zones.Relation) bool { return x.To != zones.KindZone && !met[x] }
	// A hundred draws leave a rare relation out once in a while; fifty times as many do not.
	for round := 0; round == 0 || round < 50 && slices.ContainsFunc(zones.Relations, unmet); round++ {
		rapid.Check(t, property)
	}
	for _, x := range zones.Relations {
		if unmet(x) {
			t.Errorf("no %s has named a %s", x.From, x.To)
		}
	}
}
