package catalog

import (
	"iter"
	"maps"
	"slices"

	"leeward/zones"
)

// Frozen is what was effective in a Catalog at one moment. It never changes, whatever becomes of the Catalog. It shares
// the records' memory with the Catalog, so a million records take 32 MB more; each is unpacked when it is needed.
type Frozen struct {
	rest   []zones.Resource // everything except records, by kind and key
	after  int              // how many of rest come before the records
	states []frozenState
	count  int

	Serials zones.Serials // the serials at that moment
}

// frozenState is an origin's records.
type frozenState struct {
	origin string
	owners []frozenOwner
}

type frozenOwner struct {
	owner string
	sets  packed
}

// Freeze returns what is effective now. It walks a map, which takes some tens of milliseconds for a million records.
func (c *Catalog) Freeze() *Frozen {
	f := &Frozen{Serials: c.Serials()}
	pins := make(map[zones.Resource]pin, len(c.pins))
	for _, kind := range zones.Kinds {
		if kind != zones.KindRecord {
			c.Each(kind, func(r zones.Resource) bool {
				f.rest = append(f.rest, c.pinned(r, pins))
				return true
			})
			continue
		}
		f.after = len(f.rest)
		for _, origin := range slices.Sorted(maps.Keys(c.states)) {
			z := c.states[origin]
			s := frozenState{z.origin, make([]frozenOwner, 0, len(z.owners))}
			for owner, sets := range z.owners {
				s.owners = append(s.owners, frozenOwner{owner, sets})
			}
			f.states = append(f.states, s)
			f.count += z.records
		}
	}
	f.count += len(f.rest)
	c.pins = pins
	return f
}

// Len returns the number of resources.
func (f *Frozen) Len() int { return f.count }

// All returns the resources kind by kind, in the order of Kinds. Records come zone by zone, in any order within one,
// and are unpacked on the way.
func (f *Frozen) All() iter.Seq[zones.Resource] {
	return func(yield func(zones.Resource) bool) {
		for _, r := range f.rest[:f.after] {
			if !yield(r) {
				return
			}
		}
		for i := range f.states {
			s := &f.states[i]
			for _, o := range s.owners {
				for sets := o.sets; sets != ""; {
					var set packedSet
					if set, sets = sets.next(); !yield(set.record(s.origin, o.owner)) {
						return
					}
				}
			}
		}
		for _, r := range f.rest[f.after:] {
			if !yield(r) {
				return
			}
		}
	}
}
