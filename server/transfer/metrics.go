package transfer

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count transfers to secondaries and NOTIFY messages.
type metrics struct {
	served   *prometheus.CounterVec
	notifies *prometheus.CounterVec
	octets   prometheus.Counter
	versions prometheus.Gauge
	notified *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		served: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leeward_transfer_served_total",
			Help: "Transfer queries, by type and result: axfr, ixfr or soa was sent; refused, " +
				"unknown, tsig, failed, broken.",
		}, []string{"type", "result"}),
		notifies: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leeward_transfer_notifies_total",
			Help: "Secondaries notified of a new serial, by result: ok, failed.",
		}, []string{"result"}),
		octets: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "leeward_transfer_sent_octets_total", Help: "Octets of messages sent in transfers.",
		}),
		versions: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "leeward_transfer_versions", Help: "Versions of all zones that differences can be sent from.",
		}),
	}
	m.notified = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "leeward_transfer_notified_total",
		Help: "NOTIFYs that came in, by result: ok (the zone is refreshed), hint (not signed as its primary does: " +
			"the same, at most each 10 s), refused (not from a primary), unknown, tsig, failed.",
	}, []string{"result"})
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.served, m.notifies, m.octets, m.versions, m.notified} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("metrics of transfers: %w; give each server a registry of its own", err)
		}
	}
	return m, nil
}

// receiving counts transfers from primaries.
type receiving struct {
	received *prometheus.CounterVec
	octets   prometheus.Counter
}

func newReceiving(r prometheus.Registerer, s *Secondary) (*receiving, error) {
	m := &receiving{
		received: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leeward_transfer_received_total",
			Help: "Primaries asked for a zone, by what was transferred (axfr, ixfr; soa: nothing newer is there) and " +
				"result: ok, failed.",
		}, []string{"type", "result"}),
		octets: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "leeward_transfer_received_octets_total", Help: "Octets of names and data in records that came in " +
				"transfers.",
		}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.received, m.octets, &followingCollector{s}} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("metrics of transfers: %w; give each server a registry of its own", err)
		}
	}
	return m, nil
}

// followingCollector reports the state of the zones that live on other primaries.
type followingCollector struct{ s *Secondary }

var (
	zonesDesc = prometheus.NewDesc("leeward_transfer_zones",
		"Zones that live on another primary, by state: current, failing (the last try brought nothing), expired, "+
			"waiting (for the first transfer).",
		[]string{"state"}, nil)
	serialDesc = prometheus.NewDesc("leeward_transfer_zone_serial",
		"The primary's serial of a zone that lives there.", []string{"zone"}, nil)
	checkedDesc = prometheus.NewDesc("leeward_transfer_zone_checked_timestamp_seconds",
		"When a primary last said that the version here is the newest, Unix time.", []string{"zone"}, nil)
	expiresDesc = prometheus.NewDesc("leeward_transfer_zone_expires_timestamp_seconds",
		"When the zone expires unless its primary answers, Unix time.", []string{"zone"}, nil)
)

func (c *followingCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{zonesDesc, serialDesc, checkedDesc, expiresDesc} {
		to <- d
	}
}

func (c *followingCollector) Collect(to chan<- prometheus.Metric) {
	states := map[string]int{"current": 0, "failing": 0, "expired": 0, "waiting": 0}
	for _, f := range c.s.Following() {
		states[f.State]++
		if f.State == "waiting" {
			continue
		}
		to <- prometheus.MustNewConstMetric(serialDesc, prometheus.GaugeValue, float64(f.Serial), f.Zone)
		to <- prometheus.MustNewConstMetric(checkedDesc, prometheus.GaugeValue, float64(f.Checked.Unix()), f.Zone)
		to <- prometheus.MustNewConstMetric(expiresDesc, prometheus.GaugeValue, float64(f.Expires.Unix()), f.Zone)
	}
	for state, n := range states {
		to <- prometheus.MustNewConstMetric(zonesDesc, prometheus.GaugeValue, float64(n), state)
	}
}
