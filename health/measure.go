package health

import (
	"maps"
	"slices"
	"time"
)

// Measure is what one vantage says of a pool as a whole: what it carries, and what would come if it kept all of its
// clients. It is the vantage that knows the past which that needs (see Estimator): what servers conclude is a function
// of the measures alone.
type Measure struct {
	Vantage, Pool string
	Load          Load // of its endpoints that are up, together
	Offered       Load // the load that would be there if the pool passed nothing on
	// Unsaid: no endpoint says its load now. The others are the last that was known.
	Unsaid    bool
	Endpoints map[string]Standing // by name within the pool; those that are not listed are warm, at factor 1 and of unknown load
}

// Standing is what a Measure says of one endpoint.
type Standing struct {
	Load   Load
	Warmth float64 // 0 for one that has just begun or returned, 1 for one that has been up for all of the pool's ramp
	Factor float64 // of its weight, with pick: least-load; LeastFactor to MostFactor, 1 is as configured
	Doubt  bool    // it says far less than the others of its pool carry: what they carry counts
}

// Steady is what an endpoint is that nobody says anything of.
var Steady = Standing{Warmth: 1, Factor: 1}

// Pressure is what all fresh and sighted vantages say of a pool together: medians. It never changes once it is given
// out.
type Pressure struct {
	Load, Offered Load
	Unsaid        bool                // no vantage hears of a load now
	Endpoints     map[string]Standing // of which any vantage says that it is not Steady, or knows the load
}

// Endpoint returns how an endpoint stands; of no pressure at all, Steady.
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

// Measure takes what a vantage says of a pool's load. It replaces what it has said before.
func (b *Board) Measure(m Measure) {
	p := b.loads[m.Pool]
	if p == nil {
		p = &measured{by: map[*vantage]Measure{}}
		b.loads[m.Pool] = p
	}
	p.by[b.vantage(m.Vantage)] = m
	b.unheard = append(b.unheard, m.Pool)
}

// Unmeasure takes back what a vantage has said of the loads of these pools; of all, where none is named.
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

// Pressure returns what is known of a pool's load as of the last Weigh; nil: nothing.
func (b *Board) Pressure(pool string) *Pressure {
	if p := b.loads[pool]; p != nil {
		return p.pressure
	}
	return nil
}

// Weigh brings all pressures up to what the last Judge found of vantages, and returns the pools whose pressure has
// changed, sorted.
//
// The measures of fresh vantages that are not blind count; where there is none, the last ones stand. A pool of which
// nobody says anything any more keeps what was known: unknown is not 0.
func (b *Board) Weigh(now time.Time) (changed []string) {
	for _, v := range b.vantages {
		if weighs := v.freshAt(now) && v.blind == [families]bool{}; weighs != v.weighs {
			v.weighs = weighs
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
		if v.weighs {
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

// standing is the median of what measures say of an endpoint. One that does not list it says Steady.
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

// median returns the middle of values, between the two middle ones of an even number; unknown of none.
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

// ToldLoad returns the load of a target that reporters without a heartbeat have put: the median of those whose reports
// hold.
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
