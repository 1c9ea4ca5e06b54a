package snapshot

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
)

// tree holds one zone's names: a hash table cut into shards, each an immutable table with one arena of bytes. A change
// makes new shards for the names it touches and shares all others, so that a change to a zone of a million names costs
// what a change to a few hundred costs; nothing in it is a pointer but the shards, so the garbage collector has nothing
// to scan.
type tree struct {
	seed   maphash.Seed
	shards []*shard // their number is a power of two
	names  int
	sets   int  // RRsets
	cuts   int  // delegations: names with NS that are not the apex
	turns  int  // names with a DNAME
	top    bool // one of them is the apex
	stars  int  // wildcard names
}

// shardNames is how many names a shard is meant to hold: more make a change dearer, fewer make the tree larger.
const shardNames = 128

// shard is a part of the names, found by open addressing.
type shard struct {
	slots []uint32 // node number + 1; 0 is free; their number is a power of two
	nodes []node
	arena []byte
}

// node is one owner name, or an empty non-terminal.
type node struct {
	hash   uint64
	key    uint32 // in the arena: the length of the name, then the name (wire form, lower case)
	sets   uint32 // in the arena: count sets, each TYPE, number of records, length of its wire form, wire form
	kids   uint32 // names one label below that exist
	policy int32  // number of the policy that steers A and AAAA; -1: none
	count  uint16 // of sets
	cut    bool   // it has NS, and is not the apex
	turn   bool   // it has a DNAME
}

// setHead is the length of what stands before a set's wire form: type, count (two bytes each) and length (four).
const setHead = 8

func (t *tree) hash(name []byte) uint64 { return maphash.Bytes(t.seed, name) }

func (t *tree) shardOf(hash uint64) int { return int(hash & uint64(len(t.shards)-1)) }

// find returns a name's node and its shard; nil where the name does not exist.
func (t *tree) find(name []byte) (*shard, *node) {
	h := t.hash(name)
	s := t.shards[t.shardOf(h)]
	return s, s.find(h, name)
}

func (s *shard) find(hash uint64, name []byte) *node {
	if s == nil || len(s.slots) == 0 {
		return nil
	}
	mask := uint32(len(s.slots) - 1)
	for i := uint32(hash>>32) & mask; ; i = (i + 1) & mask {
		at := s.slots[i]
		if at == 0 {
			return nil
		}
		if n := &s.nodes[at-1]; n.hash == hash && string(s.name(n)) == string(name) {
			return n
		}
	}
}

// name returns a node's name.
func (s *shard) name(n *node) []byte {
	length := uint32(s.arena[n.key])
	return s.arena[n.key+1 : n.key+1+length]
}

// set returns the RRset of a type: how many records, and their wire form; nil where there is none.
func (s *shard) set(n *node, typ uint16) (count int, wire []byte) {
	b := s.arena[n.sets:]
	for range n.count {
		length := binary.BigEndian.Uint32(b[4:])
		if binary.BigEndian.Uint16(b) == typ {
			return int(binary.BigEndian.Uint16(b[2:])), b[setHead : setHead+length : setHead+length]
		}
		b = b[setHead+length:]
	}
	return 0, nil
}

// each calls f with each RRset of a node.
func (s *shard) each(n *node, f func(typ uint16, count int, wire []byte)) {
	b := s.arena[n.sets:]
	for range n.count {
		length := binary.BigEndian.Uint32(b[4:])
		f(binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:])), b[setHead:setHead+length:setHead+length])
		b = b[setHead+length:]
	}
}

// index fills the slots from the nodes.
func (s *shard) index() {
	if len(s.nodes) == 0 {
		s.slots = nil
		return
	}
	s.slots = make([]uint32, 1<<bits.Len(uint(len(s.nodes)*4/3)))
	mask := uint32(len(s.slots) - 1)
	for k := range s.nodes {
		i := uint32(s.nodes[k].hash>>32) & mask
		for s.slots[i] != 0 {
			i = (i + 1) & mask
		}
		s.slots[i] = uint32(k + 1)
	}
}

// add appends a node with its name and its sets' bytes.
func (s *shard) add(n node, name, sets []byte) {
	n.key = uint32(len(s.arena))
	s.arena = append(append(s.arena, byte(len(name))), name...)
	n.sets = uint32(len(s.arena))
	s.arena = append(s.arena, sets...)
	s.nodes = append(s.nodes, n)
}

// setsBytes returns all sets of a node as they lie in the arena.
func (s *shard) setsBytes(n *node) []byte {
	end := n.sets
	for range n.count {
		end += setHead + binary.BigEndian.Uint32(s.arena[end+4:])
	}
	return s.arena[n.sets:end]
}

// resize returns the tree spread over another number of shards.
func (t *tree) resize(shards int) *tree {
	out := *t
	out.shards = make([]*shard, shards)
	for _, s := range t.shards {
		if s == nil {
			continue
		}
		for i := range s.nodes {
			n := &s.nodes[i]
			at := out.shardOf(n.hash)
			if out.shards[at] == nil {
				out.shards[at] = &shard{}
			}
			out.shards[at].add(*n, s.name(n), s.setsBytes(n))
		}
	}
	for _, s := range out.shards {
		if s != nil {
			s.index()
		}
	}
	return &out
}

// shardsFor returns how many shards suit a number of names.
func shardsFor(names int) int { return 1 << bits.Len(uint(names/shardNames)) }
