// Package vantage carries reports between vantages through etcd.
//
// A Link writes what this process reports, one key a pool, and a heartbeat that shows that it lives; and it follows
// what all others write, for a health.Board to judge. Neither side uses leases: a vantage that dies leaves its keys
// behind, and its readers see that they no longer move. Nothing here waits for etcd on behalf of a caller: reports are
// kept in memory, only the newest state of a pool is ever written, and while etcd is away nothing piles up.
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
	Bystander  bool                  // a server that probes nothing: it reports nothing, and nobody waits for its heartbeat
	Log        *slog.Logger          // discarded if nil
	Registerer prometheus.Registerer // none if nil
	Every      time.Duration         // between two heartbeats at most (see beatEvery); DefaultEvery if zero
	Stale      time.Duration         // how long others may trust the reports after one; health.DefaultStale if zero, at least 2 × Every
	Garbage    time.Duration         // keys of a vantage that has not moved for this long are removed; DefaultGarbage if zero
	Now        func() time.Time      // time.Now if nil
}

// Link is this process's place among the vantages. Run writes, Follow reads; both may run at once, and everything else
// may be called at any time and returns at once.
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
	sequence  uint64 // last one used; above all of earlier runs
	pools     map[string]map[string]map[string]entry
	loads     map[string]*poolLoad   // by pool
	unwritten map[string]bool        // pools whose key is not what it should be
	pacing    pacing                 // when they may be written
	written   map[string]int64       // pool → revision of its key
	assigned  map[health.Target]bool // nil until Assign
	server    json.RawMessage
	untold    bool          // etcd does not have it as it is
	toldAt    time.Time     // when it was written last
	synced    bool          // etcd's keys of this vantage are known
	revision  int64         // of the heartbeat's key; 0: there is none
	begun     bool          // this run has written
	closed    bool          // withdrawn
	every     time.Duration // between two heartbeats now
	status    Status
	heard     time.Time  // when the watch on the others said something last
	lease     etcd.Lease // of a bystander's key; 0: none
	renewed   time.Time  // when that was last
}

// Status is how the link to etcd is.
type Status struct {
	Connected bool      // the last write, or the check that nothing needed one, went through
	Since     time.Time // when that last turned
	Problem   string    // what keeps it from writing, or another process under the same name; empty if nothing does
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
		pools:     map[string]map[string]map[string]entry{},
		loads:     map[string]*poolLoad{},
		unwritten: map[string]bool{},
		written:   map[string]int64{},
		status:    Status{Since: o.Now()},
		turns:     o.Etcd.Turns(),
		every:     o.Every,
	}
	if o.Bystander {
		l.about = etcd.Servers + o.ID
	}
	return l, l.metrics.register(o.Registerer)
}

// Assign says which targets this process probes: reports on others are taken back.
func (l *Link) Assign(as []health.Assignment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.assigned == nil {
		l.synced = false // now it can be told which keys an earlier run has left
	}
	l.assigned = make(map[health.Target]bool, len(as))
	shortest := 2 * l.options.Every
	kept := make(map[string]map[string]bool, len(as))
	for i := range as {
		a := &as[i]
		if a.Monitor.External != nil {
			continue
		}
		l.assigned[a.Target] = true
		shortest = min(shortest, a.Monitor.DetectionTime())
		addresses := kept[a.Endpoint]
		if addresses == nil {
			addresses = map[string]bool{}
			kept[a.Endpoint] = addresses
		}
		addresses[addressText(a.Address)] = true
	}
	l.every = beatEvery(shortest, l.options.Every)
	for name, endpoints := range l.pools {
		for endpoint, entries := range endpoints {
			for address := range entries {
				if !kept[name+"/"+endpoint][address] {
					l.remove(name, endpoint, address)
				}
			}
		}
	}
	signal(l.wake)
}

// Report takes this process's newest reports, to be written as soon as may be. Of reports that turn while others are
// being written, only the last is.
func (l *Link) Report(rs []health.Report) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range rs {
		name, endpoint, ok := strings.Cut(r.Endpoint, "/")
		if !ok {
			l.options.Log.Error("a report is of no endpoint", "endpoint", r.Endpoint)
			continue
		}
		address := addressText(r.Address)
		if r.State == health.Unknown && l.assigned != nil && !l.assigned[r.Target] {
			l.remove(name, endpoint, address)
			continue
		}
		endpoints := l.pools[name]
		if endpoints == nil {
			endpoints = map[string]map[string]entry{}
			l.pools[name] = endpoints
		}
		entries := endpoints[endpoint]
		if entries == nil {
			entries = map[string]entry{}
			endpoints[endpoint] = entries
		}
		entries[address] = entryOf(r)
		l.write(name)
	}
	signal(l.wake)
}

// Measure takes what this process says of a pool's load, to be written soon; nothing of it is read back.
func (l *Link) Measure(m *health.Measure) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loads[m.Pool] = loadOf(m)
	l.write(m.Pool)
	signal(l.wake)
}

// Unmeasure takes back what was said of a pool's load.
func (l *Link) Unmeasure(pool string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loads[pool] != nil {
		delete(l.loads, pool)
		l.write(pool)
		signal(l.wake)
	}
}

// remove takes back one report. The mutex is held.
func (l *Link) remove(name, endpoint, address string) {
	endpoints := l.pools[name]
	if _, ok := endpoints[endpoint][address]; !ok {
		return
	}
	delete(endpoints[endpoint], address)
	if len(endpoints[endpoint]) == 0 {
		delete(endpoints, endpoint)
	}
	if len(endpoints) == 0 {
		delete(l.pools, name)
	}
	l.write(name)
}

// SetServer sets what this server says of itself, as JSON; nil for nothing. It has a key of its own beside the
// heartbeat's, and is written when it changes.
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
	for _, endpoints := range l.pools {
		for _, entries := range endpoints {
			s.Reports += len(entries)
		}
	}
	return s
}

// Heard returns when etcd last told what other vantages report, be it that nothing has changed; zero: never.
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

// Withdraw takes all of this vantage's keys out of etcd and writes nothing any more: the process ends on purpose, and
// nobody shall wait for it to go stale.
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
			err = c.Revoke(ctx, l.lease)
		} else {
			_, err = c.Begin().Delete(etcd.Folder(l.reports)).Delete(etcd.One(l.beat)).Delete(etcd.One(l.about)).Commit(ctx)
		}
		if err == nil || ctx.Err() != nil || !l.turns.Next(ctx) {
			break
		}
	}
	if err != nil && l.options.Bystander {
		return fmt.Errorf("server %s is listed for %s more: %w", l.options.ID, leaseBeats*l.options.Every, err)
	}
	if err != nil {
		return fmt.Errorf("vantage %s could not be withdrawn, its reports go stale in %s: %w", l.options.ID, l.options.Stale, err)
	}
	return nil
}

// member returns the member that is written to.
func (l *Link) member(patience time.Duration) *etcd.Conn {
	return l.etcd.Member(l.turns.Member()).Within(patience)
}

// signal wakes the one reader of the channel; one signal stands for many.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
