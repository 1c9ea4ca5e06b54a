package control

import (
	"strings"
	"time"

	"leeward/geo"
	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/snapshot"
)

// What is configured is applied in two steps: apply changes the Catalog and the Builder and makes a Snapshot, adopt has
// the loop use it. A small change does both in one turn. A large one (a list, a million removals, a new geo database)
// would keep verdicts waiting for seconds, so a goroutine of its own applies it:
//
//	loop   ──turn──┬───────── turns for verdicts only ─────────┬──adopt, publish──▶
//	               └─ apply: Catalog, Builder ── a Snapshot ───┘
//
// Until it is done the Catalog, the members and the Builder are the goroutine's. All that needs them stays in the
// inbox, the condition of the source and requests included, so that nothing half applied is ever seen. What is served
// is the last Snapshot, with new Views.

// asideFrom is how many resources a turn may look at in the loop: some 10 µs each, so a tenth of a second.
const asideFrom = 10_000

// applied is what came of applying a turn's changes.
type applied struct {
	first         time.Time // when the oldest of them came in
	table         *geo.Table
	delta         catalog.Delta
	batches       bool // there were any
	fresh, listed bool // there was one that is not the copy on disk's; a list
	members       bool // catalog zones brought zones here, or took some away

	snapshot *snapshot.Snapshot // nil: there was no reason to make one
	built    zones.Problems
	wrong    zones.Problems
	held     int

	happened []pending
}

// isHeavy reports whether a turn would take so long that verdicts are not to wait for it.
func (l *Loop) isHeavy(w waiting) bool {
	n := 0
	for i := range w.batches {
		b := &w.batches[i]
		if n += len(b.Changes); b.Full {
			n += l.catalog.Count() // each may be missing
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
				n += len(l.catalog.PoliciesUsing(pool)) // an address that is new is signed for each
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
