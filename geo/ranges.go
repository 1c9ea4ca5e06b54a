package geo

import (
	"encoding/binary"
	"net/netip"
	"sort"
)

// ranges covers both families with disjoint ranges that have a value each: a leaf is a range's index, IPv4 first, IPv6
// after.
type ranges struct {
	edges
	value []uint32 // of each leaf
}

// edges are where ranges begin. Only their first addresses are kept, since a range ends where the next one starts.
//
// A search in memory that is in no cache costs a miss at each step, 21 of them with a whole City database. IPv4 starts
// from an index on the upper 16 bits (256 KiB) and goes on by halves without a branch to guess wrong. IPv6 is too
// unevenly filled for that: it goes down levels of which each has every 16th start of the one below, so that a step is
// two lines beside each other and the upper steps are in a cache.
type edges struct {
	v4   []uint32 // first addresses, in host order; v4[0] is 0
	v6   []uint64 // first addresses' upper 64 bits; v6[0] is 0; equal neighbours differ in their lower
	deep []depth  // the lower 64 bits of those few first addresses that are within a /64, sorted by index

	index4  []uint32   // by the upper 16 bits: how many v4 are below; nil where there are too few for it to pay
	levels6 [][]uint64 // above v6, the lowest first; the highest has no more than fanout
}

// depth is the lower half of an IPv6 range's first address.
type depth struct {
	low   uint64
	index uint32 // in v6
}

// leaf returns the leaf that the address is in.
func (r *edges) leaf(a netip.Addr) uint32 {
	if a.Is4() {
		b := a.As4()
		return r.leaf4(binary.BigEndian.Uint32(b[:]))
	}
	b := a.As16()
	return uint32(len(r.v4)) + r.leaf6(binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]))
}

// whereabouts returns the leaf that the address is in, or the IPv4 address that it has within.
func (r *edges) whereabouts(a netip.Addr) uint32 {
	if a.Is4() {
		return r.leaf(a)
	}
	b := a.As16()
	upper, lower := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	if v4, at := inner4(upper, lower); at > 0 {
		return r.leaf4(v4)
	}
	return uint32(len(r.v4)) + r.leaf6(upper, lower)
}

// leaf4 returns the index of the last range that starts at or below the address.
func (r *edges) leaf4(a uint32) uint32 {
	low, high := uint32(0), uint32(len(r.v4)) // the first range starts at 0
	if r.index4 != nil {
		slot := r.index4[a>>16:]
		low, high = max(1, slot[0])-1, slot[1]
	}
	return low + uint32(lastBelow(r.v4[low:high], a))
}

// lastBelow returns the index of the last start at or below a; the first one is, whatever a.
func lastBelow[T uint32 | uint64](starts []T, a T) int {
	at := 0
	for n := len(starts); n > 1; {
		half := n / 2
		next := at + half
		if starts[next] <= a { // a conditional move
			at = next
		}
		n -= half
	}
	return at
}

// leaf6 returns the index within v6 of the last range that starts at or below the address.
func (r *edges) leaf6(upper, lower uint64) uint32 {
	at := 0
	for i := len(r.levels6) - 1; i >= 0; i-- {
		at = (at + below(r.levels6[i][at:], upper)) * fanout
	}
	if len(r.levels6) > 0 {
		at += below(r.v6[at:], upper)
	} else {
		at = lastBelow(r.v6, upper)
	}
	if r.v6[at] == upper && len(r.deep) > 0 { // of those with this upper half, the last whose lower half is not above
		first := sort.Search(at, func(i int) bool { return r.v6[i] >= upper })
		n := sort.Search(at+1-first, func(i int) bool { return r.low(uint32(first+i)) > lower })
		at = max(0, first+n-1)
	}
	return uint32(at)
}

// below is lastBelow among the first fanout starts, of which it looks at each.
func below(starts []uint64, a uint64) (at int) {
	if len(starts) >= fanout {
		for _, s := range (*[fanout]uint64)(starts)[1:] {
			if s <= a {
				at++
			}
		}
		return at
	}
	for _, s := range starts[1:] {
		if s <= a {
			at++
		}
	}
	return at
}

// fanout is how many starts one of the level above stands for: two lines of a cache.
const fanout = 16

// low returns the lower 64 bits of an IPv6 range's first address.
func (r *edges) low(index uint32) uint64 {
	at := sort.Search(len(r.deep), func(i int) bool { return r.deep[i].index >= index })
	if at < len(r.deep) && r.deep[at].index == index {
		return r.deep[at].low
	}
	return 0
}

// leaves returns how many leaves there are.
func (r *edges) leaves() int { return len(r.v4) + len(r.v6) }

// start returns a leaf's first address.
func (r *edges) start(leaf uint32) netip.Addr {
	if leaf < uint32(len(r.v4)) {
		return addr4(r.v4[leaf])
	}
	leaf -= uint32(len(r.v4))
	return addr6(r.v6[leaf], r.low(leaf))
}

// last returns a leaf's last address.
func (r *edges) last(leaf uint32) netip.Addr {
	switch int(leaf) + 1 {
	case len(r.v4):
		return addr4(1<<32 - 1)
	case len(r.v4) + len(r.v6):
		return addr6(1<<64-1, 1<<64-1)
	}
	return r.start(leaf + 1).Prev()
}

func addr4(a uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], a)
	return netip.AddrFrom4(b)
}

func addr6(upper, lower uint64) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], upper)
	binary.BigEndian.PutUint64(b[8:], lower)
	return netip.AddrFrom16(b)
}
