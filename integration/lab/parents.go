//go:build linux

package lab

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// startParents serves a root zone and a zone test., both of the test's own, in the namespace of h. This is the true
// delegation that a resolver follows to example.test. Each zone has its own address. servers are the names and
// addresses that example.test is delegated to, with glue.
func startParents(t testing.TB, h *Host, root, tld string, servers map[string][]string) {
	t.Helper()
	var delegation strings.Builder
	for name, addrs := range servers {
		fmt.Fprintf(&delegation, "example.test. 3600 NS %s\n", name)
		for _, a := range addrs {
			kind := "A"
			if strings.Contains(a, ":") {
				kind = "AAAA"
			}
			fmt.Fprintf(&delegation, "%s 3600 %s %s\n", name, kind, a)
		}
	}
	startParent(t, h, root, ".", fmt.Sprintf(`
. 3600 SOA a.root. nobody. 1 3600 900 86400 60
. 3600 NS a.root.
a.root. 3600 A %s
test. 3600 NS a.nic.test.
a.nic.test. 3600 A %s
`, root, tld))
	startParent(t, h, tld, "test.", fmt.Sprintf(`
test. 3600 SOA a.nic.test. nobody. 1 3600 900 86400 60
test. 3600 NS a.nic.test.
a.nic.test. 3600 A %s
%s`, tld, &delegation))
}

// startParent serves one zone of delegations: as much of RFC 1034 4.3.2 as a resolver needs on its way down.
func startParent(t testing.TB, h *Host, address, origin, zone string) {
	t.Helper()
	var all []dns.RR
	parser := dns.NewZoneParser(strings.NewReader(zone), origin, "")
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		all = append(all, rr)
	}
	if err := parser.Err(); err != nil {
		t.Fatalf("the parent zone %s: %v", origin, err)
	}
	answer := func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		if o := q.IsEdns0(); o != nil {
			m.SetEdns0(1232, false)
		}
		qname := strings.ToLower(q.Question[0].Name)
		cut := ""
		for _, rr := range all { // the topmost delegation at or above the qname
			n := rr.Header().Name
			if rr.Header().Rrtype == dns.TypeNS && n != origin && dns.IsSubDomain(n, qname) &&
				(cut == "" || dns.CountLabel(n) < dns.CountLabel(cut)) {
				cut = n
			}
		}
		known := false
		for _, rr := range all {
			n := rr.Header().Name
			switch {
			case cut != "" && n == cut && rr.Header().Rrtype == dns.TypeNS:
				m.Ns = append(m.Ns, rr)
			case cut != "" && (rr.Header().Rrtype == dns.TypeA || rr.Header().Rrtype == dns.TypeAAAA):
				for _, ns := range all {
					if ns, ok := ns.(*dns.NS); ok && ns.Header().Name == cut && ns.Ns == n {
						m.Extra = append(m.Extra, rr)
					}
				}
			case cut == "" && n == qname && rr.Header().Rrtype == q.Question[0].Qtype:
				m.Answer = append(m.Answer, rr)
			}
			known = known || dns.IsSubDomain(qname, n)
		}
		if cut == "" {
			m.Authoritative = true
			if len(m.Answer) == 0 {
				m.Ns = append(m.Ns, all[0])
				if !known {
					m.Rcode = dns.RcodeNameError
				}
			}
		}
		w.WriteMsg(m)
	}
	for _, s := range []*dns.Server{
		{PacketConn: h.ListenPacket(t, net.JoinHostPort(address, "53"))},
		{Listener: h.Listen(t, net.JoinHostPort(address, "53"))},
	} {
		s.Handler = dns.HandlerFunc(answer)
		up := make(chan struct{})
		s.NotifyStartedFunc = func() { close(up) }
		go s.ActivateAndServe()
		<-up
		t.Cleanup(func() { s.Shutdown() })
	}
}
