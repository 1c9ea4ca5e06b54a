package update

import (
	"leeward/server/wire"
	"leeward/zones/rr"
)

// Made returns the RDATA of the records of a type that signing makes at the apex of a zone: DNSKEY, CDS, CDNSKEY and
// NSEC3PARAM. nil: there are none, or the zone is served unsigned.
type Made func(origin rr.Name, typ rr.Type) [][]byte

// made returns the records of a type that signing makes at a name. own is false where records of the type at that name
// are those of the store.
func (c *content) made(n rr.Name, t rr.Type) (data [][]byte, own bool) {
	if n != c.origin || !t.MadeBySigning() || !c.zone.Signed() {
		return nil, false
	}
	if c.signs == nil {
		return nil, true
	}
	return c.signs(n, t), true
}

// denial reports whether a type is that of signatures or of denial, which no name of a signed zone has by itself.
func denial(t rr.Type) bool { return t == rr.TypeRRSIG || t == rr.TypeNSEC || t == rr.TypeNSEC3 }

// unproven refuses a prerequisite about signatures or denial of a signed zone: they follow from all else, and change
// with the day.
func (c *content) unproven(r rr.Record) error {
	if !c.zone.Signed() || !denial(r.Type) {
		return nil
	}
	return refuse(wire.RcodeRefused, wire.ErrorNotSupported,
		"the server makes the %s records of a signed zone; ask for the records that they are about", r.Type)
}

// unmade refuses a change of what signing makes: taken, it would not be served. A deletion is taken of records that
// were given before the zone was signed, as these are to go.
func (c *content) unmade(r rr.Record) error {
	if !c.zone.Signed() {
		return nil
	}
	if denial(r.Type) {
		return refuse(wire.RcodeRefused, wire.ErrorProhibited,
			"the server makes the %s records of a signed zone; change the records that they are about", r.Type)
	}
	_, own := c.made(r.Owner, r.Type)
	if s := c.names[r.Owner][r.Type]; !own || r.Class != wire.ClassIN && s != nil && len(s.data) > 0 {
		return nil
	}
	how := "leeward key changes the keys, and dnssec.foreign of the Zone has those of others"
	if r.Type == rr.TypeNSEC3PARAM {
		how = "dnssec.nsec3 of the Zone says whether there is one"
	}
	return refuse(wire.RcodeRefused, wire.ErrorProhibited,
		"the server makes the %s records of %s, as the zone is signed; %s", r.Type, c.zone.Origin, how)
}
