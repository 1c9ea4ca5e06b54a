package process

import (
	"context"
	"sync"
	"time"
)

// reached is the revision that this server answers from. Others wait here for a revision; the loop raises it and never
// waits.
type reached struct {
	mu       sync.Mutex
	revision int64
	moved    chan struct{} // closed when the revision changes; nil: nobody waits
}

// set notes the published revision. It may be lower than before if the source has a new history.
func (r *reached) set(revision int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.revision = revision
	if r.moved != nil {
		close(r.moved)
		r.moved = nil
	}
}

// await returns true once the server answers from revision or a later one, and false after the limit or when ctx ends.
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
