//go:build linux

package scenario

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// patience is how long a client waits before it counts a query as lost: as long as stub resolvers do.
const patience = 5 * time.Second

// tracks is what clients see while a scenario runs: queries to every server for clients of every region, and through
// the resolver, all the time. Each is independent, so that an unanswered one delays no other.
type tracks struct {
	w      *lab.World
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu  sync.Mutex
	all map[trackKey]*track
}

// trackKey names a stream of queries: to the server of a region, or to "resolver", for clients of a region.
type trackKey struct{ server, client string }

// track is a stream's queries in the order in which they ended, with a response or without one.
type track struct {
	trackKey
	mu        sync.Mutex
	sightings []*sighting
}

// startTracks asks until stop is called.
func startTracks(t testing.TB, w *lab.World) *tracks {
	ctx, cancel := context.WithCancel(context.Background())
	x := &tracks{w: w, ctx: ctx, cancel: cancel, all: map[trackKey]*track{}}
	t.Cleanup(x.stop)
	for _, s := range w.Regions {
		for i, c := range w.Regions {
			k := x.track(s.Name, c.Name)
			address := s.Server.DNS
			if w.Yard.IPv6 && i%2 == 1 {
				address = net.JoinHostPort(s.IP6(1), "53")
			}
			x.wg.Go(func() { x.datagrams(ctx, k, address, c, 40*time.Millisecond) })
		}
		x.wg.Go(func() { x.connections(ctx, x.track(s.Name, s.Name), s.Server.DNS, s, 250*time.Millisecond) })
	}
	for _, c := range w.Regions {
		x.wg.Go(func() { x.resolved(ctx, x.track("resolver", c.Name), c, 250*time.Millisecond) })
	}
	return x
}

// more adds a stream of queries to a server, for clients of the server's own region.
func (x *tracks) more(s *lab.Region, every time.Duration) {
	x.wg.Go(func() { x.datagrams(x.ctx, x.track(s.Name, s.Name), s.Server.DNS, s, every) })
}

// stop ends the queries, and waits for those under way.
func (x *tracks) stop() {
	x.cancel()
	x.wg.Wait()
}

func (x *tracks) track(server, client string) *track {
	x.mu.Lock()
	defer x.mu.Unlock()
	k := trackKey{server, client}
	if x.all[k] == nil {
		x.all[k] = &track{trackKey: k}
	}
	return x.all[k]
}

// each returns the tracks, servers in the order of the regions and the resolver last.
func (x *tracks) each() []*track {
	x.mu.Lock()
	defer x.mu.Unlock()
	order := map[string]int{"resolver": len(x.w.Regions)}
	for i, r := range x.w.Regions {
		order[r.Name] = i
	}
	var all []*track
	for _, k := range x.all {
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b *track) int {
		return cmp.Or(cmp.Compare(order[a.server], order[b.server]), cmp.Compare(order[a.client], order[b.client]))
	})
	return all
}

func (k *track) note(s *sighting) {
	k.mu.Lock()
	k.sightings = append(k.sightings, s)
	k.mu.Unlock()
}

// since returns the queries that were sent after a time and have ended.
func (k *track) since(at time.Time) []*sighting {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []*sighting
	for i := len(k.sightings) - 1; i >= 0; i-- {
		if k.sightings[i].sent.After(at) {
			all = append(all, k.sightings[i])
		} else if k.sightings[i].sent.Before(at.Add(-2 * patience)) {
			break
		}
	}
	slices.Reverse(all)
	return all
}

// next returns the n-th question for a client: both policies, both families, and now and then one whose answer never
// changes, with its number constant.
func (x *tracks) next(n int, client *lab.Region, network string) (q lab.Question, constant int) {
	q = lab.Question{
		Name: "www.example.test", Qtype: dns.TypeA, Client: netip.MustParsePrefix(client.Client.Network),
		Network: network,
	}
	if n%2 == 1 {
		q.Name = "example.test"
	}
	if x.w.Yard.IPv6 && n%4 >= 2 {
		q.Qtype = dns.TypeAAAA
	}
	if n%8 != 7 {
		return q, -1
	}
	constant = n / 8 % len(fixed)
	q.Name, q.Qtype = fixed[constant].q.Name, fixed[constant].q.Qtype
	return q, constant
}

// read notes the response to a query.
func (x *tracks) read(s *sighting, m *dns.Msg, constant int) {
	s.received = time.Now()
	s.limited = m.Truncated && len(m.Answer) == 0
	switch {
	case constant >= 0:
		if got := lab.VerdictOf(m); !slices.Equal(got, fixed[constant].want) {
			s.wrong = fmt.Sprintf("it is %v, want %v", got, fixed[constant].want)
			s.refused = m.Rcode == dns.RcodeServerFailure
		}
	case m.Rcode == dns.RcodeRefused || m.Rcode == dns.RcodeServerFailure:
		s.refused, s.wrong = true, "it is "+dns.RcodeToString[m.Rcode]
	default:
		s.addresses, s.wrong = steered(m, s.question, x.w.Plan.TTL)
	}
}

// flying is a query that waits for its response.
type flying struct {
	*sighting
	constant int
}

// datagrams sends a query to a server each time, whether or not the ones before have been answered.
func (x *tracks) datagrams(ctx context.Context, k *track, address string, client *lab.Region, every time.Duration) {
	socket, err := x.w.Client.Dial(net.Dialer{}, "udp", address)
	if err != nil {
		k.note(&sighting{
			server: k.server, client: client, sent: time.Now(), received: time.Now(), wrong: err.Error(),
			lost: true,
		})
		return
	}
	var mu sync.Mutex
	waiting := map[uint16]flying{}
	var reading sync.WaitGroup
	reading.Go(func() {
		c := &dns.Conn{Conn: socket, UDPSize: 4096}
		for {
			m, err := c.ReadMsg()
			if err != nil {
				if isClosed(err) {
					return
				}
				continue // nobody listens there at the moment
			}
			mu.Lock()
			f, ok := waiting[m.Id]
			if ok && m.Response && len(m.Question) == 1 && m.Question[0].Qtype == f.question.Qtype {
				delete(waiting, m.Id)
			} else {
				ok = false
			}
			mu.Unlock()
			if ok {
				x.read(f.sighting, m, f.constant)
				k.note(f.sighting)
			}
		}
	})
	expire := func(before time.Time) (left int) {
		mu.Lock()
		defer mu.Unlock()
		for id, f := range waiting {
			if f.sent.Before(before) {
				delete(waiting, id)
				f.received, f.lost, f.wrong = time.Now(), true, "no response"
				k.note(f.sighting)
			}
		}
		return len(waiting)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := 0; ; n++ {
		<-tick.C
		left := expire(time.Now().Add(-patience))
		if ctx.Err() != nil {
			if left == 0 {
				socket.Close()
				reading.Wait()
				return
			}
			continue
		}
		q, constant := x.next(n, client, "udp")
		m := q.Message()
		m.Id = uint16(n)
		packed, err := m.Pack()
		if err != nil {
			panic(err)
		}
		s := &sighting{server: k.server, client: client, question: q, sent: time.Now()}
		mu.Lock()
		waiting[m.Id] = flying{s, constant}
		mu.Unlock()
		if _, err := socket.Write(packed); err != nil {
			socket.Write(packed) // the error was that of the query before
		}
	}
}

// connections sends each query to a server over a connection of its own.
func (x *tracks) connections(ctx context.Context, k *track, address string, client *lab.Region, every time.Duration) {
	x.regularly(ctx, every, func(n int) {
		q, constant := x.next(n, client, "tcp")
		s := &sighting{server: k.server, client: client, question: q, sent: time.Now()}
		c, err := x.w.Client.Dial(net.Dialer{Timeout: patience}, "tcp", address)
		var m *dns.Msg
		if err == nil {
			m, err = lab.Exchange(c, q.Message(), patience)
			c.Close()
		}
		if err != nil {
			s.received, s.lost, s.wrong = time.Now(), true, "no response: "+err.Error()
		} else {
			x.read(s, m, constant)
		}
		k.note(s)
	})
}

// resolved asks the resolver as clients of a region do: like a stub resolver, which waits 5 s and asks once more.
func (x *tracks) resolved(ctx context.Context, k *track, client *lab.Region, every time.Duration) {
	dialer := net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.UDPAddr{IP: client.ClientAddress().AsSlice()}}
	l := &load{w: x.w}
	x.regularly(ctx, every, func(n int) {
		q := lab.Question{Name: "www.example.test", Qtype: dns.TypeA}
		if x.w.Yard.IPv6 && n%2 == 1 {
			q.Qtype = dns.TypeAAAA
		}
		s := &sighting{server: k.server, client: client, question: q}
		var m *dns.Msg
		var err error
		for attempt := 0; attempt < 2 && m == nil; attempt++ {
			s.sent = time.Now()
			m, err = l.resolve(dialer, q)
		}
		s.received = time.Now()
		switch {
		case err != nil:
			s.lost, s.wrong = true, "no response: "+err.Error()
		case m.Rcode != dns.RcodeSuccess:
			s.refused, s.wrong = true, "it is "+dns.RcodeToString[m.Rcode]
		default:
			if s.addresses = lab.Addresses(m); len(s.addresses) == 0 {
				s.wrong = "the answer is empty"
			}
		}
		k.note(s)
	})
}

// regularly runs f again and again, each time in a goroutine of its own.
func (x *tracks) regularly(ctx context.Context, every time.Duration, f func(n int)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		x.wg.Go(func() { f(n) })
	}
}

func isClosed(err error) bool { return strings.Contains(err.Error(), "use of closed") }
