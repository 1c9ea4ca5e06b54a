package steer

import (
	"strings"

	"leeward/health"
)

// Seen is what a View knew about one pool beyond the configuration, or what of that has changed: enough to make the
// View again later. It has a JSON form.
type Seen struct {
	Pool string `json:"pool"`
	// Whole says that this replaces all that was seen of the pool before, because the pool was compiled anew. Addresses
	// that are not listed are then up; otherwise they are as they were.
	Whole bool `json:"whole,omitempty"`
	// Addresses by their state, as "lb-1@192.0.2.1".
	Down    []string `json:"down,omitempty"`
	Unknown []string `json:"unknown,omitempty"`
	Up      []string `json:"up,omitempty"`

	Loaded   bool             `json:"loaded,omitempty"` // Pressure counts
	Pressure *health.Pressure `json:"pressure,omitempty"`
	// Names has how the endpoints' hostnames were resolved; only if Whole.
	Names map[string]Resolution `json:"names,omitempty"`
}

// Sighting is a pool that a View judges differently from the View before. It does not change, and is cheap to make:
// Seen does what takes long.
type Sighting struct {
	now, old *duty // old is nil where the pool has been compiled anew
}

// Sightings returns the pools that v judges differently from before. If before is nil, these are all pools.
func (v *View) Sightings(before *View) (all []Sighting) {
	for i, d := range v.pools {
		if d == nil {
			continue
		}
		var old *duty
		if before != nil && i < len(before.pools) {
			old = before.pools[i]
		}
		switch {
		case old == d:
		case old == nil || old.pool != d.pool:
			all = append(all, Sighting{now: d})
		default:
			all = append(all, Sighting{d, old})
		}
	}
	return all
}

// Size is how many addresses the pool has.
func (s Sighting) Size() int { return len(s.now.states) }

// Seen describes the sighting.
func (s Sighting) Seen() Seen {
	d := s.now
	out := Seen{Pool: d.pool.Name, Whole: s.old == nil}
	at := 0
	for i := range d.pool.endpoints {
		e := &d.pool.endpoints[i]
		if e.hostname != "" && out.Whole {
			if out.Names == nil {
				out.Names = map[string]Resolution{}
			}
			out.Names[e.hostname.String()] = e.resolved
		}
		for _, addrs := range e.addrs {
			for _, a := range addrs {
				state := d.states[at]
				turned := out.Whole && state != health.Up || !out.Whole && s.old.states[at] != state
				if at++; !turned {
					continue
				}
				to := map[health.State]*[]string{
					health.Down: &out.Down, health.Unknown: &out.Unknown, health.Up: &out.Up,
				}[state]
				*to = append(*to, e.name+"@"+a.String())
			}
		}
	}
	if out.Whole && d.pressure != nil || !out.Whole && d.pressure != s.old.pressure {
		out.Loaded, out.Pressure = true, d.pressure
	}
	return out
}

// Remembered gathers one Seen after the other, for a View of that moment. The zero value has seen nothing.
type Remembered struct{ pools map[string]*remembered }

type remembered struct {
	states   map[string]health.State // of addresses that are not up
	pressure *health.Pressure
	names    map[string]Resolution
}

// Add adds what was seen next.
func (r *Remembered) Add(s Seen) {
	if r.pools == nil {
		r.pools = map[string]*remembered{}
	}
	p := r.pools[s.Pool]
	if p == nil || s.Whole {
		p = &remembered{states: map[string]health.State{}, names: s.Names}
		r.pools[s.Pool] = p
	}
	for state, addresses := range map[health.State][]string{health.Down: s.Down, health.Unknown: s.Unknown} {
		for _, a := range addresses {
			p.states[a] = state
		}
	}
	for _, a := range s.Up {
		delete(p.states, a)
	}
	if s.Loaded {
		p.pressure = s.Pressure
	}
}

// Sight is what a View of that moment is made from.
func (r *Remembered) Sight() Sight {
	return Sight{
		State: func(t health.Target) health.State {
			pool, name, _ := strings.Cut(t.Endpoint, "/")
			if p := r.pools[pool]; p != nil {
				if s, listed := p.states[name+"@"+t.Address.String()]; listed {
					return s
				}
			}
			return health.Up
		},
		Pressure: func(pool string) *health.Pressure {
			if p := r.pools[pool]; p != nil {
				return p.pressure
			}
			return nil
		},
	}
}

// Resolutions returns how hostnames were resolved, by name. All pools have the same resolution of a name.
func (r *Remembered) Resolutions() map[string]Resolution {
	all := map[string]Resolution{}
	for _, p := range r.pools {
		for name, resolution := range p.names {
			all[name] = resolution
		}
	}
	return all
}
