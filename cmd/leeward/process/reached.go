package process

import (
	"context"
	"sync"
	"time"
)

// reached is the revision that this server answers from, for those who wait for one. The loop raises it, and waits for
// nobody.
type reached struct {
	mu       sync.Mutex
	revision int64
	moved    chan struct{} // closed when it moves; nil: nobody waits
}

// set notes what is published. Another history begins lower.
func (r *reached) set(revision int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.revision = revision
	if r.moved != nil {
		close(r.moved)
		r.moved = nil
	}
}

// await returns when a revision, or a later one, is answered from, and at the latest after the limit.
func (r *reached) await(ctx context.Context, revision int64, limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		r.mu.Lock()
		done := r.revision >= revision
		if !done && r.moved == nil {
			r.moved = make(chan struct{})
		}
		moved := r.moved
		r.mu.Unlock()
		if done {
			return true
		}
		select {
		case <-moved:
		case <-timer.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}
