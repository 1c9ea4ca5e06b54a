package steer

import (
	"encoding/binary"
	"net/netip"

	"leeward/zones"
	"leeward/zones/rr"
)

// Decide answers one request from a view. It allocates nothing and takes no lock. The same View, request and random
// number always give the same decision.
//
// The first rule that holds for the client gives an order of steps. Regions that the map puts first are tried before
// it. The first step with an available pool answers. Pools and endpoints of weight 0 answer only if no other is left.
// If no pool is available, the answer is what it would be if all were healthy (fail open).
func (p *Policy) Decide(v *View, req *Request, d *Decision) { p.decide(v, req, d, nil) }

func (p *Policy) decide(v *View, req *Request, d *Decision, t *trace) {
	c := client{addr: req.Client.Unmap(), table: p.table}
	if c.table != nil {
		c.hide(req.Resolver)
	}
	d.Type, d.TTL, d.Bound, d.Data, d.Count, d.Pool = types[req.Family], p.TTL, p.TTL, d.space[:0], 0, -1
	d.FailOpen, d.Unresolved, d.Says = false, false, SaysAddresses
	if c.table != nil && t != nil {
		c.locate()
		t.located(&c)
	}

	n := 0 // index of the rule, or the number of rules if none holds
	if p.sel != nil {
		n = min(int(p.sel.choose(&c)), len(p.leads)-1)
	}
	if d.Rule = int16(n); n == len(p.leads)-1 {
		d.Rule = -1
	}
	t.rule(int(d.Rule))
	plain := t == nil && p.level && req.Family < Name && !(p.spill && v.tight) && !v.leave
	if lead := p.leads[n].pool; plain && lead >= 0 && p.quick(v, lead, req, d) {
		d.Scope = c.scope
		return
	}
	r := &p.listed
	if d.Rule >= 0 {
		r = &p.rules[n]
	}
	if r.says != SaysAddresses {
		d.Says, d.Scope = r.says, c.scope
		return
	}
	tried := 0 // pools that are not available
	if plain && r.rank != nil && r.plain != nil {
		for tried < len(r.rank.heads) {
			at, ok := r.rank.near(&c, tried)
			if !ok {
				break
			}
			if p.quick(v, r.plain[at], req, d) {
				d.Scope = c.scope
				return
			}
			tried++
		}
	}
	var order []uint8
	if r.rank != nil {
		order = r.rank.order(&c)
		t.order(order)
	}
	if plain {
		for i := tried; i < len(r.plain); i++ {
			at := i
			if order != nil {
				at = int(order[i])
			}
			if p.quick(v, r.plain[at], req, d) {
				if r.rank != nil {
					r.rank.widen(&c, i+1)
				}
				d.Scope = c.scope
				return
			}
		}
	}
	w := walk{
		view: v, policy: p, rule: r, family: req.Family, steps: r.steps, order: order, random: req.Random,
		trace: t,
	}
	if w.sheds = p.sheds(v); w.sheds {
		w.whole, w.now = !req.Resolver.IsValid() && p.Answers > 1 && p.Pick != zones.PickAll &&
			p.Pick != zones.PickSticky, req.Clock
		w.key = keyOf(c.addr, req.Resolver.IsValid())
	}
	if p.front != nil {
		w.front = p.front.lookup(&c)
		t.mapped(w.front)
	}
	switch p.Pick {
	case zones.PickSticky:
		w.client = prefixHash(c.addr)
	case zones.PickLeastLoad:
		w.client = keyOf(c.addr, req.Resolver.IsValid())
	}

	pool, candidates := w.find()
	if r.rank != nil && pool != nil {
		r.rank.widen(&c, w.depth)
	}
	if pool != nil && w.open != shut && p.allDown != SaysAddresses {
		d.Says, d.Scope = p.allDown, c.scope
		return
	}
	d.FailOpen = pool != nil && w.open != shut
	if pool != nil {
		d.Pool = pool.Number
		if req.Family == Name {
			d.Data, d.Count = append(d.space[:0], p.name(candidates, step(&w.random), w.client)...), 1
		} else if other := w.beyond(pool, candidates); other != nil {
			d.Data = w.lump.mix(d.space[:0], other, min(p.Answers, MaxAnswers), p.few, &w.random)
			d.Count = len(d.Data) / candidates.size
			d.Bound = other.until.bound(w.lump.table.until.bound(d.Bound, req.Now), req.Now)
		} else {
			d.Data, d.Count = p.pick(d.space[:0], candidates, step(&w.random), w.client)
			d.Bound = candidates.until.bound(d.Bound, req.Now)
		}
		t.chosen(pool, d, candidates)
	} else {
		d.Unresolved = w.unresolved()
	}
	if d.Scope = c.scope; pool == nil && !d.Unresolved && p.never(v, req.Family) {
		d.Scope = 0
	}
	if w.shed || w.client != 0 && (w.shared || pool != nil && candidates.len() > 1) {
		d.Scope = max(d.Scope, uint8(stickyBits(c.addr)))
	}
}

// never reports whether no client can get an address of the family. A negative answer then does not depend on the
// client, and resolvers may keep it for all of them (RFC 7871 section 7.4).
func (p *Policy) never(v *View, f Family) bool {
	for i := range p.rules {
		if p.rules[i].says != SaysAddresses {
			return false
		}
	}
	for _, n := range p.pools {
		if _, l := v.at(n, f); l.total > 0 {
			return false
		}
	}
	return true
}

// quick is a step of the walk in the usual case: no map, no sticky pick, one pool. It reports whether the pool answers,
// and decides what the walk would decide.
func (p *Policy) quick(v *View, pool int32, req *Request, d *Decision) bool {
	if uint(pool) >= uint(len(v.pools)) || v.pools[pool] == nil {
		return false
	}
	q := &v.pools[pool].quick[req.Family]
	if len(q.entries) == 0 {
		return false
	}
	d.Pool = pool
	random := req.Random
	random = step(&random)
	if p.one {
		*(*[16]byte)(d.space[:]) = q.entries[pick(q.entries, random)].addr
		d.Data, d.Count = d.space[:4<<(2*req.Family)], 1
	} else {
		d.Data, d.Count = p.pick(d.space[:0], q.table, random, 0)
	}
	d.Bound = q.until.bound(d.Bound, req.Now)
	return true
}

// pick appends addresses of one pool to b, and returns how many there are.
func (p *Policy) pick(b []byte, t *table, random, client uint64) ([]byte, int) {
	n := min(p.Answers, t.len())
	few := p.few && many(t.len(), n)
	switch {
	case p.Pick == zones.PickAll:
		b = t.all(b, random)
	case p.Pick == zones.PickSticky && few:
		b = t.ring(b, n, client, t.weights)
	case p.Pick == zones.PickLeastLoad && few:
		b = t.ring(b, n, client, t.byLoad())
	case p.Pick == zones.PickSticky:
		b = t.sticky(b, n, client, t.weights)
	case p.Pick == zones.PickLeastLoad:
		b = t.sticky(b, n, client, t.byLoad())
	case few:
		b = t.sample(b, n, step(&random), &random)
	default:
		b = t.draw(b, n, random)
	}
	return b, len(b) / t.size
}

// name picks one endpoint of a pool. A CNAME is a single record (RFC 2181 section 10.1), even for pick: all.
func (p *Policy) name(t *table, random, client uint64) rr.Name {
	switch p.Pick {
	case zones.PickSticky:
		return t.names[t.best(nil, client, t.weights)]
	case zones.PickLeastLoad:
		return t.names[t.best(nil, client, t.byLoad())]
	}
	return t.names[t.pick(random)]
}

// openness says which pools a walk may use.
type openness uint8

const (
	shut    openness = iota // available pools only
	healthy                 // as if all were healthy
	drained                 // even drained ones, when there is nothing else
)

// need is what a walk asks of a step. Each is tried only after the ones before it found nothing.
type need uint8

const (
	enough need = iota // the step has the weight it asks for, and the pool keeps the client
	anyhow             // the pool need not keep the client: none did, so the first that is available takes it
	little             // the step may have less weight than it asks for
	spares             // members of weight 0
)

// walk goes through an order of steps for one client.
type walk struct {
	view   *View
	policy *Policy
	family Family
	rule   *rule
	steps  []group
	order  []uint8 // positions in steps; nil: as listed
	front  []int32 // regions to try first
	open   openness
	need   need
	random uint64
	client uint64 // key of the client's prefix, for sticky; 0: the pick is not sticky
	depth  int    // how many steps the last pass went through; the steps before it have nothing, in whatever order
	trace  *trace
	shared bool // the client's prefix has decided between several pools

	// The rest is for pools that keep only a share of their clients; see spill.go.
	sheds  bool   // there may be such pools
	whole  bool   // the client is a resolver, so it may stand for a crowd
	shed   bool   // such a pool was asked
	passed bool   // such a pool has passed the client on
	skip   *Pool  // not to be asked
	now    int64  // Unix seconds
	key    uint64 // of the client
	lump   lump

	carried carried // what the rule's pools carry together
}

// find returns the pool that answers and its candidates. It returns (nil, nil) if no pool has an address of the family.
func (w *walk) find() (*Pool, *table) {
	for w.open = shut; w.open <= drained; w.open++ {
		for w.need = enough; w.need <= spares; w.need++ {
			if w.need == little && !w.policy.floors || w.need == anyhow && !(w.passed && w.open == shut) {
				continue
			}
			if p, t := w.sweep(); p != nil {
				return p, t
			}
		}
		w.trace.exhausted(w.open)
	}
	return nil, nil
}

// sweep goes through the steps for each region of the map, and then for all regions.
func (w *walk) sweep() (*Pool, *table) {
	for _, region := range w.front {
		if p, t := w.pass(region); p != nil {
			return p, t
		}
	}
	return w.pass(-1)
}

// pass goes through the steps once and stops at the first that has a pool. region -1 stands for all regions.
func (w *walk) pass(region int32) (*Pool, *table) {
	for i := range w.steps {
		at := i
		if w.order != nil {
			at = int(w.order[i])
		}
		if p, t := w.group(&w.steps[at], region); p != nil {
			w.depth = i + 1
			return p, t
		}
	}
	return nil, nil
}

// group picks one of a step's pools by weight.
func (w *walk) group(g *group, region int32) (*Pool, *table) {
	if len(g.members) == 1 {
		m := &g.members[0]
		return w.member(m, region)
	}
	if w.need <= anyhow && g.atLeast > 0 && !w.suffices(g) {
		return nil, nil
	}
	var (
		sum    uint64
		pool   *Pool
		found  *table
		lowest = ^uint64(0)
	)
	for i := range g.members {
		m := &g.members[i]
		p, t := w.member(m, region)
		if p == nil {
			continue
		}
		weight := max(m.weight, 1)
		if w.policy.planned {
			weight = w.level(m, weight)
		}
		w.shared = sum > 0
		sum += weight
		var take bool
		if w.policy.Pick == zones.PickSticky {
			s := score(w.client, m.seed, weight)
			if take = pool == nil || s < lowest; take {
				lowest = s
			}
		} else {
			take = below(step(&w.random), sum) < weight // it replaces the earlier ones with probability weight/sum
		}
		if take {
			pool, found = p, t
		}
	}
	return pool, found
}

// member returns the pool and candidates of one member if it answers this client, else (nil, nil).
func (w *walk) member(m *member, region int32) (*Pool, *table) {
	pool, t := w.there(m, region)
	if t == nil || pool == w.skip {
		return nil, nil
	}
	if w.sheds && w.open == shut && w.need == enough && !w.stays(m, pool, t) {
		w.passed = true
		return nil, nil
	}
	return pool, t
}

// there returns the pool and candidates of one member if it could answer some client, else (nil, nil).
func (w *walk) there(m *member, region int32) (*Pool, *table) {
	if region >= 0 && m.region != region || (m.weight == 0) != (w.need == spares) {
		return nil, nil
	}
	pool, l := w.view.at(m.pool, w.family)
	t := l.table
	switch {
	case w.open == shut:
	case pool == nil || w.open == healthy && pool.emptied[w.family]:
		t = nil
	default:
		t = pool.fallback[w.family]
	}
	w.trace.pool(w, m, pool, l)
	if t == nil || t.len() == 0 {
		return nil, nil
	}
	return pool, t
}

// suffices reports whether the step has available as much of its weight as it asks for. Pools without addresses of the
// family do not count.
func (w *walk) suffices(g *group) bool {
	var sum, there uint64
	for i := range g.members {
		m := &g.members[i]
		if _, l := w.view.at(m.pool, w.family); l.total == 0 {
			continue
		}
		sum += m.weight
		if _, t := w.there(m, -1); t != nil {
			there += m.weight
		}
	}
	return there*100 >= sum*g.atLeast
}

// below scales 64 random bits to a number below n.
func below(random, n uint64) uint64 {
	if n <= 1<<32 {
		return (random >> 32) * n >> 32
	}
	return random % n
}

// stickyBits is the length of the client prefix that a sticky pick goes by.
func stickyBits(a netip.Addr) int {
	if a.Is4() {
		return 24
	}
	return 56
}

// prefixHash hashes that prefix. It is never 0.
func prefixHash(a netip.Addr) uint64 {
	b := a.As16()
	hi, lo := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	if a.Is4() {
		return mix(lo>>8) | 1
	}
	return mix(^(hi >> 8)) | 1
}
