package socket

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultConnections is how many TCP connections may be open at once.
const DefaultConnections = 1024

// TCPLimits bound the cost of TCP connections. The zero value of a field stands for its default.
type TCPLimits struct {
	// open at once; DefaultConnections if zero. If there are too many, the one that has been idle longest is closed
	Connections int
	PerClient   int           // open at once by one IPv4 address or IPv6 /64; 64 if zero, at most Connections
	Idle        time.Duration // without a whole request; 10 s if zero (RFC 7766 6.2.3)
	Write       time.Duration // for the client to read what was written; 5 s if zero
}

func (l TCPLimits) orDefaults() TCPLimits {
	if l.Connections <= 0 {
		l.Connections = DefaultConnections
	}
	if l.PerClient <= 0 {
		l.PerClient = 64
	}
	if l.Idle <= 0 {
		l.Idle = 10 * time.Second
	}
	if l.Write <= 0 {
		l.Write = 5 * time.Second
	}
	l.PerClient = min(l.PerClient, l.Connections)
	return l
}

// closing is why a connection ended.
type closing int

const (
	closedByClient   closing = iota
	closedIdle               // no request for too long
	closedSlow               // a request or a response took too long
	closedBadMessage         // not a query
	closedBroken             // reset, or ended within a request
	closedEvicted            // made room for a newer one
	closedRefused            // over the limit, with none idle to close instead
	closedByStop
	closings
)

var closingNames = [closings]string{"client", "idle", "slow", "bad message", "broken", "evicted", "refused", "stop"}

// connections is the table of open connections. Opening and closing lock it; answering does not.
type connections struct {
	limits TCPLimits
	epoch  time.Time

	mu       sync.Mutex
	open     map[*connection]struct{}
	byClient map[netip.Prefix]int
	over     bool // no more are taken in

	accepted atomic.Uint64
	closed   [closings]atomic.Uint64
}

func newConnections(limits TCPLimits) *connections {
	return &connections{
		limits: limits, epoch: time.Now(),
		open: make(map[*connection]struct{}), byClient: make(map[netip.Prefix]int),
	}
}

// now is the table's clock: nanoseconds since it was made, monotonic.
func (t *connections) now() int64 { return int64(time.Since(t.epoch)) }

// clientGroup is what counts as one client: an IPv4 address, or an IPv6 /64, which one host can have all of.
func clientGroup(a netip.Addr) netip.Prefix {
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.WithZone("").Prefix(bits)
	return p
}

// add takes the connection in, or reports that there is no room. If the client has too many connections, it closes the
// oldest idle one of them; if there are too many in all, it closes another.
func (t *connections) add(c *connection) bool {
	c.group = clientGroup(c.peer.Addr())
	c.gone = make(chan struct{})
	c.waiting.Store(t.now())
	c.ahead.Store(notAhead)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.accepted.Add(1)
	if t.over ||
		t.byClient[c.group] >= t.limits.PerClient && !t.evictIdle(func(o *connection) bool {
			return o.group == c.group
		}) ||
		len(t.open) >= t.limits.Connections && !t.evictFor(c) {
		t.closed[closedRefused].Add(1)
		return false
	}
	t.open[c] = struct{}{}
	t.byClient[c.group]++
	return true
}

// idle returns since when the client counts as idle, if it does. A client that has sent requests without a pause for
// longer than a moment has had its share. So it counts as idle too, as if it had been silent since then.
func (c *connection) idle(now int64) (since int64, is bool) {
	if since = c.waiting.Load(); since >= 0 && since <= now {
		return since, true
	}
	if a := c.ahead.Load(); a <= now-int64(readGrace) {
		return a + int64(readGrace), true
	}
	return 0, false
}

// evictIdle closes the connection among those that has been idle longest, and reports whether there was one. It looks
// at all of them, which takes some microseconds, and happens only if a limit is reached. The caller holds the lock.
func (t *connections) evictIdle(among func(*connection) bool) bool {
	var oldest *connection
	var since int64
	now := t.now()
	for c := range t.open {
		if s, idle := c.idle(now); idle && (oldest == nil || s < since) && among(c) {
			oldest, since = c, s
		}
	}
	return t.evict(oldest)
}

// evictFor closes a connection to make room for a new one, and reports whether it found one. It takes, of clients with
// at least as many connections as the new one's, the connection that has been idle longest, for a moment or more. If
// there is none, it takes one of the client with the most, if that has more than the new client will have. If there is
// none either, it takes the one that has been idle longest. So clients with many connections cannot shut out those with
// few, whatever they do. The caller holds the lock.
func (t *connections) evictFor(newcomer *connection) bool {
	var best *connection
	var rank, most int
	var since int64
	now, has := t.now(), t.byClient[newcomer.group]
	for c := range t.open {
		n := t.byClient[c.group]
		s, idle := c.idle(now)
		r := 2
		switch {
		case n < has:
			continue
		case idle && s <= now-int64(readGrace):
			r, n = 0, 0 // any number
		case n >= has+2:
			r = 1
			if !idle {
				s = now
			}
		case !idle:
			continue
		}
		if best == nil || r < rank || r == rank && (n > most || n == most && s < since) {
			best, rank, most, since = c, r, n, s
		}
	}
	return t.evict(best)
}

// evict closes the connection, and reports whether there is one. The caller holds the lock.
func (t *connections) evict(c *connection) bool {
	if c == nil {
		return false
	}
	c.evicted.Store(true)
	close(c.gone)
	t.forget(c)
	_ = c.Close() // its own goroutine notices and counts it
	return true
}

// makeRoom closes the connection that has been idle longest among those.
func (t *connections) makeRoom(among func(*connection) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.evictIdle(among)
}

// forget takes the connection out of the table. The caller holds the lock.
func (t *connections) forget(c *connection) {
	if _, found := t.open[c]; !found {
		return
	}
	delete(t.open, c)
	if t.byClient[c.group]--; t.byClient[c.group] == 0 {
		delete(t.byClient, c.group)
	}
}

// remove is called once by each connection that has ended.
func (t *connections) remove(c *connection, why closing) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget(c)
	t.closed[why].Add(1)
}

// wake makes every connection that waits look whether the server stops.
func (t *connections) wake() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.open {
		_ = c.SetReadDeadline(time.Now())
	}
}

// cut closes every remaining connection, lets no more in, and returns how many it closed.
func (t *connections) cut() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	for c := range t.open {
		_ = c.Close()
	}
	return len(t.open)
}

// size returns how many connections are open.
func (t *connections) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.open)
}

// listener is where clients connect: a *net.TCPListener, or a transport's wrapper of one.
type listener interface {
	net.Listener
	SetDeadline(t time.Time) error
}

// acceptor accepts the connections of one listen address over one transport.
type acceptor struct {
	server   *Server
	over     *streams
	listener listener
	stopped  chan struct{}
	once     sync.Once
}

func newAcceptor(s *Server, over *streams, l listener) *acceptor {
	return &acceptor{server: s, over: over, listener: l, stopped: make(chan struct{})}
}

// wake makes run look whether the server stops.
func (a *acceptor) wake() {
	a.once.Do(func() { close(a.stopped) })
	_ = a.listener.SetDeadline(time.Now())
}

func (a *acceptor) close() { _ = a.listener.Close() }

// run accepts connections until it is told to stop, takes in those that have connected by then, and waits for them to
// end. After an error that passes, such as a lack of descriptors, it closes the oldest idle connection and tries again,
// each time after a longer pause, up to a second.
func (a *acceptor) run() error {
	const first, longest = 5 * time.Millisecond, time.Second
	s := a.server
	var handlers sync.WaitGroup
	defer handlers.Wait()
	defer a.close()
	failing := false   // accepting fails, and that was logged
	var last time.Time // set at the stop: until then, connections that wait in the kernel are taken in
	for pause := first; ; {
		conn, err := a.listener.Accept()
		switch {
		case err == nil:
			pause = first
			if failing {
				failing = false
				s.log.Info("TCP connections are accepted again", "address", a.listener.Addr().String())
			}
			peer := conn.RemoteAddr().(*net.TCPAddr).AddrPort()
			c := &connection{
				Conn: conn, server: s, over: a.over,
				peer: netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port()),
			}
			if s.table.add(c) {
				handlers.Go(c.run)
			} else {
				_ = conn.Close()
			}
			if !last.IsZero() && time.Now().After(last) {
				return nil
			}
		case errors.Is(err, os.ErrDeadlineExceeded) && s.stopping.Load():
			if !last.IsZero() {
				return nil
			}
			// A connection that is closed unaccepted is reset, and a query in it is lost.
			last = time.Now().Add(lastWait)
			_ = a.listener.SetDeadline(last)
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("tcp %s: %w", a.listener.Addr(), err)
		default:
			if !failing {
				failing = true
				s.log.Warn("cannot accept a TCP connection: closing the one that has been idle longest and trying "+
					"again until it works",
					"address", a.listener.Addr().String(), "error", err)
			}
			s.table.makeRoom(func(*connection) bool { return true })
			select {
			case <-a.stopped:
			case <-time.After(pause):
			}
			pause = min(2*pause, longest)
		}
	}
}
