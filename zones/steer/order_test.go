package steer

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"leeward/health"
	"leeward/zones"
)

// TestLandsAsDecided compares the forecasts' walk with the servers'. For any policy, client and health, a client that
// is counted under an order, and led as that order's clients are, comes to the pool that answers it.
func TestLandsAsDecided(t *testing.T) {
	table := places(t)
	rapid.Check(t, func(t *rapid.T) {
		w := capable(threeRegions())
		doc := randomPolicy(t, w)
		if doc.Pick == zones.PickSticky { // it has two keys, and an order only one
			doc.Pick = zones.PickWeighted
		}
		doc.Spill = rapid.Bool().Draw(t, "spill")
		p, err := NewCompiler(table).Policy(doc, w.refer())
		if err != nil {
			t.Fatal(err)
		}
		pressures := map[string]*health.Pressure{}
		for _, pool := range w.pools {
			if rapid.Bool().Draw(t, "loaded") {
				load := rapid.Float64Range(1, 900).Draw(t, "load")
				pressures[pool.Pool] = under(load, load*rapid.Float64Range(1, 3).Draw(t, "more"))
			}
		}
		var failing []string
		for _, e := range []string{"www-eu/lb-1", "www-us/lb-1", "www-us/lb-2", "www-us/lb-3", "www-ap/lb-1"} {
			if rapid.Bool().Draw(t, e+" fails") {
				failing = append(failing, e)
			}
		}
		v := NewView(w.program(), Sight{State: down(failing...), Pressure: func(pool string) *health.Pressure {
			return pressures[pool]
		}}, nil)
		req := Request{
			Client: randomClient(t), Family: Family(rapid.IntRange(0, 1).Draw(t, "family")),
			Random:   rapid.Uint64().Draw(t, "dice"),
			Resolver: rapid.SampledFrom([]netip.Addr{{}, netip.MustParseAddr("2.0.0.53")}).Draw(t, "resolver"),
		}
		var d Decision
		p.Decide(v, &req, &d)

		k := p.Kind(&req)
		if again := KindOf(k.Code()); again != k {
			t.Fatalf("%+v is packed as %+v", k, again)
		}
		o := p.Order(k)
		of := p.way(&o)
		if !of.exact {
			t.Fatalf("%+v does not say all", o)
		}
		var u carried
		pool, open := p.land(v, &of, keyOf(req.Client.Unmap(), req.Resolver.IsValid()), req.Random, 0, &u)
		if pool != d.Pool || open != d.FailOpen && d.Pool >= 0 {
			t.Fatalf("%+v leads to pool %d (open %v), decided %d (%v)", o, pool, open, d.Pool, d.FailOpen)
		}
	})
}

// TestOrderOfOtherResources applies an order to a policy that has one pool more, and one less.
func TestOrderOfOtherResources(t *testing.T) {
	w := threeRegions()
	p := compile(t, places(t), w,
		&zones.Policy{Name: "www.example.test", Rules: []zones.Rule{{Nearest: []string{"www-eu", "www-us", "www-ap"}}}})
	for _, c := range []struct {
		order Order
		want  []uint8
		exact bool
	}{
		{Order{Rule: 1, Pools: []string{"www-ap", "www-us", "www-eu"}}, []uint8{2, 1, 0}, true},
		{Order{Rule: 1, Pools: []string{"www-ap", "gone", "www-us", "www-eu"}}, []uint8{2, 1, 0}, true},
		{Order{Rule: 1, Pools: []string{"www-eu", "www-ap"}}, []uint8{0, 1, 2}, false}, // us is nearer to eu than ap is
		{Order{Rule: 1, Pools: []string{"www-ap", "www-us"}}, []uint8{2, 0, 1}, false},
		{Order{Rule: 1}, []uint8{0, 1, 2}, false},
	} {
		got := p.way(&c.order)
		if string(got.order) != string(c.want) || got.exact != c.exact {
			t.Errorf("%v: %v, exact %v; want %v, %v", c.order, got.order, got.exact, c.want, c.exact)
		}
	}
}
