package store

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"leeward/zones"
	"leeward/zones/rr"
)

// The zone of a policy, and its owner there, go by the name's labels: an escaped dot separates none.
func TestPremisesGoByLabels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		label := rapid.SampledFrom([]string{"a", "b", "a.b", `\`, "x/y", "."})
		draw := func(what string, least int) rr.Name {
			n := rr.Root
			for _, l := range rapid.SliceOfN(label, least, 4).Draw(t, what) {
				n = rr.Name([]byte{byte(len(l))}) + rr.Name(l) + n
			}
			return n
		}
		name := draw("policy", 1)
		var base Listing
		longest, within := rr.Name(""), false
		for range rapid.IntRange(0, 4).Draw(t, "zones") {
			origin := draw("zone", 0)
			if rapid.Bool().Draw(t, "above") {
				for origin = name; rapid.Bool().Draw(t, "more"); origin = origin.Parent() {
				}
			}
			base.Changes = append(base.Changes,
				zones.Change{Key: zones.KeyOf(zones.KindZone, zones.NameText(origin)), Revision: 1})
			if name.Under(origin) && (!within || len(origin) > len(longest)) {
				longest, within = origin, true
			}
		}
		slices.SortFunc(base.Changes, func(a, b zones.Change) int {
			return strings.Compare(string(a.Key), string(b.Key))
		})
		text, want := zones.NameText(name), ""
		if within {
			want = zones.NameText(longest)
		}
		got := zoneOf(text, &base)
		if got != want {
			t.Fatalf("%s is in %q, want %q", text, got, want)
		}
		if within {
			if owner, want := zones.OwnerWithin(text, got), zones.OwnerIn(name, longest); owner != want {
				t.Fatalf("%s is %q in %s, want %q", text, owner, got, want)
			}
		}
	})
}
