package process

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"leeward/zones/steer"
)

// A ring has what was noted, whatever it has forgotten. Each moment that is left has its value of that time, moments
// ascend, and there are never more than allowed.
func TestLoads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLoads()
		began := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
		looks := rapid.IntRange(1, 5000).Draw(t, "looks")
		joins := rapid.IntRange(0, looks).Draw(t, "when the pool comes")
		for i := range looks {
			now := began.Add(time.Duration(i) * loadsFirst)
			if !l.due(now) {
				continue
			}
			n := len(l.times)
			if n == loadsMost {
				l.forget()
				n = len(l.times)
			}
			l.times = append(l.times, now)
			if i < joins {
				continue
			}
			if l.of["www"] == nil {
				l.of["www"] = &carried{}
			}
			p := steer.PoolStatus{Loads: &steer.LoadStatus{}}
			l.of["www"].note(n, p, uint64(30*i))
		}
		if len(l.times) > loadsMost || l.every > loadsLast {
			t.Fatalf("%d moments, %v apart", len(l.times), l.every)
		}
		c := l.course([]string{"www", "other"})
		for i := range c.Times {
			if i > 0 && !c.Times[i].After(c.Times[i-1]) {
				t.Fatalf("moment %d is at %v after %v", i, c.Times[i], c.Times[i-1])
			}
			if first := began.Add(time.Duration(joins) * loadsFirst); i > 0 && c.Times[i-1].After(first) &&
				math.Abs(c.Answers[i]-3) > 1e-9 {
				t.Fatalf("moment %d: %v answers a second, want 3", i, c.Answers[i])
			}
		}
		if last := began.Add(time.Duration(looks-1) * loadsFirst); len(l.times) > 0 &&
			last.Sub(l.times[len(l.times)-1]) > l.every {
			t.Fatalf("the last moment is %v, looked last at %v", l.times[len(l.times)-1], last)
		}
	})
}
