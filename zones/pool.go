package zones

import (
	"math"

	"leeward/health"
)

func (f *faults) region(r *Region) {
	degrees := func(field string, d *float64, most float64) {
		if d != nil && !(math.Abs(*d) <= most) {
			f.add(field, "%v is outside -%v to %v degrees", *d, most, most)
		}
	}
	degrees("latitude", r.Latitude, 90)
	degrees("longitude", r.Longitude, 180)
	switch {
	case r.Latitude != nil && r.Longitude == nil:
		f.add("longitude", "there is a latitude and no longitude; give both or neither")
	case r.Latitude == nil && r.Longitude != nil:
		f.add("latitude", "there is a longitude and no latitude; give both or neither")
	}
}

func (f *faults) pool(p *Pool) {
	if p.Region == "" {
		f.add("region", "a pool is in a region; name one")
	} else {
		f.reference("region", KindRegion, p.Region)
	}
	if p.Monitor != "" {
		f.reference("monitor", KindMonitor, p.Monitor)
	}
	if p.Ramp < 0 || p.Ramp.Std() > maxRamp {
		f.add("ramp", "%s is outside 0s to %s", p.Ramp, Duration(maxRamp))
	}
	f.capacity(p.Capacity)
}

func (f *faults) capacity(c *Capacity) {
	if c == nil {
		return
	}
	switch {
	case !(c.Target > 0 && c.Target <= health.MaxLoad):
		f.add("capacity.target",
			"%g is outside 0 (not included) to %g; write what an endpoint is to carry, in the unit of its load",
			c.Target, health.MaxLoad)
	case c.Max != 0 && !(c.Max >= c.Target && c.Max <= health.MaxLoad):
		f.add("capacity.max",
			"%g is below the target of %g, or above %g; write the load at which an endpoint breaks, or leave it out",
			c.Max, c.Target, health.MaxLoad)
	}
}

// reference checks the spelling of a name that stands for another resource.
func (f *faults) reference(field string, kind Kind, name string) bool {
	if err := simpleName(kind, name); err != nil {
		f.add(field, "%v", err)
		return false
	}
	return true
}
