package catalog

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Zones above and below each other come and go, and so do the cuts between them. The problems do not depend on how the
// state came about. Only the nearest zone above gets a problem about a zone that it does not mention.
func TestCutsBetweenZones(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		w, there := newWorld(t), map[string]string{}
		for range rapid.IntRange(1, 12).Draw(r, "changes") {
			key := rapid.SampledFrom([]string{
				"Zone .", "Zone test", "Zone b.test", "Zone a.b.test",
				"Record ./test/NS", "Record ./b.test/NS", "Record test/b/NS", "Record test/a.b/NS",
				"Record b.test/a/NS",
			}).Draw(r, "key")
			value := rapid.SampledFrom([]string{
				"", `{"nameservers":["ns.example"]}`, `{"nameservers":["ns.example"],"dnssec":{"enabled":true}}`,
			}).Draw(r, "value")
			if value != "" && key[0] == 'R' {
				value = `{"data":["ns.example."]}`
			}
			if value == "" {
				delete(there, key)
				w.each("del " + key)
			} else {
				there[key] = value
				w.each("put " + key + " " + value)
			}
			w.accept(w.revision)
			fresh := newWorld(t)
			var all []string
			for _, key := range slices.Sorted(maps.Keys(there)) {
				all = append(all, "put "+key+" "+there[key])
			}
			fresh.full(0, all...)
			if got, want := problemsOf(w), problemsOf(fresh); !slices.Equal(got, want) {
				r.Fatalf("with %q:\n%q\nwant:\n%q", all, got, want)
			}
		}
	})
	w := newWorld(t)
	signed := `{"nameservers":["ns.example"],"dnssec":{"enabled":true}}`
	w.each("put Zone . "+signed, "put Zone a.b.test "+signed)
	undelegated := func(origin, above, record string) string {
		return "Zone " + origin + ": warning: zone " + above + " above it is signed and does not delegate it, so " +
			"validating resolvers conclude that it does not exist; add Record " + record + ", and a DS record beside " +
			"it once this zone is signed"
	}
	w.want("problems", problemsOf(w), []string{undelegated("a.b.test", ".", "./a.b.test/NS")})
	w.each(`put Record ./test/NS {"data":["ns.example."]}`)
	w.want("problems", problemsOf(w), nil)
	w.each("del Record ./test/NS")
	w.accept(w.revision)
	w.each("put Zone test " + signed)
	w.want("problems", problemsOf(w), []string{
		undelegated("a.b.test", "test", "test/a.b/NS"), undelegated("test", ".", "./test/NS"),
	})
}

func problemsOf(w *world) (all []string) {
	for _, p := range w.c.Problems() {
		if text := p.String(); !strings.Contains(text, "has no address") {
			all = append(all, text)
		}
	}
	return all
}
