package drill

import (
	"context"
	"math"
	"time"

	"leeward/server/console"
	"leeward/zones/etcd"
)

// Shown returns the history as the console shows it, the newest first. If some reports cannot be read, it returns the
// others and an error that names those.
func Shown(ctx context.Context, c *etcd.Cluster) ([]console.Drill, error) {
	reports, err := History{Etcd: c}.List(ctx)
	if reports == nil {
		return nil, err
	}
	all := make([]console.Drill, 0, len(reports))
	for _, r := range reports {
		all = append(all, r.shown(time.Now()))
	}
	return all, err
}

func (r *Report) shown(now time.Time) console.Drill {
	outcome := r.Settled(now)
	d := console.Drill{
		ID: r.ID, Target: r.Target, By: r.By, Outcome: string(outcome), Well: outcome == Succeeded,
		Ended: outcome != Running, From: r.From, Headline: r.Headline(now), Facts: r.Facts(),
		Seconds: r.Course.Seconds,
	}
	for _, p := range r.Rows() {
		d.Pools = append(d.Pools, console.DrillPool{
			Pool: p.Pool, Region: p.Region, Away: p.Away, Before: p.Before, Foretold: p.Foretold, Most: p.Most,
			Target: p.Target, Max: p.Max, Lost: p.Lost,
		})
	}
	for _, e := range r.Events {
		d.Events = append(d.Events, console.DrillEvent{Seconds: r.Seconds(e.At), Text: e.Text})
	}
	names, of := r.Course.regions()
	for _, name := range names {
		line := console.Line{Name: name}
		for _, v := range of[name] {
			if v < 0 {
				v = math.NaN() // it was not observed
			}
			line.Values = append(line.Values, v)
		}
		d.Course = append(d.Course, line)
	}
	return d
}
