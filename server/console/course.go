package console

import (
	"math"
	"time"

	"leeward/server/admin"
)

// Course is what some pools have carried together, and what this server has answered with them. A value that was not
// observed is NaN.
type Course struct {
	Times   []time.Time // ascending
	Load    []float64   // in the unit of their capacity; NaN while not all of it is known
	Target  []float64
	Answers []float64 // per second, since the time before
	Left    int       // number of pools whose course is not kept
}

// coursed is a Course as a screen shows it.
type coursed struct {
	Load, Answers *lineChart
	Since         time.Time
	Left          int
}

// courses draws what the pools have carried. It returns nil if nobody records it.
func (c *console) courses(pools []admin.Pool) *coursed {
	if c.Loads == nil || len(pools) == 0 {
		return nil
	}
	var names []string
	for i := range pools {
		names = append(names, pools[i].Pool)
	}
	of := c.Loads(names)
	out := &coursed{Left: of.Left}
	if len(of.Times) == 0 {
		return out
	}
	out.Since = of.Times[0]
	var x []float64
	for _, t := range of.Times {
		x = append(x, t.Sub(out.Since).Seconds())
	}
	last := of.Times[len(of.Times)-1]
	when := func(s float64) string {
		at := out.Since.Add(time.Duration(s * float64(time.Second))).UTC()
		if at.YearDay() != last.UTC().YearDay() {
			return at.Format("2 January 15:04 UTC")
		}
		if last.Sub(out.Since) < 10*time.Minute {
			return at.Format("15:04:05 UTC")
		}
		return at.Format("15:04 UTC")
	}
	target := of.Target
	for _, v := range of.Load {
		if !math.IsNaN(v) {
			out.Load = plot("Load", "", x, []Line{{"load", of.Load}, {"target", target}}, 0, when)
			break
		}
	}
	out.Answers = plot("Answers a second of this server", "", x, []Line{{"answers", of.Answers}}, 0, when)
	return out
}
