package process

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leeward/cmd/leeward/control"
	"leeward/server/admin"
	"leeward/zones/steer"
)

// opened watches which policies have no pool for some clients, for the log and for alerts. It looks when answers may
// have changed, outside the loop, and at most once every openEvery: a region that fails takes many turns of the loop.
type opened struct {
	changed chan struct{} // holds one token when answers may have changed
	now     atomic.Pointer[poolless]
	desc    *prometheus.Desc // policies that fail open
	denying *prometheus.Desc // policies that do not
}

// poolless are the policies that have no pool for some clients, by name.
type poolless struct {
	open   []string
	denied []admin.Denied
}

const (
	openEvery = time.Second
	// mostOpen is how many policies each metric names, and mostOpenTold how many the log names at a time.
	mostOpen     = 1000
	mostOpenTold = 20
)

func newOpened() *opened {
	return &opened{
		changed: make(chan struct{}, 1),
		desc: prometheus.NewDesc("leeward_policy_failing_open",
			"1 for each policy that answers some clients as if all its pools were healthy, because none is; absent "+
				"otherwise.",
			[]string{"policy"}, nil),
		denying: prometheus.NewDesc("leeward_policy_denying",
			"1 for each policy that answers some clients by its whenAllDown (NODATA, SERVFAIL), because none of its "+
				"pools is available; absent otherwise.",
			[]string{"policy", "says"}, nil),
	}
}

// published notes that answers may have changed. The loop calls it, so it does not wait.
func (o *opened) published() {
	select {
	case o.changed <- struct{}{}:
	default:
	}
}

func (o *opened) Describe(c chan<- *prometheus.Desc) { c <- o.desc; c <- o.denying }

func (o *opened) Collect(c chan<- prometheus.Metric) {
	now := o.now.Load()
	if now == nil {
		return
	}
	for _, name := range now.open[:min(len(now.open), mostOpen)] {
		c <- prometheus.MustNewConstMetric(o.desc, prometheus.GaugeValue, 1, name)
	}
	for _, d := range now.denied[:min(len(now.denied), mostOpen)] {
		c <- prometheus.MustNewConstMetric(o.denying, prometheus.GaugeValue, 1, d.Policy, d.Says)
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
		open, denied := control.WithoutPool(r.loop.State())
		o.tell(r.Log, poolless{open, denied})
		rest.Reset(openEvery)
	}
}

// tell logs what has changed since the last look.
func (o *opened) tell(log *slog.Logger, now poolless) {
	var before poolless
	if last := o.now.Swap(&now); last != nil {
		before = *last
	}
	o.began(log, without(now.open, before.open), len(now.open), "a policy fails open: no pool is available to some "+
		"clients, which are answered as if all were healthy")
	for _, says := range []string{steer.SaysNoData.String(), steer.SaysServFail.String()} {
		was, is := saying(before.denied, says), saying(now.denied, says)
		o.began(log, without(is, was), len(is), "a policy has no available pool for some clients, who get "+
			says+" (whenAllDown)")
	}
	was, is := before.names(), now.names()
	ended := without(was, is)
	for _, name := range ended[:min(len(ended), mostOpenTold)] {
		log.Info("a policy has an available pool again, or is gone", "policy", name)
	}
	if len(ended) > mostOpenTold {
		log.Info("more policies have an available pool again", "more", len(ended)-mostOpenTold, "without a pool",
			len(is))
	}
}

func (o *opened) began(log *slog.Logger, began []string, all int, text string) {
	for _, name := range began[:min(len(began), mostOpenTold)] {
		log.Warn(text, "policy", name)
	}
	if len(began) > mostOpenTold {
		log.Warn("more policies have no available pool", "more", len(began)-mostOpenTold, "all", all)
	}
}

// saying returns the policies that are denied with this answer, by name.
func saying(denied []admin.Denied, says string) (names []string) {
	for _, d := range denied {
		if d.Says == says {
			names = append(names, d.Policy)
		}
	}
	return names
}

// names returns all the policies, by name.
func (p *poolless) names() []string {
	all := slices.Clone(p.open)
	for _, d := range p.denied {
		all = append(all, d.Policy)
	}
	slices.Sort(all)
	return all
}

// without returns those of a that are not in b. Both are sorted.
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
