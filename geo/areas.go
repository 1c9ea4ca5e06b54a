package geo

import (
	"encoding/binary"
	"math"
	"math/bits"
	"net/netip"
	"slices"
	"unsafe"
)

// Areas cut the addresses of both families by outcomes: disjoint ranges, of which neighbours differ. Where outcomes are
// few they are a tenth of the leaves that they are made from, and a search in them gives the ECS scope for nothing,
// since an area is the widest range around an address for which the outcome is constant. They never change.
type Areas struct {
	edges            // v4 is empty
	four    []uint64 // of IPv4: the first address above, the outcome below, so that both come with one line of a cache
	outcome []uint16 // of IPv6

	// whereabouts says that they are of where addresses are: that of an address with an IPv4 address within is where
	// this is. (A prefix that somebody has written down is meant as it is.)
	whereabouts bool
}

// At returns the outcome for an address, and the length of the shortest prefix of the address that is within one area:
// all of it has that outcome. Addresses that have an IPv4 address within are areas of their own where that counts. It
// does not allocate.
func (r *Areas) At(a netip.Addr) (outcome uint16, scope uint8) {
	if a.Is4() {
		b := a.As4()
		return r.at4(binary.BigEndian.Uint32(b[:]))
	}
	b := a.As16()
	upper, lower := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	if r.whereabouts {
		if v4, at := inner4(upper, lower); at > 0 {
			outcome, scope = r.at4(v4)
			return outcome, at + scope
		}
	}
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
	if r.whereabouts {
		scope = max(scope, apart(upper, lower))
	}
	return r.outcome[i], scope
}

// at4 is At for IPv4.
func (r *Areas) at4(x uint32) (outcome uint16, scope uint8) {
	low, high := 0, len(r.four)
	if r.index4 != nil {
		slot := (*[2]uint32)(r.index4[x>>16:])
		low, high = int(max(1, slot[0]))-1, int(slot[1])
	}
	i := low + lastBelow(r.four[low:high], uint64(x)<<32|math.MaxUint32)
	// A prefix stays clear of a neighbour as soon as it has one bit in which that differs from the address.
	if i > 0 {
		scope = uint8(bits.LeadingZeros32(x^(uint32(r.four[i]>>32)-1))) + 1
	}
	if i+1 < len(r.four) {
		scope = max(scope, uint8(bits.LeadingZeros32(x^uint32(r.four[i+1]>>32)))+1)
	}
	return uint16(r.four[i]), scope
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
	size := 8*cap(r.four) + 8*cap(r.v6) + 16*cap(r.deep) + 2*cap(r.outcome) + 4*len(r.index4)
	return size + size/fanout // the levels
}

// ByPlace cuts the addresses by what the outcome is at their locations, by number; nil where the areas would take more
// than so many bytes.
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
	if 8*numbers[0]+11*numbers[1]+16*deep+4<<16 > most {
		return nil
	}
	a := &Areas{
		edges{v6: make([]uint64, 0, numbers[1]), deep: make([]depth, 0, deep)},
		make([]uint64, 0, numbers[0]), make([]uint16, 0, numbers[1]), true,
	}
	walk(func(family, leaf int, o uint16) {
		if family == 0 {
			a.four = append(a.four, uint64(r.v4[leaf])<<32|uint64(o))
			return
		}
		a.outcome = append(a.outcome, o)
		if l := low(leaf); l != 0 {
			a.deep = append(a.deep, depth{l, uint32(len(a.v6))})
		}
		a.v6 = append(a.v6, r.v6[leaf-len(r.v4)])
	})
	a.index4 = indexOf(len(a.four), func(i int) uint32 { return uint32(a.four[i] >> 32) })
	a.levels()
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
		b := e.As16()
		if e.Is4() {
			if n := len(a.four); n == 0 || uint16(a.four[n-1]) != o {
				a.four = append(a.four, uint64(binary.BigEndian.Uint32(b[12:]))<<32|uint64(o))
			}
			continue
		}
		if n := len(a.outcome); n > 0 && a.outcome[n-1] == o {
			continue
		}
		a.outcome = append(a.outcome, o)
		if l := binary.BigEndian.Uint64(b[8:]); l != 0 {
			a.deep = append(a.deep, depth{l, uint32(len(a.v6))})
		}
		a.v6 = append(a.v6, binary.BigEndian.Uint64(b[:8]))
	}
	a.index4 = indexOf(len(a.four), func(i int) uint32 { return uint32(a.four[i] >> 32) })
	a.levels()
	return a
}

// Aim returns where a search begins that is not in a cache otherwise: what At will look at first. Reach returns, once
// that is there, where it goes on.
func (r *Areas) Aim(a netip.Addr) unsafe.Pointer {
	if r.index4 == nil || !a.Is4() {
		return nil
	}
	b := a.As4()
	return unsafe.Pointer(&r.index4[binary.BigEndian.Uint16(b[:])])
}

// Reach goes on from Aim.
func (r *Areas) Reach(a netip.Addr) unsafe.Pointer {
	if r.index4 == nil || !a.Is4() {
		return nil
	}
	b := a.As4()
	slot := (*[2]uint32)(r.index4[binary.BigEndian.Uint16(b[:]):])
	low, high := max(1, slot[0])-1, slot[1]
	return unsafe.Pointer(&r.four[low+(high-low)/2])
}
