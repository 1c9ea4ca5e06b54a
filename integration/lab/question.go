//go:build linux

package lab

import (
	"cmp"
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

// Question is one query: what is asked, of whom, for which client, over which transport.
type Question struct {
	Name    string
	Qtype   uint16
	Client  netip.Prefix // ECS; not sent if it is not valid
	Network string       // "udp" if empty, "tcp"
}

func (q Question) String() string {
	s := q.Name + " " + dns.TypeToString[q.Qtype]
	if q.Client.IsValid() {
		s += " client=" + q.Client.String()
	}
	if q.Network == "tcp" {
		s += " over TCP"
	}
	return s
}

func (q Question) Message() *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(q.Name), q.Qtype)
	m.RecursionDesired = false
	m.SetEdns0(1232, false)
	if q.Client.IsValid() {
		e := &dns.EDNS0_SUBNET{
			Code: dns.EDNS0SUBNET, SourceNetmask: uint8(q.Client.Bits()),
			Address: net.IP(q.Client.Masked().Addr().AsSlice()), Family: 1,
		}
		if q.Client.Addr().Is6() {
			e.Family = 2
		}
		m.IsEdns0().Option = append(m.IsEdns0().Option, e)
	}
	return m
}

// Ask sends one query on a connection of its own to server (an address and port) from the host h, or the machine.
func Ask(h *Host, server string, q Question) (*dns.Msg, error) {
	c, err := h.Dial(net.Dialer{Timeout: 5 * time.Second}, cmp.Or(q.Network, "udp"), server)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return Exchange(c, q.Message(), 5*time.Second)
}

// Exchange sends m on c and reads its response. It ignores other responses on c, which belong to queries that were
// given up.
func Exchange(c net.Conn, m *dns.Msg, limit time.Duration) (*dns.Msg, error) {
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

// Addresses returns the A and AAAA addresses of the answer section, sorted.
func Addresses(m *dns.Msg) []netip.Addr {
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

// RDATA returns each answer's data as text, sorted.
func RDATA(m *dns.Msg) []string {
	var all []string
	for _, rr := range m.Answer {
		all = append(all, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	slices.Sort(all)
	return all
}

// Scope returns the ECS scope prefix length of a response, or -1 if it has none.
func Scope(m *dns.Msg) int {
	if o := m.IsEdns0(); o != nil {
		for _, option := range o.Option {
			if e, ok := option.(*dns.EDNS0_SUBNET); ok {
				return int(e.SourceScope)
			}
		}
	}
	return -1
}

// Expect asks until the answer to q is exactly these data, or limit has passed. An RCODE such as "NXDOMAIN" stands for
// itself, "NODATA" for an empty NOERROR.
func Expect(t testing.TB, limit time.Duration, server string, q Question, want ...string) {
	t.Helper()
	slices.Sort(want)
	Until(t, limit, fmt.Sprintf("%v at %s is %v", q, server, want), func() error {
		m, err := Ask(nil, server, q)
		if err != nil {
			return err
		}
		if got := VerdictOf(m); !slices.Equal(got, want) {
			return fmt.Errorf("it is %v", got)
		}
		return nil
	})
}

// VerdictOf returns what Expect compares: the data, or a word if there are none.
func VerdictOf(m *dns.Msg) []string {
	switch {
	case m.Rcode != dns.RcodeSuccess:
		return []string{dns.RcodeToString[m.Rcode]}
	case len(m.Answer) == 0:
		return []string{"NODATA"}
	}
	return RDATA(m)
}

// Still asks once and fails the test if the answer is not exactly these data.
func Still(t testing.TB, server string, q Question, want ...string) {
	t.Helper()
	slices.Sort(want)
	m, err := Ask(nil, server, q)
	if err != nil {
		t.Fatalf("%v at %s: %v", q, server, err)
	}
	if got := VerdictOf(m); !slices.Equal(got, want) {
		t.Fatalf("%v at %s is %v, want %v\n%v", q, server, got, want, m)
	}
}

// isTimeout says whether err is a deadline that passed.
func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// Transferred asks a server for a zone.
func Transferred(t *testing.T, server, origin string) []dns.RR {
	t.Helper()
	var all []dns.RR
	Until(t, time.Minute, origin+" is transferred", func() error {
		c, err := net.Dial("tcp", server)
		if err != nil {
			return err
		}
		defer c.Close()
		m := new(dns.Msg)
		m.SetAxfr(dns.Fqdn(origin))
		in, err := (&dns.Transfer{Conn: &dns.Conn{Conn: c}}).In(m, server)
		if err != nil {
			return err
		}
		all = nil
		for e := range in {
			if e.Error != nil {
				return e.Error
			}
			all = append(all, e.RR...)
		}
		return nil
	})
	return all
}
