package control

import (
	"encoding/json"
	"slices"
	"time"

	"leeward/geo"
	"leeward/server/history"
	"leeward/zones"
	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

// What the loop saw is kept with the history, so that a later explanation of a moment (see past.go) can be made from
// what was known then. What is published is the truth, so it is told from there: each publication says which pools it
// judges otherwise than the one before. All of it is told again every wholeEvery, for a reader to begin with, and that
// the loop is alive every beatEvery.
const (
	wholeEvery = 10 * time.Minute
	beatEvery  = time.Minute
)

// wholePart is how many addresses one part of a whole sight has at least, but for the last.
const wholePart = 10_000

// sight is what an event of the kind history.Sighted has.
type sight struct {
	First bool      `json:"first,omitempty"` // of this process
	Ran   time.Time `json:"ran,omitzero"`    // when this process told its first
	// Part and Parts count from 1 where the sight is whole. Otherwise it only has what is new.
	Part  int `json:"part,omitempty"`
	Parts int `json:"parts,omitempty"`

	Built    time.Time    `json:"built,omitzero"` // when the snapshot was made
	Revision int64        `json:"revision,omitempty"`
	Void     []zones.Key  `json:"void,omitempty"` // overrides that were given up
	Geo      []string     `json:"geo,omitempty"`  // location databases
	Stale    bool         `json:"stale,omitempty"`
	Pools    []steer.Seen `json:"pools,omitempty"`
}

// seeing is what the loop keeps to tell what it saw. It belongs to the loop.
type seeing struct {
	snapshot *snapshot.Snapshot
	built    time.Time // when it came
	stale    bool
	ran      time.Time // when something was first told
	whole    time.Time // when all was last told
	beat     time.Time // when to tell something next
	table    *geo.Table
	geo      []string // of the table
}

// see tells what is published now, when before was published until now. It tells all of it where that is due.
func (l *Loop) see(before *steer.View) {
	if !l.tells() {
		return
	}
	h, now := &l.seeing, l.o.Now()
	first := h.whole.IsZero()
	whole := first || now.Sub(h.whole) >= wholeEvery
	if first {
		h.ran = now
	}
	if whole {
		before, h.whole = nil, now
	}
	seen := l.view.Sightings(before)
	if !whole && len(seen) == 0 && h.snapshot == l.snapshot && h.stale == l.stale {
		return
	}
	if h.snapshot != l.snapshot {
		h.snapshot, h.built = l.snapshot, now
	}
	if h.table != l.table || first {
		h.table, h.geo = l.table, databases(l.table)
	}
	h.stale, h.beat = l.stale, now.Add(beatEvery)
	s := sight{First: first, Built: h.built, Revision: l.snapshot.Revision(), Geo: h.geo, Stale: l.stale}
	for _, d := range l.drills.of {
		if d.why != "" {
			s.Void = append(s.Void, d.override.Key())
		}
	}
	slices.Sort(s.Void)
	if !whole {
		l.tellSight(s, seen)
		return
	}
	var parts [][]steer.Sighting
	size, from := 0, 0
	for i := range seen {
		if size += seen[i].Size(); size >= wholePart {
			parts = append(parts, seen[from:i+1])
			size, from = 0, i+1
		}
	}
	parts = append(parts, seen[from:])
	for i, part := range parts {
		s.Part, s.Parts, s.Ran = i+1, len(parts), h.ran.UTC().Round(time.Microsecond)
		l.tellSight(s, part)
		s.First = false
	}
}

// sightHolds is how many octets an address of a sighting holds, about, with what is laid out for picking it.
const sightHolds = 256

func (l *Loop) tellSight(s sight, seen []steer.Sighting) {
	addresses := 0
	for i := range seen {
		addresses += seen[i].Size()
	}
	e := history.Event{Kind: history.Sighted, Begins: s.Part == 1, Holds: addresses * sightHolds}
	l.tell(e, func(e *history.Event) {
		for i := range seen {
			p := seen[i].Seen()
			if s.Parts > 0 && len(p.Down)+len(p.Unknown)+len(p.Names) == 0 && !p.Loaded {
				continue // as if nothing were said of it
			}
			s.Pools = append(s.Pools, p)
		}
		if b, err := json.Marshal(&s); err == nil {
			e.Sight = b
		} else {
			e.Missed = &history.Missed{Events: 1, From: e.Time, Until: e.Time}
		}
	})
}

// beat tells from time to time that what was seen is still so.
func (l *Loop) beat(now time.Time) {
	switch h := &l.seeing; {
	case !l.tells() || l.view == nil || now.Before(h.beat):
	case now.Sub(h.whole) >= wholeEvery:
		l.see(l.view)
	default:
		h.beat = now.Add(beatEvery)
		l.tell(history.Event{Kind: history.Sighted}, nil)
	}
}

// databases names the location databases of a table, with when they were built.
func databases(t *geo.Table) (all []string) {
	if t == nil {
		return nil
	}
	for _, s := range t.Sources() {
		all = append(all, s.File+" "+s.Type+" of "+s.Built.UTC().Format(time.DateOnly))
	}
	return all
}
