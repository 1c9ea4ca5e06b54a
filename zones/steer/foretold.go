package steer

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
)

// What a forecast comes to: loads, how certain they are, and who would be over.

// Forecast says where clients would go, and how certain that is.
type Forecast struct {
	Queries  float64        `json:"queries"`            // a second, today
	Lost     float64        `json:"lost,omitempty"`     // share of the queries then that no pool would answer
	FailOpen float64        `json:"failOpen,omitempty"` // share that would be answered as if all were healthy
	Settled  bool           `json:"settled"`            // what pools keep came to rest
	Pools    []PoolForecast `json:"pools"`              // that clients are led to, now or then; by name
	Doubts   []string       `json:"doubts,omitempty"`   // what the forecast does not know
}

// PoolForecast is one pool of a Forecast. Loads are in the unit of its capacity.
type PoolForecast struct {
	Pool     string  `json:"pool"`
	Region   string  `json:"region"`
	Measured bool    `json:"measured"` // the loads are known; else Load, Then and Error are 0
	Load     float64 `json:"load"`     // now
	Then     float64 `json:"then"`
	Error    float64 `json:"error"` // how far Then may be off, either way
	Target   float64 `json:"target,omitempty"`
	Max      float64 `json:"max,omitempty"`  // 0: not all endpoints have one
	Keep     float64 `json:"keep"`           // share of its clients that it would keep
	Over     bool    `json:"over,omitempty"` // Then is above Max

	Queries     float64 `json:"queries"` // a second, now
	QueriesThen float64 `json:"queriesThen"`
}

// tell writes the result into out.
func (f *forecast) tell(asked *Asked) {
	at := func(name string) *PoolForecast {
		if f.pools[name] == nil {
			f.pools[name] = &PoolForecast{Pool: name, Keep: 1}
		}
		return f.pools[name]
	}
	var all, lost float64
	variance, moved, guessed := map[string]float64{}, map[string]float64{}, map[string]float64{}
	for _, l := range f.flows {
		all += l.rate * l.scale
		there := 0.
		for pool, share := range l.now {
			at(pool).Queries += l.rate * share
		}
		both := maps.Clone(l.now)
		maps.Copy(both, l.then)
		for pool := range both {
			was, will := l.now[pool], l.then[pool]
			p := at(pool)
			p.QueriesThen += l.rate * l.scale * will
			p.Then += l.load * l.scale * will
			p.Measured = p.Measured || l.load > 0
			there += will
			shift := l.load * math.Abs(l.scale*will-was)
			counted := min(shift, l.load*l.scale*will) // a pool to which nobody is led has no error
			variance[pool] += counted*counted/max(l.asked.Samples, 1) +
				l.load*l.load*l.scale*l.scale*will*(1-will)/float64(l.draws)
			moved[pool] += counted
			guessed[pool] += l.blind * l.scale * will
			if !l.exact {
				guessed[pool] += shift
			}
		}
		lost += l.rate * l.scale * (1 - there)
		f.out.FailOpen += l.rate * l.scale * l.open
		if !l.exact {
			f.doubts["the rules of "+l.asked.Policy+" are others then: its clients are taken to be divided among "+
				"them as now"] += l.rate
		}
	}
	if all > 0 {
		f.out.Lost, f.out.FailOpen = max(0, math.Round(lost/all*1e6)/1e6), f.out.FailOpen/all
	}
	other := 0.
	if asked != nil && asked.Queries > 0 {
		other = asked.Other / asked.Queries
	}
	if other > 0.01 {
		f.doubts[fmt.Sprintf("%.0f %% of the queries are of orders that there was no room to count",
			other*100)] = math.Inf(1)
	}
	for _, d := range f.now.View.pools {
		if d != nil && d.burden.known && f.pools[d.pool.Name] != nil {
			f.pools[d.pool.Name].Load = d.burden.load
		}
	}
	for _, d := range f.then.View.pools {
		if d == nil || f.pools[d.pool.Name] == nil {
			continue
		}
		p := f.pools[d.pool.Name]
		if d.burden.limited {
			p.Target = d.burden.target
		}
		p.Max = d.most()
		if k, there := f.keeps[d.pool.Name]; there {
			p.Keep = k
		}
	}
	for name, p := range f.pools {
		p.Region = f.region(name)
		if !p.Measured {
			p.Load, p.Then = 0, 0
			continue
		}
		p.Error = 2*math.Sqrt(variance[name]) + guessed[name] + other*moved[name] + loadBands*p.Then
		p.Over = p.Max > 0 && p.Then > p.Max
		f.out.Pools = append(f.out.Pools, *p)
	}
	for _, p := range f.pools {
		if !p.Measured {
			f.out.Pools = append(f.out.Pools, *p)
		}
	}
	slices.SortFunc(f.out.Pools, func(a, b PoolForecast) int { return cmp.Compare(a.Pool, b.Pool) })
	texts := slices.Collect(maps.Keys(f.doubts))
	slices.SortFunc(texts, func(a, b string) int {
		return cmp.Or(cmp.Compare(f.doubts[b], f.doubts[a]), cmp.Compare(a, b))
	})
	f.out.Doubts = append(f.out.Doubts, texts[:min(len(texts), mostDoubts)]...)
	if len(texts) > mostDoubts {
		f.out.Doubts = append(f.out.Doubts, fmt.Sprintf("and %d more of the kind", len(texts)-mostDoubts))
	}
}

// mostDoubts is how many doubts are listed one by one.
const mostDoubts = 10

func (f *forecast) region(pool string) string {
	for _, v := range []*View{f.then.View, f.now.View} {
		for _, d := range v.pools {
			if d != nil && d.pool.Name == pool {
				return d.pool.Region
			}
		}
	}
	return ""
}

// most returns the load at which the endpoints that are up break. It returns 0 if that of one of them is unknown.
func (d *duty) most() (most float64) {
	up := d.up()
	for i := range d.pool.endpoints {
		e := &d.pool.endpoints[i]
		switch {
		case !up[i] || e.weight == 0 || d.pool.drained:
		case e.most == 0:
			return 0
		default:
			most += e.most
		}
	}
	return most
}

// OverMax returns the pools that would carry more than their max, and those that might.
func (f *Forecast) OverMax() (over, maybe []PoolForecast) {
	for _, p := range f.Pools {
		switch {
		case p.Over:
			over = append(over, p)
		case p.Measured && p.Max > 0 && p.Then+p.Error > p.Max:
			maybe = append(maybe, p)
		}
	}
	return over, maybe
}

// Measured reports whether the load of any pool is known.
func (f *Forecast) Measured() bool {
	return slices.ContainsFunc(f.Pools, func(p PoolForecast) bool { return p.Measured })
}
