package drill

import (
	"fmt"
	"time"

	"leeward/cmd/leeward/screen"
	"leeward/server/admin"
)

// Headline is the report in one sentence.
func (r *Report) Headline(now time.Time) string {
	switch r.Settled(now) {
	case Unfit:
		return fmt.Sprintf("The drill of %s did not start: %s.", r.Target, r.Why)
	case Succeeded:
		return fmt.Sprintf("The drill of %s succeeded: for %s its clients were served elsewhere%s.", r.Target,
			span(r.Until.Sub(r.From)), r.load())
	case Failed:
		return fmt.Sprintf("The drill of %s failed after %s: %s. It was called off at once.", r.Target,
			span(r.Ended.Sub(r.From)), r.Why)
	case Running:
		return fmt.Sprintf("The drill of %s is running, until %s.", r.Target, clock(r.Until))
	}
	if r.Outcome == Running {
		return fmt.Sprintf("The drill of %s was interrupted: the process that ran it died, and the drill ended by "+
			"itself.", r.Target)
	}
	return fmt.Sprintf("The drill of %s was interrupted after %s: %s.", r.Target, span(r.Ended.Sub(r.From)), r.Why)
}

// load says what the fullest pool other than the target's carried.
func (r *Report) load() string {
	name, full := "", 0.
	for _, p := range r.Course.Pools {
		if v, ok := most(p.Load); ok && !p.Away && p.Max > 0 && v/p.Max > full {
			name, full = p.Pool, v/p.Max
		}
	}
	if name == "" {
		return ""
	}
	return fmt.Sprintf(", and %s, the fullest pool, carried %.0f %% of its max at most", name, full*100)
}

// Facts returns the report's facts, each with its name.
func (r *Report) Facts() (facts [][2]string) {
	add := func(what, format string, args ...any) {
		facts = append(facts, [2]string{what, fmt.Sprintf(format, args...)})
	}
	add("target", "%s", r.Target)
	if r.Reason != "" {
		add("reason", "%s", r.Reason)
	}
	add("run by", "%s", r.By)
	add("time", "%s to %s", r.From.UTC().Format(time.DateOnly+" 15:04:05"), clock(r.Until))
	if r.Ramp > 0 {
		add("ramp", "%s to lose clients, and to get them back", span(time.Duration(r.Ramp*float64(time.Second))))
	}
	for _, d := range r.Doubts {
		add("overridden", "%s (--force)", d)
	}
	for _, n := range r.Course.Names {
		last, back, gone := n.seen(&r.Course)
		switch {
		case len(n.Away) == 0 || !gone && last < 0:
			continue
		case !gone:
			add("seen by "+n.Resolver, "%s: the target was named all the time", n.Name)
		case last < 0:
			add("seen by "+n.Resolver, "%s: the target was never named", n.Name)
		case back < 0:
			add("seen by "+n.Resolver, "%s: named until %+.0f s, and not again", n.Name, last)
		default:
			add("seen by "+n.Resolver, "%s: named until %+.0f s, again from %+.0f s", n.Name, last, back)
		}
	}
	return facts
}

// Row is one pool in figures.
type Row struct {
	Pool, Region                              string
	Away                                      bool
	Foretold, Before, Most, Target, Max, Lost string
}

// Rows returns a row for each pool: what was foretold, and what came.
func (r *Report) Rows() (rows []Row) {
	for _, p := range r.Course.Pools {
		row := Row{
			Pool: p.Pool, Region: p.Region, Away: p.Away, Foretold: "–", Before: "–", Most: "–",
			Target: figure(p.Target), Max: figure(p.Max), Lost: "none",
		}
		if r.Preflight != nil {
			for _, f := range r.Preflight.Pools {
				if f.Pool == p.Pool && f.Measured {
					row.Foretold = admin.Figure(f.Then) + " ± " + screen.Margin(f.Error)
				}
			}
		}
		if len(p.Load) > 0 && p.Load[0] >= 0 {
			row.Before = admin.Figure(p.Load[0])
		}
		if v, ok := most(p.Load); ok {
			row.Most = admin.Figure(v)
		}
		if first, least := bounds(p.Up); first > least {
			row.Lost = fmt.Sprintf("%.0f of %.0f", first-least, first)
		}
		rows = append(rows, row)
	}
	return rows
}

// bounds returns the first and the least value of a series, -1 if there is none.
func bounds(s []float64) (first, least float64) {
	first, least = -1, -1
	for _, v := range s {
		if v < 0 {
			continue
		}
		if first < 0 {
			first, least = v, v
		}
		least = min(least, v)
	}
	return first, least
}

func figure(v float64) string {
	if v == 0 {
		return "–"
	}
	return admin.Figure(v)
}

// span spells how long a drill, or a part of it, lasted.
func span(d time.Duration) string { return screen.Span(max(d, 0).Round(time.Second)) }
