package socket

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"leeward/server/answer"
)

func TestMetrics(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	s := started(t, func(o *setup) { o.Registerer = registry })
	a := s.Addrs()[0]
	exchange(t, "udp", a, question("www.example.test.", dns.TypeA))
	exchange(t, "udp", a, question("missing.example.test.", dns.TypeA))
	exchange(t, "udp", a, question("big.example.test.", dns.TypeTXT))
	exchange(t, "tcp", a, question("us.example.test.", dns.TypeA))
	f := newFixture(t)
	f.down["www-us/lb-1"], f.down["www-us/lb-2"] = true, true
	s.answers.Publish(f.state())
	exchange(t, "udp", a, question("us.example.test.", dns.TypeA))

	want := `
# HELP leeward_dns_queries_total Queries received.
# TYPE leeward_dns_queries_total counter
leeward_dns_queries_total{family="ipv4",proto="tcp"} 1
leeward_dns_queries_total{family="ipv4",proto="udp"} 4
leeward_dns_queries_total{family="ipv6",proto="tcp"} 0
leeward_dns_queries_total{family="ipv6",proto="udp"} 0
# HELP leeward_dns_truncated_total Responses with TC set.
# TYPE leeward_dns_truncated_total counter
leeward_dns_truncated_total 1
# HELP leeward_dns_steered_total Queries that a policy has answered.
# TYPE leeward_dns_steered_total counter
leeward_dns_steered_total 3
# HELP leeward_dns_fail_open_total Queries that a policy has answered as if all endpoints were healthy, because none was.
# TYPE leeward_dns_fail_open_total counter
leeward_dns_fail_open_total 1
# HELP leeward_dns_pool_answers_total Queries answered with addresses of a pool.
# TYPE leeward_dns_pool_answers_total counter
leeward_dns_pool_answers_total{pool="www-eu"} 1
leeward_dns_pool_answers_total{pool="www-us"} 2
# HELP leeward_tcp_connections_accepted_total TCP connections accepted.
# TYPE leeward_tcp_connections_accepted_total counter
leeward_tcp_connections_accepted_total 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "leeward_dns_queries_total",
		"leeward_dns_truncated_total", "leeward_dns_steered_total", "leeward_dns_fail_open_total",
		"leeward_dns_pool_answers_total", "leeward_tcp_connections_accepted_total"); err != nil {
		t.Error(err)
	}
	if _, err := New(Options{Listen: []string{":0"}, Registerer: registry}, s.answers); err == nil {
		t.Error("two servers share a registry")
	}
	if _, err := answer.New(answer.Options{Registerer: registry}); err == nil {
		t.Error("two responders share a registry")
	}
}

func TestOptionsOutOfRange(t *testing.T) {
	for want, o := range map[string]Options{"listen": {}, "workers": {Listen: []string{":0"}, Workers: -1}} {
		if _, err := New(o, newServer(t).answers); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
