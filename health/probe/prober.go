// Package probe checks endpoints from this machine.
//
// A Prober holds a target for each Assignment, probes it once an interval, each at its own phase of it, and turns
// results into reports by fall and rise. Idle targets cost no goroutine: they lie in a heap by the time of their next
// probe. A probe dials the target's address and nothing else, and is over, whatever it waits for, when its timeout has
// passed. What only shows that this machine cannot probe (no IPv6, no more sockets, no processor in time) is no result.
package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leeward/health"
)

// How many probes may run at once where Options do not say: half of the files that the process may have open, as a
// probe has one socket; the rest is for those who ask and for etcd. While fewer than that hang until their timeout,
// none waits for another. A probe that hangs takes some 8 KiB.
const (
	leastConcurrency = 256
	mostConcurrency  = 32 << 10
)

// DefaultConcurrency returns how many probes may run at once in this process.
func DefaultConcurrency() int { return min(max(openFiles()/2, leastConcurrency), mostConcurrency) }

// Options are a Prober's settings.
type Options struct {
	Vantage     string                  // the name under which reports are made; also spreads vantages over the interval
	Log         *slog.Logger            // discarded if nil
	Registerer  prometheus.Registerer   // none if nil
	Now         func() time.Time        // time.Now if nil
	Concurrency int                     // probes at once; DefaultConcurrency() if zero
	RootCAs     *x509.CertPool          // what certificates are verified against; the system's if nil
	Certificate func() *tls.Certificate // shown to endpoints that ask for one; it may return nil; none if nil
	OnReport    func([]health.Report)   // called from one goroutine with what has turned since the last call; it may block

	// OnLoads is called from one goroutine of its own with the loads that probes have found since the last call, some
	// loadsPause later; it may block. nil: nobody cares.
	OnLoads func([]health.Sample)
}

// Prober probes targets and reports on them.
type Prober struct {
	options Options
	metrics metrics
	start   time.Time     // slots are counted from here
	wake    chan struct{} // the schedule has changed
	filled  chan struct{} // there are reports
	loaded  chan struct{} // there are loads

	mu       sync.Mutex
	targets  map[health.Target]*target
	schedule schedule
	waiting  []*target // due, but for want of a free slot
	running  int
	sequence uint64
	reports  []health.Report
	loads    map[health.Target]health.Load // found and not handed on
	groups   map[groupKey]*group
	past     map[health.Target]health.Past // of the last run, of what has not been assigned yet; nil: there was none
	ctx      context.Context               // of Run; nil while it does not run
	probes   sync.WaitGroup
}

// target is what is known of one assignment. The fields from tracker on belong to the Prober's mutex.
type target struct {
	health.Target
	monitor *health.Monitor
	manner  health.Manner
	phase   uint64

	poolPhase uint64        // of its pool, and
	within    time.Duration // in which time after it those of the pool are probed; 0: in the whole interval

	group    *group
	result   health.State // of its last probe that told something
	unjudged bool         // see health.Assignment; false once it has been probed
	failure  outcome      // of its first probe, where that has failed
	tried    bool         // a probe has ended
	told     bool         // its last probe that it passed told a load

	tracker health.Tracker
	found   [3]time.Time // when the last probe that ended in each State began
	next    time.Time
	heap    int  // index in the schedule; -1 while not in it
	busy    bool // a probe runs or waits for a slot
	gone    bool // not assigned any more
}

// New returns a Prober that probes nothing until it is assigned targets and runs. The error is that of registering its
// metrics.
func New(o Options) (*Prober, error) {
	if o.OnReport == nil {
		return nil, errors.New("probe: OnReport is missing; the reports have to go somewhere")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Concurrency <= 0 {
		o.Concurrency = DefaultConcurrency()
	}
	start := o.Now()
	p := &Prober{
		options:  o,
		start:    start,
		wake:     make(chan struct{}, 1),
		filled:   make(chan struct{}, 1),
		loaded:   make(chan struct{}, 1),
		loads:    map[health.Target]health.Load{},
		targets:  map[health.Target]*target{},
		groups:   map[groupKey]*group{},
		sequence: uint64(start.UnixNano()), // above every sequence of an earlier run
	}
	p.metrics.register(o.Registerer)
	return p, nil
}

// Assign says which targets there are now. One that was there before keeps its state and its phase, also where its
// monitor's settings have changed; on one that is not assigned any more the last report is Unknown. Targets whose check
// is external are somebody else's to report on.
func (p *Prober) Assign(as []health.Assignment) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.options.Now()
	listed := make(map[health.Target]bool, len(as))
	var sizes map[string]int // of pools, where there are new targets
	wait := p.firsts(as)
	for i := range as {
		a := &as[i]
		if a.Monitor.External != nil || listed[a.Target] {
			continue
		}
		listed[a.Target] = true
		t := p.targets[a.Target]
		if t != nil {
			t.manner = a.Manner
		}
		if t == nil {
			if sizes == nil {
				sizes = map[string]int{}
				for k := range as {
					sizes[as[k].Pool]++
				}
			}
			t = &target{
				Target: a.Target, manner: a.Manner, phase: phaseOf(p.options.Vantage, a.Target), heap: -1,
				poolPhase: phaseOf(p.options.Vantage, health.Target{Endpoint: a.Pool}), within: time.Duration(sizes[a.Pool]) * spacing,
			}
			p.targets[a.Target] = t
			p.join(t, a)
		} else if t.monitor == a.Monitor || reflect.DeepEqual(t.monitor, a.Monitor) {
			t.monitor = a.Monitor
			continue
		}
		again := t.monitor != nil && t.monitor.EffectiveInterval() == a.Monitor.EffectiveInterval()
		t.monitor = a.Monitor
		t.tracker.Fall, t.tracker.Rise, t.tracker.Hold = a.Monitor.EffectiveFall(), a.Monitor.EffectiveRise(), a.Monitor.EffectiveHold()
		past, recalled := p.past[a.Target]
		delete(p.past, a.Target)
		if recalled && !past.Fell.IsZero() {
			if past.Fell.After(now) {
				past.Fell = now // a clock was set back
			}
			t.tracker.Recall(past.Fell)
		}
		if !again && !t.busy {
			t.next = t.first(p.start, now, wait.of(p.past != nil && (!recalled || past.Verdict == health.Down)))
			p.schedule.put(t)
		}
	}
	for key, t := range p.targets {
		if listed[key] {
			continue
		}
		t.gone = true
		p.leave(t)
		delete(p.targets, key)
		p.schedule.remove(t)
		p.report(t, outcome{reason: "not assigned any more"})
	}
	p.metrics.targets.Set(float64(len(p.targets)))
	signal(p.wake)
}

// Run probes until the context ends, and returns when the last probe has. It may be called again then.
func (p *Prober) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p.mu.Lock()
	if p.ctx != nil {
		p.mu.Unlock()
		return errors.New("probe: Run is running already")
	}
	p.ctx = ctx
	p.mu.Unlock()

	var deliveries sync.WaitGroup
	deliveries.Go(func() { p.deliver(ctx) })
	deliveries.Go(func() { p.deliverLoads(ctx) })
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		timer.Reset(max(p.launch(), tick))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-p.wake:
		}
	}
	p.probes.Wait()
	deliveries.Wait()
	p.mu.Lock()
	p.ctx = nil
	p.mu.Unlock()
	return nil
}

// tick is the least time from one look at the schedule to the next: what is due within it is started together. Waking
// up for each of 10,000 probes a second costs as much as some of them.
const tick = time.Millisecond

// launch starts what is due and returns the time until something is again.
func (p *Prober) launch() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.options.Now()
	for len(p.schedule) > 0 {
		t := p.schedule[0]
		if wait := t.next.Sub(now); wait > 0 {
			return wait
		}
		p.schedule.remove(t)
		t.busy = true
		if p.running < p.options.Concurrency {
			p.begin(t)
		} else {
			p.waiting = append(p.waiting, t)
		}
	}
	return time.Hour
}

// begin starts the probe of a target. The mutex is held.
func (p *Prober) begin(t *target) {
	p.running++
	ctx, m, manner := p.ctx, t.monitor, t.manner
	p.probes.Go(func() {
		began := p.options.Now()
		o := p.probe(ctx, t.Address, m, manner)
		p.finish(ctx, t, m, o, began)
	})
}

// finish takes a probe's outcome, gives its slot to the next that waits, and puts the target back into the schedule: a
// slot that has passed meanwhile is skipped.
func (p *Prober) finish(ctx context.Context, t *target, m *health.Monitor, o outcome, began time.Time) {
	took := p.options.Now().Sub(began)
	o = o.believe(m.EffectiveTimeout(), took)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running--
	t.busy = false
	if ctx.Err() == nil {
		o.latency = took
		p.metrics.observe(m.Check(), o.state, took)
		t.found[o.state] = began
		t.tried = true
		found := o
		now := p.options.Now()
		if before, held := t.tracker.State(), !t.tracker.Held().IsZero(); !t.gone && t.tracker.Observe(now, o.state) {
			if o.held = t.tracker.Held(); !o.held.IsZero() {
				o.reason = "up again, held"
			}
			o.state = t.tracker.State()
			if before != health.Unknown && o.state != health.Unknown && o.state != before && !held {
				o.detected = now.Sub(t.found[before])
			}
			p.report(t, o)
		}
		p.grouped(t, found, now)
		if found.state == health.Up && !t.gone && p.options.OnLoads != nil && (found.load.Known || t.told) {
			t.told = found.load.Known
			p.loads[t.Target] = found.load
			signal(p.loaded)
		}
		for len(p.waiting) > 0 && p.running < p.options.Concurrency {
			next := p.waiting[0]
			p.waiting[0] = nil
			p.waiting = p.waiting[1:]
			if next.gone {
				next.busy = false
				continue
			}
			p.begin(next)
		}
	} else {
		// The run ends: what waits goes back into the schedule for the next one.
		for _, next := range p.waiting {
			next.busy = false
			if !next.gone {
				p.schedule.put(next)
			}
		}
		p.waiting = nil
	}
	if t.gone {
		return
	}
	now := p.options.Now()
	next, skipped := t.after(p.start, now)
	if ctx.Err() == nil {
		p.metrics.skipped.Add(float64(skipped))
	}
	t.next = next
	p.schedule.put(t)
	if t.heap == 0 {
		signal(p.wake)
	}
}

// report adds a report for the next delivery. The mutex is held.
func (p *Prober) report(t *target, o outcome) {
	p.sequence++
	r := health.Report{
		Vantage: p.options.Vantage, Target: t.Target, State: o.state, Sequence: p.sequence, Time: p.options.Now(),
		Reason: o.reason, Latency: o.latency, Load: o.load, Detected: o.detected, Held: o.held,
	}
	if o.state == health.Up {
		r.Reason = ""
	}
	p.reports = append(p.reports, r)
	p.options.Log.Debug("report", "endpoint", t.Endpoint, "address", t.Address, "state", o.state, "reason", o.reason)
	signal(p.filled)
}

// deliver hands reports on until the context ends.
func (p *Prober) deliver(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.filled:
		}
		p.mu.Lock()
		reports := p.reports
		p.reports = nil
		p.mu.Unlock()
		if len(reports) > 0 {
			p.options.OnReport(reports)
		}
	}
}

// loadsPause gathers loads: they come with each probe, and who hears of them works on a pool as a whole.
const loadsPause = 20 * time.Millisecond

// deliverLoads hands loads on until the context ends.
func (p *Prober) deliverLoads(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.loaded:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(loadsPause):
		}
		p.mu.Lock()
		loads := p.loads
		p.loads = make(map[health.Target]health.Load, len(loads))
		p.mu.Unlock()
		samples := make([]health.Sample, 0, len(loads))
		for t, load := range loads {
			samples = append(samples, health.Sample{Target: t, Load: load})
		}
		if len(samples) > 0 {
			p.options.OnLoads(samples)
		}
	}
}

// signal wakes the one reader of the channel; one signal stands for many.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
