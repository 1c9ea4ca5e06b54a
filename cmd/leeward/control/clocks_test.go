package control

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// clocksOf plays heartbeats of other vantages, one a second, whose clocks are ahead by the given times. Each heartbeat
// arrives late by the next of delays.
func clocksOf(now time.Time, seconds int, ahead map[string]time.Duration, delays ...time.Duration) *clocks {
	c := &clocks{}
	for s := range seconds {
		at := now.Add(time.Duration(s-seconds+1) * time.Second)
		for name, by := range ahead {
			c.heard(name, at.Add(by-delays[s%len(delays)]), at)
		}
	}
	return c
}

func TestClocks(t *testing.T) {
	now := time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)
	const ms = time.Millisecond
	for _, tt := range []struct {
		name   string
		own    string
		ahead  map[string]time.Duration
		delays []time.Duration
		want   string
		figure float64       // to a tenth
		others time.Duration // by how much most others are ahead of own
		agree  int           // how many others are
	}{
		{
			"all agree", "fra",
			map[string]time.Duration{"nyc": 300 * ms, "sin": -300 * ms},
			[]time.Duration{50 * ms},
			"",
			0, -300 * ms, 2,
		},
		{
			"slow for a while", "fra",
			map[string]time.Duration{"nyc": 0, "sin": 0},
			[]time.Duration{9 * time.Second, 80 * ms},
			"", 0.1, -80 * ms, 2,
		},
		{
			"own is ahead", "fra",
			map[string]time.Duration{"nyc": -3 * time.Second, "sin": -3 * time.Second},
			[]time.Duration{0},
			"fra: its clock is 3.0s ahead of the others'", 3, -3 * time.Second, 2,
		},
		{
			"own is an hour behind", "fra",
			map[string]time.Duration{"nyc": time.Hour, "sin": time.Hour},
			[]time.Duration{0},
			"fra: its clock is 60m behind the others'", -3600, time.Hour, 2,
		},
		{
			"another is behind", "fra",
			map[string]time.Duration{"nyc": -1200 * ms, "sin": 0},
			[]time.Duration{0},
			"nyc: its clock is 1.2s behind the others'", 0, 0, 0,
		},
		{
			"two, and who is right", "fra",
			map[string]time.Duration{"nyc": 5 * time.Second},
			[]time.Duration{0},
			"fra: clocks differ, and no more than half agree: fra +0.0s, nyc +5.0s", 0, 5 * time.Second, 1,
		},
		{
			"two against two", "fra",
			map[string]time.Duration{"ams": 0, "nyc": 5 * time.Second, "sin": 5 * time.Second},
			[]time.Duration{0},
			"ams: clocks differ", 0, 5 * time.Second, 2,
		},
		{
			"looked at from outside", "",
			map[string]time.Duration{"ams": time.Hour, "nyc": time.Hour, "sin": 0},
			[]time.Duration{0},
			"sin: its clock is 60m behind the others'", 0, time.Hour, 2,
		},
		{"alone", "fra", nil, []time.Duration{0}, "", 0, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := clocksOf(now, 100, tt.ahead, tt.delays...)
			got := ""
			for _, p := range c.problems(tt.own, now) {
				got += strings.TrimPrefix(p.Resource, "vantages/") + ": " + p.Message + "\n"
			}
			if !strings.HasPrefix(got, tt.want) || strings.Count(got, "\n") != min(len(tt.want), 1) {
				t.Errorf("said %q, want %q", got, tt.want)
			}
			if ahead, n := c.others(now); n != tt.agree || n > 0 && (ahead-tt.others).Abs() > 100*ms {
				t.Errorf("the others are %v ahead, say %d", ahead, n)
			}
			if got, want := fmt.Sprintf("%.1f", c.figure(tt.own, now)), fmt.Sprintf("%.1f", tt.figure); got != want {
				t.Errorf("the metric is %s, want %s", got, want)
			}
		})
	}
}

// A clock that is set right is forgiven within the window, and a silent one is forgotten.
func TestClocksForget(t *testing.T) {
	now := time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)
	c := clocksOf(now, 100, map[string]time.Duration{"nyc": time.Hour, "sin": 0}, 0)
	problems := func(at time.Time) int { return len(c.problems("fra", at)) }
	if problems(now) != 1 {
		t.Fatal("an hour ahead, and nothing is said")
	}
	for s := range 2 * int(clockHalf/time.Second) {
		at := now.Add(time.Duration(s+1) * time.Second)
		c.heard("nyc", at, at)
		c.heard("sin", at, at)
	}
	now = now.Add(2 * clockHalf)
	if n := problems(now); n != 0 {
		t.Errorf("%d problems a window after the clock was set right", n)
	}
	if c.heard("nyc", now.Add(time.Hour), now); problems(now) != 1 {
		t.Error("a clock that jumps ahead is not said at once")
	}
	if n := problems(now.Add(2 * clockHalf)); n != 0 || len(c.of) != 0 {
		t.Errorf("%d problems with the silent", n)
	}
}
