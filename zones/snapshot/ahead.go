package snapshot

import (
	"unsafe"

	"leeward/zones/steer"
)

// Ahead is a look-up that begins before its turn. A server with a batch of queries has each step fetch the memory that
// the next step needs, for all of them, before it answers the first. Each step returns where the next one will read,
// nil if nowhere. Ahead decides nothing: Lookup does, and a wrong address would only cost time.
type Ahead struct {
	zone *zone
	hash uint64
	node node
}

// Aim begins with the name of a question, in wire form and any case. It returns where the name's slot is.
func (s *Snapshot) Aim(name []byte, h *Ahead) unsafe.Pointer {
	h.zone, h.node = nil, nil
	var offsets [128]uint8
	labels := labelsOf(name, &offsets)
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

// Reach returns where the name's record is, which spans one cache line or more.
func (h *Ahead) Reach() (first, second unsafe.Pointer) {
	if h.zone == nil {
		return nil, nil
	}
	sh := h.zone.tree.at(h.zone.tree.shardOf(h.hash))
	if h.node, _ = sh.next(h.hash, slotOf(h.hash)); h.node == nil {
		return nil, nil
	}
	return unsafe.Pointer(&h.node[0]), unsafe.Pointer(&h.node[min(line, len(h.node)-1)])
}

// Policy returns the policy that steers the name, or nil if there is none.
func (h *Ahead) Policy(s *Snapshot) *steer.Policy {
	if h.node != nil {
		if n := h.node.policy(); uint(n) < uint(len(s.policies)) {
			return s.policies[n]
		}
	}
	return nil
}

// Hash returns the name's hash, or 0 if the name is in no zone of ours.
func (h *Ahead) Hash() uint64 {
	if h.zone == nil {
		return 0
	}
	return h.hash
}
