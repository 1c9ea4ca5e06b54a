package process

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leeward/cmd/leeward/control"
)

// opened watches which policies fail open, for the log and for alerts. It looks when answers may have changed, aside
// from the loop, and once in openEvery at most: a region that fails is many turns.
type opened struct {
	changed chan struct{} // has a token when answers may have changed
	names   atomic.Pointer[[]string]
	desc    *prometheus.Desc
}

const (
	openEvery = time.Second
	// mostOpen is how many policies the metric names, and mostOpenTold how many the log does at a time.
	mostOpen     = 1000
	mostOpenTold = 20
)

func newOpened() *opened {
	return &opened{
		changed: make(chan struct{}, 1),
		desc: prometheus.NewDesc("leeward_policy_failing_open",
			"1 for each policy of which some clients are answered as if all its pools were healthy, as none is; not "+
				"there otherwise.",
			[]string{"policy"}, nil),
	}
}

// published says that answers may have changed. The loop calls it, so it does not wait.
func (o *opened) published() {
	select {
	case o.changed <- struct{}{}:
	default:
	}
}

func (o *opened) Describe(c chan<- *prometheus.Desc) { c <- o.desc }

func (o *opened) Collect(c chan<- prometheus.Metric) {
	names := o.names.Load()
	if names == nil {
		return
	}
	for _, name := range (*names)[:min(len(*names), mostOpen)] {
		c <- prometheus.MustNewConstMetric(o.desc, prometheus.GaugeValue, 1, name)
	}
}

// run looks until the context ends.
func (o *opened) run(ctx context.Context, r *run) {
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-rest.C:
		}
		select {
		case <-ctx.Done():
			return
		case <-o.changed:
		}
		o.tell(r.Log, control.FailingOpen(r.loop.State()))
		rest.Reset(openEvery)
	}
}

// tell logs what has changed since it looked last.
func (o *opened) tell(log *slog.Logger, now []string) {
	var before []string
	if last := o.names.Swap(&now); last != nil {
		before = *last
	}
	began, ended := without(now, before), without(before, now)
	for _, name := range began[:min(len(began), mostOpenTold)] {
		log.Warn("a policy fails open: no pool is available to some clients, who get all addresses or what its "+
			"whenAllDown says", "policy", name)
	}
	if len(began) > mostOpenTold {
		log.Warn("more policies fail open", "more", len(began)-mostOpenTold, "all", len(now))
	}
	for _, name := range ended[:min(len(ended), mostOpenTold)] {
		log.Info("a policy has an available pool again, or is gone", "policy", name)
	}
	if len(ended) > mostOpenTold {
		log.Info("more policies have an available pool again", "more", len(ended)-mostOpenTold, "failing open",
			len(now))
	}
}

// without returns what of a is not in b. Both are sorted.
func without(a, b []string) (left []string) {
	for _, x := range a {
		for len(b) > 0 && b[0] < x {
			b = b[1:]
		}
		if len(b) == 0 || b[0] != x {
			left = append(left, x)
		}
	}
	return left
}
