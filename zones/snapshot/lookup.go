package snapshot

import (
	"encoding/binary"

	"leeward/zones/rr"
	"leeward/zones/steer"
)

const (
	classIN  = 1
	classANY = 255
)

// Lookup answers a question by the algorithm of RFC 1034 section 4.3.2, with RFC 2308 and RFC 4592. name is in wire
// form, in any case, with the root label. It allocates nothing once a's scratch space has grown.
func (s *Snapshot) Lookup(name []byte, qtype, qclass uint16, a *Answer) {
	a.reset()
	if qclass != classIN && qclass != classANY {
		return
	}
	var offsets [128]uint8
	labels := labelsOf(name, &offsets)
	z, depth := s.zoneOf(name, offsets[:labels], qtype == uint16(rr.TypeDS))
	if z == nil || z.listing && !(depth == 0 && qtype == uint16(rr.TypeSOA) && len(z.transfer.Allow) > 0) {
		return // a catalog zone is only for secondaries, which begin with its SOA (RFC 9432 section 7)
	}
	apex := len(name) - 1
	if depth < labels {
		apex = int(offsets[depth])
	}
	a.Zone = apex
	z.lookup(name, offsets[:depth], rr.Type(qtype), s, a)
	if z.standing != current {
		a.stand()
	}
}

// labelsOf fills in where the labels of a name begin, without the root's, and returns how many there are.
func labelsOf(name []byte, offsets *[128]uint8) (labels int) {
	for at := 0; at < len(name) && name[at] != 0 && labels < len(offsets); at += int(name[at]) + 1 {
		offsets[labels] = uint8(at)
		labels++
	}
	return labels
}

// zoneOf returns the closest zone that contains a name, and how many labels of the name precede its origin. If parent
// is true it prefers the zone above, which answers for the DS of a zone (RFC 4035 section 3.1.4.1).
func (s *Snapshot) zoneOf(name []byte, offsets []uint8, parent bool) (*zone, int) {
	var child *zone
	for i := 0; i <= len(offsets); i++ {
		if s.depths&depthBit(len(offsets)-i) == 0 {
			continue
		}
		at := len(name) - 1
		if i < len(offsets) {
			at = int(offsets[i])
		}
		if z := s.roots.find(s.zones, name[at:]); z != nil {
			if i == 0 && parent && len(offsets) > 0 {
				child = z
				continue
			}
			return z, i
		}
	}
	return child, 0
}

// lookup finds a name in the zone. above holds the offsets of its labels before the apex.
func (z *zone) lookup(name []byte, above []uint8, qtype rr.Type, s *Snapshot, a *Answer) {
	t := z.tree
	a.in = z
	a.Hash = t.hash(name)
	n := t.findHash(a.Hash, name)
	if n != nil && t.cuts+t.turns == 0 {
		z.answer(n, qtype, s, a)
		return
	}
	if n == nil && t.cuts+t.turns+t.stars == 0 { // nothing above the name matters
		a.Outcome = NameError
		return
	}
	found := 0 // how many labels were removed until a name existed
	if n == nil {
		found, n = t.closest(name, above, a.Zone)
	}
	if n == nil { // the zone is new and does not even have an apex
		a.Outcome = NameError
		return
	}
	if t.cuts+t.turns > 0 {
		if hider := z.hider(name, above, found, n); hider.at >= 0 && !(hider.at == 0 && qtype == rr.TypeDS) {
			if set := hider.set; hider.typ == rr.TypeDNAME && set.Count > 0 {
				a.redirect(name, set)
			} else {
				a.Outcome, a.Authority = Referral, set
			}
			if hider.set.Count == 0 {
				a.Outcome, a.Target = Missed, nil
			}
			return
		}
	}
	if found == 0 {
		z.answer(n, qtype, s, a)
		return
	}
	if t.stars > 0 {
		encloser := a.Zone
		if found < len(above) {
			encloser = int(above[found])
		}
		a.star = append(append(a.star[:0], 1, '*'), name[encloser:]...)
		if n = t.find(a.star); n != nil {
			a.Encloser = encloser
			z.answer(n, qtype, s, a)
			return
		}
	}
	a.Outcome = NameError
}

// closest returns how many labels a name that does not exist has below the closest name that does, and that one's node;
// nil: not even the apex exists. above holds the offsets of the labels below the apex.
//
// If a name exists, all names above it exist too, if only as empty non-terminals. So below the closest name that
// exists, the search skips half of the labels that are left at a time. Only clients that want to keep a server busy
// send names with many such labels.
func (t *tree) closest(name []byte, above []uint8, apex int) (found int, n node) {
	const oneByOne = 4
	for found = 1; found < min(len(above), oneByOne); found++ {
		if n = t.find(name[above[found]:]); n != nil {
			return found, n
		}
	}
	for end := len(above); found < end; { // what has end labels less exists
		middle := (found + end) / 2
		if one := t.find(name[above[middle]:]); one != nil {
			end, n = middle, one
		} else {
			found = middle + 1
		}
	}
	if n == nil {
		n = t.find(name[apex:])
	}
	return max(found, 1), n
}

// hiding is an RRset at or above a name that answers instead of it.
type hiding struct {
	at  int // offset of its owner in the name; -1: there is none
	typ rr.Type
	set Set
}

// hider finds an RRset between the apex and a name that answers instead of it: the NS of a cut, for names at and below
// it (RFC 1034 section 4.2.1), or a DNAME, for names below it (RFC 6672 section 2.4). The one nearest to the apex wins,
// and at one name the cut. found is the number of labels before the closest existing name, whose node is n.
func (z *zone) hider(name []byte, above []uint8, found int, n node) hiding {
	t := z.tree
	if t.top && len(above) > 0 {
		at := len(name) - len(z.origin)
		if count, wire := t.find(name[at:]).set(rr.TypeDNAME); wire != nil {
			return hiding{at, rr.TypeDNAME, Set{Wire: wire, Count: count, Owner: at}}
		}
	}
	for i := len(above) - 1; i >= found; i-- {
		c, at := n, int(above[i])
		if i > found {
			if c = t.find(name[at:]); c == nil {
				continue
			}
		}
		typ := rr.TypeNS
		if !c.cut() {
			if typ = rr.TypeDNAME; !c.turn() || i == 0 {
				continue
			}
		}
		count, wire := c.set(typ)
		return hiding{at, typ, Set{Wire: wire, Count: count, Owner: at}}
	}
	return hiding{at: -1}
}

// redirect replaces the DNAME's owner in the name with the DNAME's target (RFC 6672 section 2.2).
func (a *Answer) redirect(name []byte, dname Set) {
	a.Outcome, a.Answer = Redirect, dname
	a.lower = appendLower(a.lower[:0], name[:dname.Owner])
	size := int(binary.BigEndian.Uint16(dname.Wire[recordHead-2:]))
	a.lower = appendLower(a.lower, dname.Wire[recordHead:recordHead+size])
	if a.Target = a.lower; len(a.Target) > rr.MaxName {
		a.Outcome, a.Target = TooLong, nil
	}
}

// answer takes what a node has for a type. The owner is the name that was asked for, even if the node is a wildcard.
func (z *zone) answer(n node, qtype rr.Type, s *Snapshot, a *Answer) {
	a.source = n.name()
	if qtype == rr.TypeRRSIG && (z.signing != nil || z.sealed != nil) {
		qtype = rr.TypeANY // one is enough, as for ANY: that of the set that ANY would be answered with
	}
	if number := n.policy(); number >= 0 {
		a.Alone = n.count() == 0
		switch p := s.policies[number]; {
		case p.Alias && a.Alone: // a CNAME stands alone (RFC 2181 section 10.1) and answers for every type
			a.Outcome, a.Policy, a.Family = Steered, p, steer.Name
			return
		case qtype == rr.TypeA || qtype == rr.TypeANY:
			a.Outcome, a.Policy, a.Family = Steered, p, steer.V4
			return
		case qtype == rr.TypeAAAA:
			a.Outcome, a.Policy, a.Family = Steered, p, steer.V6
			return
		}
	}
	if count, wire := n.set(qtype); wire != nil {
		if a.Outcome, a.Answer = Positive, (Set{Wire: wire, Count: count}); count == 0 {
			a.Outcome = Missed
		}
		return
	}
	if qtype == rr.TypeANY && n.count() > 0 { // one RRset suffices (RFC 8482 section 4.1)
		count, wire := n.first()
		if a.Outcome, a.Answer = Positive, (Set{Wire: wire, Count: count}); count == 0 {
			a.Outcome = Missed
		}
		return
	}
	// Only RRSIG and NSEC may exist beside a CNAME (RFC 4035 section 2.5), so a question for them is about the alias
	// itself. If the zone has NSEC3, there is no NSEC: with CNAME in its bitmap, no record would prove that.
	if count, wire := n.set(rr.TypeCNAME); wire != nil && qtype != rr.TypeRRSIG &&
		(qtype != rr.TypeNSEC || z.hashes()) {
		if count == 0 {
			a.Outcome = Missed
			return
		}
		a.lower = appendLower(a.lower[:0], wire[recordHead:])
		a.Outcome, a.Answer, a.Target = Alias, Set{Wire: wire, Count: count}, a.lower
		return
	}
	a.Outcome = NoData
	if z.tree.holes > 0 {
		if _, policy := n.set(0); policy != nil {
			a.Outcome = Missed
			return
		}
	}
	if number := n.policy(); number >= 0 {
		if p := s.policies[number]; p.Denies {
			a.Policy = p
		}
	}
}

// recordHead is the length of a record in a Set before its RDATA, in octets.
const recordHead = 12

// reset empties the answer and keeps its scratch space. Clearing all of it would cost a tenth of a look-up. So fields
// that count only for some outcomes stay, except Policy, which would keep a geo table in memory.
func (a *Answer) reset() {
	a.Outcome, a.Policy, a.Family, a.Alone = Refused, nil, 0, false
	a.Answer.Owner, a.Zone, a.Encloser, a.Hash = 0, 0, 0, 0
}

// appendLower appends a name in lower case. Label lengths are below 64, and so are not letters.
func appendLower(dst, name []byte) []byte {
	for _, c := range name {
		if c-'A' < 26 {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}
