package geo

import (
	"math/bits"
	"net/netip"
	"slices"
)

// Table is what all databases know together: address → leaf → location number → Location, and address → leaf → AS
// number. It never changes.
type Table struct {
	places    ranges // values are location numbers
	systems   ranges // values are AS numbers
	locations []Location
	origins   []origins // of each location
	sources   []Source
}

// Locate returns the leaf of locations that contains the address. It always finds one; an unknown leaf has location
// number 0. It does not allocate. Leaves are numbered in the order of addresses, IPv4 first, so that within a family
// leaf i+1 follows leaf i without a gap.
//
// For an address with an embedded IPv4 address it returns the leaf of that (see Inner).
func (t *Table) Locate(a netip.Addr) (leaf uint32) { return t.places.whereabouts(a) }

// Leaves returns the number of leaves of locations, in both families.
func (t *Table) Leaves() int { return t.places.leaves() }

// V4Leaves returns the number of leaves of IPv4, which is also the first leaf of IPv6. It is at least 1.
func (t *Table) V4Leaves() int { return len(t.places.v4) }

// LocationOf returns a leaf's location number. 0 is unknown.
func (t *Table) LocationOf(leaf uint32) uint32 { return t.places.value[leaf] }

// Locations returns all locations by number. Number 0 is the empty Location. The slice belongs to the table and must
// not be changed.
func (t *Table) Locations() []Location { return t.locations }

// Told returns which files told what about a location, by its number.
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

// ASNOf returns the AS number that announces the address, 0 if it is unknown, and the leaf of AS numbers that contains
// the address. These leaves are numbered like those of locations, independently of them. It does not allocate.
func (t *Table) ASNOf(a netip.Addr) (asn, leaf uint32) {
	leaf = t.systems.whereabouts(a)
	return t.systems.value[leaf], leaf
}

// ASNLeaves returns the number of leaves of AS numbers, in both families. It is 2 if no database has AS numbers.
func (t *Table) ASNLeaves() int { return t.systems.leaves() }

// V4ASNLeaves returns how many of them are of IPv4.
func (t *Table) V4ASNLeaves() int { return len(t.systems.v4) }

// ASNOfLeaf returns the AS number of a leaf of AS numbers. 0 is unknown.
func (t *Table) ASNOfLeaf(leaf uint32) uint32 { return t.systems.value[leaf] }

// StartASN returns the first address of a leaf of AS numbers.
func (t *Table) StartASN(leaf uint32) netip.Addr { return t.systems.start(leaf) }

// LastASN returns the last address of a leaf of AS numbers.
func (t *Table) LastASN(leaf uint32) netip.Addr { return t.systems.last(leaf) }

// Sources returns the databases that the table was made from, in the order given.
func (t *Table) Sources() []Source { return slices.Clone(t.sources) }

// Span returns the length of the shortest prefix of addr that lies within first to last: 0 to 32 for IPv4, 0 to 128 for
// IPv6. All three must be of one family. If addr is outside the range, Span returns its whole length.
//
// This turns a leaf into an ECS scope (RFC 7871 section 7.2.1): one answer is right for all of that prefix.
func Span(addr, first, last netip.Addr) (bits int) {
	if addr.Less(first) || last.Less(addr) {
		return addr.BitLen()
	}
	// A prefix excludes the address before first once it includes a bit in which that differs from addr.
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
