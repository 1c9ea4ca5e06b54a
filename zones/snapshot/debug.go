package snapshot

import (
	"bytes"
	"net/netip"
	"slices"

	"leeward/geo"
	"leeward/zones"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
	"leeward/zones/steer"
)

// DebugLabel is the first label of debug names in wire form.
const DebugLabel = "\x08" + zones.DebugLabel

// Debugged reports whether some zone has a debug name.
func (s *Snapshot) Debugged() bool { return s.debugged }

// Debug reports whether a name is the debug name of a zone, or below it, and whether a client with this address and
// this key may ask for it; key "" means none. name is in wire form and lower case; labels says where its labels begin.
// at is where the debug name begins in it. a is then set for the zone: its Zone, HashOf, Negative and Signer are right.
func (s *Snapshot) Debug(name []byte, labels []uint8, from netip.Addr, key string, a *Answer) (at int, may bool) {
	if !hasLabel(name, labels) {
		return 0, false
	}
	z, depth := s.zoneOf(name, labels, false)
	if z == nil || depth == 0 || !isDebug(name, labels[depth-1]) {
		return 0, false
	}
	for _, p := range z.debug {
		if p.Holds(from, key) {
			a.reset()
			a.in, a.Zone = z, len(name)-len(z.origin)
			return int(labels[depth-1]), true
		}
	}
	return 0, false
}

// hasLabel reports whether the name has the label of debug names. Hardly any name has.
func hasLabel(name []byte, labels []uint8) bool {
	if bytes.IndexByte(name, zones.DebugLabel[0]) < 0 {
		return false
	}
	return slices.ContainsFunc(labels, func(at uint8) bool { return isDebug(name, at) })
}

// isDebug reports whether the label at this offset is that of debug names.
func isDebug(name []byte, at uint8) bool {
	return int(name[at]) == len(zones.DebugLabel) && string(name[int(at)+1:int(at)+len(DebugLabel)]) == zones.DebugLabel
}

// Located says where a client is found to be.
type Located struct {
	geo.Location
	ASN uint32 // 0: not known
}

// Locate says where a client is. As in a policy, a private address that no database knows is taken to be where its
// resolver is. resolver may be invalid.
func (s *Snapshot) Locate(client, resolver netip.Addr) (l Located) {
	if s.table == nil {
		return l
	}
	at := func(a netip.Addr) { l.Location = s.table.Locations()[s.table.LocationOf(s.table.Locate(a))] }
	if at(client); l.Location == (geo.Location{}) && resolver.IsValid() && client.IsPrivate() {
		at(resolver)
	}
	if s.table.ASNLeaves() > 0 {
		if l.ASN, _ = s.table.ASNOf(client); l.ASN == 0 && resolver.IsValid() && client.IsPrivate() {
			l.ASN, _ = s.table.ASNOf(resolver)
		}
	}
	return l
}

// Only returns the record that proves that a name of the zone has no type but one (and RRSIG, if that is signed by
// itself), and that there is no name between it and the next possible one. It says nothing about any other name,
// whatever the zone's chain says about this one (RFC 4470). name is in wire form and lower case; the answer's zone must
// be signed.
func (a *Answer) Only(name []byte, typ rr.Type) Proof {
	z := a.in
	p := Proof{Type: z.signing.proof()}
	if p.Type == rr.TypeNSEC3 {
		hash := dnssec.Hash(name)
		p.Owner = append(dnssec.AppendHashed(nil, hash[:]), z.origin...)
		for i := len(hash) - 1; i >= 0; i-- {
			if hash[i]++; hash[i] != 0 {
				break
			}
		}
		p.Data = dnssec.AppendNSEC3(nil, hash[:])
		p.Data = dnssec.AppendTypes(p.Data, []rr.Type{typ, rr.TypeRRSIG})
	} else {
		p.Owner = name
		next := append([]byte{1, 0}, name...)
		if len(next) > rr.MaxName { // nothing can be below it: the next name is the apex, where the chain ends too
			next = []byte(z.origin)
		}
		p.Data = dnssec.AppendTypes(next, []rr.Type{typ, rr.TypeRRSIG, rr.TypeNSEC})
	}
	return p
}

// RuleWords returns the condition of a policy's rule in words, or what to say if no rule matches.
func RuleWords(p *steer.Policy, rule int) string {
	if rules := p.Source().Rules; rule >= 0 && rule < len(rules) {
		return steer.WhenWords(rules[rule].When)
	}
	return "no rule holds"
}
