package catalog

import (
	"cmp"
	"slices"
	"time"

	"leeward/zones"
)

// The guard's limits.
const (
	guardWindow = time.Minute
	guardLeast  = 10 // of fewer resources, more than half may go
)

// removal is a resource that a batch removes.
type removal struct {
	key      zones.Key
	revision int64
}

// peak remembers the highest number within the last minute.
type peak struct{ before []sample }

// sample says that there were n until that time.
type sample struct {
	until time.Time
	n     int
}

// of returns the highest number within the last minute; n is the number now.
func (p *peak) of(now time.Time, n int) int {
	p.before = slices.DeleteFunc(p.before, func(s sample) bool { return now.Sub(s.until) > guardWindow })
	for _, s := range p.before {
		n = max(n, s.n)
	}
	return n
}

// note remembers that there were n until now.
func (p *peak) note(now time.Time, n int) {
	p.of(now, n)
	p.before = append(p.before, sample{now, n})
}

// count returns how many resources are effective. Overrides do not count, as they come and go on purpose, also by
// leases.
func (c *Catalog) count() int {
	n := 0
	for _, kind := range zones.Kinds {
		if kind != zones.KindOverride {
			n += c.countOf(kind)
		}
	}
	return n
}

func (c *Catalog) countOf(kind zones.Kind) int {
	if kind != zones.KindRecord {
		return len(c.slots[kind])
	}
	n := 0
	for _, z := range c.states {
		n += z.records
	}
	return n
}

// removals returns which effective or waiting resources a batch removes: those that it says are gone, or, if it names
// everything, those that it does not name. What is already held is not among them.
func (c *Catalog) removals(changes []zones.Change, b zones.Batch) []removal {
	var gone []removal
	if !b.Full {
		for _, ch := range changes {
			if ch.Resource == nil && ch.Err == nil {
				gone = append(gone, removal{ch.Key, ch.Revision})
			}
		}
		return gone
	}
	if c.count() == 0 && len(c.waiting) == 0 && len(c.slots[zones.KindOverride]) == 0 {
		return nil
	}
	there := make(map[zones.Key]bool, len(changes))
	for _, ch := range changes {
		if ch.Resource != nil || ch.Err != nil {
			there[ch.Key] = true
		}
	}
	missing := func(key zones.Key) {
		if !there[key] {
			gone = append(gone, removal{key, b.Revision})
		}
	}
	for _, kind := range zones.Kinds {
		for key := range c.slots[kind] {
			missing(key)
		}
	}
	for origin, z := range c.states {
		for owner, sets := range z.owners {
			for sets != "" {
				var set packedSet
				set, sets = sets.next()
				missing(zones.KeyOf(zones.KindRecord, origin+"/"+owner+"/"+set.kind))
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

// isLeaving reports whether the batch that is being applied removes a key.
func (c *Catalog) isLeaving(key zones.Key) bool {
	_, is := findRemoval(c.leaving, key)
	return is
}

func findRemoval(sorted []removal, key zones.Key) (int, bool) {
	return slices.BinarySearchFunc(sorted, key, func(r removal, key zones.Key) int { return cmp.Compare(r.key, key) })
}

// guard carries out removals, which are sorted by key, except those that it holds back. It does not judge removals that
// were meant. Those that are doubted pass only if they are accepted from now on.
func (c *Catalog) guard(gone []removal, meant, doubted bool) {
	var pass, suspect []removal
	for _, r := range gone {
		c.lose(r.key, r.revision)
		if c.waiting[r.key] != nil {
			c.wait(r.key, nil)
			c.dirty[r.key] = struct{}{} // from now on its problems are those of the effective version
		}
		held, isHeld := c.held.by[r.key]
		_, effective := c.version(r.key)
		switch {
		case !effective:
			delete(c.problems, r.key)
			c.disturb(r.key)
			if r.key.Kind() == zones.KindZone {
				c.disturbLists()
			}
		case held.doubted: // it goes when it is accepted
		case doubted:
			if !isHeld {
				r.revision = max(r.revision, c.accepted+1)
				suspect = append(suspect, r)
			}
		case meant || r.revision <= c.accepted || r.key.Kind() == zones.KindOverride || c.isGranted(r.key):
			pass = append(pass, r)
		case !isHeld:
			suspect = append(suspect, r)
		}
	}
	c.carryOut(pass)
	if len(suspect) > 0 {
		g := newSuspicion(c, suspect)
		g.judge()
		for i, r := range suspect {
			if why := g.why[i]; why != nil {
				c.hold(r, why, doubted)
			}
		}
		c.carryOut(g.free())
	}
	c.relent()
}

// release carries out held removals that have been accepted: all up to a revision, or these keys. Only a batch that
// accepts something can release anything.
func (c *Catalog) release(all bool, keys map[zones.Key]int64) {
	var pass []removal
	look := func(key zones.Key, h heldBack) {
		if h.revision <= c.accepted || c.isGranted(key) {
			pass = append(pass, removal{key, c.revision})
		}
	}
	if all {
		for key, h := range c.held.by {
			look(key, h)
		}
	} else {
		for key := range keys {
			if h, is := c.held.by[key]; is {
				look(key, h)
			}
		}
	}
	c.carryOut(pass)
}

// isGranted reports whether the removal of a key was accepted by itself, after the version in service was put. The
// removal of a later version has to be accepted again.
func (c *Catalog) isGranted(key zones.Key) bool {
	if len(c.granted) == 0 {
		return false
	}
	if h := c.held.by[key]; h.doubted {
		return c.granted[key] >= h.revision
	}
	return c.granted[key] > c.VersionOf(key)
}

// carryOut takes resources out of service.
func (c *Catalog) carryOut(gone []removal) {
	if len(gone) == 0 {
		return
	}
	now := c.now()
	c.total.note(now, c.count())
	kinds, around := map[zones.Kind]bool{}, map[*zoneState]bool{} // whose peaks are noted
	for _, r := range gone {
		resource, _ := c.effective(r.key)
		if resource == nil {
			continue
		}
		kind := r.key.Kind()
		if !kinds[kind] {
			kinds[kind] = true
			c.kinds[kind].note(now, c.countOf(kind))
		}
		if z, _ := c.around(r.key); z != nil && !around[z] {
			around[z] = true
			z.recordsPeak.note(now, z.records)
			z.policiesPeak.note(now, len(z.policies))
			z.allPeak.note(now, z.records+len(z.policies))
		}
		c.lose(r.key, c.revision)
		c.unhold(r.key)
		c.unsettle(r.key)
		if kind != zones.KindRecord { // who depends on it can be a matter of where it is now
			c.touched(r.key, resource)
		}
		c.remove(r.key)
		c.wait(r.key, nil) // its Defaults may have gone just before, and left a version without what it gave
		c.mark(r.key)
		c.touched(r.key, resource)
		delete(c.problems, r.key)
	}
}
