//go:build linux

package scenario

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

	"leeward/integration/lab"
)

// sighting is one query for an address policy, and its response.
type sighting struct {
	server         string // region of the server asked, or "resolver"
	client         *lab.Region
	question       lab.Question
	sent, received time.Time
	addresses      []netip.Addr
	wrong          string // what is wrong with the response at any time, or that there was none
	lost           bool   // there was no response
	refused        bool   // it is REFUSED or SERVFAIL
	limited        bool   // it is truncated and empty, because of the rate limit: resolvers ask again over TCP
}

// names says whether the answer holds an address of the region.
func (s *sighting) names(r *lab.Region) bool {
	for _, a := range s.addresses {
		if slices.Contains(r.Addresses(a.Is6()), a) {
			return true
		}
	}
	return false
}

// load is a constant stream of queries to each server and through the resolver, until stop.
type load struct {
	w    *lab.World
	mu   sync.Mutex
	seen []*sighting

	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// startLoad asks every server directly, for a client of each region, with about 50 queries a second and client over UDP
// and some over TCP. It asks the resolver as clients of each region. Servers are asked from the client's namespace.
// Each server is also asked from inside its own region, as "inside <region>".
func startLoad(t *testing.T, w *lab.World) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{w: w, cancel: cancel}
	t.Cleanup(l.stop)
	for _, s := range w.Regions {
		for i, c := range w.Regions {
			address := s.Server.DNS
			if w.Yard.IPv6 && i%2 == 1 {
				address = net.JoinHostPort(s.IP6(1), "53")
			}
			l.wg.Go(func() { l.direct(ctx, w.Client, s.Name, address, c, "udp", 20*time.Millisecond) })
		}
		l.wg.Go(func() { l.direct(ctx, w.Client, s.Name, s.Server.DNS, s, "tcp", 100*time.Millisecond) })
		l.wg.Go(func() { l.direct(ctx, s.Host, "inside "+s.Name, s.Server.DNS, s, "udp", 50*time.Millisecond) })
	}
	for _, c := range w.Regions {
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

// sightings returns the sightings so far for which keep holds, in the order of their responses.
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
	q    lab.Question
	want []string
}{
	{lab.Question{Name: "example.test", Qtype: dns.TypeMX}, []string{"10 mail.example.test."}},
	{lab.Question{Name: "nope.example.test", Qtype: dns.TypeA}, []string{"NXDOMAIN"}},
	{lab.Question{Name: "www.example.test", Qtype: dns.TypeTXT}, []string{"NODATA"}},
	{lab.Question{Name: "elsewhere.invalid", Qtype: dns.TypeA}, []string{"REFUSED"}},
}

// direct asks one server for one client on one socket. Over TCP it connects for each query.
func (l *load) direct(ctx context.Context, from *lab.Host, server, address string, client *lab.Region, network string,
	every time.Duration,
) {
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
		s.question = lab.Question{
			Name: "www.example.test", Qtype: dns.TypeA,
			Client: netip.MustParsePrefix(client.Client.Network), Network: network,
		}
		if n%2 == 1 {
			s.question.Name = "example.test"
		}
		if l.w.Yard.IPv6 && n%4 >= 2 {
			s.question.Qtype = dns.TypeAAAA
		}
		constant := -1
		if n%8 == 7 {
			constant = n / 8 % len(fixed)
			s.question.Name, s.question.Qtype = fixed[constant].q.Name, fixed[constant].q.Qtype
		}
		var err error
		if c == nil {
			c, err = from.Dial(net.Dialer{Timeout: 5 * time.Second}, network, address)
		}
		var m *dns.Msg
		if err == nil {
			m, err = lab.Exchange(c, s.question.Message(), 5*time.Second)
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
			if got := lab.VerdictOf(m); !slices.Equal(got, fixed[constant].want) {
				s.wrong = fmt.Sprintf("it is %v, want %v", got, fixed[constant].want)
			}
		default:
			s.addresses, s.wrong = steered(m, s.question, l.w.Plan.TTL)
		}
		if constant < 0 || s.wrong != "" {
			l.note(s)
		}
	}
}

// steered checks what must hold of every answer for a policy at any time.
func steered(m *dns.Msg, q lab.Question, ttl time.Duration) ([]netip.Addr, string) {
	got := lab.Addresses(m)
	switch {
	case m.Rcode != dns.RcodeSuccess:
		return nil, "it is " + dns.RcodeToString[m.Rcode]
	case !m.Authoritative:
		return nil, "the AA bit is not set"
	case m.Truncated:
		return nil, "the TC bit is set"
	case len(got) == 0 || len(got) != len(m.Answer):
		return nil, fmt.Sprintf("the answer section is %v", m.Answer)
	case lab.Scope(m) < 1 || lab.Scope(m) > 24:
		return nil,
			fmt.Sprintf("the ECS scope is %d: the answer is another one for clients elsewhere, and the same for "+
				"all of %v",
				lab.Scope(m), q.Client)
	}
	for _, rr := range m.Answer {
		if rr.Header().Ttl != uint32(ttl.Seconds()) {
			return nil, fmt.Sprintf("the TTL is %d, the policy's is %v", rr.Header().Ttl, ttl)
		}
	}
	return got, ""
}

// resolved asks the resolver as a client of the region does, each query on a socket of its own, so that a slow one
// delays no other.
func (l *load) resolved(ctx context.Context, client *lab.Region, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	dialer := net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.UDPAddr{IP: client.ClientAddress().AsSlice()}}
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		l.wg.Go(func() {
			q := lab.Question{Name: "www.example.test", Qtype: dns.TypeA}
			if l.w.Yard.IPv6 && n%2 == 1 {
				q.Qtype = dns.TypeAAAA
			}
			s := &sighting{server: "resolver", client: client, question: q}
			var r *dns.Msg
			var err error
			// A stub resolver waits 5 s, and asks once more. The resolver may take longer if it has asked a server that
			// is gone, while it answers the same question at once when asked again.
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
				if s.addresses = lab.Addresses(r); len(s.addresses) == 0 {
					s.wrong = "the answer is empty"
				}
			}
			l.note(s)
		})
	}
}

// resolve puts one query to the resolver, from the address that the dialer names.
func (l *load) resolve(dialer net.Dialer, q lab.Question) (*dns.Msg, error) {
	m := q.Message()
	m.RecursionDesired = true
	c, err := l.w.Client.Dial(dialer, "udp", l.w.Resolver)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return lab.Exchange(c, m, 5*time.Second)
}
