package snapshot

import (
	"encoding/binary"

	"leeward/zones"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
)

// This file has a signed zone as transfers see it: what an unsigned one has, with the signatures of one epoch, and a
// chain of denial whose records list what is handed on. A bitmap may list less than the one that is answered here. A
// steered name is handed on with the addresses of one pool, while here it may have those of any.

// Signed reports whether the zone is signed here.
func (z *Zone) Signed() bool { return z.zone.signing != nil }

// MadeBySigning returns the RDATA of the records of a type that signing adds at the apex. It returns nil if there are
// none, or if the zone is not signed here.
func (z *Zone) MadeBySigning(typ rr.Type) (all [][]byte) {
	if !z.Signed() || !typ.MadeBySigning() {
		return nil
	}
	count, wire := z.zone.tree.find([]byte(z.zone.origin)).set(typ)
	for range count {
		size := recordHead + int(binary.BigEndian.Uint16(wire[recordHead-2:]))
		all, wire = append(all, wire[recordHead:size]), wire[size:]
	}
	return all
}

// hand writes the RRsets of a signed zone with their signatures.
type hand struct {
	*Zone
	f    func(name []byte, typ rr.Type, count int, wire []byte) bool
	more bool
	err  error

	data [][]byte
	wire []byte
	rest []byte // RDATA of RRSIGs
}

// eachSigned does what Each does, for a signed zone.
func (z *Zone) eachSigned(f func(name []byte, typ rr.Type, count int, wire []byte) bool) error {
	h := &hand{Zone: z, f: f, more: true}
	z.zone.tree.each(func(n node) {
		if h.goesOn() {
			h.node(n)
		}
	})
	h.chain()
	return h.err
}

func (h *hand) goesOn() bool { return h.more && h.err == nil }

// node writes what a name has, except denial. What is at or below a cut is not ours to sign, except DS. What a DNAME
// hides is left out: it is never in an answer, and Knot refuses a zone that has it.
func (h *hand) node(n node) {
	name := n.name()
	hidden, cut := h.zone.hidden(name, n), n.cut()
	if hidden && h.zone.redirected(name, n) {
		return
	}
	chosen := n.policy() >= 0
	h.Zone.node(n, func(typ rr.Type, count int, wire []byte) bool {
		if h.more = h.f(name, typ, count, wire); h.more && !hidden && (!cut || typ == rr.TypeDS) {
			h.sign(name, typ, count, wire, chosen && hides(typ))
		}
		return h.goesOn()
	})
}

// sign writes the signatures of an RRset. chosen says that it comes from a policy.
func (h *hand) sign(name []byte, typ rr.Type, count int, wire []byte, chosen bool) {
	if seals := h.zone.signing.sealsOf(name, typ, wire); seals != nil {
		h.more = h.f(name, rr.TypeRRSIG, countOf(seals), seals)
		return
	}
	signer := h.zone.signing.signer
	ttl := binary.BigEndian.Uint32(wire[6:])
	id := signer.Begin(name, typ, ttl)
	h.data = h.data[:0]
	for range count {
		size := recordHead + int(binary.BigEndian.Uint16(wire[recordHead-2:]))
		signer.Add(&id, wire[recordHead:size])
		h.data = append(h.data, wire[recordHead:size])
		wire = wire[size:]
	}
	set := dnssec.Set{Owner: rr.Name(name), Type: typ, TTL: ttl, Data: h.data}
	sign, add := h.generation.Sign, h.generation.AppendRRSIGs
	if chosen && count > 1 {
		sign, add = h.generation.SignChosen, h.generation.AppendChosen
	}
	made := false
	for !made && h.err == nil { // again only if it was dropped at the same moment
		if h.rest, made = add(h.rest[:0], id, name, typ, ttl); !made {
			h.err = sign(id, set)
		}
	}
	if h.err != nil {
		return
	}
	size := h.generation.SignatureLength()
	h.wire = h.wire[:0]
	for at := 0; at < len(h.rest); at += size {
		h.wire = appendRecord(h.wire, rr.TypeRRSIG, ttl, h.rest[at:at+size])
	}
	h.more = h.f(name, rr.TypeRRSIG, len(h.rest)/size, h.wire)
}

// chain writes the records of denial, from first to last. A name without anything to hand on, such as one with a policy
// of hostnames, has no NSEC record (RFC 4035 section 2.3).
func (h *hand) chain() {
	z, g := h.zone, h.zone.signing
	nsec3 := g.signer.NSEC3()
	var first, last []byte // keys of the chain
	var types []rr.Type    // of the last name
	var name []byte
	g.chain.Each(func(key []byte) {
		if !h.goesOn() {
			return
		}
		name = z.named(name[:0], key)
		has := h.types(z.tree.find(name))
		if len(has) == 0 && !nsec3 {
			return
		}
		if first == nil {
			first = key
		}
		h.link(last, key, types)
		last, types = key, has
	})
	h.link(last, first, types)
}

// link writes the record at one key of the chain that leads to the next, with its signatures. It writes nothing if at
// is empty.
func (h *hand) link(at, next []byte, types []rr.Type) {
	if at == nil || !h.goesOn() {
		return
	}
	g := h.zone.signing
	var l link
	l.lay(h.zone, at, next, types)
	h.wire = appendRecord(h.wire[:0], g.proof(), g.ttl, l.data)
	wire := h.wire
	if h.more = h.f(l.owner, g.proof(), 1, wire); h.more {
		h.wire = nil
		h.sign(l.owner, g.proof(), 1, wire, false)
	}
}

// types returns the types in the bitmap of a node.
func (h *hand) types(n node) (types []rr.Type) {
	if n == nil {
		return nil
	}
	cut, signed := n.cut(), false
	h.Zone.node(n, func(typ rr.Type, _ int, _ []byte) bool {
		if !cut || typ == rr.TypeNS || typ == rr.TypeDS {
			types = append(types, typ)
			signed = signed || !cut || typ == rr.TypeDS
		}
		return true
	})
	if len(types) == 0 {
		return nil
	}
	if !h.zone.signing.signer.NSEC3() {
		types, signed = append(types, rr.TypeNSEC), true
	}
	if signed {
		types = append(types, rr.TypeRRSIG)
	}
	return types
}

// serialEpoch is the number of the epoch from which the serials of signed zones count: 1 January 2026.
const serialEpoch = 20454

// turnsADay is how many times a day the keys of a zone may change what they do with an effect on its serial.
const turnsADay = 8

// turned returns what signing adds to the serial of a zone that has secondaries. It rises with each epoch, because the
// signatures change, and in between when a key begins or ends something: a key of the zone, or of a zone whose CDS it
// has too. It is the same on all servers that have the same keys.
func (u *update) turned(z *zones.Zone) uint32 {
	signer := u.signers[z.Origin]
	if signer == nil || !u.transferred(z.Origin) {
		return 0
	}
	e := signer.Now().Epoch
	days := max(0, e.Number-serialEpoch)
	return uint32(days*turnsADay) + uint32(min(turnsADay-1, u.eventsOf(z.Origin, e)))
}
