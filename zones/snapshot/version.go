package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"leeward/zones/dnssec"
	"leeward/zones/rr"
)

// Version is a zone that lives on another primary, as it was at one serial. Its records are in trees like those of
// zones, so later versions, and what is laid over it, share what they do not change. It never changes.
//
// What the primary's signing adds is kept apart, because it does not hold where something is laid over the zone.
type Version struct {
	origin rr.Name
	trees
}

// trees are the parts of a Version.
type trees struct {
	tree   *tree // everything except what signing adds or needs
	proofs *tree // what signing adds or needs, except signatures: NSEC, NSEC3, DNSKEY and the like
	seals  *tree // RRSIGs, by the name and type that they cover
}

// each calls f with each part.
func (t *trees) each(f func(part **tree)) {
	for _, part := range [...]**tree{&t.tree, &t.proofs, &t.seals} {
		f(part)
	}
}

// cutOf returns the part that a record belongs to, and the type of its set there. For an RRSIG, that is the type it
// covers. apex: it is at the zone's apex.
func (t *trees) cutOf(apex bool, typ rr.Type, data []byte) (part **tree, in rr.Type) {
	switch {
	case typ == rr.TypeRRSIG:
		return &t.seals, rr.Type(binary.BigEndian.Uint16(data))
	case made(apex, typ):
		return &t.proofs, typ
	}
	return &t.tree, typ
}

// Origin returns the zone's origin.
func (v *Version) Origin() rr.Name { return v.origin }

// Serial returns the serial that the primary gave the version.
func (v *Version) Serial() uint32 { return SerialOf(v.SOA()) }

// Sets returns the number of RRsets.
func (v *Version) Sets() int { return v.tree.sets + v.proofs.sets + v.seals.sets }

// Signed reports whether the primary signs the zone.
func (v *Version) Signed() bool {
	n := v.seals.find([]byte(v.origin))
	if n == nil {
		return false
	}
	count, _ := n.set(rr.TypeSOA)
	return count > 0
}

// SOA returns the zone's SOA record in the form of a Set.
func (v *Version) SOA() []byte {
	n := v.tree.find([]byte(v.origin))
	if n == nil {
		return nil
	}
	_, wire := n.set(rr.TypeSOA)
	return wire
}

// Times returns the SOA's REFRESH, RETRY and EXPIRE (RFC 1035 section 3.3.13).
func (v *Version) Times() (refresh, retry, expire time.Duration) {
	soa := v.SOA()
	if len(soa) < 20 {
		return 0, 0, 0
	}
	number := func(i int) time.Duration {
		return time.Duration(binary.BigEndian.Uint32(soa[len(soa)-20+4*i:])) * time.Second
	}
	return number(1), number(2), number(3)
}

// Each calls f with every RRset, in the order of the trees, until f returns false. The RRSIGs of one set are a set of
// their own. The name is in wire form, the records are as in a Set. Both belong to the Version.
func (v *Version) Each(f func(name []byte, typ rr.Type, count int, wire []byte) bool) {
	more := true
	v.each(func(part **tree) {
		for n := range (*part).nodes {
			n.each(func(typ rr.Type, count int, wire []byte) {
				if part == &v.seals {
					typ = rr.TypeRRSIG
				}
				more = more && f(n.name(), typ, count, wire)
			})
			if !more {
				return
			}
		}
	})
}

// types returns the types at a name.
func (v *Version) types(name rr.Name) (all []rr.Type) {
	if n := v.tree.find([]byte(name)); n != nil {
		n.each(func(typ rr.Type, _ int, _ []byte) { all = append(all, typ) })
	}
	return all
}

// hider returns which of the primary's RRsets answers for a name: the NS of a cut at or above it, or a DNAME above it.
// It does not count an RRset for which replaced returns true.
func (v *Version) hider(name rr.Name, replaced func(rr.Name, rr.Type) bool) (owner rr.Name, typ rr.Type) {
	if v.tree.cuts+v.tree.turns == 0 {
		return "", 0
	}
	for n := name; ; n = n.Parent() {
		if at := v.tree.find([]byte(n)); at != nil {
			switch {
			case at.cut() && !replaced(n, rr.TypeNS):
				owner, typ = n, rr.TypeNS
			case at.turn() && n != name && !replaced(n, rr.TypeDNAME):
				owner, typ = n, rr.TypeDNAME
			}
		}
		if n == v.origin {
			return owner, typ
		}
	}
}

// From returns v rebuilt from an older version, so that both share what has not changed: most full transfers bring
// little new. If v differs much, From returns v itself.
func (v *Version) From(old *Version) *Version {
	if old == nil || old.tree.seed == v.tree.seed || old.origin != v.origin {
		return v
	}
	out := &Version{origin: v.origin}
	for _, x := range [...]struct {
		to       **tree
		now, was *tree
	}{
		{&out.tree, v.tree, old.tree}, {&out.proofs, v.proofs, old.proofs}, {&out.seals, v.seals, old.seals},
	} {
		edits, few := x.now.since(x.was, v.tree.names/4)
		if !few && x.to == &out.tree {
			return v
		}
		if *x.to = x.now; few {
			*x.to = x.was.apply(v.origin, edits)
		}
	}
	return out
}

// since returns the edits that turn the tree into another one. few is false if they are for more than most names.
func (t *tree) since(old *tree, most int) (edits []edit, few bool) {
	drop := func(n, now node) {
		n.each(func(typ rr.Type, _ int, _ []byte) {
			if now != nil {
				if _, wire := now.set(typ); wire != nil {
					return
				}
			}
			edits = append(edits, edit{name: rr.Name(n.name()), kind: dropSet, typ: typ})
		})
	}
	t.each(func(n node) {
		was := old.find(n.name())
		if len(edits) > most || was != nil && alike(was, n) {
			return
		}
		n.each(func(typ rr.Type, count int, wire []byte) {
			if was != nil {
				if _, before := was.set(typ); bytes.Equal(before, wire) {
					return
				}
			}
			edits = append(edits, edit{
				name: rr.Name(n.name()), kind: putSet, typ: typ,
				set: func(dst []byte) ([]byte, int) {
					return append(dst, wire...), count
				},
			})
		})
		if was != nil {
			drop(was, n)
		}
	})
	old.each(func(n node) {
		if len(edits) <= most && t.find(n.name()) == nil {
			drop(n, nil)
		}
	})
	return edits, len(edits) <= most
}

// alike reports whether two nodes have the same sets.
func alike(a, b node) bool {
	return a.count() == b.count() && bytes.Equal(a.all()[nodeHead+len(a.name()):], b.all()[nodeHead+len(b.name()):])
}

// ErrMismatch says that a difference does not apply to the version at hand.
var ErrMismatch = errors.New("the difference does not fit the present version")

// Edition is a Version being made: from nothing, for a full transfer, or from another Version, for differences (RFC
// 1995).
type Edition struct {
	origin rr.Name
	trees
	open map[setKey]*openSet // sets that have changed and are not in the trees yet
	soa  *openSet
}

// setKey is where a set is.
type setKey struct {
	name rr.Name
	part **tree
	typ  rr.Type
}

// openSet is an RRset being changed.
type openSet struct {
	ttl  uint32
	size int // octets, in the form of a Set
	data [][]byte
}

// find returns the index of the record with that data, -1 if there is none. The case of names does not matter.
func (s *openSet) find(typ rr.Type, data []byte) int {
	at := slices.IndexFunc(s.data, func(d []byte) bool { return bytes.Equal(d, data) })
	if at < 0 && len(s.data) > 0 && rr.Folds(typ) {
		want := rr.Folded(typ, data)
		at = slices.IndexFunc(s.data, func(d []byte) bool { return len(d) == len(data) && rr.Folded(typ, d) == want })
	}
	return at
}

// maxSetSize is the largest RRset, in octets, that fits into a message.
const maxSetSize = 64000

// NewEdition begins a version from nothing.
func NewEdition(origin rr.Name) *Edition {
	seed := rand.Uint64()
	return &Edition{
		origin: origin, open: map[setKey]*openSet{},
		trees: trees{tree: newTree(seed), proofs: newTree(seed), seals: newTree(seed)},
	}
}

// Edit begins a version from v.
func (v *Version) Edit() *Edition {
	return &Edition{origin: v.origin, trees: v.trees, open: map[setKey]*openSet{}}
}

// made reports whether signing a zone adds records of the type, or needs them. Below the apex, DNSKEY, CDS and CDNSKEY
// are data like any other: CDS there are those of other zones (RFC 9615).
func made(apex bool, t rr.Type) bool { return t.Proves() || apex && t.MadeBySigning() }

// check returns an error if a record may not be in the zone.
func (e *Edition) check(r *rr.Record) error {
	switch {
	case !r.Owner.Under(e.origin):
		return fmt.Errorf("%s is not in zone %s", r.Owner, e.origin)
	case r.Class != classIN:
		return fmt.Errorf("%s %s: class %d", r.Owner, r.Type, r.Class)
	case r.Type == rr.TypeSOA:
		return fmt.Errorf("an SOA record of %s where none may be", r.Owner)
	case r.Type == rr.TypeRRSIG && len(r.Data) < dnssec.LeastRRSIG:
		return fmt.Errorf("an RRSIG record of %s with %d octets", r.Owner, len(r.Data))
	}
	if err := rr.Check(r.Type, r.Data); err != nil {
		return fmt.Errorf("%s %s: %w", r.Owner, r.Type, err)
	}
	return nil
}

// key returns where a record belongs.
func (e *Edition) key(r *rr.Record) setKey {
	part, typ := e.cutOf(r.Owner == e.origin, r.Type, r.Data)
	return setKey{r.Owner, part, typ}
}

// Add adds a record. The Edition owns the record's data from now on.
func (e *Edition) Add(r rr.Record) error {
	if err := e.check(&r); err != nil {
		return err
	}
	s := e.at(e.key(&r))
	if at := s.find(r.Type, r.Data); at >= 0 {
		s.data[at] = r.Data // perhaps in another case: NSD repeats unchanged records, also in differences
		return nil
	}
	ttl := r.TTL
	if ttl > 1<<31-1 { // RFC 2181 section 8
		ttl = 0
	}
	if len(s.data) == 0 || ttl < s.ttl { // a set has one TTL (RFC 2181 section 5.2)
		s.ttl = ttl
	}
	s.data = append(s.data, r.Data)
	if s.size += recordHead + len(r.Data); s.size > maxSetSize {
		return fmt.Errorf("%s %s: more than %d octets, which no message can hold", r.Owner, r.Type, maxSetSize)
	}
	e.flush(max(editsAtOnce, e.tree.names/2)) // the more there is, the more a flush copies
	return nil
}

// Remove removes a record. Its TTL does not matter. The error wraps ErrMismatch if there is no such record.
func (e *Edition) Remove(r rr.Record) error {
	if err := e.check(&r); err != nil {
		return err
	}
	s := e.at(e.key(&r))
	at := s.find(r.Type, r.Data)
	if at < 0 {
		return fmt.Errorf("%w: there is no such %s %s", ErrMismatch, r.Owner, r.Type)
	}
	s.size -= recordHead + len(s.data[at])
	s.data = slices.Delete(s.data, at, at+1)
	e.flush(max(editsAtOnce, e.tree.names/2)) // the more there is, the more a flush copies
	return nil
}

// SetSOA sets the zone's SOA.
func (e *Edition) SetSOA(r rr.Record) error {
	if r.Type != rr.TypeSOA || r.Owner != e.origin || r.Class != classIN {
		return fmt.Errorf("%s %s is not the SOA record of %s", r.Owner, r.Type, e.origin)
	}
	if err := rr.Check(r.Type, r.Data); err != nil {
		return fmt.Errorf("%s %s: %w", r.Owner, r.Type, err)
	}
	ttl := r.TTL
	if ttl > 1<<31-1 {
		ttl = 0
	}
	e.soa = &openSet{ttl: ttl, data: [][]byte{r.Data}}
	return nil
}

// at returns a set for reading and changing.
func (e *Edition) at(key setKey) *openSet {
	s := e.open[key]
	if s != nil {
		return s
	}
	s = &openSet{}
	if n := (*key.part).find([]byte(key.name)); n != nil {
		count, wire := n.set(key.typ)
		s.size = len(wire)
		for range count {
			s.ttl = binary.BigEndian.Uint32(wire[6:])
			size := recordHead + int(binary.BigEndian.Uint16(wire[recordHead-2:]))
			s.data = append(s.data, wire[recordHead:size:size])
			wire = wire[size:]
		}
	}
	e.open[key] = s
	return s
}

// editsAtOnce bounds the memory that making a large zone takes beside the tree.
const editsAtOnce = 1 << 16

// flush puts the open sets into the tree if there are at least that many.
func (e *Edition) flush(least int) {
	if len(e.open) < least {
		return
	}
	edits := map[**tree][]edit{}
	for key, s := range e.open {
		if len(s.data) == 0 {
			edits[key.part] = append(edits[key.part], edit{name: key.name, kind: dropSet, typ: key.typ})
			continue
		}
		edits[key.part] = append(edits[key.part], s.edit(key, key.part == &e.seals))
	}
	for part, edits := range edits {
		t := *part
		if want := shardsFor(t.names + len(edits)); want > 2*t.len() {
			t = t.resize(want) // first, so that no shard becomes too large
		}
		*part = t.apply(e.origin, edits)
	}
	clear(e.open)
}

// edit returns the edit that puts the set. It sorts the records, so that a version does not depend on how it came.
func (s *openSet) edit(key setKey, seals bool) edit {
	typ := key.typ
	if seals {
		typ = rr.TypeRRSIG
	}
	return edit{name: key.name, kind: putSet, typ: key.typ, set: func(dst []byte) ([]byte, int) {
		slices.SortFunc(s.data, bytes.Compare)
		for _, d := range s.data {
			dst = appendRecord(dst, typ, s.ttl, d)
		}
		return dst, len(s.data)
	}}
}

// Finish returns the version. It fails if the zone has no SOA, or no NS at its apex.
func (e *Edition) Finish() (*Version, error) {
	if e.soa != nil {
		e.open[setKey{e.origin, &e.tree, rr.TypeSOA}] = e.soa
	}
	e.flush(1)
	v := &Version{origin: e.origin, trees: e.trees}
	types := v.types(e.origin)
	switch {
	case !slices.Contains(types, rr.TypeSOA):
		return nil, fmt.Errorf("zone %s has no SOA record", e.origin)
	case !slices.Contains(types, rr.TypeNS):
		return nil, fmt.Errorf("zone %s has no NS records at its apex", e.origin)
	}
	return v, nil
}
