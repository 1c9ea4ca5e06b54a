package socket

import (
	"net/netip"
	"slices"
	"sync"
)

// turns bounds how many exchanges run at once, and shares the turns among clients. No client has more than its share.
// The next turn goes to the client with the fewest; among equals, first come, first served. So a client with one
// exchange waits behind one exchange of each other client, and not behind all of one client's.
type turns struct {
	share int // most turns of one client at once

	mu    sync.Mutex
	free  int
	held  map[netip.Prefix]int
	queue []*turn // in the order they came
}

// turn is a place in the queue, and later a turn.
type turn struct {
	of    netip.Prefix
	ready chan struct{} // closed when it is its turn
	had   bool          // it was its turn
}

func newTurns(n, share int) *turns {
	return &turns{share: share, free: n, held: map[netip.Prefix]int{}}
}

// ask returns a place in the queue. The caller gives it back with leave, whether it got its turn or not.
func (t *turns) ask(of netip.Prefix) *turn {
	n := &turn{of: of, ready: make(chan struct{})}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queue = append(t.queue, n)
	t.next()
	return n
}

// leave ends a turn, or gives up waiting for it.
func (t *turns) leave(n *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !n.had {
		t.queue = slices.DeleteFunc(t.queue, func(q *turn) bool { return q == n })
		return
	}
	t.free++
	if t.held[n.of]--; t.held[n.of] == 0 {
		delete(t.held, n.of)
	}
	t.next()
}

// next gives out free turns. The caller holds the lock. The queue has at most one place for each connection.
func (t *turns) next() {
	for t.free > 0 {
		best := -1
		for i, n := range t.queue {
			if t.held[n.of] < t.share && (best < 0 || t.held[n.of] < t.held[t.queue[best].of]) {
				best = i
			}
		}
		if best < 0 {
			return
		}
		n := t.queue[best]
		t.queue = slices.Delete(t.queue, best, best+1)
		t.free--
		t.held[n.of]++
		n.had = true
		close(n.ready)
	}
}
