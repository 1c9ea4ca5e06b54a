package control

import (
	"slices"
	"sync"
	"time"

	"leeward/geo"
	"leeward/health"
	"leeward/health/resolve"
	"leeward/zones"
	"leeward/zones/dnssec"
	"leeward/zones/snapshot"
)

// inbox holds what the loop will take up in its next turn. Anybody may put something in. Nobody waits for the loop
// except a source: it may be at most maxBatches ahead, so that a flood of changes stays in etcd and not in memory.
type inbox struct {
	mu     sync.Mutex
	room   sync.Cond // signalled when batches are taken; uses mu
	waits  waiting
	closed bool

	wake chan struct{} // has one token while something waits
}

const maxBatches = 256

func newInbox() *inbox {
	b := &inbox{wake: make(chan struct{}, 1)}
	b.room.L = &b.mu
	return b
}

// put runs add under the lock and wakes the loop. After close it does nothing and returns false.
func (b *inbox) put(now time.Time, add func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.putLocked(now, add)
}

func (b *inbox) putLocked(now time.Time, add func()) bool {
	if b.closed {
		return false
	}
	if b.waits.first.IsZero() {
		b.waits.first = now
	}
	add()
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return true
}

// batch adds a batch, and waits for room first.
func (b *inbox) batch(now func() time.Time, batch zones.Batch) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.waits.batches) >= maxBatches && !b.closed {
		b.room.Wait()
	}
	b.putLocked(now(), func() {
		if batch.Full {
			// The list replaces the copy on disk. The loop must still learn that a history has ended.
			b.waits.batches = slices.DeleteFunc(b.waits.batches, func(before zones.Batch) bool {
				batch.Anew = batch.Anew || before.Anew
				return !before.Copy
			})
		}
		b.waits.batches = append(b.waits.batches, batch)
	})
}

// waiting is what one turn takes up.
type waiting struct {
	first     time.Time // when the oldest item came in; zero: there is none
	heard     time.Time // when the oldest item about health came in
	batches   []zones.Batch
	condition *zones.Condition
	health    []func(now time.Time, b *health.Board)
	table     *geo.Table
	resolved  []resolve.Answer
	elsewhere []transferred
	kept      []kept
	keyed     []keyed
	turned    []string    // origins that switched to the signatures of another epoch
	arrived   []string    // origins for which signatures have come
	awaits    [][3]string // see Loop.Awaits
	requests  []func()
}

// keyed is the keys of a zone that is to be signed, or the reason why there are none.
type keyed struct {
	origin string
	keys   *dnssec.Keys
	err    error
}

// kept is the signatures of a zone that an earlier process made.
type kept struct {
	origin string
	*dnssec.Kept
}

// transferred is the state of a zone that lives on another primary.
type transferred struct {
	origin string
	snapshot.Transferred
}

// take empties the inbox. With aside, it takes only what concerns the Board.
func (b *inbox) take(aside bool) (w waiting) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if aside {
		w.health, w.heard = b.waits.health, b.waits.heard
		b.waits.health, b.waits.heard = nil, time.Time{}
		return w
	}
	w, b.waits = b.waits, waiting{}
	b.room.Broadcast()
	return w
}

// close refuses new items and wakes everyone who waits for room.
func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.room.Broadcast()
}
