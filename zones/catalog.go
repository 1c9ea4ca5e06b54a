package zones

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Catalog is what is in service: the last good version of every resource. It takes batches from a source; a version that
// cannot be used costs its resource that version and nothing else, and what the guard does not believe is held back.
//
// A version is taken when nothing stands against it: all that it names is there, and nothing is at its name or address
// already. Else the version before stays, and as soon as what was in the way has changed, the newest is taken by itself. Where
// there is no good version before, the newest is taken as it is, without what it names in vain: a server that starts
// now serves what one that has been running serves. Of two that exclude each other the older one, by revision, is in
// service.
//
// A Catalog is used by one goroutine. The resources that it returns never change.
type Catalog struct {
	index
	now      func() time.Time
	revision int64
	accepted int64
	filled   bool // there has been a Full batch

	problems map[Key]Problems
	ready    Problems // what Problems returns; nil: to be put together again

	held    map[Key]*heldBack
	leaving map[Key]bool // what a batch removes, while it is being applied
	kinds   map[Kind]*peak
	total   peak

	dirty   map[Key]struct{}
	changed map[Key]struct{} // nil while everything changes

	// Check's: what could not be read, and pools with endpoints among that.
	unread  map[Key]bool
	missing map[string]bool
}

// Delta is what a batch changed of what is effective.
type Delta struct {
	Revision int64
	Keys     []Key // sorted, those that are gone included; nil where Full
	Full     bool  // the catalog was empty before: look at everything
}

// NewCatalog returns an empty catalog. The clock is for the guard, which looks back a minute.
func NewCatalog(now func() time.Time) *Catalog {
	c := &Catalog{
		index: newIndex(), now: now, problems: make(map[Key]Problems), held: make(map[Key]*heldBack),
		kinds: make(map[Kind]*peak), dirty: make(map[Key]struct{}),
	}
	for _, kind := range Kinds {
		c.kinds[kind] = new(peak)
	}
	return c
}

// Apply takes a batch. What the batch puts comes first, and then what it removes, so that replacing is never removing.
func (c *Catalog) Apply(b Batch) Delta {
	first := b.Full && !c.filled && c.count() == 0
	c.filled = c.filled || b.Full
	c.ready = nil
	if !first {
		c.changed = make(map[Key]struct{})
	}
	if b.Full && b.Revision < c.revision { // another history, whose revisions say nothing of the one before
		c.accepted = b.Accepted
		for _, h := range c.held {
			h.Revision = b.Revision
		}
	}
	c.revision = b.Revision
	if b.Accepted > c.accepted {
		c.accepted = b.Accepted
		for key, v := range c.waiting {
			if _, ok := v.resource.(*Policy); ok {
				c.dirty[key] = struct{}{} // it may have waited for that alone
			}
		}
	}

	changes := b.Changes
	if !b.Full {
		changes = lastOfEach(changes)
	}
	removals := c.removals(changes, b)
	c.leaving = make(map[Key]bool, len(removals))
	for _, r := range removals {
		c.leaving[r.key] = true
	}
	byKind := make(map[Kind][]int)
	for i := range changes {
		if ch := &changes[i]; ch.Resource != nil || ch.Err != nil {
			byKind[ch.Key.Kind()] = append(byKind[ch.Key.Kind()], i)
		}
	}
	for _, kind := range Kinds {
		for _, i := range byKind[kind] {
			c.stage(&changes[i])
		}
	}
	for _, i := range byKind[""] { // a key that is none of ours
		c.stage(&changes[i])
	}
	c.settle()
	c.guard(removals)
	c.leaving = nil
	c.settle()

	d := Delta{Revision: b.Revision, Full: first}
	if !first {
		d.Keys = slices.Sorted(maps.Keys(c.changed))
	}
	c.changed = nil
	return d
}

// lastOfEach drops all changes of a key but the last.
func lastOfEach(changes []Change) []Change {
	last := make(map[Key]int, len(changes))
	for i := range changes {
		last[changes[i].Key] = i
	}
	if len(last) == len(changes) {
		return changes
	}
	kept := make([]Change, 0, len(last))
	for i := range changes {
		if last[changes[i].Key] == i {
			kept = append(kept, changes[i])
		}
	}
	return kept
}

// stage takes one key's newest version: into service if it can be, else to wait.
func (c *Catalog) stage(ch *Change) {
	key := ch.Key
	delete(c.held, key)
	if ch.Err != nil {
		v := &version{revision: ch.Revision}
		if problems, ok := ch.Err.(Problems); ok {
			v.problems = problems
		} else {
			v.problems = Problems{{Key: key, Message: ch.Err.Error(), Code: CodeSyntax}}
		}
		c.wait(key, v)
		c.consider(key)
		return
	}
	if r, ok := ch.Resource.(*Record); ok && c.waiting[key] == nil {
		// Nearly all of them: nothing of it need wait.
		if x := c.cross(key, r); len(x.problems) == 0 {
			c.take(key, r, ch.Revision)
			if len(c.problems) > 0 {
				delete(c.problems, key)
			}
			return
		}
	}
	c.wait(key, &version{resource: ch.Resource, revision: ch.Revision})
	c.consider(key)
}

// settle looks again at whatever depends on what has changed, until nothing changes any more.
func (c *Catalog) settle() {
	for len(c.dirty) > 0 {
		round := slices.Collect(maps.Keys(c.dirty))
		clear(c.dirty)
		slices.SortFunc(round, c.older)
		for _, key := range round {
			c.consider(key)
		}
	}
}

// older orders keys by the kinds' order, then by the age of their newest versions: of two that exclude each other the
// older one is to find its place free.
func (c *Catalog) older(a, b Key) int {
	if d := slices.Index(Kinds[:], a.Kind()) - slices.Index(Kinds[:], b.Kind()); d != 0 {
		return d
	}
	if d := c.newest(a) - c.newest(b); d != 0 {
		return int(max(-1, min(1, d)))
	}
	return strings.Compare(string(a), string(b))
}

func (c *Catalog) newest(key Key) int64 {
	if v := c.waiting[key]; v != nil {
		return v.revision
	}
	_, revision := c.effective(key)
	return revision
}

// consider decides which version of a resource is in service, and what its problems are.
func (c *Catalog) consider(key Key) {
	v := c.waiting[key]
	effective, _ := c.effective(key)
	switch {
	case v == nil && effective == nil:
		delete(c.problems, key)
	case v == nil:
		c.reconsider(key, effective)
	case v.resource == nil:
		c.note(key, v.problems, v.revision)
		if effective == nil {
			c.disturb(key)
		}
	default:
		x := c.cross(key, v.resource)
		if !c.admit(key, v, &x, effective) {
			c.note(key, x.problems, v.revision)
			if effective == nil {
				c.disturb(key)
			}
			return
		}
		for _, rival := range x.conflicts {
			c.yield(rival)
		}
		c.wait(key, nil)
		c.take(key, v.resource, v.revision)
		c.note(key, c.cross(key, v.resource).problems, v.revision)
	}
}

// reconsider looks again at a resource whose newest version is in service. It can have got a rival without either having
// changed: when a zone comes that both turn out to be in.
func (c *Catalog) reconsider(key Key, effective Resource) {
	_, revision := c.effective(key)
	x := c.cross(key, effective)
	for _, rival := range x.conflicts {
		if _, age := c.effective(rival); age <= revision && c.held[rival] == nil && !c.leaving[rival] {
			c.yield(key)
			return
		}
	}
	for _, rival := range x.conflicts {
		c.yield(rival)
	}
	if len(x.conflicts) > 0 {
		x = c.cross(key, effective)
	}
	c.note(key, x.problems, revision)
}

// admit reports whether a version may be taken into service.
func (c *Catalog) admit(key Key, v *version, x *crossed, effective Resource) bool {
	for _, rival := range x.conflicts {
		if c.held[rival] != nil || c.leaving[rival] {
			continue // it is only there because the guard keeps it
		}
		if _, revision := c.effective(rival); revision <= v.revision {
			return false
		}
	}
	if effective == nil {
		return true
	}
	before := c.cross(key, effective)
	if v.revision > c.accepted && len(x.problems.Coded(CodeNoAnswer)) > 0 && len(before.problems.Coded(CodeNoAnswer)) == 0 {
		return false // the one before has an answer
	}
	lacks := func(p Problem) bool {
		return !p.Warning && p.Code != CodeConflict && !(p.Code == CodeNoAnswer && v.revision <= c.accepted)
	}
	return !slices.ContainsFunc(x.problems, lacks) || slices.ContainsFunc(before.problems, lacks)
}

// yield takes a resource out of service in favour of one that excludes it and is older. Unless there is something newer,
// or the guard only kept it, it waits for its place to become free.
func (c *Catalog) yield(rival Key) {
	r, revision := c.effective(rival)
	if r == nil {
		return
	}
	kept := c.held[rival] != nil
	delete(c.held, rival)
	c.touched(rival, r)
	c.remove(rival)
	c.mark(rival)
	if !kept && !c.leaving[rival] && c.waiting[rival] == nil {
		c.wait(rival, &version{resource: r, revision: revision})
	}
	c.dirty[rival] = struct{}{}
}

// take makes a version the effective one and looks after those that depend on it.
func (c *Catalog) take(key Key, r Resource, revision int64) {
	if record, ok := r.(*Record); ok {
		z := c.state(record.Origin)
		if !z.set(record, revision) {
			return
		}
		c.mark(key)
		z.touch(revision)
		c.touched(key, r)
		return
	}
	before, _ := c.effective(key)
	if before != nil && Same(before, r) {
		c.put(key, before, revision)
		return
	}
	c.put(key, r, revision)
	c.mark(key)
	switch r := r.(type) {
	case *Zone:
		c.state(r.Origin).touch(revision)
		if parent := c.zoneOf(parentName(r.Origin)); parent != nil && before == nil {
			parent.touch(revision)
		}
	case *Policy:
		if z := c.zoneOf(r.Name); z != nil {
			z.touch(revision)
		}
	}
	if before != nil {
		c.touched(key, before)
	}
	c.touched(key, r)
}

// mark notes that the effective version of a key has changed.
func (c *Catalog) mark(key Key) {
	if c.changed != nil {
		c.changed[key] = struct{}{}
	}
}

// note keeps a resource's problems.
func (c *Catalog) note(key Key, problems Problems, revision int64) {
	if len(problems) == 0 {
		delete(c.problems, key)
		return
	}
	problems = slices.Clone(problems)
	for i := range problems {
		problems[i].Key, problems[i].Revision = key, revision
	}
	c.problems[key] = problems
}

// touched marks those dirty that a version of a resource matters to, whether it came or went.
func (c *Catalog) touched(key Key, r Resource) {
	c.disturb(key)
	switch r := r.(type) {
	case *Zone:
		c.touchedZone(r)
	case *Record:
		name := FullName(r.Owner, r.Origin)
		c.disturb(placeOf(name))
		if r.Type == "NS" || r.Type == "DNAME" {
			if z := c.states[r.Origin]; z != nil {
				for policy := range z.policies {
					if under(policy, name) {
						c.dirty[KeyOf(KindPolicy, policy)] = struct{}{}
					}
				}
			}
		}
	case *Policy:
		c.disturb(placeOf(r.Name))
	case *Region, *Monitor:
		for pool := range c.referrers[key] {
			c.disturb(pool)
		}
	case *Endpoint:
		pool := KeyOf(KindPool, r.Pool)
		if c.slots[KindPool][pool] != nil || c.waiting[pool] != nil {
			c.dirty[pool] = struct{}{}
		}
		for referrer := range c.referrers[pool] {
			if referrer.Kind() == KindPolicy {
				c.dirty[referrer] = struct{}{}
			}
		}
		for _, a := range r.Addresses {
			c.disturb(addressPlace(r.Pool, a))
		}
	}
}

// disturb marks all dirty that name a key or place.
func (c *Catalog) disturb(target Key) {
	for referrer := range c.referrers[target] {
		c.dirty[referrer] = struct{}{}
	}
}

func (c *Catalog) touchedZone(z *Zone) {
	for _, policies := range []map[string]*Policy{c.homeless, c.state(z.Origin).policies, c.home(parentName(z.Origin))} {
		for name := range policies {
			if under(name, z.Origin) {
				c.dirty[KeyOf(KindPolicy, name)] = struct{}{}
			}
		}
	}
	again := func(key Key) {
		if origin, owner, _, ok := splitRecord(key); ok && (origin == z.Origin || under(FullName(owner, origin), z.Origin)) {
			c.dirty[key] = struct{}{}
		} else if key.Kind() == KindPolicy && under(key.Name(), z.Origin) {
			c.dirty[key] = struct{}{}
		}
	}
	for key := range c.waiting {
		again(key)
	}
	for key := range c.problems {
		again(key)
	}
	if parent := c.zoneOf(parentName(z.Origin)); parent != nil {
		c.dirty[parent.zone.Key()] = struct{}{}
	}
	for name := parentName(z.Origin); name != ""; name = parentName(name) {
		if above := c.states[name]; above != nil {
			c.disturbBelow(above, ownerIn(z.Origin, name))
		}
	}
	c.dirty[z.Key()] = struct{}{}
	if s := c.states[z.Origin]; s != nil {
		c.drop(s)
	}
}

// disturbBelow marks the records of an origin dirty that are at or below an owner: another zone comes or goes there.
func (c *Catalog) disturbBelow(z *zoneState, cut string) {
	for owner, sets := range z.owners {
		if rest, ok := strings.CutSuffix(owner, cut); !ok || rest != "" && rest[len(rest)-1] != '.' {
			continue
		}
		for sets != "" {
			var set packedSet
			set, sets = sets.next()
			c.dirty[KeyOf(KindRecord, z.origin+"/"+owner+"/"+set.kind)] = struct{}{}
		}
	}
}
