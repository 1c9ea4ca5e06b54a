package control

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leeward/zones/steer"
)

// loadMetrics are the metrics of pools' loads, for alerts and for autoscalers. The loop updates them at most once a
// second. A scrape reads the values of a single update.
type loadMetrics struct {
	descs  map[string]*prometheus.Desc
	at     time.Time // of the last update; only the loop uses it
	pools  atomic.Pointer[[]steer.PoolStatus]
	passed atomic.Pointer[map[string]float64]
}

const loadsTaken = time.Second

func newLoadMetrics() *loadMetrics {
	m := &loadMetrics{descs: map[string]*prometheus.Desc{}}
	for name, about := range map[string]struct {
		help   string
		labels []string
	}{
		"leeward_pool_load": {
			"Load of a pool's endpoints that are up, in the unit of its capacity.", []string{"pool"},
		},
		"leeward_pool_offered": {
			"Load that a pool would have if it passed nothing on: the figure for an autoscaler.", []string{"pool"},
		},
		"leeward_pool_capacity": {
			"What a pool's endpoints that are up are to carry (target, as warm as they are), " +
				"and where they break (max).", []string{"pool", "kind"},
		},
		"leeward_pool_keep": {
			"Share of its clients that a pool keeps, 0 to 1, the mean over policies that spill.", []string{"pool"},
		},
		"leeward_pool_endpoints_wanted": {
			"Endpoints that the offered load needs: offered, divided by the mean target, rounded up.", []string{"pool"},
		},
		"leeward_policy_passed_on": {
			"Share of a policy's load that its pools pass on, 0 to 1, of the load offered to them.", []string{"policy"},
		},
	} {
		m.descs[name] = prometheus.NewDesc(name, about.help, about.labels, nil)
	}
	return m
}

// take reads all pools, in the loop's goroutine.
func (m *loadMetrics) take(l *Loop) {
	now := l.o.Now()
	if l.view == nil || l.snapshot == nil || now.Sub(m.at) < loadsTaken && !now.Before(m.at) {
		return
	}
	m.at = now
	if len(l.gauges.pools) == 0 && m.pools.Load() == nil {
		return // no pool has a load
	}
	keep := l.keeping(now)
	var pools []steer.PoolStatus
	by := map[int32]*steer.LoadStatus{}
	for _, p := range l.view.Pools() {
		if p.Loads != nil {
			p.Loads.Keep = keep(&p)
			pools, by[p.Number] = append(pools, p), p.Loads
		}
	}
	passed := map[string]float64{}
	for _, p := range l.snapshot.Sharing() {
		if !p.Spills() {
			continue
		}
		var offered, kept float64
		for _, n := range p.Pools() {
			if s := by[n]; s != nil && s.Offered.Known {
				share, _ := p.Keep(l.view, n, now.Unix())
				offered, kept = offered+s.Offered.Value, kept+share*s.Offered.Value
			}
		}
		passed[p.Name] = 0
		if offered > 0 {
			passed[p.Name] = 1 - kept/offered
		}
	}
	m.pools.Store(&pools)
	m.passed.Store(&passed)
}

// Describe implements prometheus.Collector.
func (m *loadMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range m.descs {
		to <- d
	}
}

// Collect implements prometheus.Collector. It leaves out what nobody knows.
func (m *loadMetrics) Collect(to chan<- prometheus.Metric) {
	say := func(name string, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(m.descs[name], prometheus.GaugeValue, value, labels...)
	}
	if pools := m.pools.Load(); pools != nil {
		for _, p := range *pools {
			s := p.Loads
			if s.Load.Known {
				say("leeward_pool_load", s.Load.Value, p.Pool)
			}
			if s.Offered.Known {
				say("leeward_pool_offered", s.Offered.Value, p.Pool)
			}
			if s.Target > 0 {
				say("leeward_pool_capacity", s.Target, p.Pool, "target")
			}
			if s.Max > 0 {
				say("leeward_pool_capacity", s.Max, p.Pool, "max")
			}
			if s.Wanted > 0 {
				say("leeward_pool_endpoints_wanted", float64(s.Wanted), p.Pool)
			}
			say("leeward_pool_keep", s.Keep, p.Pool)
		}
	}
	if passed := m.passed.Load(); passed != nil {
		for name, share := range *passed {
			say("leeward_policy_passed_on", share, name)
		}
	}
}
