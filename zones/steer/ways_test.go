package steer

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Whatever a client is answered, one of the ways has it. A client that is answered differently from when all is well
// has a way that names the pool it would get then.
func TestWaysAreWhatClientsAreTold(t *testing.T) {
	table := places(t)
	rapid.Check(t, func(t *rapid.T) {
		w := threeRegions()
		source := randomPolicy(t, w)
		if source.Map != "" || source.Spill || len(source.Schedule) > 0 {
			t.Skip("a map, a spill and a schedule are not told")
		}
		p, err := NewCompiler(table).Policy(source, w.refer())
		if err != nil {
			t.Fatal(err)
		}
		var failing []string
		for _, e := range []string{"www-eu/lb-1", "www-eu/lb-2", "www-us/lb-1", "www-ap/lb-1"} {
			if rapid.Bool().Draw(t, e+" fails") {
				failing = append(failing, e)
			}
		}
		req := Request{
			Client: randomClient(t), Family: Family(rapid.IntRange(0, 1).Draw(t, "family")),
			Random: rapid.Uint64().Draw(t, "dice"),
		}
		now := NewView(w.program(), Sight{State: down(failing...)}, nil)
		var d, before Decision
		p.Decide(now, &req, &d)
		p.Decide(NewView(w.program(), Sight{State: down()}, nil), &req, &before)
		if d.Pool < 0 || before.Pool < 0 {
			return
		}
		for _, way := range p.Ways(now, req.Family) {
			if slices.Contains(way.Now, d.Pool) && way.Open == d.FailOpen && slices.Contains(way.Well, before.Pool) {
				return
			}
		}
		t.Fatalf("of %s it was told pool %d before and is told %d now (open %t): the ways are %+v", source.Name,
			before.Pool, d.Pool, d.FailOpen,
			p.Ways(now, req.Family))
	})
}
