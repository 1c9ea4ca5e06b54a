package geo

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
)

// Areas cut the addresses of both families by outcomes: disjoint ranges, of which neighbours differ. Where outcomes are few they are a
// tenth of the leaves that they are made from, and a search in them gives the ECS scope for nothing, since an area is the
// widest range around an address for which the outcome is constant. They never change.
type Areas struct {
	edges
	outcome []uint16
}

// At returns the outcome for an address, and the length of the shortest prefix of the address that is within one area: all
// of it has that outcome. It does not allocate.
func (r *Areas) At(a netip.Addr) (outcome uint16, scope uint8) {
	if a.Is4() {
		b := a.As4()
		x := binary.BigEndian.Uint32(b[:])
		i := r.leaf4(x)
		// A prefix stays clear of a neighbour as soon as it has one bit in which that differs from the address.
		if i > 0 {
			scope = uint8(bits.LeadingZeros32(x^(r.v4[i]-1))) + 1
		}
		if int(i)+1 < len(r.v4) {
			scope = max(scope, uint8(bits.LeadingZeros32(x^r.v4[i+1]))+1)
		}
		return r.outcome[i], scope
	}
	b := a.As16()
	upper, lower := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	i := r.leaf6(upper, lower)
	if i > 0 {
		before, low := r.v6[i], r.low(i)
		if low == 0 {
			before--
		}
		scope = shared128(upper^before, lower^(low-1)) + 1
	}
	if int(i)+1 < len(r.v6) {
		scope = max(scope, shared128(upper^r.v6[i+1], lower^r.low(i+1))+1)
	}
	return r.outcome[len(r.v4)+int(i)], scope
}

// shared128 returns how many leading bits two addresses have in common, by the bits in which they differ.
func shared128(upper, lower uint64) uint8 {
	if upper != 0 {
		return uint8(bits.LeadingZeros64(upper))
	}
	return 64 + uint8(bits.LeadingZeros64(lower))
}

// Size returns how many bytes the areas take.
func (r *Areas) Size() int {
	size := 4*cap(r.v4) + 8*cap(r.v6) + 16*cap(r.deep) + 2*cap(r.outcome) + 4*len(r.index4)
	return size + size/fanout // the levels
}

// ByPlace cuts the addresses by what the outcome is at their locations, by number; nil where the areas would take more than so
// many bytes.
func (t *Table) ByPlace(outcome []uint16, most int) *Areas {
	return cut(&t.places, func(place uint32) uint16 { return outcome[place] }, most)
}

// BySystem is the same for AS numbers.
func (t *Table) BySystem(outcome func(asn uint32) uint16, most int) *Areas {
	return cut(&t.systems, outcome, most)
}

func cut(r *ranges, outcome func(uint32) uint16, most int) *Areas {
	var numbers [2]int
	deep := 0
	walk := func(emit func(family, leaf int, o uint16)) {
		for family, bounds := range [2][2]int{{0, len(r.v4)}, {len(r.v4), len(r.value)}} {
			var last uint16
			for leaf := bounds[0]; leaf < bounds[1]; leaf++ {
				if o := outcome(r.value[leaf]); o != last || leaf == bounds[0] {
					emit(family, leaf, o)
					last = o
				}
			}
		}
	}
	low := func(leaf int) uint64 {
		if len(r.deep) == 0 {
			return 0
		}
		return r.low(uint32(leaf - len(r.v4)))
	}
	walk(func(family, leaf int, _ uint16) {
		numbers[family]++
		if family == 1 && low(leaf) != 0 {
			deep++
		}
	})
	if 6*numbers[0]+11*numbers[1]+16*deep+4<<16 > most {
		return nil
	}
	a := &Areas{
		edges{v4: make([]uint32, 0, numbers[0]), v6: make([]uint64, 0, numbers[1]), deep: make([]depth, 0, deep)},
		make([]uint16, 0, numbers[0]+numbers[1]),
	}
	walk(func(family, leaf int, o uint16) {
		a.outcome = append(a.outcome, o)
		if family == 0 {
			a.v4 = append(a.v4, r.v4[leaf])
			return
		}
		if l := low(leaf); l != 0 {
			a.deep = append(a.deep, depth{l, uint32(len(a.v6))})
		}
		a.v6 = append(a.v6, r.v6[leaf-len(r.v4)])
	})
	a.index()
	return a
}

// ByPrefix cuts the addresses at the ends of prefixes. outcome is asked for one address of each part.
func ByPrefix(prefixes []netip.Prefix, outcome func(netip.Addr) uint16) *Areas {
	edges := []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	for _, p := range prefixes {
		edges = append(edges, p.Masked().Addr())
		if next := last(p.Masked()).Next(); next.IsValid() {
			edges = append(edges, next)
		}
	}
	slices.SortFunc(edges, netip.Addr.Compare) // IPv4 first
	a := &Areas{}
	for _, e := range slices.Compact(edges) {
		o := outcome(e)
		first := e.Is4() && len(a.v4) == 0 || e.Is6() && len(a.v6) == 0
		if !first && a.outcome[len(a.outcome)-1] == o {
			continue
		}
		a.outcome = append(a.outcome, o)
		b := e.As16()
		if e.Is4() {
			a.v4 = append(a.v4, binary.BigEndian.Uint32(b[12:]))
			continue
		}
		if l := binary.BigEndian.Uint64(b[8:]); l != 0 {
			a.deep = append(a.deep, depth{l, uint32(len(a.v6))})
		}
		a.v6 = append(a.v6, binary.BigEndian.Uint64(b[:8]))
	}
	a.index()
	return a
}
