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

// The history records what the loop saw, so that a moment can be explained later (see past.go) from what was known
// then. Only what is published is recorded. Each publication records which pools it judges differently from the one
// before. Every wholeEvery everything is recorded again, for readers to begin with. Every beatEvery the loop records
// that it is alive.
const (
	wholeEvery = 10 * time.Minute
	beatEvery  = time.Minute
)

// wholePart is how many addresses each part of a whole sight has at least, except the last.
const wholePart = 10_000

// sight is the content of an event of the kind history.Sighted.
type sight struct {
	First bool      `json:"first,omitempty"` // the first of this process
	Ran   time.Time `json:"ran,omitzero"`    // when this process recorded its first
	// A whole sight has Part and Parts, counted from 1. Otherwise the sight has only what is new.
	Part  int `json:"part,omitempty"`
	Parts int `json:"parts,omitempty"`

	Built    time.Time    `json:"built,omitzero"` // when the snapshot was made
	Revision int64        `json:"revision,omitempty"`
	Void     []zones.Key  `json:"void,omitempty"` // overrides that were given up
	Geo      []string     `json:"geo,omitempty"`  // location databases
	Stale    bool         `json:"stale,omitempty"`
	Pools    []steer.Seen `json:"pools,omitempty"`
}

// seeing is what the loop remembers in order to record what it saw. It belongs to the loop.
type seeing struct {
	snapshot *snapshot.Snapshot
	built    time.Time // when the snapshot came
	stale    bool
	ran      time.Time // when something was first recorded
	whole    time.Time // when everything was last recorded
	beat     time.Time // when to record something next
	table    *geo.Table
	geo      []string // of the table
}

// see records what is published now, given what was published until now. When that is due, it records everything.
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

// sightHolds is how many octets an address of a sighting takes, roughly, with what is prepared for picking it.
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
				continue // as if nobody had said anything about it
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

// beat records from time to time that what was seen still holds.
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

// databases names the location databases of a table, with the times when they were built.
func databases(t *geo.Table) (all []string) {
	if t == nil {
		return nil
	}
	for _, s := range t.Sources() {
		all = append(all, s.File+" "+s.Type+" of "+s.Built.UTC().Format(time.DateOnly))
	}
	return all
}
