package snapshot

import (
	"cmp"
	"encoding/binary"
	"slices"

	"leeward/zones/rr"
)

// edit is one change to one name of a zone.
type edit struct {
	hash uint64
	name rr.Name
	typ  rr.Type // of the RRset to put or drop; 0: the edit is about the policy or the names below
	kind editKind
	n    int32 // the policy's number (-1: none), or the change in the number of names below

	// set appends the RRset in wire form (see Set) and returns how many records it has. It is called once, when the
	// shard is built, so that a million records are never in memory twice. If it is nil or returns 0, the set is a
	// hole.
	set func(dst []byte) ([]byte, int)
}

type editKind uint8

const (
	putSet editKind = iota
	dropSet
	setPolicy
	addKids
)

// draft is a name being changed.
type draft struct {
	name   rr.Name
	kids   uint32
	policy int32
	sets   []draftSet
	had    int  // sets before, without holes
	holed  int  // holes before
	was    rank // before
}

type draftSet struct {
	typ   rr.Type
	count int
	wire  []byte
}

// rank is what a name counts as in the tree's totals.
type rank struct{ exists, cut, turn bool }

// apply makes the edits and returns the new tree. apex is the zone's origin. Edits of one name are made in their order.
func (t *tree) apply(apex rr.Name, edits []edit) *tree {
	t = t.roomFor(edits)
	out := *t
	out.shards = slices.Clone(t.shards)
	r := revision{tree: &out, apex: apex, own: make([]bool, len(t.shards)), kids: map[rr.Name]int32{}}
	r.make(edits)
	return r.done()
}

// roomFor returns the tree with as many shards as it will need if the edits bring that many more names than there are:
// a look-up in a shard of many thousand names goes through most of them.
func (t *tree) roomFor(edits []edit) *tree {
	if shardsFor(t.names+len(edits)) <= 2*t.len() {
		return t // as nearly always
	}
	names := make(map[rr.Name]struct{}, len(edits))
	for i := range edits {
		if edits[i].kind != dropSet {
			names[edits[i].name] = struct{}{}
		}
	}
	if want := shardsFor(t.names + len(names)); want > 2*t.len() {
		return t.resize(want)
	}
	return t
}

// revision is a tree being changed.
type revision struct {
	*tree
	apex rr.Name
	own  []bool            // groups of shards that only this tree has
	kids map[rr.Name]int32 // by how much the number of names below changes; done applies it
}

// make makes the edits, shard by shard. It reorders them.
func (r *revision) make(edits []edit) {
	for i := range edits {
		edits[i].hash = r.hash([]byte(edits[i].name))
	}
	slices.SortStableFunc(edits, func(a, b edit) int {
		return cmp.Compare(r.shardOf(a.hash), r.shardOf(b.hash))
	})
	for len(edits) > 0 {
		at := r.shardOf(edits[0].hash)
		n := 1
		for n < len(edits) && r.shardOf(edits[n].hash) == at {
			n++
		}
		if group := at >> groupBits; !r.own[group] {
			r.shards[group], r.own[group] = slices.Clone(r.shards[group]), true
		}
		r.rebuild(r.at(at), r.apex, edits[:n], r.kids)
		edits = edits[n:]
	}
}

// done applies the changed numbers of names below and returns the tree. A name that comes to exist because of this
// counts for its own parent.
func (r *revision) done() *tree {
	for len(r.kids) > 0 {
		edits := make([]edit, 0, len(r.kids))
		for name, n := range r.kids {
			if n != 0 {
				edits = append(edits, edit{name: name, kind: addKids, n: n})
			}
		}
		clear(r.kids)
		r.make(edits)
	}
	if want := shardsFor(r.names); want > 2*r.len() {
		return r.resize(want)
	}
	return r.tree
}

// reserial returns the tree with another serial in the SOA at its apex. The apex must have an SOA.
func (t *tree) reserial(apex rr.Name, serial uint32) *tree {
	out := *t
	h := t.hash([]byte(apex))
	at := t.shardOf(h)
	out.shards = slices.Clone(t.shards)
	out.shards[at>>groupBits] = slices.Clone(t.shards[at>>groupBits])
	s := out.at(at)
	block := aligned(len(s.block))
	copy(block, s.block)
	s.block = block
	_, soa := s.find(h, []byte(apex)).set(rr.TypeSOA)
	putSerial(soa, serial)
	return &out
}

// rebuild makes the edits in a shard, and notes in kids which names began or ceased to exist.
func (t *tree) rebuild(s *shard, apex rr.Name, edits []edit, kids map[rr.Name]int32) {
	drafts := map[rr.Name]*draft{}
	for _, e := range edits {
		d := drafts[e.name]
		if d == nil {
			d = s.draft(e.name, e.hash, apex)
			drafts[e.name] = d
		}
		d.apply(e)
	}
	records := make([][]byte, 0, int(s.names)+len(drafts))
	s.each(func(n node) {
		if drafts[rr.Name(n.name())] == nil {
			records = append(records, n.all())
		}
	})
	for _, e := range edits { // in this order, so that equal edits always give the same tree
		d := drafts[e.name]
		if d == nil {
			continue
		}
		delete(drafts, e.name)
		now := d.rank(apex)
		if now.exists != d.was.exists {
			change := int32(1)
			if !now.exists {
				change = -1
			}
			t.names += int(change)
			if d.name.IsWildcard() {
				t.stars += int(change)
			}
			if d.name != apex {
				kids[d.name.Parent()] += change
			}
		}
		full, holes := d.counts()
		t.sets += full - d.had
		t.holes += holes - d.holed
		if now.cut != d.was.cut {
			t.cuts += map[bool]int{true: 1, false: -1}[now.cut]
		}
		if now.turn != d.was.turn {
			t.turns += map[bool]int{true: 1, false: -1}[now.turn]
			t.top = t.top && d.name != apex || now.turn && d.name == apex
		}
		if now.exists {
			records = append(records, d.record(now))
		}
	}
	*s = newShard(records, t.seed)
}

// record encodes a draft as a node.
func (d *draft) record(now rank) []byte {
	size := nodeHead + len(d.name)
	for _, x := range d.sets {
		size += setHead + len(x.wire)
	}
	b := make([]byte, 0, size)
	b = binary.LittleEndian.AppendUint32(b, d.kids)
	b = binary.LittleEndian.AppendUint32(b, uint32(d.policy+1))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(d.sets)))
	var flags byte
	if now.cut {
		flags |= flagCut
	}
	if now.turn {
		flags |= flagTurn
	}
	b = append(b, flags, byte(len(d.name)))
	b = append(b, d.name...)
	for _, x := range d.sets {
		b = binary.LittleEndian.AppendUint16(b, uint16(x.typ))
		b = binary.LittleEndian.AppendUint16(b, uint16(x.count))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(x.wire)))
		b = append(b, x.wire...)
	}
	return b
}

// draft returns a name as a draft.
func (s *shard) draft(name rr.Name, hash uint64, apex rr.Name) *draft {
	d := &draft{name: name, policy: -1}
	if n := s.find(hash, []byte(name)); n != nil {
		d.kids, d.policy = n.kids(), n.policy()
		n.each(func(typ rr.Type, count int, wire []byte) {
			d.sets = append(d.sets, draftSet{typ, count, wire})
		})
		d.had, d.holed = d.counts()
	}
	d.was = d.rank(apex)
	return d
}

// counts returns how many sets there are without holes, and how many holes.
func (d *draft) counts() (full, holes int) {
	for _, x := range d.sets {
		if x.count == 0 {
			holes++
		}
	}
	return len(d.sets) - holes, holes
}

func (d *draft) rank(apex rr.Name) rank {
	has := func(typ rr.Type) bool {
		return slices.ContainsFunc(d.sets, func(x draftSet) bool { return x.typ == typ })
	}
	return rank{
		exists: len(d.sets) > 0 || d.policy >= 0 || d.kids > 0,
		cut:    has(rr.TypeNS) && d.name != apex,
		turn:   has(rr.TypeDNAME),
	}
}

func (d *draft) apply(e edit) {
	switch e.kind {
	case setPolicy:
		d.policy = e.n
	case addKids:
		d.kids += uint32(e.n)
	case putSet, dropSet:
		i, found := slices.BinarySearchFunc(d.sets, e.typ, func(x draftSet, t rr.Type) int {
			return cmp.Compare(x.typ, t)
		})
		if e.kind == dropSet {
			if found {
				d.sets = slices.Delete(d.sets, i, i+1)
			}
			return
		}
		var wire []byte
		count := 0
		if e.set != nil {
			wire, count = e.set(nil)
		}
		if count == 0 {
			wire = nil // none of it could be read
		}
		if !found {
			d.sets = slices.Insert(d.sets, i, draftSet{})
		}
		d.sets[i] = draftSet{e.typ, count, wire}
	}
}

// appendRecord appends one record. Its owner is two zero octets, to be filled in.
func appendRecord(dst []byte, typ rr.Type, ttl uint32, data []byte) []byte {
	dst = append(dst, 0, 0)
	dst = binary.BigEndian.AppendUint16(dst, uint16(typ))
	dst = binary.BigEndian.AppendUint16(dst, 1) // IN
	dst = binary.BigEndian.AppendUint32(dst, ttl)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(data)))
	return append(dst, data...)
}
