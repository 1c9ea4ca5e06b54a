package steer

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"leeward/zones"
)

// Plan is a policy's schedule for one of its pools.
type Plan struct {
	Pool string
	plan plan
}

// PlansOf returns the plans of all pools that a policy's schedule names, in the order of their names.
func PlansOf(p *zones.Policy) (plans []Plan) {
	names := slices.Compact(slices.Sorted(slices.Values(p.PoolNames())))
	for i, of := range plansOf(p.Schedule, names) {
		if len(of) > 0 {
			plans = append(plans, Plan{names[i], of})
		}
	}
	return plans
}

// Level returns the factor of the pool's weight and target at a time. It is 1 if the pool is as configured.
func (p *Plan) Level(at time.Time) float64 { return p.plan.level(at.Unix()) }

// Step is a time at which a pool's level starts or stops moving, and its level then. Between two steps the level moves
// evenly or stays.
type Step struct {
	At    time.Time
	Level float64
	// From is the level just before. It differs from Level only if the level jumps.
	From float64
}

// Steps returns the steps after a time, in order.
func (p *Plan) Steps(after time.Time) (steps []Step) {
	for _, at := range p.plan.borders() {
		if at > after.Unix() {
			steps = append(steps, Step{time.Unix(at, 0).UTC(), p.plan.level(at), p.plan.before(at)})
		}
	}
	return steps
}

// borders returns the times at which a shift starts or stops moving, sorted.
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

// before returns the level just before a time. It differs from level only if the plan jumps there.
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

// mostSteps is how many steps Words lists. A schedule may have a thousand.
const mostSteps = 4

// Words describes a pool's level and what comes next: "www-us at 130 % of its weight, 150 % at 14:30 UTC, back to 100 %
// tomorrow 00:00 UTC". Times are in the location of now. It returns "" if the pool is as configured and nothing is to
// come.
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
	since := now // when it started moving
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

// apart reports whether two levels differ visibly.
func apart(a, b float64) bool { return math.Abs(a-b) > 1e-9 }

// Percent formats a level: "130 %", "12.5 %".
func Percent(level float64) string { return fmt.Sprintf("%g %%", math.Round(1000*level)/10) }

// placed formats a time for the end of a sentence: "at 14:30 UTC", "tomorrow 00:00 UTC", "on 2026-12-24 08:00 CET".
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

// OnClock formats a time with its zone, in the location of now: "14:30 UTC", "tomorrow 00:00 UTC", "2026-12-24 08:00
// CET".
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

// days returns how many midnights lie between now and at, in the location of now. It is negative if at is earlier.
func days(at, now time.Time) int {
	day := func(t time.Time) int64 {
		y, m, d := t.In(now.Location()).Date()
		return time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400
	}
	return int(day(at) - day(now))
}
