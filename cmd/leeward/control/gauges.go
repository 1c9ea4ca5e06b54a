package control

import (
	"maps"
	"slices"
	"time"

	"leeward/health"
	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

// gauges are this process's own estimates of what pools carry and what is offered to them. There is one for each pool
// that has a capacity or a ramp, or whose load a policy uses. They go to the board and to the other vantages. They
// belong to the loop.
type gauges struct {
	pools   map[string]*gauge
	samples map[health.Target]sample
	next    time.Time // when the next pool is due; zero: there is none
	program *steer.Program
	sharing []*steer.Policy
}

// gauge estimates one pool.
type gauge struct {
	number    int32
	estimator *health.Estimator
	ttl       time.Duration
	policies  []*steer.Policy // that pass on what the pool cannot hold, one for each way of doing so
	next      time.Time
}

// sample is the latest finding of a probe of this process.
type sample struct {
	load health.Load
	at   time.Time
}

// Each pool is looked at gaugeShare times per TTL, within gaugeLeast and gaugeMost; docs/capacity.md says how late a
// report may be. All pools together are looked at most looksASecond times a second. That bounds what is written to
// etcd, however many pools there are.
const (
	gaugeShare   = 20
	gaugeLeast   = 50 * time.Millisecond
	gaugeMost    = time.Second
	looksASecond = 500
)

// pause returns the time from one look at a pool to the next.
func (g *gauges) pause(of *gauge) time.Duration {
	return max(min(max(of.ttl/gaugeShare, gaugeLeast), gaugeMost), time.Duration(len(g.pools))*time.Second/looksASecond)
}

// gaugesWait is how long a process that starts waits for what other vantages say about pools' loads. Without them it
// would begin as if the pools had carried nothing before.
const gaugesWait = 5 * time.Second

// Loads hands over the loads that this process's probes have measured.
func (l *Loop) Loads(ss []health.Sample) {
	l.Health(func(now time.Time, _ *health.Board) {
		for _, s := range ss {
			l.gauges.samples[s.Target] = sample{s.Load, now}
		}
	})
}

// gauge looks at all pools that are due.
func (l *Loop) gauge(now time.Time) {
	g := &l.gauges
	if l.view == nil || l.o.Own == "" || l.o.Fleet && !l.fleet.synced && now.Sub(l.began) < gaugesWait {
		return
	}
	if l.snapshot.Program() != g.program || !sameSlice(l.snapshot.Sharing(), g.sharing) {
		l.regauge()
	}
	if g.next.IsZero() || now.Before(g.next) {
		return
	}
	g.next = time.Time{}
	for name, of := range g.pools {
		if !now.Before(of.next) {
			of.next = now.Add(g.pause(of))
			l.look(now, name, of)
		}
		if g.next.IsZero() || of.next.Before(g.next) {
			g.next = of.next
		}
	}
}

// look updates the estimate of one pool, and publishes it if it has changed enough.
func (l *Loop) look(now time.Time, name string, of *gauge) {
	pool := l.view.Pool(of.number)
	if pool == nil {
		return
	}
	fresh := now.Add(-pool.LoadHolds())
	readings := l.view.Readings(of.number, func(t health.Target) health.Load {
		if s, ok := l.gauges.samples[t]; ok && s.at.After(fresh) {
			return s.load
		}
		return l.board.ToldLoad(t)
	})
	s := health.Setting{
		TTL: of.ttl, Ramp: pool.Ramp(), Available: l.view.Available(of.number),
		Keep: mean((*steer.Policy).Stays, of.policies, l.view, of.number, now),
	}
	for _, p := range of.policies {
		most := p.Most(l.view, of.number, now.Unix())
		if s.Most = max(s.Most, most); most == 0 {
			s.Most = 0
			break
		}
	}
	m, due := of.estimator.Observe(now, s, readings)
	if !due {
		return
	}
	m.Vantage, m.Pool = l.o.Own, name
	l.o.Log.Debug("load", "pool", name, "carried", m.Load, "offered", m.Offered, "keep", s.Keep)
	l.board.Measure(m)
	if l.o.Measure != nil {
		l.o.Measure(&m)
	}
}

// regauge finds which pools need an estimate.
func (l *Loop) regauge() {
	g := &l.gauges
	first := g.program == nil
	g.program, g.sharing = l.snapshot.Program(), l.snapshot.Sharing()
	uses := usesOf(g.sharing)
	before := g.pools
	g.pools, g.next = map[string]*gauge{}, l.o.Now()
	for _, pool := range g.program.Pools {
		if pool == nil {
			continue
		}
		u := uses[pool.Number]
		if u == nil && !pool.Loaded() {
			continue
		}
		of := before[pool.Name]
		if of == nil {
			of = &gauge{estimator: health.NewEstimator(l.board.Pressure(pool.Name), !first)}
		}
		of.number, of.ttl, of.policies = pool.Number, defaultGaugeTTL, nil
		if u != nil {
			of.ttl = max(u.ttl, time.Second)
			for _, p := range u.policies {
				of.policies = append(of.policies, p)
			}
		}
		g.pools[pool.Name] = of
	}
	for name := range before {
		if g.pools[name] == nil {
			l.board.Unmeasure(l.o.Own, name)
			if l.o.Unmeasure != nil {
				l.o.Unmeasure(name)
			}
		}
	}
	for t, s := range g.samples {
		if g.next.Sub(s.at) > sampleKept {
			delete(g.samples, t)
		}
	}
}

// sampleKept is longer than any sample stays valid.
const sampleKept = 4 * health.MaxInterval

// defaultGaugeTTL applies to a pool whose load no policy uses.
const defaultGaugeTTL = 30 * time.Second

// sameSlice reports whether two slices share the same elements in memory.
func sameSlice[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// meanKeep returns the mean share of its clients that a pool keeps under these policies, 0 to 1. It is 1 if there are
// none.
func meanKeep(policies []*steer.Policy, v *steer.View, pool int32, now time.Time) float64 {
	return mean((*steer.Policy).Keep, policies, v, pool, now)
}

// mean returns the mean of what policies say about a pool. It is 1 if there are none.
func mean(
	of func(p *steer.Policy, v *steer.View, pool int32, now int64) (float64, bool), policies []*steer.Policy,
	v *steer.View, pool int32, now time.Time,
) float64 {
	if len(policies) == 0 {
		return 1
	}
	sum := 0.
	for _, p := range policies {
		keep, _ := of(p, v, pool, now.Unix())
		sum += keep
	}
	return sum / float64(len(policies))
}

// use is what policies that use loads require of a pool.
type use struct {
	ttl      time.Duration            // the shortest of these policies
	policies map[string]*steer.Policy // that pass on what the pool cannot hold, one for each way of doing so
}

// usesOf finds, by number, the pools whose loads policies use.
func usesOf(sharing []*steer.Policy) map[int32]*use {
	uses := map[int32]*use{}
	for _, p := range sharing {
		ttl, crowds := time.Duration(p.TTL)*time.Second, p.Crowds()
		for _, n := range p.Pools() {
			u := uses[n]
			if u == nil {
				u = &use{ttl: ttl, policies: map[string]*steer.Policy{}}
				uses[n] = u
			}
			u.ttl = min(u.ttl, ttl)
			if p.Spills() {
				u.policies[crowds] = p
			}
		}
	}
	return uses
}

// keeping returns a function that returns the mean share of its clients that a pool keeps. The function uses this
// loop's gauges if they belong to the published program.
func (l *Loop) keeping(now time.Time) func(p *steer.PoolStatus) float64 {
	if l.gauges.program != l.snapshot.Program() {
		return keepingOf(l.snapshot, l.view, now)
	}
	return func(p *steer.PoolStatus) float64 {
		if of := l.gauges.pools[p.Pool]; of != nil {
			return meanKeep(of.policies, l.view, p.Number, now)
		}
		return 1
	}
}

// keepingOf does the same from the published state alone.
func keepingOf(s *snapshot.Snapshot, v *steer.View, now time.Time) func(p *steer.PoolStatus) float64 {
	uses := usesOf(s.Sharing())
	return func(p *steer.PoolStatus) float64 {
		if u := uses[p.Number]; u != nil {
			return meanKeep(slices.Collect(maps.Values(u.policies)), v, p.Number, now)
		}
		return 1
	}
}
