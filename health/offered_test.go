package health

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func reading(name string, load, target float64) Reading {
	return Reading{Endpoint: name, Up: true, Load: LoadOf(load), Target: target}
}

// TestOfferedIsFound: a pool that sheds carries less than is offered to it, one TTL after it says so. The estimate
// still finds what is offered, whatever share the pool keeps, and however that changes.
func TestOfferedIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ttl := time.Duration(rapid.IntRange(1, 60).Draw(t, "ttl")) * time.Second
		offered := rapid.Float64Range(1, 1e6).Draw(t, "offered")
		target := offered * rapid.Float64Range(0.1, 2).Draw(t, "target")
		e := NewEstimator(nil, false)
		step := ttl / 20
		keep := 1.
		var kept []float64 // over the last TTL: what caches have been answered
		now := time.Unix(1e9, 0)
		var said Measure
		for range 20 * 20 {
			now = now.Add(step)
			if kept = append(kept, keep); len(kept) > 20 {
				kept = kept[1:]
			}
			felt := 0.
			for _, k := range kept {
				felt += k / float64(len(kept))
			}
			m, due := e.Observe(now, Setting{TTL: ttl, Keep: keep, Available: true},
				[]Reading{reading("a", offered*felt, target)})
			if due {
				said = m
			}
			if said.Offered.Known {
				keep = min(1, target/max(said.Offered.Value, 1e-9))
			}
		}
		if got := said.Offered.Value / offered; math.Abs(got-1) > 2*band {
			t.Fatalf("%.3f times what is offered is found, with a target of %.2f of it", got, target/offered)
		}
	})
}

// plainUsage adds up what endpoints report, a second time. An endpoint that is not believed counts as the rule says.
func plainUsage(rs []Reading) (load float64, known bool) {
	others := func(values []float64, at int) float64 {
		rest := slices.Delete(slices.Clone(values), at, at+1)
		slices.Sort(rest)
		return rest[(len(rest)-1)/2]
	}
	var share, target []float64
	var unknown float64
	for _, r := range rs {
		switch {
		case !r.Up:
		case r.Load.Known:
			share, target = append(share, r.Load.Value/r.Target), append(target, r.Target)
		default:
			unknown += r.Target
		}
	}
	if len(share) == 0 {
		return 0, false
	}
	if len(share) > 1 {
		high := slices.Clone(share)
		for i := range share {
			if o := others(share, i); o > 0 {
				high[i] = min(share[i], 4*o)
			}
		}
		low := slices.Clone(high)
		for i := range high {
			if o := others(high, i); 4*high[i] < o && high[i] == share[i] {
				low[i] = o
			}
		}
		share = low
	}
	var all float64
	for i := range share {
		load, all = load+share[i]*target[i], all+target[i]
	}
	return load + load/all*unknown, true
}

// TestUsageIsTheRule compares what a pool carries with the rule, and bounds what a liar can do to it.
func TestUsageIsTheRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var rs []Reading
		for i := range rapid.IntRange(0, 7).Draw(t, "endpoints") {
			r := reading(fmt.Sprint(i), rapid.OneOf(rapid.Float64Range(0, 200),
				rapid.SampledFrom([]float64{0, 1e12, 1e-9, 100})).Draw(t, "load"),
				rapid.SampledFrom([]float64{1, 100, 800}).Draw(t, "target"))
			r.Up = rapid.IntRange(0, 4).Draw(t, "up") > 0
			if rapid.IntRange(0, 4).Draw(t, "told") == 0 {
				r.Load = Load{}
			}
			rs = append(rs, r)
		}
		u := usageOf(rs)
		load, known := plainUsage(rs)
		if u.known != known || math.Abs(u.load-load) > 1e-9*max(load, 1) {
			t.Fatalf("%v of %v, and by the rule %v of %v", u.load, u.known, load, known)
		}
	})
	// One of ten that reports 0, or a million times more, moves the pool by no more than a third.
	var rs []Reading
	for i := range 10 {
		rs = append(rs, reading(fmt.Sprint(i), 80, 100))
	}
	honest := usageOf(rs).load
	for _, lie := range []float64{0, 1, 1e3, 1e12} {
		rs[3].Load = LoadOf(lie)
		if u := usageOf(rs); math.Abs(u.load/honest-1) > 1./3 || !u.doubt[3] {
			t.Errorf("one that says %g makes %.0f of %.0f, in doubt: %v", lie, u.load, honest, u.doubt[3])
		}
	}
}

// TestWarmth: an endpoint warms up over the ramp and cools as slowly. One that was there before the process is warm.
// What others say takes precedence.
func TestWarmth(t *testing.T) {
	now := time.Unix(1e9, 0)
	e := NewEstimator(nil, false)
	look := func(past time.Duration, ups map[string]bool) map[string]Standing {
		now = now.Add(past)
		var rs []Reading
		for _, name := range []string{"a", "b"} {
			if up, there := ups[name]; there {
				rs = append(rs, Reading{Endpoint: name, Up: up, Target: 100})
			}
		}
		m, _ := e.Observe(now, Setting{TTL: 20 * time.Second, Ramp: 2 * time.Minute, Keep: 1, Available: true}, rs)
		return m.Endpoints
	}
	warmth := func(of map[string]Standing, name string, want float64) {
		t.Helper()
		if got := orSteady(of, name).Warmth; math.Abs(got-want) > warmthStep {
			t.Errorf("after %v %s is %.2f warm, and not %.2f", now.Sub(time.Unix(1e9, 0)), name, got, want)
		}
	}
	warmth(look(0, map[string]bool{"a": true}), "a", 1)
	of := look(time.Second, map[string]bool{"a": true, "b": true})
	warmth(of, "a", 1)
	warmth(of, "b", 0)
	of = look(time.Minute, map[string]bool{"a": false, "b": true})
	warmth(of, "a", 0.5)
	warmth(of, "b", 0.5)
	of = look(time.Minute, map[string]bool{"a": true, "b": true})
	warmth(of, "a", 1)
	warmth(of, "b", 1)
	warmth(look(time.Hour, map[string]bool{"a": false}), "a", 0)
	warmth(look(30*time.Second, map[string]bool{"a": true}), "a", 0.25)

	e = NewEstimator(&Pressure{Endpoints: map[string]Standing{"a": {Warmth: 0.25, Factor: 1}}}, false)
	warmth(look(0, map[string]bool{"a": true}), "a", 0.25)
	e = NewEstimator(nil, true)
	warmth(look(0, map[string]bool{"a": true}), "a", 0)
}

// TestFewWords counts what 100 pools of 10 endpoints each report in a day of slow changes, and in a threefold surge.
// The bounds are those of docs/measurements.md. The count does not depend on the machine.
func TestFewWords(t *testing.T) {
	const ttl = 20 * time.Second
	play := func(span, step time.Duration, demand func(at time.Duration) float64) (words int) {
		e := NewEstimator(nil, false)
		for at := time.Duration(0); at < span; at += step {
			var rs []Reading
			for i := range 10 {
				noise := 1 + 0.02*math.Sin(float64(at/step)*1.7+float64(i)) // as any count of requests has
				rs = append(rs, reading(fmt.Sprint(i), demand(at)*noise/10, 100))
			}
			if _, due := e.Observe(time.Unix(1e9, 0).Add(at), Setting{TTL: ttl, Keep: 1, Available: true}, rs); due {
				words++
			}
		}
		return words
	}
	day := play(24*time.Hour, time.Second, func(at time.Duration) float64 {
		return 500 + 300*math.Sin(2*math.Pi*at.Hours()/24)
	})
	surge := play(4*ttl, ttl/20, func(at time.Duration) float64 {
		return 400 * (1 + 2*min(at.Seconds()/(2*ttl.Seconds()), 1))
	})
	t.Logf("a pool says %d words in a day that swings from 200 to 800, %d in a surge of 3 in two TTLs", day, surge)
	if day > 150 || surge > 45 || surge < 10 {
		t.Errorf("%d words in a day, %d in a surge", day, surge)
	}
}
