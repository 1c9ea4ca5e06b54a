// Package sourcetest receives what a source of resources delivers, for tests.
package sourcetest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"leeward/zones"
)

// Patience is how long a test waits for what must happen; nothing is judged by time.
const Patience = 60 * time.Second

// Reader is the receiver of a Follow.
type Reader struct {
	t    *testing.T
	Stop func()

	Mu         sync.Mutex
	changed    *sync.Cond
	Batches    []zones.Batch
	Conditions []zones.Condition
	Have       map[zones.Key]string // what a receiver has that accepts everything: Encode's text, or "!" and the error
	late       bool
}

// Follow follows until the test ends or stop is called.
func Follow(t *testing.T, follow func(context.Context, func(zones.Batch), func(zones.Condition)) error) *Reader {
	r := &Reader{t: t, Have: map[zones.Key]string{}}
	r.changed = sync.NewCond(&r.Mu)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := follow(ctx, r.deliver, r.tell); err != context.Canceled {
			t.Errorf("Follow ended with %v", err)
		}
	}()
	r.Stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(r.Stop)
	return r
}

func (r *Reader) deliver(b zones.Batch) {
	r.Mu.Lock()
	defer r.Mu.Unlock()
	if n := len(r.Batches); n > 0 && !b.Full && b.Revision <= r.Batches[n-1].Revision {
		r.t.Errorf("revision %d after %d", b.Revision, r.Batches[n-1].Revision)
	}
	r.Batches = append(r.Batches, b)
	if b.Full {
		clear(r.Have)
	}
	for _, c := range b.Changes {
		switch {
		case c.Err != nil:
			r.Have[c.Key] = "!" + c.Err.Error()
		case c.Resource == nil:
			delete(r.Have, c.Key)
		default:
			text, err := zones.Encode(c.Resource)
			if err != nil {
				r.t.Error(err)
			}
			r.Have[c.Key] = string(text)
		}
	}
	r.changed.Broadcast()
}

func (r *Reader) tell(c zones.Condition) {
	r.Mu.Lock()
	defer r.Mu.Unlock()
	r.Conditions = append(r.Conditions, c)
	r.changed.Broadcast()
}

// Until waits until the condition holds, under the lock.
func (r *Reader) Until(what string, holds func() bool) {
	r.t.Helper()
	watchdog := time.AfterFunc(Patience, func() {
		r.Mu.Lock()
		defer r.Mu.Unlock()
		r.late = true
		r.changed.Broadcast()
	})
	defer watchdog.Stop()
	r.Mu.Lock()
	defer r.Mu.Unlock()
	for !holds() {
		if r.late {
			last := zones.Condition{}
			if n := len(r.Conditions); n > 0 {
				last = r.Conditions[n-1]
			}
			r.t.Fatalf("waited in vain for %s; last condition %+v; has %v", what, last, r.Have)
		}
		r.changed.Wait()
	}
}

// State waits for a state that is reported after mark conditions.
func (r *Reader) State(s zones.State, mark int) zones.Condition {
	r.t.Helper()
	var found zones.Condition
	r.Until(string(s), func() bool {
		for _, c := range r.Conditions[mark:] {
			if c.State == s {
				found = c
				return true
			}
		}
		return false
	})
	return found
}

// Mark returns how many conditions have been reported.
func (r *Reader) Mark() int {
	r.Mu.Lock()
	defer r.Mu.Unlock()
	return len(r.Conditions)
}

// Revision waits until a batch of at least that revision is delivered.
func (r *Reader) Revision(at int64) {
	r.t.Helper()
	r.Until("the revision", func() bool { return len(r.Batches) > 0 && r.Batches[len(r.Batches)-1].Revision >= at })
}

// Since returns the conditions reported since a mark.
func (r *Reader) Since(mark int) []zones.Condition {
	r.Mu.Lock()
	defer r.Mu.Unlock()
	return slices.Clone(r.Conditions[mark:])
}

func (r *Reader) Full() int {
	r.Mu.Lock()
	defer r.Mu.Unlock()
	n := 0
	for _, b := range r.Batches {
		if b.Full {
			n++
		}
	}
	return n
}

func (r *Reader) Value(k zones.Key) (string, bool) {
	r.Mu.Lock()
	defer r.Mu.Unlock()
	v, ok := r.Have[k]
	return v, ok
}
