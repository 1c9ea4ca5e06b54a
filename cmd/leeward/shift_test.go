package main

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"leeward/health"
	"leeward/zones"
	"leeward/zones/steer"
)

// TestRescheduleKeepsLevels: taking out what is over changes no pool's level, now or later.
func TestRescheduleKeepsLevels(t *testing.T) {
	start := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	pools := []string{"a", "b"}
	rapid.Check(t, func(t *rapid.T) {
		shift := func(after int) zones.Schedule {
			ramp := rapid.IntRange(0, 4).Draw(t, "ramp")
			s := zones.Schedule{
				From: start.Add(time.Duration(rapid.IntRange(after, 10).Draw(t, "from")) * time.Second),
				Ramp: health.Duration(time.Duration(ramp) * time.Second), Weights: map[string]zones.Percent{},
			}
			if rapid.Bool().Draw(t, "ends") {
				s.Until = s.From.Add(time.Duration(max(2*ramp, 1)+rapid.IntRange(0, 3).Draw(t, "longer")) * time.Second)
			}
			for _, pool := range pools[rapid.IntRange(0, 1).Draw(t, "pools"):] {
				s.Weights[pool] = zones.Percent(rapid.SampledFrom([]int{0, 50, 100, 300}).Draw(t, "to"))
			}
			return s
		}
		var old []zones.Schedule
		for range rapid.IntRange(0, 5).Draw(t, "shifts") {
			old = append(old, shift(-10))
		}
		fresh := shift(0)
		kept := reschedule(old, fresh, start)
		policy := func(ss []zones.Schedule) *zones.Policy {
			return &zones.Policy{Schedule: ss, Rules: []zones.Rule{{Nearest: pools}}}
		}
		level := func(ss []zones.Schedule, pool string, at time.Time) float64 {
			for _, p := range steer.PlansOf(policy(ss)) {
				if p.Pool == pool {
					return p.Level(at)
				}
			}
			return 1
		}
		for s := range 40 {
			at := start.Add(time.Duration(s) * time.Second)
			for _, pool := range pools {
				all := append(slices.Clone(old), fresh)
				if got, want := level(kept, pool, at), level(all, pool, at); got-want > 1e-9 || want-got > 1e-9 {
					t.Fatalf("%s after %d s: level %v, before what is over was taken out %v;\nall  %+v\nkept %+v",
						pool, s, got, want, all, kept)
				}
			}
		}
	})
}

func TestRescheduleTakesOutWhatIsOver(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	to := func(from, until time.Duration, pools ...string) zones.Schedule {
		s := zones.Schedule{From: now.Add(from), Weights: map[string]zones.Percent{}}
		if until != 0 {
			s.Until = now.Add(until)
		}
		for _, p := range pools {
			s.Weights[p] = 50
		}
		return s
	}
	fresh := to(0, 0, "c")
	kept := reschedule([]zones.Schedule{
		to(-time.Hour, 0, "a", "b"),
		to(-2*time.Hour, -time.Hour, "a"),
		to(-time.Hour, 0, "a"),
		to(-time.Hour, 0, "c"),
		to(-time.Hour, time.Hour, "a"),
	}, fresh, now)
	var got [][]string
	for _, s := range kept {
		var pools []string
		for _, p := range []string{"a", "b", "c"} {
			if _, ok := s.Weights[p]; ok {
				pools = append(pools, p)
			}
		}
		got = append(got, pools)
	}
	if want := [][]string{{"b"}, {"a"}, {"a"}, {"c"}}; !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("left are %v, want %v", got, want)
	}
}
