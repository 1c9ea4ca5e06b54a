// Package vantage carries reports between vantages through etcd.
//
// A Link writes what this process reports, one key for each pool, and a heartbeat that shows that the process lives. It
// also follows what all others write, for a health.Board to judge.
//
//	Report, Measure ──▶ own.go   what there is to say ──▶ write.go  one transaction: pools, heartbeat ──▶ etcd
//	Event ◀── value.go  values ◀── follow.go  list, watch ◀────────────────────────────────────────────── etcd
//	a server that probes nothing: bystander.go
//
// Neither side uses leases. A vantage that dies leaves its keys behind, and readers see that they no longer move. No
// caller waits for etcd: reports are kept in memory, only the newest state of a pool is written, and while etcd is away
// nothing piles up.
package vantage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leeward/health"
	"leeward/zones/etcd"
)

// What Options leave out.
const (
	DefaultEvery   = 2 * time.Second
	LeastEvery     = 500 * time.Millisecond
	DefaultGarbage = 24 * time.Hour
)

// Options are a Link's settings.
type Options struct {
	Etcd       *etcd.Cluster // its caller closes it
	ID         string        // this vantage's name: no "/" in it; a Bystander that only follows needs none
	Region     string
	Bystander  bool                  // it probes nothing and reports nothing, and nobody waits for its heartbeat
	Marked     bool                  // a Bystander that answers queries: it is missed when it is gone
	Log        *slog.Logger          // discarded if nil
	Registerer prometheus.Registerer // none if nil
	Now        func() time.Time      // time.Now if nil

	Every   time.Duration // between two heartbeats at most (see beatEvery); DefaultEvery if zero
	Stale   time.Duration // others trust reports for so long after one: health.DefaultStale if zero, at least 2 × Every
	Garbage time.Duration // a vantage that has not moved for so long is cleared away; DefaultGarbage if zero
}

// Link is this process's place among the vantages. Run writes and Follow reads; both may run at once. All other methods
// but Withdraw return at once, and may be called at any time.
type Link struct {
	options Options
	etcd    *etcd.Cluster
	reports string // folder of this vantage's reports
	beat    string // name of this vantage's heartbeat
	about   string // name of what this server says of itself
	metrics metrics
	wake    chan struct{} // there is something to write

	writing sync.Mutex // held while etcd is written to
	turns   etcd.Turns // of who is written to

	mu        sync.Mutex
	sequence  uint64                 // last one used; above all of earlier runs
	run       uint64                 // first one that this run has used; 0: none yet
	pools     map[string]*own        // what there is to say, by pool
	unwritten map[string]bool        // pools whose key is not what it should be
	pacing    pacing                 // when they may be written
	written   map[string]int64       // pool → revision of its key
	assigned  map[health.Target]bool // nil until Assign
	server    json.RawMessage
	untold    bool          // etcd does not hold server as it is now
	toldAt    time.Time     // when server was last written
	beatAt    time.Time     // when the heartbeat was last written
	madeAt    time.Time     // when the last transaction was made
	synced    bool          // etcd's keys of this vantage are known
	revision  int64         // of the heartbeat's key; 0: there is none
	begun     bool          // this run has written
	closed    bool          // withdrawn
	every     time.Duration // between two heartbeats now
	status    Status
	heard     time.Time  // when etcd last told what others report
	lease     etcd.Lease // of a bystander's key; 0: none
	renewed   time.Time  // when the lease was last renewed
}

// Status is how the link to etcd is.
type Status struct {
	Connected bool      // the last attempt to write succeeded
	Since     time.Time // when that last turned
	Problem   string    // why it cannot write, or that another process has the same name; empty: none
	Following bool      // Follow hears what other vantages write
	Unwritten int       // pools whose newest reports etcd does not hold yet
	Reports   int       // targets reported on
}

// New returns a Link that does nothing until it runs. It does not touch etcd.
func New(o Options) (*Link, error) {
	if o.Etcd == nil {
		return nil, errors.New("vantage: Etcd is missing; dial it first")
	}
	if o.ID == "" && !o.Bystander || strings.Contains(o.ID, "/") {
		return nil, fmt.Errorf("vantage: %q is not a vantage's name; give one without \"/\"", o.ID)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	for _, d := range [...]struct {
		value *time.Duration
		def   time.Duration
	}{{&o.Every, DefaultEvery}, {&o.Stale, health.DefaultStale}, {&o.Garbage, DefaultGarbage}} {
		if *d.value <= 0 {
			*d.value = d.def
		}
	}
	o.Stale = max(o.Stale, 2*o.Every)
	start := uint64(o.Now().UnixNano())
	l := &Link{
		options:   o,
		etcd:      o.Etcd,
		reports:   etcd.Reports + o.ID + "/",
		beat:      etcd.Vantages + o.ID,
		about:     etcd.Vantages + o.ID + etcd.Server,
		wake:      make(chan struct{}, 1),
		sequence:  start,
		pools:     map[string]*own{},
		unwritten: map[string]bool{},
		written:   map[string]int64{},
		status:    Status{Since: o.Now()},
		turns:     o.Etcd.Turns(),
		every:     o.Every,
	}
	if o.Bystander {
		l.about = etcd.Servers + o.ID
	}
	l.metrics.register(o.Registerer)
	return l, nil
}

// SetServer sets what this server says of itself, as JSON; nil for nothing. It is written when it changes, under a key
// of its own beside the heartbeat's.
func (l *Link) SetServer(status any) error {
	var text json.RawMessage
	if status != nil {
		var err error
		if text, err = json.Marshal(status); err != nil {
			return fmt.Errorf("vantage: the server's status: %w", err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if string(text) != string(l.server) {
		l.server, l.untold = text, true
		signal(l.wake)
	}
	return nil
}

// Status returns how the link is.
func (l *Link) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.status
	s.Unwritten = len(l.unwritten)
	for _, o := range l.pools {
		s.Reports += len(o.reports)
	}
	return s
}

// Heard returns when etcd last told what other vantages report, or that nothing has changed; zero: never.
func (l *Link) Heard() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.heard
}

func (l *Link) hear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard = l.options.Now()
}

// Withdraw removes all of this vantage's keys from etcd and stops writing. Call it when the process ends on purpose, so
// that nobody waits for its reports to go stale.
func (l *Link) Withdraw(ctx context.Context) error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.writing.Lock()
	defer l.writing.Unlock()
	var err error
	for range l.etcd.Endpoints {
		c := l.member(patience / 2)
		if l.options.Bystander {
			err = l.sayGoodbye(ctx, c)
		} else {
			t := c.Begin().Delete(etcd.Folder(l.reports)).Delete(etcd.One(l.beat)).Delete(etcd.One(l.about))
			_, err = t.Commit(ctx)
		}
		if err == nil || ctx.Err() != nil || !l.turns.Next(ctx) {
			break
		}
	}
	if err != nil && l.options.Bystander {
		return fmt.Errorf("server %s is listed for %s more: %w", l.options.ID, leaseBeats*l.options.Every, err)
	}
	if err != nil {
		return fmt.Errorf("vantage %s was not withdrawn; its reports go stale in %s: %w",
			l.options.ID, l.options.Stale, err)
	}
	return nil
}

// member returns the member that is written to.
func (l *Link) member(patience time.Duration) *etcd.Conn {
	return l.etcd.Member(l.turns.Member()).Within(patience)
}

// signal wakes the reader of the channel. One signal stands for many.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
