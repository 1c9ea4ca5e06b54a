package update

import (
	"fmt"
	"slices"

	"leeward/server/wire"
	"leeward/zones"
	"leeward/zones/rr"
)

// Refusal is why an update is refused: the RCODE and the INFO-CODE of an Extended DNS Error (RFC 8914) that the
// response carries, and a text for people.
type Refusal struct {
	Rcode uint16
	Code  uint16
	Text  string
}

func (r *Refusal) Error() string { return r.Text }

func refuse(rcode, code uint16, format string, args ...any) error {
	return &Refusal{rcode, code, fmt.Sprintf(format, args...)}
}

// evaluate follows RFC 2136 section 3 in its order: prerequisites, permissions, the form of the whole update section,
// then each of its records. It returns all edits or an error, never a part.
func evaluate(m *message, key string, changes []zones.Change, signs Made) ([]zones.Edit, []string, error) {
	c, err := newContent(m, changes, signs)
	if err != nil {
		return nil, nil, err
	}
	if !c.zone.Granted(key, "", 0) {
		return nil, nil, refuse(wire.RcodeRefused, wire.ErrorProhibited, "key %s has no grant in update of zone %s",
			key, c.zone.Origin)
	}
	if c.zone.Transfer != nil && len(c.zone.Transfer.Primaries) > 0 {
		return nil, nil, refuse(wire.RcodeRefused, wire.ErrorNotSupported,
			"the zone lives on another primary; update it there")
	}
	for _, step := range []func() error{
		func() error { return c.prerequisites(m.prerequisites) },
		func() error { return c.permissions(m.updates, key) },
		func() error { return c.scan(m.updates) },
		func() error { return c.apply(m.updates, key) },
	} {
		if err := step(); err != nil {
			return nil, nil, err
		}
	}
	edits, err := c.edits()
	return edits, c.ignored, err
}

// prerequisites checks the prerequisite section (RFC 2136 section 3.2).
func (c *content) prerequisites(rs []rr.Record) error {
	type rrset struct {
		owner rr.Name
		typ   rr.Type
	}
	values := map[rrset][]string{}
	var order []rrset
	for _, r := range rs {
		switch {
		case r.TTL != 0:
			return refuse(wire.RcodeFormErr, 0, "a prerequisite with a TTL")
		case !r.Owner.Under(c.origin):
			return refuse(wire.RcodeNotZone, 0, "prerequisite: %s is not in zone %s", r.Owner, c.zone.Origin)
		}
		if err := c.unproven(r); err != nil {
			return err
		}
		switch r.Class {
		case classAny, classNone:
			if len(r.Data) > 0 || r.Type != rr.TypeANY && !r.Type.Storable() {
				return refuse(wire.RcodeFormErr, 0, "a prerequisite of class %d with data, or of a type that no "+
					"zone holds", r.Class)
			}
			if err := c.exists(r); err != nil {
				return err
			}
		case wire.ClassIN:
			if err := wellFormed(r); err != nil {
				return err
			}
			if r.Owner == c.origin && r.Type == rr.TypeSOA {
				return refuse(wire.RcodeRefused, wire.ErrorNotSupported,
					"the server makes the SOA, so it cannot be compared by value")
			}
			k := rrset{r.Owner, r.Type}
			if values[k] == nil {
				order = append(order, k)
			}
			if data := rr.Folded(r.Type, r.Data); !slices.Contains(values[k], data) {
				values[k] = append(values[k], data)
			}
		default:
			return refuse(wire.RcodeFormErr, 0, "a prerequisite of class %d", r.Class)
		}
	}
	for _, k := range order {
		var there []string
		if k.owner == c.origin && k.typ == rr.TypeNS {
			there = c.nameservers()
		} else if data, own := c.made(k.owner, k.typ); own {
			for _, d := range data {
				there = append(there, rr.Folded(k.typ, d))
			}
		} else if s := c.names[k.owner][k.typ]; s != nil {
			for _, d := range s.data {
				there = append(there, d.folded)
			}
		}
		want := values[k]
		slices.Sort(there)
		slices.Sort(want)
		if !slices.Equal(there, want) {
			return refuse(wire.RcodeNXRRSet, 0, "prerequisite: %s %s has other data", k.owner, k.typ)
		}
	}
	return nil
}

// exists checks a prerequisite without a value (RFC 2136 sections 2.4.1, 2.4.3, 2.4.4 and 2.4.5).
func (c *content) exists(r rr.Record) error {
	switch there, wanted := c.inUse(r.Owner), r.Class == classAny; {
	case r.Type == rr.TypeANY && wanted && !there:
		return refuse(wire.RcodeNXDomain, 0, "prerequisite: %s is not in use", r.Owner)
	case r.Type == rr.TypeANY && !wanted && there:
		return refuse(wire.RcodeYXDomain, 0, "prerequisite: %s is in use", r.Owner)
	case r.Type == rr.TypeANY:
		return nil
	case wanted && !c.has(r.Owner, r.Type):
		return refuse(wire.RcodeNXRRSet, 0, "prerequisite: there is no %s %s", r.Owner, r.Type)
	case !wanted && c.has(r.Owner, r.Type):
		return refuse(wire.RcodeYXRRSet, 0, "prerequisite: there is %s %s", r.Owner, r.Type)
	}
	return nil
}

// wellFormed checks the type and the RDATA of a record.
func wellFormed(r rr.Record) error {
	if !r.Type.Storable() {
		return refuse(wire.RcodeFormErr, 0, "a record of type %s, which no zone holds", r.Type)
	}
	if err := rr.Check(r.Type, r.Data); err != nil {
		return refuse(wire.RcodeFormErr, 0, "%s %s: %v", r.Owner, r.Type, err)
	}
	return nil
}

// permissions checks RFC 2136 section 3.3: what the key's grants allow, and what no grant can allow. If a record
// deletes all RRsets of a name, apply checks the grant for each type.
func (c *content) permissions(rs []rr.Record, key string) error {
	for _, r := range rs {
		if !r.Owner.Under(c.origin) {
			return refuse(wire.RcodeNotZone, 0, "%s is not in zone %s", r.Owner, c.zone.Origin)
		}
		for n := r.Owner; n != c.origin; n = n.Parent() {
			if c.cuts[n] && !(n == r.Owner && (r.Type == rr.TypeNS || r.Type == rr.TypeDS)) {
				return refuse(wire.RcodeNotZone, 0, "%s is in zone %s; update that", r.Owner, n)
			}
		}
		t := r.Type
		if t == rr.TypeANY {
			t = 0
		}
		if err := c.allowed(key, r.Owner, t); err != nil {
			return err
		}
		if c.policies[r.Owner] && (t == 0 || t == rr.TypeA || t == rr.TypeAAAA || t == rr.TypeCNAME) {
			return refuse(wire.RcodeRefused, wire.ErrorProhibited,
				"policy %s answers for addresses at this name; change the policy, or delete it first", r.Owner)
		}
		if err := c.unmade(r); err != nil {
			return err
		}
	}
	return nil
}

func (c *content) allowed(key string, n rr.Name, t rr.Type) error {
	if c.zone.Granted(key, zones.OwnerIn(n, c.origin), t) {
		return nil
	}
	what := "anything"
	if t != 0 {
		what = t.String()
	}
	return refuse(wire.RcodeRefused, wire.ErrorProhibited, "key %s has no grant for %s at %s", key, what, n)
}

// scan checks the form of every record before the first is applied (RFC 2136 section 3.4.1).
func (c *content) scan(rs []rr.Record) error {
	for _, r := range rs {
		switch r.Class {
		case wire.ClassIN:
			if err := wellFormed(r); err != nil {
				return err
			}
		case classAny:
			if r.TTL != 0 || len(r.Data) > 0 || r.Type != rr.TypeANY && !r.Type.Storable() {
				return refuse(wire.RcodeFormErr, 0, "a deletion of an RRset with a TTL or data, or of a type that no "+
					"zone holds")
			}
		case classNone:
			if r.TTL != 0 {
				return refuse(wire.RcodeFormErr, 0, "a deletion with a TTL")
			}
			if err := wellFormed(r); err != nil {
				return err
			}
		default:
			return refuse(wire.RcodeFormErr, 0, "a record of class %d", r.Class)
		}
	}
	return nil
}

// apply makes the changes in the order of the records (RFC 2136 section 3.4.2).
func (c *content) apply(rs []rr.Record, key string) error {
	for _, r := range rs {
		sets := c.at(r.Owner)
		var err error
		switch {
		case r.Class == wire.ClassIN:
			err = c.add(r, sets)
		case r.Class == classNone:
			err = c.remove(r, sets)
		case r.Type != rr.TypeANY: // deletes an RRset; SOA and NS of the apex are not in sets, so they stay
			clearSet(sets[r.Type])
		default:
			for t, s := range sets {
				if len(s.data) > 0 {
					if err := c.allowed(key, r.Owner, t); err != nil {
						return err
					}
				}
				clearSet(s)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func clearSet(s *set) {
	if s != nil {
		s.data = nil
	}
}

// ignore notes a change that RFC 2136 passes over silently. It always returns nil.
func (c *content) ignore(r rr.Record, why string) error {
	c.ignored = append(c.ignored, fmt.Sprintf("%s %s: %s", r.Owner, r.Type, why))
	return nil
}

// add adds one record (RFC 2136 section 3.4.2.2).
func (c *content) add(r rr.Record, sets map[rr.Type]*set) error {
	data := rr.Folded(r.Type, r.Data)
	if r.Owner == c.origin {
		switch r.Type {
		case rr.TypeSOA:
			return refuse(wire.RcodeRefused, wire.ErrorProhibited,
				"the server makes the SOA from Zone %s, and raises its serial itself", c.zone.Origin)
		case rr.TypeNS:
			if slices.Contains(c.nameservers(), data) {
				return nil
			}
			return refuse(wire.RcodeRefused, wire.ErrorProhibited,
				"the NS records of the apex are the nameservers of Zone %s; change them there", c.zone.Origin)
		case rr.TypeCNAME:
			return c.ignore(r, "a CNAME beside other data")
		}
	}
	alone := r.Type == rr.TypeCNAME
	for t, s := range sets {
		if len(s.data) > 0 && (t == rr.TypeCNAME) != alone {
			return c.ignore(r, "a CNAME beside other data")
		}
	}
	text, err := rr.FormatData(r.Type, r.Data)
	if err != nil {
		return refuse(wire.RcodeFormErr, 0, "%s: %v", r.Owner, err)
	}
	s := sets[r.Type]
	if s == nil {
		s = &set{}
		sets[r.Type] = s
	}
	s.ttl = seconds(r.TTL) // an RRset has one TTL (RFC 2181 section 5.2); the newest wins
	if alone || r.Type == rr.TypeDNAME {
		s.data = nil
	}
	if !slices.ContainsFunc(s.data, func(d datum) bool { return d.folded == data }) {
		s.data = append(s.data, datum{text, data})
	}
	return nil
}

// remove deletes one record (RFC 2136 section 3.4.2.4). It silently keeps the SOA and the last NS of the apex.
func (c *content) remove(r rr.Record, sets map[rr.Type]*set) error {
	data := rr.Folded(r.Type, r.Data)
	if r.Owner == c.origin && (r.Type == rr.TypeSOA || r.Type == rr.TypeNS) {
		if all := c.nameservers(); r.Type == rr.TypeNS && len(all) > 1 && slices.Contains(all, data) {
			return refuse(wire.RcodeRefused, wire.ErrorProhibited,
				"the NS records of the apex are the nameservers of Zone %s; change them there", c.zone.Origin)
		}
		return c.ignore(r, "the SOA and the last NS of a zone stay")
	}
	if s := sets[r.Type]; s != nil {
		s.data = slices.DeleteFunc(s.data, func(d datum) bool { return d.folded == data })
	}
	return nil
}
