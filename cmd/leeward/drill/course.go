package drill

import (
	"cmp"
	"math"
	"slices"
)

// Course is what was observed during a drill, at even distances of time. A value that was not observed is -1.
type Course struct {
	Seconds []float64 `json:"seconds"` // since the drill began
	Pools   []*Pool   `json:"pools"`
	Names   []*Name   `json:"names,omitempty"`

	every float64 // seconds between two observations
	last  float64 // time of the last one
}

// Pool is the course of one pool.
type Pool struct {
	Pool   string  `json:"pool"`
	Region string  `json:"region"`
	Away   bool    `json:"away,omitempty"` // it belongs to the target
	Target float64 `json:"target,omitempty"`
	Max    float64 `json:"max,omitempty"`

	Load    []float64 `json:"load"`    // in the unit of its capacity
	Queries []float64 `json:"queries"` // a second that were led to it
	Up      []float64 `json:"up"`      // healthy endpoints
}

// Name is what a resolver answered for a name.
type Name struct {
	Name     string    `json:"name"`
	Resolver string    `json:"resolver"`
	Away     []float64 `json:"away"` // share of the answer's addresses that are the target's
}

// mostSeen bounds a course. When it has more observations, every other one is dropped.
const mostSeen = 240

// due reports whether it is time for an observation.
func (c *Course) due(at float64) bool { return len(c.Seconds) == 0 || at-c.last >= c.every-1e-6 }

// add adds an observation.
func (c *Course) add(at float64, pools []Pool, away map[[2]string]float64) {
	c.last = at
	c.Seconds = append(c.Seconds, rounded(at))
	n := len(c.Seconds)
	for _, p := range pools {
		of := c.pool(p)
		of.Target, of.Max = p.Target, p.Max
		put(&of.Load, n, p.Load)
		put(&of.Queries, n, p.Queries)
		put(&of.Up, n, p.Up)
	}
	for key, share := range away {
		one := []float64{share}
		put(&c.name(key).Away, n, one)
	}
	if n > mostSeen {
		c.halve()
	}
}

// put appends the first value of from to a series, which has n values then. Values that are missing were not observed.
func put(to *[]float64, n int, from []float64) {
	v := -1.
	if len(from) > 0 {
		v = rounded(from[0])
	}
	for len(*to) < n-1 {
		*to = append(*to, -1)
	}
	*to = append(*to, v)
}

func (c *Course) pool(p Pool) *Pool {
	for _, of := range c.Pools {
		if of.Pool == p.Pool {
			return of
		}
	}
	of := &Pool{Pool: p.Pool, Region: p.Region, Away: p.Away}
	c.Pools = append(c.Pools, of)
	slices.SortFunc(c.Pools, func(a, b *Pool) int { return cmp.Compare(a.Pool, b.Pool) })
	return of
}

func (c *Course) name(key [2]string) *Name {
	for _, of := range c.Names {
		if of.Name == key[0] && of.Resolver == key[1] {
			return of
		}
	}
	of := &Name{Name: key[0], Resolver: key[1]}
	c.Names = append(c.Names, of)
	slices.SortFunc(c.Names, func(a, b *Name) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Resolver, b.Resolver))
	})
	return of
}

// series returns all series of a course.
func (c *Course) series() (all []*[]float64) {
	all = append(all, &c.Seconds)
	for _, p := range c.Pools {
		all = append(all, &p.Load, &p.Queries, &p.Up)
	}
	for _, n := range c.Names {
		all = append(all, &n.Away)
	}
	return all
}

// halve drops every other observation.
func (c *Course) halve() {
	n := len(c.Seconds)
	for _, s := range c.series() {
		for len(*s) < n {
			*s = append(*s, -1)
		}
		kept := (*s)[:0]
		for i := 0; i < n; i += 2 {
			kept = append(kept, (*s)[i])
		}
		*s = kept
	}
	c.every = 2 * max(c.every, 1)
}

// rounded rounds to four digits, to keep the history in etcd small.
func rounded(v float64) float64 {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	scale := math.Pow(10, 3-math.Floor(math.Log10(math.Abs(v))))
	return math.Round(v*scale) / scale
}

// most returns the largest value of a series; ok reports whether there is one.
func most(s []float64) (v float64, ok bool) {
	v = -1
	for _, x := range s {
		v = max(v, x)
	}
	return v, v >= 0
}
