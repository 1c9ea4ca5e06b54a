package history

import (
	"log/slog"
	"path/filepath"
	"sync"
	"time"
)

// Options configure a Journal.
type Options struct {
	Folder string        // where it is kept; "": in memory only
	Octets int64         // bound of all files together; 0: DefaultOctets
	Age    time.Duration // files with only older events are removed; 0: DefaultAge
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
	mostWaiting = 1 << 14  // events in the queue
	mostHeld    = 64 << 20 // octets that these hold (Event.Holds)
	mostRecent  = 4 << 20  // octets of the newest events; without a folder there are no others
)

// gather is how long the writer rests after a write. Events that come meanwhile are written together, and a kill may
// lose them.
const gather = 10 * time.Millisecond

// Journal is a history that grows. Its methods may be called from several goroutines.
type Journal struct {
	Options

	mu      sync.Mutex
	waiting [][]Event // in parts of partEvents, so that adding never copies what waits
	events  int       // events that wait, or that the writer has taken and not kept yet
	held    int       // octets that these hold
	missed  Missed    // what was dropped and not yet reported; no Events: nothing
	dropped uint64    // since the start
	wake    chan struct{}
	closed  bool
	done    chan struct{} // closed when Run has ended

	book book
	// changes has the events about resources a second time.
	changes book
	sights  book // has the events of the kind Sighted

	again again
}

// Open reads where an earlier history ended, and returns a journal that goes on from there. It never fails: if the
// folder cannot be used, the log says so, and the history is in memory until it can be. Run does the writing.
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
	j := &Journal{
		changes: book{Options: changes}, sights: book{Options: sights},
		Options: o, wake: make(chan struct{}, 1), done: make(chan struct{}), book: book{Options: o},
	}
	for _, b := range j.books() {
		b.opened = make(chan struct{})
	}
	return j
}

// Add takes an event, or drops and counts it. It never waits for a disk. fill completes the event later, in the
// writer's goroutine, so it may only use values that do not change; it may be nil.
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
	if j.events >= mostWaiting || j.held > 0 && j.held+e.Holds > mostHeld {
		if j.missed.Events == 0 {
			j.missed.From = e.Time
		}
		j.missed.Events++
		j.dropped++
		j.missed.Until = e.Time
		j.missed.Changes = j.missed.Changes || e.Kind == Changed || e.Kind == Override || e.Kind == Drill
		return
	}
	j.tellMissed()
	j.queue(e)
}

// queue appends an event to the queue, and wakes the writer. The caller holds the lock.
func (j *Journal) queue(e Event) {
	if n := len(j.waiting); n == 0 || len(j.waiting[n-1]) == partEvents {
		j.waiting = append(j.waiting, nil)
	}
	part := &j.waiting[len(j.waiting)-1]
	*part = append(*part, e)
	j.events++
	j.held += e.Holds
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// tellMissed puts an event about what was dropped into the queue. The caller holds the lock.
func (j *Journal) tellMissed() {
	if j.missed.Events > 0 {
		e := lost(j.missed, "they came faster than they could be kept")
		e.everywhere, j.missed = true, Missed{}
		j.queue(e)
	}
}

// Dropped returns how many events were dropped since the start because the queue was full.
func (j *Journal) Dropped() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.dropped
}

// Run writes events as they are added, until Close, and then those that still wait.
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
			j.endAgain(false)
			j.all((*book).sync)
			continue
		}
		if j.take(); !open {
			j.endAgain(true)
		}
		j.all((*book).rest)
		if !open {
			j.all((*book).close)
			return
		}
		time.Sleep(gather)
	}
}

func (j *Journal) books() [3]*book { return [...]*book{&j.book, &j.changes, &j.sights} }

// all does something with every book. Only Run calls it: it may wait for a disk.
func (j *Journal) all(f func(*book)) {
	for _, b := range j.books() {
		f(b)
	}
}

// partEvents is how many events are written together.
const partEvents = 256

// take writes everything that waits.
func (j *Journal) take() {
	j.mu.Lock()
	j.tellMissed()
	waiting := j.waiting
	j.waiting = nil
	j.mu.Unlock()
	for k, part := range waiting {
		octets := 0
		for i := range part {
			e := &part[i]
			if octets += e.Holds; e.fill != nil {
				e.fill(e)
				e.fill = nil
			}
		}
		for i := range part {
			if e := &part[i]; e.Again == "" || j.again.take(e, j.Now()) {
				j.add(*e)
			}
		}
		j.all((*book).settle)
		j.mu.Lock()
		j.events -= len(part)
		j.held -= octets
		j.mu.Unlock()
		for i := range part {
			if part[i].kept != nil {
				close(part[i].kept)
			}
		}
		waiting[k] = nil
	}
}

// endAgain keeps what is left of what happened again and again, within hours that have ended or within all.
func (j *Journal) endAgain(all bool) {
	some := false
	j.again.end(j.Now(), all, func(e Event) {
		j.add(e)
		some = true
	})
	if some {
		j.all((*book).settle)
	}
}

// add keeps one event.
func (j *Journal) add(e Event) {
	switch {
	case e.Kind == flushed:
		return
	case e.Kind == Sighted:
		j.sights.add(e)
		return
	case e.everywhere:
		j.sights.add(e) // nobody knows which events they were
	}
	j.book.add(e)
	if e.bound(); e.aboutResources() {
		j.changes.add(e)
	}
}

// Close makes Run write what waits, and end.
func (j *Journal) Close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.closed {
		j.closed = true
		close(j.wake)
	}
}

// Flush waits until everything that was added before is kept, but no longer than d. It reports whether it is.
func (j *Journal) Flush(d time.Duration) bool {
	done := make(chan struct{})
	j.mu.Lock()
	if !j.closed {
		j.queue(Event{Kind: flushed, kept: done})
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
