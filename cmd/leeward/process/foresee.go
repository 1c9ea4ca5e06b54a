package process

import (
	"context"

	"leeward/cmd/leeward/control"
	"leeward/server/console"
	"leeward/zones"
	"leeward/zones/steer"
)

// simulate makes a forecast for the console. The loop only copies what it knows; the rest is done here.
func (r *run) simulate(ctx context.Context, s console.Supposed) (*steer.Forecast, []string, error) {
	status, err := r.status(ctx)
	if err != nil {
		return nil, nil, err
	}
	var at *control.Foresight
	if err := r.loop.Do(ctx, func(i control.Inside) { at = i.Foresight() }); err != nil {
		return nil, nil, err
	}
	q := control.Question{Down: s.Gone, Surge: s.Surge, At: s.At}
	if s.Drained {
		q.Word = zones.Drain
	}
	f, err := at.Foresee(ctx, q, status.Servers)
	if err != nil {
		return nil, nil, err
	}
	return f.Forecast, f.Servers, nil
}
