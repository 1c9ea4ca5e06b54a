package vantage

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are what an operator sees of the link.
type metrics struct {
	transactions *prometheus.CounterVec
	ops          prometheus.Counter
	connected    prometheus.Gauge
	lists        prometheus.Counter
	events       prometheus.Counter
	problems     prometheus.Gauge
}

func (m *metrics) register(r prometheus.Registerer) {
	f := promauto.With(r)
	m.transactions = f.NewCounterVec(prometheus.CounterOpts{
		Name: "leeward_vantage_transactions_total",
		Help: "Transactions in which this vantage wrote its reports, by result.",
	}, []string{"result"})
	m.ops = f.NewCounter(prometheus.CounterOpts{
		Name: "leeward_vantage_writes_total",
		Help: "Keys written or removed in them.",
	})
	m.connected = f.NewGauge(prometheus.GaugeOpts{
		Name: "leeward_vantage_connected",
		Help: "1 while this vantage can write to etcd.",
	})
	m.lists = f.NewCounter(prometheus.CounterOpts{
		Name: "leeward_vantage_lists_total",
		Help: "How often all reports were read again: at the start, and whenever the watch was lost.",
	})
	m.events = f.NewCounter(prometheus.CounterOpts{
		Name: "leeward_vantage_events_total",
		Help: "Keys of other vantages that were read.",
	})
	m.problems = f.NewGauge(prometheus.GaugeOpts{
		Name: "leeward_vantage_problems",
		Help: "Keys of other vantages whose newest value cannot be used.",
	})
}

func (m *metrics) written(ops int, err error) {
	if err != nil {
		m.transactions.WithLabelValues("failed").Inc()
		return
	}
	m.transactions.WithLabelValues("done").Inc()
	m.ops.Add(float64(ops))
}

func (m *metrics) connect(is bool) {
	if is {
		m.connected.Set(1)
	} else {
		m.connected.Set(0)
	}
}
