package snapshot

import (
	"encoding/binary"
	"fmt"
	"time"

	"leeward/zones"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
)

// bare reports whether nothing is laid over the zone.
func (o *overlay) bare() bool {
	bare := len(o.Builder.policies.in[o.origin])+len(o.holes) == 0
	o.catalog.EachRecord(o.origin, func(*zones.Record) bool {
		bare = false
		return false
	})
	return bare
}

// pass makes the zone exactly what the primary has, with signatures, denial and serial. before is the zone as it was,
// or nil.
func (o *overlay) pass(out, before *zone) {
	v := o.version
	g := newSealed(v)
	out.sealed = g
	_, out.negative = overlaidSOA(v, 0)
	var old *sealed
	names := map[rr.Name]bool{}
	if before != nil && before.sealed != nil && before.sealed.hashing.same(g.hashing) {
		if names = v.differs(before.version, true); names != nil {
			old = before.sealed
		}
	}
	if old == nil {
		for n := range v.proofs.nodes {
			if g.keys(n) {
				g.keyed = append(g.keyed, rr.Name(n.name()))
			}
		}
	} else {
		for _, name := range old.keyed {
			if !names[name] {
				g.keyed = append(g.keyed, name)
			}
		}
		for name := range names {
			if g.keys(v.proofs.find([]byte(name))) {
				g.keyed = append(g.keyed, name)
			}
		}
	}
	if o.zone.Keeps() {
		delete(o.problems, o.zone.Key())
	}
	var edits []edit
	for _, name := range g.keyed {
		v.proofs.find([]byte(name)).each(func(typ rr.Type, count int, wire []byte) {
			if denies(typ) {
				return
			}
			edits = append(edits, edit{name: name, kind: putSet, typ: typ, set: func(dst []byte) ([]byte, int) {
				return append(dst, wire...), count
			}})
		})
	}
	out.tree = v.tree.apply(o.apex, edits)
	g.relink(out, old, names)
	g.expiries(old, names, o.now())
	g.examine(out, old, names)
	o.tell(g)
	if o.zone.SerialOffset != 0 {
		o.cross("", o.zone.Key(), "serialOffset", "the zone has the serial that its primary has signed, so it has no "+
			"effect; take it out, or raise the serial at the primary")
	}
}

// tell notes what was found out about a zone's health, and when to look again.
func (o *overlay) tell(g *sealed) {
	if at := g.found.next; !at.IsZero() {
		o.seals[o.origin] = at
	}
	for _, fault := range g.faults() {
		o.cross("", o.zone.Key(), "transfer.primaries", "%s", fault)
	}
}

// keys reports whether a node of the version's proofs has anything besides denial.
func (g *sealed) keys(n node) (more bool) {
	if n != nil {
		n.each(func(typ rr.Type, _ int, _ []byte) { more = more || !denies(typ) })
	}
	return more
}

// relink makes the chain. If there is an older version, it starts from that one's.
func (g *sealed) relink(z *zone, old *sealed, names map[rr.Name]bool) {
	if h := g.hashing; h != nil && h.iterations > mostIterations {
		return
	}
	var put, drop [][]byte
	if old == nil {
		for n := range g.version.proofs.nodes {
			if key, ok := g.link(z, n); ok {
				put = append(put, key)
			}
		}
		g.chain = g.chain.Edit(put, nil)
		return
	}
	for name := range names {
		was, linked := old.link(z, old.version.proofs.find([]byte(name)))
		is, links := g.link(z, g.version.proofs.find([]byte(name)))
		switch {
		case links && !linked:
			put = append(put, is)
		case linked && !links:
			drop = append(drop, was)
		}
	}
	if g.chain = old.chain; len(put)+len(drop) > 0 {
		g.chain = old.chain.Edit(put, drop)
	}
}

// findings is what is known about the health of a primary's signatures and denial. Whatever is wrong with them, they
// are served as they are, and reported.
type findings struct {
	next    time.Time // when the next of the signatures still valid expires; zero: never
	expired int       // number of RRsets whose signatures have expired
	first   string    // one of these, and when it expired
	broken  string    // what is wrong with the chain; "": nothing
}

// expiries finds out when signatures expire. It looks at all of them, or only at those that have changed since an older
// version that was in order.
func (g *sealed) expiries(old *sealed, names map[rr.Name]bool, now time.Time) {
	h := &g.found
	whole := old == nil || old.found.expired > 0 || !now.Before(old.found.next)
	look := func(n node) {
		n.each(func(typ rr.Type, _ int, wire []byte) {
			at := expiration(wire, now)
			if at.After(now) {
				if h.next.IsZero() || at.Before(h.next) {
					h.next = at
				}
				return
			}
			if h.expired++; h.first == "" {
				h.first = fmt.Sprintf("that of %s %s at %s", rr.Name(n.name()), typ, at.UTC().Format(time.RFC3339))
			}
		})
	}
	if whole {
		for n := range g.version.seals.nodes {
			look(n)
		}
	} else {
		h.next = old.found.next
		for name := range names {
			if n := g.version.seals.find([]byte(name)); n != nil {
				look(n)
			}
		}
	}
}

// examine finds out whether the chain is whole. It looks at all of it, or only where it has changed since an older
// version that was in order.
func (g *sealed) examine(z *zone, old *sealed, names map[rr.Name]bool) {
	h := &g.found
	if old == nil || old.found.broken != "" {
		h.broken = g.walk(z)
		return
	}
	for name := range names {
		if h.broken == "" && g.chain.Len() > 0 {
			h.broken = g.around(z, []byte(name))
		}
	}
}

// expiration returns when the last of a set's signatures expires (RFC 4034 section 3.1.5).
func expiration(wire []byte, now time.Time) (last time.Time) {
	for len(wire) > 0 {
		data := dataOf(wire)
		wire = wire[recordHead+len(data):]
		at := binary.BigEndian.Uint32(data[8:])
		if t := now.Add(time.Duration(int32(at-uint32(now.Unix()))) * time.Second); last.IsZero() || t.After(last) {
			last = t
		}
	}
	return last
}

// walk looks at the whole chain, and returns what is wrong with it. Each record must lead to the next. Without hashes,
// each name that can be asked for must have a record.
func (g *sealed) walk(z *zone) (fault string) {
	if g.chain.Len() == 0 {
		if h := g.hashing; h != nil && h.iterations > mostIterations {
			return fmt.Sprintf("its NSEC3 has %d iterations, and %d are the most (RFC 9276 asks for 0): nothing that "+
				"is not there is proven", h.iterations, mostIterations)
		}
		return "it has no NSEC records at its apex and no NSEC3 ones: nothing that is not there is proven"
	}
	var first, last []byte
	g.chain.Each(func(key []byte) {
		if first == nil {
			first = key
		} else if fault == "" {
			fault = g.leads(last, key)
		}
		last = key
	})
	if fault == "" {
		fault = g.leads(last, first)
	}
	if fault != "" || g.hashing != nil {
		return fault
	}
	for n := range z.tree.nodes {
		if fault != "" {
			break
		}
		fault = g.missing(z, n)
	}
	return fault
}

// missing returns a fault if a node should have an NSEC record but has none.
func (g *sealed) missing(z *zone, n node) string {
	if n == nil || n.count() == 0 || g.hashing != nil || z.hidden(n.name(), n) {
		return ""
	}
	if g.record(g.version.proofs.find(n.name())) == nil {
		return fmt.Sprintf("%s has no NSEC record", rr.Name(n.name()))
	}
	return ""
}

// around is walk for only what may have changed because a name has, in the tree or in the chain.
func (g *sealed) around(z *zone, name []byte) string {
	if fault := g.missing(z, z.tree.find(name)); fault != "" {
		return fault
	}
	key := g.key(nil, z, name)
	if g.hashing != nil { // the name is itself a hash, or is only in the tree
		hash, ok := dnssec.ParseHashed(name[1 : 1+int(name[0])])
		if !ok {
			return ""
		}
		key = hash[:]
	}
	at, next, exact := g.chain.Find(key)
	fault := g.leads(at, next)
	if before := g.chain.Before(key); exact && fault == "" {
		fault = g.leads(before, at)
	}
	return fault
}

// leads returns a fault if the record at a key does not lead to the next key.
func (g *sealed) leads(at, next []byte) string {
	owner := g.owner(nil, at)
	record := g.record(g.version.proofs.find(owner))
	if record == nil {
		return fmt.Sprintf("%s has no record", rr.Name(owner))
	}
	data, want := dataOf(record), g.owner(nil, next)
	if h := g.hashing; h != nil {
		rest := data[5+len(h.salt):]
		if len(rest) > dnssec.HashSize && int(rest[0]) == dnssec.HashSize &&
			string(rest[1:1+dnssec.HashSize]) == string(next) {
			return ""
		}
	} else if to, _, err := rr.CutName(data); err == nil && string(to) == string(want) {
		return ""
	}
	return fmt.Sprintf("the record at %s does not lead to the next, %s", rr.Name(owner), rr.Name(want))
}

// faults returns what to report about a zone's health.
func (g *sealed) faults() (all []string) {
	if g.found.expired > 0 {
		all = append(all, fmt.Sprintf("the primary's signatures of %d RRsets have expired, %s: validating resolvers "+
			"get no answer there; have the primary sign the zone again", g.found.expired, g.found.first))
	}
	if g.found.broken != "" {
		all = append(all, "the primary's denial of existence is broken, and is served as it is: "+g.found.broken)
	}
	count := 0
	if n := g.version.proofs.find([]byte(g.version.origin)); n != nil {
		count, _ = n.set(rr.TypeDNSKEY)
	}
	if count == 0 {
		all = append(all, "the primary signs the zone and publishes no DNSKEY")
	}
	return all
}
