package dnssec

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// table is signatures of one epoch by the identity of their sets. Many may read it without a lock while others add to
// it. Nothing is removed: a pair puts another table in its place.
type table struct {
	mu    sync.Mutex // of writers
	state atomic.Pointer[tableState]
}

// tableState is a hash table with open addressing. Its slots are filled while it is being read. An entry, and the state
// that has its chunk, are stored before its slot is. An entry never changes.
type tableState struct {
	slots  []atomic.Uint64 // see slotOf; 0: free. Their number is a power of two.
	chunks [][]signed      // see place
	count  int             // number of entries
}

// A query looks for one signature among many, and each step waits for memory: slot, chunk, entry. There are few chunks,
// so the list of them stays in the cache. They are small while a zone is small: 32 entries, 32, 64, 128 and so on up to
// 4096.
const (
	chunkFirst = 5
	chunkLast  = 12
)

// place returns where the n-th entry is.
func place(n uint32) (chunk, at uint32) {
	switch {
	case n < 1<<chunkFirst:
		return 0, n
	case n >= 1<<chunkLast:
		return chunkLast - chunkFirst + n>>chunkLast, n & (1<<chunkLast - 1)
	}
	high := uint32(bits.Len32(n)) - 1 // a chunk begins where the highest bit changes
	return high - (chunkFirst - 1), n &^ (1 << high)
}

// chunkSize returns how many entries a chunk has.
func chunkSize(chunk int) int { return 1 << min(max(chunkFirst-1+chunk, chunkFirst), chunkLast) }

// slotOf returns what the slot of the n-th entry has: its number + 1, and half of the identity's other word. So a
// look-up that comes upon the slots of others does not read their entries, each of which it would wait for.
func slotOf(n uint32, id Identity) uint64 { return id.b&^(1<<32-1) | uint64(n+1) }

// entry returns the n-th entry.
func (s *tableState) entry(n uint32) *signed {
	chunk, at := place(n)
	return &s.chunks[chunk][at]
}

type signed struct {
	of        Identity
	signature [SignatureSize]byte
}

// find returns the signature of a set, or nil if it has not been made.
func (t *table) find(id Identity) *[SignatureSize]byte {
	s := t.state.Load()
	if s == nil {
		return nil
	}
	mask := uint64(len(s.slots) - 1)
	for i := id.a & mask; ; i = (i + 1) & mask {
		slot := s.slots[i].Load()
		if slot == 0 {
			return nil
		}
		if (slot^id.b)>>32 != 0 {
			continue
		}
		chunk, at := place(uint32(slot) - 1)
		if int(chunk) >= len(s.chunks) { // the chunk is of a later state, which is stored by now
			return t.find(id)
		}
		if e := &s.chunks[chunk][at]; e.of == id {
			return &e.signature
		}
	}
}

// add adds a signature unless there is one, and returns the one that is there.
func (t *table) add(id Identity, signature [SignatureSize]byte) *[SignatureSize]byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	if found := t.find(id); found != nil {
		return found
	}
	s := t.state.Load()
	if s == nil {
		s = &tableState{slots: make([]atomic.Uint64, 16)}
	}
	next := *s
	if chunk, _ := place(uint32(s.count)); int(chunk) == len(s.chunks) {
		more := make([]signed, chunkSize(len(s.chunks)))
		next.chunks = append(s.chunks, more) // whoever has the previous state does not look there
	}
	if (s.count+1)*4 > len(s.slots)*3 {
		next.slots = make([]atomic.Uint64, 2*len(s.slots))
		for n := range s.count {
			of := next.entry(uint32(n)).of
			next.slot(of).Store(slotOf(uint32(n), of))
		}
	}
	e := next.entry(uint32(s.count))
	*e = signed{id, signature}
	next.count++
	t.state.Store(&next)
	next.slot(id).Store(slotOf(uint32(next.count-1), id))
	return &e.signature
}

// slot returns the free slot for an identity.
func (s *tableState) slot(id Identity) *atomic.Uint64 {
	mask := uint64(len(s.slots) - 1)
	i := id.a & mask
	for s.slots[i].Load() != 0 {
		i = (i + 1) & mask
	}
	return &s.slots[i]
}

// len returns how many signatures there are.
func (t *table) len() int {
	if s := t.state.Load(); s != nil {
		return s.count
	}
	return 0
}
