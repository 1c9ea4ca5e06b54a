package steer

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"leeward/health"
	"leeward/zones"
)

func sceneOf(v *View, ps ...*Policy) Scene {
	return Scene{View: v, Sharing: ps, Policy: func(name string) *Policy {
		for _, p := range ps {
			if p.Name == name {
				return p
			}
		}
		return nil
	}}
}

// plainForecast works out the state of rest a second time, with clients as a fluid, from the load of each order of
// pools and the target of each pool.
func plainForecast(load map[string]float64, orders map[string][]int, target []float64, out []bool) []float64 {
	keep := []float64{1, 1, 1}
	offered := make([]float64, 3)
	var carried []float64
	for round := range 1500 {
		carried = make([]float64, 3)
		for name, amount := range load {
			left, first := amount, -1
			for _, p := range orders[name] {
				if out[p] {
					continue
				}
				if first < 0 {
					first = p
				}
				carried[p] += left * keep[p]
				left -= left * keep[p]
			}
			if first >= 0 {
				carried[first] += left
			}
		}
		var sumLoad, sumTarget float64
		for p := range carried {
			if !out[p] && carried[p] > 0 { // a pool without a known load does not count
				sumLoad, sumTarget = sumLoad+carried[p], sumTarget+target[p]
			}
		}
		u := 1.
		if sumLoad > sumTarget {
			u = math.Ceil(sumLoad/sumTarget/0.025) * 0.025
		}
		for p := range carried {
			next := carried[p] / max(keep[p], 0.05)
			if round > 0 {
				next = offered[p] + 0.1*(next-offered[p])
			}
			offered[p] = next
		}
		for p := range keep {
			if keep[p] = 1; offered[p] > target[p] {
				keep[p] = min(1, u*target[p]/offered[p])
			}
		}
	}
	return carried
}

// TestForecastIsTheLawsRest compares forecasts, which lead made-up clients one by one, with a fluid.
func TestForecastIsTheLawsRest(t *testing.T) {
	table := places(t)
	orders := map[string][]int{"eu": {0, 1, 2}, "us": {1, 0, 2}, "ap": {2, 0, 1}}
	rapid.Check(t, func(t *rapid.T) {
		w := capable(threeRegions())
		p := compile(testing.TB(nil2{}), table, w, &zones.Policy{
			Name: "www.example.test", Spill: true,
			Rules: []zones.Rule{{Nearest: []string{"www-eu", "www-us", "www-ap"}}},
		})
		loads := map[string]float64{}
		pressures := map[string]*health.Pressure{}
		asked := &Asked{Seconds: 60}
		for _, region := range []string{"eu", "us", "ap"} {
			load := rapid.Float64Range(20, 290).Draw(t, region)
			loads[region] = load
			pressures["www-"+region] = under(load, load)
			o := Order{Policy: p.Name, Rule: 1}
			for _, at := range orders[region] {
				o.Pools = append(o.Pools, w.pools[at].Pool)
			}
			queries := rapid.Float64Range(1000, 9000).Draw(t, "queries") // the load of a query differs by region
			asked.Orders = append(asked.Orders, AskedOrder{Order: o, Queries: queries, Samples: queries})
			asked.Queries += queries
		}
		_, now := pressed(w, pressures)
		surge := rapid.SampledFrom([]float64{1, 1, 2, 3}).Draw(t, "surge")
		out := make([]bool, 3)
		var failing []string
		if gone := rapid.IntRange(-1, 2).Draw(t, "gone"); gone >= 0 {
			out[gone] = true
			for _, e := range w.members[w.pools[gone].Pool] {
				failing = append(failing, e.ID())
			}
		}
		then := NewView(w.program(), Sight{State: down(failing...)}, nil)
		surges := map[string]float64{"eu": surge}
		got := foresee(context.Background(), sceneOf(now, p), sceneOf(then, p), asked, surges, 2000)
		loads["eu"] *= surge
		want := plainForecast(loads, orders, []float64{300, 300, 300}, out)
		sum := loads["eu"] + loads["us"] + loads["ap"]
		total := 0.
		for _, pool := range got.Pools {
			i := slices.IndexFunc(w.pools, func(p *zones.Pool) bool { return p.Pool == pool.Pool })
			if math.Abs(pool.Then-want[i]) > 0.05*sum {
				t.Fatalf("%s then carries %.1f, of a fluid %.1f; %+v", pool.Pool, pool.Then, want[i], got)
			}
			if pool.Over != (pool.Then > 360) && !out[i] {
				t.Fatalf("over: %+v", pool)
			}
			total += pool.Then
		}
		if math.Abs(total-sum) > 0.001*sum || got.Lost > 1e-9 {
			t.Fatalf("%.2f of %.2f is somewhere: %+v", total, sum, got)
		}
	})
}

// TestForecastComesTrue takes a region out in the closed loop, and compares what its pools then carry with the
// forecast, within a tenth. It does the same with surges.
func TestForecastComesTrue(t *testing.T) {
	type demand map[string]float64
	for _, c := range []struct {
		name        string
		before, now demand
		down        string
		surge       map[string]float64
	}{
		{"a region out, the others hold it", demand{"eu": 500, "us": 300, "ap": 300}, nil, "eu", nil},
		{"a region out, one spills on", demand{"eu": 700, "us": 450, "ap": 450}, nil, "eu", nil},
		{"a region out, all are over", demand{"eu": 700, "us": 500, "ap": 550}, nil, "us", nil},
		{
			"a surge of three",
			demand{"eu": 400, "us": 400, "ap": 400},
			demand{"eu": 1200, "us": 400, "ap": 400},
			"",
			map[string]float64{"eu": 3},
		},
		{"out while it spills already", demand{"eu": 1100, "us": 400, "ap": 300}, nil, "ap", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLoop(t, 1, true, 0)
			play := func(d demand, seconds float64) map[string]float64 {
				mean, ticks := map[string]float64{}, 0.
				for s := 0.; s < seconds; s += tick.Seconds() {
					l.step(d)
					if s > seconds/2 {
						ticks++
						for _, e := range l.endpoints {
							mean["www-"+e.region] += e.load
						}
					}
				}
				for pool := range mean {
					mean[pool] /= ticks
				}
				return mean
			}
			play(c.before, 16)
			asked, at := &Asked{Seconds: l.ttl.Seconds()}, map[string]int{}
			for _, cache := range l.caches { // each asks once a TTL
				o := l.policy.Order(l.policy.Kind(&Request{Client: cache.client}))
				i, there := at[o.Key()]
				if !there {
					i, at[o.Key()] = len(asked.Orders), len(asked.Orders)
					asked.Orders = append(asked.Orders, AskedOrder{Order: o})
				}
				asked.Orders[i].Queries++
				asked.Orders[i].Samples++
				asked.Queries++
			}
			sight := Sight{State: func(t health.Target) health.State {
				if l.endpoints[t.Address].region == c.down {
					return health.Down
				}
				return health.Up
			}}
			then := sceneOf(NewView(l.program, sight, nil), l.policy)
			got := Foresee(context.Background(), sceneOf(l.view, l.policy), then, asked, c.surge)
			if c.down != "" {
				l.dead[c.down] = true
			}
			if c.now == nil {
				c.now = c.before
			}
			came := play(c.now, 36)
			for _, p := range got.Pools {
				t.Logf("%s: %.0f now, foretold %.0f ±%.0f, came %.0f", p.Pool, p.Load, p.Then, p.Error, came[p.Pool])
				if math.Abs(p.Then-came[p.Pool]) > 0.1*max(came[p.Pool], 80) {
					t.Errorf("%s: %.0f was foretold, and %.0f came", p.Pool, p.Then, came[p.Pool])
				}
			}
			if !got.Settled {
				t.Error("it does not come to rest")
			}
		})
	}
}

// TestForecastDoubts says what a forecast does not know.
func TestForecastDoubts(t *testing.T) {
	w := capable(threeRegions())
	p := compile(t, places(t), w,
		&zones.Policy{
			Name: "www.example.test", Spill: true,
			Rules: []zones.Rule{{Failover: steps("www-eu", "www-us")}},
		})
	_, now := pressed(w, map[string]*health.Pressure{"www-us": under(50, 50)})
	asked := &Asked{
		Seconds: 10, Queries: 100, Other: 20,
		Orders: []AskedOrder{{Order: Order{Policy: p.Name, Rule: 1}, Queries: 80, Samples: 80}},
	}
	got := Foresee(context.Background(), sceneOf(now, p), sceneOf(now, p), asked, nil)
	if text := strings.Join(got.Doubts, "\n"); got.Measured() ||
		!strings.Contains(text, "nobody says the load of pool www-eu") ||
		!strings.Contains(text, "20 % of the queries") || got.Pools[0].QueriesThen != 8 {
		t.Errorf("%+v", got)
	}
	over, maybe := got.OverMax()
	if len(over)+len(maybe) > 0 {
		t.Errorf("over without a load: %+v", got)
	}
	none := Foresee(context.Background(), sceneOf(now, p), sceneOf(now, p), nil, nil)
	if len(none.Pools) != 0 || none.Queries != 0 {
		t.Errorf("%+v", none)
	}
	// A rule that holds for other clients then: its clients are a guess.
	_, known := pressed(w, map[string]*health.Pressure{"www-eu": under(200, 200), "www-us": under(50, 50)})
	changed := compile(t, places(t), w, &zones.Policy{Name: "www.example.test", Spill: true, Rules: []zones.Rule{
		{When: &zones.When{Continents: []string{"EU"}}, Failover: steps("www-us")}, {Failover: steps("www-eu")},
	}})
	got = Foresee(context.Background(), sceneOf(known, p), sceneOf(known, changed), asked, nil)
	if i := slices.IndexFunc(got.Pools, func(p PoolForecast) bool {
		return p.Pool == "www-us"
	}); i < 0 || got.Pools[i].Error < 200 ||
		!strings.Contains(strings.Join(got.Doubts, "\n"), "the rules of www.example.test are others then") {
		t.Errorf("%+v", got)
	}
}

// TestMeant: what is meant follows the weights of the resources, whatever is down and however full a pool is. Overrides
// by operators count.
func TestMeant(t *testing.T) {
	w := capable(threeRegions())
	p := compile(t, places(t), w, &zones.Policy{Name: "www.example.test", Spill: true, Rules: []zones.Rule{{
		Failover: []zones.Step{{Pools: []zones.WeightedPool{
			{Pool: "www-eu", Weight: 60}, {Pool: "www-us", Weight: 30}, {Pool: "www-ap", Weight: 10},
		}}},
	}}})
	asked := &Asked{Seconds: 10, Queries: 1000, Orders: []AskedOrder{{
		Order: Order{Policy: p.Name, Rule: 1}, Queries: 1000, Samples: 1000,
	}}}
	program := w.program()
	now := NewView(program, Sight{
		State:    down("www-eu/lb-1", "www-eu/lb-2", "www-eu/lb-3"),
		Pressure: func(string) *health.Pressure { return under(900, 900) },
	}, nil)
	near := func(what string, got map[string]float64, want map[string]float64) {
		t.Helper()
		for pool, rate := range want {
			if math.Abs(got[pool]-rate) > 3 {
				t.Errorf("%s: %s gets %.1f a second, want %.1f", what, pool, got[pool], rate)
			}
		}
	}
	if led := Led(sceneOf(now, p), asked); led["www-eu"] != 0 {
		t.Fatalf("a pool that is down is led %v", led)
	}
	near("all", Meant(sceneOf(now, p), program, asked), map[string]float64{"www-eu": 60, "www-us": 30, "www-ap": 10})
	w.words["region/us"] = zones.Drain
	near("us is drained", Meant(sceneOf(now, p), w.program(), asked),
		map[string]float64{"www-eu": 60. / 70 * 100, "www-us": 0, "www-ap": 10. / 70 * 100})
}

// A forecast is given up when nobody waits for it any more.
func TestForecastEnds(t *testing.T) {
	w := threeRegions()
	p := compile(t, places(t), w, &zones.Policy{
		Name: "www.example.test", Rules: []zones.Rule{{Failover: steps("www-eu")}},
	})
	scene := sceneOf(NewView(w.program(), Sight{State: allUp}, nil), p)
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if f := Foresee(ctx, scene, scene, nil, nil); f != nil {
		t.Errorf("the context has ended, and the forecast is %+v", f)
	}
}
