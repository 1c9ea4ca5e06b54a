package update

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"leeward/server/wire"
	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/rr"
)

// Scope is the part of the store that an update depends on. If anything in Keys or Folders changes before the commit,
// the update is evaluated again.
type Scope struct {
	Keys    []zones.Key // read; each may be absent
	Folders []string    // prefixes that end in a slash; everything below them is read
	Beside  []zones.Key // read too, but may change meanwhile
}

// scope returns what must be read before the message can be evaluated: the zone and, for each name, its records, its
// policy, and any zone of this server that begins between the name and the origin. It is bounded by the message, which
// has 64 KiB at most.
func (m *message) scope() Scope {
	origin := zones.NameText(m.zone.name)
	s := Scope{Keys: []zones.Key{zones.KeyOf(zones.KindZone, origin)}}
	seen, above := map[rr.Name]bool{}, map[rr.Name]bool{}
	for _, r := range slices.Concat(m.prerequisites, m.updates) {
		if seen[r.Owner] || !r.Owner.Under(m.zone.name) {
			continue
		}
		seen[r.Owner] = true
		s.Keys = append(s.Keys, zones.KeyOf(zones.KindPolicy, zones.NameText(r.Owner)))
		s.Folders = append(s.Folders,
			string(zones.KeyOf(zones.KindRecord, origin+"/"+zones.OwnerIn(r.Owner, m.zone.name)+"/")))
		for n := r.Owner; n != m.zone.name && !above[n]; n = n.Parent() {
			above[n] = true
			s.Beside = append(s.Beside, zones.KeyOf(zones.KindZone, zones.NameText(n)))
		}
	}
	return s
}

// content is the part of a zone that an update looks at. The update is applied to it in memory; edits then says what
// has changed.
type content struct {
	origin   rr.Name
	zone     *zones.Zone
	names    map[rr.Name]map[rr.Type]*set
	policies map[rr.Name]bool
	cuts     map[rr.Name]bool // origins of this server's other zones
	signs    Made
	ignored  []string // changes that RFC 2136 says to pass over silently, for the log
}

// set is an RRset while an update is evaluated: the Record as it was read, and the data it has now, as text and in
// canonical wire form for comparison.
type set struct {
	was  *zones.Record // as it was read; nil if there was none
	ttl  zones.TTL
	data []datum
}

type datum struct {
	text   string
	folded string
}

// newContent builds the content from what was read of a message's scope. It refuses an update of a zone that this
// server does not have, and one that depends on a resource that cannot be read.
func newContent(m *message, changes []zones.Change, signs Made) (*content, error) {
	c := &content{
		origin: m.zone.name, names: map[rr.Name]map[rr.Type]*set{}, policies: map[rr.Name]bool{},
		cuts: map[rr.Name]bool{}, signs: signs,
	}
	for _, ch := range changes {
		kind := ch.Key.Kind()
		if kind == zones.KindPolicy { // the name is steered, even if the policy cannot be read
			if n, err := rr.ParseName(ch.Key.Name()); err == nil {
				c.policies[n] = true
			}
			continue
		}
		if ch.Err != nil {
			return nil, &Refusal{
				wire.RcodeServFail, wire.ErrorInvalidData,
				fmt.Sprintf("%s cannot be read; correct it first", ch.Key),
			}
		}
		switch r := ch.Resource.(type) {
		case *zones.Zone:
			n, err := rr.ParseName(r.Origin)
			if err != nil {
				return nil, err
			}
			if n == c.origin {
				c.zone = r
			} else {
				c.cuts[n] = true
			}
		case *zones.Record:
			made, err := r.Set()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.Key(), err)
			}
			s := &set{was: r, ttl: r.TTL}
			for i, data := range made.Data {
				s.data = append(s.data, datum{r.Data[i], rr.Folded(made.Type, data)})
			}
			c.at(made.Owner)[made.Type] = s
		}
	}
	if c.zone == nil {
		return nil, &Refusal{wire.RcodeNotAuth, wire.ErrorNotAuthoritative, "not a zone of this server"}
	}
	return c, nil
}

// at returns the sets of a name. The caller may change them.
func (c *content) at(n rr.Name) map[rr.Type]*set {
	if c.names[n] == nil {
		c.names[n] = map[rr.Type]*set{}
	}
	return c.names[n]
}

// has reports whether an RRset exists (RFC 2136 section 2.4.1). The SOA and NS of the apex come from the Zone,
// addresses may come from a policy, and the records that signing makes count as they are served.
func (c *content) has(n rr.Name, t rr.Type) bool {
	if data, own := c.made(n, t); own {
		return len(data) > 0
	}
	if s := c.names[n][t]; s != nil && len(s.data) > 0 {
		return true
	}
	if n == c.origin && (t == rr.TypeSOA || t == rr.TypeNS && len(c.zone.Nameservers) > 0) {
		return true
	}
	return c.policies[n] && (t == rr.TypeA || t == rr.TypeAAAA)
}

// inUse reports whether a name has any RRset (RFC 2136 section 2.4.4). An empty non-terminal is not in use.
func (c *content) inUse(n rr.Name) bool {
	if n == c.origin || c.policies[n] {
		return true
	}
	for _, s := range c.names[n] {
		if len(s.data) > 0 {
			return true
		}
	}
	return false
}

// nameservers returns the data of the NS RRset at the apex, in canonical form.
func (c *content) nameservers() (all []string) {
	for _, ns := range c.zone.Nameservers {
		if n, err := rr.ParseName(ns); err == nil {
			all = append(all, string(n))
		}
	}
	return all
}

// edits returns the changes in the order of their keys. It validates each changed record by itself and then all records
// of the scope together. Problems that were there before the update do not refuse it.
func (c *content) edits() ([]zones.Edit, error) {
	var edits []zones.Edit
	before, after := []zones.Resource{c.zone}, []zones.Resource{c.zone}
	for n, sets := range c.names {
		for t, s := range sets {
			if s.was != nil {
				before = append(before, s.was)
			}
			r := c.record(n, t, s)
			if r != nil {
				after = append(after, r)
			}
			switch {
			case r == nil && s.was == nil || r != nil && s.was != nil && zones.Same(r, s.was):
				continue
			case r == nil:
				edits = append(edits, zones.Edit{Key: s.was.Key(), Old: s.was})
				continue
			}
			if p := zones.Validate(r).Errors(); len(p) > 0 {
				return nil, &Refusal{wire.RcodeRefused, wire.ErrorInvalidData, p[0].String()}
			}
			edit := zones.Edit{Key: r.Key(), New: r}
			if s.was != nil {
				edit.Old = s.was
			}
			edits = append(edits, edit)
		}
	}
	was := catalog.Check(zones.Documents(before...))
	if fresh := catalog.Check(zones.Documents(after...)).Beyond(was).Errors(); len(fresh) > 0 {
		return nil, &Refusal{wire.RcodeRefused, wire.ErrorInvalidData, fresh[0].String()}
	}
	slices.SortFunc(edits, func(a, b zones.Edit) int { return cmp.Compare(a.Key, b.Key) })
	return edits, nil
}

// record returns the Record of a set, or nil if the set is empty.
func (c *content) record(n rr.Name, t rr.Type, s *set) *zones.Record {
	if len(s.data) == 0 {
		return nil
	}
	r := &zones.Record{Origin: c.zone.Origin, Owner: zones.OwnerIn(n, c.origin), Type: t.String(), TTL: s.ttl}
	for _, d := range s.data {
		r.Data = append(r.Data, d.text)
	}
	return r
}

// seconds converts a TTL from the wire. A TTL with the highest bit set counts as 0 (RFC 2181 section 8).
func seconds(ttl uint32) zones.TTL {
	if ttl > 1<<31-1 {
		ttl = 0
	}
	return zones.Seconds(ttl)
}

// mostText bounds how many octets of its changes an update writes to the log.
const mostText = 1000

// say puts edits on one line for the log: what each name loses and gains.
func say(edits []zones.Edit) string {
	var b strings.Builder
	write := func(sign, owner, kind string, data []string) {
		for _, text := range data {
			if b.Len() < mostText {
				fmt.Fprintf(&b, "%s%s %s %s; ", sign, owner, kind, text)
			}
		}
	}
	for _, e := range edits {
		old, _ := e.Old.(*zones.Record)
		made, _ := e.New.(*zones.Record)
		switch {
		case old == nil && made != nil:
			write("+", made.Owner, made.Type, made.Data)
		case made == nil && old != nil:
			write("-", old.Owner, old.Type, old.Data)
		case old != nil:
			write("-", old.Owner, old.Type, without(old.Data, made.Data))
			write("+", made.Owner, made.Type, without(made.Data, old.Data))
			if old.TTL != made.TTL && b.Len() < mostText {
				fmt.Fprintf(&b, "%s %s ttl %s; ", made.Owner, made.Type, made.TTL)
			}
		}
	}
	text := strings.TrimSuffix(b.String(), "; ")
	if len(text) > mostText {
		text = text[:mostText] + "…"
	}
	return text
}

func without(all, others []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(others, s) })
}
