package catalog

import (
	"fmt"
	"slices"
	"time"

	"leeward/zones"
)

// plainSuspicion is the most readable form of suspicion: every rule looks at every removal.
type plainSuspicion struct {
	c    *Catalog
	now  time.Time
	gone []removal // sorted
	is   map[zones.Key]bool
	why  map[zones.Key]*reason // of those that will be held
}

func newPlainSuspicion(c *Catalog, gone []removal) *plainSuspicion {
	g := &plainSuspicion{
		c: c, now: c.now(), gone: gone, is: make(map[zones.Key]bool, len(gone)),
		why: make(map[zones.Key]*reason),
	}
	for _, r := range gone {
		g.is[r.key] = true
	}
	return g
}

func (g *plainSuspicion) judge() {
	g.bulk()
	g.zones()
	g.contents()
	g.policies()
	g.closure()
}

// hold holds back the removals that match.
func (g *plainSuspicion) hold(why *reason, match func(zones.Key) bool) {
	for _, r := range g.gone {
		if g.why[r.key] == nil && match(r.key) {
			g.why[r.key] = why
		}
	}
}

// going reports whether a removal will be carried out, as far as has been judged.
func (g *plainSuspicion) going(key zones.Key) bool { return g.is[key] && g.why[key] == nil }

// bulk: more than half of all resources, or of all of a kind.
func (g *plainSuspicion) bulk() {
	n := g.c.count()
	most := g.c.total.of(g.now, n)
	left := n - len(g.gone)
	if most >= guardLeast && 2*left < most || left == 0 && most > 1 {
		why := &reason{text: fmt.Sprintf("it would leave %d of %d resources", left, most)}
		g.hold(why, func(zones.Key) bool { return true })
		return
	}
	gone := make(map[zones.Kind]int)
	for _, r := range g.gone {
		gone[r.key.Kind()]++
	}
	for kind, k := range gone {
		n := g.c.countOf(kind)
		most := g.c.kinds[kind].of(g.now, n)
		if most >= guardLeast && 2*(n-k) < most {
			why := &reason{text: fmt.Sprintf("it would leave %d of %d resources of kind %s", n-k, most, kind)}
			g.hold(why, func(key zones.Key) bool { return key.Kind() == kind })
		}
	}
}

// zones: a Zone that has something in it, or that lives on another primary. In the latter case all that it has there
// would go, however little is laid over it.
func (g *plainSuspicion) zones() {
	for _, r := range g.gone {
		zone, ok := g.resource(r.key).(*zones.Zone)
		if !ok {
			continue
		}
		z := g.c.states[zone.Origin]
		text := fmt.Sprintf("zone %s has %d records and %d policies", zone.Origin, z.records, len(z.policies))
		switch {
		case zone.Secondary():
			text += ", and what its primary has"
		case z.records+len(z.policies) == 0:
			continue
		}
		why := &reason{text: text}
		g.hold(why, func(key zones.Key) bool { return key == r.key || zoneAround(g.c, g.resource(key)) == z })
	}
}

func (g *plainSuspicion) resource(key zones.Key) zones.Resource {
	r, _ := g.c.effective(key)
	return r
}

// contents: all records of a zone, all its policies, or all of both.
func (g *plainSuspicion) contents() {
	type losses struct{ records, policies int }
	lost := make(map[*zoneState]*losses)
	for _, r := range g.gone {
		kind := r.key.Kind()
		if kind != zones.KindRecord && kind != zones.KindPolicy || !g.going(r.key) {
			continue
		}
		z := zoneAround(g.c, g.resource(r.key))
		if z == nil {
			continue
		}
		if lost[z] == nil {
			lost[z] = new(losses)
		}
		if kind == zones.KindRecord {
			lost[z].records++
		} else {
			lost[z].policies++
		}
	}
	for z, l := range lost {
		records, policies := z.records-l.records, len(z.policies)-l.policies
		holding := func(what string, p *peak, n int, kinds ...zones.Kind) {
			if most := p.of(g.now, n); most > 1 {
				why := &reason{text: fmt.Sprintf("it would leave zone %s without any of its %d %s", z.origin, most,
					what)}
				g.hold(why, func(key zones.Key) bool {
					return slices.Contains(kinds, key.Kind()) && zoneAround(g.c, g.resource(key)) == z
				})
			}
		}
		if records == 0 && l.records > 0 {
			holding("records", &z.recordsPeak, z.records, zones.KindRecord)
		}
		if policies == 0 && l.policies > 0 {
			holding("policies", &z.policiesPeak, len(z.policies), zones.KindPolicy)
		}
		if records+policies == 0 {
			holding("records and policies", &z.allPeak, z.records+len(z.policies), zones.KindRecord, zones.KindPolicy)
		}
	}
}

// policies: the last endpoints of a policy that stays.
func (g *plainSuspicion) policies() {
	touched := make(map[zones.Key]bool)
	for _, r := range g.gone {
		pool, ok := poolOf(g.resource(r.key))
		if !ok {
			continue
		}
		for referrer := range g.c.referrers[zones.KeyOf(zones.KindPool, pool)] {
			touched[referrer] = true
		}
	}
	for _, key := range sortedKeys(touched) {
		p, ok := g.resource(key).(*zones.Policy)
		if !ok || g.going(key) {
			continue
		}
		pools := p.PoolNames()
		before, after := 0, 0
		for _, pool := range pools {
			if g.c.slots[zones.KindPool][zones.KeyOf(zones.KindPool, pool)] == nil {
				continue
			}
			before += len(g.c.endpoints[pool])
			if g.going(zones.KeyOf(zones.KindPool, pool)) {
				continue
			}
			for _, e := range g.c.endpoints[pool] {
				if !g.going(e.Key()) {
					after++
				}
			}
		}
		if before == 0 || after > 0 {
			continue
		}
		why := &reason{text: fmt.Sprintf("it would leave policy %s without any endpoint", p.Name), forPolicy: true}
		g.hold(why, func(key zones.Key) bool {
			pool, ok := poolOf(g.resource(key))
			return ok && slices.Contains(pools, pool)
		})
	}
}

// poolOf returns the pool of a Pool or Endpoint.
func poolOf(r zones.Resource) (string, bool) {
	switch r := r.(type) {
	case *zones.Pool:
		return r.Pool, true
	case *zones.Endpoint:
		return r.Pool, true
	}
	return "", false
}

// closure: whatever something that is held refers to, so that what stays in service stays whole.
func (g *plainSuspicion) closure() {
	for again := true; again; {
		again = false
		for _, r := range g.gone {
			why := g.why[r.key]
			if why == nil {
				continue
			}
			for ref := range zones.References(g.resource(r.key)) {
				target := ref.Key()
				if g.going(target) {
					g.why[target], again = &reason{why.text, why.forPolicy}, true
				}
			}
		}
	}
}

func sortedKeys(set map[zones.Key]bool) []zones.Key {
	keys := make([]zones.Key, 0, len(set))
	for key := range set {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// zoneAround returns the zone of a Zone, Record or Policy.
func zoneAround(c *Catalog, r zones.Resource) *zoneState {
	switch r := r.(type) {
	case *zones.Zone:
		return c.states[r.Origin]
	case *zones.Record:
		return c.states[r.Origin]
	case *zones.Policy:
		return c.zoneOf(r.Name)
	}
	return nil
}
