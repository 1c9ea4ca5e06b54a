package process

import (
	"context"
	"fmt"
	"time"

	"leeward/cmd/leeward/control"
	"leeward/health"
	"leeward/health/probe"
	"leeward/zones/steer"
)

// openProber makes the prober, unless this process does not probe.
func (r *run) openProber() error {
	if r.NoProbe {
		return nil
	}
	if r.ProbeTLS.Cert != "" {
		own, err := ReadPair(r.ProbeTLS.Cert, r.ProbeTLS.Key)
		if err != nil {
			return fmt.Errorf("the certificate that probes show (%s, %s): %w", r.ProbeTLS.Cert, r.ProbeTLS.Key, err)
		}
		r.shown.Store(&own)
		r.presented(useProbe, "probes", r.ProbeTLS.Cert, &own, nil)
	}
	var err error
	r.prober, err = probe.New(probe.Options{
		Concurrency: r.shares().probes, Vantage: r.ID, Log: r.Log, Registerer: r.registry, OnReport: r.report,
		Certificate: r.shown.Load,
		OnLoads:     func(ss []health.Sample) { r.loop.Loads(ss) },
	})
	return err
}

// report passes this vantage's findings to its own board and to the other vantages.
func (r *run) report(rs []health.Report) {
	r.metrics.Detected(rs)
	r.loop.Report(rs)
	if r.link != nil {
		r.link.Report(rs)
	}
}

// assign leaves the newest program for assigning to take up. It does not block.
func (r *run) assign(p *steer.Program) {
	select {
	case <-r.programs: // older, and not taken up
	default:
	}
	r.programs <- p
}

// assignShare bounds what a flood of changes costs here: assigning takes at most one part in assignShare of the time.
// It looks at all targets, perhaps 100,000. Answers do not wait for it.
const (
	assignShare = 10
	assignRest  = 5 * time.Second // but it rests no longer than this, even on a busy machine
)

// assigning tells the link and then the prober what this vantage is to probe.
func (r *run) assigning(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-r.programs:
			as := p.Assignments()
			if r.loop.Do(ctx, func(i control.Inside) { as = i.Mine(as) }) != nil {
				return
			}
			began := time.Now()
			if r.link != nil {
				r.link.Assign(as)
			}
			if r.prober != nil {
				r.prober.Assign(as)
			}
			r.names.Assign(p.Hostnames())
			r.assigned.Store(true)
			rest := time.NewTimer(min(time.Since(began)*(assignShare-1), assignRest))
			select {
			case <-rest.C:
			case <-ctx.Done():
			}
			rest.Stop()
		}
	}
}
