package snapshot

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"leeward/zones"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
)

// A zone with something laid over it may keep what its primary has signed (dnssec.keep). One rule says which signatures
// hold: an RRset that equals the primary's octet by octet has the primary's signatures, and everything else is signed
// here. That applies to denial too. The chain is made here, from what is answered here. Where nothing is laid over a
// name or the next one, its record comes out the same as the primary's.
//
// A validator has one DNSKEY set, that of the primary, so our key must be in it. Each RRset needs a signature by each
// algorithm in that set (RFC 4035 section 2.2), so we must have a key of each.

// keys returns the RDATA of the DNSKEY records that the primary publishes.
func (v *Version) keys() (all [][]byte) {
	wire := v.made(v.origin, rr.TypeDNSKEY)
	for len(wire) > 0 {
		data := dataOf(wire)
		all, wire = append(all, data), wire[recordHead+len(data):]
	}
	return all
}

// made returns a set that the primary's signing adds or needs, except signatures, or nil if there is none.
func (v *Version) made(name rr.Name, typ rr.Type) []byte {
	n := v.proofs.find([]byte(name))
	if n == nil {
		return nil
	}
	_, wire := n.set(typ)
	return wire
}

// unkept says why a zone cannot keep its primary's signatures while something is laid over it. It returns "" if it can.
func (o *overlay) unkept(published [][]byte) string {
	const as = "what is laid over the zone is left out, and it is answered as the primary has signed it, as "
	k := o.keysOf(o.zone)
	switch {
	case k.keys == nil && k.err == nil:
		return as + "keys have not been looked for yet"
	case k.keys == nil:
		return as + k.err.Error()
	}
	own := k.keys.Among(published)
	if own == nil {
		var all []string
		for _, data := range k.keys.At(o.now()).DNSKEY {
			text, _ := rr.FormatData(rr.TypeDNSKEY, data)
			all = append(all, fmt.Sprintf("%s DNSKEY %s", o.apex, text))
		}
		return as + "the primary does not publish the key that signs here: add the record there (" +
			strings.Join(all, ", ") + "), and wait for the TTL of DNSKEY before anything is laid over the zone"
	}
	signs := map[dnssec.Algorithm]bool{}
	for _, key := range own.At(o.now()).Zone {
		signs[key.Algorithm()] = true
	}
	for _, data := range published {
		const zone, revoked = dnssec.FlagZone, dnssec.FlagRevoke
		flags, a := binary.BigEndian.Uint16(data), dnssec.Algorithm(data[3])
		if flags&zone != 0 && flags&revoked == 0 && !signs[a] {
			return as + fmt.Sprintf("the primary publishes keys of algorithm %s, and none of that signs here, so "+
				"nothing would have a signature by each algorithm (RFC 4035 2.2): have it publish one of ours too, or "+
				"take its own of that algorithm out", a)
		}
	}
	return ""
}

// follows reports whether a zone that keeps what its primary has signed can be made from an earlier one. Each is nil if
// it keeps nothing.
func (g *sealed) follows(old *sealed) bool {
	if g == nil || old == nil {
		return g == old
	}
	return g.hashing.same(old.hashing) && g.version.proofs.differs(old.version.proofs, map[rr.Name]bool{})
}

// hashes reports whether the primary's NSEC3 records are hashed like ours.
func (g *sealed) hashes() bool { return g.hashing.same(&hashing{}) }

// keySets returns the edits that give the zone what the primary's signing adds, except denial and signatures. base is
// the tree that is edited: that of the zone before, or the primary's.
func (o *overlay) keySets(g *sealed, base *tree, before *zone) (edits []edit) {
	names := map[rr.Name]bool{}
	if before != nil && base == before.tree {
		o.version.proofs.differs(before.version.proofs, names)
	} else {
		for n := range o.version.proofs.nodes {
			if g.keys(n) {
				names[rr.Name(n.name())] = true
			}
		}
	}
	for name := range names {
		ours := func(typ rr.Type) bool {
			return slices.ContainsFunc(o.catalog.RecordsAt(o.origin, zones.OwnerIn(name, o.apex)),
				func(r *zones.Record) bool { e, ok := o.put(o.zone, o.apex, r); return ok && e.typ == typ })
		}
		if n := o.version.proofs.find([]byte(name)); n != nil {
			n.each(func(typ rr.Type, count int, wire []byte) {
				if !denies(typ) && !ours(typ) {
					edits = append(edits, edit{name: name, kind: putSet, typ: typ, set: func(dst []byte) ([]byte, int) {
						return append(dst, wire...), count
					}})
				}
			})
		}
		if n := base.find([]byte(name)); n != nil {
			n.each(func(typ rr.Type, _ int, _ []byte) {
				if made(name == o.apex, typ) && o.version.made(name, typ) == nil && !ours(typ) {
					edits = append(edits, edit{name: name, kind: dropSet, typ: typ})
				}
			})
		}
	}
	if g.hashing != nil && !g.hashes() {
		param := func(dst []byte) ([]byte, int) {
			return appendRecord(dst, rr.TypeNSEC3PARAM, 0, dnssec.NSEC3PARAM()), 1
		}
		edits = append(edits, edit{name: o.apex, kind: putSet, typ: rr.TypeNSEC3PARAM, set: param})
	}
	return edits
}

// keepHealth finds out when the primary's signatures expire.
func (o *overlay) keepHealth(g *sealed, before *zone) {
	var old *sealed
	var names map[rr.Name]bool
	if before != nil && before.signing != nil && before.signing.theirs != nil {
		if names = o.version.differs(before.version, true); names != nil {
			old = before.signing.theirs
		}
	}
	g.expiries(old, names, o.now())
	o.tell(g)
}

// seals returns the primary's RRSIGs of an RRset if they hold, or nil if it is signed here.
func (g *signing) seals(owner []byte, typ rr.Type) []byte {
	if g.kept == nil {
		return nil
	}
	return sealsIn(g.kept, owner, typ)
}

// sealsOf is seals for a set as it is handed on. At a record of denial, that set may differ from the one that is
// answered.
func (g *signing) sealsOf(owner []byte, typ rr.Type, wire []byte) []byte {
	seals := g.seals(owner, typ)
	if seals != nil && denies(typ) && !bytes.Equal(g.theirs.version.made(rr.Name(owner), typ)[2:], wire[2:]) {
		return nil
	}
	return seals
}

// countOf returns the number of records in the wire form of a set.
func countOf(wire []byte) (count int) {
	for ; len(wire) > 0; count++ {
		wire = wire[recordHead+len(dataOf(wire)):]
	}
	return count
}

// deniedBy returns the name whose record of denial has this owner, or "" if there is none.
func (z *zone) deniedBy(owner rr.Name) rr.Name {
	var key []byte
	if z.signing.signer.NSEC3() {
		hash, ok := dnssec.ParseHashed([]byte(owner[1 : 1+int(owner[0])]))
		if !ok || owner[1+int(owner[0]):] != z.origin {
			return ""
		}
		last := append(hash[:], bytes.Repeat([]byte{255}, 4)...) // in a key, the name follows the hash
		at, _, _ := z.signing.chain.Find(last)
		if !bytes.HasPrefix(at, hash[:]) {
			return ""
		}
		key = at
	} else {
		key = z.key(nil, []byte(owner))
		if _, _, exact := z.signing.chain.Find(key); !exact {
			return ""
		}
	}
	return rr.Name(z.named(nil, key))
}

// holds reports whether an RRset equals the primary's.
func (z *zone) holds(s *Snapshot, owner rr.Name, typ rr.Type) bool {
	v := z.signing.theirs.version
	if denies(typ) {
		wire, name := v.made(owner, typ), z.deniedBy(owner)
		if name == "" || wire == nil || typ != z.signing.proof() || binary.BigEndian.Uint32(wire[6:]) != z.signing.ttl {
			return false
		}
		if n := z.tree.find([]byte(name)); n != nil && n.policy() >= 0 { // to some clients it answers something else
			return false
		}
		at, next, _ := z.signing.chain.Find(z.key(nil, []byte(name)))
		var l link
		l.fill(z, s, at, next, nil)
		return len(wire) == recordHead+len(l.data) && bytes.Equal(dataOf(wire), l.data)
	}
	n := z.tree.find([]byte(owner))
	if n == nil || n.policy() >= 0 && hides(typ) {
		return false
	}
	_, ours := n.set(typ)
	if made(owner == z.origin, typ) {
		return ours != nil && bytes.Equal(ours, v.made(owner, typ))
	}
	if there := v.tree.find([]byte(owner)); there != nil {
		_, wire := there.set(typ)
		return ours != nil && bytes.Equal(ours, wire)
	}
	return false
}

// keepAll finds out which of the primary's signatures hold.
func (z *zone) keepAll(s *Snapshot) {
	g := z.signing
	if g.theirs == nil {
		return
	}
	seals := g.theirs.version.seals
	var edits []edit
	for n := range seals.nodes {
		owner := rr.Name(n.name())
		n.each(func(typ rr.Type, _ int, _ []byte) {
			if !z.holds(s, owner, typ) {
				edits = append(edits, edit{name: owner, kind: dropSet, typ: typ})
			}
		})
	}
	if g.kept = seals; len(edits) > 0 {
		g.kept = seals.apply(z.origin, edits)
	}
}

// keepSince does what keepAll does, but only for what may have changed since an older version of the zone: names, and
// what the primary has signed since. It adds to names those whose signatures must be made now. It reports whether it
// could.
func (z *zone) keepSince(s *Snapshot, old *zone, names map[rr.Name]bool) bool {
	g, was := z.signing, old.signing
	if g.theirs == nil || was.theirs == nil {
		return g.theirs == was.theirs
	}
	if g.ttl != was.ttl { // that of all records of denial
		return false
	}
	owners := g.theirs.version.differs(was.theirs.version, true)
	if owners == nil {
		return false
	}
	for owner := range owners {
		if name := z.deniedBy(owner); name != "" {
			names[name] = true
		}
	}
	maps.Copy(owners, names)
	if g.signer.NSEC3() {
		for name := range names {
			hash := dnssec.Hash([]byte(name))
			owners[rr.Name(append(dnssec.AppendHashed(nil, hash[:]), z.origin...))] = true
		}
	}
	var edits []edit
	for owner := range owners {
		names[owner] = true
		is := map[rr.Type]bool{}
		if n := g.theirs.version.seals.find([]byte(owner)); n != nil {
			n.each(func(typ rr.Type, count int, wire []byte) {
				if is[typ] = z.holds(s, owner, typ); is[typ] && !bytes.Equal(was.seals([]byte(owner), typ), wire) {
					seals := func(dst []byte) ([]byte, int) { return append(dst, wire...), count }
					edits = append(edits, edit{name: owner, kind: putSet, typ: typ, set: seals})
				}
			})
		}
		if n := was.kept.find([]byte(owner)); n != nil {
			n.each(func(typ rr.Type, _ int, _ []byte) {
				if !is[typ] {
					edits = append(edits, edit{name: owner, kind: dropSet, typ: typ})
				}
			})
		}
	}
	if g.kept = was.kept; len(edits) > 0 {
		g.kept = was.kept.apply(z.origin, edits)
	}
	return true
}

// keepsAlike reports whether two versions of a zone keep the same signatures of the primary at an owner.
func (g *signing) keepsAlike(was *signing, owner rr.Name) bool {
	if g.kept == was.kept {
		return true
	}
	if g.kept == nil || was.kept == nil {
		return false
	}
	a, b := g.kept.find([]byte(owner)), was.kept.find([]byte(owner))
	return a == nil && b == nil || a != nil && b != nil && alike(a, b)
}
