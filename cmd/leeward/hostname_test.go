package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// cloud is a recursive resolver for the names of a cloud, whose addresses change.
type cloud struct {
	t       *testing.T
	address string
	server  *dns.Server

	mu    sync.Mutex
	names map[string][]string // IPv4 addresses by name
	asked int
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cloud{t: t, address: packets.LocalAddr().String(), names: map[string][]string{}}
	started := make(chan struct{})
	c.server = &dns.Server{
		PacketConn:        packets,
		Handler:           dns.HandlerFunc(c.answer),
		NotifyStartedFunc: func() { close(started) },
	}
	go func() { _ = c.server.ActivateAndServe() }()
	<-started
	t.Cleanup(c.gone)
	return c
}

func (c *cloud) gone() { _ = c.server.Shutdown() }

func (c *cloud) set(name string, addresses ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.names[name] = addresses
}

func (c *cloud) answer(w dns.ResponseWriter, q *dns.Msg) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	m := new(dns.Msg).SetReply(q)
	m.RecursionAvailable = true
	name := q.Question[0].Name
	addresses, known := c.names[name]
	if !known {
		m.Rcode = dns.RcodeNameError
	}
	for _, a := range addresses {
		if q.Question[0].Qtype == dns.TypeA {
			m.Answer = append(m.Answer, &dns.A{
				Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 5},
				A:   net.ParseIP(a),
			})
		}
	}
	_ = w.WriteMsg(m)
}

// healthy is a web server on one of loopback's addresses.
func healthy(t *testing.T, address, port string) *httptest.Server {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(address, port))
	if err != nil {
		t.Skipf("no listening on %s here: %v", address, err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
	}))
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return s
}

const byHostname = `kind: Zone
name: example.test
nameservers: [ns1.example.test]
hostmaster: hostmaster@example.test
---
{kind: Region, name: eu}
---
{kind: Monitor, name: web, http: {port: PORT}, interval: 200ms, timeout: 200ms, fall: 2, rise: 1}
---
{kind: Pool, name: cloud, region: eu, monitor: web}
---
{kind: Endpoint, name: cloud/one, hostname: lb-1.cloud.test}
---
{kind: Policy, name: www.example.test, ttl: 20s, rules: [{failover: [cloud]}]}
---
{kind: Policy, name: example.test, ttl: 20s, pick: all, rules: [{failover: [cloud]}]}
---
{kind: Pool, name: here, region: eu}
---
{kind: Endpoint, name: here/one, hostname: static.example.test}
---
{kind: Policy, name: here.example.test, ttl: 20s, rules: [{failover: [here]}]}
---
{kind: Record, name: example.test/static/A, data: [192.0.2.77]}
`

// A name is answered as a CNAME, or at the apex as its present addresses that are healthy. Its addresses change, its
// resolver goes away, and a restart without the resolver still knows the last addresses.
func TestEndpointsByHostname(t *testing.T) {
	first := healthy(t, "127.0.0.1", "0")
	_, port, err := net.SplitHostPort(first.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	second := healthy(t, "127.0.0.12", port)
	healthy(t, "127.0.0.13", port)

	resolver := newCloud(t)
	resolver.set("lb-1.cloud.test.", "127.0.0.12", "127.0.0.1")
	dir, state := t.TempDir(), t.TempDir()
	write(t, filepath.Join(dir, "all.yaml"), strings.ReplaceAll(byHostname, "PORT", port))
	start := func() *service {
		return serveFiles(t, dir, "--id", "fra", "--state", state, "--resolver", resolver.address)
	}
	s := start()
	const client = "193.0.6.0/24"
	apex := func(want ...string) func() bool {
		return func() bool {
			got, _ := s.ask("example.test", dns.TypeA, client)
			var addresses []string
			for _, r := range got {
				f := strings.Fields(r)
				addresses = append(addresses, f[4])
				if ttl, err := strconv.Atoi(f[1]); err != nil || ttl < 1 || ttl > 20 {
					t.Fatalf("TTL of %q", r)
				}
			}
			slices.Sort(addresses)
			return slices.Equal(addresses, want)
		}
	}
	s.await("the apex has the addresses of the name", apex("127.0.0.1", "127.0.0.12"))
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeMX, dns.TypeCNAME, dns.TypeANY} {
		got, _ := s.ask("www.example.test", qtype, client)
		if len(got) != 1 || got[0] != "www.example.test. 20 IN CNAME lb-1.cloud.test." {
			t.Errorf("www.example.test %s: %q", dns.TypeToString[qtype], got)
		}
	}
	here, _ := s.ask("here.example.test", dns.TypeA, client)
	if len(here) != 2 || !strings.HasSuffix(here[0], "CNAME static.example.test.") ||
		!strings.HasSuffix(here[1], "IN A 192.0.2.77") {
		t.Errorf("a name of our own is followed: %q", here)
	}
	for _, from := range [][]string{{"--admin", s.admin}, {"--files", dir}} {
		explain := []string{"explain", "www.example.test", "MX", "--client", "193.0.6.7"}
		status, out, errs := command(t, append(explain, from...)...)
		if status != 0 || !strings.Contains(out, "CNAME lb-1.cloud.test") {
			t.Errorf("explain %s: %d\n%s%s", from, status, out, errs)
		}
	}

	second.Close()
	s.await("what fails its probes is out", apex("127.0.0.1"))
	resolver.set("lb-1.cloud.test.", "127.0.0.13")
	s.await("the name has moved", apex("127.0.0.13"))

	resolver.gone()
	s.await("the status shows that the name does not resolve", func() bool {
		status, out, errs := command(t, "status", "--admin", s.admin)
		if status != 0 {
			t.Fatalf("%d\n%s%s", status, out, errs)
		}
		return strings.Contains(out, "lb-1.cloud.test does not resolve")
	})
	if !apex("127.0.0.13")() {
		t.Error("the last addresses are gone with the resolver")
	}
	r, err := http.Get(s.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(r.Body)
	r.Body.Close()
	if err != nil || !strings.Contains(string(page), "\nleeward_resolve_failing 2\n") ||
		!strings.Contains(string(page), "\nleeward_resolve_names 2\n") {
		t.Errorf("metrics: %v\n%s", err, page)
	}
	if status := s.end(); status != 0 {
		t.Fatalf("exit status %d\n%s", status, s.logged())
	}

	s = start()
	s.await("it is ready", func() bool { return get(t, s.admin+"/readyz") == http.StatusOK })
	if !apex("127.0.0.13")() {
		got, _ := s.ask("example.test", dns.TypeA, client)
		t.Errorf("after a restart without the resolver: %q", got)
	}
	got, _ := s.ask("www.example.test", dns.TypeAAAA, client)
	if len(got) != 1 || !strings.Contains(got[0], "CNAME lb-1.cloud.test.") {
		t.Errorf("after a restart without the resolver: %q", got)
	}
}
