package steer

import (
	"context"
	"math"
	"slices"

	"leeward/health"
)

// A forecast leads today's clients through another View. It uses the walk that answers queries, for made-up clients of
// each order that has been counted. A client's weight is the load measured where clients like it are led today. What a
// pool keeps depends on what is offered to it, and that depends on what other pools keep. So the clients are led again
// and again, as they would be over time, until nothing moves.

// Scene is what clients are led through.
type Scene struct {
	View    *View
	Policy  func(name string) *Policy // nil: there is none
	Sharing []*Policy                 // the policies that use loads
	Now     int64                     // Unix seconds, for what is planned
}

const (
	forecastDraws  = 40_000 // clients that are led in all
	fewestDraws    = 24     // clients of each order
	mostDraws      = 8192
	forecastRounds = 80
	forecastEase   = 0.6   // part of the way to the next estimate that a round goes, so that they converge
	forecastRest   = 0.004 // of a pool's target: a smaller move counts as rest
	loadBands      = 0.05  // of a load: loads are reported in bands
	leastKeep      = 0.05  // the smallest share that an offered load is estimated with
)

// flow is the clients of one order.
type flow struct {
	asked AskedOrder
	rate  float64 // a second
	load  float64 // of all of them together
	blind float64 // part of load that is a guess, since nobody measures it where they go
	scale float64 // factor of rate and load then, from a surge
	exact bool
	draws int
	seed  uint64
	now   map[string]float64 // share, by pool
	then  map[string]float64
	open  float64
}

// Foresee works out where the clients that were counted under now would go under then. surge has, by region, the factor
// for clients whose first pool is there; nil: no surge. If the context ends before, it returns nil.
func Foresee(ctx context.Context, now, then Scene, asked *Asked, surge map[string]float64) *Forecast {
	return foresee(ctx, now, then, asked, surge, forecastDraws)
}

// Led returns how many queries a second are led to each pool now.
func Led(now Scene, asked *Asked) map[string]float64 {
	f := &forecast{now: now, then: now, draws: forecastDraws / 4, out: &Forecast{}}
	f.take(asked)
	f.spread(&now, now.View, func(l *flow) map[string]float64 { return l.now })
	led := map[string]float64{}
	for _, l := range f.flows {
		for pool, share := range l.now {
			led[pool] += l.rate * share
		}
	}
	return led
}

// Meant is Led as if every endpoint of the program were healthy and no pool full: what resources and overrides ask for.
func Meant(now Scene, p *Program, asked *Asked) map[string]float64 {
	now.View = NewView(p, Sight{State: func(health.Target) health.State { return health.Up }}, nil)
	return Led(now, asked)
}

func foresee(ctx context.Context, now, then Scene, asked *Asked, surge map[string]float64, draws float64) *Forecast {
	f := &forecast{
		now: now, then: then, draws: draws, out: &Forecast{Settled: true, Pools: []PoolForecast{}},
		pools: map[string]*PoolForecast{},
	}
	f.take(asked)
	f.spread(&now, now.View, func(l *flow) map[string]float64 { return l.now })
	f.weigh()
	for _, l := range f.flows {
		l.scale = f.surged(l, surge)
	}
	if !f.settle(ctx) {
		return nil
	}
	f.tell(asked)
	return f.out
}

type forecast struct {
	now, then Scene
	draws     float64 // clients that are led in all
	flows     []*flow
	out       *Forecast
	pools     map[string]*PoolForecast
	doubts    map[string]float64
	keeps     map[string]float64
}

// take makes flows of what was counted.
func (f *forecast) take(asked *Asked) {
	f.doubts, f.keeps = map[string]float64{}, map[string]float64{}
	if asked == nil || !(asked.Seconds > 0) {
		return
	}
	var sum float64
	for _, o := range asked.Orders {
		sum += o.Queries
	}
	f.out.Queries = asked.Queries / asked.Seconds
	for _, o := range asked.Orders {
		p := f.now.Policy(o.Policy)
		if p == nil || !(o.Queries > 0) {
			continue
		}
		l := &flow{
			asked: o, rate: o.Queries / asked.Seconds, exact: true, seed: seedOf(o.Key()),
			now: map[string]float64{}, then: map[string]float64{},
		}
		l.draws = int(min(max(f.draws*o.Queries/sum, fewestDraws), mostDraws))
		if next := f.then.Policy(o.Policy); next != nil &&
			signature(conditionsOf(p.source.Rules)) != signature(conditionsOf(next.source.Rules)) {
			l.exact = false
		}
		f.flows = append(f.flows, l)
	}
}

// spread leads the clients of all flows through a View.
func (f *forecast) spread(s *Scene, v *View, to func(*flow) map[string]float64) {
	for _, l := range f.flows {
		shares := to(l)
		clear(shares)
		l.open = 0
		p := s.Policy(l.asked.Policy)
		if p == nil {
			continue
		}
		of := p.way(&l.asked.Order)
		if !of.exact {
			l.exact = false
		}
		part, x := 1/float64(l.draws), new(carried)
		last, lastName := int32(-1), ""
		for i := range l.draws {
			key := mix(l.seed+uint64(i)*2) | 1
			n, open := p.land(v, &of, key, mix(key+1), s.Now, x)
			if n < 0 {
				continue
			}
			if n != last {
				last, lastName = n, v.pools[n].pool.Name
			}
			shares[lastName] += part
			if open {
				l.open += part
			}
		}
	}
}

// weigh works out the load of each flow's clients: the load measured at a pool is divided among the queries that lead
// there.
func (f *forecast) weigh() {
	queries := map[string]float64{}
	for _, l := range f.flows {
		for pool, share := range l.now {
			queries[pool] += l.rate * share
		}
	}
	each := map[string]float64{} // load of a query, by pool
	for _, d := range f.now.View.pools {
		if d != nil && d.burden.known && d.pressure != nil && !d.pressure.Unsaid && queries[d.pool.Name] > 0 {
			each[d.pool.Name] = d.burden.load / queries[d.pool.Name]
		}
	}
	load, of := map[string]float64{}, map[string]float64{} // by policy, of what is known
	for _, l := range f.flows {
		for pool, share := range l.now {
			if e, known := each[pool]; known {
				load[l.asked.Policy] += l.rate * share * e
				of[l.asked.Policy] += l.rate * share
			}
		}
	}
	for _, l := range f.flows {
		for pool, share := range l.now {
			e, known := each[pool]
			if !known && of[l.asked.Policy] > 0 {
				e = load[l.asked.Policy] / of[l.asked.Policy]
				l.blind += l.rate * share * e
			}
			if !known {
				f.doubts["nobody says the load of pool "+pool+"; a query counts as elsewhere"] += l.rate * share
			}
			l.load += l.rate * share * e
		}
	}
}

// surged returns the factor that a surge gives a flow, by the regions of the pools in its first step.
func (f *forecast) surged(l *flow, surge map[string]float64) float64 {
	p := f.now.Policy(l.asked.Policy)
	if len(surge) == 0 || p == nil {
		return 1
	}
	of := p.way(&l.asked.Order)
	first := func(front int32) (*group, bool) {
		for i := range of.rule.steps {
			at := i
			if of.order != nil {
				at = int(of.order[i])
			}
			g := &of.rule.steps[at]
			if front < 0 || slices.ContainsFunc(g.members, func(m member) bool { return m.region == front }) {
				return g, true
			}
		}
		return nil, false
	}
	front := int32(-1)
	g, found := (*group)(nil), false
	for _, front = range of.front {
		if g, found = first(front); found {
			break
		}
	}
	if !found {
		front = -1
		if g, found = first(-1); !found {
			return 1
		}
	}
	var sum, by float64
	for _, m := range g.members {
		if pool := f.now.View.Pool(m.pool); pool != nil && (front < 0 || m.region == front) {
			weight := max(float64(m.weight), 1e-9)
			factor, there := surge[pool.Region]
			if !there {
				factor = 1
			}
			sum, by = sum+weight, by+weight*factor
		}
	}
	if sum == 0 {
		return 1
	}
	return by / sum
}

// settle leads the clients through the future View until what is offered to pools comes to rest. It reports whether it
// did so before the context ended.
func (f *forecast) settle(ctx context.Context) bool {
	v := &View{pools: slices.Clone(f.then.View.pools), named: f.then.View.named, leave: f.then.View.leave, tight: true}
	offered := make([]float64, len(v.pools))
	for i, d := range v.pools {
		if d != nil {
			with := *d
			with.burden.known = false
			v.pools[i] = &with
		}
	}
	sharing := map[int32]map[string]*Policy{}
	for _, p := range f.then.Sharing {
		if !p.spill {
			continue
		}
		for _, n := range p.pools {
			if sharing[n] == nil {
				sharing[n] = map[string]*Policy{}
			}
			sharing[n][p.Crowds()] = p
		}
	}
	mean := func(n int32, of func(p *Policy, v *View, pool int32, now int64) (float64, bool)) float64 {
		if len(sharing[n]) == 0 {
			return 1
		}
		sum := 0.
		for _, p := range sharing[n] {
			share, _ := of(p, v, n, f.then.Now)
			sum += share
		}
		return sum / float64(len(sharing[n]))
	}
	for round := 0; ; round++ {
		if ctx.Err() != nil {
			return false
		}
		f.spread(&f.then, v, func(l *flow) map[string]float64 { return l.then })
		loads := map[string]float64{}
		for _, l := range f.flows {
			for pool, share := range l.then {
				loads[pool] += l.load * l.scale * share
			}
		}
		moved := 0.
		stay := make([]float64, len(v.pools))
		for i, d := range v.pools {
			if d != nil {
				stay[i] = mean(int32(i), (*Policy).Stays)
				f.keeps[d.pool.Name] = mean(int32(i), (*Policy).Keep)
			}
		}
		for i, d := range v.pools {
			if d == nil {
				continue
			}
			load, known := loads[d.pool.Name]
			next := load / max(stay[i], leastKeep)
			if round > 0 {
				next = offered[i] + forecastEase*(next-offered[i])
			}
			if d.burden.limited {
				moved = max(moved, math.Abs(next-offered[i])/d.burden.target)
			}
			offered[i] = next
			d.burden.load, d.burden.offered, d.burden.known = load, next, known && load > 0
		}
		switch {
		case len(sharing) == 0 || round > 2 && moved < forecastRest:
			return true
		case round == forecastRounds:
			f.out.Settled = false
			return true
		}
	}
}
