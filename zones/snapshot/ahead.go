package snapshot

import (
	"encoding/binary"
	"unsafe"

	"leeward/zones/steer"
)

// Ahead is a look-up that has begun before its turn. Where many questions wait, what each of them has to wait for in
// memory can come while the others are dealt with. Each step returns where the next one will look, nil where there is
// nothing to wait for; who calls it has that brought into the cache and does other things meanwhile. It finds nothing:
// Lookup does.
type Ahead struct {
	zone *zone
	hash uint64
	node node
}

// Aim begins with the name of a question, in wire form and any case.
func (s *Snapshot) Aim(name []byte, h *Ahead) unsafe.Pointer {
	h.zone, h.node = nil, nil
	var offsets [128]uint8
	labels := 0
	for at := 0; at < len(name) && name[at] != 0 && labels < len(offsets); at += int(name[at]) + 1 {
		offsets[labels] = uint8(at)
		labels++
	}
	z, _ := s.zoneOf(name, offsets[:labels], false)
	if z == nil {
		return nil
	}
	hash := z.tree.hash(name)
	sh := z.tree.at(z.tree.shardOf(hash))
	if sh.names == 0 {
		return nil
	}
	h.zone, h.hash = z, hash
	return unsafe.Pointer(&sh.block[(slotOf(hash)&sh.mask)*slotSize])
}

// Reach goes on to the name's record, which is one line or more.
func (h *Ahead) Reach() (first, second unsafe.Pointer) {
	if h.zone == nil {
		return nil, nil
	}
	sh := h.zone.tree.at(h.zone.tree.shardOf(h.hash))
	for i := slotOf(h.hash) & sh.mask; ; i = (i + 1) & sh.mask {
		slot := binary.LittleEndian.Uint64(sh.block[i*slotSize:])
		if slot == 0 {
			return nil, nil
		}
		if uint32(slot>>32) == uint32(h.hash>>32) {
			h.node = node(sh.block[uint64(uint32(slot))*8:])
			return unsafe.Pointer(&h.node[0]), unsafe.Pointer(&h.node[min(line, len(h.node)-1)])
		}
	}
}

// Policy goes on to the policy that steers the name; nil where none does.
func (h *Ahead) Policy(s *Snapshot) *steer.Policy {
	if h.node != nil {
		if n := h.node.policy(); uint(n) < uint(len(s.policies)) {
			return s.policies[n]
		}
	}
	return nil
}

// Hash is that of the name; 0 where it is in no zone of ours.
func (h *Ahead) Hash() uint64 {
	if h.zone == nil {
		return 0
	}
	return h.hash
}
