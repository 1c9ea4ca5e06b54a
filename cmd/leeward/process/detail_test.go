package process

import (
	"fmt"
	"io"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"leeward/server/answer"
)

// plainDetail is the same metrics by way of a registry, which checks each series.
type plainDetail struct{ *answer.Counts }

var (
	plainTypes     = prometheus.NewDesc("leeward_dns_type_queries_total", "Queries by QTYPE.", []string{"type"}, nil)
	plainCountries = prometheus.NewDesc("leeward_dns_country_answers_total",
		"Queries that policies have answered, by the client's country (empty: not known); with --count-countries.",
		[]string{"country"}, nil)
	plainOpen = prometheus.NewDesc("leeward_dns_policy_fail_open_total",
		"Queries that a policy has answered as if all endpoints were healthy.", []string{"policy"}, nil)
	plainAnswers = prometheus.NewDesc("leeward_dns_policy_answers_total",
		"Queries that a policy has answered, by rule (from 0; -1: no rule held) and pool (empty: without a pool).",
		[]string{"policy", "rule", "pool"}, nil)
)

func (plainDetail) Describe(chan<- *prometheus.Desc) {}

func (c plainDetail) Collect(out chan<- prometheus.Metric) {
	add := func(desc *prometheus.Desc, n uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n), labels...)
	}
	for _, n := range c.Types {
		add(plainTypes, n.Total, n.Type)
	}
	for _, n := range c.Countries {
		add(plainCountries, n.Total, n.Country)
	}
	for _, p := range c.Policies {
		add(plainOpen, p.FailOpen.Total, p.Policy)
		sums := map[[2]string]uint64{}
		for _, r := range p.Rules {
			for _, n := range r.Pools {
				sums[[2]string{strconv.Itoa(r.Rule), n.Pool}] += n.Total
			}
		}
		for of, n := range sums {
			add(plainAnswers, n, p.Policy, of[0], of[1])
		}
	}
}

// counted returns the counts of that many policies with three rules and three pools.
func counted(policies int) *answer.Counts {
	c := &answer.Counts{
		Types:     []answer.TypeCount{{Type: "A", Count: answer.Count{Total: 7}}, {Type: "other"}},
		Countries: []answer.CountryCount{{Country: "ES", Count: answer.Count{Total: 3}}, {}},
	}
	for i := range policies {
		p := answer.PolicyCount{Policy: fmt.Sprintf("www-%d.example.test", i), FailOpen: answer.Count{Total: uint64(i)}}
		for rule := -1; rule < 2; rule++ {
			r := answer.RuleCount{Rule: rule, When: "now", Pools: []answer.PoolCount{{Count: answer.Count{Total: 1}}}}
			for k := range 2 {
				r.Pools = append(r.Pools, answer.PoolCount{
					Pool: fmt.Sprintf(`pool-%d "\`, k), Count: answer.Count{Total: uint64(i + k)},
				})
			}
			p.Rules = append(p.Rules, r)
		}
		before := p.Rules[1] // the rule's condition before a change
		before.When = "then"
		p.Rules = append(p.Rules, before)
		c.Policies = append(c.Policies, p)
	}
	return c
}

// read returns what Prometheus gets from a Gatherer.
func read(t testing.TB, of prometheus.Gatherer) string {
	w := httptest.NewRecorder()
	promhttp.HandlerFor(of, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	text, err := io.ReadAll(w.Body)
	if err != nil || w.Code != 200 {
		t.Fatalf("%d %v: %s", w.Code, err, text)
	}
	return string(text)
}

func direct(c *answer.Counts) prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return answered(c), nil })
}

func registered(c *answer.Counts) prometheus.Gatherer {
	r := prometheus.NewRegistry()
	r.MustRegister(plainDetail{c})
	return r
}

// Series that are made without the registry are those that the registry would have made.
func TestDetail(t *testing.T) {
	c := counted(20)
	lines := func(of prometheus.Gatherer) []string { return slices.Sorted(strings.Lines(read(t, of))) }
	if got, want := lines(direct(c)), lines(registered(c)); !slices.Equal(got, want) {
		t.Errorf("it says\n%s\nnot\n%s", strings.Join(got, ""), strings.Join(want, ""))
	}
	families := answered(counted(mostSeries/9 + 5))
	if n := len(families[3].Metric); n > mostSeries || n < mostSeries-9 {
		t.Errorf("policies have %d series, and may have %d", n, mostSeries)
	}
}

func BenchmarkDetail(b *testing.B) {
	c := counted(10_000)
	for name, of := range map[string]prometheus.Gatherer{"direct": direct(c), "registry": registered(c)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				read(b, of)
			}
		})
	}
}
