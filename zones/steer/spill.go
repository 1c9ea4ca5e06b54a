package steer

import (
	"math"
	"net/netip"
	"slices"
	"time"

	"leeward/health"
	"leeward/zones"
)

// A pool that cannot hold what is offered to it keeps a share of its clients and passes the others on to the next pool
// in their order. A hash of pool and client decides which ones, so all servers agree, and a smaller share moves only
// the clients above it. Vantages estimate what is offered (health.Estimator). This file draws the conclusions, as a
// function of a View alone.

const (
	shareBand  = 0.025 // of the excess of all pools of an order: within one band all servers share alike
	ditherSeed = 0x9e3779b97f4a7c15
	lumpWidth  = 0.15 // around the kept share: here a client without ECS is treated as a crowd
)

// burden is what a pool carries and what it can carry.
type burden struct {
	load, offered float64 // as in health.Pressure; offered 0: unknown
	target        float64 // of the endpoints that are up, given how warm they are
	warmth        float64 // mean, weighted by target; 1 without a ramp
	known         bool    // load and offered are known
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

// warmthOf is the factor of an endpoint's weight and target.
func warmthOf(s health.Standing) float64 { return max(s.Warmth, health.LeastWarmth) }

// crowd is the pools of a rule, among which its clients are spread.
type crowd struct {
	pools []int32
	plans []plan // by pool; nil: the schedule concerns none of them
}

// excess returns u, how many times their targets the available pools of a crowd carry together: at least 1, rounded up
// to a band. If all pools are over, they share the excess by size. A pool without a capacity takes any load, so u is 1
// then. A pool whose load is unknown does not count.
//
// It also returns the load that the pools carry together, 0 if that of any is unknown. No pool can be offered more than
// that. The bound matters because, if every pool keeps little, most clients still stay with the first pool, and
// dividing its load by the share that it keeps overestimates what is offered.
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

// level returns the factor that is planned for the crowd's i-th pool now.
func (c *crowd) level(i int, now int64) float64 {
	if c.plans == nil {
		return 1
	}
	return c.plans[i].level(now)
}

// carried caches the results of excess. u is 0 until they are worked out.
type carried struct{ u, load float64 }

// slack is by how much more may be offered to one pool than all of them are known to carry: some load is on its way, or
// lost to rounding.
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

// Keep returns the share of its clients that a pool keeps under the policy, the mean over the rules that use it. now is
// in Unix seconds. ok is false if no rule uses the pool.
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

// Stays returns the share of a pool's clients that stay with it under the policy: those that it keeps, and those that
// no pool keeps and that return to it as the first available pool. A load divided by it gives what is offered.
// Otherwise it is like Keep.
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
		if r.rank != nil || first == pool { // by distance, each pool is the first for the clients near it
			keep += nobody
		}
		stays += min(keep, 1)
	}
	if rules == 0 {
		return 1, false
	}
	return stays / rules, true
}

// Most returns the most that can be offered to a pool under the policy, as health.Setting needs it; 0: unknown.
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

// familyOf returns the first family for which a pool is available.
func (v *View) familyOf(n int32) Family {
	for f := range v.pools[n].family {
		if v.pools[n].family[f].table != nil {
			return Family(f)
		}
	}
	return V4
}

// position returns where a client stands in a pool's order of clients: from 0, which stays longest, to 1.
func position(key, seed uint64) float64 { return float64(mix(key^seed)>>11) / (1 << 53) }

// keyOf identifies a client: by its ECS prefix or, without ECS, by its resolver's whole address. The resolver's prefix
// would make one client of a farm of resolvers.
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

// lump is a pool at whose border a client without ECS stands. The client may be a crowd behind one resolver, so the
// answer mixes addresses of this pool with those of the next.
type lump struct {
	pool  *Pool
	table *table
	part  float64 // of the answer that comes from this pool, 0 to 1

	// dither rounds part to whole addresses, up for some clients and down for others. It stays the same for a client as
	// long as part does: with a new draw for each answer, a large resolver's crowd would move to and fro with each TTL.
	dither float64
}

// sheds reports whether some pool of the policy may keep less than all of its clients.
func (p *Policy) sheds(v *View) bool { return p.spill && v.tight || p.planned || v.leave }

// stays reports whether the walk's client stays at a pool that keeps only some clients. It notes the pool if the client
// stands near the border.
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

// beyond returns the addresses to mix into the answer of a client that stands near a pool's border. If that pool has
// passed the client on, they are those of the pool that answers, else those of the next pool that keeps the client. It
// returns nil if there is nothing to mix.
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

// level returns a member's weight, multiplied by what is planned for its pool.
func (w *walk) level(m *member, weight uint64) uint64 {
	const scale = 1000
	c := &w.rule.crowd
	if c.plans == nil {
		return weight * scale
	}
	return max(uint64(float64(weight*scale)*c.level(slices.Index(c.pools, m.pool), w.now)), 1)
}

// mix appends n addresses of the lump's pool and of the other pool, in proportion. It appends fewer if the same address
// was drawn from both, since an RRset has no duplicates (RFC 2181 section 5).
//
// few: the zone is signed, and the sets are to be few: both parts are drawn at the same place of their circles.
func (l *lump) mix(b []byte, other *table, n int, few bool, random *uint64) []byte {
	mine := int(l.part*float64(n) + l.dither)
	mine = min(mine, n, l.table.len())
	rest := min(n-mine, other.len())
	var offset uint64
	if few {
		offset = step(random)
	}
	if mine > 0 {
		b = l.table.part(b, mine, few, offset, random)
	}
	if rest == 0 {
		return b
	}
	drawn := len(b)
	b = other.part(b, rest, few, offset, random)
	kept := drawn
	for at := drawn; at < len(b); at += other.size {
		if a := b[at : at+other.size]; !holds(b[:drawn], a) {
			kept += copy(b[kept:], a)
		}
	}
	return b[:kept]
}

// part appends k addresses, those at an offset if the sets are to be few.
func (t *table) part(b []byte, k int, few bool, offset uint64, random *uint64) []byte {
	if few && t.circle != nil && k < t.len() {
		return t.sample(b, k, offset, random)
	}
	return t.draw(b, k, step(random))
}

// holds reports whether an address is among others of its size.
func holds(addresses, a []byte) bool {
	for at := 0; at < len(addresses); at += len(a) {
		if string(addresses[at:at+len(a)]) == string(a) {
			return true
		}
	}
	return false
}

// crowdOf compiles the pools with these names, and what the policy's schedule says about them.
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

// Loaded reports whether an endpoint of the pool has a capacity, or the pool has a ramp.
func (p *Pool) Loaded() bool {
	return p.ramp > 0 || slices.ContainsFunc(p.endpoints, func(e endpoint) bool { return e.target > 0 })
}

// Ramp returns how long a new or recovered endpoint takes to warm up.
func (p *Pool) Ramp() time.Duration { return p.ramp }

// LoadHolds returns how long a load that a probe has measured counts: two more probes may be lost.
func (p *Pool) LoadHolds() time.Duration {
	if p.monitor == nil {
		return health.DefaultStale
	}
	return 3*p.monitor.EffectiveInterval() + p.monitor.EffectiveTimeout()
}

// Pool returns pool n, or nil if there is none.
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

// Readings returns what is known of pool n's endpoints. It calls load for each of their addresses. An endpoint of
// weight 0 does not count as up, since no clients are sent there.
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
