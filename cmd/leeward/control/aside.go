package control

import (
	"strings"
	"time"

	"leeward/geo"
	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/snapshot"
)

// A change of the configuration is applied in two steps. apply changes the Catalog and the Builder, and makes a
// Snapshot; adopt has the loop use it. For a small change, one turn does both. A large one (a list, a million removals,
// a new geo database) would keep verdicts waiting for seconds. So a goroutine of its own applies it:
//
//	loop   ──turn──┬───────── turns for verdicts only ─────────┬──adopt, publish──▶
//	               └─ apply: Catalog, Builder ── a Snapshot ───┘
//
// Until it is done, that goroutine owns the Catalog, the members and the Builder. Everything that needs them stays in
// the inbox, including the condition of the source, and requests. So nobody ever sees anything half applied. Meanwhile
// the last Snapshot is served, with new Views.

// asideFrom is how many resources a turn may look at within the loop. Each takes some 10 µs: together, a tenth of a
// second.
const asideFrom = 10_000

// applied is the result of applying the changes of one turn.
type applied struct {
	first         time.Time // when the oldest change came in
	table         *geo.Table
	delta         catalog.Delta
	batches       bool // there were batches
	fresh, listed bool // there was one that did not come from the copy on disk; there was a list
	members       bool // catalog zones added zones here, or removed some

	snapshot *snapshot.Snapshot // nil: there was no reason to make one
	built    zones.Problems
	wrong    zones.Problems
	held     int

	happened []pending
}

// isHeavy reports whether applying this would take so long that verdicts must not wait for it.
func (l *Loop) isHeavy(w waiting) bool {
	n := 0
	for i := range w.batches {
		b := &w.batches[i]
		if n += len(b.Changes); b.Full {
			n += l.catalog.Count() // each may be missing from the list
		}
		if b.Full || b.Accepted > l.accepted {
			n += l.catalog.HeldCount()
			l.accepted = b.Accepted
		}
		n += len(b.AcceptedKeys)
		for _, ch := range b.Changes {
			if isZone(ch.Key) {
				n += l.catalog.CountIn(ch.Key.Name())
			}
			if k := ch.Key.Kind(); l.builder.Signs() && (k == zones.KindPool || k == zones.KindEndpoint) {
				pool, _, _ := strings.Cut(ch.Key.Name(), "/")
				n += len(l.catalog.PoliciesUsing(pool)) // a new address is signed for each of these
			}
		}
	}
	for _, k := range w.keyed {
		n += l.catalog.CountIn(k.origin)
	}
	l.builder.DueKeys(l.o.Clock(), func(origin string) { n += l.catalog.CountIn(origin) })
	if w.table != nil && w.table != l.table {
		n += l.catalog.CountOf(zones.KindPolicy)
	}
	return n >= asideFrom
}
