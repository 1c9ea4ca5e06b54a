package control

import (
	"slices"
	"time"

	"leeward/health"
	"leeward/server/transfer"
	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/steer"
)

// configure applies what waits, either here or aside, and reports whether there is a new Snapshot.
func (l *Loop) configure(now time.Time, w waiting) bool {
	if !l.large && slices.ContainsFunc(w.batches, isLarge) {
		l.large, l.paced = true, l.o.Pace()
	}
	if l.isHeavy(w) {
		l.aside = true
		go func() { l.back <- l.apply(now, w) }()
		return false
	}
	return l.adopt(now, l.apply(now, w))
}

// apply takes in batches, and builds a snapshot if there is a reason to. Of what belongs to the loop, it changes only
// the Catalog, the members and the Builder.
func (l *Loop) apply(now time.Time, w waiting) applied {
	a := applied{first: w.first, table: l.table, batches: len(w.batches) > 0}
	build := false
	for i, b := range w.batches {
		b = l.members.batch(b)
		a.listed = a.listed || b.Full && !b.Copy
		a.fresh = a.fresh || !b.Copy
		head := batchHead{b.Revision, 0, b.Copy, b.Anew}
		for k := range b.Changes {
			head.newest = max(head.newest, b.Changes[k].Revision)
		}
		if l.tells() && l.catalog.Filled() {
			l.catalog.KeepReplaced(mostReplaced)
		}
		d := l.catalog.Consume(b)
		was, lacks := l.catalog.TakeReplaced()
		a.happened = append(a.happened, l.changes(head, d, was, lacks)...)
		if revision := l.revision(b, d.Revision); revision != 0 {
			a.delta.Revision = revision
		}
		l.copied = b.Copy || l.copied && !b.Full
		a.take(d)
		build = true
		w.batches[i] = zones.Batch{} // free it now: building needs the memory
	}
	for _, r := range w.resolved {
		l.builder.Resolved(r.Hostname, steer.Resolution{
			Addresses: r.Addresses, Known: r.Known, Expires: r.Expires, Gone: r.Gone,
			Failing: r.Err != "" || r.Expires.IsZero(),
		})
		build = true
	}
	for _, t := range w.elsewhere {
		l.builder.Transferred(t.origin, t.Transferred)
		build = true
	}
	for _, k := range w.kept {
		l.builder.Kept(k.origin, k.Kept)
	}
	for _, k := range w.keyed {
		l.builder.Keyed(k.origin, k.keys, k.err)
		build = true
	}
	for _, origin := range w.arrived {
		build = l.builder.Arrived(origin) || build
	}
	for _, a := range w.awaits {
		l.builder.Awaits(a[0], a[1], a[2])
		build = true
	}
	for _, origin := range w.turned {
		l.builder.Turned(origin)
		build = true
	}
	if a.delta.Full || slices.ContainsFunc(a.delta.Keys, isZone) ||
		slices.ContainsFunc(w.elsewhere, l.members.concerns) {
		for _, b := range l.members.update(l.catalog, l.builder.Version) {
			a.take(l.catalog.Apply(b))
			a.members = true
		}
	}
	if a.delta.Full {
		a.delta.Keys = nil
	}
	if w.table != nil && w.table != l.table {
		a.table, build = w.table, true
	}
	if l.snapshot != nil {
		if e := l.builder.NextExpiry(); !e.IsZero() && !l.o.Clock().Before(e) {
			build = true
		}
	}
	if !build || l.snapshot == nil && len(w.batches) == 0 {
		return a
	}
	a.snapshot, a.built = l.builder.Update(l.catalog, a.delta, a.table)
	a.wrong = slices.Concat(l.catalog.Problems().Errors(), l.members.problems, a.built)
	a.held = l.catalog.HeldCount()
	return a
}

// take adds what one batch changed. Its revision does not count here.
func (a *applied) take(d catalog.Delta) {
	a.delta.Full = a.delta.Full || d.Full
	a.delta.Keys = append(a.delta.Keys, d.Keys...)
	a.delta.Serials = append(a.delta.Serials, d.Serials...)
	if a.delta.Held == nil {
		a.delta.Held = d.Held
	}
}

// adopt has the loop use what was applied. It reports whether there is a new Snapshot to publish.
func (l *Loop) adopt(now time.Time, a applied) bool {
	l.table = a.table
	if a.batches && l.o.Owed != nil {
		l.o.Owed(l.catalog.Owed())
	}
	// What came only from the copy on disk need not be saved again: reading it did not make it newer. A list that
	// confirms the copy does make it newer.
	d := &a.delta
	if a.members || a.fresh && (a.listed || d.Full || len(d.Keys) > 0 || len(d.Serials) > 0) {
		l.changed = now
		if l.unsaved.IsZero() {
			l.unsaved = now
		}
	}
	if a.snapshot == nil {
		return false
	}
	wrong, held := l.wrong, l.held
	l.snapshot, l.built, l.wrong, l.held = a.snapshot, a.built, a.wrong, a.held
	for _, p := range a.happened {
		l.tell(p.event, p.fill)
	}
	l.redrill(*d)
	l.relist(*d)
	found := l.wrong.Beyond(wrong)
	l.logProblems(found, wrong)
	l.tellProblems(found, wrong)
	l.logHeld(d.Held, held)
	l.tellHeld(d.Held, held)
	if l.o.Follow != nil && (d.Full || slices.ContainsFunc(d.Keys, isZone)) {
		l.o.Follow(l.secondaries())
	}
	if l.o.Sign != nil && (d.Full || slices.ContainsFunc(d.Keys, isZone)) {
		l.o.Sign(l.signed())
	}
	return true
}

// isLarge reports whether applying a batch takes as much memory and time as a list of everything does.
func isLarge(b zones.Batch) bool { return b.Full || len(b.Changes) >= LargeBatch }

func isZone(k zones.Key) bool { return k.Kind() == zones.KindZone }

// secondaries returns the zones that live on another primary.
func (l *Loop) secondaries() (all []transfer.Assignment) {
	l.catalog.Each(zones.KindZone, func(r zones.Resource) bool {
		if z := r.(*zones.Zone); z.Secondary() {
			all = append(all, transfer.Follow(z))
		}
		return true
	})
	return all
}

// revision returns the revision of a snapshot that includes batch b. etcd's own revision would not do for a list, since
// every heartbeat moves it. The revision of the newest resource in the list is the same on servers that started at
// different times. It goes back only if the source's history does.
func (l *Loop) revision(b zones.Batch, applied int64) int64 {
	if !b.Full && b.Serials != nil && len(b.Changes) == 0 && l.snapshot != nil {
		return 0 // it only has serials of earlier changes
	}
	if !b.Full || applied != b.Revision {
		return applied
	}
	newest := b.Accepted
	if b.Serials != nil {
		for _, revision := range b.Serials.Last {
			newest = max(newest, revision)
		}
	}
	for _, c := range b.Changes {
		newest = max(newest, c.Revision)
	}
	// A copy on disk has the revision that its source had reached, which may be beyond its newest resource.
	if l.snapshot != nil && l.snapshot.Revision() <= applied && !l.copied {
		newest = max(newest, l.snapshot.Revision())
	}
	if newest == 0 || newest > applied {
		return applied
	}
	return newest
}

// signed returns the zones that are to be signed.
func (l *Loop) signed() (all []*zones.Zone) {
	l.catalog.Each(zones.KindZone, func(r zones.Resource) bool {
		if z := r.(*zones.Zone); z.Signed() {
			all = append(all, z)
		}
		return true
	})
	return all
}

// assign passes on what is to be probed and judged if the pools have changed. It compares only the pools that differ:
// of ten thousand, usually one.
func (l *Loop) assign() {
	next := l.snapshot.Program()
	if next == l.program {
		return
	}
	var before, now steer.Program
	first := l.program == nil // a start waits for the first program even if there is nothing to probe
	if !first {
		before.Pools = changedPools(l.program.Pools, next.Pools)
		now.Pools = changedPools(next.Pools, l.program.Pools)
	} else {
		now.Pools = next.Pools
	}
	l.program = next
	as, was := now.Assignments(), before.Assignments()
	targets := !slices.Equal(as, was) // a hostname that resolves to the same addresses changes nothing to probe
	if names := !slices.Equal(before.Hostnames(), now.Hostnames()); l.o.Assign != nil && (first || targets || names) {
		l.o.Assign(next)
	}
	if !targets {
		return
	}
	still := make(map[health.Target]bool, len(as))
	for i := range as {
		still[as[i].Target] = true
	}
	var gone []health.Target
	for _, a := range was {
		if !still[a.Target] {
			gone = append(gone, a.Target)
		}
	}
	l.board.Reassign(gone, as)
	l.unremembered(l.o.Now())
	l.o.Metrics.assigned(gone, as)
}

// changedPools returns the pools of a that are missing from b, or differ there.
func changedPools(a, b []*steer.Pool) []*steer.Pool {
	var differ []*steer.Pool
	for i, p := range a {
		if p != nil && (i >= len(b) || b[i] != p) {
			differ = append(differ, p)
		}
	}
	return differ
}

// LargeBatch is the number of changes in one batch from which on the loop gives memory back to the system afterwards.
const LargeBatch = 100_000
