// Package resolve looks up endpoints' hostnames, apart from queries: a cloud's load balancer has only a name, and its
// addresses move.
//
// For every assigned name, a Resolver keeps the last addresses and when their TTL ends. It asks a recursive resolver
// for A and AAAA before that, retries soon if it gets no answer, and hands over each Answer. It keeps what it knows
// until it learns something better. So a resolver that fails is reported but changes nothing else: whether the
// addresses still work is for probes to say. That a name does not exist is believed after GoneAfter. With a folder, the
// last answers survive a restart.
//
// It has a stub resolver of its own, because the standard library's does not return TTLs.
package resolve

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Bounds of how often a name is looked up. Within them, it is looked up before its TTL ends.
const (
	MinInterval = 5 * time.Second
	MaxInterval = 5 * time.Minute

	maxRetry    = time.Minute // longest wait after failures, which doubles from MinInterval
	concurrency = 16          // names looked up at once
	lookLimit   = 10 * time.Second
	saveEvery   = time.Second
	saveAgain   = 10 * time.Second // after a failed attempt
)

// Options are a Resolver's settings.
type Options struct {
	Servers []netip.AddrPort // recursive resolvers, asked in this order; empty: those of Config
	// file of the system's resolvers, see resolv.conf(5), followed; empty: /etc/resolv.conf
	Config     string
	State      string                // folder for the last answers; "": they are not kept
	Log        *slog.Logger          // nil: nothing is logged
	Registerer prometheus.Registerer // nil: there are no metrics
	Now        func() time.Time      // nil: time.Now
	Random     func() float64        // 0 to 1, for jitter; nil: math/rand/v2's Float64
	OnAnswer   func(Answer)          // called after each look-up, in order for each name; it must not block
}

// Answer is what is known of a name. It never changes.
type Answer struct {
	Hostname string `json:"hostname"`
	// IPv4 first, sorted, without duplicates; the last known ones while Err is set
	Addresses []netip.Addr `json:"addresses"`
	Known     [2]bool      `json:"known"`         // by family: it was resolved once, perhaps to no addresses
	Expires   time.Time    `json:"-"`             // when the TTL of the last response ends; zero: in an earlier run
	Told      time.Time    `json:"told,omitzero"` // when it was last resolved; zero: never
	// since when its servers say that it has no address; zero: they do not
	Absent time.Time `json:"absent,omitzero"`
	Gone   bool      `json:"gone,omitempty"` // they have said so for GoneAfter: Addresses may belong to somebody else
	Err    string    `json:"-"`              // why the last look-up failed, in full; "": it did not
	Since  time.Time `json:"-"`              // when it first failed, if Err is set
}

// Resolver looks up the names that it is assigned. Make one with New.
type Resolver struct {
	o       Options
	config  config
	metrics metrics
	wake    chan struct{}
	slots   chan struct{}
	look    func(ctx context.Context, name string) (four, six reply)

	mu    sync.Mutex
	names map[string]*entry
	kept  map[string]Answer // of an earlier run, not assigned yet
	dirty bool              // answers differ from those on disk
	asked sync.WaitGroup

	failing string // why the last save failed; "": it did not. Only Run uses it
}

// entry is one assigned name.
type entry struct {
	answer   Answer
	due      time.Time
	busy     bool
	failures int
}

// New returns a Resolver without names. If the folder cannot be read, it only logs that.
func New(o Options) (*Resolver, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Config == "" {
		o.Config = "/etc/resolv.conf"
	}
	if o.OnAnswer == nil {
		o.OnAnswer = func(Answer) {}
	}
	r := &Resolver{
		o: o, wake: make(chan struct{}, 1), slots: make(chan struct{}, concurrency),
		names: map[string]*entry{}, kept: map[string]Answer{},
	}
	r.config = config{servers: o.Servers, file: o.Config, now: o.Now}
	s := &stub{servers: r.config.list}
	r.look = s.both
	if o.State != "" {
		answers, err := load(o.State)
		if err != nil {
			o.Log.Warn("names resolved in an earlier run are not known", "err", err)
		}
		for _, a := range answers {
			r.kept[a.Hostname] = a
		}
	}
	r.metrics.register(o.Registerer)
	return r, nil
}

// Kept returns what an earlier run left in the folder.
func (r *Resolver) Kept() []Answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Answer, 0, len(r.kept))
	for _, a := range r.kept {
		all = append(all, a)
	}
	return all
}

// Servers returns the resolvers that are asked.
func (r *Resolver) Servers() ([]netip.AddrPort, error) { return r.config.list() }

// Assign sets the names to look up, which may contain duplicates. New ones are looked up at once.
func (r *Resolver) Assign(names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	listed := make(map[string]bool, len(names))
	for _, name := range names {
		listed[name] = true
		if r.names[name] == nil {
			a, known := r.kept[name]
			if !known {
				a = Answer{Hostname: name}
			}
			delete(r.kept, name)
			r.names[name] = &entry{answer: a, due: r.o.Now()}
		}
	}
	for name := range r.names {
		if !listed[name] {
			delete(r.names, name)
			r.dirty = true
		}
	}
	r.metrics.count(r.names)
	r.poke()
}

// Answer returns what is known of a name. It returns false if the name is not assigned.
func (r *Resolver) Answer(name string) (Answer, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.names[name]; e != nil {
		return e.answer, true
	}
	return Answer{}, false
}

// Tried reports whether a name has been looked up, in this run or an earlier one, successfully or not.
func (r *Resolver) Tried(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.kept[name]; known {
		return true
	}
	e := r.names[name]
	return e != nil && (!e.answer.Told.IsZero() || e.failures > 0)
}

func (r *Resolver) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run looks names up until the context ends.
func (r *Resolver) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var saved time.Time
	for {
		select {
		case <-ctx.Done():
			r.asked.Wait()
			r.save()
			return context.Cause(ctx)
		case <-r.wake:
		case <-timer.C:
		}
		next := r.begin(ctx)
		if r.o.State != "" && r.unsaved() {
			if now := r.o.Now(); now.Sub(saved) >= r.pace() {
				saved = now
				r.save()
			}
			if at := saved.Add(r.pace()); r.unsaved() && (next.IsZero() || at.Before(next)) {
				next = at
			}
		}
		if timer.Stop(); !next.IsZero() {
			timer.Reset(max(0, next.Sub(r.o.Now())))
		}
	}
}

// Once looks each name up a single time, and returns when all are answered or the context ends.
func (r *Resolver) Once(ctx context.Context) {
	for {
		r.mu.Lock()
		waiting := false
		for _, e := range r.names {
			waiting = waiting || e.answer.Told.IsZero() && e.failures == 0
		}
		r.mu.Unlock()
		if !waiting || ctx.Err() != nil {
			r.asked.Wait()
			return
		}
		r.begin(ctx)
		select {
		case <-r.wake:
		case <-ctx.Done():
		}
	}
}

// begin starts look-ups that are due, as far as there are slots. It returns when the next one is due.
func (r *Resolver) begin(ctx context.Context) (next time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.o.Now()
	for name, e := range r.names {
		if e.busy {
			continue
		}
		if now.Before(e.due) {
			if next.IsZero() || e.due.Before(next) {
				next = e.due
			}
			continue
		}
		select {
		case r.slots <- struct{}{}:
		default:
			continue // the look-up that frees a slot wakes Run
		}
		e.busy = true
		r.asked.Go(func() {
			r.ask(ctx, name, e)
			<-r.slots
			r.poke()
		})
	}
	return next
}

// ask looks one name up.
func (r *Resolver) ask(ctx context.Context, name string, e *entry) {
	began := r.o.Now()
	limited, stop := context.WithTimeoutCause(ctx, lookLimit, errors.New("no answer in time"))
	four, six := r.look(limited, name)
	stop()
	now := r.o.Now()
	r.mu.Lock()
	e.busy = false
	if ctx.Err() != nil {
		r.mu.Unlock()
		return
	}
	before := e.answer
	e.answer = before.fold(four, six, now)
	after := e.answer
	if after.Err != "" {
		e.failures++
	} else {
		e.failures = 0
	}
	e.due = now.Add(r.interval(e, now))
	there := r.names[name] == e
	r.dirty = r.dirty || !same(before, after)
	r.metrics.observe(four, six, now.Sub(began))
	r.metrics.count(r.names)
	r.mu.Unlock()
	switch {
	case !there:
		return
	case after.Gone && !before.Gone:
		r.o.Log.Warn("a hostname is gone; its endpoints count as down",
			"hostname", name, "err", after.Err, "since", after.Absent)
	case after.Err != "" && before.Err == "":
		r.o.Log.Warn("a hostname does not resolve; its last addresses stay",
			"hostname", name, "err", after.Err, "addresses", after.Addresses)
	case after.Err == "" && before.Err != "":
		r.o.Log.Info("a hostname resolves again", "hostname", name, "addresses", after.Addresses)
	}
	r.o.OnAnswer(after)
}

// interval returns the time to the next look-up: most of what is left of the TTL, or longer from failure to failure.
func (r *Resolver) interval(e *entry, now time.Time) time.Duration {
	d := e.answer.Expires.Sub(now) * 9 / 10
	if e.failures > 0 {
		d = MinInterval << min(e.failures-1, 5)
		d = min(d, maxRetry)
	}
	d -= time.Duration(r.o.Random() * float64(d) / 5)
	return min(max(d, MinInterval), MaxInterval)
}
