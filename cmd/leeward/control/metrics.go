package control

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leeward/health"
	"leeward/zones"
)

// Metrics are the metrics of a control loop. Methods of a nil *Metrics do nothing.
type Metrics struct {
	revision, problems, held prometheus.Gauge
	source                   *prometheus.GaugeVec
	down, targets            *prometheus.GaugeVec
	publishSeconds           prometheus.Histogram
	failovers                *failovers
	votesStale, verdictStale prometheus.Gauge
	unwatched, clock         prometheus.Gauge
	drillsGivenUp            prometheus.Counter
	loads                    *loadMetrics
	stale                    atomic.Pointer[time.Time] // since when the snapshot may be stale; nil: it is the newest

	regions map[health.Target]string // of the targets assigned
	isDown  map[health.Target]bool
	numbers map[string]*[2]int // by region: how many targets are down, and how many there are
}

// NewMetrics registers the metrics. version is that of the program; now is the clock for ages.
func NewMetrics(r prometheus.Registerer, version string, now func() time.Time) (*Metrics, error) {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	vector := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	build := vector("leeward_build_info", "1, with the program's version.", "version", "go")
	build.WithLabelValues(version, runtime.Version()).Set(1)
	m := &Metrics{
		regions: map[health.Target]string{}, isDown: map[health.Target]bool{}, numbers: map[string]*[2]int{},
		revision: gauge("leeward_snapshot_revision", "Revision of the source that answers are made from."),
		problems: gauge("leeward_problems",
			"Problems of the newest versions of resources; most of these versions are not in service."),
		held:      gauge("leeward_held_changes", "Removals held back until an operator accepts them."),
		source:    vector("leeward_source_state", "1 for the state in which the source is, 0 for the others.", "state"),
		down:      vector("leeward_verdict_down", "Addresses with the verdict down.", "region"),
		targets:   vector("leeward_verdict_targets", "Addresses that are probed and judged.", "region"),
		failovers: newFailovers(), loads: newLoadMetrics(),
		votesStale: gauge("leeward_votes_stale",
			"Votes on addresses that are no longer fresh: the last ones of vantages that have fallen silent."),
		verdictStale: gauge("leeward_verdicts_stale", "Addresses without a fresh vote: their last verdicts stand."),
		clock: gauge("leeward_clock_offset_seconds",
			"By how much this server's clock is ahead of those of most vantages, to some 100 ms; "+
				"0 unless more than half of them agree."),
		unwatched: gauge("leeward_targets_unwatched",
			"Addresses that no vantage has reported for longer than detection and 5 s: their last verdicts stand."),
		drillsGivenUp: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "leeward_drills_given_up_total", Help: "Drills that this server gave up because they did harm.",
		}),
		publishSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "leeward_publish_seconds",
			Help:    "From the arrival of the oldest change of a turn to its answers being served.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}),
	}
	age := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "leeward_snapshot_age_seconds",
		Help: "Time since the snapshot was last known to be the newest; 0 while the source is followed.",
	}, func() float64 {
		if at := m.stale.Load(); at != nil {
			return max(0, now().Sub(*at).Seconds())
		}
		return 0
	})
	for _, c := range []prometheus.Collector{
		build, age, m.revision, m.problems, m.held, m.source, m.down, m.targets, m.publishSeconds, m.failovers.seconds,
		m.votesStale, m.verdictStale, m.unwatched, m.clock, m.loads, m.drillsGivenUp,
	} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// publishing observes how long a change took from its arrival to being served.
func (m *Metrics) publishing(took time.Duration) {
	if m != nil {
		m.publishSeconds.Observe(took.Seconds())
	}
}

// gaveUp counts a drill that was given up.
func (m *Metrics) gaveUp() {
	if m != nil {
		m.drillsGivenUp.Inc()
	}
}

// turn updates the metrics after a turn, in the loop's goroutine. It looks only at the verdicts that turned, not at all
// targets.
func (m *Metrics) turn(l *Loop, turned []health.Target) {
	if m == nil {
		return
	}
	if l.snapshot != nil {
		m.revision.Set(float64(l.snapshot.Revision()))
	}
	m.problems.Set(float64(len(l.wrong)))
	m.held.Set(float64(l.held))
	votes, verdicts := l.board.Stale()
	m.votesStale.Set(float64(votes))
	m.verdictStale.Set(float64(verdicts))
	m.unwatched.Set(float64(l.board.Unwatched()))
	m.clock.Set(l.clocks.figure(l.o.Own, l.o.Now()))
	m.loads.take(l)
	for _, c := range zones.States {
		v := 0.0
		if c == l.condition.State {
			v = 1
		}
		m.source.WithLabelValues(string(c)).Set(v)
	}
	m.stale.Store(nil)
	if since := l.staleSince(); !since.IsZero() {
		m.stale.Store(&since)
	}
	for _, t := range turned {
		m.judged(t, l.board.State(t) == health.Down)
	}
	for region, n := range m.numbers {
		m.down.WithLabelValues(region).Set(float64(n[0]))
		m.targets.WithLabelValues(region).Set(float64(n[1]))
	}
}

// judged counts a target as down or as not down.
func (m *Metrics) judged(t health.Target, down bool) {
	n := m.numbers[m.regions[t]]
	switch {
	case n == nil || down == m.isDown[t]:
	case down:
		n[0]++
		m.isDown[t] = true
	default:
		n[0]--
		delete(m.isDown, t)
	}
}

// assigned updates which targets exist. A target that moves to another region keeps its verdict.
func (m *Metrics) assigned(gone []health.Target, as []health.Assignment) {
	if m == nil {
		return
	}
	leave := func(t health.Target) (down bool) {
		region, known := m.regions[t]
		if !known {
			return false
		}
		down = m.isDown[t]
		m.judged(t, false)
		delete(m.regions, t)
		if n := m.numbers[region]; n[1] > 1 {
			n[1]--
		} else {
			delete(m.numbers, region)
			m.down.DeleteLabelValues(region)
			m.targets.DeleteLabelValues(region)
		}
		return down
	}
	for _, t := range gone {
		leave(t)
	}
	for i := range as {
		a := &as[i]
		down := leave(a.Target)
		n := m.numbers[a.Region]
		if n == nil {
			n = new([2]int)
			m.numbers[a.Region] = n
		}
		n[1]++
		m.regions[a.Target] = a.Region
		m.judged(a.Target, down)
	}
}
