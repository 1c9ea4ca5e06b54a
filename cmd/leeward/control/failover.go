package control

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leeward/health"
	"leeward/server/admin"
)

// The phases of a failover, and of the way back. All are measured by this process's monotonic clock:
//
//   - detect: from the start of this vantage's last probe that found the new state, to its report. The endpoint changed
//     before that probe started, so the figure never exceeds what clients saw. It is at most (fall or rise) × interval
//   - timeout.
//   - agree: from the turn of the loop that took up the first vote for the new verdict, to the turn in which the
//     verdict changed. It is 0 if one vote was enough. Votes older than detection may take (fall × interval + timeout,
//     and 5 s) do not count: a vantage that was alone with its vote for an hour says nothing about how long agreeing
//     took.
//   - publish: from the arrival in the loop's inbox of the oldest input of a turn in which a verdict turned, to the new
//     answers being served.
const (
	phaseDetect = iota
	phaseAgree
	phasePublish
	phases
)

var phaseNames = [phases]string{"detect", "agree", "publish"}

// failovers measures how long each phase took, by what the verdict turned to.
type failovers struct {
	seconds *prometheus.HistogramVec
	of      [phases][2]prometheus.Observer

	mu  sync.Mutex
	sum [phases][2]admin.Phase
}

func newFailovers() *failovers {
	f := &failovers{seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "leeward_failover_seconds",
		Help: "Of addresses that went down or came up: from the last probe that found otherwise to the report " +
			"(detect), from the first vote for the new verdict to its turn (agree), from the report that turned it " +
			"to the answers (publish).",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2, 3, 5, 7.5, 10, 15, 30, 60},
	}, []string{"phase", "to"})}
	for p, name := range phaseNames {
		for i, to := range [...]health.State{health.Down, health.Up} {
			f.of[p][i] = f.seconds.WithLabelValues(name, to.String())
			f.sum[p][i] = admin.Phase{Phase: name, To: to.String()}
		}
	}
	return f
}

func (f *failovers) observe(phase int, to health.State, took time.Duration) {
	if to == health.Unknown {
		return
	}
	i := 0
	if to == health.Up {
		i = 1
	}
	s := max(0, took.Seconds())
	f.of[phase][i].Observe(s)
	f.mu.Lock()
	defer f.mu.Unlock()
	x := &f.sum[phase][i]
	x.MeanSeconds = (x.MeanSeconds*float64(x.Count) + s) / float64(x.Count+1)
	x.Count++
	x.LastSeconds, x.WorstSeconds = s, max(x.WorstSeconds, s)
}

// Detected measures detection from the reports of this vantage.
func (m *Metrics) Detected(rs []health.Report) {
	if m == nil {
		return
	}
	for i := range rs {
		if r := &rs[i]; r.Detected > 0 {
			m.failovers.observe(phaseDetect, r.State, r.Detected)
		}
	}
}

// turnedOver measures agreement and publication for the verdicts that turned. published is the time from the arrival of
// what turned them to the new answers. A new address that is up is not a failover.
func (m *Metrics) turnedOver(b *health.Board, turned []health.Target, published time.Duration) {
	if m == nil {
		return
	}
	for _, t := range turned {
		turn := b.Turn(t)
		if turn.To == health.Unknown || turn.From == health.Unknown && turn.To == health.Up {
			continue
		}
		m.failovers.observe(phaseAgree, turn.To, turn.Agreed)
		m.failovers.observe(phasePublish, turn.To, published)
	}
}

// Failovers returns the phases that have been measured at least once, in order.
func (m *Metrics) Failovers() []admin.Phase {
	if m == nil {
		return nil
	}
	m.failovers.mu.Lock()
	defer m.failovers.mu.Unlock()
	var all []admin.Phase
	for p := range m.failovers.sum {
		for _, x := range m.failovers.sum[p] {
			if x.Count > 0 {
				all = append(all, x)
			}
		}
	}
	return all
}
