package steer

import (
	"math"
	"slices"

	"leeward/health"
)

// LoadStatus compares what a pool carries with what it can carry. A pool has one if it has a capacity or a ramp, or if
// somebody reports its load.
type LoadStatus struct {
	Load    health.Load `json:"load"`    // of the endpoints that are up, in the unit of the capacity
	Offered health.Load `json:"offered"` // load that the pool would have if it passed nothing on
	// Target is what the endpoints that are up should carry, given how warm they are; 0: not all have a target.
	Target float64 `json:"target,omitempty"`
	Max    float64 `json:"max,omitempty"` // where they break; 0: not all have a max
	// share of its clients that it keeps, 0 to 1, the mean over policies that spill
	Keep   float64 `json:"keep"`
	Warmth float64 `json:"warmth"`           // mean of the endpoints that are up, 0 to 1
	Unsaid bool    `json:"unsaid,omitempty"` // nobody reports its load now: the last known load stands
	// Wanted is how many endpoints the offered load needs: Offered divided by the mean target; 0: unknown.
	Wanted  int       `json:"wanted,omitempty"`
	Doubted []Doubted `json:"doubted,omitempty"`
}

// Doubted is an endpoint whose reported load is not believed.
type Doubted struct {
	Endpoint string  `json:"endpoint"` // its name within the pool
	Says     float64 `json:"says"`
	Target   float64 `json:"target"`
	Others   float64 `json:"others"` // median load of the pool's other endpoints, as a share of their targets
}

// loads returns a pool's LoadStatus without Keep. It returns nil if the pool has no load.
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
