package geo

import (
	"encoding/binary"
	"net/netip"
	"sort"
)

// ranges covers both families with disjoint ranges, each with a value. A leaf is a range's index, first IPv4, then
// IPv6.
type ranges struct {
	edges
	value []uint32 // of each leaf
}

// edges are where ranges begin. Only first addresses are kept, since a range ends where the next one begins.
//
// When nothing is in the cache, a search costs a miss at each step, 21 of them in a whole City database. For IPv4, an
// index on the upper 16 bits (256 KiB) starts the search, which goes on by halves without branches to mispredict. IPv6
// is too uneven for that. Its search goes down levels, each with every 16th start of the one below: a step reads two
// adjacent lines, and the upper levels stay in the cache.
type edges struct {
	v4   []uint32 // first addresses, in host order; v4[0] is 0
	v6   []uint64 // upper 64 bits of first addresses; v6[0] is 0; equal neighbours differ in their lower 64 bits
	deep []depth  // lower 64 bits of the few first addresses where they are not 0, sorted by index

	index4  []uint32   // by upper 16 bits: how many starts of v4 are below; nil: too few for an index to pay
	levels6 [][]uint64 // above v6, lowest first; the highest has at most fanout starts
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
