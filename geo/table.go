package geo

import (
	"math/bits"
	"net/netip"
	"slices"
)

// Table is what all databases together know: address → leaf → location number → Location, and address → leaf → AS
// number. It never changes.
type Table struct {
	places    ranges // values are location numbers
	systems   ranges // values are AS numbers
	locations []Location
	origins   []origins // of each location
	sources   []Source
}

// Locate returns the leaf that the address is in, among the leaves of locations. It never fails: where nothing is known
// the leaf's location is number 0. It does not allocate. Leaves are numbered in the order of addresses, those of IPv4
// first, so that within a family leaf i+1 follows leaf i without a gap.
//
// Of an address that has an IPv4 address within it is the leaf of that (Inner).
func (t *Table) Locate(a netip.Addr) (leaf uint32) { return t.places.whereabouts(a) }

// Leaves returns how many leaves of locations there are, of both families.
func (t *Table) Leaves() int { return t.places.leaves() }

// V4Leaves returns how many of them are IPv4's: the number of the first that is IPv6's. It is at least 1.
func (t *Table) V4Leaves() int { return len(t.places.v4) }

// LocationOf returns a leaf's location number; 0 is unknown.
func (t *Table) LocationOf(leaf uint32) uint32 { return t.places.value[leaf] }

// Locations returns all locations by their numbers; number 0 is the empty Location. It is the table's own: not to be
// changed.
func (t *Table) Locations() []Location { return t.locations }

// Told returns which files told what of a location, by its number.
func (t *Table) Told(location uint32) (told Told) {
	if int(location) >= len(t.origins) {
		return told
	}
	file := func(position uint8) string {
		if position == 0 || int(position) > len(t.sources) {
			return ""
		}
		return t.sources[position-1].File
	}
	by := t.origins[location]
	return Told{file(by.country), file(by.subdivision), file(by.point)}
}

// Start returns the first address of a leaf of locations.
func (t *Table) Start(leaf uint32) netip.Addr { return t.places.start(leaf) }

// Last returns the last address of a leaf of locations.
func (t *Table) Last(leaf uint32) netip.Addr { return t.places.last(leaf) }

// ASNOf returns the AS number that announces the address, 0 where that is unknown, and the leaf of AS numbers that it
// is in. These leaves are numbered like those of locations, apart from them. It does not allocate.
func (t *Table) ASNOf(a netip.Addr) (asn, leaf uint32) {
	leaf = t.systems.whereabouts(a)
	return t.systems.value[leaf], leaf
}

// ASNLeaves returns how many leaves of AS numbers there are, of both families; one each where no database knows any.
func (t *Table) ASNLeaves() int { return t.systems.leaves() }

// V4ASNLeaves returns how many of them are IPv4's.
func (t *Table) V4ASNLeaves() int { return len(t.systems.v4) }

// ASNOfLeaf returns the AS number of a leaf of AS numbers; 0 is unknown.
func (t *Table) ASNOfLeaf(leaf uint32) uint32 { return t.systems.value[leaf] }

// StartASN returns the first address of a leaf of AS numbers.
func (t *Table) StartASN(leaf uint32) netip.Addr { return t.systems.start(leaf) }

// LastASN returns the last address of a leaf of AS numbers.
func (t *Table) LastASN(leaf uint32) netip.Addr { return t.systems.last(leaf) }

// Sources returns the databases that the table was made from, in the order in which they were given.
func (t *Table) Sources() []Source { return slices.Clone(t.sources) }

// Span returns the length of the shortest prefix of addr that lies wholly within first to last: 0 to 32 for IPv4, 0 to
// 128 for IPv6. All three are of one family and first ≤ addr ≤ last; for an addr outside, it is the whole address.
//
// This is what makes a leaf into an ECS scope (RFC 7871 7.2.1): one answer for that prefix is right for all of it.
func Span(addr, first, last netip.Addr) (bits int) {
	if addr.Less(first) || last.Less(addr) {
		return addr.BitLen()
	}
	// A prefix stays clear of the address before first as soon as it has one bit in which that differs from addr.
	if before := first.Prev(); before.IsValid() {
		bits = shared(addr, before) + 1
	}
	if after := last.Next(); after.IsValid() {
		bits = max(bits, shared(addr, after)+1)
	}
	return bits
}

// shared returns how many leading bits two addresses of one family have in common.
func shared(a, b netip.Addr) int {
	x, y := a.As16(), b.As16()
	n := 0
	for n < 16 && x[n] == y[n] {
		n++
	}
	n *= 8
	if n < 128 {
		n += bits.LeadingZeros8(x[n/8] ^ y[n/8])
	}
	return n - (128 - a.BitLen())
}
