// Package control is the loop that turns what is configured and what is healthy into what is served.
//
//	source ── batches ───┐
//	vantages ─ reports ──┤              ┌─ Catalog ─▶ Builder ─▶ Snapshot ─┐
//	resolver ─ answers ──┼─▶ inbox ─▶ turn                                 ├─▶ State ─▶ Publish
//	geo ────── tables ───┤              └─ Board ──── verdicts ──▶ View ───┘
//	pages ──── requests ─┘
//
// One goroutine owns the Catalog, the Builder and the Board, so nothing here needs a lock. Everybody else puts work
// into the inbox. A turn takes up everything that waits, applies it, and publishes one State. So a flood of changes
// becomes a few large turns, while a single change is served within milliseconds. A turn in which only verdicts changed
// publishes the same Snapshot with a new View. A turn never waits for etcd, a disk or a socket. What takes long to
// apply is applied aside (see aside.go).
package control

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"leeward/geo"
	"leeward/health"
	"leeward/health/resolve"
	"leeward/server/answer"
	"leeward/server/history"
	"leeward/server/transfer"
	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/dnssec"
	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

// LoopOptions are what a Loop works with. The loop calls the functions from its own goroutine, so none may block. It
// does not call a function that is nil, unless the comment of the field says otherwise.
type LoopOptions struct {
	Log     *slog.Logger
	Now     func() time.Time
	Clock   func() time.Time // for building and signing zones; nil: Now
	Metrics *Metrics         // nil: none are taken
	Geo     *geo.Table       // nil: no client's location is known
	Own     string           // the vantage of this process; here its reports never go stale
	Region  string           // where this process is
	Fleet   bool             // there are other vantages to hear from
	ByClock bool             // freshness goes by the writers' clocks, for a process that looks only once

	// Publish serves a state. It must not be nil.
	Publish func(answer.State)
	// Assign is given each program whose targets to probe, or hostnames to resolve, differ from the last.
	Assign func(*steer.Program)
	// Follow is given all zones that live on another primary, whenever a zone has changed.
	Follow func([]transfer.Assignment)
	// Sign is given all zones that are to be signed, whenever a zone has changed. Whoever gets them answers with Keyed.
	// nil: nothing is signed here.
	Sign func([]*zones.Zone)
	// KeysAreFiles says that keys are not rolled here by a zone's settings.
	KeysAreFiles bool
	// Edge says that zones are signed elsewhere. Keyed then hands over what is known of their keys, and Arrived says
	// that signatures have come.
	Edge bool
	// Measure is told what this process knows of a pool's load. Unmeasure is told that it no longer measures a pool.
	Measure   func(*health.Measure)
	Unmeasure func(pool string)

	// Owed gets, after each batch, what the source should keep about serials.
	Owed func(owed zones.Serials, any bool)
	// Keep writes the last good resources to disk.
	Keep func(revision int64, resources *catalog.Frozen)
	// Past is what an earlier run knew of the health of targets. Recall writes what this run knows to disk.
	Past   []health.Past
	Recall func([]health.Past)
	// Pace keeps garbage small until done is called.
	Pace func() (done func())

	// Happened is told what happens, for the history. The function that it gets completes the event, and is called
	// later. It may be nil. See happened.go.
	Happened func(history.Event, func(*history.Event))

	// Sources lists the location databases for the status. nil: the table's own are listed.
	Sources func() []geo.Source
	// CountCountries says to count the clients of policies by country.
	CountCountries bool

	// Names returns what is known of an endpoint's hostname, for the status.
	Names func(hostname string) (resolve.Answer, bool)
}

// Loop is the control loop. Its methods may be called from any goroutine.
type Loop struct {
	o     LoopOptions
	inbox *inbox

	// The fields below belong to the goroutine of Run.
	catalog   *catalog.Catalog
	members   *members
	builder   *snapshot.Builder
	board     *health.Board
	fleet     fleet
	gauges    gauges
	clocks    clocks
	drills    drills
	moves     lastMoves // shared with summaries
	happened  happenings
	seeing    seeing
	began     time.Time
	table     *geo.Table
	condition zones.Condition
	snapshot  *snapshot.Snapshot
	program   *steer.Program
	choice    uint64 // version of the board's choice of the targets that this process probes
	view      *steer.View
	built     zones.Problems // of the last build
	// why newest versions are not in service: the catalog's problems and built
	wrong    zones.Problems
	held     int                             // how many removals the guard holds back
	copied   bool                            // the resources are those of the copy on disk, see revision
	listed   map[zones.Kind][]zones.Resource // see summarized; nil: they must be listed again
	accepted int64                           // the newest revision up to which removals have been accepted
	// another goroutine is applying something large, and owns the catalog until it is done
	aside     bool
	back      chan applied // where that goroutine hands over the result
	asked     []func()     // requests that wait until it is done
	published time.Time
	current   time.Time     // when the snapshot was last known to be the newest; zero: never
	kept      bool          // the resources have been saved at least once
	unsaved   time.Time     // when the oldest unsaved change came; zero: there is none
	changed   time.Time     // when the newest change came that is worth saving
	stale     bool          // answers say that they may be stale
	gather    time.Duration // how long the last save took to freeze the catalog
	recall    time.Time     // when to put what is known of health on disk; zero: nothing is new
	recalled  time.Time     // when health was last saved
	recalling time.Duration // how long gathering it took
	large     bool          // a large batch has come since the last publish, so memory is to be given back
	paced     func()        // gives the memory back

	state    atomic.Pointer[answer.State]
	absorbed atomic.Bool
}

// NewLoop returns a loop that has no resources yet.
func NewLoop(o LoopOptions) *Loop {
	if o.Pace == nil {
		o.Pace = func() func() { return func() {} }
	}
	if o.Clock == nil {
		o.Clock = o.Now
	}
	l := &Loop{
		o: o, inbox: newInbox(), table: o.Geo, fleet: newFleet(),
		catalog: catalog.New(o.Now), members: newMembers(o.Now), builder: snapshot.NewBuilder(o.Clock),
		board:     health.NewBoard(),
		back:      make(chan applied, 1),
		condition: zones.Condition{State: zones.Starting, Since: o.Now()}, began: o.Now(),
		gauges: gauges{pools: map[string]*gauge{}, samples: map[health.Target]sample{}},
	}
	if o.CountCountries {
		l.builder.CountCountries()
	}
	if o.KeysAreFiles {
		l.builder.KeysAreFiles()
	}
	if o.Edge {
		l.builder.Edge()
	}
	if o.Own != "" {
		l.board.Own(o.Own)
		l.board.Place(o.Own, o.Region)
	}
	l.listen()
	l.board.Begin(l.began)
	l.board.Recall(o.Past)
	return l
}

// Batch hands over what has changed at the source. It blocks while the loop is far behind.
func (l *Loop) Batch(b zones.Batch) { l.inbox.batch(l.o.Now, b) }

// Condition hands over the state of this process's connection to its source.
func (l *Loop) Condition(c zones.Condition) {
	l.inbox.put(l.o.Now(), func() { l.inbox.waits.condition = &c })
}

// Health hands over f, which the loop runs on the Board in its next turn.
func (l *Loop) Health(f func(now time.Time, b *health.Board)) {
	now := l.o.Now()
	l.inbox.put(now, func() {
		w := &l.inbox.waits
		if w.heard.IsZero() {
			w.heard = now
		}
		w.health = append(w.health, f)
	})
}

// Report hands over what this process's own probes have found.
func (l *Loop) Report(rs []health.Report) {
	l.Health(func(now time.Time, b *health.Board) {
		l.tellDetected(rs)
		b.Report(now, rs...)
		l.unremembered(now) // the time since when a target is held down is saved too
	})
}

// Geo hands over a new table.
func (l *Loop) Geo(t *geo.Table) { l.inbox.put(l.o.Now(), func() { l.inbox.waits.table = t }) }

// Resolved hands over the addresses that an endpoint's hostname has now.
func (l *Loop) Resolved(a resolve.Answer) {
	l.inbox.put(l.o.Now(), func() { l.inbox.waits.resolved = append(l.inbox.waits.resolved, a) })
}

// Transferred hands over the state of a zone that lives on another primary.
func (l *Loop) Transferred(origin string, t snapshot.Transferred) {
	l.inbox.put(l.o.Now(), func() { l.inbox.waits.elsewhere = append(l.inbox.waits.elsewhere, transferred{origin, t}) })
}

// Turned says that a zone has switched to the signatures of another epoch.
func (l *Loop) Turned(origin string) {
	l.inbox.put(l.o.Now(), func() { l.inbox.waits.turned = append(l.inbox.waits.turned, origin) })
}

// Keyed hands over the keys of a zone that is to be signed, or the reason why there are none.
func (l *Loop) Keyed(origin string, k *dnssec.Keys, err error) {
	l.inbox.put(l.o.Now(), func() { l.inbox.waits.keyed = append(l.inbox.waits.keyed, keyed{origin, k, err}) })
}

// Arrived says that signatures have come for a zone whose keys are elsewhere.
func (l *Loop) Arrived(origin string) {
	l.inbox.put(l.o.Now(), func() { l.inbox.waits.arrived = append(l.inbox.waits.arrived, origin) })
}

// Awaits has the status say what a zone waits for. Each kind has its own text; "" says that it waits for nothing of
// that kind.
func (l *Loop) Awaits(origin, kind, what string) {
	l.inbox.put(l.o.Now(), func() {
		l.inbox.waits.awaits = append(l.inbox.waits.awaits, [3]string{origin, kind, what})
	})
}

// Kept hands over the signatures of a zone that an earlier process made. It must be called before Keyed.
func (l *Loop) Kept(origin string, k *dnssec.Kept) {
	l.inbox.put(l.o.Now(), func() { l.inbox.waits.kept = append(l.inbox.waits.kept, kept{origin, k}) })
}

// State returns what is published, or nil if nothing has been published yet.
func (l *Loop) State() *answer.State { return l.state.Load() }

// Absorbed reports whether the loop is applying a batch so large that the turn may take a while: a list of everything,
// the copy on disk, or LargeBatch changes.
func (l *Loop) Absorbed() bool { return l.absorbed.Load() }

// Ready returns nil once a snapshot is served. Until then it says why there is none.
func (l *Loop) Ready() error {
	if l.State() == nil {
		return errors.New("no snapshot yet: the resources have not been read")
	}
	return nil
}

// ErrStopped says that the loop has ended, and accepts no requests.
var ErrStopped = errors.New("the server is stopping")

// Close refuses everything that is handed over from now on.
func (l *Loop) Close() { l.inbox.close() }

// Do runs f in the loop, after everything that was handed over before, and returns when f has run. f must be short. Do
// returns ErrStopped after Close, and the context's cause if that ends first.
func (l *Loop) Do(ctx context.Context, f func(Inside)) error {
	done := make(chan struct{})
	run := func() { f(Inside{l}); close(done) }
	if !l.inbox.put(l.o.Now(), func() { l.inbox.waits.requests = append(l.inbox.waits.requests, run) }) {
		return ErrStopped
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// After a turn the loop rests for restFor times as long as the turn took, but for no longer than restMost. Changes that
// arrive during the rest are applied together in the next turn. So a stream of changes takes a fifth of a core, or more
// only if its turns take longer than a millisecond. A change that comes alone does not wait.
const (
	restFor  = 4
	restMost = 4 * time.Millisecond
)

// Run takes up what is handed over until the context ends. It then saves what is not saved yet.
func (l *Loop) Run(ctx context.Context) {
	timer, rest := time.NewTimer(0), time.NewTimer(0)
	defer timer.Stop()
	defer rest.Stop()
	for {
		var back *applied
		select {
		case <-ctx.Done():
			l.inbox.close()
			if l.aside {
				l.adopt(l.o.Now(), <-l.back)
				l.aside = false
			}
			l.save(l.confirms() || !l.unsaved.IsZero())
			l.remember(true)
			l.seeing.beat = time.Time{} // up to now, it was as last seen
			l.beat(l.o.Now())
			for _, request := range append(l.asked, l.inbox.take(false).requests...) {
				request()
			}
			return
		case <-l.inbox.wake:
		case <-timer.C:
		case a := <-l.back:
			back, l.aside = &a, false
		}
		if ctx.Err() != nil && back == nil {
			continue // do not begin another turn
		}
		began := time.Now()
		next := l.turn(l.inbox.take(l.aside), back)
		rest.Reset(min(restFor*time.Since(began), restMost))
		select {
		case <-ctx.Done():
		case <-rest.C:
		}
		if next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(max(0, next.Sub(l.o.Now())))
		}
	}
}

// turn applies everything that waits, publishes once, and returns when the next turn is due without new input. It
// returns the zero time if nothing is due. back is what another goroutine has applied since the last turn, nil for
// nothing.
func (l *Loop) turn(w waiting, back *applied) time.Time {
	now := l.o.Now()
	if w.condition != nil {
		l.turnCondition(*w.condition)
	}
	if slices.ContainsFunc(w.batches, isLarge) {
		l.absorbed.Store(true)
	}
	first, fresh := w.first, false
	if back != nil {
		fresh = l.adopt(now, *back)
		if first.IsZero() || !back.first.IsZero() && back.first.Before(first) {
			first = back.first
		}
	}
	if !l.aside {
		fresh = l.configure(now, w) || fresh
	}
	if l.aside {
		first = time.Time{} // it is not served yet
	} else {
		defer l.absorbed.Store(false)
	}
	if fresh {
		if l.view == nil {
			l.assign() // so that the first answers take into account what is known already
			l.board.Judge(now)
			l.board.Weigh(now)
		}
		before := l.view
		if back == nil && len(w.resolved) > 0 && len(w.batches) == 0 && w.table == nil && l.view != nil {
			l.publish(time.Time{}, nil, nil) // the configuration has not changed
		} else {
			l.publish(now, nil, nil)
		}
		l.assign()
		l.tellPools(before, nil, 0)
		if l.large && !l.aside { // the memory that reading and building took is not needed again soon
			l.large = false
			l.paced()
		}
	}
	for _, f := range w.health {
		f(now, l.board)
	}
	if stale := l.staleAt(now); stale != l.stale && l.view != nil {
		l.stale = stale
		l.publish(time.Time{}, nil, nil)
	}
	unwatched := l.board.Unwatched()
	turned := l.board.Judge(now)
	l.logUnwatched(unwatched)
	l.tellUnwatched(unwatched)
	if choice := l.board.Choice(); choice != l.choice && l.program != nil {
		l.choice = choice
		if l.o.Assign != nil {
			l.o.Assign(l.program)
		}
	}
	l.gauge(now)
	loads := l.board.Weigh(now)
	l.tellVotes()
	l.tellVantages(now)
	if len(turned) == 0 && len(loads) > 0 && l.view != nil {
		l.publish(time.Time{}, nil, loads)
	}
	if len(turned) > 0 && l.snapshot != nil {
		before := l.view
		l.publish(time.Time{}, turned, loads)
		since := w.heard
		if since.IsZero() {
			since = now // it turned because time passed
		}
		l.o.Metrics.turnedOver(l.board, turned, l.o.Now().Sub(since))
		l.logVerdicts(turned)
		l.tellVerdicts(turned)
		l.tellPools(before, turned, l.o.Now().Sub(since))
		for _, t := range turned {
			delete(l.happened.detected, t)
		}
	}
	if !first.IsZero() && l.snapshot != nil {
		l.o.Metrics.publishing(l.o.Now().Sub(first))
	}
	l.drill(now, turned)
	l.o.Metrics.turn(l, turned)
	if len(turned) > 0 {
		l.unremembered(now)
	}
	l.save(false)
	l.remember(false)
	l.beat(now)
	requests := append(l.asked, w.requests...)
	if l.asked = nil; l.aside {
		l.asked = requests
		return l.due()
	}
	for _, request := range requests {
		request()
	}
	return l.due()
}

func (l *Loop) turnCondition(c zones.Condition) {
	if l.condition.State == zones.Following {
		l.current = l.condition.Heard
	}
	if !c.Heard.IsZero() {
		l.current = c.Heard
	}
	l.condition = c
	l.tellSource(c)
}

// publish makes a State from the snapshot, the verdicts and the pools' loads. turned and loads name those that have
// changed since the last call. at is zero if the snapshot is the same as before.
func (l *Loop) publish(at time.Time, turned []health.Target, loads []string) {
	program, sight := l.snapshot.Program(), steer.Sight{State: l.board.State, Pressure: l.board.Pressure}
	before := l.view
	if l.view == nil {
		l.view = steer.NewView(program, sight, nil)
	} else {
		l.view = l.view.Next(program, sight, turned, loads)
	}
	state := answer.State{Snapshot: l.snapshot, View: l.view, Stale: l.stale}
	l.state.Store(&state)
	l.o.Publish(state) // whoever is told finds it by State
	l.see(before)
	if !at.IsZero() {
		l.published = at
	}
}

// staleAfter is for how long the server may not know whether the snapshot is the newest, before answers say that they
// may be stale. It is much longer than alerts take: it informs people who look at answers by hand.
const staleAfter = time.Hour

// due returns the earliest time at which something changes without new input, or the zero time if nothing does.
func (l *Loop) due() time.Time {
	next := l.board.NextDeadline(l.o.Now())
	earlier := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	if l.snapshot != nil && !l.aside {
		if e := l.builder.NextExpiry(); !e.IsZero() {
			left := e.Sub(l.o.Clock())
			earlier(l.o.Now().Add(left))
		}
	}
	if since := l.staleSince(); !since.IsZero() && !l.stale && l.view != nil {
		earlier(since.Add(staleAfter))
	}
	earlier(l.gauges.next)
	if !l.aside {
		earlier(l.drills.next)
		earlier(l.saveDue())
	}
	earlier(l.recall)
	earlier(l.seeing.beat)
	earlier(l.happened.earliest())
	return next
}
