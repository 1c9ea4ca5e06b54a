package answer

import (
	"strings"
	"testing"
)

const saysZones = `
{kind: Zone, name: says.test, nameservers: [ns1.example.test]}
---
{kind: Region, name: inside}
---
{kind: Pool, name: in, region: inside, monitor: says}
---
{kind: Monitor, name: says, tcp: {port: 80}, interval: 2s, timeout: 1s}
---
{kind: Endpoint, name: in/one, addresses: [192.0.2.201]}
---
kind: Policy
name: nodata.says.test
rules: [{when: {prefixes: [10.0.0.0/8]}, failover: [in]}, {answer: nodata}]
---
kind: Policy
name: refused.says.test
rules: [{when: {prefixes: [10.0.0.0/8]}, failover: [in]}, {answer: refused}]
---
kind: Policy
name: nx.says.test
rules: [{when: {prefixes: [10.0.0.0/8]}, failover: [in]}, {answer: nxdomain}]
---
kind: Policy
name: down-answer.says.test
rules: [{failover: [in]}]
---
kind: Policy
name: down-nodata.says.test
whenAllDown: nodata
rules: [{failover: [in]}]
---
kind: Policy
name: down-servfail.says.test
whenAllDown: servfail
rules: [{failover: [in]}]
---
{kind: Record, name: says.test/to-refused/CNAME, data: [refused]}
---
{kind: Record, name: says.test/to-nx/CNAME, data: [nx]}
`

// If a rule or policy has something to say in place of addresses, the answer says it, with its scope, and says nothing
// about other clients.
func TestPoliciesSay(t *testing.T) {
	f := newFixture(t)
	f.apply(t, strings.TrimPrefix(saysZones, "\n"))
	s := newResponder(t)
	s.Publish(f.state())
	f.down["in/one"] = true
	down := newResponder(t)
	down.Publish(f.state())
	for _, c := range []struct {
		dig  string
		want []string
		none string
		down bool
	}{
		{"dig nodata.says.test. A client=10.1.1.1", []string{"NOERROR aa", "192.0.2.201"}, "SOA", false},
		{"dig nodata.says.test. A client=11.1.1.1", []string{"NOERROR aa", "SOA"}, "192.0.2.201", false},
		{
			"dig nodata.says.test. A ecs=12.1.1.0/24",
			[]string{"NOERROR aa", "SOA", "ecs=12.1.1.0/24/6"},
			"192.0.2.201",
			false,
		},
		{"dig nodata.says.test. AAAA client=11.1.1.1", []string{"NOERROR aa", "SOA"}, "192.0.2.201", false},
		{"dig nodata.says.test. TXT client=11.1.1.1", []string{"NOERROR aa", "SOA"}, "192.0.2.201", false},
		{"dig nodata.says.test. ANY client=11.1.1.1", []string{"NOERROR aa", "SOA"}, "192.0.2.201", false},
		{"dig refused.says.test. A client=11.1.1.1", []string{"REFUSED"}, "aa", false},
		{"dig refused.says.test. A ecs=12.1.1.0/24", []string{"REFUSED", "ecs=12.1.1.0/24/6", "ede=18"}, "SOA", false},
		{
			"dig to-refused.says.test. A client=11.1.1.1",
			[]string{"NOERROR aa", "IN CNAME refused.says.test."},
			"SOA",
			false,
		},
		{"dig nx.says.test. A client=10.1.1.1", []string{"NOERROR aa", "192.0.2.201"}, "SOA", false},
		{"dig nx.says.test. A client=11.1.1.1", []string{"NXDOMAIN aa", "SOA"}, "192.0.2.201", false},
		{"dig nx.says.test. TXT client=11.1.1.1", []string{"NXDOMAIN aa", "SOA"}, "192.0.2.201", false},
		{"dig nx.says.test. TXT client=10.1.1.1", []string{"NOERROR aa", "SOA"}, "192.0.2.201", false},
		{
			"dig to-nx.says.test. A client=11.1.1.1",
			[]string{"NXDOMAIN aa", "IN CNAME nx.says.test.", "SOA"},
			"192.0.2.201", false,
		},
		{"dig down-answer.says.test. A", []string{"NOERROR aa", "192.0.2.201"}, "SOA", true},
		{"dig down-nodata.says.test. A", []string{"NOERROR aa", "SOA"}, "192.0.2.201", true},
		{"dig down-servfail.says.test. A", []string{"SERVFAIL"}, "SOA", true},
		{"dig down-servfail.says.test. AAAA", []string{"NOERROR aa", "SOA"}, "192.0.2.201", true}, // never an AAAA
		{"dig down-nodata.says.test. A", []string{"NOERROR aa", "192.0.2.201"}, "SOA", false},
		{"dig down-servfail.says.test. A", []string{"NOERROR aa", "192.0.2.201"}, "SOA", false},
	} {
		q, err := readInquiry(c.dig)
		if err != nil {
			t.Fatal(err)
		}
		of := s
		if c.down {
			of = down
		}
		got := show(ask(t, of.newWorker(udp), q))
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %q in\n%s", c.dig, want, got)
			}
		}
		if strings.Contains(got, c.none) {
			t.Errorf("%s: %q in\n%s", c.dig, c.none, got)
		}
	}
}
