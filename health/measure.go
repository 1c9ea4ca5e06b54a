package health

import (
	"maps"
	"slices"
	"time"
)

// Measure is what one vantage says about a pool as a whole: what it carries, and what it would carry if it kept all of
// its clients. Only the vantage knows the past that this takes (see Estimator). What servers conclude is a function of
// the measures alone.
type Measure struct {
	Vantage, Pool string
	Sequence      uint64 // of the report that says so; 0: not known, or this process's own
	Load          Load   // of all endpoints that are up
	Offered       Load   // load that there would be if the pool passed nothing on
	// Unsaid says that no endpoint reports its load now. Load and Offered are the last known ones.
	Unsaid bool
	// Endpoints has a Standing for each endpoint, by name within the pool, that is not Steady.
	Endpoints map[string]Standing
}

// Standing is what a Measure says about one endpoint.
type Standing struct {
	Load   Load
	Warmth float64 // from 0 for an endpoint that has just started or returned to 1 after the pool's ramp
	Factor float64 // of its weight, with pick: least-load; LeastFactor to MostFactor, and 1 as configured
	Doubt  bool    // it reports far less than the pool's other endpoints carry: what they carry counts
}

// Steady is the Standing of an endpoint that nobody mentions.
var Steady = Standing{Warmth: 1, Factor: 1}

// Pressure condenses what all fresh and sighted vantages say about a pool, by medians. It never changes once it is
// given out.
type Pressure struct {
	Load, Offered Load
	Unsaid        bool                // no vantage hears of a load now
	Endpoints     map[string]Standing // those that some vantage mentions
}

// Endpoint returns an endpoint's Standing. It returns Steady if nothing is known, also if p is nil.
func (p *Pressure) Endpoint(name string) Standing {
	if p != nil {
		if s, ok := p.Endpoints[name]; ok {
			return s
		}
	}
	return Steady
}

// measured is what the Board knows of one pool's load.
type measured struct {
	by       map[*vantage]Measure
	pressure *Pressure
}

// Measure takes what a vantage says about a pool's load. It replaces what the vantage said before.
func (b *Board) Measure(m Measure) {
	p := b.loads[m.Pool]
	if p == nil {
		p = &measured{by: map[*vantage]Measure{}}
		b.loads[m.Pool] = p
	}
	p.by[b.vantage(m.Vantage)] = m
	b.unheard = append(b.unheard, m.Pool)
}

// Unmeasure takes back what a vantage has said about the loads of these pools, or of all pools if none is named.
func (b *Board) Unmeasure(name string, pools ...string) {
	v := b.vantages[name]
	if v == nil {
		return
	}
	if len(pools) == 0 {
		pools = slices.Collect(maps.Keys(b.loads))
	}
	for _, pool := range pools {
		if p := b.loads[pool]; p != nil {
			if _, there := p.by[v]; there {
				delete(p.by, v)
				b.unheard = append(b.unheard, pool)
			}
		}
	}
}

// Pressure returns what is known of a pool's load as of the last Weigh, nil if nothing is.
func (b *Board) Pressure(pool string) *Pressure {
	if p := b.loads[pool]; p != nil {
		return p.pressure
	}
	return nil
}

// Weigh brings all pressures up to what the last Judge found about vantages, and returns the pools whose pressure has
// changed, sorted.
//
// The measures of fresh vantages that are not blind count. If there are none, the last ones stand. A pool about which
// nobody says anything any more keeps what was known, since unknown is not 0.
func (b *Board) Weigh(now time.Time) (changed []string) {
	for _, v := range b.vantages {
		weighs := v.freshAt(now) && v.blind == [families]bool{}
		if weighs != v.weighs || v.told != v.lapsed {
			v.weighs, v.told = weighs, v.lapsed
			for pool, p := range b.loads {
				if _, there := p.by[v]; there {
					b.unheard = append(b.unheard, pool)
				}
			}
		}
	}
	slices.Sort(b.unheard)
	for _, pool := range slices.Compact(b.unheard) {
		p := b.loads[pool]
		if len(p.by) == 0 {
			continue
		}
		next := p.weigh()
		if p.pressure == nil || !p.pressure.same(next) {
			changed = append(changed, pool)
			p.pressure = next
		}
	}
	b.unheard = b.unheard[:0]
	return changed
}

func (p *measured) weigh() *Pressure {
	var ms []Measure
	for v, m := range p.by {
		if v.weighs && m.Sequence >= v.lapsed {
			ms = append(ms, m)
		}
	}
	if len(ms) == 0 {
		ms = slices.Collect(maps.Values(p.by))
	}
	out := &Pressure{Unsaid: true, Endpoints: map[string]Standing{}}
	var loads, offers []float64
	for _, m := range ms {
		out.Unsaid = out.Unsaid && m.Unsaid
		if m.Load.Known {
			loads = append(loads, m.Load.Value)
		}
		if m.Offered.Known {
			offers = append(offers, m.Offered.Value)
		}
		for name := range m.Endpoints {
			out.Endpoints[name] = Steady
		}
	}
	out.Load, out.Offered = median(loads), median(offers)
	for name := range out.Endpoints {
		out.Endpoints[name] = standing(name, ms)
	}
	return out
}

// standing returns the median of what measures say about an endpoint. A measure that does not list it says Steady.
func standing(name string, ms []Measure) Standing {
	var loads, warmths, factors []float64
	doubts := 0
	for _, m := range ms {
		s, listed := m.Endpoints[name]
		if !listed {
			s = Steady
		}
		if s.Load.Known {
			loads = append(loads, s.Load.Value)
		}
		if s.Doubt {
			doubts++
		}
		warmths, factors = append(warmths, s.Warmth), append(factors, s.Factor)
	}
	return Standing{
		Load: median(loads), Warmth: median(warmths).Value, Factor: median(factors).Value, Doubt: 2*doubts > len(ms),
	}
}

// median returns the median of values, the mean of the middle two if their number is even. It is unknown if there are
// none.
func median(values []float64) Load {
	if len(values) == 0 {
		return Load{}
	}
	slices.Sort(values)
	low, high := values[(len(values)-1)/2], values[len(values)/2]
	return Load{low + (high-low)/2, true}
}

func (p *Pressure) same(q *Pressure) bool {
	return p.Load == q.Load && p.Offered == q.Offered && p.Unsaid == q.Unsaid && maps.Equal(p.Endpoints, q.Endpoints)
}

// ToldLoad returns the load of a target according to reporters without a heartbeat: the median of their valid reports.
func (b *Board) ToldLoad(key Target) Load {
	t := b.targets[key]
	if t == nil {
		return Load{}
	}
	var loads []float64
	for i := range t.cells {
		if c := &t.cells[i]; c.load.Known && c.vantage.beat == 0 && !c.vantage.own && c.freshAt(b.now) {
			loads = append(loads, c.load.Value)
		}
	}
	return median(loads)
}
