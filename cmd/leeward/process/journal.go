package process

import (
	"io"
	"log/slog"
	"sync"
	"time"
)

// Journal is a log that never blocks its writers. Lines wait in a bounded buffer for one goroutine that writes them,
// because the reader (a pipe, a terminal, a disk) may stand still for ever. Lines that do not fit are dropped and
// counted. Once the journal can write again, it says how many were lost.
type Journal struct {
	to   io.Writer
	told *slog.Logger // writes to the same place, from run's goroutine
	most int          // bytes that may wait

	mu      sync.Mutex
	waiting []byte
	unread  int           // lines dropped since the journal last said so
	dropped uint64        // lines dropped since the start
	wake    chan struct{} // holds one token while something waits
	idle    chan struct{} // closed while nothing waits and nothing is being written
	writing bool
}

// journalBytes is how much of a log may wait, in octets: some thousand lines.
const journalBytes = 1 << 20

// NewJournal returns a journal that writes to w, and a logger that writes to the journal. handler formats lines; it is
// called twice, because the journal also writes lines of its own. The journal's goroutine lives as long as the process.
func NewJournal(w io.Writer, handler func(io.Writer) slog.Handler) (*Journal, *slog.Logger) {
	j := &Journal{
		to: w, told: slog.New(handler(w)), most: journalBytes, wake: make(chan struct{}, 1),
		idle: make(chan struct{}),
	}
	close(j.idle)
	go j.run()
	return j, slog.New(handler(j))
}

// Write takes one line or drops it. It never waits and never fails.
func (j *Journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.waiting)+len(line) > j.most {
		j.unread++
		j.dropped++
		return len(line), nil
	}
	if len(j.waiting) == 0 && !j.writing {
		j.idle = make(chan struct{})
	}
	j.waiting = append(j.waiting, line...)
	select {
	case j.wake <- struct{}{}:
	default:
	}
	return len(line), nil
}

// Dropped returns how many lines were dropped since the start.
func (j *Journal) Dropped() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.dropped
}

// Flush waits until all lines are written, but no longer than d. It reports whether they are.
func (j *Journal) Flush(d time.Duration) bool {
	j.mu.Lock()
	idle := j.idle
	j.mu.Unlock()
	select {
	case <-idle:
		return true
	case <-time.After(d):
		return false
	}
}

// run writes what waits. It never ends.
func (j *Journal) run() {
	var lines []byte
	for range j.wake {
		j.mu.Lock()
		if len(j.waiting) == 0 { // already written with earlier lines
			j.mu.Unlock()
			continue
		}
		lines, j.waiting = j.waiting, lines[:0]
		unread := j.unread
		j.unread = 0
		j.writing = true
		j.mu.Unlock()
		_, _ = j.to.Write(lines) // if it fails there is nobody to tell
		if unread > 0 {
			j.told.Warn("lines of this log are lost: its reader was too slow", "lines", unread)
		}
		j.mu.Lock()
		j.writing = false
		if len(j.waiting) == 0 {
			close(j.idle)
		}
		j.mu.Unlock()
	}
}
