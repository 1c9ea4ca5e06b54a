package control

import (
	"slices"
	"time"

	"leeward/health"
	"leeward/server/transfer"
	"leeward/zones"
	"leeward/zones/steer"
)

// configure applies batches and builds a snapshot if there is a reason to. It reports whether there is a new one.
func (l *Loop) configure(now time.Time, w waiting) bool {
	var delta zones.Delta
	build, fresh, listed := false, false, false
	for i, b := range w.batches {
		b = l.members.batch(b)
		listed = listed || b.Full && !b.Copy
		fresh = fresh || !b.Copy
		d := l.catalog.Consume(b)
		if revision := l.revision(b, d.Revision); revision != 0 {
			delta.Revision = revision
		}
		delta.Full = delta.Full || d.Full
		delta.Keys = append(delta.Keys, d.Keys...)
		delta.Serials = append(delta.Serials, d.Serials...)
		build = true
		if !l.large && isLarge(b) {
			l.large, l.paced = true, l.o.Pace()
		}
		w.batches[i] = zones.Batch{} // building needs the memory
	}
	if delta.Full {
		delta.Keys = nil
	}
	if len(w.batches) > 0 && l.o.Owed != nil {
		l.o.Owed(l.catalog.Owed())
	}
	// What came from the copy on disk alone is there already, and is no younger for having been read. A list that finds it
	// current is a reason to say so.
	if fresh && (listed || delta.Full || len(delta.Keys) > 0 || len(delta.Serials) > 0) {
		l.changed = now
		if l.unsaved.IsZero() {
			l.unsaved = now
		}
	}
	for _, a := range w.resolved {
		l.builder.Resolved(a.Hostname, steer.Resolution{
			Addresses: a.Addresses, Known: a.Known, Expires: a.Expires, Failing: a.Err != "" || a.Expires.IsZero(), Gone: a.Gone,
		})
		build = true
	}
	for _, t := range w.elsewhere {
		l.builder.Transferred(t.origin, t.Transferred)
		build = true
	}
	if delta.Full || slices.ContainsFunc(delta.Keys, isZone) || slices.ContainsFunc(w.elsewhere, l.members.concerns) {
		for _, b := range l.members.update(l.catalog, l.builder.Version) {
			d := l.catalog.Apply(b)
			delta.Keys, delta.Serials = append(delta.Keys, d.Keys...), append(delta.Serials, d.Serials...)
			l.changed = now
			if l.unsaved.IsZero() {
				l.unsaved = now
			}
		}
	}
	if w.table != nil && w.table != l.table {
		l.table, build = w.table, true
	}
	if l.snapshot != nil {
		if e := l.builder.NextExpiry(); !e.IsZero() && !now.Before(e) {
			build = true
		}
	}
	if !build || (l.snapshot == nil && len(w.batches) == 0) {
		return false
	}
	l.snapshot, l.built = l.builder.Update(l.catalog, delta, l.table)
	l.redrill(delta)
	l.relist(delta)
	wrong, held := l.wrong, l.held
	l.wrong, l.held = slices.Concat(l.catalog.Problems().Errors(), l.members.problems, l.built), l.catalog.Held()
	l.complain(l.wrong.Beyond(wrong), wrong)
	l.tellHeld(held)
	if l.o.Follow != nil && (delta.Full || slices.ContainsFunc(delta.Keys, isZone)) {
		l.o.Follow(l.secondaries())
	}
	return true
}

// isLarge reports whether a batch takes memory, and time, as all there is does.
func isLarge(b zones.Batch) bool { return b.Full || len(b.Changes) >= LargeBatch }

func isZone(k zones.Key) bool { return k.Kind() == zones.KindZone }

// secondaries returns the zones that live elsewhere.
func (l *Loop) secondaries() (all []transfer.Assignment) {
	l.catalog.Each(zones.KindZone, func(r zones.Resource) bool {
		if z := r.(*zones.Zone); z.Secondary() {
			all = append(all, transfer.Follow(z))
		}
		return true
	})
	return all
}

// revision returns the revision that a snapshot with this batch is of. A list is read at etcd's revision, which every
// heartbeat moves; that of the newest resource in it is what servers that started at different times have in common. It
// goes back only when the source's history does.
func (l *Loop) revision(b zones.Batch, applied int64) int64 {
	if !b.Full && b.Serials != nil && len(b.Changes) == 0 && l.snapshot != nil {
		return 0 // about changes that were before
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
	if l.snapshot != nil && l.snapshot.Revision() <= applied {
		newest = max(newest, l.snapshot.Revision())
	}
	if newest == 0 || newest > applied {
		return applied
	}
	return newest
}

// assign passes on what is to be probed and judged, where the pools have changed. The work here is that of the pools
// that are others: of ten thousand, one.
func (l *Loop) assign() {
	next := l.snapshot.Program()
	if next == l.program {
		return
	}
	var before, now steer.Program
	first := l.program == nil // that there is nothing to probe is to be known too: a start waits for it
	if !first {
		before.Pools = others(l.program.Pools, next.Pools)
		now.Pools = others(next.Pools, l.program.Pools)
	} else {
		now.Pools = next.Pools
	}
	l.program = next
	as, was := now.Assignments(), before.Assignments()
	targets := !slices.Equal(as, was) // a name that was only told again changes nothing to probe
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

// others returns the pools of a that are not the same in b.
func others(a, b []*steer.Pool) []*steer.Pool {
	var differ []*steer.Pool
	for i, p := range a {
		if p != nil && (i >= len(b) || b[i] != p) {
			differ = append(differ, p)
		}
	}
	return differ
}

// LargeBatch is after how many changes at once the memory that they took is given back to the system.
const LargeBatch = 100_000
