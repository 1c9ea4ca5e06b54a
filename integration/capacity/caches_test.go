//go:build linux

package capacity

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/ipv4"

	"leeward/integration/lab"
)

// answer is what a resolver was answered, and when that expires.
type answer struct {
	subnet    netip.Prefix // that it is for; everybody if the resolver sends no ECS
	balancers []*balancer
	expires   time.Duration
}

// cache is a resolver. It keeps answers for their TTL, each for the subnet that the server gave as its scope (RFC 7871
// section 7.3.1). Without an answer it asks one of the servers, from an address of its own. If its servers do not
// answer, its clients keep what they had.
type cache struct {
	address netip.Addr
	answers []*answer
}

// everybody is the subnet of an answer to a query without ECS.
var everybody = netip.MustParsePrefix("0.0.0.0/0")

// find returns the answer for a client, the one for the longest subnet if there are several.
func (c *cache) find(client netip.Addr, now time.Duration) (best *answer) {
	live := c.answers[:0]
	for _, a := range c.answers {
		if now >= a.expires {
			continue
		}
		live = append(live, a)
		if a.subnet.Contains(client) && (best == nil || a.subnet.Bits() > best.subnet.Bits()) {
			best = a
		}
	}
	clear(c.answers[len(live):])
	c.answers = live
	return best
}

// audience is the clients of a region that get the same answers from one cache.
type audience struct {
	region int
	cache  *cache
	subnet netip.Prefix // that is sent as ECS; not valid: none is
	client netip.Addr
	share  float64 // of the region's clients

	answer *answer
	asking bool

	kept      *answer // of the clients that keep an answer for longer
	keptUntil time.Duration
}

// inquiry is a query under way.
type inquiry struct {
	audience *audience
	until    time.Duration
	server   int
}

// response is what arrived for an inquiry, unread.
type response struct {
	message *dns.Msg
	size    int
}

// socket sends the queries of all caches, each from its cache's own address, and takes the responses to all of them.
type socket struct {
	conn    *ipv4.PacketConn
	queries map[*audience][]byte
	pending map[uint16]*inquiry
	last    uint16

	mu        sync.Mutex
	responses []response
}

// slowest is how long a resolver waits for a server before it asks another.
const slowest = 400 * time.Millisecond

func newSocket(t testing.TB) *socket {
	conn, err := net.ListenPacket("udp4", "0.0.0.0:0") // a packet from elsewhere belongs to no inquiry
	if err != nil {
		t.Fatal(err)
	}
	s := &socket{conn: ipv4.NewPacketConn(conn), queries: map[*audience][]byte{}, pending: map[uint16]*inquiry{}}
	stopped := make(chan struct{})
	t.Cleanup(func() { conn.Close(); <-stopped })
	go func() {
		defer close(stopped)
		buf := make([]byte, 4096)
		for {
			n, _, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			m := new(dns.Msg)
			if m.Unpack(buf[:n]) == nil && m.Response {
				s.mu.Lock()
				s.responses = append(s.responses, response{message: m, size: n})
				s.mu.Unlock()
			}
		}
	}()
	return s
}

// ask sends the audience's question to a server.
func (s *socket) ask(a *audience, server int, to *net.UDPAddr, now time.Duration) error {
	query := s.queries[a]
	if query == nil {
		var err error
		if query, err = (lab.Question{
			Name: steeredName, Qtype: dns.TypeA,
			Client: a.subnet,
		}).Message().Pack(); err != nil {
			return err
		}
		s.queries[a] = query
	}
	for s.last++; s.pending[s.last] != nil; s.last++ {
	}
	query[0], query[1] = byte(s.last>>8), byte(s.last)
	s.pending[s.last] = &inquiry{audience: a, until: now + slowest, server: server}
	a.asking = true
	_, err := s.conn.WriteTo(query, &ipv4.ControlMessage{Src: a.cache.address.AsSlice()}, to)
	return err
}

// received returns the responses since the last call.
func (s *socket) received() (all []response) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all, s.responses = s.responses, nil
	return all
}

// take gives responses to those who asked. It asks another server for whoever got none in time.
func (l *closedLoop) take(now time.Duration) error {
	s := l.socket
	for _, r := range s.received() {
		q := s.pending[r.message.Id]
		if q == nil {
			continue // too late
		}
		delete(s.pending, r.message.Id)
		q.audience.asking = false
		a, err := l.read(q.audience, r.message, now)
		if err != nil {
			if l.meter.wrong++; l.meter.wrong <= 5 {
				l.note("server %s answers %v: %v", l.regions[q.server].Name, q.audience.client, err)
			}
			continue
		}
		q.audience.cache.answers = append(q.audience.cache.answers, a)
		l.turn(q.audience, a, now)
	}
	for id, q := range s.pending {
		if now < q.until {
			continue
		}
		delete(s.pending, id)
		l.meter.unanswered++
		if err := l.ask(q.audience, (q.server+1)%len(l.regions), now); err != nil {
			return err
		}
	}
	return nil
}

// read returns the answer in a response.
func (l *closedLoop) read(a *audience, m *dns.Msg, now time.Duration) (*answer, error) {
	if m.Rcode != dns.RcodeSuccess || len(m.Answer) == 0 {
		return nil, fmt.Errorf("%s with %d records", dns.RcodeToString[m.Rcode], len(m.Answer))
	}
	out := &answer{subnet: everybody}
	ttl := m.Answer[0].Header().Ttl
	for _, rr := range m.Answer {
		ttl = min(ttl, rr.Header().Ttl)
	}
	out.expires = now + time.Duration(ttl)*time.Second
	for _, address := range lab.Addresses(m) {
		b := l.byAddress[address]
		if b == nil {
			return nil, fmt.Errorf("%v is no endpoint", address)
		}
		out.balancers = append(out.balancers, b)
	}
	if a.subnet.IsValid() {
		bits := max(lab.Scope(m), 0)
		out.subnet = netip.PrefixFrom(a.client, min(bits, a.subnet.Bits())).Masked()
	}
	return out, nil
}

// renew lets the audiences whose answer has expired ask again.
func (l *closedLoop) renew(now time.Duration) error {
	for _, a := range l.audiences {
		if a.asking || a.answer != nil && now < a.answer.expires {
			continue
		}
		if known := a.cache.find(a.client, now); known != nil {
			l.turn(a, known, now)
			continue
		}
		if err := l.ask(a, rand.IntN(len(l.regions)), now); err != nil {
			return err
		}
	}
	return nil
}

// ask sends an audience's query to a server. A server that has just ended refuses it, which is no worse than silence.
func (l *closedLoop) ask(a *audience, server int, now time.Duration) error {
	if err := l.socket.ask(a, server, l.servers[server], now); err != nil {
		return fmt.Errorf("query to %v: %w", l.servers[server], err)
	}
	return nil
}

// turn gives an audience a new answer, and counts the clients that move.
func (l *closedLoop) turn(a *audience, to *answer, now time.Duration) {
	if a.answer != nil {
		l.meter.moves(l.demand[a.region].at(now)*a.share*apart(a.answer, to, len(l.regions)), now)
	}
	a.answer = to
	if a.kept == nil || now >= a.keptUntil {
		a.kept, a.keptUntil = to, now+l.plan.keeps
	}
}

// apart is the share of clients that another answer moves to another pool: half the sum of the differences of their
// shares.
func apart(a, b *answer, regions int) (sum float64) {
	for r := range regions {
		d := a.share(r) - b.share(r)
		sum += max(d, -d) / 2
	}
	return sum
}

// share is the share of an answer's addresses that belong to a region.
func (a *answer) share(region int) float64 {
	n := 0
	for _, b := range a.balancers {
		if b.region == region {
			n++
		}
	}
	return float64(n) / float64(len(a.balancers))
}
