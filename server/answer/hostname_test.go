package answer

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/server/wire"
	"leeward/zones"
	"leeward/zones/document"
	"leeward/zones/steer"
)

const hostnameDocuments = `
{kind: Region, name: cloud-region}
---
{kind: Pool, name: cloud, region: cloud-region}
---
{kind: Endpoint, name: cloud/one, hostname: a-rather-long-name-of-a-load-balancer.region-1.cloud.invalid}
---
{kind: Pool, name: inner, region: cloud-region}
---
{kind: Endpoint, name: inner/one, hostname: cloud.example.test}
---
{kind: Pool, name: mail, region: cloud-region}
---
{kind: Endpoint, name: mail/one, hostname: mail.example.test}
---
{kind: Policy, name: cloud.example.test, ttl: 20s, rules: [{when: {prefixes: [203.0.113.0/24]}, failover: [cloud]}, {failover: [cloud]}]}
---
{kind: Policy, name: inner.example.test, ttl: 40s, rules: [{failover: [inner]}]}
---
{kind: Policy, name: tomail.example.test, ttl: 20s, rules: [{failover: [mail]}]}
---
{kind: Policy, name: "*.any.example.test", ttl: 20s, rules: [{failover: [mail]}]}
---
{kind: Policy, name: other.test, ttl: 20s, rules: [{failover: [cloud]}]}
---
{kind: Policy, name: flat.other.test, ttl: 20s, flatten: true, rules: [{failover: [cloud]}]}
---
{kind: Record, name: other.test/lead/MX, data: [10 flat, 20 cloud.example.test.]}
`

// withHostnames returns a server whose clock stands still, and its worker.
func withHostnames(t testing.TB, resolved ...steer.Resolution) (*Responder, *Worker) {
	t.Helper()
	at := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	s := newResponder(t, func(o *Options) { o.Now = func() time.Time { return at } })
	f := newFixture(t)
	for _, r := range resolved {
		r.Expires = at.Add(7 * time.Second)
		f.builder.Resolved("a-rather-long-name-of-a-load-balancer.region-1.cloud.invalid", r)
	}
	f.apply(t, hostnameDocuments)
	s.Publish(f.state())
	return s, s.newWorker(udp)
}

func dig(t testing.TB, w *Worker, line string) *dns.Msg {
	t.Helper()
	q, err := readInquiry(line)
	if err != nil {
		t.Fatal(err)
	}
	request, err := q.message.Pack()
	if err != nil {
		t.Fatal(err)
	}
	m := new(dns.Msg)
	if err := m.Unpack(w.answer(request, q.client, make([]byte, 0, wire.UDPSize))); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return m
}

func TestHostnames(t *testing.T) {
	known := steer.Resolution{Known: [2]bool{true, true}, Addresses: []netip.Addr{netip.MustParseAddr("198.51.100.1")}}
	const host = "a-rather-long-name-of-a-load-balancer.region-1.cloud.invalid."
	for _, c := range []struct {
		name     string
		resolved []steer.Resolution
		dig      string
		rcode    int
		answer   []string
		scope    int // -1: no option
	}{
		{"an address", nil, "dig cloud.example.test. A", 0, []string{"cloud.example.test. 20 CNAME " + host}, -1},
		{"any other type", nil, "dig cloud.example.test. LOC", 0, []string{"cloud.example.test. 20 CNAME " + host}, -1},
		{
			"the CNAME", nil, "dig inner.example.test. CNAME", 0,
			[]string{"inner.example.test. 40 CNAME cloud.example.test."},
			-1,
		},
		{
			"ANY", nil, "dig inner.example.test. ANY", 0,
			[]string{"inner.example.test. 40 CNAME cloud.example.test."},
			-1,
		},
		{
			"through a policy to a policy", nil, "dig inner.example.test. A", 0,
			[]string{"inner.example.test. 40 CNAME cloud.example.test.", "cloud.example.test. 20 CNAME " + host},
			-1,
		},
		{ // this answer is for some clients, and what leads to it is for all (RFC 7871 section 7.2.1)
			"through a policy, with ECS", nil, "dig inner.example.test. A ecs=203.0.113.7/32", 0,
			[]string{"inner.example.test. 40 CNAME cloud.example.test."},
			0,
		},
		{
			"the policy there, with ECS", nil, "dig cloud.example.test. A ecs=203.0.113.7/32", 0,
			[]string{"cloud.example.test. 20 CNAME " + host},
			24,
		},
		{"to a record of ours", nil, "dig tomail.example.test. A", 0, []string{
			"tomail.example.test. 20 CNAME mail.example.test.", "mail.example.test. 300 A 192.0.2.25",
			"mail.example.test. 300 A 192.0.2.26",
		}, -1},
		{
			"to what ours has not", nil, "dig tomail.example.test. TXT", 0,
			[]string{"tomail.example.test. 20 CNAME mail.example.test."},
			-1,
		},
		{
			"by a wildcard", nil, "dig x.any.example.test. MX", 0,
			[]string{"x.any.example.test. 20 CNAME mail.example.test."},
			-1,
		},
		{"the apex, unresolved", nil, "dig other.test. A", dns.RcodeServerFailure, nil, -1},
		{"the apex, another type", nil, "dig other.test. TXT", 0, nil, -1},
		{"flattened, unresolved", nil, "dig flat.other.test. A", 0, []string{"flat.other.test. 20 CNAME " + host}, -1},
		{"the apex", []steer.Resolution{known}, "dig other.test. A", 0, []string{"other.test. 7 A 198.51.100.1"}, -1},
		{"the apex, IPv6", []steer.Resolution{known}, "dig other.test. AAAA", 0, nil, -1},
		{
			"the apex, ANY",
			[]steer.Resolution{known},
			"dig other.test. ANY", 0,
			[]string{"other.test. 7 A 198.51.100.1"},
			-1,
		},
		{
			"flattened",
			[]steer.Resolution{known},
			"dig flat.other.test. A", 0,
			[]string{"flat.other.test. 7 A 198.51.100.1"},
			-1,
		},
		{"flattened, another type", []steer.Resolution{known}, "dig flat.other.test. TXT", 0, nil, -1},
		{
			"beside an MX",
			[]steer.Resolution{known},
			"dig lead.other.test. MX", 0,
			[]string{"lead.other.test. 300 MX 10 flat.other.test.", "lead.other.test. 300 MX 20 cloud.example.test."},
			-1,
		},
	} {
		_, w := withHostnames(t, c.resolved...)
		m := dig(t, w, c.dig)
		var got []string
		for _, rr := range m.Answer {
			f := strings.Fields(rr.String())
			got = append(got, strings.Join(append(f[:2:2], f[3:]...), " "))
		}
		if m.Rcode != c.rcode || !slices.Equal(got, c.answer) || m.Authoritative != (c.rcode == 0) {
			t.Errorf("%s: %s is answered\n%s", c.name, c.dig, m)
		}
		if c.rcode == 0 && c.answer == nil && len(m.Ns) != 1 {
			t.Errorf("%s: no SOA in\n%s", c.name, m)
		}
		if opt := m.IsEdns0(); c.scope >= 0 {
			if e, ok := opt.Option[0].(*dns.EDNS0_SUBNET); !ok || int(e.SourceScope) != c.scope {
				t.Errorf("%s: the scope is not /%d: %s", c.name, c.scope, opt)
			}
		}
	}
}

// TestHostnamesAllocateNothing: names, clock and chain allocate nothing on the query path either.
func TestHostnamesAllocateNothing(t *testing.T) {
	_, w := withHostnames(t, steer.Resolution{
		Known:     [2]bool{true, true},
		Addresses: []netip.Addr{netip.MustParseAddr("198.51.100.1")},
	})
	for _, line := range []string{
		"dig inner.example.test. A edns=1232", "dig other.test. A ecs=203.0.113.0/24",
		"dig tomail.example.test. A",
	} {
		q, err := readInquiry(line)
		if err != nil {
			t.Fatal(err)
		}
		request, _ := q.message.Pack()
		out := make([]byte, 0, wire.UDPSize)
		if n := testing.AllocsPerRun(100, func() { w.answer(request, q.client, out); w.Flush() }); n != 0 {
			t.Errorf("%s: %v allocations a query", line, n)
		}
	}
}

// TestLoopOfHostnames: two policies that lead to each other are a mistake, which check finds. If they are served all
// the same, the chain ends.
func TestLoopOfHostnames(t *testing.T) {
	f := newFixture(t)
	documents, problems := document.Read("loop.yaml", strings.NewReader(`
{kind: Region, name: r}
---
{kind: Pool, name: one, region: r}
---
{kind: Endpoint, name: one/e, hostname: two.example.test}
---
{kind: Pool, name: two, region: r}
---
{kind: Endpoint, name: two/e, hostname: one.example.test}
---
{kind: Policy, name: one.example.test, rules: [{failover: [one]}]}
---
{kind: Policy, name: two.example.test, rules: [{failover: [two]}]}
`))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	batch := zones.Batch{Revision: 2000, Accepted: 2000}
	for _, d := range documents {
		batch.Changes = append(batch.Changes, zones.Change{Key: d.Resource.Key(), Resource: d.Resource, Revision: 2000})
	}
	delta := f.catalog.Apply(batch)
	if f.catalog.Problems().Err() == nil {
		t.Error("nothing is wrong with a loop")
	}
	f.snapshot, _ = f.builder.Update(f.catalog, delta, nil)
	s := newResponder(t)
	s.Publish(f.state())
	if m := dig(t, s.newWorker(udp), "dig one.example.test. A"); m.Rcode != dns.RcodeSuccess || len(m.Answer) != 2 {
		t.Errorf("a loop is answered\n%s", m)
	}
}
