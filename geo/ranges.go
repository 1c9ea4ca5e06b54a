package geo

import (
	"encoding/binary"
	"net/netip"
	"sort"
)

// ranges covers both families with disjoint ranges that have a value each: a leaf is a range's index, IPv4 first, IPv6
// after. Only the first addresses are kept, since a range ends where the next one starts.
//
// A search in memory that is in no cache costs a miss at each step, 21 of them with a whole City database. IPv4 starts
// from an index on the upper 16 bits (256 KiB), which is four times as fast (47 ns for 191 ns); a table of all /24 would
// save the few steps left but costs 64 MiB. IPv6 is too unevenly filled for that: an index on 16 bits of 2000::/3 gained a
// seventh, every 16th start in an array of its own nearly half (178 ns for 313 ns).
type ranges struct {
	v4   []uint32 // first addresses, in host order; v4[0] is 0
	v6   []uint64 // first addresses' upper 64 bits; v6[0] is 0; equal neighbours differ in their lower
	deep []depth  // the lower 64 bits of those few first addresses that are within a /64, sorted by index

	value []uint32 // of each leaf

	index4 []uint32 // by the upper 16 bits: how many v4 are below; nil where there are too few for it to pay
	every6 []uint64 // each stride-th of v6: few enough to stay in a cache, where a search in v6 itself misses at each step
}

// depth is the lower half of an IPv6 range's first address.
type depth struct {
	low   uint64
	index uint32 // in v6
}

// leaf returns the leaf that the address is in.
func (r *ranges) leaf(a netip.Addr) uint32 {
	if a.Is4() {
		b := a.As4()
		return r.leaf4(binary.BigEndian.Uint32(b[:]))
	}
	b := a.As16()
	return uint32(len(r.v4)) + r.leaf6(binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]))
}

// leaf4 returns the index of the last range that starts at or below the address.
func (r *ranges) leaf4(a uint32) uint32 {
	low, high := uint32(1), uint32(len(r.v4)) // the first range starts at 0: the answer is at least that
	if r.index4 != nil {
		low, high = max(1, r.index4[a>>16]), r.index4[a>>16+1]
	}
	for low < high {
		middle := (low + high) / 2
		if r.v4[middle] <= a {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low - 1
}

// leaf6 returns the index within v6 of the last range that starts at or below the address.
func (r *ranges) leaf6(upper, lower uint64) uint32 {
	low, high := uint32(1), uint32(len(r.v6))
	if r.every6 != nil {
		from, to := uint32(0), uint32(len(r.every6))
		for from < to {
			middle := (from + to) / 2
			if r.every6[middle] < upper {
				from = middle + 1
			} else {
				to = middle
			}
		}
		if from > 0 {
			low = (from-1)*stride + 1
		}
		if int(from) < len(r.every6) && r.every6[from] > upper {
			high = from * stride
		}
	}
	for low < high {
		middle := (low + high) / 2
		if start := r.v6[middle]; start < upper || start == upper && r.low(middle) <= lower {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low - 1
}

// stride is 16 starts, two lines of a cache.
const stride = 16

// low returns the lower 64 bits of an IPv6 range's first address.
func (r *ranges) low(index uint32) uint64 {
	at := sort.Search(len(r.deep), func(i int) bool { return r.deep[i].index >= index })
	if at < len(r.deep) && r.deep[at].index == index {
		return r.deep[at].low
	}
	return 0
}

// leaves returns how many leaves there are.
func (r *ranges) leaves() int { return len(r.v4) + len(r.v6) }

// start returns a leaf's first address.
func (r *ranges) start(leaf uint32) netip.Addr {
	if leaf < uint32(len(r.v4)) {
		return addr4(r.v4[leaf])
	}
	leaf -= uint32(len(r.v4))
	return addr6(r.v6[leaf], r.low(leaf))
}

// last returns a leaf's last address.
func (r *ranges) last(leaf uint32) netip.Addr {
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
