//go:build linux

package interop

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// cloudNames is the authoritative server of a cloud, whose names change their addresses.
type cloudNames struct {
	mu  sync.Mutex
	all map[string][]dns.RR
}

func startCloud(t *testing.T) (c *cloudNames, port int) {
	t.Helper()
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c = &cloudNames{all: map[string][]dns.RR{}}
	started := make(chan struct{})
	s := &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(c.answer), NotifyStartedFunc: func() {
		close(started)
	}}
	go s.ActivateAndServe()
	<-started
	t.Cleanup(func() { s.Shutdown() })
	return c, packets.LocalAddr().(*net.UDPAddr).Port
}

// set replaces the records of a name.
func (c *cloudNames) set(t *testing.T, name string, records ...string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all[name] = nil
	for _, text := range records {
		rr, err := dns.NewRR(name + " " + text)
		if err != nil {
			t.Fatal(err)
		}
		c.all[name] = append(c.all[name], rr)
	}
}

func (c *cloudNames) answer(w dns.ResponseWriter, q *dns.Msg) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := new(dns.Msg).SetReply(q)
	m.Authoritative = true
	name, qtype := strings.ToLower(q.Question[0].Name), q.Question[0].Qtype
	for _, rr := range c.all[name] {
		if k := rr.Header().Rrtype; k == qtype || k == dns.TypeCNAME {
			m.Answer = append(m.Answer, rr)
		}
	}
	if _, there := c.all[name]; !there && name != "cloud.test." {
		m.Rcode = dns.RcodeNameError
	}
	if len(m.Answer) == 0 {
		soa, _ := dns.NewRR("cloud.test. 2 SOA ns.cloud.test. h.cloud.test. 1 60 60 60 2")
		m.Ns = []dns.RR{soa}
	}
	w.WriteMsg(m)
}

const namesFile = `kind: Zone
name: example.test
nameservers: [ns1.elsewhere.invalid]
hostmaster: hostmaster@example.test
---
{kind: Region, name: here}
---
{kind: Pool, name: cloud, region: here}
---
{kind: Endpoint, name: cloud/one, hostname: lb-1.cloud.test}
---
{kind: Pool, name: own, region: here}
---
{kind: Endpoint, name: own/one, addresses: [192.0.2.99]}
---
{kind: Policy, name: www.example.test, ttl: 20s, rules: [{failover: [cloud]}]}
---
{kind: Policy, name: example.test, ttl: 20s, pick: all, rules: [{failover: [cloud]}]}
---
{kind: Policy, name: mixed.example.test, ttl: 20s, pick: all, rules: [{failover: [cloud, own]}]}
`

// TestHostnames: unbound resolves the hostnames of endpoints, and for its clients the names that lead to them. Then it
// is killed.
func TestHostnames(t *testing.T) {
	lab.Need(t, "unbound")
	cloud, cloudPort := startCloud(t)
	cloud.set(t, "lb-1.cloud.test.", "60 CNAME real.cloud.test.")
	cloud.set(t, "real.cloud.test.", "4 A 192.0.2.1", "4 A 192.0.2.2", "4 AAAA 2001:db8::1")

	dir, state := t.TempDir(), t.TempDir()
	resolver := fmt.Sprintf("127.0.0.1:%d", lab.LoopbackPort(t))
	s := lab.NewServer(t, "names", "--files", lab.Folder(t, map[string]string{"all.yaml": namesFile}), "--resolver",
		resolver, "--state", state)
	_, unboundPort, _ := net.SplitHostPort(resolver)
	_, leewardPort, _ := net.SplitHostPort(s.DNS)
	conf := filepath.Join(dir, "unbound.conf")
	text := fmt.Sprintf(`server:
  interface: 127.0.0.1
  port: %s
  do-daemonize: no
  use-syslog: no
  logfile: ""
  username: ""
  chroot: ""
  pidfile: ""
  directory: "%s"
  num-threads: 1
  do-ip6: no
  do-not-query-localhost: no
  local-zone: "test." nodefault
  module-config: "iterator"
stub-zone:
  name: "cloud.test"
  stub-addr: 127.0.0.1@%d
stub-zone:
  name: "example.test"
  stub-addr: 127.0.0.1@%s
remote-control:
  control-enable: no
`, unboundPort, dir, cloudPort, leewardPort)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	unbound := lab.Start(t, nil, "unbound", "unbound", "-d", "-c", conf)
	s.Start(t)
	s.Ready(t)

	// ask returns the answer's records without their owners, sorted.
	ask := func(server, name string, qtype uint16) (records []string, ttls []int, err error) {
		c := dns.Client{Timeout: 5 * time.Second}
		m := new(dns.Msg).SetQuestion(name, qtype)
		r, _, err := c.Exchange(m, server)
		if err != nil {
			return nil, nil, err
		}
		if r.Rcode != dns.RcodeSuccess {
			return nil, nil, fmt.Errorf("%s %s: %s", name, dns.TypeToString[qtype], dns.RcodeToString[r.Rcode])
		}
		for _, rr := range r.Answer {
			f := strings.Fields(rr.String())
			ttl, _ := strconv.Atoi(f[1])
			ttls = append(ttls, ttl)
			records = append(records, strings.Join(f[3:], " "))
		}
		slices.Sort(records)
		return records, ttls, nil
	}
	is := func(server, name string, qtype uint16, longest int, want ...string) func() error {
		return func() error {
			got, ttls, err := ask(server, name, qtype)
			if err != nil {
				return err
			}
			for _, ttl := range ttls {
				if ttl > longest {
					t.Errorf("%s %s: TTL %d where %d is the longest there can be", name, dns.TypeToString[qtype], ttl,
						longest)
				}
			}
			if !slices.Equal(got, want) {
				return fmt.Errorf("%s %s is %q, want %q", name, dns.TypeToString[qtype], got, want)
			}
			return nil
		}
	}
	const limit = 30 * time.Second
	lab.Until(t, limit, "the apex has the name's addresses",
		is(s.DNS, "example.test.", dns.TypeA, 4, "A 192.0.2.1", "A 192.0.2.2"))
	for _, c := range []struct {
		server, name string
		qtype        uint16
		longest      int
		want         []string
	}{
		{s.DNS, "example.test.", dns.TypeAAAA, 4, []string{"AAAA 2001:db8::1"}},
		{s.DNS, "mixed.example.test.", dns.TypeA, 4, []string{"A 192.0.2.1", "A 192.0.2.2"}},
		{s.DNS, "www.example.test.", dns.TypeA, 20, []string{"CNAME lb-1.cloud.test."}},
		// For the resolver's clients, the name leads there for every type.
		{resolver, "www.example.test.", dns.TypeA, 60, []string{
			"A 192.0.2.1", "A 192.0.2.2", "CNAME lb-1.cloud.test.",
			"CNAME real.cloud.test.",
		}},
		{resolver, "www.example.test.", dns.TypeAAAA, 60, []string{
			"AAAA 2001:db8::1", "CNAME lb-1.cloud.test.",
			"CNAME real.cloud.test.",
		}},
		{resolver, "www.example.test.", dns.TypeTXT, 60, []string{"CNAME lb-1.cloud.test.", "CNAME real.cloud.test."}},
		{resolver, "example.test.", dns.TypeA, 4, []string{"A 192.0.2.1", "A 192.0.2.2"}},
	} {
		lab.Until(t, limit, "the answer", is(c.server, c.name, c.qtype, c.longest, c.want...))
	}

	cloud.set(t, "real.cloud.test.", "4 A 192.0.2.3")
	lab.Until(t, limit, "the name has moved", is(s.DNS, "example.test.", dns.TypeA, 4, "A 192.0.2.3"))
	lab.Until(t, limit, "and has no IPv6 any more", is(s.DNS, "example.test.", dns.TypeAAAA, 4))

	cloud.mu.Lock()
	clear(cloud.all)
	cloud.mu.Unlock()
	failing := func(why string) func() error {
		return func() error {
			var v struct {
				Endpoints []struct {
					Endpoint string
					Hostname *struct{ Name, Error string }
				}
			}
			if err := s.Status(&v); err != nil {
				return err
			}
			for _, e := range v.Endpoints {
				if h := e.Hostname; h != nil && h.Name == "lb-1.cloud.test" && strings.Contains(h.Error, why) {
					return nil
				}
			}
			return fmt.Errorf("status: %+v", v)
		}
	}
	lab.Until(t, limit, "the status shows that the name is gone", failing("NXDOMAIN"))
	lab.Until(t, limit, "its last addresses stay", is(s.DNS, "example.test.", dns.TypeA, 20, "A 192.0.2.3"))
	unbound.Kill()
	lab.Until(t, 90*time.Second, "the status shows that the resolver is gone", failing("resolver 127.0.0.1"))
	lab.Until(t, limit, "its last addresses stay", is(s.DNS, "example.test.", dns.TypeA, 20, "A 192.0.2.3"))

	s.Process.Kill()
	s.Start(t)
	s.Ready(t)
	if err := is(s.DNS, "example.test.", dns.TypeA, 20, "A 192.0.2.3")(); err != nil {
		t.Errorf("after a restart without a resolver: %v", err)
	}
	if err := is(s.DNS, "www.example.test.", dns.TypeA, 20, "CNAME lb-1.cloud.test.")(); err != nil {
		t.Errorf("after a restart without a resolver: %v", err)
	}
}
