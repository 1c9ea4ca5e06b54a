// Package catalog keeps what is in service: the last good version of every resource.
//
//	batch ──▶ stage ──▶ cross checks ──▶ in service ──▶ Delta
//	             │            │              ▲
//	             │            └──▶ waiting ──┘ as soon as what was in its way has changed
//	             └──▶ removals ──▶ guard ──▶ held ──▶ out of service, once accepted
//
// A source (packages store and folder) hands over zones.Batches. The Catalog checks resources against each other, keeps
// the last good version of what cannot be used, holds back removals that would empty a zone or a policy, gives zones
// their serials, and says in a Delta what has changed. From it, package snapshot makes what answers queries. Check is
// the same code without a server.
package catalog

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"leeward/zones"
)

// Catalog holds what is in service: the last good version of every resource. It takes batches from a source. A version
// that cannot be used affects its own resource only: the version before stays in service. Removals that look like an
// accident are held back.
//
// A version goes into service if all that it names exists, and nothing else has its name or address. Otherwise it
// waits, and goes into service as soon as what was in its way has changed. If there is no good version before, the
// newest is taken as it is, without what it names in vain. So a server that starts now serves the same as one that has
// been running. Of two resources that exclude each other, the one with the lower revision is in service.
//
// A Catalog is used by one goroutine. The resources that it returns never change.
type Catalog struct {
	index
	now      func() time.Time
	serials  serials
	revision int64
	accepted int64
	granted  map[zones.Key]int64 // removals that were accepted one by one
	filled   bool                // a Full batch has been applied

	problems map[zones.Key]zones.Problems
	ready    zones.Problems // what Problems returns; nil: to be collected again
	lapses   time.Time      // when problems change by the clock alone; zero: never

	held    holding
	leaving []removal // what the batch removes, while it is applied; sorted by key
	kinds   map[zones.Kind]*peak
	total   peak

	dirty   map[zones.Key]struct{}
	hollows map[string]struct{}    // origins that were Hollow after the last batch
	moved   map[string]struct{}    // origins of zones that came or went, until disturbMoved has seen them
	cuts    map[string]struct{}    // names where a delegation came or went, until disturbCut has seen them
	changed map[zones.Key]struct{} // nil: everything changes

	// For Check: what could not be read, and the pools of endpoints among that.
	unread  map[zones.Key]bool
	missing map[string]bool
}

// Delta says which effective resources a batch changed.
type Delta struct {
	Revision int64
	Keys     []zones.Key // sorted, with those that are gone; nil if Full
	Full     bool        // the catalog was empty before: look at everything

	Serials []string // the origins whose serials have changed, sorted

	Held *Held // the first removal by key that the guard now holds back; nil: none
}

// New returns an empty catalog. The clock is for the guard, which looks back a minute.
func New(now func() time.Time) *Catalog {
	c := &Catalog{
		index: newIndex(), serials: newSerials(), now: now, problems: make(map[zones.Key]zones.Problems),
		held: newHolding(), granted: make(map[zones.Key]int64),
		kinds: make(map[zones.Kind]*peak), dirty: make(map[zones.Key]struct{}), moved: make(map[string]struct{}),
		cuts: make(map[string]struct{}),
	}
	for _, kind := range zones.Kinds {
		c.kinds[kind] = new(peak)
	}
	return c
}

// Apply takes a batch. It puts first and removes afterwards, so that a replacement never counts as a removal.
func (c *Catalog) Apply(b zones.Batch) Delta { return c.apply(b, false) }

// Consume is Apply, but empties the batch as it goes; only the revisions of the changes are left. So the memory in
// which a million records were delivered becomes free while they are applied.
func (c *Catalog) Consume(b zones.Batch) Delta { return c.apply(b, true) }

func (c *Catalog) apply(b zones.Batch, consume bool) Delta {
	first := b.Full && !c.filled && c.count() == 0
	c.filled = c.filled || b.Full
	c.ready, c.held.first = nil, nil
	accepted := c.accepted
	if !first {
		c.changed = make(map[zones.Key]struct{})
	}
	c.beginSerials(&b, first)
	if b.Full && b.Revision < c.revision { // another history, whose revisions cannot be compared
		c.accepted = b.Accepted
		c.held.rebase(b.Revision)
	}
	c.revision = b.Revision
	if b.Full {
		clear(c.granted)
	}
	for key, revision := range b.AcceptedKeys {
		c.granted[key] = revision
	}
	if b.Accepted > c.accepted {
		c.accepted = b.Accepted
		for key, v := range c.waiting {
			if _, ok := v.resource.(*zones.Policy); ok {
				c.dirty[key] = struct{}{} // it may have waited for that alone
			}
		}
	}

	changes := b.Changes
	if !b.Full {
		changes = lastOfEach(changes)
	}
	c.leaving = c.removals(changes, b)
	if byKey := func(a, b removal) int { return cmp.Compare(a.key, b.key) }; !slices.IsSortedFunc(c.leaving, byKey) {
		slices.SortFunc(c.leaving, byKey)
	}
	byKind := make(map[zones.Kind][]int)
	for i := range changes {
		if ch := &changes[i]; ch.Resource != nil || ch.Err != nil {
			c.unhold(ch.Key) // before any is staged: what is put again does not give way as what is held does
			byKind[ch.Key.Kind()] = append(byKind[ch.Key.Kind()], i)
		}
	}
	for _, kind := range zones.Kinds {
		for _, i := range byKind[kind] {
			c.stage(&changes[i])
			if consume {
				changes[i] = zones.Change{Revision: changes[i].Revision}
			}
		}
	}
	for _, i := range byKind[""] { // not a key of ours
		c.stage(&changes[i])
	}
	c.settle()
	c.release(b.Full || c.accepted != accepted, b.AcceptedKeys)
	c.guard(c.leaving, b.Meant && !b.Full, b.Doubted && !b.Full)
	c.leaving = nil
	c.settle()
	c.hollowed()
	c.markTurned()

	d := Delta{Revision: b.Revision, Full: first, Serials: c.endSerials(&b), Held: c.held.first}
	if !first {
		d.Keys = slices.Sorted(maps.Keys(c.changed))
	}
	c.changed = nil
	return d
}

// hollowed updates the set of zones that are Hollow.
func (c *Catalog) hollowed() {
	now := make(map[string]struct{})
	for origin := range c.lacking {
		if c.hollow(origin) {
			now[origin] = struct{}{}
		}
	}
	if c.changed != nil {
		for _, sets := range [2]map[string]struct{}{c.hollows, now} {
			for origin := range sets {
				_, before := c.hollows[origin]
				if _, is := now[origin]; is != before {
					c.changed[zones.KeyOf(zones.KindZone, origin)] = struct{}{}
				}
			}
		}
	}
	c.hollows = now
}

// lastOfEach drops all changes of a key but the last.
func lastOfEach(changes []zones.Change) []zones.Change {
	ascends := true // as in one revision of etcd, where each key is there once
	for i := 1; i < len(changes) && ascends; i++ {
		ascends = changes[i-1].Key < changes[i].Key
	}
	if ascends {
		return changes
	}
	last := make(map[zones.Key]int, len(changes))
	for i := range changes {
		last[changes[i].Key] = i
	}
	if len(last) == len(changes) {
		return changes
	}
	kept := make([]zones.Change, 0, len(last))
	for i := range changes {
		if last[changes[i].Key] == i {
			kept = append(kept, changes[i])
		}
	}
	return kept
}

// stage takes the newest version of one key. The version goes into service if it can, or else waits.
func (c *Catalog) stage(ch *zones.Change) {
	key := ch.Key
	if r, ok := ch.Resource.(*zones.Record); ok {
		c.state(r.Origin)
	}
	c.reckon(key, ch.Revision)
	if key.Kind() == zones.KindZone {
		c.disturbLists() // a version that cannot be used matters to them, too
	}
	if ch.Err != nil {
		v := &version{revision: ch.Revision}
		if problems, ok := ch.Err.(zones.Problems); ok {
			v.problems = problems
		} else {
			v.problems = zones.Problems{{Key: key, Message: ch.Err.Error(), Code: zones.CodeSyntax}}
		}
		c.wait(key, v)
		c.consider(key)
		return
	}
	if r, ok := ch.Resource.(*zones.Record); ok && c.waiting[key] == nil {
		// This is the case for nearly all resources, and nothing has to wait.
		if x := c.cross(key, r); len(x.problems) == 0 {
			c.take(key, r, ch.Revision)
			if len(c.problems) > 0 {
				delete(c.problems, key)
			}
			return
		}
	}
	if mayInherit(ch.Resource) {
		c.stageInherited(key, ch.Resource, ch.Revision)
		return
	}
	c.wait(key, &version{resource: ch.Resource, revision: ch.Revision})
	c.consider(key)
}

// settle considers everything again that depends on changed resources, until nothing changes any more. It goes by the
// order of kinds, then by the age of the newest versions, so that the older of two that exclude each other comes first.
func (c *Catalog) settle() {
	type turn struct {
		kind     int
		revision int64
		key      zones.Key
	}
	for c.disturbMoved(); len(c.dirty) > 0; c.disturbMoved() {
		round := make([]turn, 0, len(c.dirty))
		for key := range c.dirty {
			round = append(round, turn{slices.Index(zones.Kinds[:], key.Kind()), c.newest(key), key})
		}
		clear(c.dirty)
		slices.SortFunc(round, func(a, b turn) int {
			return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.revision, b.revision), cmp.Compare(a.key, b.key))
		})
		for _, t := range round {
			c.consider(t.key)
		}
	}
}

func (c *Catalog) newest(key zones.Key) int64 {
	if v := c.waiting[key]; v != nil {
		return v.revision
	}
	_, revision := c.effective(key)
	return revision
}

// consider decides which version of a resource is in service, and notes its problems.
func (c *Catalog) consider(key zones.Key) {
	v := c.waiting[key]
	effective, revision := c.effective(key)
	if v == nil && effective == nil {
		delete(c.problems, key)
		return
	}
	if v != nil && v.resource != nil {
		x := c.cross(key, v.resource)
		if c.admit(v, &x, key, effective) {
			for _, rival := range x.conflicts {
				c.yield(rival)
			}
			c.wait(key, nil)
			c.take(key, v.resource, v.revision)
			c.note(key, c.cross(key, v.resource).problems, v.revision)
			return
		}
		c.note(key, x.problems, v.revision)
	} else if v != nil {
		c.note(key, v.problems, v.revision)
	}
	if effective == nil {
		c.disturb(key) // the problems of those that name it may have changed
		return
	}
	x := c.cross(key, effective)
	if c.contend(key, x.conflicts) || v != nil {
		return
	}
	if len(x.conflicts) > 0 {
		x = c.cross(key, effective)
	}
	c.note(key, x.problems, revision)
}

// contend decides between effective resources that exclude each other although neither has changed, for example after a
// zone appeared that both are in. gone is true if the resource has gone out of service.
func (c *Catalog) contend(key zones.Key, conflicts []zones.Key) (gone bool) {
	_, revision := c.effective(key)
	for _, rival := range conflicts {
		if _, age := c.effective(rival); age <= revision && !c.isHeld(rival) && !c.isLeaving(rival) {
			c.yield(key)
			return true
		}
	}
	for _, rival := range conflicts {
		c.yield(rival)
	}
	return false
}

// admit reports whether a version may be taken into service.
func (c *Catalog) admit(v *version, x *crossed, key zones.Key, effective zones.Resource) bool {
	for _, rival := range x.conflicts {
		if c.isHeld(rival) || c.isLeaving(rival) {
			continue // only the guard keeps it
		}
		if _, revision := c.effective(rival); revision <= v.revision {
			return false
		}
	}
	if effective == nil {
		return key.Kind() != zones.KindDefaults || len(x.problems.Errors()) == 0
	}
	before := c.cross(key, effective)
	if v.revision > c.accepted && len(x.problems.Coded(zones.CodeNoAnswer)) > 0 &&
		len(before.problems.Coded(zones.CodeNoAnswer)) == 0 {
		return false // the version in service has an answer
	}
	lacks := func(p zones.Problem) bool {
		return !p.Warning && p.Code != zones.CodeConflict && !(p.Code == zones.CodeNoAnswer && v.revision <= c.accepted)
	}
	return !slices.ContainsFunc(x.problems, lacks) || slices.ContainsFunc(before.problems, lacks)
}

// yield takes a resource out of service in favour of an older one that excludes it. It then waits for its place to
// become free, unless there is a newer version, or only the guard kept it.
func (c *Catalog) yield(rival zones.Key) {
	r, revision := c.effective(rival)
	if r == nil {
		return
	}
	kept := c.isHeld(rival)
	c.unhold(rival)
	c.unsettle(rival)
	c.touched(rival, r)
	c.remove(rival)
	c.mark(rival)
	if !kept && !c.isLeaving(rival) && c.waiting[rival] == nil {
		c.wait(rival, &version{resource: r, revision: revision})
	}
	c.dirty[rival] = struct{}{}
}

// take makes a version the effective one, and marks what depends on it.
func (c *Catalog) take(key zones.Key, r zones.Resource, revision int64) {
	if record, ok := r.(*zones.Record); ok {
		changed, isNew := c.putRecord(record, revision)
		if changed {
			c.mark(key)
		}
		if isNew {
			c.touched(key, r)
		}
		return
	}
	before, _ := c.effective(key)
	same := before != nil && zones.Same(before, r)
	if same {
		r = before
	}
	if !same {
		c.unsettle(key)
	}
	c.put(key, r, revision)
	if !same {
		c.unsettle(key)
	}
	if zone, ok := r.(*zones.Zone); ok && before == nil {
		c.reckon(key, revision) // its zone's state did not exist when it was staged
		if parent := c.zoneOf(zones.ParentName(zone.Origin)); parent != nil && len(c.state(zone.Origin).policies) > 0 {
			c.loseZone(parent, revision) // the origin above had them before
		}
	}
	if same {
		return
	}
	c.mark(key)
	if before == nil {
		c.touched(key, r)
	} else {
		c.altered(key, before, r)
	}
}

// mark notes that the effective version of a key has changed.
func (c *Catalog) mark(key zones.Key) {
	if c.changed != nil {
		c.changed[key] = struct{}{}
		c.differ(key)
	}
}

// note stores a resource's problems.
func (c *Catalog) note(key zones.Key, problems zones.Problems, revision int64) {
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
