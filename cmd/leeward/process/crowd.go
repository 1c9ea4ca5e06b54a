package process

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// crowd is a listener that bounds how many connections are open. When one too many comes, it closes another. It
// chooses:
//
//   - one of a client that has more than its share, if there is any,
//   - else one that has not sent a whole request, before one that is being answered.
//
// Among these it takes the client with the most connections, and of that client the one that has waited or been
// answered for longest. So neither idle or slow clients, nor one client with many connections, keep others out. A
// connection that has just come, and whose request is still on its way, is not closed in favour of a client that has
// many.
type crowd struct {
	net.Listener
	most int

	mu   sync.Mutex
	open map[*guest]struct{}
	of   map[netip.Addr]int
}

// guest is one connection of a crowd.
type guest struct {
	net.Conn
	crowd *crowd
	from  netip.Addr
	busy  bool      // its request is complete and being answered
	since time.Time // when busy last changed
}

func newCrowd(l net.Listener, most int) *crowd {
	return &crowd{Listener: l, most: most, open: map[*guest]struct{}{}, of: map[netip.Addr]int{}}
}

// Accept waits for a connection and makes room for it.
func (c *crowd) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		g := &guest{Conn: conn, crowd: c, since: time.Now()}
		if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
			g.from = a.AddrPort().Addr().Unmap()
		}
		if c.admit(g) {
			return g, nil
		}
		_ = conn.Close()
	}
}

// admit takes the connection in if there is room or room can be made.
func (c *crowd) admit(g *guest) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.open) >= c.most {
		var worst *guest
		for o := range c.open {
			if worst == nil || c.before(o, worst) {
				worst = o
			}
		}
		if worst.busy && c.of[worst.from] < c.of[g.from]+2 {
			return false
		}
		c.forget(worst)
		_ = worst.Conn.Close()
	}
	c.open[g] = struct{}{}
	c.of[g.from]++
	return true
}

// share is how many connections a client may have before it is the first to make room for others. It is an equal part
// of all connections, but at least what a browser opens (six, and a few more) if there are enough for that.
func (c *crowd) share() int { return max(c.most/(len(c.of)+1), min(8, c.most/4)) }

// before reports whether a should be closed rather than b.
func (c *crowd) before(a, b *guest) bool {
	share := c.share()
	over := func(g *guest) bool { return c.of[g.from] > share }
	switch {
	case over(a) != over(b):
		return over(a)
	case a.busy != b.busy:
		return b.busy
	case c.of[a.from] != c.of[b.from]:
		return c.of[a.from] > c.of[b.from]
	}
	return a.since.Before(b.since)
}

// forget removes the connection. The caller holds the lock.
func (c *crowd) forget(g *guest) {
	if _, found := c.open[g]; !found {
		return
	}
	delete(c.open, g)
	if c.of[g.from]--; c.of[g.from] == 0 {
		delete(c.of, g.from)
	}
}

func (g *guest) Close() error {
	g.crowd.mu.Lock()
	g.crowd.forget(g)
	g.crowd.mu.Unlock()
	return g.Conn.Close()
}

// turn notes that the connection's request is complete, or that it has been answered.
func (g *guest) turn(busy bool) {
	g.crowd.mu.Lock()
	defer g.crowd.mu.Unlock()
	g.busy, g.since = busy, time.Now()
}

// waits notes that a request waits, either for something to happen, as an event stream does, or for its turn. Until
// goesOn is called, its connection makes room for others as an idle one does.
func (c *crowd) waits(r *http.Request) (goesOn func()) {
	g, ok := r.Context().Value(guestKey{}).(*guest)
	if !ok {
		return func() {}
	}
	g.turn(false)
	return func() { g.turn(true) }
}

type guestKey struct{}

// known puts the connection into the contexts of its requests. It serves as http.Server's ConnContext.
func (c *crowd) known(ctx context.Context, conn net.Conn) context.Context {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	return context.WithValue(ctx, guestKey{}, conn)
}

// handler notes which connections have a request that is being answered.
func (c *crowd) handler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g, ok := r.Context().Value(guestKey{}).(*guest); ok {
			g.turn(true)
			defer g.turn(false)
		}
		h.ServeHTTP(w, r)
	})
}
