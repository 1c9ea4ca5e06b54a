package answer

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"leeward/server/wire"
)

// collector exports the counts of a Responder to Prometheus. It sums up on demand: the workers do not know about it.
type collector struct {
	responder *Responder

	mu    sync.Mutex
	pools map[string]bool // pools with a series of their own, for good: a counter must not come and go
}

// mostPools is how many pools have a series of their own. The answers of all others are one series, with the pool "".
const mostPools = 1000

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
		"Queries that a policy has answered as if all endpoints were healthy, because none was.", nil, nil)
	poolDesc = prometheus.NewDesc("leeward_dns_pool_answers_total",
		"Queries answered with addresses of a pool.", []string{"pool"}, nil)
	subnetDesc = prometheus.NewDesc("leeward_dns_client_subnet_queries_total",
		"Queries with an EDNS Client Subnet option.", nil, nil)
	notReadyDesc = prometheus.NewDesc("leeward_dns_not_ready_total",
		"Queries answered SERVFAIL because there was no snapshot yet.", nil, nil)
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

// bounded returns the answers of up to most pools by name, and those of all others together by "", if there are any.
// The pools that are seen first get names; among those seen at once, the ones with the most answers do.
func (c *collector) bounded(answers map[string]uint64, most int) map[string]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	byCount := slices.SortedFunc(maps.Keys(answers), func(a, b string) int {
		return cmp.Or(cmp.Compare(answers[b], answers[a]), cmp.Compare(a, b))
	})
	out := make(map[string]uint64, min(len(answers), most+1))
	for _, pool := range byCount {
		if len(c.pools) < most {
			c.pools[pool] = true
		}
		if c.pools[pool] {
			out[pool] = answers[pool]
		} else {
			out[""] += answers[pool]
		}
	}
	return out
}

// Collect implements prometheus.Collector. All series with a mnemonic exist from the start, so that a rate includes the
// first event of its kind.
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
	for pool, n := range c.bounded(c.responder.AnswersByPool(), mostPools) {
		counter(poolDesc, n, pool)
	}
	counter(subnetDesc, t[subnets])
	counter(notReadyDesc, t[notReady])

	c.responder.collectLimits(out, &t)
}
