package answer

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	limitedDesc = prometheus.NewDesc("leeward_rrl_responses_total",
		"Responses over the rate limit, by what was done with them: dropped, slipped (sent truncated), badcookie "+
			"(sent as BADCOOKIE), exempt (sent as they are).",
		[]string{"action"}, nil)
	bucketsDesc = prometheus.NewDesc("leeward_rrl_buckets_in_use",
		"Buckets of the rate limit that are not full.", nil, nil)
	capacityDesc = prometheus.NewDesc("leeward_rrl_buckets",
		"Buckets that the rate limit has room for.", nil, nil)
	evictedDesc = prometheus.NewDesc("leeward_rrl_evictions_total",
		"Buckets that gave way to others while they were in use: the limit is milder than it says.", nil, nil)
	cookiesDesc = prometheus.NewDesc("leeward_dns_cookie_queries_total",
		"Queries with a COOKIE option: with the client's cookie alone, and with a server's that is valid or invalid.",
		[]string{"cookie"}, nil)
)

var limitNames = map[int]string{
	limitDropped: "dropped", limitSlipped: "slipped", limitCookie: "badcookie",
	limitExempt: "exempt",
}

var standingNames = map[standing]string{newcomer: "client", imposter: "invalid", familiar: "valid"}

// collectLimits shows what was limited, out of the counts t.
func (r *Responder) collectLimits(out chan<- prometheus.Metric, t *tally) {
	counter := func(d *prometheus.Desc, n uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	gauge := func(d *prometheus.Desc, n int) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n))
	}
	for i, name := range limitNames {
		counter(limitedDesc, t[i], name)
	}
	for i, name := range standingNames {
		counter(cookiesDesc, t[cookies+int(i)], name)
	}
	inUse, capacity, evicted := 0, 0, uint64(0)
	if l := r.limiter; l != nil {
		inUse, capacity, evicted = l.InUse(l.At(time.Since(r.start))), l.Capacity(), l.Evicted()
	}
	gauge(bucketsDesc, inUse)
	gauge(capacityDesc, capacity)
	counter(evictedDesc, evicted)
}
