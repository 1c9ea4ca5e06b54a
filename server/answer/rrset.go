package answer

import (
	"encoding/binary"
	"math/bits"

	"leeward/server/wire"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
)

// put writes an RRset into the response, and reports whether it fitted. Every record except OPT goes through here:
// static sets, the SOA of a negative answer, denial, what a policy decides, CNAMEs that a DNAME makes, and additional
// addresses. In a signed zone, a set has its RRSIGs in its Signed.
func (w *Worker) put(s wire.Section, set *wire.RRset) bool { return w.build.Put(s, set) }

// static writes a set from the zone. Its owner is a suffix of the name that was last looked up. source is the name that
// has the set, in lower case; nil: it is not signed.
func (w *Worker) static(s wire.Section, set *snapshot.Set, source []byte) bool {
	b := &w.build
	r := wire.RRset{Owner: uint16(b.Suffix(w.owner, set.Owner)), Data: set.Wire, Count: uint16(set.Count)}
	if _, names := wire.Embedded(binary.BigEndian.Uint16(set.Wire[2:])); names > 0 {
		r.Name, r.NameAt = w.name, uint16(w.owner)
	} else {
		r.First = uint16(w.first(set))
	}
	if source != nil {
		if w.secure() {
			ttl := binary.BigEndian.Uint32(set.Wire[6:])
			rrsig := w.signSet(source, set.Wire, ttl)
			if w.query.Type == wire.TypeRRSIG && w.found.Outcome == snapshot.Positive {
				return w.alone(s, int(r.Owner), ttl, rrsig)
			}
			r.Signed = w.signed(rrsig, nil)
		}
	}
	return w.put(s, &r)
}

// first returns which record of a set comes first. Among several addresses that is random, unless the zone has a fixed
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

// negative writes the SOA of a negative answer (RFC 2308 section 3).
func (w *Worker) negative() {
	owner := uint16(w.build.Suffix(w.owner, w.found.Zone))
	soa, short := w.found.Negative()
	r := wire.RRset{Owner: owner, Data: soa, Count: 1, Short: (*wire.Short)(short)}
	if w.query.DO && w.secure() {
		r.Signed = w.signed(w.signSet(w.name[w.found.Zone:], soa, w.found.SOATTL()), nil)
	}
	w.put(wire.Authority, &r)
}

// decided writes what a policy has decided. owner is where the name is in the message. source is the name that has the
// policy; nil: it is not signed.
func (w *Worker) decided(s wire.Section, owner int, source []byte) bool {
	d := &w.decision
	var beside *wire.Signed
	if signer := w.signer(); signer != nil && source != nil {
		rrsig := w.signDecided(signer, source)
		if w.query.Type == wire.TypeRRSIG && s == wire.Answer {
			return w.alone(s, owner, d.Bound, rrsig)
		}
		beside = w.signed(rrsig, nil)
	}
	r := wire.RRset{
		Owner: uint16(owner), Type: uint16(d.Type), TTL: d.Bound, Data: d.Data,
		Count: uint16(d.Count), Signed: beside,
	}
	if d.Type == rr.TypeCNAME {
		r.Name, r.NameAt = w.name, uint16(w.owner)
	}
	return w.put(s, &r)
}
