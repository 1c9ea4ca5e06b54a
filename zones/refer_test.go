package zones

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestReferencesAreRelations holds the two halves of the table together: whatever a resource names is of a kind that
// Relations has, and each relation of References is met.
func TestReferencesAreRelations(t *testing.T) {
	met := map[Relation]bool{}
	property := func(t *rapid.T) {
		r := aResource(t)
		for ref := range References(r) {
			i := slices.IndexFunc(Relations, func(x Relation) bool { return x.From == r.Key().Kind() && x.To == ref.Kind })
			if i < 0 {
				t.Fatalf("%s names %s, which is no relation", r.Key(), ref.Key())
			}
			met[Relations[i]] = true
		}
	}
	unmet := func(x Relation) bool { return x.To != KindZone && !met[x] }
	// A hundred draws leave a rare relation out once in a while; fifty times as many do not.
	for round := 0; round == 0 || round < 50 && slices.ContainsFunc(Relations, unmet); round++ {
		rapid.Check(t, property)
	}
	for _, x := range Relations {
		if unmet(x) {
			t.Errorf("no %s has named a %s", x.From, x.To)
		}
	}
}
