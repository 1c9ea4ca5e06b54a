package zones

import (
	"cmp"
	"slices"
	"time"
)

// The guard's limits.
const (
	guardWindow = time.Minute
	guardLeast  = 10 // of fewer resources than these, more than half may go
)

// Held is a removal that the guard holds back: the resource stays in service.
type Held struct {
	Key      Key
	Why      string // what would happen
	Revision int64  // accepting this revision, or a later one, lets it through
}

// heldBack is a Held and how it can end.
type heldBack struct {
	Held
	doubted   bool // only what is accepted from its revision on lets it go, and no earlier word
	forPolicy bool // it is only held because of what a policy would lack, and goes as soon as that is not so
}

// removal is a resource that a batch removes.
type removal struct {
	key      Key
	revision int64
}

// peak remembers how many there were at most within the last minute.
type peak struct{ before []sample }

// sample says that there were n until a time.
type sample struct {
	until time.Time
	n     int
}

// of returns the most there were, n being how many there are now.
func (p *peak) of(now time.Time, n int) int {
	p.before = slices.DeleteFunc(p.before, func(s sample) bool { return now.Sub(s.until) > guardWindow })
	for _, s := range p.before {
		n = max(n, s.n)
	}
	return n
}

// note keeps that there were n until now.
func (p *peak) note(now time.Time, n int) {
	p.of(now, n)
	p.before = append(p.before, sample{now, n})
}

// count returns how many resources are effective. Overrides do not count: they come and go, with leases too.
func (c *Catalog) count() int {
	n := 0
	for _, kind := range Kinds {
		if kind != KindOverride {
			n += c.countOf(kind)
		}
	}
	return n
}

func (c *Catalog) countOf(kind Kind) int {
	if kind != KindRecord {
		return len(c.slots[kind])
	}
	n := 0
	for _, z := range c.states {
		n += z.records
	}
	return n
}

// removals returns what a batch removes of what is effective or waiting: what it says is gone, or, where it names
// everything, what it does not name. What is held already stays held.
func (c *Catalog) removals(changes []Change, b Batch) []removal {
	var gone []removal
	if !b.Full {
		for _, ch := range changes {
			if ch.Resource == nil && ch.Err == nil {
				gone = append(gone, removal{ch.Key, ch.Revision})
			}
		}
		return gone
	}
	if c.count() == 0 && len(c.waiting) == 0 && len(c.slots[KindOverride]) == 0 {
		return nil
	}
	there := make(map[Key]bool, len(changes))
	for _, ch := range changes {
		if ch.Resource != nil || ch.Err != nil {
			there[ch.Key] = true
		}
	}
	missing := func(key Key) {
		if !there[key] {
			gone = append(gone, removal{key, b.Revision})
		}
	}
	for _, kind := range Kinds {
		for key := range c.slots[kind] {
			missing(key)
		}
	}
	for origin, z := range c.states {
		for owner, sets := range z.owners {
			for sets != "" {
				var set packedSet
				set, sets = sets.next()
				missing(KeyOf(KindRecord, origin+"/"+owner+"/"+set.kind))
			}
		}
	}
	for key := range c.waiting {
		if effective, _ := c.effective(key); effective == nil {
			missing(key)
		}
	}
	return gone
}

// guard carries removals out, but for those that it holds back. What was meant is not judged.
// What is doubted passes only if it is accepted from now on.
func (c *Catalog) guard(gone []removal, meant, doubted bool) {
	var pass, suspect []removal
	for _, r := range gone {
		c.lose(r.key, r.revision)
		c.wait(r.key, nil)
		effective, _ := c.effective(r.key)
		switch {
		case effective == nil:
			delete(c.problems, r.key)
			c.disturb(r.key)
			if r.key.Kind() == KindZone {
				c.disturbLists()
			}
		case c.held[r.key] != nil && c.held[r.key].doubted: // accepted or not is looked at below
		case doubted:
			if c.held[r.key] == nil {
				r.revision = max(r.revision, c.accepted+1)
				suspect = append(suspect, r)
			}
		case meant || r.revision <= c.accepted || r.key.Kind() == KindOverride || c.isGranted(r.key):
			pass = append(pass, r)
		case c.held[r.key] == nil:
			suspect = append(suspect, r)
		}
	}
	for _, h := range c.held {
		if h.Revision <= c.accepted || c.isGranted(h.Key) {
			pass = append(pass, removal{h.Key, c.revision})
		}
	}
	c.carryOut(pass)
	if len(suspect) > 0 {
		slices.SortFunc(suspect, func(a, b removal) int { return cmp.Compare(a.key, b.key) })
		g := newSuspicion(c, suspect)
		g.judge()
		var free []removal
		for _, r := range suspect {
			why := g.why[r.key]
			if why == nil {
				free = append(free, r)
				continue
			}
			c.held[r.key] = &heldBack{Held{r.key, why.text, r.revision}, doubted, why.forPolicy}
			c.dirty[r.key] = struct{}{}
		}
		c.carryOut(free)
	}
	c.relent()
}

// isGranted reports whether the removal of a key was accepted by itself: after the version was put that is in service.
// Later versions have to be accepted anew.
func (c *Catalog) isGranted(key Key) bool {
	if h := c.held[key]; h != nil && h.doubted {
		return c.granted[key] >= h.Revision
	}
	_, revision := c.effective(key)
	return c.granted[key] > revision
}

// carryOut takes resources out of service.
func (c *Catalog) carryOut(gone []removal) {
	if len(gone) == 0 {
		return
	}
	now := c.now()
	c.total.note(now, c.count())
	noted := make(map[any]bool)
	once := func(p *peak, n int) {
		if !noted[p] {
			noted[p] = true
			p.note(now, n)
		}
	}
	for _, r := range gone {
		resource, _ := c.effective(r.key)
		if resource == nil {
			continue
		}
		kind := r.key.Kind()
		once(c.kinds[kind], c.countOf(kind))
		z := c.zoneAround(resource)
		if z != nil {
			once(&z.recordsPeak, z.records)
			once(&z.policiesPeak, len(z.policies))
			once(&z.allPeak, z.records+len(z.policies))
		}
		c.lose(r.key, c.revision)
		delete(c.held, r.key)
		c.touched(r.key, resource)
		c.remove(r.key)
		c.mark(r.key)
		c.touched(r.key, resource)
		delete(c.problems, r.key)
	}
}

// zoneAround returns the zone that a Zone, Record or Policy is, or is in.
func (c *Catalog) zoneAround(r Resource) *zoneState {
	switch r := r.(type) {
	case *Zone:
		return c.states[r.Origin]
	case *Record:
		return c.states[r.Origin]
	case *Policy:
		return c.zoneOf(r.Name)
	}
	return nil
}

// relent lets go of what was held for a policy's sake, where the policy has got other endpoints meanwhile.
func (c *Catalog) relent() {
	var kept []removal
	for _, h := range c.held {
		if h.forPolicy {
			kept = append(kept, removal{h.Key, h.Revision})
		}
	}
	if len(kept) == 0 {
		return
	}
	slices.SortFunc(kept, func(a, b removal) int { return cmp.Compare(a.key, b.key) })
	g := newSuspicion(c, kept)
	g.policies()
	g.closure()
	c.carryOut(slices.DeleteFunc(kept, func(r removal) bool { return g.why[r.key] != nil }))
}
