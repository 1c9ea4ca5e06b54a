//go:build linux

package integration

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// sighting is one query for an address policy and what came back.
type sighting struct {
	server         string // region of the server asked, or "resolver"
	client         *region
	question       question
	sent, received time.Time
	addresses      []netip.Addr
	wrong          string // what is wrong with the response whatever the time, or that there was none
	lost           bool   // there was none
	refused        bool   // it is REFUSED or SERVFAIL
	limited        bool   // it is truncated and empty, as the rate limit makes it: resolvers ask again over TCP
}

// names says whether the answer holds an address of the region.
func (s *sighting) names(r *region) bool {
	for _, a := range s.addresses {
		if slices.Contains(r.addresses(a.Is6()), a) {
			return true
		}
	}
	return false
}

// load is a constant stream of queries to each server and through the resolver, until stop.
type load struct {
	w    *world
	mu   sync.Mutex
	seen []*sighting

	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// startLoad asks every server directly, for a client of each region, about 50 queries a second and client over UDP and
// some over TCP, and the resolver as clients of each region. Servers are asked from the client's namespace; each server
// is also asked from inside its own region, as "inside <region>".
func (w *world) startLoad(t *testing.T) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{w: w, cancel: cancel}
	t.Cleanup(l.stop)
	for _, s := range w.regions {
		for i, c := range w.regions {
			address := s.server.dns
			if w.yard.ipv6 && i%2 == 1 {
				address = net.JoinHostPort(s.ip6(1), "53")
			}
			l.wg.Go(func() { l.direct(ctx, w.client, s.name, address, c, "udp", 20*time.Millisecond) })
		}
		l.wg.Go(func() { l.direct(ctx, w.client, s.name, s.server.dns, s, "tcp", 100*time.Millisecond) })
		l.wg.Go(func() { l.direct(ctx, s.host, "inside "+s.name, s.server.dns, s, "udp", 50*time.Millisecond) })
	}
	for _, c := range w.regions {
		l.wg.Go(func() { l.resolved(ctx, c, 100*time.Millisecond) })
	}
	return l
}

func (l *load) stop() {
	l.cancel()
	l.wg.Wait()
}

func (l *load) note(s *sighting) {
	l.mu.Lock()
	l.seen = append(l.seen, s)
	l.mu.Unlock()
}

// sightings returns those so far for which keep holds, in the order of their responses.
func (l *load) sightings(keep func(*sighting) bool) []*sighting {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []*sighting
	for _, s := range l.seen {
		if keep(s) {
			all = append(all, s)
		}
	}
	return all
}

// fixed are questions whose answer never changes, whatever is cut.
var fixed = []struct {
	q    question
	want []string
}{
	{question{name: "example.test", qtype: dns.TypeMX}, []string{"10 mail.example.test."}},
	{question{name: "nope.example.test", qtype: dns.TypeA}, []string{"NXDOMAIN"}},
	{question{name: "www.example.test", qtype: dns.TypeTXT}, []string{"NODATA"}},
	{question{name: "elsewhere.invalid", qtype: dns.TypeA}, []string{"REFUSED"}},
}

// direct asks one server for one client on one socket; over TCP it connects for each query.
func (l *load) direct(ctx context.Context, from *host, server, address string, client *region, network string, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var c net.Conn
	defer func() {
		if c != nil {
			c.Close()
		}
	}()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s := &sighting{server: server, client: client, sent: time.Now()}
		s.question = question{name: "www.example.test", qtype: dns.TypeA, client: netip.MustParsePrefix(client.client.network), network: network}
		if n%2 == 1 {
			s.question.name = "example.test"
		}
		if l.w.yard.ipv6 && n%4 >= 2 {
			s.question.qtype = dns.TypeAAAA
		}
		constant := -1
		if n%8 == 7 {
			constant = n / 8 % len(fixed)
			s.question.name, s.question.qtype = fixed[constant].q.name, fixed[constant].q.qtype
		}
		var err error
		if c == nil {
			c, err = from.dial(net.Dialer{Timeout: 5 * time.Second}, network, address)
		}
		var m *dns.Msg
		if err == nil {
			m, err = exchange(c, s.question.message(), 5*time.Second)
		}
		if c != nil && (err != nil || network == "tcp") {
			c.Close()
			c = nil
		}
		if ctx.Err() != nil {
			return
		}
		s.received = time.Now()
		switch {
		case err != nil:
			s.wrong = "no response: " + err.Error()
		case constant >= 0:
			if got := verdictOf(m); !slices.Equal(got, fixed[constant].want) {
				s.wrong = fmt.Sprintf("it is %v, want %v", got, fixed[constant].want)
			}
		default:
			s.addresses, s.wrong = steered(m, s.question, l.w.plan.ttl)
		}
		if constant < 0 || s.wrong != "" {
			l.note(s)
		}
	}
}

// steered checks what must hold of every answer for a policy at any time.
func steered(m *dns.Msg, q question, ttl time.Duration) ([]netip.Addr, string) {
	got := addresses(m)
	switch {
	case m.Rcode != dns.RcodeSuccess:
		return nil, "it is " + dns.RcodeToString[m.Rcode]
	case !m.Authoritative:
		return nil, "the AA bit is not set"
	case m.Truncated:
		return nil, "the TC bit is set"
	case len(got) == 0 || len(got) != len(m.Answer):
		return nil, fmt.Sprintf("the answer section is %v", m.Answer)
	case scope(m) < 1 || scope(m) > 24:
		return nil, fmt.Sprintf("the ECS scope is %d: the answer is another one for clients elsewhere, and the same for all of %v", scope(m), q.client)
	}
	for _, rr := range m.Answer {
		if rr.Header().Ttl != uint32(ttl.Seconds()) {
			return nil, fmt.Sprintf("the TTL is %d, the policy's is %v", rr.Header().Ttl, ttl)
		}
	}
	return got, ""
}

// resolved asks the resolver as a client of the region does, each query on a socket of its own so that a slow one holds
// up no other.
func (l *load) resolved(ctx context.Context, client *region, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	dialer := net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.UDPAddr{IP: client.clientAddress().AsSlice()}}
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		l.wg.Go(func() {
			q := question{name: "www.example.test", qtype: dns.TypeA}
			if l.w.yard.ipv6 && n%2 == 1 {
				q.qtype = dns.TypeAAAA
			}
			s := &sighting{server: "resolver", client: client, question: q}
			var r *dns.Msg
			var err error
			// As a stub resolver does: 5 s, and once more. A query that the resolver has put to a server that is gone
			// can take it longer than that, while the same question asked again is answered at once.
			for attempt := 0; attempt < 2 && r == nil && ctx.Err() == nil; attempt++ {
				s.sent = time.Now()
				r, err = l.resolve(dialer, q)
			}
			if ctx.Err() != nil {
				return
			}
			s.received = time.Now()
			switch {
			case err != nil:
				s.wrong = "no response: " + err.Error()
			case r.Rcode != dns.RcodeSuccess:
				s.wrong = "it is " + dns.RcodeToString[r.Rcode]
			default:
				if s.addresses = addresses(r); len(s.addresses) == 0 {
					s.wrong = "the answer is empty"
				}
			}
			l.note(s)
		})
	}
}

// resolve puts one query to the resolver, from the address that the dialer names.
func (l *load) resolve(dialer net.Dialer, q question) (*dns.Msg, error) {
	m := q.message()
	m.RecursionDesired = true
	c, err := l.w.client.dial(dialer, "udp", l.w.resolver)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return exchange(c, m, 5*time.Second)
}
