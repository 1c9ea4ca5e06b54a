//go:build linux

package interop

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// tailored has a policy that treats one network differently from all others, an alias of it, and a policy that has an
// IPv4 address for all others only.
const tailored = `kind: Zone
name: example.test
nameservers: [ns1.elsewhere.invalid]
hostmaster: hostmaster@example.test
ttl: 300s
---
{kind: Record, name: example.test/alias/CNAME, data: [www.example.test.]}
---
{kind: Region, name: here}
---
{kind: Pool, name: one, region: here}
---
{kind: Pool, name: six, region: here}
---
{kind: Pool, name: all, region: here}
---
{kind: Endpoint, name: one/lb, addresses: [192.0.2.81]}
---
{kind: Endpoint, name: six/lb, addresses: ["2001:db8::1"]}
---
{kind: Endpoint, name: all/lb, addresses: [192.0.2.80]}
---
kind: Policy
name: www.example.test
ttl: 300s
rules: [{when: {prefixes: [198.51.100.0/24]}, failover: [one]}, {failover: [all]}]
---
kind: Policy
name: half.example.test
ttl: 300s
rules: [{when: {prefixes: [198.51.100.0/24]}, failover: [six]}, {failover: [all]}]
`

// TestResolversKeep: Unbound, which sends Client Subnet, and BIND, which does not, ask for clients of two networks that
// a rule treats differently. Each line has what a client gets, and what its resolver had to ask Leeward for that.
// Everything else comes from the resolver's cache. The table in docs/dns.md says the same.
func TestResolversKeep(t *testing.T) {
	lab.NeedRoot(t)
	lab.Need(t, "unbound", "named")
	const leewardAt, tapAt, unboundAt, bindAt = "192.0.2.52:53", "192.0.2.53:53", "192.0.2.1:53", "192.0.2.2:53"
	h := lab.NewYard(t).Host(t, "all")
	for _, a := range []string{
		"192.0.2.52", "192.0.2.53", "192.0.2.1", "192.0.2.2", "198.51.100.1", "198.51.100.2",
		"203.0.113.1", "203.0.113.2",
	} {
		h.Address(t, netip.PrefixFrom(netip.MustParseAddr(a), 32), "lo")
	}
	s := lab.ServerAt(h, "tailored", leewardAt, "127.0.0.1:8053", "--listen", leewardAt, "--files",
		lab.Folder(t, map[string]string{"all.yaml": tailored}))
	s.Start(t)
	s.Ready(t)
	tap := newWiretap(t, h, tapAt, leewardAt)
	startResolvers(t, h, map[string]string{"unbound": unboundAt, "named": bindAt}, tapAt)

	// The first five bits of 203.0.113.0/24 tell it from the network of the rule.
	const own, others = "192.0.2.81", "192.0.2.80"
	for _, c := range []struct {
		resolver, client, name string
		qtype                  uint16
		want                   string
		asked                  []string
	}{
		// The alias is for all, so it comes alone, with scope 0, and clients ask for its target by its own name.
		// Unbound keeps both as one answer to the alias, for the longer scope.
		{unboundAt, "198.51.100.1", "alias", dns.TypeA, "CNAME " + own, []string{
			"alias A for 198.51.100.0/24: CNAME scope 0", "www A for 198.51.100.0/24: " + own + " scope 24",
		}},
		{unboundAt, "198.51.100.2", "alias", dns.TypeA, "CNAME " + own, nil},
		{unboundAt, "203.0.113.1", "alias", dns.TypeA, "CNAME " + others, []string{
			"alias A for 203.0.113.0/24: CNAME scope 0", "www A for 203.0.113.0/24: " + others + " scope 5",
		}},
		{unboundAt, "203.0.113.2", "alias", dns.TypeA, "CNAME " + others, nil},
		{unboundAt, "198.51.100.1", "alias", dns.TypeA, "CNAME " + own, nil},
		{unboundAt, "198.51.100.2", "www", dns.TypeA, own, []string{"www A for 198.51.100.0/24: " + own + " scope 24"}},
		{unboundAt, "198.51.100.1", "www", dns.TypeA, own, nil},
		// The policy has no IPv6 for anybody, so there is one question for all.
		{
			unboundAt, "198.51.100.1", "www", dns.TypeAAAA, "NODATA",
			[]string{"www AAAA for 198.51.100.0/24: NODATA scope 0"},
		},
		{unboundAt, "203.0.113.1", "www", dns.TypeAAAA, "NODATA", nil},
		// NODATA for one network does not deny the address to the other.
		{
			unboundAt, "198.51.100.1", "half", dns.TypeA, "NODATA",
			[]string{"half A for 198.51.100.0/24: NODATA scope 24"},
		},
		{
			unboundAt, "203.0.113.1", "half", dns.TypeA, others,
			[]string{"half A for 203.0.113.0/24: " + others + " scope 5"},
		},
		{unboundAt, "198.51.100.2", "half", dns.TypeA, "NODATA", nil},
		{unboundAt, "203.0.113.2", "half", dns.TypeA, others, nil},
		// BIND's own address decides, for all of its clients. BIND does not use the rest of a chain in an answer.
		{
			bindAt, "198.51.100.1", "alias", dns.TypeA, "CNAME " + others,
			[]string{"alias A: CNAME " + others, "www A: " + others},
		},
		{bindAt, "203.0.113.1", "alias", dns.TypeA, "CNAME " + others, nil},
		{bindAt, "198.51.100.1", "www", dns.TypeA, others, nil},
		{bindAt, "198.51.100.1", "www", dns.TypeAAAA, "NODATA", []string{"www AAAA: NODATA"}},
		{bindAt, "203.0.113.1", "www", dns.TypeAAAA, "NODATA", nil},
		{bindAt, "198.51.100.1", "half", dns.TypeA, others, []string{"half A: " + others}},
		{bindAt, "203.0.113.1", "half", dns.TypeA, others, nil},
	} {
		q := dns.Question{Name: c.name + ".example.test.", Qtype: c.qtype, Qclass: dns.ClassINET}
		r, err := askAs(h, c.client, c.resolver, q)
		if err != nil {
			t.Fatalf("%s asks %s for %s: %v", c.client, c.resolver, c.name, err)
		}
		got, asked := gist(r), tap.heard()
		if got != c.want {
			t.Errorf("%s asks %s for %s %s and gets %s, want %s", c.client, c.resolver, c.name,
				dns.TypeToString[c.qtype], got,
				c.want)
		}
		if !slices.Equal(asked, c.asked) {
			t.Errorf("%s asks %s for %s %s: the resolver asks %q, want %q", c.client, c.resolver, c.name,
				dns.TypeToString[c.qtype], asked, c.asked)
		}
	}
}

// startResolvers starts resolvers that ask for example.test at an address, and waits until each answers.
func startResolvers(t *testing.T, h *lab.Host, at map[string]string, authority string) {
	t.Helper()
	dir := t.TempDir()
	from, _, _ := net.SplitHostPort(authority)
	unbound, _, _ := net.SplitHostPort(at["unbound"])
	named, _, _ := net.SplitHostPort(at["named"])
	lab.Write(t, filepath.Join(dir, "unbound.conf"), fmt.Sprintf(`server:
  interface: %[1]s
  outgoing-interface: %[1]s
  do-daemonize: no
  use-syslog: no
  logfile: ""
  username: ""
  chroot: ""
  pidfile: ""
  directory: %[2]q
  num-threads: 1
  do-ip6: no
  access-control: 0.0.0.0/0 allow
  local-zone: "test." nodefault
  module-config: "subnetcache validator iterator"
  qname-minimisation: no # or it asks for A before it asks for AAAA
  send-client-subnet: %[3]s
stub-zone:
  name: "example.test"
  stub-addr: %[3]s
remote-control:
  control-enable: no
`, unbound, dir, from))
	if o := lab.Command(t, nil, "", "unbound-checkconf", filepath.Join(dir, "unbound.conf")); o.Code != 0 {
		lab.Missing(t, "this unbound cannot send client subnets: %s", o.Stderr)
	}
	lab.Write(t, filepath.Join(dir, "named.conf"), fmt.Sprintf(`options {
	directory %q;
	listen-on { %[2]s; };
	listen-on-v6 { none; };
	query-source address %[2]s;
	recursion yes;
	allow-query { any; };
	allow-recursion { any; };
	dnssec-validation no;
	pid-file none;
	session-keyfile none;
};
controls { };
zone "example.test" { type static-stub; server-addresses { %[3]s; }; };
`, dir, named, from))
	lab.Start(t, h, "unbound", "unbound", "-d", "-c", filepath.Join(dir, "unbound.conf"))
	lab.Start(t, h, "named", "named", "-g", "-4", "-n", "1", "-c", filepath.Join(dir, "named.conf"))
	for name, address := range at {
		lab.Until(t, 60*time.Second, name+" answers", func() error {
			// It knows the answer to this by itself, so that Leeward is not asked before the test begins.
			_, err := askAs(h, "127.0.0.1", address, dns.Question{
				Name: "version.bind.", Qtype: dns.TypeTXT,
				Qclass: dns.ClassCHAOS,
			})
			return err
		})
	}
}

// askAs asks a resolver from an address of the host.
func askAs(h *lab.Host, client, resolver string, q dns.Question) (*dns.Msg, error) {
	from := &net.UDPAddr{IP: net.ParseIP(client)}
	c, err := h.Dial(net.Dialer{LocalAddr: from}, "udp", resolver)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	m := new(dns.Msg)
	m.Id, m.RecursionDesired, m.Question = dns.Id(), true, []dns.Question{q}
	return lab.Exchange(c, m, 10*time.Second)
}

// gist is an answer in few words: the types of aliases, and the addresses, or that there are none.
func gist(m *dns.Msg) string {
	if m.Rcode != dns.RcodeSuccess || len(m.Answer) == 0 {
		return lab.VerdictOf(m)[0]
	}
	var all []string
	for _, rr := range m.Answer {
		if rr.Header().Rrtype == dns.TypeCNAME {
			all = append(all, "CNAME")
		} else {
			all = append(all, strings.TrimPrefix(rr.String(), rr.Header().String()))
		}
	}
	return strings.Join(all, " ")
}

// wiretap passes datagrams on to a server, from the address that they came from, and notes questions and answers.
type wiretap struct {
	mu    sync.Mutex
	asked []string
}

func newWiretap(t *testing.T, h *lab.Host, address, server string) *wiretap {
	t.Helper()
	l, w := h.ListenPacket(t, address), &wiretap{}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			b := make([]byte, dns.MaxMsgSize)
			n, from, err := l.ReadFrom(b)
			if err != nil {
				return
			}
			if answer := w.pass(h, from, server, b[:n]); answer != nil {
				l.WriteTo(answer, from)
			}
		}
	}()
	return w
}

// pass returns the server's answer to a query, nil if there is none.
func (w *wiretap) pass(h *lab.Host, from net.Addr, server string, query []byte) []byte {
	c, err := h.Dial(net.Dialer{LocalAddr: &net.UDPAddr{IP: from.(*net.UDPAddr).IP}}, "udp", server)
	if err != nil {
		return nil
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	c.Write(query)
	b := make([]byte, dns.MaxMsgSize)
	n, err := c.Read(b)
	var q, r dns.Msg
	if err != nil || q.Unpack(query) != nil || r.Unpack(b[:n]) != nil || len(q.Question) != 1 {
		return nil
	}
	line := strings.TrimSuffix(strings.ToLower(q.Question[0].Name), ".example.test.") + " " +
		dns.TypeToString[q.Question[0].Qtype]
	if o := q.IsEdns0(); o != nil {
		for _, option := range o.Option {
			if e, ok := option.(*dns.EDNS0_SUBNET); ok {
				line += fmt.Sprintf(" for %v/%d", e.Address, e.SourceNetmask)
			}
		}
	}
	line += ": " + gist(&r)
	if bits := lab.Scope(&r); bits >= 0 {
		line += fmt.Sprintf(" scope %d", bits)
	}
	w.mu.Lock()
	w.asked = append(w.asked, line)
	w.mu.Unlock()
	return b[:n]
}

// heard returns the queries since the last call.
func (w *wiretap) heard() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.asked
	w.asked = nil
	return all
}
