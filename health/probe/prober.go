// Package probe checks endpoints from this machine.
//
//	Assign ─▶ targets ─▶ schedule (a heap) ─▶ probe ─▶ tracker ─▶ reports ─▶ OnReport
//	                         ▲                  │
//	                         └── next slot ◀────┘
//
// A Prober probes each assigned target once an interval, each at its own phase, and turns results into reports by fall
// and rise. Idle targets take no goroutine. A probe dials the target's address and nothing else, and is over when its
// timeout has passed, whatever it waits for. An error that only shows that this machine cannot probe (no IPv6, no more
// sockets, no processor in time) is not a result.
package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leeward/health"
)

// Bounds of how many probes may run at once, if Options do not say: half of the files that the process may have open,
// since a probe has one socket, and the rest is for clients and etcd. As long as fewer probes hang until their timeout,
// no probe waits for another. A probe that hangs takes some 8 KiB.
const (
	leastConcurrency = 256
	mostConcurrency  = 32 << 10
)

// DefaultConcurrency returns how many probes may run at once in this process.
func DefaultConcurrency() int { return min(max(openFiles()/2, leastConcurrency), mostConcurrency) }

// Options are a Prober's settings.
type Options struct {
	Vantage     string                  // name in the reports; it also sets the phases of the probes
	Log         *slog.Logger            // nil: nothing is logged
	Registerer  prometheus.Registerer   // nil: there are no metrics
	Now         func() time.Time        // nil: time.Now
	Concurrency int                     // probes at once; 0: DefaultConcurrency()
	RootCAs     *x509.CertPool          // that certificates are verified against; nil: the system's
	Certificate func() *tls.Certificate // presented to endpoints that ask for one; it may return nil; nil: none
	OnReport    func([]health.Report)   // called from one goroutine with the reports since the last call; it may block

	// OnLoads is called from a goroutine of its own with the loads that probes have measured since the last call, some
	// loadsPause later. It may block. nil: it is not called.
	OnLoads func([]health.Sample)
}

// Prober probes targets and reports on them.
type Prober struct {
	options Options
	metrics metrics
	start   time.Time     // origin of all slots
	wake    chan struct{} // the schedule has changed
	filled  chan struct{} // there are reports
	loaded  chan struct{} // there are loads

	mu       sync.Mutex
	targets  map[health.Target]*target
	leaders  map[sameness]*target // of targets that one probe is for
	schedule schedule
	waiting  []*target // due, but without a free slot
	running  int
	sequence uint64
	reports  []health.Report
	loads    map[health.Target]health.Load // measured and not yet delivered
	groups   map[groupKey]*group
	// of the last run, for targets that are not assigned yet; nil: there was none
	past   map[health.Target]health.Past
	ctx    context.Context // of Run; nil while it does not run
	probes sync.WaitGroup
}

// target is one assignment. The fields from tracker on are protected by the Prober's mutex.
type target struct {
	health.Target
	monitor *health.Monitor
	manner  health.Manner
	phase   uint64

	poolPhase uint64        // its pool's phase
	within    time.Duration // how long after that the pool's targets are probed; 0: over the whole interval

	kind      sameness
	probed    sameness  // kind when the probe began that runs, or ran last
	leader    *target   // whose probe is this target's, too; nil: it has its own
	followers []*target // targets that its probe is for as well

	group    *group
	result   health.State // of its last probe that said something
	unjudged bool         // see health.Assignment; false once it has been probed
	failure  outcome      // of its first probe, if that failed
	tried    bool         // a probe has ended
	told     bool         // its last successful probe reported a load

	tracker health.Tracker
	found   [3]time.Time // by State: when the last probe with that result began
	next    time.Time
	heap    int  // index in the schedule; -1: it is not in it
	busy    bool // a probe runs or waits for a slot
	gone    bool // it is no longer assigned
}

// New returns a Prober that probes nothing until it is assigned targets and runs. It fails only if
// OnReport is missing.
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
		leaders:  map[sameness]*target{},
		groups:   map[groupKey]*group{},
		sequence: uint64(start.UnixNano()), // above every sequence of an earlier run
	}
	p.metrics.register(o.Registerer)
	return p, nil
}

// Assign sets the targets. A target that was there before keeps its state and its phase, even if its monitor's settings
// have changed. The last report on a target that is no longer assigned is Unknown. Targets with an external check are
// left to their reporters. Targets with the same address and the same settings share one probe.
func (p *Prober) Assign(as []health.Assignment) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.options.Now()
	listed := make(map[health.Target]bool, len(as))
	var sizes map[string]int // of pools, where there are new targets
	wait := p.firsts(as)
	texts := map[*health.Monitor]string{}
	for i := range as {
		a := &as[i]
		if a.Monitor.External != nil || listed[a.Target] {
			continue
		}
		listed[a.Target] = true
		kind := samenessOf(a, texts)
		t := p.targets[a.Target]
		again := false // it keeps its next slot
		switch {
		case t == nil:
			if sizes == nil {
				sizes = map[string]int{}
				for k := range as {
					sizes[as[k].Pool]++
				}
			}
			t = &target{
				Target: a.Target, phase: phaseOf(p.options.Vantage, a.Target), heap: -1,
				poolPhase: phaseOf(p.options.Vantage, health.Target{Endpoint: a.Pool}),
				within:    time.Duration(sizes[a.Pool]) * spacing,
			}
			p.targets[a.Target] = t
			p.join(t, a)
		case t.kind == kind:
			t.monitor = a.Monitor
			continue
		default:
			again = t.leader == nil && t.monitor.EffectiveInterval() == a.Monitor.EffectiveInterval()
			p.unshare(t, now)
		}
		t.monitor, t.manner = a.Monitor, a.Manner
		t.tracker.Fall, t.tracker.Rise = a.Monitor.EffectiveFall(), a.Monitor.EffectiveRise()
		t.tracker.Hold = a.Monitor.EffectiveHold()
		past, recalled := p.past[a.Target]
		delete(p.past, a.Target)
		if recalled && !past.Fell.IsZero() {
			if past.Fell.After(now) {
				past.Fell = now // a clock was set back
			}
			t.tracker.Recall(past.Fell)
		}
		first := t.first(p.start, now, wait.of(p.past != nil && (!recalled || past.Verdict == health.Down)))
		switch leads := p.share(t, kind); {
		case !leads:
			p.hasten(t.leader, first)
		case !again && !t.busy:
			t.next = first
			p.schedule.put(t)
		}
	}
	for key, t := range p.targets {
		if listed[key] {
			continue
		}
		t.gone = true
		p.leave(t)
		p.unshare(t, now)
		delete(p.targets, key)
		p.schedule.remove(t)
		p.report(t, outcome{reason: "not assigned any more"})
	}
	p.metrics.targets.Set(float64(len(p.targets)))
	signal(p.wake)
}

// Run probes until the context ends, and returns when the last probe has ended. It may then be called again.
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

// tick is the least time between two looks at the schedule. What is due within it starts together: waking up for each
// of 10,000 probes a second costs as much as some of them.
const tick = time.Millisecond

// launch starts what is due and returns the time until something is next due.
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

// begin starts the probe of a target. The caller holds the mutex.
func (p *Prober) begin(t *target) {
	p.running++
	ctx, m, manner := p.ctx, t.monitor, t.manner
	t.probed = t.kind
	p.probes.Go(func() {
		began := p.options.Now()
		o := p.probe(ctx, t.Address, m, manner)
		p.finish(ctx, t, m, o, began)
	})
}

// finish takes a probe's outcome, gives its slot to the next that waits, and puts the target back into the schedule.
// Slots of the target that have passed are skipped.
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
		p.take(t, o, began)
		if t.probed == t.kind { // else its followers are of another kind than the probe
			for _, f := range t.followers {
				p.take(f, o, began)
			}
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
		// The run ends: targets that wait go back into the schedule for the next run.
		for _, next := range p.waiting {
			next.busy = false
			if !next.gone {
				p.schedule.put(next)
			}
		}
		p.waiting = nil
	}
	if t.gone || t.leader != nil {
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

// take gives a target the outcome of a probe that began then. The caller holds the mutex.
func (p *Prober) take(t *target, found outcome, began time.Time) {
	t.found[found.state] = began
	t.tried = true
	o := found
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
}

// report adds a report to the next delivery. The caller holds the mutex.
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

// deliver delivers reports until the context ends.
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

// loadsPause is how long loads are gathered: they come with each probe, and are used by pool.
const loadsPause = 20 * time.Millisecond

// deliverLoads delivers loads until the context ends.
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

// signal wakes the one reader of the channel. One signal stands for many.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
