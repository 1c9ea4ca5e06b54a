package health

import (
	"maps"
	"math"
	"slices"
	"time"
)

// Constants of the law by which a pool passes on what it cannot hold; docs/capacity.md has it in words. Times are in
// TTLs of the answers that lead clients, since the TTL says how soon a decision takes effect.
const (
	keptWindow  = 1.75    // of the kept share: 1.5 until most caches have the answer, 0.25 until a report is everywhere
	leastKept   = 0.05    // bounds the factor between what is carried and what is offered
	risesIn     = 0.1     // time constant of what is offered while it rises
	fallsIn     = 0.5     // and while it falls
	fallsBy     = 0.25    // of the target: the most that it falls in a TTL
	returnsIn   = 1.25    // how long after its return a pool is not yet offered what will come
	band        = 0.05    // a smaller change is not reported
	bandFloor   = 0.1     // of the target: smaller loads count as this
	saidEvery   = 1. / 16 // least time between two reports
	warmthStep  = 1. / 16 // warmth is reported in such steps
	factorPower = 0.3     // how fast factors move, in a TTL
	doubtful    = 4       // an endpoint that differs by this factor from the others of its pool is not believed
)

// LeastWarmth is the factor of weight and target of an endpoint that has just started: a trickle of clients warms it.
const LeastWarmth = 0.05

// Bounds of an endpoint's factor with pick: least-load.
const (
	LeastFactor = 0.25
	MostFactor  = 4.
)

// Setting is what an Estimator is told at each look about how the pool is used.
type Setting struct {
	// TTL is the shortest of the policies that pass on what the pool cannot hold, or that pick by its loads. It is
	// above 0.
	TTL       time.Duration
	Ramp      time.Duration // how long a new or recovered endpoint takes to warm up; 0: no time
	Keep      float64       // share of its clients that it keeps now, 0 to 1
	Available bool          // it is in answers; a pool that is drained or down keeps its estimate of what is offered

	// Most is the most that can be offered to it: what all pools carry among which its clients are spread, and some
	// more for load on its way. 0: unknown.
	Most float64
}

// Reading is what is known of one endpoint of a pool.
type Reading struct {
	Endpoint string  // its name within the pool
	Up       bool    // the verdict on any of its addresses is not down, and no override takes it out
	Load     Load    // the newest
	Target   float64 // load that it should carry when warm; above 0
}

// Estimator is one vantage's account of one pool: what it carries, what would be offered to it if it kept all clients,
// how warm its endpoints are, and by how much each is loaded above or below the others. It reports Measures in bands
// and at a bounded pace, so that servers can decide by them without a clock or a past.
//
// The offered load is the carried load divided by the share of clients that was kept lately. The carried load alone
// would not do: a pool that sheds sits at its target, which says nothing about how many clients are waiting.
type Estimator struct {
	at        time.Time // of the last look
	available bool
	returned  time.Time // when it last became available; zero: it always was
	kept      []span
	offered   Load
	warmth    map[string]float64
	factor    map[string]float64
	said      Measure
	saidAt    time.Time
}

// span is a share that has been kept from a time on.
type span struct {
	since time.Time
	keep  float64
}

// NewEstimator starts with what others say about the pool, or nil. Without others, endpoints that are up at the first
// look count as warm, because the process has just started. If cold is true it has not, so the pool is new and cold.
func NewEstimator(others *Pressure, cold bool) *Estimator {
	e := &Estimator{factor: map[string]float64{}}
	if others != nil {
		e.offered, e.warmth = others.Offered, map[string]float64{}
		for name, s := range others.Endpoints {
			e.warmth[name], e.factor[name] = s.Warmth, s.Factor
		}
	} else if cold {
		e.warmth = map[string]float64{}
	}
	return e
}

// Observe looks at the pool. It returns a Measure, and whether that differs enough from the last reported one to be
// reported too. A Measure that is due counts as reported. The caller fills in Vantage and Pool.
func (e *Estimator) Observe(now time.Time, s Setting, rs []Reading) (m Measure, due bool) {
	past := max(0, now.Sub(e.at))
	if e.at.IsZero() {
		past = 0
	}
	ttls := past.Seconds() / s.TTL.Seconds()
	e.at = now
	e.warm(past, s.Ramp, rs)
	e.keep(now, s)
	u := usageOf(rs)
	e.balance(ttls, u)

	m = Measure{Unsaid: !u.known, Load: e.said.Load, Offered: e.offered, Endpoints: map[string]Standing{}}
	var target float64
	for i, r := range rs {
		if !r.Up {
			if w := e.warmth[r.Endpoint]; w < 1 {
				m.Endpoints[r.Endpoint] = Standing{Warmth: w, Factor: 1}
			}
			continue
		}
		target += r.Target * max(e.warmth[r.Endpoint], LeastWarmth)
		st := Standing{Load: r.Load, Warmth: e.warmth[r.Endpoint], Factor: e.factorOf(r.Endpoint), Doubt: u.doubt[i]}
		if st != Steady {
			m.Endpoints[r.Endpoint] = st
		}
	}
	if u.known && target > 0 {
		m.Load = LoadOf(u.load)
		e.estimate(now, s, ttls, u.load)
		m.Offered = e.offered
	}
	return e.say(now, s, target, m)
}

// keep adds the share that is kept now, and forgets what is older than the window.
func (e *Estimator) keep(now time.Time, s Setting) {
	if s.Available != e.available {
		e.available = s.Available
		e.kept = nil
		e.returned = now
		if len(e.said.Endpoints) == 0 && e.said.Load == (Load{}) {
			e.returned = time.Time{} // the pool was there all the time; it is this process that is new
		}
	}
	if n := len(e.kept); n == 0 || e.kept[n-1].keep != s.Keep {
		e.kept = append(e.kept, span{now, s.Keep})
	}
	begin := now.Add(-time.Duration(keptWindow * float64(s.TTL)))
	for len(e.kept) > 1 && !e.kept[1].since.After(begin) {
		e.kept = e.kept[1:]
	}
}

// meanKept returns the mean kept share over the window. The part before the first known share counts as that share.
func (e *Estimator) meanKept(now time.Time, ttl time.Duration) float64 {
	window := time.Duration(keptWindow * float64(ttl))
	begin := now.Add(-window)
	var sum float64
	for i, k := range e.kept {
		from, until := k.since, now
		if i == 0 || from.Before(begin) {
			from = begin
		}
		if i+1 < len(e.kept) {
			until = e.kept[i+1].since
		}
		sum += k.keep * until.Sub(from).Seconds()
	}
	return sum / window.Seconds()
}

// estimate moves the estimate of what is offered towards what a load says.
func (e *Estimator) estimate(now time.Time, s Setting, ttls, load float64) {
	if !s.Available {
		return // the estimate stays while the pool is out
	}
	raw := load / max(e.meanKept(now, s.TTL), leastKept)
	if !e.offered.Known {
		e.offered = LoadOf(raw)
		return
	}
	if raw < e.offered.Value && !e.returned.IsZero() && now.Sub(e.returned).Seconds() < returnsIn*s.TTL.Seconds() {
		return
	}
	constant := risesIn
	if raw < e.offered.Value {
		constant = fallsIn
	}
	e.offered = LoadOf(min(raw+(e.offered.Value-raw)*math.Exp(-ttls/constant), MaxLoad))
}

// warm warms endpoints that are up, and cools those that are not, over the ramp.
func (e *Estimator) warm(past, ramp time.Duration, rs []Reading) {
	first := e.warmth == nil
	if first {
		e.warmth = map[string]float64{}
	}
	here := map[string]bool{}
	for _, r := range rs {
		here[r.Endpoint] = true
		w, known := e.warmth[r.Endpoint]
		switch {
		case ramp <= 0 || first && r.Up:
			w = 1
		case !known:
			w = 0
		case r.Up:
			w = min(w+past.Seconds()/ramp.Seconds(), 1)
		default:
			w = max(w-past.Seconds()/ramp.Seconds(), 0)
		}
		e.warmth[r.Endpoint] = w
	}
	maps.DeleteFunc(e.warmth, func(name string, _ float64) bool { return !here[name] })
	maps.DeleteFunc(e.factor, func(name string, _ float64) bool { return !here[name] })
}

func (e *Estimator) factorOf(endpoint string) float64 {
	if f, ok := e.factor[endpoint]; ok {
		return f
	}
	return 1
}

// balance moves the factors of endpoints so that all come to be loaded alike. It moves slowly compared with the TTL: a
// decision takes effect a TTL later, and faster moves would swing.
func (e *Estimator) balance(ttls float64, u usage) {
	for i, of := range u.of {
		if !of.known || u.mean <= 0 {
			continue
		}
		ratio := min(max(u.mean/max(of.share, u.mean/MostFactor), LeastFactor), MostFactor)
		if math.Abs(ratio-1) < band {
			continue
		}
		f := e.factorOf(u.names[i]) * math.Pow(ratio, factorPower*ttls)
		e.factor[u.names[i]] = min(max(f, LeastFactor), MostFactor)
	}
}

// usage is what the readings of a pool say together.
type usage struct {
	names []string
	of    []used
	doubt []bool
	load  float64 // of all that are up; an unknown load counts as the mean
	mean  float64 // load divided by target, over those that are known
	known bool
}

// used is how much of its target an endpoint carries.
type used struct {
	share float64
	known bool
}

// usageOf adds the readings up. An endpoint that reports more than doubtful times what the others of its pool carry, or
// less than that part of it, is not believed. It then counts with doubtful times as much as they do, or with as much as
// they do. So an endpoint that reports 0 while overloaded, or in another unit, can move its pool's load only so far.
func usageOf(rs []Reading) usage {
	u := usage{names: make([]string, len(rs)), of: make([]used, len(rs)), doubt: make([]bool, len(rs))}
	var known []float64
	for i, r := range rs {
		u.names[i] = r.Endpoint
		if r.Up && r.Load.Known && r.Target > 0 {
			u.of[i] = used{r.Load.Value / r.Target, true}
			known = append(known, u.of[i].share)
		}
	}
	if u.known = len(known) > 0; !u.known {
		return u
	}
	slices.Sort(known)
	others := func(share float64) float64 { return medianWithout(known, share) }
	if len(known) > 1 {
		for i := range u.of {
			if most := doubtful * others(u.of[i].share); u.of[i].known && most > 0 && u.of[i].share > most {
				u.of[i].share, u.doubt[i] = most, true
			}
		}
		known = known[:0]
		for _, of := range u.of {
			if of.known {
				known = append(known, of.share)
			}
		}
		slices.Sort(known)
		for i := range u.of {
			if m := others(u.of[i].share); u.of[i].known && !u.doubt[i] && u.of[i].share*doubtful < m {
				u.of[i].share, u.doubt[i] = m, true
			}
		}
	}
	var load, target float64
	for i, of := range u.of {
		if of.known {
			load, target = load+of.share*rs[i].Target, target+rs[i].Target
		}
	}
	u.mean = load / target
	for i, r := range rs {
		if r.Up && !u.of[i].known {
			load += u.mean * r.Target
		}
	}
	u.load = load
	return u
}

// medianWithout returns the lower median of sorted values without one occurrence of value.
func medianWithout(sorted []float64, value float64) float64 {
	at, _ := slices.BinarySearch(sorted, value)
	middle := (len(sorted) - 2) / 2
	if at <= middle {
		middle++
	}
	return sorted[middle]
}

// say rounds a measure to bands, and decides whether it is reported.
func (e *Estimator) say(now time.Time, s Setting, target float64, m Measure) (Measure, bool) {
	first := e.saidAt.IsZero()
	since := now.Sub(e.saidAt).Seconds() / s.TTL.Seconds()
	if !first && m.Offered.Known && e.said.Offered.Known {
		m.Offered.Value = max(m.Offered.Value, e.said.Offered.Value-fallsBy*target*since)
	}
	if most := max(s.Most, m.Load.Value); m.Offered.Known && s.Most > 0 && s.Available && m.Offered.Value > most {
		m.Offered.Value = most
		e.offered.Value = min(e.offered.Value, most)
	}
	for name, st := range m.Endpoints {
		st.Load.Value, st.Factor = round(st.Load.Value), round(st.Factor)
		if st.Warmth < 1 {
			st.Warmth = math.Floor(st.Warmth/warmthStep) * warmthStep
		}
		m.Endpoints[name] = st
	}
	m.Load.Value, m.Offered.Value = round(m.Load.Value), round(m.Offered.Value)
	moved := func(now, said Load) bool {
		return now.Known != said.Known || math.Abs(now.Value-said.Value) >= band*max(said.Value, bandFloor*target) &&
			now.Value != said.Value
	}
	differs := m.Unsaid != e.said.Unsaid || moved(m.Offered, e.said.Offered) || moved(m.Load, e.said.Load) ||
		differ(m.Endpoints, e.said.Endpoints)
	switch {
	case first && m.Unsaid && len(m.Endpoints) == 0:
		return m, false // there is nothing to report yet
	case !first && (!differs || since < saidEvery):
		return m, false
	}
	e.said, e.saidAt = m, now
	return m, true
}

// differ reports whether endpoints differ in more than their loads.
func differ(a, b map[string]Standing) bool {
	for name := range a {
		if apart(a[name], orSteady(b, name)) {
			return true
		}
	}
	for name := range b {
		if _, both := a[name]; !both && apart(b[name], Steady) {
			return true
		}
	}
	return false
}

func orSteady(of map[string]Standing, name string) Standing {
	if s, ok := of[name]; ok {
		return s
	}
	return Steady
}

func apart(a, b Standing) bool {
	return a.Warmth != b.Warmth || a.Doubt != b.Doubt || math.Abs(a.Factor-b.Factor) >= band*b.Factor
}
