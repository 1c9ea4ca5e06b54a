package catalog

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"sync"

	"leeward/zones"
)

// Frozen is what was effective in a Catalog at one moment. It never changes, whatever becomes of the Catalog. It shares
// the records' memory with the Catalog, so a million records take 32 MB more; each is unpacked when it is needed.
type Frozen struct {
	rest     map[zones.Kind][]frozenSlot // everything except records, as it is in service, in any order
	defaults map[zones.Kind]*zones.Defaults
	states   []frozenState
	count    int

	order sync.Once
	lines map[zones.Kind][]zones.Resource // rest as the copy on disk has it, sorted by key; see ordered

	Serials zones.Serials // the serials at that moment
}

type frozenSlot struct {
	key      zones.Key
	resource zones.Resource
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

// Freeze returns what is effective now. It walks maps, which takes some tens of milliseconds for a million records, and
// a millisecond for 10,000 policies. Whatever takes longer is left to the first reader.
func (c *Catalog) Freeze() *Frozen {
	f := &Frozen{
		rest: map[zones.Kind][]frozenSlot{}, defaults: map[zones.Kind]*zones.Defaults{}, Serials: c.Serials(),
	}
	for _, kind := range zones.Kinds {
		if kind == zones.KindRecord {
			continue
		}
		if d := c.defaultsOf(kind); d != nil {
			f.defaults[kind] = d
		}
		all := make([]frozenSlot, 0, len(c.slots[kind]))
		for key, s := range c.slots[kind] {
			all = append(all, frozenSlot{key, s.resource})
		}
		f.rest[kind] = all
		f.count += len(all)
	}
	for _, origin := range slices.Sorted(maps.Keys(c.states)) {
		z := c.states[origin]
		s := frozenState{z.origin, make([]frozenOwner, 0, len(z.owners))}
		for owner, sets := range z.owners {
			s.owners = append(s.owners, frozenOwner{owner, sets})
		}
		f.states = append(f.states, s)
		f.count += z.records
	}
	return f
}

// ordered returns the resources of a kind as the copy on disk has them, sorted by key.
func (f *Frozen) ordered(kind zones.Kind) []zones.Resource {
	f.order.Do(func() {
		f.lines = make(map[zones.Kind][]zones.Resource, len(f.rest))
		for kind, all := range f.rest {
			all = slices.Clone(all)
			slices.SortFunc(all, func(a, b frozenSlot) int { return cmp.Compare(a.key, b.key) })
			lines := make([]zones.Resource, len(all))
			for i, s := range all {
				lines[i] = pinned(s.resource, f.defaults[kind])
			}
			f.lines[kind] = lines
		}
	})
	return f.lines[kind]
}

// Len returns the number of resources.
func (f *Frozen) Len() int { return f.count }

// All returns the resources kind by kind, in the order of Kinds. Records come zone by zone, in any order within one,
// and are unpacked on the way.
func (f *Frozen) All() iter.Seq[zones.Resource] {
	return func(yield func(zones.Resource) bool) {
		for _, kind := range zones.Kinds {
			if kind == zones.KindRecord {
				for r := range f.Records(func(string, string) bool { return true }) {
					if !yield(r) {
						return
					}
				}
				continue
			}
			for _, r := range f.ordered(kind) {
				if !yield(r) {
					return
				}
			}
		}
	}
}

// Each returns the resources of a kind other than Record with their keys, in any order, as they are in service.
func (f *Frozen) Each(kind zones.Kind) iter.Seq2[zones.Key, zones.Resource] {
	return func(yield func(zones.Key, zones.Resource) bool) {
		for _, s := range f.rest[kind] {
			if !yield(s.key, s.resource) {
				return
			}
		}
	}
}

// Pinned returns what All has for a resource of Each.
func (f *Frozen) Pinned(r zones.Resource) zones.Resource {
	return pinned(r, f.defaults[r.Key().Kind()])
}

// Records returns the records of those owners, relative to their origin, that are wanted. Only these are unpacked. They
// come zone by zone, in any order within one but those of one owner together.
func (f *Frozen) Records(wanted func(origin, owner string) bool) iter.Seq[zones.Resource] {
	return func(yield func(zones.Resource) bool) {
		for i := range f.states {
			s := &f.states[i]
			for _, o := range s.owners {
				if !wanted(s.origin, o.owner) {
					continue
				}
				for sets := o.sets; sets != ""; {
					var set packedSet
					if set, sets = sets.next(); !yield(set.record(s.origin, o.owner)) {
						return
					}
				}
			}
		}
	}
}
