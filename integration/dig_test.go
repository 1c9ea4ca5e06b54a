//go:build linux

package integration

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// question is one query: what is asked, of whom, for which client, over which transport.
type question struct {
	name    string
	qtype   uint16
	client  netip.Prefix // ECS; not sent if it is not valid
	network string       // "udp" if empty, "tcp"
}

func (q question) String() string {
	s := q.name + " " + dns.TypeToString[q.qtype]
	if q.client.IsValid() {
		s += " client=" + q.client.String()
	}
	if q.network == "tcp" {
		s += " over TCP"
	}
	return s
}

func (q question) message() *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(q.name), q.qtype)
	m.RecursionDesired = false
	m.SetEdns0(1232, false)
	if q.client.IsValid() {
		e := &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, SourceNetmask: uint8(q.client.Bits()), Address: net.IP(q.client.Masked().Addr().AsSlice()), Family: 1}
		if q.client.Addr().Is6() {
			e.Family = 2
		}
		m.IsEdns0().Option = append(m.IsEdns0().Option, e)
	}
	return m
}

// ask sends one query on a connection of its own to server (an address and port) from the host h, or the machine.
func ask(h *host, server string, q question) (*dns.Msg, error) {
	c, err := h.dial(net.Dialer{Timeout: 5 * time.Second}, cmpOr(q.network, "udp"), server)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return exchange(c, q.message(), 5*time.Second)
}

// exchange sends m on c and reads its response; other responses on c before it (of queries that were given up) are
// passed over.
func exchange(c net.Conn, m *dns.Msg, limit time.Duration) (*dns.Msg, error) {
	conn := &dns.Conn{Conn: c, UDPSize: 4096}
	conn.SetDeadline(time.Now().Add(limit))
	if err := conn.WriteMsg(m); err != nil {
		return nil, err
	}
	for {
		r, err := conn.ReadMsg()
		if err != nil {
			return nil, err
		}
		if r.Id != m.Id {
			continue
		}
		if !r.Response || len(r.Question) != 1 || r.Question[0] != m.Question[0] {
			return nil, fmt.Errorf("a response to another question: %v", r)
		}
		return r, nil
	}
}

func cmpOr(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

// addresses returns the A and AAAA addresses of the answer section, sorted.
func addresses(m *dns.Msg) []netip.Addr {
	var all []netip.Addr
	for _, rr := range m.Answer {
		switch rr := rr.(type) {
		case *dns.A:
			a, _ := netip.AddrFromSlice(rr.A)
			all = append(all, a.Unmap())
		case *dns.AAAA:
			a, _ := netip.AddrFromSlice(rr.AAAA)
			all = append(all, a)
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return all
}

// rdata returns each answer's data as text, sorted.
func rdata(m *dns.Msg) []string {
	var all []string
	for _, rr := range m.Answer {
		all = append(all, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	slices.Sort(all)
	return all
}

// scope returns the ECS scope prefix length of a response, -1 if it has none.
func scope(m *dns.Msg) int {
	if o := m.IsEdns0(); o != nil {
		for _, option := range o.Option {
			if e, ok := option.(*dns.EDNS0_SUBNET); ok {
				return int(e.SourceScope)
			}
		}
	}
	return -1
}

// expect asks until the answer to q is exactly these data (an RCODE such as "NXDOMAIN" stands for itself, "NODATA" for
// an empty NOERROR) or limit has passed.
func expect(t testing.TB, limit time.Duration, server string, q question, want ...string) {
	t.Helper()
	slices.Sort(want)
	until(t, limit, fmt.Sprintf("%v at %s is %v", q, server, want), func() error {
		m, err := ask(nil, server, q)
		if err != nil {
			return err
		}
		if got := verdictOf(m); !slices.Equal(got, want) {
			return fmt.Errorf("it is %v", got)
		}
		return nil
	})
}

// verdictOf is what expect compares: the data, or what stands for there being none.
func verdictOf(m *dns.Msg) []string {
	switch {
	case m.Rcode != dns.RcodeSuccess:
		return []string{dns.RcodeToString[m.Rcode]}
	case len(m.Answer) == 0:
		return []string{"NODATA"}
	}
	return rdata(m)
}

// still asks once and fails the test if the answer is not exactly these data.
func still(t testing.TB, server string, q question, want ...string) {
	t.Helper()
	slices.Sort(want)
	m, err := ask(nil, server, q)
	if err != nil {
		t.Fatalf("%v at %s: %v", q, server, err)
	}
	if got := verdictOf(m); !slices.Equal(got, want) {
		t.Fatalf("%v at %s is %v, want %v\n%v", q, server, got, want, m)
	}
}

// isTimeout says whether err is a deadline that passed.
func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}
