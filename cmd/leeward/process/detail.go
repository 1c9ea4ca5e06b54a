package process

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// detail are the metrics of --metrics-detail: a series for each endpoint, and for each rule and pool of each policy.
// They are gathered when Prometheus asks.
type detail struct{ run *run }

// mostDetailed bounds the series of each kind: policies and endpoints beyond it have none.
const mostDetailed = 10_000

var (
	policyAnswers = prometheus.NewDesc("leeward_dns_policy_answers_total",
		"Queries that a policy has answered, by rule (from 0; -1: no rule held) and pool (empty: without a pool).",
		[]string{"policy", "rule", "pool"}, nil)
	policyOpen = prometheus.NewDesc("leeward_dns_policy_fail_open_total",
		"Queries that a policy has answered as if all endpoints were healthy.", []string{"policy"}, nil)
	countryAnswers = prometheus.NewDesc("leeward_dns_country_answers_total",
		"Queries that policies have answered, by the client's country (empty: not known); with --count-countries.",
		[]string{"country"}, nil)
	typeQueries = prometheus.NewDesc("leeward_dns_type_queries_total",
		"Queries by QTYPE.", []string{"type"}, nil)
	endpointUp = prometheus.NewDesc("leeward_endpoint_up",
		"1 where the verdict on an address of an endpoint is up, 0 where it is down; absent if nobody knows.",
		[]string{"pool", "endpoint", "address"}, nil)
)

// Describe implements prometheus.Collector.
func (d detail) Describe(out chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{policyAnswers, policyOpen, countryAnswers, typeQueries, endpointUp} {
		out <- desc
	}
}

// Collect implements prometheus.Collector.
func (d detail) Collect(out chan<- prometheus.Metric) {
	counter := func(desc *prometheus.Desc, n uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n), labels...)
	}
	if d.run.answers != nil {
		d.counts(counter)
	}
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Second)
	defer stop()
	s, err := d.run.status(ctx)
	if err != nil {
		d.run.Log.Warn("metrics: endpoints are left out", "err", err)
		return
	}
	told := 0
	for _, e := range s.Endpoints {
		seen := map[string]bool{}
		for _, a := range e.Addresses {
			address := a.Address.String()
			if up := a.Verdict == "up"; (up || a.Verdict == "down") && !seen[address] && told < mostDetailed {
				seen[address] = true
				told++
				value := 0.
				if up {
					value = 1
				}
				out <- prometheus.MustNewConstMetric(endpointUp, prometheus.GaugeValue, value, e.Pool, e.Endpoint,
					address)
			}
		}
	}
}

// counts reports what was answered. A rule may have had several conditions over time; their rows become one series.
func (d detail) counts(counter func(desc *prometheus.Desc, n uint64, labels ...string)) {
	c := d.run.answers.Counts("", mostDetailed)
	for _, n := range c.Types {
		counter(typeQueries, n.Total, n.Type)
	}
	for _, n := range c.Countries {
		counter(countryAnswers, n.Total, n.Country)
	}
	for _, p := range c.Policies {
		counter(policyOpen, p.FailOpen.Total, p.Policy)
		type series struct {
			rule int
			pool string
		}
		sums := map[series]uint64{}
		for _, r := range p.Rules {
			for _, n := range r.Pools {
				sums[series{r.Rule, n.Pool}] += n.Total
			}
		}
		for of, n := range sums {
			counter(policyAnswers, n, p.Policy, strconv.Itoa(of.rule), of.pool)
		}
	}
}
