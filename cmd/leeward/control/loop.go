// Package control is the loop that turns what is configured and what is healthy into what is served.
//
// One goroutine owns the Catalog, the Builder and the Board. A source's batches, vantages' reports, geo tables and
// requests for a status come to it through an inbox; a turn takes up all that waits, applies it, and publishes one
// State. So a flood of changes becomes a few large turns, a single change is out within milliseconds, and nothing in
// here needs a lock. A turn that found only verdicts turned publishes the same Snapshot with a new View. Nothing in a
// turn waits for etcd, a disk or a socket.
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
	"leeward/server/transfer"
	"leeward/zones"
	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

// LoopOptions are what a Loop works with.
type LoopOptions struct {
	Log       *slog.Logger
	Now       func() time.Time
	Publish   func(answer.State)                            // called from the loop; must not block
	Assign    func(*steer.Program)                          // what to probe or resolve has changed; called from the loop; must not block
	Geo       *geo.Table                                    // nil: no client's location is known
	Metrics   *Metrics                                      // nil: none
	Own       string                                        // the vantage of this process: its reports never go stale here
	Region    string                                        // where this process is
	Owed      func(owed zones.Serials, any bool)            // what the source is to keep of serials, after each batch; must not block; nil: nobody keeps it
	Keep      func(revision int64, resources *zones.Frozen) // puts the last good on disk; must not block; nil: it is not kept
	Sources   func() []geo.Source                           // of the geo tables, for the status; nil: the table's own
	Names     func(hostname string) (resolve.Answer, bool)  // what is known of an endpoint's name, for the status; nil: nothing
	Follow    func([]transfer.Assignment)                   // which zones live elsewhere has changed; called from the loop; must not block; nil: nobody cares
	Past      []health.Past                                 // what an earlier run knew of targets' health
	Recall    func([]health.Past)                           // puts what this one knows on disk; must not block; nil: it is not kept
	Fleet     bool                                          // there are other vantages to hear of
	Measure   func(*health.Measure)                         // this process has something to say of a pool's load; must not block; nil: nobody cares
	Unmeasure func(pool string)                             // and has not any more
	Pace      func() (done func())                          // keeps garbage small until done; nil: nobody does
	ByClock   bool                                          // freshness by the writers' clocks: for one who looks only once
}

// Loop is the control loop. Its methods may be called from any goroutine.
type Loop struct {
	o     LoopOptions
	inbox *inbox

	// What follows belongs to the goroutine of Run.
	catalog   *zones.Catalog
	members   *members
	builder   *snapshot.Builder
	board     *health.Board
	fleet     fleet
	gauges    gauges
	clocks    clocks
	drills    drills
	began     time.Time
	table     *geo.Table
	condition zones.Condition
	snapshot  *snapshot.Snapshot
	program   *steer.Program
	choice    uint64 // of the board: which targets this process is to probe
	view      *steer.View
	built     zones.Problems // of the last build
	wrong     zones.Problems // what keeps newest versions out of service: what the catalog found, and built
	held      []zones.Held
	listed    map[zones.Kind][]zones.Resource // see summarized; nil: to be listed
	published time.Time
	current   time.Time     // when the snapshot was last known to be the newest; zero: never
	kept      bool          // something has been saved
	unsaved   time.Time     // since when there is something to save; zero: nothing
	changed   time.Time     // last change of what is to be saved
	stale     bool          // answers say that they may be old
	gather    time.Duration // what it took to gather what is saved
	recall    time.Time     // when what is known of health is to be put on disk; zero: there is nothing new
	recalled  time.Time     // when that was done last, and
	recalling time.Duration // what it took to gather
	large     bool          // so much has been applied since the last publishing that memory is to be given back:
	paced     func()        // this does

	state    atomic.Pointer[answer.State]
	absorbed atomic.Bool
}

// NewLoop returns a loop that has nothing yet.
func NewLoop(o LoopOptions) *Loop {
	if o.Pace == nil {
		o.Pace = func() func() { return func() {} }
	}
	l := &Loop{
		o: o, inbox: newInbox(), table: o.Geo, fleet: newFleet(),
		catalog: zones.NewCatalog(o.Now), members: newMembers(o.Now), builder: snapshot.NewBuilder(o.Now), board: health.NewBoard(),
		condition: zones.Condition{State: zones.Starting, Since: o.Now()}, began: o.Now(),
		gauges: gauges{pools: map[string]*gauge{}, samples: map[health.Target]sample{}},
	}
	if o.Own != "" {
		l.board.Own(o.Own)
		l.board.Place(o.Own, o.Region)
	}
	l.board.Begin(l.began)
	l.board.Recall(o.Past)
	return l
}

// Batch hands over what a source says has changed. It waits while the loop is far behind.
func (l *Loop) Batch(b zones.Batch) { l.inbox.batch(l.o.Now, b) }

// Condition hands over how the source stands.
func (l *Loop) Condition(c zones.Condition) {
	l.inbox.put(l.o.Now(), func() { l.inbox.condition = &c })
}

// Health hands over what is to be done with the Board.
func (l *Loop) Health(f func(now time.Time, b *health.Board)) {
	l.inbox.put(l.o.Now(), func() { l.inbox.health = append(l.inbox.health, f) })
}

// Report hands over what this process itself has found.
func (l *Loop) Report(rs []health.Report) {
	l.Health(func(now time.Time, b *health.Board) {
		b.Report(now, rs...)
		l.unremembered(now) // how long it is held is part of it
	})
}

// Geo hands over a new table.
func (l *Loop) Geo(t *geo.Table) { l.inbox.put(l.o.Now(), func() { l.inbox.table = t }) }

// Resolved hands over what the hostname of an endpoint stands for.
func (l *Loop) Resolved(a resolve.Answer) {
	l.inbox.put(l.o.Now(), func() { l.inbox.resolved = append(l.inbox.resolved, a) })
}

// Transferred hands over how a zone that lives on another primary stands.
func (l *Loop) Transferred(origin string, t snapshot.Transferred) {
	l.inbox.put(l.o.Now(), func() { l.inbox.elsewhere = append(l.inbox.elsewhere, transferred{origin, t}) })
}

// State returns what is published, nil before that.
func (l *Loop) State() *answer.State { return l.state.Load() }

// Absorbed reports whether the loop is taking up something so large that it may be a while: the first of all, the copy
// on disk, or as much again.
func (l *Loop) Absorbed() bool { return l.absorbed.Load() }

// Ready returns nil once a snapshot is served, else why there is none.
func (l *Loop) Ready() error {
	if l.State() == nil {
		return errors.New("no snapshot yet: the resources have not been read")
	}
	return nil
}

// ErrStopped is why a loop that has ended answers nothing any more.
var ErrStopped = errors.New("the server is stopping")

// Close has nothing more handed over.
func (l *Loop) Close() { l.inbox.close() }

// Do runs f in the loop, after all that was handed over before, and returns when it has run. f must be short.
func (l *Loop) Do(ctx context.Context, f func(Inside)) error {
	done := make(chan struct{})
	run := func() { f(Inside{l}); close(done) }
	if !l.inbox.put(l.o.Now(), func() { l.inbox.requests = append(l.inbox.requests, run) }) {
		return ErrStopped
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// After a turn the loop rests, and what comes meanwhile is one turn and one snapshot: a stream of changes takes a fifth
// of a core, more only where a turn is longer than a millisecond. A change that comes alone does not wait.
const (
	restFor  = 4
	restMost = 4 * time.Millisecond
)

// Run takes up what is handed over until the context ends. What is not saved by then is saved.
func (l *Loop) Run(ctx context.Context) {
	timer, rest := time.NewTimer(0), time.NewTimer(0)
	defer timer.Stop()
	defer rest.Stop()
	for {
		select {
		case <-ctx.Done():
			l.inbox.close()
			l.save(l.confirms() || !l.unsaved.IsZero())
			l.remember(true)
			for _, request := range l.inbox.take().requests {
				request()
			}
			return
		case <-l.inbox.wake:
		case <-timer.C:
		}
		if ctx.Err() != nil {
			continue // nothing is begun any more
		}
		began := time.Now()
		next := l.turn(l.inbox.take())
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

// turn applies all that waits, publishes once, and returns when something is due by itself; zero: nothing is.
func (l *Loop) turn(w waiting) time.Time {
	now := l.o.Now()
	if w.condition != nil {
		l.turnCondition(*w.condition)
	}
	if slices.ContainsFunc(w.batches, isLarge) {
		l.absorbed.Store(true)
		defer l.absorbed.Store(false)
	}
	if l.configure(now, w) {
		if l.view == nil {
			l.assign() // the first answers take what is known already into account
			l.board.Judge(now)
			l.board.Weigh(now)
		}
		if len(w.resolved) > 0 && len(w.batches) == 0 && w.table == nil && l.view != nil {
			l.publish(time.Time{}, nil, nil) // nothing of what is configured is new
		} else {
			l.publish(now, nil, nil)
		}
		l.assign()
		if l.large { // what reading and building took is not needed again soon
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
	l.tellUnwatched(unwatched)
	if choice := l.board.Choice(); choice != l.choice && l.program != nil {
		l.choice = choice
		if l.o.Assign != nil {
			l.o.Assign(l.program)
		}
	}
	l.gauge(now)
	loads := l.board.Weigh(now)
	if len(turned) == 0 && len(loads) > 0 && l.view != nil {
		l.publish(time.Time{}, nil, loads)
	}
	if len(turned) > 0 && l.snapshot != nil {
		l.publish(time.Time{}, turned, loads)
		since := w.first
		if since.IsZero() {
			since = now // it turned because time went by
		}
		l.o.Metrics.turnedOver(l.board, turned, l.o.Now().Sub(since))
		l.tell(turned)
	}
	if !w.first.IsZero() && l.snapshot != nil {
		l.o.Metrics.publishing(l.o.Now().Sub(w.first))
	}
	l.drill(now, turned)
	l.o.Metrics.turn(l, turned)
	if len(turned) > 0 {
		l.unremembered(now)
	}
	l.save(false)
	l.remember(false)
	for _, request := range w.requests {
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
}

// publish makes a State of the snapshot, the verdicts and the pools' loads, of which only those of turned and loads are
// others than last time. at is zero where the snapshot is the same.
func (l *Loop) publish(at time.Time, turned []health.Target, loads []string) {
	program, sight := l.snapshot.Program(), steer.Sight{State: l.board.State, Pressure: l.board.Pressure}
	if l.view == nil {
		l.view = steer.NewView(program, sight, nil)
	} else {
		l.view = l.view.Next(program, sight, turned, loads)
	}
	state := answer.State{Snapshot: l.snapshot, View: l.view, Stale: l.stale}
	l.o.Publish(state)
	l.state.Store(&state)
	if !at.IsZero() {
		l.published = at
	}
}

// staleAfter is how long it may be unknown whether the snapshot is the newest before answers say so. It is long after
// the alerts: whoever looks at an answer by hand then should know.
const staleAfter = time.Hour

// due returns the earliest time at which something changes without anybody's word.
func (l *Loop) due() time.Time {
	next := l.board.NextDeadline(l.o.Now())
	earlier := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	if l.snapshot != nil {
		earlier(l.builder.NextExpiry())
	}
	if since := l.staleSince(); !since.IsZero() && !l.stale && l.view != nil {
		earlier(since.Add(staleAfter))
	}
	earlier(l.gauges.next)
	earlier(l.drills.next)
	earlier(l.saveDue())
	earlier(l.recall)
	return next
}
