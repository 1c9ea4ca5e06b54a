package console

import (
	"context"
	"net"
	"net/http"
	"slices"
	"sync"
)

// gate lets one page be made at a time. Addresses that wait take turns, one page each. So an address that asks for many
// pages waits for its own pages, and each other address waits for at most one of them.
type gate struct {
	mu    sync.Mutex
	busy  bool
	turns []string                   // addresses that wait, the next one first
	of    map[string][]chan struct{} // the requests that wait, by address, the first one first
}

// enter waits for a turn. leave ends the turn, and must be called once.
func (g *gate) enter(ctx context.Context, from string) (leave func(), err error) {
	g.mu.Lock()
	if !g.busy {
		g.busy = true
		g.mu.Unlock()
		return g.leave, nil
	}
	turn := make(chan struct{}, 1)
	if g.of == nil {
		g.of = map[string][]chan struct{}{}
	}
	if len(g.of[from]) == 0 {
		g.turns = append(g.turns, from)
	}
	g.of[from] = append(g.of[from], turn)
	g.mu.Unlock()
	select {
	case <-turn:
		return g.leave, nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	for i, other := range g.of[from] {
		if other == turn {
			if g.of[from] = slices.Delete(g.of[from], i, i+1); len(g.of[from]) == 0 {
				delete(g.of, from) // whoever comes again waits behind the others
				g.turns = slices.DeleteFunc(g.turns, func(other string) bool { return other == from })
			}
			g.mu.Unlock()
			return nil, context.Cause(ctx)
		}
	}
	g.mu.Unlock()
	g.leave() // the turn came at the same moment
	return nil, context.Cause(ctx)
}

// leave passes the turn to the next address.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.turns) == 0 {
		g.busy = false
		return
	}
	from := g.turns[0]
	g.turns = g.turns[1:]
	next := g.of[from][0]
	if g.of[from] = g.of[from][1:]; len(g.of[from]) > 0 {
		g.turns = append(g.turns, from)
	} else {
		delete(g.of, from)
	}
	next <- struct{}{}
}

// addressOf returns where a request comes from, without the port.
func addressOf(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}
