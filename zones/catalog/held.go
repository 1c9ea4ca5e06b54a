package catalog

import (
	"cmp"
	"slices"
	"strings"

	"leeward/zones"
)

// Held is a removal that the guard holds back: the resource stays in service.
type Held struct {
	Key      zones.Key
	Why      string // what would happen
	Revision int64  // accepting this revision, or a later one, lets it through
}

// heldBack says why one removal is held, and how that can end. There may be a million, so it is small.
type heldBack struct {
	why      *reason // shared by all that are held for the same reason
	revision int64
	doubted  bool // only an acceptance from this revision on lets it go, and no earlier one
}

// holding is what the guard holds back.
//
//	by      key → why          every removal that is held
//	spared  pool → keys        those held only so that a policy keeps an endpoint ("forPolicy")
//	again   keys               pools, regions and monitors around which something changed: the spared ones that
//	                           hang together with them are judged again at the end of the batch
//
// A batch costs what it changes: nothing here is walked because it is there, except for a listing that somebody asks
// for and an acceptance, which may concern all of it.
type holding struct {
	by     map[zones.Key]heldBack
	spared map[zones.Key]map[zones.Key]struct{} // under the key of their pool, or their own for regions and monitors
	again  map[zones.Key]struct{}

	sorted []Held      // as listed last; never changed in place, as others may have it
	moved  []zones.Key // held, or let go, since then
	first  *Held       // the first by key that has come to be held in this batch; nil: none has
}

func newHolding() holding {
	return holding{
		by: map[zones.Key]heldBack{}, spared: map[zones.Key]map[zones.Key]struct{}{},
		again: map[zones.Key]struct{}{},
	}
}

// rebase makes all that is held as if it had been removed at a revision of another history.
func (h *holding) rebase(revision int64) {
	for key, b := range h.by {
		if b.revision = revision; b.doubted {
			b.revision++
		}
		h.by[key] = b
		h.moved = append(h.moved, key)
	}
}

func (c *Catalog) isHeld(key zones.Key) bool {
	_, is := c.held.by[key]
	return is
}

// list returns what is held, sorted by key. It costs as much as has changed since it was called last, and a copy.
func (h *holding) list() []Held {
	if len(h.moved) == 0 {
		return h.sorted
	}
	slices.Sort(h.moved)
	h.moved = slices.Compact(h.moved)
	all := make([]Held, 0, len(h.by))
	old := h.sorted
	for _, key := range h.moved {
		n, there := slices.BinarySearchFunc(old, key,
			func(x Held, key zones.Key) int { return cmp.Compare(x.Key, key) })
		all = append(all, old[:n]...)
		if old = old[n:]; there {
			old = old[1:]
		}
		if b, is := h.by[key]; is {
			all = append(all, Held{key, b.why.text, b.revision})
		}
	}
	h.sorted, h.moved = append(all, old...), nil
	return h.sorted
}

// Held returns the removals that the guard holds back, sorted by key. What they remove stays in service. The caller
// must not change the list, which later batches leave as it is.
func (c *Catalog) Held() []Held { return c.held.list() }

// HeldCount returns how many removals the guard holds back.
func (c *Catalog) HeldCount() int { return len(c.held.by) }

// hold holds a removal back. The resource is in service.
func (c *Catalog) hold(r removal, why *reason, doubted bool) {
	h := &c.held
	h.by[r.key] = heldBack{why, r.revision, doubted}
	h.moved = append(h.moved, r.key)
	if h.first == nil || r.key < h.first.Key {
		h.first = &Held{r.key, why.text, r.revision}
	}
	if why.forPolicy {
		under := sparedUnder(r.key)
		if h.spared[under] == nil {
			h.spared[under] = map[zones.Key]struct{}{}
		}
		h.spared[under][r.key] = struct{}{}
		c.unsettle(r.key)
	}
	if len(c.waiting) > 0 { // it may be in the way of one of these, and is not any more
		switch resource, _ := c.effective(r.key); resource := resource.(type) {
		case *zones.Record:
			c.disturb(placeOf(zones.FullName(resource.Owner, resource.Origin)))
		case *zones.Policy:
			c.disturb(placeOf(resource.Name))
		case *zones.Endpoint:
			for _, a := range resource.Addresses {
				c.disturb(addressPlace(resource.Pool, a))
			}
		}
	}
}

// unhold forgets that a removal is held: it is carried out, or not meant any more. The resource is still in service.
func (c *Catalog) unhold(key zones.Key) {
	h := &c.held
	b, is := h.by[key]
	if !is {
		return
	}
	if b.why.forPolicy {
		c.unsettle(key)
		if key.Kind() == zones.KindPool {
			for ref := range zones.References(c.Get(key)) {
				h.again[ref.Key()] = struct{}{} // nothing may need its region and monitor any more
			}
		}
		under := sparedUnder(key)
		if delete(h.spared[under], key); len(h.spared[under]) == 0 {
			delete(h.spared, under)
		}
	}
	delete(h.by, key)
	h.moved = append(h.moved, key)
}

// sparedUnder is what a spared key is found by: its pool, for an Endpoint, else itself.
func sparedUnder(key zones.Key) zones.Key {
	if key.Kind() == zones.KindEndpoint {
		pool, _, _ := strings.Cut(key.Name(), "/")
		return zones.KeyOf(zones.KindPool, pool)
	}
	return key
}

// unsettle notes that the spared ones around a resource are to be judged again. It is called while the resource is
// there: before it goes, after it has come, before and after a Policy changes, and as it is spared itself or ceases to
// be.
func (c *Catalog) unsettle(key zones.Key) {
	if len(c.held.spared) == 0 {
		return
	}
	switch key.Kind() {
	case zones.KindPolicy:
		if p, is := c.Get(key).(*zones.Policy); is {
			for _, pool := range p.PoolNames() {
				c.held.again[zones.KeyOf(zones.KindPool, pool)] = struct{}{}
			}
		}
	case zones.KindPool, zones.KindEndpoint:
		c.held.again[sparedUnder(key)] = struct{}{}
	}
}

// relent lets go of what was spared for a policy's sake, where the policy has got other endpoints meanwhile.
func (c *Catalog) relent() {
	kept := c.unsettled()
	if len(kept) == 0 {
		return
	}
	g := newSuspicion(c, kept)
	g.policies()
	g.closure()
	c.carryOut(g.free())
}

// unsettled returns the spared removals that are to be judged again: all that hang together with something that has
// changed. Two do if one judgement looks at both: they are in pools of one policy, or one names the other. It forgets
// what has changed.
func (c *Catalog) unsettled() (kept []removal) {
	h := &c.held
	if len(h.again) == 0 {
		return nil
	}
	var queue []zones.Key
	seen := map[zones.Key]bool{}
	add := func(under zones.Key) {
		if !seen[under] && len(h.spared[under]) > 0 {
			seen[under] = true
			queue = append(queue, under)
		}
	}
	through := func(policy *zones.Policy) {
		for _, pool := range policy.PoolNames() {
			add(zones.KeyOf(zones.KindPool, pool))
		}
	}
	for key := range h.again {
		add(key)
		for referrer := range c.referrers[key] {
			if p, is := c.Get(referrer).(*zones.Policy); is {
				through(p)
			}
		}
	}
	clear(h.again)
	for len(queue) > 0 {
		under := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		keys := h.spared[under]
		for key := range keys {
			kept = append(kept, removal{key, h.by[key].revision})
		}
		for referrer := range c.referrers[under] {
			switch r := c.Get(referrer).(type) {
			case *zones.Policy:
				through(r)
			case *zones.Pool: // of a region or monitor
				add(referrer)
			}
		}
		if _, is := keys[under]; is && under.Kind() == zones.KindPool {
			for ref := range zones.References(c.Get(under)) {
				add(ref.Key())
			}
		}
	}
	slices.SortFunc(kept, func(a, b removal) int { return cmp.Compare(a.key, b.key) })
	return kept
}
