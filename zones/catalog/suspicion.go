package catalog

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"leeward/zones"
)

// suspicion judges removals that nobody has accepted. Each rule goes through them once, however many zones or policies
// are concerned, as there may be a million.
type suspicion struct {
	c    *Catalog
	now  time.Time
	gone []removal // removals of effective resources; sorted by key
	why  []*reason // why gone[i] must be held; nil: it may go, as far as has been judged
	left int       // how many may go
}

type reason struct {
	text      string
	forPolicy bool // held only because a policy would lack something; it goes once that is no longer so
}

func newSuspicion(c *Catalog, gone []removal) *suspicion {
	return &suspicion{c: c, now: c.now(), gone: gone, why: make([]*reason, len(gone)), left: len(gone)}
}

func (g *suspicion) judge() {
	g.bulk()
	if g.left > 0 {
		g.zones()
		g.contents()
		g.policies()
		g.defaults()
		g.closure()
	}
}

// free returns the removals that may go.
func (g *suspicion) free() []removal {
	free := make([]removal, 0, g.left)
	for i, r := range g.gone {
		if g.why[i] == nil {
			free = append(free, r)
		}
	}
	return free
}

// hold holds a removal back unless it is held already. A nil reason does nothing.
func (g *suspicion) hold(i int, why *reason) {
	if why != nil && g.why[i] == nil {
		g.why[i] = why
		g.left--
	}
}

// going reports whether a key is removed and may go.
func (g *suspicion) going(key zones.Key) bool {
	i, is := findRemoval(g.gone, key)
	return is && g.why[i] == nil
}

// bulk holds removals of more than half of all resources, or of all of a kind.
func (g *suspicion) bulk() {
	n := g.c.count()
	most := g.c.total.of(g.now, n)
	left := n - len(g.gone)
	if most >= guardLeast && 2*left < most || left == 0 && most > 1 {
		why := &reason{text: fmt.Sprintf("it would leave %d of %d resources", left, most)}
		for i := range g.gone {
			g.hold(i, why)
		}
		return
	}
	gone, why := make(map[zones.Kind]int), make(map[zones.Kind]*reason)
	for _, r := range g.gone {
		gone[r.key.Kind()]++
	}
	for kind, k := range gone {
		n := g.c.countOf(kind)
		most := g.c.kinds[kind].of(g.now, n)
		if most >= guardLeast && 2*(n-k) < most {
			why[kind] = &reason{text: fmt.Sprintf("it would leave %d of %d resources of kind %s", n-k, most, kind)}
		}
	}
	for i, r := range g.gone {
		g.hold(i, why[r.key.Kind()])
	}
}

// zones holds the removal of a Zone that has something in it, or that lives on another primary: everything that it has
// there would go, however little is laid over it.
func (g *suspicion) zones() {
	why := map[*zoneState]*reason{}
	for _, r := range g.gone {
		if r.key.Kind() != zones.KindZone {
			continue
		}
		z := g.c.states[r.key.Name()]
		text := fmt.Sprintf("zone %s has %d records and %d policies", z.origin, z.records, len(z.policies))
		switch {
		case z.zone.Secondary():
			text += ", and what its primary has"
		case z.records+len(z.policies) == 0:
			continue
		}
		why[z] = &reason{text: text}
	}
	for i, r := range g.gone {
		if z, _ := g.c.around(r.key); z != nil {
			g.hold(i, why[z])
		}
	}
}

// contents holds the removal of all records of a zone, of all its policies, or of both.
func (g *suspicion) contents() {
	type losses struct {
		records, policies   int     // that are removed
		all, record, policy *reason // why they are held
	}
	lost := make(map[*zoneState]*losses)
	inside := func(each func(i int, z *zoneState, isRecord bool)) {
		for i, r := range g.gone {
			if kind := r.key.Kind(); g.why[i] == nil && (kind == zones.KindRecord || kind == zones.KindPolicy) {
				if z, _ := g.c.around(r.key); z != nil {
					each(i, z, kind == zones.KindRecord)
				}
			}
		}
	}
	inside(func(_ int, z *zoneState, isRecord bool) {
		l := lost[z]
		if l == nil {
			l = new(losses)
			lost[z] = l
		}
		if isRecord {
			l.records++
		} else {
			l.policies++
		}
	})
	for z, l := range lost {
		without := func(what string, p *peak, n int) *reason {
			most := p.of(g.now, n)
			if most <= 1 {
				return nil
			}
			return &reason{text: fmt.Sprintf("it would leave zone %s without any of its %d %s", z.origin, most, what)}
		}
		if l.records == z.records && l.records > 0 {
			l.record = without("records", &z.recordsPeak, z.records)
		}
		if l.policies == len(z.policies) && l.policies > 0 {
			l.policy = without("policies", &z.policiesPeak, len(z.policies))
		}
		if all := z.records + len(z.policies); l.records+l.policies == all {
			l.all = without("records and policies", &z.allPeak, all)
		}
	}
	inside(func(i int, z *zoneState, isRecord bool) {
		l := lost[z]
		if isRecord {
			g.hold(i, l.record)
		} else {
			g.hold(i, l.policy)
		}
		g.hold(i, l.all)
	})
}

// policies holds the removal of the last endpoints of a policy that stays.
func (g *suspicion) policies() {
	members := make(map[string][]int) // removed members by pool: the pool and its endpoints
	touched := make(map[zones.Key]struct{})
	for i, r := range g.gone {
		if _, pool := g.c.around(r.key); pool != "" {
			if members[pool] == nil {
				for referrer := range g.c.referrers[zones.KeyOf(zones.KindPool, pool)] {
					touched[referrer] = struct{}{}
				}
			}
			members[pool] = append(members[pool], i)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(touched)) {
		p, ok := g.c.Get(key).(*zones.Policy)
		if !ok || g.going(key) {
			continue
		}
		pools := p.PoolNames()
		before, after := 0, 0
		for _, pool := range pools {
			if g.c.slots[zones.KindPool][zones.KeyOf(zones.KindPool, pool)] == nil {
				continue
			}
			n := len(g.c.endpoints[pool])
			before += n
			if g.going(zones.KeyOf(zones.KindPool, pool)) {
				continue
			}
			after += n
			for _, i := range members[pool] {
				if g.why[i] == nil { // an endpoint, as the pool stays
					after--
				}
			}
		}
		if before == 0 || after > 0 {
			continue
		}
		why := &reason{text: fmt.Sprintf("it would leave policy %s without any endpoint", p.Name), forPolicy: true}
		for _, pool := range pools {
			for _, i := range members[pool] {
				g.hold(i, why)
			}
		}
	}
}

// defaults holds the removal of a Defaults that at least guardLeast staying resources inherit from.
func (g *suspicion) defaults() {
	for i, r := range g.gone {
		if r.key.Kind() != zones.KindDefaults {
			continue
		}
		n := 0
		g.c.eachReferrer(r.key, func(heir zones.Resource) {
			if !g.going(heir.Key()) {
				n++
			}
		})
		if n >= guardLeast {
			g.hold(i, &reason{text: fmt.Sprintf("%d resources have values from %s", n, r.key)})
		}
	}
}

// closure holds what a held resource names, so that what stays in service is complete.
func (g *suspicion) closure() {
	for again := g.left > 0; again; {
		again = false
		for i, r := range g.gone {
			if g.why[i] == nil || r.key.Kind() == zones.KindRecord { // a Record names nothing
				continue
			}
			for ref := range zones.References(g.c.Get(r.key)) {
				if k, is := findRemoval(g.gone, ref.Key()); is && g.why[k] == nil {
					g.hold(k, g.why[i])
					again = true
				}
			}
		}
	}
}
