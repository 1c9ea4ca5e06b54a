package steer

import (
	"math"
	"net/netip"
	"slices"
	"time"

	"leeward/health"
	"leeward/zones"
)

// A pool that cannot hold what is offered to it keeps a share of its clients and passes the others on, to the next in
// their order. Which ones is a hash of pool and client: the same on every server, and a smaller share moves only those
// above it. What is offered is worked out by vantages (health.Estimator); here is what is concluded from it, a function
// of a View alone.

const (
	shareBand  = 0.025 // of how far all pools of an order are over: within a band all servers share alike
	ditherSeed = 0x9e3779b97f4a7c15
	lumpWidth  = 0.15 // around the share that is kept, where a client without ECS may be a crowd
)

// burden is how much a pool carries, and can.
type burden struct {
	load, offered float64 // as health.Pressure has them; offered 0: nobody knows
	target        float64 // of the endpoints that are up, as warm as they are
	warmth        float64 // mean, by target; 1 without a ramp
	known         bool    // its load is
	limited       bool    // every endpoint that is up has a capacity
}

// tight reports whether the pool may keep less than all of its clients.
func (b *burden) tight() bool { return b.warmth < 1 || b.limited && b.known && b.offered > b.target }

// burdenOf adds up what a pool's endpoints that are up can carry.
func (d *duty) burdenOf(up []bool) burden {
	b := burden{warmth: 1, limited: true}
	if p := d.pressure; p != nil {
		b.load, b.offered, b.known = p.Load.Value, p.Offered.Value, p.Load.Known && p.Offered.Known
	}
	var plain, warm float64
	count := 0
	for i := range d.pool.endpoints {
		e := &d.pool.endpoints[i]
		if !up[i] || e.weight == 0 {
			continue
		}
		w := 1.
		if d.pool.ramp > 0 {
			w = warmthOf(d.pressure.Endpoint(e.name))
		}
		b.limited = b.limited && e.target > 0
		b.target += float64(e.target * w)
		part := e.target
		if part == 0 {
			part = float64(e.weight)
		}
		plain, warm = plain+part, warm+float64(part*w)
		count++
	}
	if plain > 0 {
		b.warmth = warm / plain
	}
	b.limited = b.limited && count > 0
	return b
}

// warmthOf is what an endpoint's weight and target are multiplied by.
func warmthOf(s health.Standing) float64 { return max(s.Warmth, health.LeastWarmth) }

// crowd is the pools of a rule, among which clients are spread.
type crowd struct {
	pools []int32
	plans []plan // of pools of which something is planned; nil: of none
}

// excess is how many times what the available pools of a crowd are to carry they carry together, 1 at least, rounded up
// to a band: where all are over, all share it by their size. A pool without a capacity takes whatever comes; one whose
// load nobody knows counts for nothing.
//
// The load is what they carry together, 0 where that of one of them is not known. Nobody can be offered more than all
// of them carry: where every pool keeps little, most clients stay with the first of them all the same, and the division
// by what is kept says more than there is.
func (v *View) excess(c *crowd, f Family, now int64) (u, load float64) {
	var target, all float64
	limited, known := true, true
	for i, n := range c.pools {
		if uint(n) >= uint(len(v.pools)) || v.pools[n] == nil || v.pools[n].family[f].table == nil {
			continue
		}
		b := &v.pools[n].burden
		limited, known = limited && b.limited, known && b.known
		all += b.load
		if b.limited && b.known {
			load += b.load
			target += float64(b.target * c.level(i, now) * v.pools[n].pool.leaving.level(now))
		}
	}
	u = 1
	if limited && load > target && target > 0 {
		u = math.Ceil(load/target/shareBand) * shareBand
	}
	if !known {
		all = 0
	}
	return u, all
}

// level is what is planned for the crowd's i-th pool now, as a factor.
func (c *crowd) level(i int, now int64) float64 {
	if c.plans == nil {
		return 1
	}
	return c.plans[i].level(now)
}

// carried is what a crowd's pools carry together, as excess says it; u is 0 where that is not worked out yet.
type carried struct{ u, load float64 }

// slack is by how much more may be offered to one pool than all of them are known to carry: some of it is on the way,
// or in a band.
const slack = 1.1

// keeps returns the share of its clients that a pool keeps in a crowd, 0 to 1.
func (v *View) keeps(c *crowd, n int32, f Family, spill bool, now int64, x *carried) float64 {
	d := v.pools[n]
	level := 1.
	if c.plans != nil {
		level = c.level(slices.Index(c.pools, n), now)
	}
	if leaving := d.pool.leaving; leaving != nil {
		level = float64(level * leaving.level(now))
	}
	keep := min(level, 1)
	if b := &d.burden; spill {
		keep = min(keep, b.warmth)
		if target := float64(b.target * level); b.limited && b.known && b.offered > target {
			if x.u == 0 {
				x.u, x.load = v.excess(c, f, now)
			}
			offered := b.offered
			if x.load > 0 {
				offered = min(offered, slack*x.load)
			}
			keep = min(keep, x.u*target/offered)
		}
	}
	return max(keep, 0)
}

// Keep returns the share of its clients that a pool keeps under the policy, the mean over the rules that name it; now
// is in Unix seconds. ok: some rule does.
func (p *Policy) Keep(v *View, pool int32, now int64) (keep float64, ok bool) {
	if uint(pool) >= uint(len(v.pools)) || v.pools[pool] == nil {
		return 1, false
	}
	family, rules := v.familyOf(pool), 0.
	for i := range p.rules {
		if c := &p.rules[i].crowd; slices.Contains(c.pools, pool) {
			keep += v.keeps(c, pool, family, p.spill, now, new(carried))
			rules++
		}
	}
	if rules == 0 {
		return 1, false
	}
	return keep / rules, true
}

// Stays returns which share of a pool's clients stay with it under the policy: those that it keeps, and those that
// nobody keeps and who come back to it as the first that is there. It is what a load is to be divided by, and otherwise
// as Keep.
func (p *Policy) Stays(v *View, pool int32, now int64) (stays float64, ok bool) {
	rules := 0.
	for i := range p.rules {
		r := &p.rules[i]
		if !slices.Contains(r.crowd.pools, pool) {
			continue
		}
		rules++
		var x carried
		keep, nobody, first := 1., 1., int32(-1)
		for _, g := range r.steps {
			for _, m := range g.members {
				if !v.Available(m.pool) {
					continue
				}
				if first < 0 {
					first = m.pool
				}
				k := v.keeps(&r.crowd, m.pool, v.familyOf(m.pool), p.spill, now, &x)
				nobody *= 1 - k
				if m.pool == pool {
					keep = k
				}
			}
		}
		if r.rank != nil || first == pool { // by distance each is the first for those who are near
			keep += nobody
		}
		stays += min(keep, 1)
	}
	if rules == 0 {
		return 1, false
	}
	return stays / rules, true
}

// Most returns the most that can be offered to a pool under the policy, as health.Setting has it.
func (p *Policy) Most(v *View, pool int32, now int64) (most float64) {
	for i := range p.rules {
		if c := &p.rules[i].crowd; slices.Contains(c.pools, pool) {
			_, load := v.excess(c, v.familyOf(pool), now)
			if load == 0 {
				return 0
			}
			most = max(most, slack*load)
		}
	}
	return most
}

// familyOf is the first family that a pool is available for.
func (v *View) familyOf(n int32) Family {
	for f := range v.pools[n].family {
		if v.pools[n].family[f].table != nil {
			return Family(f)
		}
	}
	return V4
}

// position is where a client stands in a pool's order of whom it keeps, from 0, who stays longest, to 1.
func position(key, seed uint64) float64 { return float64(mix(key^seed)>>11) / (1 << 53) }

// keyOf is what a client is known by: the prefix of its ECS option, and without one the whole address of its resolver,
// whose prefix would make one lump of a farm.
func keyOf(a netip.Addr, subnet bool) uint64 {
	if subnet {
		return prefixHash(a)
	}
	b := a.As16()
	var hi, lo uint64
	for i := range 8 {
		hi, lo = hi<<8|uint64(b[i]), lo<<8|uint64(b[8+i])
	}
	return mix(mix(hi)^lo^0x5bd1e995) | 1
}

// lump is a pool at whose border a client without ECS stands, who may be a crowd behind one resolver: one answer then
// has addresses of this pool and of the one after it.
type lump struct {
	pool  *Pool
	table *table
	part  float64 // of the answer that is this pool's, 0 to 1

	// dither rounds the part to addresses, up for some clients and down for others, for each as long as the share
	// stays: were it drawn for each answer, a large resolver's crowd would move to and fro each TTL.
	dither float64
}

// sheds reports whether a pool of the policy may keep less than all of its clients.
func (p *Policy) sheds(v *View) bool { return p.spill && v.tight || p.planned || v.leave }

// stays reports whether the walk's client stays at a pool that keeps only some, and notes where it stands near the
// border.
func (w *walk) stays(m *member, pool *Pool, t *table) bool {
	keep := w.view.keeps(&w.rule.crowd, m.pool, w.family, w.policy.spill, w.now, &w.carried)
	if keep >= 1 {
		return true
	}
	w.shed = true
	at := position(w.key, m.seed)
	w.trace.kept(w, pool, keep, at)
	if width := min(lumpWidth, keep, 1-keep); w.whole && w.lump.table == nil && math.Abs(at-keep) < width {
		w.lump = lump{pool, t, 0.5 + (keep-at)/(2*width), position(mix(w.key^m.seed), ditherSeed)}
	}
	return at < keep
}

// beyond returns the other pool's addresses where the client stands near a pool's border: of the one that answers,
// where that pool has passed the client on, else of the next that keeps it. nil: the pool that answers does so alone.
func (w *walk) beyond(pool *Pool, t *table) *table {
	if w.lump.table == nil || w.open != shut || w.need != enough {
		return nil
	}
	if pool != w.lump.pool {
		return t
	}
	next := *w
	next.skip, next.trace = pool, nil
	_, other := next.sweep()
	return other
}

// level is a member's weight with what is planned for its pool.
func (w *walk) level(m *member, weight uint64) uint64 {
	const scale = 1000
	c := &w.rule.crowd
	if c.plans == nil {
		return weight * scale
	}
	return max(uint64(float64(weight*scale)*c.level(slices.Index(c.pools, m.pool), w.now)), 1)
}

// mix appends n addresses, of the pool at whose border the client stands and of the other that keeps it, in proportion;
// fewer where both pools have an address that was drawn (RFC 2181 section 5: a set has no record twice).
func (l *lump) mix(b []byte, other *table, n int, random *uint64) []byte {
	mine := int(l.part*float64(n) + l.dither)
	mine = min(mine, n, l.table.len())
	rest := min(n-mine, other.len())
	if mine > 0 {
		b = l.table.draw(b, mine, step(random))
	}
	if rest == 0 {
		return b
	}
	drawn := len(b)
	b = other.draw(b, rest, step(random))
	kept := drawn
	for at := drawn; at < len(b); at += other.size {
		if a := b[at : at+other.size]; !holds(b[:drawn], a) {
			kept += copy(b[kept:], a)
		}
	}
	return b[:kept]
}

// holds reports whether one address is among others of its size.
func holds(addresses, a []byte) bool {
	for at := 0; at < len(addresses); at += len(a) {
		if string(addresses[at:at+len(a)]) == string(a) {
			return true
		}
	}
	return false
}

// crowdOf compiles the pools of that name, with what the policy plans for them.
func crowdOf(p *zones.Policy, names []string, w World) crowd {
	var c crowd
	var there []string
	for _, name := range names {
		if n, pool := w.Pool(name); pool != nil {
			c.pools, there = append(c.pools, n), append(there, name)
		}
	}
	c.plans = plansOf(p.Schedule, there)
	return c
}

// Spills reports whether pools of the policy pass on what they cannot hold.
func (p *Policy) Spills() bool { return p.spill }

// Loaded reports whether an endpoint of the pool has a capacity, or takes time to warm up.
func (p *Pool) Loaded() bool {
	return p.ramp > 0 || slices.ContainsFunc(p.endpoints, func(e endpoint) bool { return e.target > 0 })
}

// Ramp is how long a new or recovered endpoint takes to be warm.
func (p *Pool) Ramp() time.Duration { return p.ramp }

// LoadHolds is how long a load that a probe has found holds: two probes may be lost.
func (p *Pool) LoadHolds() time.Duration {
	if p.monitor == nil {
		return health.DefaultStale
	}
	return 3*p.monitor.EffectiveInterval() + p.monitor.EffectiveTimeout()
}

// Pool returns pool n as the View has it; nil: there is none.
func (v *View) Pool(n int32) *Pool {
	if uint(n) >= uint(len(v.pools)) || v.pools[n] == nil {
		return nil
	}
	return v.pools[n].pool
}

// Available reports whether pool n may answer for any family.
func (v *View) Available(n int32) bool {
	return v.Pool(n) != nil && slices.ContainsFunc(v.pools[n].family[:], func(l lineup) bool { return l.table != nil })
}

// Readings returns what is known of pool n's endpoints: load is asked for each of their addresses. One of weight 0 is
// not up, as nobody is sent there.
func (v *View) Readings(n int32, load func(health.Target) health.Load) []health.Reading {
	d := v.pools[n]
	up := d.up()
	rs := make([]health.Reading, len(d.pool.endpoints))
	for i := range d.pool.endpoints {
		e := &d.pool.endpoints[i]
		r := health.Reading{Endpoint: e.name, Up: up[i] && e.weight > 0 && !d.pool.drained, Target: e.target}
		if r.Target == 0 {
			r.Target = float64(e.weight) / zones.DefaultWeight
		}
		var sum float64
		known := 0.
		for _, addrs := range e.addrs {
			for _, a := range addrs {
				if l := load(health.Target{Endpoint: e.id, Address: a}); l.Known {
					sum, known = sum+l.Value, known+1
				}
			}
		}
		if known > 0 {
			r.Load = health.LoadOf(sum / known)
		}
		rs[i] = r
	}
	return rs
}
