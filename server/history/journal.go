package history

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"time"
)

// Options are what a Journal is made with.
type Options struct {
	Folder string        // where it is kept; "": in memory only
	Octets int64         // of the files together, at most; 0: DefaultOctets
	Age    time.Duration // files whose events are all older are removed; 0: DefaultAge
	Log    *slog.Logger
	Now    func() time.Time
}

// The bounds of a history, unless an operator says otherwise.
const (
	DefaultOctets = 64 << 20
	DefaultAge    = 30 * 24 * time.Hour
)

// Bounds of what is in memory.
const (
	mostWaiting = 1 << 14 // events in the queue
	mostRecent  = 4 << 20 // octets of the newest events: all that there is without a folder
)

// Journal is a history that grows. Its methods may be called from several goroutines.
type Journal struct {
	Options

	mu      sync.Mutex
	waiting []Event
	missed  Missed // what was dropped since that was last told; no Events: nothing
	dropped uint64 // since the start
	wake    chan struct{}
	closed  bool
	done    chan struct{} // closed when Run has ended

	kept lock // held while what is kept is changed, and for a moment when it is read
	book book
	// changes has the events about resources a second time
	changes book
	sights  book // has the events of the kind Sighted
}

// Open reads where an earlier history ended, and returns a journal that goes on from there. It never fails: a folder
// that cannot be used is told to the log, and the history is in memory until it can be. Run writes.
func Open(o Options) *Journal {
	if o.Octets <= 0 {
		o.Octets = DefaultOctets
	}
	if o.Age <= 0 {
		o.Age = DefaultAge
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	changes, sights := o, o
	if o.Folder != "" {
		changes.Folder = filepath.Join(o.Folder, changesFolder)
		sights.Folder = filepath.Join(o.Folder, sightsFolder)
	}
	changes.Age, sights.Age = 1<<62, sightsAge
	return &Journal{
		changes: book{Options: changes}, sights: book{Options: sights},
		Options: o, wake: make(chan struct{}, 1), done: make(chan struct{}),
		kept: make(lock, 1), book: book{Options: o},
	}
}

// Add takes an event, or drops and counts it. It never waits for a disk. fill, which may be nil, completes the event
// later, in the writer's goroutine: it may only use what does not change.
func (j *Journal) Add(e Event, fill func(*Event)) {
	if j == nil {
		return
	}
	if e.Time.IsZero() {
		e.Time = j.Now()
	}
	e.fill = fill
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return
	}
	if len(j.waiting) >= mostWaiting {
		if j.missed.Events == 0 {
			j.missed.From = e.Time
		}
		j.missed.Events++
		j.dropped++
		j.missed.Until = e.Time
		j.missed.Changes = j.missed.Changes || e.Kind == Changed || e.Kind == Override || e.Kind == Drill
		return
	}
	j.waiting = append(j.waiting, e)
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// Dropped returns how many events were dropped since the start, as the queue was full.
func (j *Journal) Dropped() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.dropped
}

// Run writes what is added until Close, and then what still waits.
func (j *Journal) Run() {
	defer close(j.done)
	j.all((*book).open)
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	for {
		open := true
		select {
		case _, open = <-j.wake:
		case <-tick.C:
			j.all((*book).sync)
			continue
		}
		for j.take() {
		}
		j.all((*book).rest)
		if !open {
			j.all((*book).close)
			return
		}
	}
}

// all does something with every book.
func (j *Journal) all(f func(*book)) {
	j.kept <- held{}
	for _, b := range []*book{&j.book, &j.changes, &j.sights} {
		f(b)
	}
	j.kept.unlock()
}

// turnMost is how many events are written before somebody who reads may have a look.
const turnMost = 256

// take writes some of what waits, and reports whether there is more.
func (j *Journal) take() bool {
	j.mu.Lock()
	n := min(len(j.waiting), turnMost)
	events := append([]Event(nil), j.waiting[:n]...)
	if j.waiting = j.waiting[n:]; len(j.waiting) == 0 {
		j.waiting = nil
	}
	var missed Missed
	if len(j.waiting) == 0 { // what was dropped came after all that waited
		missed, j.missed = j.missed, Missed{}
	}
	more := len(j.waiting) > 0
	j.mu.Unlock()
	for i := range events {
		if e := &events[i]; e.fill != nil {
			e.fill(e)
		}
	}
	j.kept <- held{}
	for i := range events {
		j.add(events[i])
	}
	if missed.Events > 0 {
		e := lost(missed, "they came faster than they could be kept")
		j.add(e)
		j.sights.add(e) // nobody knows what they were
	}
	j.kept.unlock()
	return more
}

// add keeps one event.
func (j *Journal) add(e Event) {
	if e.Kind == Sighted {
		j.sights.add(e)
		return
	}
	j.book.add(e)
	if e.bound(); e.aboutResources() {
		j.changes.add(e)
	}
}

// Close has Run write what waits and end.
func (j *Journal) Close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.closed {
		j.closed = true
		close(j.wake)
	}
}

// Flush waits until all that was added before has been kept, but no longer than d. It reports whether it has.
func (j *Journal) Flush(d time.Duration) bool {
	done := make(chan struct{})
	j.mu.Lock()
	if !j.closed {
		j.waiting = append(j.waiting, Event{Kind: flushed, kept: done})
		select {
		case j.wake <- struct{}{}:
		default:
		}
	}
	j.mu.Unlock()
	select {
	case <-done:
		return true
	case <-j.done:
		return true
	case <-time.After(d):
		return false
	}
}

// flushed is the kind of an event that is not kept.
const flushed Kind = ""

// lock is a mutex that one can give up waiting for: a disk that hangs holds it for as long as it hangs.
type lock chan held

type held struct{}

// busyAfter is how long a reader waits for it.
const busyAfter = 5 * time.Second

// lock takes it, or returns ErrBusy or the context's cause.
func (l lock) lock(ctx context.Context) error {
	limit := time.NewTimer(busyAfter)
	defer limit.Stop()
	select {
	case l <- held{}:
		return nil
	case <-limit.C:
		return ErrBusy
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// unlock gives it back. It returns true.
func (l lock) unlock() bool {
	<-l
	return true
}
