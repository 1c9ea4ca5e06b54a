package steer

import (
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"leeward/health"
	"leeward/zones"
)

// planTime is noon of a day without a change of clocks.
var planTime = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

func policyOf(ss ...zones.Schedule) *zones.Policy {
	return &zones.Policy{
		Name: "www.example.test", Schedule: ss,
		Rules: []zones.Rule{{Nearest: []string{"www-eu", "www-us"}}},
	}
}

// levelOf is the schedule's meaning a second time, in exact numbers and from the resource. The shifts that name the
// pool apply in the order in which they begin. Each moves the level towards its own, as far as it has got.
func levelOf(p *zones.Policy, pool string, at time.Time) float64 {
	level := big.NewRat(1, 1)
	ss := slices.Clone(p.Schedule)
	slices.SortStableFunc(ss, func(a, b zones.Schedule) int { return a.From.Compare(b.From) })
	for _, s := range ss {
		to, ok := s.Weights[pool]
		if !ok || at.Before(s.From) || !s.Until.IsZero() && !at.Before(s.Until) {
			continue
		}
		done := big.NewRat(1, 1)
		ramp := big.NewRat(int64(s.Ramp.Std()), 1)
		part := func(since time.Duration) {
			if since < s.Ramp.Std() {
				if got := new(big.Rat).Quo(big.NewRat(int64(since), 1), ramp); got.Cmp(done) < 0 {
					done = got
				}
			}
		}
		part(at.Sub(s.From))
		if !s.Until.IsZero() {
			part(s.Until.Sub(at))
		}
		way := new(big.Rat).Sub(big.NewRat(int64(to), 100), level)
		level.Add(level, way.Mul(way, done))
	}
	f, _ := level.Float64()
	return f
}

// TestPlanLevel compares the level of a plan with its meaning, at and beside each border of each shift, and at random
// times.
func TestPlanLevel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := policyOf()
		var times []time.Time
		for range rapid.IntRange(0, 5).Draw(t, "shifts") {
			from := planTime.Add(time.Duration(rapid.IntRange(-20, 20).Draw(t, "from")) * time.Second)
			s := zones.Schedule{From: from, Weights: map[string]zones.Percent{}}
			ramp := rapid.IntRange(0, 10).Draw(t, "ramp")
			s.Ramp = health.Duration(time.Duration(ramp) * time.Second)
			if rapid.Bool().Draw(t, "ends") {
				s.Until = from.Add(time.Duration(max(2*ramp, 1)+rapid.IntRange(0, 10).Draw(t, "longer")) * time.Second)
			}
			for _, pool := range []string{"www-eu", "www-us"} {
				if rapid.Bool().Draw(t, pool) {
					s.Weights[pool] = zones.Percent(rapid.SampledFrom([]int{0, 1, 50, 99, 100, 101, 300, 1000}).Draw(t,
						"to"))
				}
			}
			p.Schedule = append(p.Schedule, s)
			for _, at := range []time.Time{from, from.Add(s.Ramp.Std()), s.Until, s.Until.Add(-s.Ramp.Std())} {
				if at.Year() > 1 {
					times = append(times, at.Add(-time.Second), at, at.Add(time.Second))
				}
			}
		}
		times = append(times, planTime.Add(time.Duration(rapid.IntRange(-60, 60).Draw(t, "at"))*time.Second))
		plans := map[string]plan{}
		for _, of := range PlansOf(p) {
			plans[of.Pool] = of.plan
		}
		for _, pool := range []string{"www-eu", "www-us"} {
			for _, at := range times {
				got, want := plans[pool].level(at.Unix()), levelOf(p, pool, at)
				if math.Abs(got-want) > 1e-9 {
					t.Fatalf("%s at %+ds: level %v, its meaning is %v; of %+v", pool, at.Unix()-planTime.Unix(), got,
						want, p.Schedule)
				}
				if got < 0 || got > 10 {
					t.Fatalf("%s: level %v", pool, got)
				}
			}
			// Between two borders a level moves in one direction, so words and previews that name borders are complete.
			for i, steps := 1, (&Plan{pool, plans[pool]}).Steps(time.Time{}); i < len(steps); i++ {
				if steps[i].At.Unix()-steps[i-1].At.Unix() == 1 {
					continue
				}
				if just := plans[pool].level(steps[i].At.Unix() - 1); len(p.Schedule) == 1 &&
					!between(just, steps[i-1].Level, steps[i].From) {
					t.Fatalf("%s: %v is not between %v and %v", pool, just, steps[i-1].Level, steps[i].From)
				}
			}
		}
	})
}

func between(x, a, b float64) bool { return x >= min(a, b)-1e-9 && x <= max(a, b)+1e-9 }

func TestPlanWords(t *testing.T) {
	at := func(s string) time.Time {
		t.Helper()
		v, err := time.Parse(time.DateTime, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	shift := func(from, until string, ramp time.Duration, to zones.Percent) zones.Schedule {
		s := zones.Schedule{
			From: at(from), Ramp: health.Duration(ramp),
			Weights: map[string]zones.Percent{"www-us": to},
		}
		if until != "" {
			s.Until = at(until)
		}
		return s
	}
	day := shift("2026-11-27 11:30:00", "2026-11-28 00:00:00", time.Hour, 150)
	for _, tt := range []struct {
		name, now string
		shifts    []zones.Schedule
		want      string
	}{
		{
			"rising", "2026-11-27 12:06:00",
			[]zones.Schedule{day},
			"www-us at 130 % of its weight, 150 % at 12:30 UTC, back to 100 % tomorrow 00:00 UTC (from 23:00 UTC on)",
		},
		{
			"there", "2026-11-27 12:30:00",
			[]zones.Schedule{day},
			"www-us at 150 % of its weight, back to 100 % tomorrow 00:00 UTC (from 23:00 UTC on)",
		},
		{
			"falling", "2026-11-27 23:30:00",
			[]zones.Schedule{day},
			"www-us at 125 % of its weight, back to 100 % tomorrow 00:00 UTC",
		},
		{"to come", "2026-11-20 12:00:00", []zones.Schedule{day}, "www-us at 100 % of its weight, 150 % on " +
			"2026-11-27 12:30 UTC (from 2026-11-27 11:30 UTC on), back to 100 % on 2026-11-28 00:00 UTC (from " +
			"2026-11-27 23:00 UTC on)"},
		{"over", "2026-11-28 00:00:00", []zones.Schedule{day}, ""},
		{
			"for good", "2026-11-28 00:00:00",
			[]zones.Schedule{shift("2026-11-27 00:00:00", "", 0, 10)},
			"www-us at 10 % of its weight",
		},
		{
			"at once and back", "2026-11-27 12:00:00",
			[]zones.Schedule{shift("2026-11-27 13:00:00", "2026-11-27 13:00:30", 0, 0)},
			"www-us at 100 % of its weight, 0 % at 13:00 UTC, back to 100 % at 13:00:30 UTC",
		},
		{"nothing", "2026-11-27 12:00:00", []zones.Schedule{shift("2026-11-27 13:00:00", "", time.Hour, 100)}, ""},
		{"many", "2026-11-27 12:00:00", []zones.Schedule{
			shift("2026-11-27 13:00:00", "", 0, 10), shift("2026-11-27 14:00:00", "", 0, 20),
			shift("2026-11-27 15:00:00", "", 0, 30),
			shift("2026-11-27 16:00:00", "", 0, 40), shift("2026-11-27 17:00:00", "", 0, 50),
			shift("2026-11-27 18:00:00", "", 0, 60),
		}, "www-us at 100 % of its weight, 10 % at 13:00 UTC, 20 % at 14:00 UTC, 30 % at 15:00 UTC, 40 % at 16:00 " +
			"UTC, and 2 more"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var all []string
			for _, p := range PlansOf(policyOf(tt.shifts...)) {
				if text := p.Words(at(tt.now)); text != "" {
					all = append(all, text)
				}
			}
			if got := strings.Join(all, "; "); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}
