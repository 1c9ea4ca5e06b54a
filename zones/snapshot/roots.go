package snapshot

import "math/bits"

// roots finds a zone by its origin. It uses open addressing, like a shard's slots.
type roots struct {
	seed  uint64
	slots []root // their number is a power of two
}

type root struct {
	tag  uint32 // of the origin's hash
	zone uint32 // index of the zone + 1; 0: the slot is free
}

func newRoots(seed uint64, zones []*zone) roots {
	r := roots{seed, make([]root, 2<<bits.Len(uint(len(zones))))}
	for i, z := range zones {
		at := r.slot(z.hash)
		for r.slots[at].zone != 0 {
			at = (at + 1) & (len(r.slots) - 1)
		}
		r.slots[at] = root{uint32(z.hash >> 32), uint32(i + 1)}
	}
	return r
}

func (r *roots) slot(h uint64) int { return int(h) & (len(r.slots) - 1) }

// find returns the zone with that origin, or nil if there is none.
func (r *roots) find(zones []*zone, origin []byte) *zone {
	if len(r.slots) == 0 {
		return nil
	}
	h := hash(r.seed, origin)
	for at := r.slot(h); r.slots[at].zone != 0; at = (at + 1) & (len(r.slots) - 1) {
		if r.slots[at].tag != uint32(h>>32) {
			continue
		}
		if z := zones[r.slots[at].zone-1]; z.hash == h && is(origin, []byte(z.origin)) {
			return z
		}
	}
	return nil
}
