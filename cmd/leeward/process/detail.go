package process

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"leeward/server/answer"
)

// detail are the metrics of --metrics-detail: a series for each endpoint, and for each rule and pool of each policy.
// They are gathered when Prometheus asks, beside those of the registry. That would look at each of tens of thousands of
// series for what this knows: labels are in order, and no series is there twice.
type detail struct {
	registry prometheus.Gatherer
	run      *run
}

const (
	// mostDetailed bounds policies and addresses: those beyond it have no series.
	mostDetailed = 10_000
	// mostSeries bounds the series of all rules and pools of policies.
	mostSeries = 100_000
)

// Gather implements prometheus.Gatherer.
func (d detail) Gather() ([]*dto.MetricFamily, error) {
	all, err := d.registry.Gather()
	if d.run.answers != nil {
		all = append(all, answered(d.run.answers.PolicyCounts(mostDetailed))...)
	}
	all = append(all, d.endpoints())
	all = slices.DeleteFunc(all, func(f *dto.MetricFamily) bool { return len(f.Metric) == 0 })
	slices.SortFunc(all, func(a, b *dto.MetricFamily) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return all, err
}

// endpoints says which addresses are up.
func (d detail) endpoints() *dto.MetricFamily {
	up := newFamily("leeward_endpoint_up",
		"1 where the verdict on an address of an endpoint is up, 0 where it is down; absent if nobody knows.",
		dto.MetricType_GAUGE, "address", "endpoint", "pool")
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Second)
	defer stop()
	s, err := d.run.status(ctx)
	if err != nil {
		d.run.Log.Warn("metrics: endpoints are left out", "err", err)
		return up.out
	}
	for _, e := range s.Endpoints {
		seen := make([]string, 0, len(e.Addresses))
		for _, a := range e.Addresses {
			address := a.Address.String()
			if a.Verdict != "up" && a.Verdict != "down" || slices.Contains(seen, address) ||
				len(up.out.Metric) == mostDetailed {
				continue
			}
			seen = append(seen, address)
			value := 0.
			if a.Verdict == "up" {
				value = 1
			}
			up.add(value, address, e.Endpoint, e.Pool)
		}
	}
	return up.out
}

// answered reports what was answered. A rule may have had several conditions over time; their rows become one series.
func answered(c *answer.Counts) []*dto.MetricFamily {
	types := newFamily("leeward_dns_type_queries_total", "Queries by QTYPE.", dto.MetricType_COUNTER, "type")
	for _, n := range c.Types {
		types.add(float64(n.Total), n.Type)
	}
	countries := newFamily("leeward_dns_country_answers_total",
		"Queries that policies have answered, by the client's country (empty: not known); with --count-countries.",
		dto.MetricType_COUNTER, "country")
	for _, n := range c.Countries {
		countries.add(float64(n.Total), n.Country)
	}
	open := newFamily("leeward_dns_policy_fail_open_total",
		"Queries that a policy has answered as if all endpoints were healthy.", dto.MetricType_COUNTER, "policy")
	rules := newFamily("leeward_dns_policy_answers_total",
		"Queries that a policy has answered, by rule (from 0; -1: no rule held) and pool (empty: without a pool).",
		dto.MetricType_COUNTER, "policy", "pool", "rule")
	type cell struct {
		rule int
		pool string
	}
	sums := map[cell]uint64{}
	for _, p := range c.Policies {
		open.add(float64(p.FailOpen.Total), p.Policy)
		clear(sums)
		for _, r := range p.Rules {
			for _, n := range r.Pools {
				sums[cell{r.Rule, n.Pool}] += n.Total
			}
		}
		if len(rules.out.Metric)+len(sums) > mostSeries {
			continue // the busiest come first; a policy has all of its series or none
		}
		for _, of := range slices.SortedFunc(maps.Keys(sums), func(a, b cell) int {
			return cmp.Or(cmp.Compare(a.pool, b.pool), cmp.Compare(a.rule, b.rule))
		}) {
			rules.add(float64(sums[of]), p.Policy, of.pool, strconv.Itoa(of.rule))
		}
	}
	return []*dto.MetricFamily{types.out, countries.out, open.out, rules.out}
}

// family is a metric with all of its series.
type family struct {
	out    *dto.MetricFamily
	labels []string
}

// newFamily makes a metric without series. Its labels are in the order of their names.
func newFamily(name, help string, kind dto.MetricType, labels ...string) *family {
	return &family{&dto.MetricFamily{Name: &name, Help: &help, Type: &kind}, labels}
}

// series is one series with all that it points to, in one piece of memory: there are tens of thousands.
type series struct {
	metric  dto.Metric
	counter dto.Counter
	gauge   dto.Gauge
	value   float64
	pairs   [mostLabels]dto.LabelPair
	to      [mostLabels]*dto.LabelPair
	texts   [mostLabels]string
}

const mostLabels = 3

// add adds a series.
func (f *family) add(value float64, labels ...string) {
	x := &series{value: value}
	for i := range labels {
		x.texts[i] = strings.ToValidUTF8(labels[i], "\uFFFD")
		x.pairs[i].Name, x.pairs[i].Value = &f.labels[i], &x.texts[i]
		x.to[i] = &x.pairs[i]
	}
	x.metric.Label = x.to[:len(labels)]
	if f.out.GetType() == dto.MetricType_GAUGE {
		x.gauge.Value, x.metric.Gauge = &x.value, &x.gauge
	} else {
		x.counter.Value, x.metric.Counter = &x.value, &x.counter
	}
	f.out.Metric = append(f.out.Metric, &x.metric)
}
