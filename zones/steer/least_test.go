package steer

import (
	"net/netip"
	"testing"

	"leeward/health"
	"leeward/zones"
)

// A step with less weight available than it asks for is passed over, as long as another step has something.
func TestAtLeast(t *testing.T) {
	step := func(least zones.Percent, eu, us int) zones.Step {
		return zones.Step{
			AtLeast: least,
			Pools:   []zones.WeightedPool{{Pool: "www-eu", Weight: eu}, {Pool: "www-us", Weight: us}},
		}
	}
	gone := func(pools ...string) (all []string) {
		for _, p := range pools {
			all = append(all, p+"/lb-1", p+"/lb-2", p+"/lb-3")
		}
		return all
	}
	for _, c := range []struct {
		name  string
		steps []zones.Step
		down  []string
		pool  string
		open  bool
	}{
		{"all there", append([]zones.Step{step(50, 1, 1000000)}, steps("www-ap")...), nil, "www-us", false},
		{"enough there", append([]zones.Step{step(50, 5, 95)}, steps("www-ap")...), gone("www-eu"), "www-us", false},
		{"exactly enough", append([]zones.Step{step(50, 50, 50)}, steps("www-ap")...), gone("www-eu"), "www-us", false},
		{"too little", append([]zones.Step{step(50, 95, 5)}, steps("www-ap")...), gone("www-eu"), "www-ap", false},
		{"nothing said", append([]zones.Step{step(0, 95, 5)}, steps("www-ap")...), gone("www-eu"), "www-us", false},
		{
			"too little, and no other", append([]zones.Step{step(50, 95, 5)}, steps("www-ap")...),
			gone("www-eu", "www-ap"), "www-us", false,
		},
		{
			"too little, before a spare",
			[]zones.Step{step(50, 95, 5), {Pools: []zones.WeightedPool{{Pool: "www-ap", Weight: 0}}}},
			gone("www-eu"),
			"www-us", false,
		},
		{
			"all down", append([]zones.Step{step(100, 1000000, 1)}, steps("www-ap")...),
			gone("www-eu", "www-us", "www-ap"), "www-eu", true,
		},
	} {
		w := threeRegions()
		p := compile(t, nil, w, &zones.Policy{Name: "www.example.test", Rules: []zones.Rule{{Failover: c.steps}}})
		v := NewView(w.program(), Sight{State: down(c.down...)}, nil)
		for _, family := range []Family{V4, V6} {
			req := Request{Client: netip.MustParseAddr("2.1.2.3"), Family: family, Random: 7}
			var d Decision
			if p.Decide(v, &req, &d); w.pools[d.Pool].Pool != c.pool || d.FailOpen != c.open {
				t.Errorf("%s: pool %s, fail open %v", c.name, w.pools[d.Pool].Pool, d.FailOpen)
			}
		}
	}
	// A pool without addresses of the family does not count as weight.
	w := threeRegions()
	for _, e := range w.members["www-eu"] {
		e.Addresses = e.Addresses[:1]
	}
	p := compile(t, nil, w, &zones.Policy{
		Name:  "www.example.test",
		Rules: []zones.Rule{{Failover: append([]zones.Step{step(50, 95, 5)}, steps("www-ap")...)}},
	})
	var d Decision
	if p.Decide(NewView(w.program(), Sight{State: func(health.Target) health.State {
		return health.Up
	}}, nil), &Request{Client: netip.MustParseAddr("2.1.2.3"), Family: V6}, &d); d.Pool != 1 {
		t.Errorf("pool %d answers where one of two has no IPv6", d.Pool)
	}
}
