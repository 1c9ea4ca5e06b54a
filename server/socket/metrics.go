package socket

import "github.com/prometheus/client_golang/prometheus"

var (
	connectionsDesc = prometheus.NewDesc("leeward_tcp_connections",
		"TCP connections open now.", nil, nil)
	acceptedDesc = prometheus.NewDesc("leeward_tcp_connections_accepted_total",
		"TCP connections accepted.", nil, nil)
	closedDesc = prometheus.NewDesc("leeward_tcp_connections_closed_total",
		"TCP connections closed, by reason.", []string{"reason"}, nil)
	overflowDesc = prometheus.NewDesc("leeward_udp_receive_overflows_total",
		"Datagrams that the system has dropped because a socket's receive buffer was full.", nil, nil)
)

// collector shows the counts of a Server's sockets to Prometheus.
type collector struct{ server *Server }

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{connectionsDesc, acceptedDesc, closedDesc, overflowDesc} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, n uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	table := c.server.table
	out <- prometheus.MustNewConstMetric(connectionsDesc, prometheus.GaugeValue, float64(table.size()))
	counter(acceptedDesc, table.accepted.Load())
	for why, name := range closingNames {
		counter(closedDesc, table.closed[why].Load(), name)
	}
	counter(overflowDesc, c.server.overflows())
}

// overflows returns how many datagrams the system has dropped because a receive buffer was full.
func (s *Server) overflows() (n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.loops {
		n += l.overflows()
	}
	return n
}
