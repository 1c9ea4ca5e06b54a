package steer

import (
	"math"
	"slices"

	"leeward/health"
)

// LoadStatus is what a pool carries against what it can: of a pool that has a capacity, a ramp, or of whose load
// anybody tells.
type LoadStatus struct {
	Load    health.Load `json:"load"`             // of the endpoints that are up, in the unit of the capacity
	Offered health.Load `json:"offered"`          // that would be there if the pool passed nothing on
	Target  float64     `json:"target,omitempty"` // what the endpoints that are up are to carry, as warm as they are; 0: not all say
	Max     float64     `json:"max,omitempty"`    // where these break; 0: not all say
	Keep    float64     `json:"keep"`             // share of its clients, 0 to 1, the mean over the policies that spill
	Warmth  float64     `json:"warmth"`           // mean of the endpoints that are up, 0 to 1
	Unsaid  bool        `json:"unsaid,omitempty"` // nobody tells of its load now: what was known last stands
	Wanted  int         `json:"wanted,omitempty"` // endpoints that what is offered asks for: offered by the mean target; 0: nobody knows
	Doubted []Doubted   `json:"doubted,omitempty"`
}

// Doubted is an endpoint whose load is not believed.
type Doubted struct {
	Endpoint string  `json:"endpoint"` // within the pool
	Says     float64 `json:"says"`
	Target   float64 `json:"target"`
	Others   float64 `json:"others"` // what the others of its pool carry, as a share of their targets
}

// loads returns a pool's LoadStatus, without Keep; nil of a pool that has nothing to do with loads.
func (d *duty) loads() *LoadStatus {
	if !d.pool.Loaded() && d.pressure == nil {
		return nil
	}
	b := &d.burden
	s := &LoadStatus{Keep: 1, Warmth: b.warmth, Unsaid: d.pressure == nil || d.pressure.Unsaid}
	if p := d.pressure; p != nil {
		s.Load, s.Offered = p.Load, p.Offered
	}
	if b.limited {
		s.Target = b.target
	}
	up := d.up()
	whole, targets, count := true, 0., 0
	var shares []float64
	for i := range d.pool.endpoints {
		e := &d.pool.endpoints[i]
		if e.weight == 0 {
			continue
		}
		whole = whole && e.target > 0
		targets, count = targets+e.target, count+1
		if !up[i] {
			continue
		}
		s.Max += e.most
		if e.most == 0 {
			s.Max = math.Inf(-1)
		}
		if st := d.pressure.Endpoint(e.name); st.Load.Known && !st.Doubt && e.target > 0 {
			shares = append(shares, st.Load.Value/e.target)
		}
	}
	s.Max = max(s.Max, 0)
	if whole && count > 0 && s.Offered.Known {
		s.Wanted = int(min(math.Ceil(s.Offered.Value/(targets/float64(count))-1e-9), math.MaxInt32))
	}
	slices.Sort(shares)
	for i := range d.pool.endpoints {
		e := &d.pool.endpoints[i]
		if st := d.pressure.Endpoint(e.name); up[i] && st.Doubt && len(shares) > 0 {
			s.Doubted = append(s.Doubted, Doubted{e.name, st.Load.Value, e.target, shares[(len(shares)-1)/2]})
		}
	}
	return s
}
