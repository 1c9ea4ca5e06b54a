package catalog

import (
	"encoding/binary"
	"strings"

	"leeward/zones"
)

// packed is all static RRsets of one owner in one string. As structs with slices and strings, a million Records take
// three times the memory, and most are only looked at when the snapshot is built. It has for each set: the type's
// length and text, TTL, revision, number of data, and each datum's length and text. Numbers are uvarints.
type packed string

// packedSet is one RRset in a packed. Its strings alias the packed.
type packedSet struct {
	kind     string
	ttl      zones.TTL
	revision int64
	count    int
	data     string // the data, still packed
}

// next splits off the first set.
func (p packed) next() (s packedSet, rest packed) {
	text := string(p)
	s.kind, text = cutText(text)
	var n uint64
	n, text = cutUvarint(text)
	s.ttl = zones.UnpackTTL(n)
	n, text = cutUvarint(text)
	s.revision = int64(n)
	n, text = cutUvarint(text)
	s.count = int(n)
	start := text
	for range s.count {
		_, text = cutText(text)
	}
	s.data = start[:len(start)-len(text)]
	return s, packed(text)
}

// find returns the set of that type.
func (p packed) find(kind string) (packedSet, bool) {
	for p != "" {
		var s packedSet
		if s, p = p.next(); s.kind == kind {
			return s, true
		}
	}
	return packedSet{}, false
}

// with returns p with the record's set in place of the one of the same type. Sets are sorted by type.
func (p packed) with(r *zones.Record, revision int64) packed {
	before, after := p.split(r.Type)
	b := make([]byte, 0, len(before)+len(after)+64)
	b = append(b, before...)
	b = append(binary.AppendUvarint(b, uint64(len(r.Type))), r.Type...)
	b = binary.AppendUvarint(b, r.TTL.Pack())
	b = binary.AppendUvarint(b, uint64(revision))
	b = binary.AppendUvarint(b, uint64(len(r.Data)))
	for _, d := range r.Data {
		b = append(binary.AppendUvarint(b, uint64(len(d))), d...)
	}
	return packed(append(b, after...))
}

// without returns p without its set of that type.
func (p packed) without(kind string) packed {
	before, after := p.split(kind)
	return before + after
}

// split returns the sets before that type, and those after it.
func (p packed) split(kind string) (before, after packed) {
	rest := p
	for rest != "" {
		s, next := rest.next()
		if s.kind >= kind {
			if s.kind > kind {
				next = rest
			}
			return p[:len(p)-len(rest)], next
		}
		rest = next
	}
	return p, ""
}

// record unpacks the set. The strings are shared with the packed.
func (s *packedSet) record(origin, owner string) *zones.Record {
	r := &zones.Record{Origin: origin, Owner: owner, Type: s.kind, TTL: s.ttl, Data: make([]string, s.count)}
	rest := s.data
	for i := range r.Data {
		r.Data[i], rest = cutText(rest)
	}
	return r
}

// same reports whether the set equals the record.
func (s *packedSet) same(r *zones.Record) bool {
	if s.kind != r.Type || s.ttl != r.TTL || s.count != len(r.Data) {
		return false
	}
	rest := s.data
	for _, want := range r.Data {
		var d string
		if d, rest = cutText(rest); d != want {
			return false
		}
	}
	return true
}

func cutText(s string) (text, rest string) {
	n, s := cutUvarint(s)
	return s[:n], s[n:]
}

func cutUvarint(s string) (uint64, string) {
	var n uint64
	for i := 0; ; i++ {
		n |= uint64(s[i]&0x7f) << (7 * i)
		if s[i] < 0x80 {
			return n, s[i+1:]
		}
	}
}

// zoneState is what a catalog knows of one origin, whether or not it has a Zone.
type zoneState struct {
	origin   string
	zone     *zones.Zone // effective; nil: records wait for it
	owners   map[string]packed
	records  int
	policies map[string]*zones.Policy // effective policies whose longest origin this is
	number   int64                    // of the serial, as far as this catalog has seen; see serials
	named    int64                    // the highest revision in the batch that names everything
	stir     stir                     // what this batch does to it

	recordsPeak, policiesPeak, allPeak peak
}

// set stores a record. changed is true if more than the revision changed, isNew if the record did not exist before.
func (z *zoneState) set(r *zones.Record, revision int64) (changed, isNew bool) {
	sets, known := z.owners[r.Owner]
	before, there := sets.find(r.Type)
	if there && before.same(r) {
		if before.revision != revision {
			z.owners[r.Owner] = sets.with(r, revision)
		}
		return false, false
	}
	owner := r.Owner
	if !known {
		owner = strings.Clone(owner) // a part of a longer text
	}
	z.owners[owner] = sets.with(r, revision)
	if !there {
		z.records++
	}
	return true, !there
}

// remove removes a record, and reports whether it existed.
func (z *zoneState) remove(owner, kind string) bool {
	sets, known := z.owners[owner]
	if _, there := sets.find(kind); !known || !there {
		return false
	}
	if sets = sets.without(kind); sets == "" {
		delete(z.owners, owner)
	} else {
		z.owners[owner] = sets
	}
	z.records--
	return true
}

// touch notes a change at a revision.
