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
	Why      string // what the removal would do
	Revision int64  // accepting this revision, or a later one, carries it out
}

// heldBack says why one removal is held, and what ends that. There may be a million of them, so it is small.
type heldBack struct {
	why      *reason // shared by all that are held for the same reason
	revision int64
	doubted  bool // only an acceptance at this revision or later counts
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
	spared map[zones.Key]map[zones.Key]struct{} // under the key of their pool; regions and monitors under their own
	again  map[zones.Key]struct{}

	sorted []Held      // the last list; never changed in place, as others may hold it
	moved  []zones.Key // held or released since then
	first  *Held       // the first by key that this batch has begun to hold; nil: none
}

func newHolding() holding {
	return holding{
		by: map[zones.Key]heldBack{}, spared: map[zones.Key]map[zones.Key]struct{}{},
		again: map[zones.Key]struct{}{},
	}
}

// rebase treats all held removals as if they had been made at a revision of another history.
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

// list returns the held removals, sorted by key. It costs a copy, and what has changed since the last call.
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

// Held returns the removals that the guard holds back, sorted by key. The resources stay in service. The caller must
// not change the list; later batches do not change it either.
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
	if len(c.waiting) > 0 { // it may have blocked one of these, and no longer does
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

// unhold forgets that a removal is held, because it is carried out or no longer wanted. The resource is still in
// service.
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
				h.again[ref.Key()] = struct{}{} // perhaps nothing needs its region and monitor any more
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

// sparedUnder returns the key that a spared key is listed under: its pool's for an Endpoint, else its own.
func sparedUnder(key zones.Key) zones.Key {
	if key.Kind() == zones.KindEndpoint {
		pool, _, _ := strings.Cut(key.Name(), "/")
		return zones.KeyOf(zones.KindPool, pool)
	}
	return key
}

// unsettle notes that the spared removals around a resource must be judged again. It is called while the resource
// exists: before it goes, after it has come, before and after a Policy changes, and when the resource itself becomes
// spared or no longer is.
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

// relent carries out removals that were held for a policy's sake, if the policy has got other endpoints meanwhile.
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

// unsettled returns the spared removals that must be judged again: all that are connected with something that has
// changed. Two are connected if one judgement looks at both: they are in pools of the same policy, or one names the
// other. It also forgets what has changed.
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
