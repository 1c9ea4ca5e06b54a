package steer

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"leeward/zones"
)

// Plan is what a policy's schedule says of one of its pools.
type Plan struct {
	Pool string
	plan plan
}

// PlansOf returns the plans of the pools that a policy's schedule names, by pool.
func PlansOf(p *zones.Policy) (plans []Plan) {
	names := slices.Compact(slices.Sorted(slices.Values(p.PoolNames())))
	for i, of := range plansOf(p.Schedule, names) {
		if len(of) > 0 {
			plans = append(plans, Plan{names[i], of})
		}
	}
	return plans
}

// Level is what the pool's weight and target are multiplied by at a time; 1 is as configured.
func (p *Plan) Level(at time.Time) float64 { return p.plan.level(at.Unix()) }

// Step is a time at which a pool's level begins or ends to move, and the level that it has then. Between two steps
// it moves evenly, or stays.
type Step struct {
	At    time.Time
	Level float64
	// From is the level just before: another one only where it changes at once.
	From float64
}

// Steps returns what comes after a time, in order.
func (p *Plan) Steps(after time.Time) (steps []Step) {
	for _, at := range p.plan.borders() {
		if at > after.Unix() {
			steps = append(steps, Step{time.Unix(at, 0).UTC(), p.plan.level(at), p.plan.before(at)})
		}
	}
	return steps
}

// borders are the times at which a shift begins or ends to move, sorted.
func (p plan) borders() (all []int64) {
	for _, s := range p {
		all = append(all, s.from, s.from+s.ramp)
		if s.until != 0 {
			all = append(all, s.until-s.ramp, s.until)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// before is the level that leads up to a time: it differs from level only where the plan changes at once.
func (p plan) before(at int64) float64 {
	level := 1.
	for _, s := range p {
		done := s.reached(at)
		if s.ramp == 0 {
			done = 0
			if at > s.from && (s.until == 0 || at <= s.until) {
				done = 1
			}
		}
		level += float64((s.to - level) * done)
	}
	return level
}

// mostSteps is how many steps are put into words; a schedule may have a thousand.
const mostSteps = 4

// Words tells what a pool's level is and what comes next: "www-us at 130 % of its weight, 150 % at 14:30 UTC, back to
// 100 % tomorrow 00:00 UTC". Times are in the location of now. It is empty where the pool is as configured and nothing
// comes.
func (p *Plan) Words(now time.Time) string {
	level := p.Level(now)
	parts := []string{fmt.Sprintf("%s at %s of its weight", p.Pool, Percent(level))}
	told, more := level, 0
	move := func(to float64, at, since time.Time) {
		if !apart(told, to) {
			return
		}
		told = to
		if len(parts) > mostSteps {
			more++
			return
		}
		text := Percent(to) + " " + placed(at, now)
		if !apart(to, 1) {
			text = "back to " + text
		}
		if since.After(now) && since.Before(at) {
			text += " (from " + OnClock(since, now) + " on)"
		}
		parts = append(parts, text)
	}
	since := now // since when it has moved
	for _, s := range p.Steps(now) {
		move(s.From, s.At, since)
		move(s.Level, s.At, s.At)
		since = s.At
	}
	switch {
	case more > 0:
		parts = append(parts, fmt.Sprintf("and %d more", more))
	case len(parts) == 1 && !apart(level, 1):
		return ""
	}
	return strings.Join(parts, ", ")
}

// apart reports whether two levels differ by what can be seen.
func apart(a, b float64) bool { return math.Abs(a-b) > 1e-9 }

// Percent spells a level: "130 %", "12.5 %".
func Percent(level float64) string { return fmt.Sprintf("%g %%", math.Round(1000*level)/10) }

// placed is OnClock as the end of a sentence: "at 14:30 UTC", "tomorrow 00:00 UTC", "on 2026-12-24 08:00 CET".
func placed(at, now time.Time) string {
	text := OnClock(at, now)
	switch days(at, now) {
	case 0:
		return "at " + text
	case 1, -1:
		return text
	}
	return "on " + text
}

// OnClock spells a time as people say it, with its zone, in the location of now: "14:30 UTC", "tomorrow 00:00 UTC",
// "2026-12-24 08:00 CET".
func OnClock(at, now time.Time) string {
	at = at.In(now.Location())
	layout := "15:04 MST"
	if at.Second() != 0 {
		layout = "15:04:05 MST"
	}
	switch days(at, now) {
	case 0:
		return at.Format(layout)
	case 1:
		return "tomorrow " + at.Format(layout)
	case -1:
		return "yesterday " + at.Format(layout)
	}
	return at.Format(time.DateOnly + " " + layout)
}

// days is how many midnights are between two times, in the location of now.
func days(at, now time.Time) int {
	day := func(t time.Time) int64 {
		y, m, d := t.In(now.Location()).Date()
		return time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400
	}
	return int(day(at) - day(now))
}
