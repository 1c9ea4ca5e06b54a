package geo

import (
	"encoding/binary"
	"math"
	"math/bits"
	"net/netip"
	"slices"
	"unsafe"
)

// Areas cut the addresses of both families into disjoint ranges of equal outcome. With few outcomes there are a tenth
// as many areas as leaves. An area is the widest range around an address with the same outcome, so a search also gives
// the ECS scope. Areas never change.
type Areas struct {
	edges            // v4 is empty
	four    []uint64 // of IPv4: first address in the upper half, outcome in the lower, so that one line has both
	outcome []uint16 // of IPv6

	// whereabouts says that outcomes depend on where an address is, so that an embedded IPv4 address counts instead. It
	// is false for prefixes that somebody has written, which are meant literally.
	whereabouts bool
}

// At returns the outcome for an address, and the length of the shortest prefix of the address within one area: all of
// it has that outcome. If whereabouts is set, addresses with an embedded IPv4 address are looked up by that. It does
// not allocate.
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

// at4 does At for IPv4.
func (r *Areas) at4(x uint32) (outcome uint16, scope uint8) {
	low, high := 0, len(r.four)
	if r.index4 != nil {
		slot := (*[2]uint32)(r.index4[x>>16:])
		low, high = int(max(1, slot[0]))-1, int(slot[1])
	}
	i := low + lastBelow(r.four[low:high], uint64(x)<<32|math.MaxUint32)
	// A prefix excludes a neighbour once it includes a bit in which that differs from the address.
	if i > 0 {
		scope = uint8(bits.LeadingZeros32(x^(uint32(r.four[i]>>32)-1))) + 1
	}
	if i+1 < len(r.four) {
		scope = max(scope, uint8(bits.LeadingZeros32(x^uint32(r.four[i+1]>>32)))+1)
	}
	return uint16(r.four[i]), scope
}

// shared128 returns how many leading bits two addresses have in common, given the bits in which they differ.
func shared128(upper, lower uint64) uint8 {
	if upper != 0 {
		return uint8(bits.LeadingZeros64(upper))
	}
	return 64 + uint8(bits.LeadingZeros64(lower))
}

// Size returns the memory that the areas take, in octets.
func (r *Areas) Size() int {
	size := 8*cap(r.four) + 8*cap(r.v6) + 16*cap(r.deep) + 2*cap(r.outcome) + 4*len(r.index4)
	return size + size/fanout // the levels
}

// ByPlace cuts the addresses by the outcomes of their locations, by number. It returns nil if the areas would take more
// than most octets.
func (t *Table) ByPlace(outcome []uint16, most int) *Areas {
	return cut(&t.places, func(place uint32) uint16 { return outcome[place] }, most)
}

// BySystem does the same for AS numbers.
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

// ByPrefix cuts the addresses at the ends of prefixes. It calls outcome for one address of each part.
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

// Aim returns what At will read first, if that is not likely to be in the cache. Reach returns, once that is there,
// what At will read next. A server fetches these for a batch of queries (see snapshot.Ahead).
func (r *Areas) Aim(a netip.Addr) unsafe.Pointer {
	if r.index4 == nil || !a.Is4() {
		return nil
	}
	b := a.As4()
	return unsafe.Pointer(&r.index4[binary.BigEndian.Uint16(b[:])])
}

// Reach follows Aim.
func (r *Areas) Reach(a netip.Addr) unsafe.Pointer {
	if r.index4 == nil || !a.Is4() {
		return nil
	}
	b := a.As4()
	slot := (*[2]uint32)(r.index4[binary.BigEndian.Uint16(b[:]):])
	low, high := max(1, slot[0])-1, slot[1]
	return unsafe.Pointer(&r.four[low+(high-low)/2])
}
