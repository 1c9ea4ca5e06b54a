package snapshot

import (
	"bytes"
	"encoding/binary"
	"time"
	"unsafe"

	"leeward/zones"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
	"leeward/zones/steer"
)

// Zone is one zone of a snapshot as transfers see it: all RRsets, with each policy as the RRsets that it has without a
// client and without health (steer.Policy.Fixed). It keeps only the parts of the snapshot that it needs.
type Zone struct {
	zone     *zone
	policies []*steer.Policy
	program  *steer.Program

	generation *dnssec.Generation // nil: the zone is not signed
}

// Zone returns the zone with that origin, or nil if there is none.
func (s *Snapshot) Zone(origin rr.Name) *Zone {
	at, ok := s.origins[origin]
	if !ok {
		return nil
	}
	return s.handed(s.zones[at])
}

func (s *Snapshot) handed(z *zone) *Zone {
	out := &Zone{zone: z, policies: s.policies, program: s.program}
	if z.signing != nil {
		out.generation = z.signing.signer.Now()
	}
	return out
}

// EachZone calls f with each zone, in any order, until f returns false.
func (s *Snapshot) EachZone(f func(*Zone) bool) {
	for _, z := range s.zones {
		if !f(s.handed(z)) {
			return
		}
	}
}

// Origin returns the zone's origin.
func (z *Zone) Origin() rr.Name { return z.zone.origin }

// Current reports whether the zone can be transferred. A zone that lives elsewhere must have been transferred here, and
// not have expired.
func (z *Zone) Current() bool { return z.zone.standing == current }

// Elsewhere reports whether the zone lives on another primary.
func (z *Zone) Elsewhere() bool { return z.zone.elsewhere }

// Whole reports whether everything that is configured in the zone could be read. A zone that is not whole must not be
// transferred.
func (z *Zone) Whole() bool { return z.zone.tree.holes == 0 }

// Names returns the number of names, including empty non-terminals.
func (z *Zone) Names() int { return z.zone.tree.names }

// Sets returns the number of static RRsets, without what signing makes.
func (z *Zone) Sets() int { return z.zone.tree.sets }

// Transfer returns who may transfer the zone and who is notified of changes. nil: nobody.
func (z *Zone) Transfer() *zones.Transfer { return z.zone.transfer }

// SOA returns the zone's SOA record in the form of a Set: two octets for the owner, TYPE, CLASS, TTL, RDLENGTH and
// RDATA. It returns nil if the zone has no records yet.
func (z *Zone) SOA() []byte {
	n := z.zone.tree.find([]byte(z.zone.origin))
	if n == nil {
		return nil
	}
	_, wire := n.set(rr.TypeSOA)
	return wire
}

// Serial returns the SOA's serial.
func (z *Zone) Serial() uint32 { return SerialOf(z.SOA()) }

// SerialOf returns the serial of an SOA record, which must end with its RDATA. It returns 0 if soa is not an SOA.
func SerialOf(soa []byte) uint32 {
	if len(soa) < 20 {
		return 0
	}
	return binary.BigEndian.Uint32(soa[len(soa)-20:])
}

// Each calls f with every RRset, including the SOA, in the order of the tree, until f returns false. The name is in
// wire form, the records are as in a Set. Both are good until f returns. In a signed zone each RRset is followed by its
// signatures, as an RRset of their own, and denial comes last; the error says what could not be signed.
func (z *Zone) Each(f func(name []byte, typ rr.Type, count int, wire []byte) bool) error {
	if z.Signed() {
		return z.eachSigned(f)
	}
	more := true
	z.zone.tree.each(func(n node) {
		more = more && z.node(n, func(typ rr.Type, count int, wire []byte) bool {
			return f(n.name(), typ, count, wire)
		})
	})
	if more && z.zone.sealed != nil {
		z.eachSealed(f)
	}
	return nil
}

// Lacks says why Each would not tell all of a zone: a server without keys has the signatures of what is answered, and
// what is handed on of a steered name is an RRset of its own, with a record of denial of its own.
func (z *Zone) Lacks() error {
	if z.zone.signing == nil || z.zone.signing.signer.Keys().Hand() == nil {
		return nil
	}
	return z.Each(func([]byte, rr.Type, int, []byte) bool { return true })
}

// LongestTTL returns the longest TTL in the zone. It walks all of it.
func (z *Zone) LongestTTL() (longest time.Duration) {
	z.zone.tree.each(func(n node) {
		z.node(n, func(_ rr.Type, _ int, wire []byte) bool {
			longest = max(longest, time.Duration(binary.BigEndian.Uint32(wire[6:]))*time.Second)
			return true
		})
	})
	return longest
}

// node calls f with every RRset of a name.
func (z *Zone) node(n node, f func(typ rr.Type, count int, wire []byte) bool) bool {
	more := true
	var p *steer.Policy
	if number := n.policy(); number >= 0 {
		p = z.policies[number]
	}
	n.each(func(typ rr.Type, count int, wire []byte) {
		if p != nil && hides(typ) || count == 0 {
			return
		}
		more = more && f(typ, count, wire)
	})
	if p == nil || !more {
		return more
	}
	for family, typ := range [...]rr.Type{steer.V4: rr.TypeA, steer.V6: rr.TypeAAAA} {
		addresses, _ := p.Fixed(z.program, steer.Family(family))
		width := 4 << (2 * family)
		var wire []byte
		for at := 0; at < len(addresses); at += width {
			wire = appendRecord(wire, typ, p.TTL, addresses[at:at+width])
		}
		if len(wire) > 0 {
			if !f(typ, len(addresses)/width, wire) {
				return false
			}
			more = false // there is an address, so no CNAME
		}
	}
	if more && n.count() == 0 {
		if _, target := p.Fixed(z.program, steer.Name); target != "" {
			return f(rr.TypeCNAME, 1, appendRecord(nil, rr.TypeCNAME, p.TTL, []byte(target)))
		}
	}
	return true
}

// hides reports whether a policy replaces a name's RRset of that type.
func hides(typ rr.Type) bool { return typ == rr.TypeA || typ == rr.TypeAAAA || typ == rr.TypeCNAME }

// Diff calls f for each record that only one of two versions of a zone has, until f returns false: removed from old, or
// added in z. The record is as in a Set. Diff skips shards that both versions share, so it costs what has changed; but
// where signatures are of another day or other keys it costs the zone. Both versions must be signed here, or neither.
// The error says what could not be signed.
func (z *Zone) Diff(old *Zone, f func(added bool, name []byte, record []byte) bool) error {
	if z.Signed() {
		return z.diffSigned(old, f)
	}
	more := true
	seen := map[string]bool{}
	z.changed(old, func(name []byte) {
		if more && !seen[string(name)] {
			seen[string(name)] = true
			more = diffName(old, z, name, f)
		}
	})
	return nil
}

// changed calls at with each name that may have other records than in an older version, some of them more than once.
func (z *Zone) changed(old *Zone, at func(name []byte)) {
	for i, b := range z.zone.trees() {
		apart(old.zone.trees()[i], b, func(n node) { at(n.name()) })
	}
	if old.program == z.program && len(old.policies) == len(z.policies) &&
		(len(z.policies) == 0 || &old.policies[0] == &z.policies[0]) {
		return
	}
	for _, policies := range [...][]*steer.Policy{old.policies, z.policies} {
		for _, p := range policies {
			if p == nil {
				continue
			}
			if name, err := rr.ParseName(p.Name); err == nil && name.Under(z.zone.origin) {
				at([]byte(name))
			}
		}
	}
}

// trees returns all trees that a zone's records are in, in an order; nil: the zone has none of that kind.
func (z *zone) trees() [3]*tree {
	switch {
	case z.signing != nil:
		return [3]*tree{z.tree, nil, z.signing.kept}
	case z.sealed == nil:
		return [3]*tree{z.tree}
	}
	return [3]*tree{z.tree, z.sealed.version.proofs, z.sealed.version.seals}
}

// apart calls f with each name of the shards that two trees, which may be nil, do not share.
func apart(a, b *tree, f func(n node)) {
	alike := a != nil && b != nil && a.len() == b.len() && a.seed == b.seed
	for _, t := range [...]*tree{a, b} {
		if t == nil {
			continue
		}
		for i := range t.len() {
			if !alike || !a.at(i).same(b.at(i)) {
				t.at(i).each(f)
			}
		}
	}
}

// diffName does Diff for one name.
func diffName(old, now *Zone, name []byte, f func(added bool, name []byte, record []byte) bool) bool {
	before, after := old.records(name), now.records(name)
	for _, r := range before {
		if !contains(after, r) && !f(false, name, r) {
			return false
		}
	}
	for _, r := range after {
		if !contains(before, r) && !f(true, name, r) {
			return false
		}
	}
	return true
}

func contains(records [][]byte, r []byte) bool {
	for _, x := range records {
		if bytes.Equal(x, r) {
			return true
		}
	}
	return false
}

// records returns all records of a name.
func (z *Zone) records(name []byte) (all [][]byte) {
	take := func(_ rr.Type, count int, wire []byte) bool {
		for range count {
			size := recordHead + int(binary.BigEndian.Uint16(wire[recordHead-2:]))
			all = append(all, wire[:size])
			wire = wire[size:]
		}
		return true
	}
	if n := z.zone.tree.find(name); n != nil {
		z.node(n, take)
	}
	if z.zone.sealed != nil {
		z.zone.sealed.at(name, take)
	}
	return all
}

// signatureCost is about how many octets a signature that is kept takes, with its place in a table.
const signatureCost = 100

// Apart returns how many octets of the older version are not shared with z: what keeping the older version costs.
func (z *Zone) Apart(old *Zone) (octets int) {
	kept := make(map[*byte]bool, z.zone.tree.len())
	for _, t := range z.zone.trees() {
		t.blocks(func(b []byte) { kept[&b[0]] = true })
	}
	for _, t := range old.zone.trees() {
		t.blocks(func(b []byte) {
			if !kept[&b[0]] {
				octets += len(b)
			}
		})
		if t != nil {
			octets += int(unsafe.Sizeof(shard{})) * t.len()
		}
	}
	if old.generation != nil && !old.generation.Shares(z.generation) {
		octets += signatureCost * old.generation.Len()
	}
	return octets + 8*len(old.policies)
}

// blocks calls f with the block of each shard that has names. The tree may be nil.
func (t *tree) blocks(f func(block []byte)) {
	if t == nil {
		return
	}
	for i := range t.len() {
		if s := t.at(i); s.names > 0 {
			f(s.block)
		}
	}
}
