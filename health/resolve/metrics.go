package resolve

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are an operator's view of resolving.
type metrics struct {
	names, failing prometheus.Gauge
	queries        *prometheus.CounterVec
	seconds        prometheus.Histogram
}

func (m *metrics) register(r prometheus.Registerer) {
	f := promauto.With(r)
	m.names = f.NewGauge(prometheus.GaugeOpts{
		Name: "leeward_resolve_names", Help: "Hostnames of endpoints that are looked up.",
	})
	m.failing = f.NewGauge(prometheus.GaugeOpts{
		Name: "leeward_resolve_failing", Help: "Hostnames of endpoints whose last look-up failed; " +
			"their last addresses stay.",
	})
	m.queries = f.NewCounterVec(prometheus.CounterOpts{
		Name: "leeward_resolve_queries_total", Help: "Look-ups of one family of a hostname by result: answered, " +
			"empty, absent (NXDOMAIN), failed.",
	}, []string{"family", "result"})
	m.seconds = f.NewHistogram(prometheus.HistogramOpts{
		Name: "leeward_resolve_seconds", Help: "How long it took to look a hostname up, both families together.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	})
}

func (m *metrics) count(names map[string]*entry) {
	failing := 0
	for _, e := range names {
		if e.answer.Err != "" {
			failing++
		}
	}
	m.names.Set(float64(len(names)))
	m.failing.Set(float64(failing))
}

func (m *metrics) observe(four, six reply, took time.Duration) {
	for family, r := range map[string]reply{"ipv4": four, "ipv6": six} {
		result := "answered"
		switch {
		case r.err != nil:
			result = "failed"
		case r.absent:
			result = "absent"
		case len(r.addresses) == 0:
			result = "empty"
		}
		m.queries.WithLabelValues(family, result).Inc()
	}
	m.seconds.Observe(took.Seconds())
}
