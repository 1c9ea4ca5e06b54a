package probe

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"leeward/health"
)

// metrics are an operator's view of probing.
type metrics struct {
	probes   *prometheus.CounterVec
	duration *prometheus.HistogramVec
	skipped  prometheus.Counter
	targets  prometheus.Gauge
}

func (m *metrics) register(r prometheus.Registerer) {
	f := promauto.With(r)
	m.probes = f.NewCounterVec(prometheus.CounterOpts{
		Name: "leeward_probe_total", Help: "Probes by check and result: up, down, or unknown if this machine " +
			"could not probe.",
	}, []string{"check", "result"})
	m.duration = f.NewHistogramVec(prometheus.HistogramOpts{
		Name: "leeward_probe_duration_seconds", Help: "How long probes took, failed ones included.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"check"})
	m.skipped = f.NewCounter(prometheus.CounterOpts{
		Name: "leeward_probe_skipped_total", Help: "Probes left out because the one before was late: too many " +
			"targets or too few slots.",
	})
	m.targets = f.NewGauge(prometheus.GaugeOpts{
		Name: "leeward_probe_targets", Help: "Addresses that this vantage probes.",
	})
}

func (m *metrics) observe(check string, result health.State, took time.Duration) {
	m.probes.WithLabelValues(check, result.String()).Inc()
	m.duration.WithLabelValues(check).Observe(took.Seconds())
}
