package snapshot

import (
	"bytes"
	"encoding/binary"
	"slices"

	"leeward/zones/dnssec"
	"leeward/zones/rr"
)

// sealed is the signatures and the denial of a zone that its primary signs. They are answered and handed on as they
// are, where nothing is laid over the zone. It never changes.
type sealed struct {
	version *Version
	chain   *dnssec.Chain // owners of the records of denial, in their order
	hashing *hashing      // how NSEC3 records get their owners; nil: denial is by NSEC
	keyed   []rr.Name     // names with what signing adds or needs, except signatures and denial
	found   findings
}

// hashing is the content of an NSEC3PARAM record (RFC 5155 section 4).
type hashing struct {
	salt       []byte
	iterations int
}

// mostIterations is the largest number of additional iterations of a hash. A negative answer costs up to four times as
// many, and whoever sends queries decides how many such answers there are. No resolver accepts so many (RFC 9276
// section 3.2), so nothing is lost that anybody would accept. If a zone has more, nothing is proven.
const mostIterations = 500

// denies reports whether records of the type belong to the zone's chain.
func denies(typ rr.Type) bool { return typ == rr.TypeNSEC || typ == rr.TypeNSEC3 }

// newSealed returns the signatures and denial of a version, without the chain and its health. Denial is by NSEC if the
// apex has an NSEC record; a zone that changes to NSEC3 has one until the new chain is whole. With neither, there is no
// denial.
func newSealed(v *Version) *sealed {
	g := &sealed{version: v}
	n := v.proofs.find([]byte(v.origin))
	if n == nil {
		return g
	}
	if count, _ := n.set(rr.TypeNSEC); count > 0 {
		return g
	}
	count, wire := n.set(rr.TypeNSEC3PARAM)
	for range count {
		data := dataOf(wire)
		wire = wire[recordHead+len(data):]
		if len(data) >= 5 && data[0] == 1 && data[1] == 0 && len(data) == 5+int(data[4]) {
			g.hashing = &hashing{data[5:], int(binary.BigEndian.Uint16(data[2:]))}
			break
		}
	}
	return g
}

// same reports whether two zones hash in the same way.
func (h *hashing) same(o *hashing) bool {
	return h == nil && o == nil ||
		h != nil && o != nil && h.iterations == o.iterations && bytes.Equal(h.salt, o.salt)
}

// dataOf returns the RDATA of the first record of a set.
func dataOf(wire []byte) []byte {
	return wire[recordHead : recordHead+int(binary.BigEndian.Uint16(wire[recordHead-2:]))]
}

// key appends the key that a name, in wire form and lower case, has in the chain.
func (g *sealed) key(dst []byte, z *zone, name []byte) []byte {
	if h := g.hashing; h != nil {
		hash := dnssec.HashSalted(name, h.salt, h.iterations)
		return append(dst, hash[:]...)
	}
	var offsets [128]uint8
	return dnssec.AppendOrderKey(dst, name, offsets[:z.above(name, &offsets)])
}

// owner appends the owner of the record that belongs to a key of the chain.
func (g *sealed) owner(dst, key []byte) []byte {
	if g.hashing != nil {
		dst = dnssec.AppendHashed(dst, key)
	} else {
		dst = dnssec.AppendKeyName(dst, key)
	}
	return append(dst, g.version.origin...)
}

// link returns the key in the chain of the record of denial at a node of the version's proofs. ok is false if there is
// none.
func (g *sealed) link(z *zone, n node) (key []byte, ok bool) {
	if g.record(n) == nil {
		return nil, false
	}
	if g.hashing == nil {
		return g.key(nil, z, n.name()), true
	}
	name := n.name()
	hash, ok := dnssec.ParseHashed(name[1 : 1+int(name[0])])
	if !ok || string(name[1+int(name[0]):]) != string(g.version.origin) {
		return nil, false
	}
	return hash[:], true
}

// record returns the record of denial at a node of the version's proofs, as in a Set, or nil if there is none.
func (g *sealed) record(n node) []byte {
	if n == nil {
		return nil
	}
	if g.hashing == nil {
		_, wire := n.set(rr.TypeNSEC)
		return wire
	}
	count, wire := n.set(rr.TypeNSEC3)
	for range count {
		data := dataOf(wire)
		if g.hashing.made(data) {
			return wire[:recordHead+len(data)]
		}
		wire = wire[recordHead+len(data):]
	}
	return nil
}

// made reports whether an NSEC3, given by its RDATA, belongs to the chain with this hashing.
func (h *hashing) made(data []byte) bool {
	return len(data) >= 5 && data[0] == 1 && int(binary.BigEndian.Uint16(data[2:])) == h.iterations &&
		int(data[4]) == len(h.salt) && bytes.HasPrefix(data[5:], h.salt)
}

// Secure reports whether the zone that answers has signatures, by us or by its primary. The outcome must not be
// Refused.
func (a *Answer) Secure() bool { return a.in != nil && (a.in.signing != nil || a.in.sealed != nil) }

// Seals returns the primary's RRSIGs of an RRset, in the form of a Set, or nil if none hold. owner is in wire form and
// lower case; a wildcard is given as such.
func (a *Answer) Seals(owner []byte, typ rr.Type) []byte {
	switch z := a.in; {
	case z.sealed != nil:
		return sealsIn(z.sealed.version.seals, owner, typ)
	case z.signing != nil:
		return z.signing.seals(owner, typ)
	}
	return nil
}

// sealsIn returns the RRSIGs of an RRset in a tree of RRSIGs.
func sealsIn(seals *tree, owner []byte, typ rr.Type) []byte {
	n := seals.find(owner)
	if n == nil {
		return nil
	}
	_, wire := n.set(typ)
	return wire
}

// has reports whether a name has a record in the chain.
func (g *sealed) has(d *Denial, z *zone, name []byte) bool {
	if g.chain.Len() == 0 {
		return false
	}
	d.key = g.key(d.key[:0], z, name)
	_, _, exact := g.chain.Find(d.key)
	return exact
}

// prove adds the record at a name or, if there is none, the one that covers the name. It adds no record twice.
func (g *sealed) prove(d *Denial, z *zone, name []byte) {
	if g.chain.Len() == 0 || len(d.Proofs) == len(d.links) {
		return
	}
	d.key = g.key(d.key[:0], z, name)
	at, _, _ := g.chain.Find(d.key)
	l := &d.links[len(d.Proofs)]
	l.owner = g.owner(l.owner[:0], at)
	if slices.ContainsFunc(d.Proofs, func(p Proof) bool { return bytes.Equal(p.Owner, l.owner) }) {
		return
	}
	record := g.record(g.version.proofs.find(l.owner))
	if record == nil {
		return
	}
	ttl := binary.BigEndian.Uint32(record[6:])
	d.Proofs = append(d.Proofs, Proof{
		Owner: l.owner, Type: rr.Type(binary.BigEndian.Uint16(record[2:])), TTL: ttl, Whole: ttl, Data: dataOf(record),
	})
}

// enclose proves which name above one without a record is the closest that has one, and that the next closer name has
// none (RFC 5155 section 7.2.1). It returns where the closest one begins. If the chain leaves out an unsigned
// delegation, or what leads only to such, then that is all that can be shown (section 6).
//
// exists is where the closest existing name begins. No name below it is in the chain, so none of those is hashed,
// however many labels a question has.
func (g *sealed) enclose(d *Denial, z *zone, name []byte, exists int) (encloser int) {
	apex, below := len(name)-len(z.origin), 0
	if exists > 0 {
		below = closer(name, exists)
	}
	for encloser = exists; encloser < apex && (encloser == 0 || !g.has(d, z, name[encloser:])); {
		below = encloser
		encloser += 1 + int(name[encloser])
	}
	g.prove(d, z, name[encloser:])
	g.prove(d, z, name[below:])
	return encloser
}

// noData does what Snapshot.NoData does.
func (g *sealed) noData(d *Denial, a *Answer, name []byte) {
	z := a.in
	switch {
	case a.Encloser > 0:
		g.expanded(d, a, name)
		if g.hashing != nil {
			g.prove(d, z, name[a.Encloser:])
		}
	case g.hashing != nil && !g.has(d, z, a.source):
		g.enclose(d, z, a.source, 0)
		return
	}
	g.prove(d, z, a.source)
}

func (g *sealed) expanded(d *Denial, a *Answer, name []byte) {
	if g.hashing != nil {
		name = name[closer(name, a.Encloser):]
	}
	g.prove(d, a.in, name)
}

// nameError does what Snapshot.NameError does. encloser is where the closest existing name begins.
func (g *sealed) nameError(d *Denial, z *zone, name []byte, encloser int) {
	if g.hashing != nil {
		encloser = g.enclose(d, z, name, encloser)
	} else {
		g.prove(d, z, name)
	}
	d.name = append(append(d.name[:0], 1, '*'), name[encloser:]...)
	g.prove(d, z, d.name)
}

// insecure proves that a cut has no DS.
func (g *sealed) insecure(d *Denial, z *zone, cut []byte) {
	if g.hashing != nil && !g.has(d, z, cut) {
		g.enclose(d, z, cut, 0)
		return
	}
	g.prove(d, z, cut)
}

// eachSealed calls f with what Each leaves out in a zone that its primary signs: denial and signatures.
func (z *Zone) eachSealed(f func(name []byte, typ rr.Type, count int, wire []byte) bool) {
	v := z.zone.sealed.version
	for n := range v.proofs.nodes {
		if !n.denial(func(typ rr.Type, count int, wire []byte) bool { return f(n.name(), typ, count, wire) }) {
			return
		}
	}
	for n := range v.seals.nodes {
		more := true
		n.each(func(_ rr.Type, count int, wire []byte) { more = more && f(n.name(), rr.TypeRRSIG, count, wire) })
		if !more {
			return
		}
	}
}

// denial calls f with the records of denial at a node, until f returns false. It reports whether f never did.
func (n node) denial(f func(typ rr.Type, count int, wire []byte) bool) bool {
	more := true
	n.each(func(typ rr.Type, count int, wire []byte) { more = more && (!denies(typ) || f(typ, count, wire)) })
	return more
}

// at calls f with a name's denial and signatures.
func (g *sealed) at(name []byte, f func(typ rr.Type, count int, wire []byte) bool) {
	if n := g.version.proofs.find(name); n != nil {
		n.denial(f)
	}
	if n := g.version.seals.find(name); n != nil {
		n.each(func(_ rr.Type, count int, wire []byte) { f(rr.TypeRRSIG, count, wire) })
	}
}
