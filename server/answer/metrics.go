package answer

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"leeward/server/wire"
)

// collector shows the counts of a Responder to Prometheus. It sums when it is asked: the workers know nothing of it.
type collector struct{ responder *Responder }

var (
	queriesDesc = prometheus.NewDesc("leeward_dns_queries_total",
		"Queries received.", []string{"proto", "family"}, nil)
	responsesDesc = prometheus.NewDesc("leeward_dns_responses_total",
		"Responses made, by RCODE.", []string{"rcode"}, nil)
	droppedDesc = prometheus.NewDesc("leeward_dns_dropped_total",
		"Datagrams and requests without a response: short or long ones, faults, and errors of the system.",
		[]string{"reason"}, nil)
	truncatedDesc = prometheus.NewDesc("leeward_dns_truncated_total",
		"Responses with TC set.", nil, nil)
	steeredDesc = prometheus.NewDesc("leeward_dns_steered_total",
		"Queries that a policy has answered.", nil, nil)
	failOpenDesc = prometheus.NewDesc("leeward_dns_fail_open_total",
		"Queries that a policy has answered as if all endpoints were healthy, none being so.", nil, nil)
	poolDesc = prometheus.NewDesc("leeward_dns_pool_answers_total",
		"Queries answered with addresses of a pool.", []string{"pool"}, nil)
	subnetDesc = prometheus.NewDesc("leeward_dns_client_subnet_queries_total",
		"Queries with an EDNS Client Subnet option.", nil, nil)
	notReadyDesc = prometheus.NewDesc("leeward_dns_not_ready_total",
		"Queries told SERVFAIL as there was no snapshot yet.", nil, nil)
)

var droppedNames = map[int]string{
	droppedShort: "short", droppedPanic: "panic", dropped + int(Busy): "busy", dropped + int(Receive): "receive",
	dropped + int(Send): "send",
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		queriesDesc, responsesDesc, droppedDesc, truncatedDesc, steeredDesc, failOpenDesc, poolDesc, subnetDesc,
		notReadyDesc,
		limitedDesc, bucketsDesc, capacityDesc, evictedDesc, cookiesDesc,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector. All series that have a mnemonic are there from the start, so that a rate can
// be taken of the first of its kind.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, n uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	t := c.responder.counts.sum()
	for at, name := range c.responder.counts.names() {
		counter(queriesDesc, t[queries+2*at], name, "ipv4")
		counter(queriesDesc, t[queries+2*at+1], name, "ipv6")
	}
	for code, n := range t[responses:types] {
		if name := wire.RcodeName(uint16(code)); name != "" {
			counter(responsesDesc, n, name)
		} else if n > 0 {
			counter(responsesDesc, n, strconv.Itoa(code))
		}
	}
	for i, name := range droppedNames {
		counter(droppedDesc, t[i], name)
	}
	counter(truncatedDesc, t[truncated])
	counter(steeredDesc, t[steered])
	counter(failOpenDesc, t[failOpen])
	for pool, n := range c.responder.AnswersByPool() {
		counter(poolDesc, n, pool)
	}
	counter(subnetDesc, t[subnets])
	counter(notReadyDesc, t[notReady])

	c.responder.collectLimits(out, &t)
}
