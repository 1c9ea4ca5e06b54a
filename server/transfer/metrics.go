package transfer

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count transfers and notifications.
type metrics struct {
	served   *prometheus.CounterVec
	notifies *prometheus.CounterVec
	octets   prometheus.Counter
	versions prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		served: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leeward_transfer_served_total",
			Help: "Queries for a transfer, by type and what became of it: axfr, ixfr and soa were sent; refused, unknown, tsig, failed, broken.",
		}, []string{"type", "result"}),
		notifies: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leeward_transfer_notifies_total",
			Help: "Secondaries told of a new serial, by result: ok, failed.",
		}, []string{"result"}),
		octets: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "leeward_transfer_sent_octets_total", Help: "Octets of messages sent in transfers.",
		}),
		versions: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "leeward_transfer_versions", Help: "Versions of all zones that differences can be sent from.",
		}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.served, m.notifies, m.octets, m.versions} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("metrics of transfers: %w; give each server a registry of its own", err)
		}
	}
	return m, nil
}
