package update

import (
	"leeward/server/wire"
	"leeward/zones/rr"
)

// Made returns the RDATA of the records of one type that signing makes at the apex of a zone: DNSKEY, CDS, CDNSKEY or
// NSEC3PARAM. It returns nil if there are none, or if the zone is served unsigned.
type Made func(origin rr.Name, typ rr.Type) [][]byte

// made returns the records of a type at a name if signing makes them. own is false if the records of that type come
// from the store.
func (c *content) made(n rr.Name, t rr.Type) (data [][]byte, own bool) {
	if n != c.origin || !t.MadeBySigning() || !c.zone.Signed() {
		return nil, false
	}
	if c.signs == nil {
		return nil, true
	}
	return c.signs(n, t), true
}

// denial reports whether a type is for signatures or denial of existence. In a signed zone the server makes these at
// every name, and none is in the store.
func denial(t rr.Type) bool { return t == rr.TypeRRSIG || t == rr.TypeNSEC || t == rr.TypeNSEC3 }

// unproven refuses a prerequisite about signatures or denial in a signed zone. The server derives these from all other
// records and renews them daily, so a client cannot know them.
func (c *content) unproven(r rr.Record) error {
	if !c.zone.Signed() || !denial(r.Type) {
		return nil
	}
	return refuse(wire.RcodeRefused, wire.ErrorNotSupported,
		"the server makes the %s records of a signed zone; ask for the records that they are about", r.Type)
}

// unmade refuses a change to records that signing makes, or that it cannot sign: it would be stored, but never served.
// A deletion is taken if the store still has such records from before the zone was signed, so that they can be cleaned
// up.
func (c *content) unmade(r rr.Record) error {
	if !c.zone.Signed() {
		return nil
	}
	if denial(r.Type) {
		return refuse(wire.RcodeRefused, wire.ErrorProhibited,
			"the server makes the %s records of a signed zone; change the records that they are about", r.Type)
	}
	if r.Type == rr.TypeNS && r.Class == wire.ClassIN && r.Owner != c.origin && r.Owner.IsWildcard() {
		return refuse(wire.RcodeRefused, wire.ErrorProhibited,
			"NS at a wildcard cannot be signed, and the zone is; give each delegation its own name")
	}
	_, own := c.made(r.Owner, r.Type)
	if s := c.names[r.Owner][r.Type]; !own || r.Class != wire.ClassIN && s != nil && len(s.data) > 0 {
		return nil
	}
	how := "change them with leeward key, or put those of others into dnssec.foreign of the Zone"
	if r.Type == rr.TypeNSEC3PARAM {
		how = "set dnssec.nsec3 of the Zone instead"
	}
	return refuse(wire.RcodeRefused, wire.ErrorProhibited,
		"the server makes the %s records of %s, as the zone is signed; %s", r.Type, c.zone.Origin, how)
}
