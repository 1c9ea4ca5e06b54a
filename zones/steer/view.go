package steer

import (
	"net/netip"
	"strings"

	"leeward/health"
	"leeward/zones"
)

// View says which endpoints may be in answers right now.
//
//	View ─▶ duty, one a pool ─▶ lineup, one a family ─▶ table of candidates
//	               └─▶ quick: copies of what most decisions read, in one place
//
// A View judges every pool of a Program by the verdicts. It never changes: when a verdict turns, Next makes a new View
// that shares the pools whose state is the same.
type View struct {
	pools []*duty // by pool number
	tight bool    // some pool may keep less than all of its clients
	named bool    // some pool has an endpoint by hostname
	leave bool    // some pool is losing its clients to a drain, or getting them back
}

// Named reports whether any endpoint is given by its hostname, so that answers depend on the time.
func (v *View) Named() bool { return v.named }

// duty is one pool as judged.
type duty struct {
	quick  [Name]quick // what most decisions read, by family
	pool   *Pool
	states []health.State // of every address: by endpoint, IPv4 before IPv6

	pressure *health.Pressure // nil: nothing is known of its load
	burden   burden
	family   [families]lineup
}

// quick holds the candidates of a lineup's table. It is empty if the pool is not available.
type quick struct {
	entries []entry
	until   until
	table   *table
}

// lineup is what a pool has of one family.
type lineup struct {
	table          *table // the healthy candidates; nil: the pool is not available
	why            Reason // why it is not; ReasonAvailable if it is
	healthy, total int    // endpoints with an address of the family
}

// Sight is the state, beside the configuration, that a View is made from.
type Sight struct {
	// State returns the verdict on an address of an endpoint with a monitor. Unknown counts as up.
	State func(health.Target) health.State
	// Pressure returns what is known of a pool's load, or nil. If Pressure is nil, nothing is known of any pool.
	Pressure func(pool string) *health.Pressure
}

// NewView judges every pool of the program. It shares the pools that are as they were in prev, which may be nil.
func NewView(p *Program, s Sight, prev *View) *View {
	return p.view(s, prev, func(*Pool) bool { return true })
}

// Next returns the View of a program when, since prev, only the verdicts of the targets in turned and the loads of the
// pools in loads have changed.
func (prev *View) Next(p *Program, s Sight, turned []health.Target, loads []string) *View {
	moved := map[string]bool{}
	for _, t := range turned {
		pool, _, _ := strings.Cut(t.Endpoint, "/")
		moved[pool] = true
	}
	for _, pool := range loads {
		moved[pool] = true
	}
	return p.view(s, prev, func(pool *Pool) bool { return moved[pool.Name] })
}

func (p *Program) view(s Sight, prev *View, moved func(*Pool) bool) *View {
	v := &View{pools: make([]*duty, len(p.Pools))}
	for i, pool := range p.Pools {
		if pool == nil {
			continue
		}
		v.named = v.named || pool.named
		v.leave = v.leave || pool.leaving != nil
		var old *duty
		if prev != nil && i < len(prev.pools) && prev.pools[i] != nil && prev.pools[i].pool == pool {
			if old = prev.pools[i]; !moved(pool) {
				v.pools[i] = old
				v.tight = v.tight || old.burden.tight()
				continue
			}
		}
		v.pools[i] = judge(pool, s, old)
		v.tight = v.tight || v.pools[i].burden.tight()
	}
	return v
}

// judge works out which of a pool's endpoints may be in answers. It returns old if nothing has changed.
func judge(p *Pool, sight Sight, old *duty) *duty {
	d := &duty{pool: p}
	if sight.Pressure != nil {
		d.pressure = sight.Pressure(p.Name)
	}
	same := old != nil && old.pressure == d.pressure
	for i := range p.endpoints {
		e := &p.endpoints[i]
		for _, addrs := range e.addrs {
			for _, a := range addrs {
				s := e.state(p, a, sight.State)
				same = same && old.states[len(d.states)] == s
				d.states = append(d.states, s)
			}
		}
	}
	if same {
		return old
	}
	up := d.up()
	d.burden = d.burdenOf(up)
	for f := range d.family {
		d.family[f] = d.lineup(Family(f))
	}
	for f := range d.quick {
		if t := d.family[f].table; t != nil {
			d.quick[f] = quick{t.entries, t.until, t}
		}
	}
	return d
}

// state returns the state of an address: the override if there is one, else the verdict.
func (e *endpoint) state(p *Pool, a netip.Addr, verdict func(health.Target) health.State) health.State {
	switch {
	case e.word == zones.Up:
		return health.Up
	case e.word != "", e.resolved.Gone:
		return health.Down
	case p.monitor == nil:
		return health.Up
	}
	return verdict(health.Target{Endpoint: e.id, Address: a})
}

// lineup counts a pool's endpoints of a family and makes their table.
func (d *duty) lineup(f Family) lineup {
	p := d.pool
	var l lineup
	var weight, healthyWeight uint64
	up := map[place]bool{}
	at := 0
	for i := range p.endpoints {
		e := &p.endpoints[i]
		healthy, count := false, 0
		for k := range e.addrs {
			for _, a := range e.addrs[k] {
				if Family(k) == f {
					count++
					if d.states[at] != health.Down {
						up[place{i, a}], healthy = true, true
					}
				} else if f == Name && d.states[at] != health.Down {
					healthy = true // a name is up as long as one of its addresses is
				}
				at++
			}
		}
		if f == Name && e.hostname != "" {
			count = 1
			if len(e.addrs[V4])+len(e.addrs[V6]) == 0 { // there is nothing to probe yet, and unknown counts as up
				healthy = e.word == zones.Up || e.word == "" && !e.resolved.Gone
			}
			up[place{i, netip.Addr{}}] = healthy
		}
		if count == 0 {
			continue
		}
		l.total++
		weight += e.weight
		if healthy {
			l.healthy++
			healthyWeight += e.weight
		}
	}
	need := max(1, min(p.min.Count, l.total))
	switch {
	case l.total == 0:
		l.why = ReasonNoAddress
	case p.drained:
		l.why = ReasonDrained
	case l.healthy == 0:
		l.why = ReasonNoneHealthy
	case l.healthy < need, healthyWeight*100 < weight*uint64(p.min.Percent):
		l.why = ReasonTooFew
	default:
		l.why = ReasonAvailable
		l.table = newTable(d.weighed(p.candidates(f, func(i int, a netip.Addr) bool { return up[place{i, a}] })))
	}
	return l
}

// up says which endpoints are up: those with an address that is not down, and those by hostname without addresses yet.
func (d *duty) up() []bool {
	up, at := make([]bool, len(d.pool.endpoints)), 0
	for i := range d.pool.endpoints {
		e := &d.pool.endpoints[i]
		n := len(e.addrs[V4]) + len(e.addrs[V6])
		up[i] = n == 0 && e.hostname != "" && (e.word == zones.Up || e.word == "" && !e.resolved.Gone)
		for range n {
			up[i] = up[i] || d.states[at] != health.Down
			at++
		}
	}
	return up
}

// weighed multiplies the candidates' weights by their endpoints' warmth, and sets their shares by load.
func (d *duty) weighed(cs []candidate) []candidate {
	if d.pressure == nil || len(d.pressure.Endpoints) == 0 {
		return cs
	}
	scale := func(weight uint64, by float64) uint64 { // 0 stays 0, and nothing else becomes 0
		if weight == 0 {
			return 0
		}
		return max(uint64(float64(weight)*by), 1)
	}
	for i := range cs {
		s := d.pressure.Endpoint(d.pool.endpoints[cs[i].endpoint].name)
		if d.pool.ramp > 0 {
			cs[i].weight = scale(cs[i].weight, warmthOf(s))
		}
		cs[i].share = scale(cs[i].weight, s.Factor)
	}
	return cs
}

// place is an address of one of a pool's endpoints.
type place struct {
	endpoint int
	addr     netip.Addr
}

// at returns pool n and its lineup of a family. If there is no such pool, it returns nil and an empty lineup.
func (v *View) at(n int32, f Family) (*Pool, *lineup) {
	if uint(n) < uint(len(v.pools)) && v.pools[n] != nil {
		d := v.pools[n]
		return d.pool, &d.family[f]
	}
	return nil, &noLineup
}

var noLineup = lineup{why: ReasonNoPool}

// PoolStatus describes one pool, for people.
type PoolStatus struct {
	Pool   string       `json:"pool"`
	Region string       `json:"region"`
	IPv4   FamilyStatus `json:"ipv4"`
	IPv6   FamilyStatus `json:"ipv6"`
	Names  FamilyStatus `json:"names,omitzero"` // endpoints by hostname, as answers with a CNAME use them
	Number int32        `json:"-"`
	Loads  *LoadStatus  `json:"-"` // nil: the pool has no load; the caller fills in Keep
}

// FamilyStatus describes a pool's endpoints of one family.
type FamilyStatus struct {
	Available bool   `json:"available"`
	Healthy   int    `json:"healthy"` // endpoints
	Total     int    `json:"total"`   // endpoints that have an address of the family
	Why       string `json:"why"`
}

// Pools describes every pool, by number.
func (v *View) Pools() []PoolStatus {
	var all []PoolStatus
	for _, d := range v.pools {
		if d == nil {
			continue
		}
		s := PoolStatus{Pool: d.pool.Name, Region: d.pool.Region, Number: d.pool.Number, Loads: d.loads()}
		for f, to := range []*FamilyStatus{&s.IPv4, &s.IPv6, &s.Names} {
			l := &d.family[f]
			if Family(f) == Name && !d.pool.named {
				break
			}
			*to = FamilyStatus{Available: l.table != nil, Healthy: l.healthy, Total: l.total, Why: l.why.String()}
		}
		all = append(all, s)
	}
	return all
}
