package snapshot

import (
	"encoding/binary"
	"math/bits"
	"unsafe"

	"leeward/zones/rr"
)

// tree holds one zone's names: a hash table cut into shards.
//
//	tree ─▶ groups of 32 shards ─▶ shard: one immutable block of bytes
//	                                 ├─ slots: hash | offset of the record
//	                                 └─ records (nodes): head, name, RRsets in wire form
//
// A change makes new blocks for the names it touches and shares all others. So a change in a zone of a million names
// costs what it costs in a zone of a hundred. Blocks contain no pointers, so the garbage collector does not scan them.
//
// When nothing is in the cache, a look-up waits for memory three times: for the block's address, the line with the
// slot, and the lines of the record. Separate tables of slots, nodes and data took five such waits.
type tree struct {
	seed   uint64 // for hashes
	mask   uint32 // number of shards - 1; the number is a power of two
	shards [][]shard
	names  int
	sets   int  // RRsets
	cuts   int  // delegations: names with NS other than the apex
	turns  int  // names with a DNAME
	top    bool // the apex has a DNAME
	stars  int  // wildcard names
	holes  int  // RRsets that are known to exist but could not be read
}

// Shards lie in groups, so that a change copies one group instead of the addresses of all shards.
const (
	shardNames = 96 // names in a shard, about: more make a change dearer, fewer make the tree larger
	groupBits  = 5  // shards in a group, as a power of two
	groupSize  = 1 << groupBits
)

// shard is a part of the names. Its block begins with slots of 8 octets, little endian, for open addressing. The upper
// half of a slot is the upper half of the hash. The lower half is the record's offset in words of 8 octets, 0 in a free
// slot.
type shard struct {
	block []byte
	mask  uint32 // number of slots - 1; the number is a power of two
	names uint32
}

// node is the record of one owner name, or of an empty non-terminal. nil stands for a name that does not exist. It
// holds
//
//	octets  0 to  3  the number of existing names one label below
//	        4 to  7  the number + 1 of the policy that steers A and AAAA; 0: none
//	        8 and 9  the number of sets
//	       10        flags
//	       11        the length of the name
//
// then the name in wire form and lower case, and then the sets: each has its TYPE and its number of records (two octets
// each), the length of its wire form (four), and the wire form. A set without records is a hole: it exists, but could
// not be read. A hole of TYPE 0 stands for a policy. Numbers are little endian, which most machines read in one
// instruction.
type node []byte

const (
	nodeHead = 12
	setHead  = 8 // octets before a set's wire form
	slotSize = 8
	line     = 64 // octets of a cache line

	flagCut  = 1 // the name has NS and is not the apex
	flagTurn = 2 // the name has a DNAME
)

func (n node) kids() uint32  { return binary.LittleEndian.Uint32(n) }
func (n node) policy() int32 { return int32(binary.LittleEndian.Uint32(n[4:])) - 1 }
func (n node) count() int    { return int(binary.LittleEndian.Uint16(n[8:])) }
func (n node) cut() bool     { return n[10]&flagCut != 0 }
func (n node) turn() bool    { return n[10]&flagTurn != 0 }
func (n node) name() []byte  { return n[nodeHead : nodeHead+int(n[11])] }
func (n node) sets() []byte  { return n[nodeHead+int(n[11]):] }

// set returns the RRset of a type: the number of records and their wire form. It returns (0, nil) if there is none.
func (n node) set(typ rr.Type) (count int, wire []byte) {
	b := n.sets()
	for range n.count() {
		head := binary.LittleEndian.Uint64(b) // TYPE, number, length
		length := uint32(head >> 32)
		if rr.Type(head) == typ {
			return int(uint16(head >> 16)), b[setHead : setHead+length : setHead+length]
		}
		b = b[setHead+length:]
	}
	return 0, nil
}

// first returns the first RRset that is not a hole. The node must have a set.
func (n node) first() (count int, wire []byte) {
	b := n.sets()
	for range n.count() {
		head := binary.LittleEndian.Uint64(b)
		length := uint32(head >> 32)
		if count, wire = int(uint16(head>>16)), b[setHead:setHead+length:setHead+length]; count > 0 {
			break
		}
		b = b[setHead+length:]
	}
	return count, wire
}

// each calls f with each RRset.
func (n node) each(f func(typ rr.Type, count int, wire []byte)) {
	b := n.sets()
	for range n.count() {
		head := binary.LittleEndian.Uint64(b)
		length := uint32(head >> 32)
		f(rr.Type(head), int(uint16(head>>16)), b[setHead:setHead+length:setHead+length])
		b = b[setHead+length:]
	}
}

// all returns the record's octets: head, name and sets.
func (n node) all() []byte {
	end := nodeHead + int(n[11])
	for range n.count() {
		end += setHead + int(binary.LittleEndian.Uint32(n[end+4:]))
	}
	return n[:end]
}

// newTree returns an empty tree of one shard.
func newTree(seed uint64) *tree { return sizedTree(seed, 1) }

// sizedTree returns an empty tree of that many shards, which must be a power of two.
func sizedTree(seed uint64, shards int) *tree {
	t := &tree{seed: seed, mask: uint32(shards - 1), shards: make([][]shard, (shards+groupSize-1)/groupSize)}
	for i := range t.shards {
		t.shards[i] = make([]shard, min(shards, groupSize))
	}
	return t
}

func (t *tree) hash(name []byte) uint64 { return hash(t.seed, name) }

func (t *tree) shardOf(h uint64) int { return int(uint32(h) & t.mask) }

// len returns the number of shards.
func (t *tree) len() int { return int(t.mask) + 1 }

func (t *tree) at(i int) *shard { return &t.shards[i>>groupBits][i&(groupSize-1)] }

// each calls f with every name.
func (t *tree) each(f func(n node)) {
	for i := range t.len() {
		t.at(i).each(f)
	}
}

// find returns a name's node, or nil if the name does not exist.
func (t *tree) find(name []byte) node { return t.findHash(t.hash(name), name) }

func (t *tree) findHash(h uint64, name []byte) node {
	i := uint32(h) & t.mask
	return t.shards[i>>groupBits][i&(groupSize-1)].find(h, name)
}

// slotOf uses bits of the hash that do not select the shard, except in the largest zones.
func slotOf(h uint64) uint32 { return uint32(h) >> 20 }

func (s *shard) find(h uint64, name []byte) node {
	if len(s.block) == 0 {
		return nil
	}
	for i := slotOf(h); ; i++ {
		n, at := s.next(h, i)
		if n == nil || is(name, n.name()) {
			return n
		}
		i = at
	}
}

// next returns the next record with half the hash, from the slot of that number on, and the number of its slot; nil if
// there is none. Half a hash is almost always the right one, so Ahead takes what it returns first.
func (s *shard) next(h uint64, i uint32) (node, uint32) {
	for ; ; i++ {
		slot := binary.LittleEndian.Uint64(s.block[(i&s.mask)*slotSize:])
		if slot == 0 {
			return nil, i
		}
		if uint32(slot>>32) == uint32(h>>32) {
			return node(s.block[uint64(uint32(slot))*8:]), i
		}
	}
}

// each calls f with each name.
func (s *shard) each(f func(n node)) {
	if s.names == 0 {
		return
	}
	for i := range s.mask + 1 {
		if slot := binary.LittleEndian.Uint64(s.block[i*slotSize:]); slot != 0 {
			f(node(s.block[uint64(uint32(slot))*8:]))
		}
	}
}

// same reports whether two shards share one block.
func (s *shard) same(o *shard) bool {
	return len(s.block) == len(o.block) && (len(s.block) == 0 || &s.block[0] == &o.block[0])
}

// newShard lays records out. A record that would span more cache lines than it needs begins with a line.
func newShard(records [][]byte, seed uint64) shard {
	if len(records) == 0 {
		return shard{}
	}
	slots := uint32(1) << bits.Len(uint(len(records)*4/3))
	size := int(slots) * slotSize
	place := func(at, length int) int {
		at = (at + 7) &^ 7
		if at&(line-1)+length > (length+line-1)&^(line-1) {
			at = (at + line - 1) &^ (line - 1)
		}
		return at
	}
	for _, r := range records {
		size = place(size, len(r)) + len(r)
	}
	s := shard{block: aligned(size), mask: slots - 1, names: uint32(len(records))}
	at := int(slots) * slotSize
	for _, r := range records {
		at = place(at, len(r))
		h := hash(seed, node(r).name())
		i := slotOf(h) & s.mask
		for binary.LittleEndian.Uint64(s.block[i*slotSize:]) != 0 {
			i = (i + 1) & s.mask
		}
		binary.LittleEndian.PutUint64(s.block[i*slotSize:], h&^(1<<32-1)|uint64(at/8))
		at += copy(s.block[at:], r)
	}
	return s
}

// aligned returns zeroed octets that begin with a cache line.
func aligned(size int) []byte {
	b := make([]byte, size+line-8)
	skip := int(-uintptr(unsafe.Pointer(&b[0])) & (line - 1))
	return b[skip : skip+size : skip+size]
}

// resize returns the tree spread over another number of shards, which must be a power of two.
func (t *tree) resize(shards int) *tree {
	out := *t
	sized := sizedTree(t.seed, shards)
	out.mask, out.shards = sized.mask, sized.shards
	into := make([][][]byte, shards)
	t.each(func(n node) {
		at := out.shardOf(t.hash(n.name()))
		into[at] = append(into[at], n.all())
	})
	for i, records := range into {
		*out.at(i) = newShard(records, t.seed)
	}
	return &out
}

// shardsFor returns how many shards suit that many names.
func shardsFor(names int) int { return 1 << bits.Len(uint(names/shardNames)) }
