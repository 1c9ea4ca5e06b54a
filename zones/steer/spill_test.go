package steer

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"leeward/health"
	"leeward/zones"
)

// pressed is a View of three regions, each of three endpoints with a target of 100, under these pressures; nil:
// unknown.
func pressed(w *world, pressures map[string]*health.Pressure) (*Program, *View) {
	program := w.program()
	return program, NewView(program, Sight{State: allUp, Pressure: func(pool string) *health.Pressure {
		return pressures[pool]
	}}, nil)
}

func under(load, offered float64) *health.Pressure {
	return &health.Pressure{Load: health.LoadOf(load), Offered: health.LoadOf(offered)}
}

func capable(w *world) *world {
	for _, p := range w.pools {
		p.Capacity = &zones.Capacity{Target: 100, Max: 120}
	}
	return w
}

// plainKeep is the law, written a second time.
func plainKeep(load, offered, target [3]float64, known [3]bool, at int) float64 {
	if !known[at] || offered[at] <= target[at] {
		return 1
	}
	var sumLoad, sumTarget, all float64
	everywhere := true
	for i := range load {
		all, everywhere = all+load[i], everywhere && known[i]
		if known[i] {
			sumLoad, sumTarget = sumLoad+load[i], sumTarget+target[i]
		}
	}
	u := 1.
	if sumLoad > sumTarget {
		u = math.Ceil(sumLoad/sumTarget/0.025) * 0.025
	}
	if everywhere && all > 0 { // no pool is offered much more than all carry
		return min(1, u*target[at]/min(offered[at], 1.1*all))
	}
	return min(1, u*target[at]/offered[at])
}

// TestKeepsAreTheLaw compares the share that a pool keeps with the law, for loads of all sizes, and also which clients
// stay. A client stays if and only if its position is below that share, and else goes to the next pool that keeps it.
func TestKeepsAreTheLaw(t *testing.T) {
	w := capable(threeRegions())
	rapid.Check(t, func(t *rapid.T) {
		amount := rapid.OneOf(rapid.Float64Range(0, 1000),
			rapid.SampledFrom([]float64{0, 299, 300, 300.01, 1e12, 1e-300}))
		var load, offered, target [3]float64
		var known [3]bool
		pressures := map[string]*health.Pressure{}
		for i, p := range w.pools {
			load[i], offered[i], target[i], known[i] = amount.Draw(t, "load"), amount.Draw(t,
				"offered"), 300, rapid.Bool().Draw(t, "known")
			if known[i] {
				pressures[p.Pool] = under(load[i], offered[i])
			}
		}
		_, v := pressed(w, pressures)
		p := compile(testing.TB(nil2{}), nil, w, &zones.Policy{
			Name: "www.example.test", Spill: true, Rules: []zones.Rule{{Failover: steps("www-eu", "www-us", "www-ap")}},
		})
		client := netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "client")))
		subnet := rapid.Bool().Draw(t, "subnet")
		req := &Request{Client: client, Random: rapid.Uint64().Draw(t, "random")}
		if subnet {
			req.Resolver = netip.MustParseAddr("192.0.2.53")
		}
		want, walked := 0, false
		for at := 2; at >= 0; at-- {
			keep := plainKeep(load, offered, target, known, at)
			if got, ok := p.Keep(v, int32(at), 0); !ok || math.Abs(got-keep) > 1e-9 {
				t.Fatalf("pool %d keeps %v, and the law says %v", at, got, keep)
			}
			m := p.rules[0].steps[at].members[0]
			if keep >= 1 || position(keyOf(client, subnet), m.seed) < keep {
				want = at
			}
		}
		for at := range want + 1 {
			walked = walked || plainKeep(load, offered, target, known, at) < 1
		}
		var d Decision
		p.Decide(v, req, &d)
		if int(d.Pool) != want || d.Count != 1 || d.FailOpen {
			t.Fatalf("pool %d answers with %d addresses, fail open %v; it is the turn of pool %d", d.Pool, d.Count,
				d.FailOpen, want)
		}
		if scope := uint8(24); walked && d.Scope != scope || !walked && d.Scope != 0 {
			t.Fatalf("scope /%d, walked over a pool that sheds: %v", d.Scope, walked)
		}
		// Clients with the same prefix get the same answer.
		if subnet {
			b := client.As4()
			b[3] ^= byte(rapid.IntRange(1, 255).Draw(t, "neighbour"))
			req.Client = netip.AddrFrom4(b)
			if p.Decide(v, req, &d); int(d.Pool) != want {
				t.Fatalf("a neighbour in the /24 goes to pool %d, and not to %d", d.Pool, want)
			}
		}
	})
}

// nil2 stands for a testing.TB where a property needs none.
type nil2 struct{ testing.TB }

// TestSheddingIsMonotonic: as more is offered to a pool, clients leave it and none comes to it.
func TestSheddingIsMonotonic(t *testing.T) {
	w := capable(threeRegions())
	w.pools[2].Capacity = &zones.Capacity{Target: 1e6} // it has room for all
	p := compile(t, nil, w, &zones.Policy{
		Name: "www.example.test", Spill: true,
		Rules: []zones.Rule{{Failover: steps("www-eu", "www-us", "www-ap")}},
	})
	left := map[int]bool{}
	for offered := 250.; offered < 3000; offered *= 1.07 {
		_, v := pressed(w, map[string]*health.Pressure{
			"www-eu": under(290, offered), "www-us": under(10, 10),
			"www-ap": under(offered, offered),
		})
		stay := 0
		for i := range 2000 {
			var d Decision
			p.Decide(v, &Request{
				Client:   netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}),
				Resolver: netip.MustParseAddr("192.0.2.1"),
			}, &d)
			switch {
			case d.Pool != 0:
				left[i] = true
			case left[i]:
				t.Fatalf("client %d is back although more is offered", i)
			default:
				stay++
			}
		}
		if want := 2000 * min(1, 300/offered); math.Abs(float64(stay)-want) > 110 {
			t.Errorf("%.0f offered: %d of 2000 stay, and %.0f would fit", offered, stay, want)
		}
	}
}

// TestLumps: a resolver without ECS that stands near the border gets addresses of both pools, and over many resolvers
// each pool gets its share of addresses.
func TestLumps(t *testing.T) {
	w := capable(threeRegions())
	w.pools[2].Capacity = &zones.Capacity{Target: 1e6} // it has room for all
	p := compile(t, nil, w, &zones.Policy{
		Name: "www.example.test", Spill: true, Answers: 2,
		Rules: []zones.Rule{{Failover: steps("www-eu", "www-us", "www-ap")}},
	})
	random := rand.NewPCG(3, 4)
	for _, offered := range []float64{303, 350, 500, 900, 3000} {
		_, v := pressed(w, map[string]*health.Pressure{
			"www-eu": under(300, offered), "www-us": under(10, 10),
			"www-ap": under(offered, offered),
		})
		eu, mixed, all := 0., 0, 0.
		for range 20_000 {
			var d Decision
			r := random.Uint64()
			p.Decide(v, &Request{
				Client: netip.AddrFrom4([4]byte{10, byte(r), byte(r >> 8), byte(r >> 16)}),
				Random: random.Uint64(),
			}, &d)
			if d.Count != 2 {
				t.Fatalf("%d addresses", d.Count)
			}
			pools := map[byte]bool{}
			for i := range d.Count {
				last := d.Data[4*i+3]
				pools[last/10] = true
				if last < 10 {
					eu++
				}
				all++
			}
			if slices.Equal(d.Data[:4], d.Data[4:8]) {
				t.Fatal("an address is there twice")
			}
			if len(pools) > 1 {
				mixed++
			}
		}
		if keep := min(1, 300/offered); math.Abs(eu/all-keep) > 0.015 {
			t.Errorf("%.0f offered: %.3f of the addresses are of the pool, and it keeps %.3f", offered, eu/all, keep)
		}
		if mixed == 0 {
			t.Errorf("%.0f offered: no answer is of two pools", offered)
		}
	}
}

// TestNothingOfItEmptiesAnAnswer: whatever vantages report, some pool answers if one would without loads. A drain and a
// verdict of down go before loads. Of many clients, some stay with every available pool that is not hopelessly full.
func TestNothingOfItEmptiesAnAnswer(t *testing.T) {
	w := capable(threeRegions())
	for _, p := range w.pools {
		p.Ramp = zones.Duration(time.Minute)
	}
	rapid.Check(t, func(t *rapid.T) {
		amount := rapid.SampledFrom([]float64{0, 1e-300, 1, 250, 300, 301, 900, 1e6, 1e12})
		pressures := map[string]*health.Pressure{}
		for _, p := range w.pools {
			pressure := under(amount.Draw(t, "load"), amount.Draw(t, "offered"))
			pressure.Endpoints = map[string]health.Standing{}
			for _, e := range w.members[p.Pool] {
				pressure.Endpoints[e.Endpoint] = health.Standing{
					Warmth: rapid.Float64Range(0, 1).Draw(t, "warmth"),
					Factor: rapid.Float64Range(0.25, 4).Draw(t, "factor"),
				}
			}
			if rapid.Bool().Draw(t, "known") {
				pressures[p.Pool] = pressure
			}
		}
		dead := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"www-eu", "www-us", "www-ap"}), rapid.ID).Draw(t,
			"dead")
		var gone []string
		for _, pool := range dead {
			gone = append(gone, pool+"/lb-1", pool+"/lb-2", pool+"/lb-3")
		}
		v := NewView(w.program(), Sight{State: down(gone...), Pressure: func(pool string) *health.Pressure {
			return pressures[pool]
		}}, nil)
		pick := rapid.SampledFrom([]zones.Pick{
			zones.PickWeighted, zones.PickSticky, zones.PickAll,
			zones.PickLeastLoad,
		}).Draw(t, "pick")
		answers := rapid.IntRange(1, 5).Draw(t, "answers")
		p := compile(nil2{}, nil, w, &zones.Policy{
			Name: "www.example.test", Spill: true, Pick: pick, Answers: answers,
			Rules: []zones.Rule{{Failover: []zones.Step{
				{Pools: []zones.WeightedPool{{Pool: "www-eu", Weight: 3}, {Pool: "www-us", Weight: 1}}},
				{Pools: []zones.WeightedPool{{Pool: "www-ap", Weight: 1}}},
			}}},
		})
		for i := range 50 {
			var d Decision
			req := &Request{Client: netip.AddrFrom4([4]byte{10, 1, byte(i), 1}), Random: uint64(i) * 0x9e3779b97f4a7c15}
			if p.Decide(v, req, &d); d.Count == 0 || d.FailOpen != (len(dead) == 3) {
				t.Fatalf("%d addresses, fail open %v with %d pools dead", d.Count, d.FailOpen, len(dead))
			}
			if !d.FailOpen && slices.Contains(dead, w.pools[d.Pool].Pool) {
				t.Fatalf("%s is down and answers", w.pools[d.Pool].Pool)
			}
		}
	})
}

// TestPlannedTrickle: a pool planned at 5 % keeps that share of clients, with or without loads. A plan that is over has
// no effect.
func TestPlannedTrickle(t *testing.T) {
	w := threeRegions()
	from := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	p := compile(t, nil, w, &zones.Policy{
		Name: "www.example.test", Rules: []zones.Rule{{Failover: steps("www-us", "www-eu")}},
		Schedule: []zones.Schedule{{
			From: from, Until: from.Add(time.Hour), Ramp: zones.Duration(10 * time.Minute),
			Weights: map[string]zones.Percent{"www-us": 5},
		}},
	})
	v := NewView(w.program(), Sight{State: allUp}, nil)
	for _, c := range []struct {
		at   time.Duration
		want float64
	}{
		{-time.Second, 1},
		{0, 1},
		{5 * time.Minute, 0.525},
		{10 * time.Minute, 0.05},
		{30 * time.Minute, 0.05},
		{55 * time.Minute, 0.525},
		{time.Hour, 1},
		{1e6 * time.Hour, 1},
	} {
		stay := 0.
		for i := range 4000 {
			var d Decision
			p.Decide(v, &Request{
				Client: netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}),
				Clock:  from.Add(c.at).Unix(),
			}, &d)
			if d.Pool == 1 {
				stay++
			}
		}
		if math.Abs(stay/4000-c.want) > 0.03 {
			t.Errorf("after %v %.3f stay, and %.3f are planned", c.at, stay/4000, c.want)
		}
	}
}

// None of it allocates.
func TestSpillAllocatesNothing(t *testing.T) {
	w := capable(threeRegions())
	_, v := pressed(w, map[string]*health.Pressure{
		"www-eu": under(290, 500), "www-us": under(310, 400),
		"www-ap": under(10, 10),
	})
	for _, pick := range []zones.Pick{zones.PickWeighted, zones.PickLeastLoad} {
		p := compile(t, places(t), w, &zones.Policy{
			Name: "www.example.test", Spill: true, Pick: pick, Answers: 4,
			Rules: []zones.Rule{{Nearest: []string{"www-eu", "www-us", "www-ap"}}},
		})
		var d Decision
		req := Request{Client: netip.MustParseAddr("2.1.2.3")}
		if n := testing.AllocsPerRun(1000, func() {
			req.Random++
			p.Decide(v, &req, &d)
		}); n > 0 {
			t.Errorf("%s: %v allocations", pick, n)
		}
	}
}

// BenchmarkSpill compares a decision in which nothing is passed on with one that goes past a pool that sheds.
func BenchmarkSpill(b *testing.B) {
	w := capable(threeRegions())
	table := places(b)
	for _, c := range []struct {
		name      string
		spill     bool
		pressures map[string]*health.Pressure
	}{
		{"without", false, nil},
		{"unloaded", true, map[string]*health.Pressure{
			"www-eu": under(100, 100), "www-us": under(100, 100),
			"www-ap": under(10, 10),
		}},
		{"in force", true, map[string]*health.Pressure{
			"www-eu": under(290, 500), "www-us": under(290, 400),
			"www-ap": under(10, 10),
		}},
	} {
		_, v := pressed(w, c.pressures)
		p := compile(b, table, w, &zones.Policy{
			Name: "www.example.test", Spill: c.spill, Answers: 2,
			Rules: []zones.Rule{{Nearest: []string{"www-eu", "www-us", "www-ap"}}},
		})
		for _, ecs := range []bool{true, false} {
			b.Run(fmt.Sprintf("%s/ecs=%v", c.name, ecs), func(b *testing.B) {
				var d Decision
				req := Request{}
				if ecs {
					req.Resolver = netip.MustParseAddr("192.0.2.1")
				}
				for i := 0; b.Loop(); i++ {
					req.Client = netip.AddrFrom4([4]byte{2, byte(i >> 8), byte(i), 1})
					req.Random = uint64(i) * 0x9e3779b97f4a7c15
					p.Decide(v, &req, &d)
				}
			})
		}
	}
}

// TestNoTrapOfShedding: every pool keeps little although none is over, as after machines stood still and reports came
// late. Most clients then stay with the first available pool, and their load must not be taken for a small part of what
// is offered.
func TestNoTrapOfShedding(t *testing.T) {
	l := newLoop(t, 1, true, 0)
	for _, p := range l.program.Pools {
		for _, o := range l.vantages {
			e := health.NewEstimator(&health.Pressure{Load: health.LoadOf(400), Offered: health.LoadOf(20 * 800)},
				false)
			o.estimators[p.Name] = e
			l.board.Measure(health.Measure{
				Vantage: o.name, Pool: p.Name, Load: health.LoadOf(400),
				Offered: health.LoadOf(20 * 800),
			})
		}
	}
	for s := 0.; s < 6*l.ttl.Seconds(); s += tick.Seconds() {
		l.step(map[string]float64{"eu": 400, "us": 400, "ap": 400})
	}
	for _, p := range l.program.Pools {
		if keep, _ := l.policy.Keep(l.view, p.Number, 0); keep < 1 {
			t.Errorf("%s keeps %.2f six TTLs later; it carries %v of %v, and %v is said to be offered",
				p.Name, keep, l.view.pools[p.Number].burden.load, l.view.pools[p.Number].burden.target,
				l.view.pools[p.Number].burden.offered)
		}
	}
}

// TestLumpsNameNobodyTwice: if two pools share an address, a mixed answer has it once.
func TestLumpsNameNobodyTwice(t *testing.T) {
	w := capable(threeRegions())
	w.pools[2].Capacity = &zones.Capacity{Target: 1e6}
	for i, e := range w.members["www-ap"] {
		e.Addresses = w.members["www-eu"][i].Addresses
	}
	p := compile(t, nil, w, &zones.Policy{
		Name: "www.example.test", Spill: true, Answers: 4, Rules: []zones.Rule{{Failover: steps("www-eu", "www-ap")}},
	})
	_, v := pressed(w, map[string]*health.Pressure{
		"www-eu": under(300, 500), "www-us": under(10, 10),
		"www-ap": under(500, 500),
	})
	random, fewer := rand.NewPCG(3, 4), 0
	for range 5000 {
		var d Decision
		r := random.Uint64()
		p.Decide(v, &Request{
			Client: netip.AddrFrom4([4]byte{10, byte(r), byte(r >> 8), byte(r >> 16)}),
			Random: random.Uint64(),
		}, &d)
		seen := map[string]bool{}
		for i := range d.Count {
			a := string(d.Data[4*i : 4*i+4])
			if seen[a] {
				t.Fatalf("%v is there twice", d.Data)
			}
			seen[a] = true
		}
		if d.Count == 0 {
			t.Fatal("no address")
		}
		if d.Count < 3 {
			fewer++
		}
	}
	if fewer == 0 {
		t.Error("no mixed answer met the same address twice: this shows nothing")
	}
}
