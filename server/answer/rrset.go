package answer

import (
	"encoding/binary"
	"math/bits"

	"leeward/server/wire"
	"leeward/zones/snapshot"
)

// put writes an RRset into the response, and reports whether it went in. Every record but the OPT record goes through
// here: static sets, the SOA of a negative answer, what a policy decides, CNAMEs that a DNAME makes, addresses beside
// an answer. So this is where the RRSIG of a set belongs, which has to go in with the set or not at all.
func (w *Worker) put(s wire.Section, set *wire.RRset) bool { return w.build.Put(s, set) }

// static writes a set of the zone's, whose owner is a suffix of the name that was looked up last.
func (w *Worker) static(s wire.Section, set *snapshot.Set) bool {
	b := &w.build
	r := wire.RRset{Owner: uint16(b.Suffix(w.owner, set.Owner)), Data: set.Wire, Count: uint16(set.Count)}
	if _, names := wire.Embedded(binary.BigEndian.Uint16(set.Wire[2:])); names > 0 {
		apex := w.found.Zone
		r.Suffix, r.SuffixAt = w.name[apex:], uint16(b.Suffix(w.owner, apex))
	} else {
		r.First = uint16(w.first(set))
	}
	return w.put(s, &r)
}

// first says which record of a set comes first: of several addresses any, by lot, unless the zone has them in a fixed
// order.
func (w *Worker) first(set *snapshot.Set) int {
	if set.Count < 2 || w.found.Fixed() {
		return 0
	}
	if t := binary.BigEndian.Uint16(set.Wire[2:]); t != wire.TypeA && t != wire.TypeAAAA {
		return 0
	}
	n, _ := bits.Mul64(w.random.Uint64(), uint64(set.Count))
	return int(n)
}

// negative writes the SOA that says for how long there is nothing, and in which zone (RFC 2308 section 3).
func (w *Worker) negative() {
	owner := uint16(w.build.Suffix(w.owner, w.found.Zone))
	soa, short := w.found.Negative()
	w.put(wire.Authority, &wire.RRset{Owner: owner, Data: soa, Count: 1, Short: (*wire.Short)(short)})
}

// decided writes what a policy has decided upon, for the owner that is at that offset of the message.
func (w *Worker) decided(s wire.Section, owner int) bool {
	d := &w.decision
	return w.put(s, &wire.RRset{
		Owner: uint16(owner), Type: uint16(d.Type), TTL: d.Bound, Data: d.Data,
		Count: uint16(d.Count),
	})
}
