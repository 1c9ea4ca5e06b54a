package snapshot

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"leeward/zones"
	"leeward/zones/rr"
)

// Transferred is how a zone that lives on another primary stands here.
type Transferred struct {
	Version *Version // that was transferred last; nil: none yet
	Expired bool     // the primary has not been heard of for longer than its SOA allows (RFC 1035 section 3.3.13)

	// Until is when it expires unless the primary is heard of, Unix time, seconds. Whoever follows the zone keeps it
	// current, so that a primary that has nothing new costs no new snapshot. nil: not known.
	Until *atomic.Int64
}

// standing says what a zone is good for.
type standing uint8

const (
	current standing = iota
	waiting          // it lives elsewhere, and nothing has come from there yet
	expired          // nothing has come from there for too long: what is the primary's is not answered any more
	hollow           // it is configured here, and nothing of what is there can be used
)

// Transferred takes in how a zone that lives elsewhere stands. The next Update lays what is configured over it.
func (b *Builder) Transferred(origin string, t Transferred) {
	if t.Version == nil {
		delete(b.elsewhere, origin)
	} else {
		b.elsewhere[origin] = t
	}
	b.arrived[origin] = true
}

// Version returns what was transferred last of a zone that lives elsewhere; nil: nothing.
func (b *Builder) Version(origin string) *Version { return b.elsewhere[origin].Version }

// takeTransferred marks the zones of which something was transferred.
func (u *update) takeTransferred() {
	for origin := range u.arrived {
		u.touched, u.relaid[origin] = append(u.touched, origin), true
	}
	clear(u.arrived)
}

// layOver builds a zone that lives elsewhere: the primary's version with Records and Policies laid over it. before is
// the zone as it was; nil: there was none. Where that was laid over a version that this one has come from, only names
// that have changed, there or here, are made anew; else all that is laid over is. Either way what is not touched is
// shared with the version.
//
// A policy stands in the place of the primary's A, AAAA and CNAME at its name; a Record in that of the set of its type,
// and a CNAME, on either side, makes room for no other set. Where the primary delegates a name, or has a DNAME above
// it, no policy is laid over it, so that glue is the primary's; and no Record below a DNAME, where there must be none
// (RFC 6672 section 2.4).
func (u *update) layOver(origin string, apex rr.Name, z *zones.Zone, before *zone) *zone {
	t := u.elsewhere[origin]
	out := &zone{origin: apex, transfer: z.Transfer, version: t.Version, elsewhere: true, hash: hash(u.seed, []byte(apex))}
	out.listing = z.Catalog()
	out.fixed, out.until = z.Order == zones.OrderFixed, t.Until
	if t.Version == nil {
		delete(u.overlaid, origin)
		out.standing = waiting
		out.tree = newTree(u.seed)
		return out
	}
	if t.Expired {
		out.standing = expired
	}
	o := overlay{update: u, zone: z, origin: origin, apex: apex, version: t.Version, holes: u.holesIn(origin, apex)}
	base, names := o.version.tree, o.since(before)
	if names != nil {
		base, out.apart = before.tree, before.apart+len(names)
	} else {
		u.overlaid[origin] = map[rr.Name][]zones.Problem{}
		names = o.all()
	}
	soa, negative := overlaidSOA(o.version, u.catalog.ZoneSerial(origin))
	edits := []edit{soa}
	for name := range names {
		edits = o.lay(edits, base, name)
		o.check(name)
	}
	out.tree, out.negative = base.apply(apex, edits), negative
	if o.check(""); o.version.Signed() {
		o.cross("", z.Key(), "transfer.primaries", "the primary signs the zone, and its signatures are left out here, as they do not hold for what is laid over it: "+
			"take the DS out of the parent zone first, or whoever validates gets no answer")
	}
	return out
}

// overlay is what is laid over one version of a zone.
type overlay struct {
	*update
	zone    *zones.Zone
	origin  string
	apex    rr.Name
	version *Version
	holes   []edit // that there are in all of it
}

// since returns the names that are to be made anew in a zone as it was; nil: all that something is laid over. That is
// so as well where a cut or a DNAME has changed, which matters to names below, and once so many were made anew that
// little is shared any more.
func (o *overlay) since(before *zone) map[rr.Name]bool {
	if before == nil || before.version == nil {
		return nil
	}
	changed, ok := o.version.changed(before.version)
	if !ok {
		return nil
	}
	turns := func(v *Version, name rr.Name) bool {
		n := v.tree.find([]byte(name))
		return n != nil && (n.cut() || n.turn())
	}
	for name := range changed {
		if turns(before.version, name) || turns(o.version, name) {
			return nil
		}
	}
	for _, e := range o.edits[o.origin] {
		if turns(o.version, e.name) {
			return nil
		}
		changed[e.name] = true
	}
	if before.apart+len(changed) > max(o.version.tree.names/16, 64) {
		return nil
	}
	return changed
}

// all returns the names that something is laid over.
func (o *overlay) all() map[rr.Name]bool {
	names := map[rr.Name]bool{}
	o.catalog.EachRecord(o.origin, func(r *zones.Record) bool {
		if e, ok := o.put(o.zone, o.apex, r); ok {
			names[e.name] = true
		}
		return true
	})
	for _, p := range o.Builder.policies.in[o.origin] {
		names[p.name] = true
	}
	for _, e := range o.holes {
		names[e.name] = true
	}
	return names
}

// lay appends the edits that make a name of the base what it is to be.
func (o *overlay) lay(edits []edit, base *tree, name rr.Name) []edit {
	ours := map[rr.Type]edit{}
	_, by := o.hider(name)
	for _, r := range o.catalog.RecordsAt(o.origin, zones.OwnerIn(name, o.apex)) {
		if e, ok := o.put(o.zone, o.apex, r); ok && by != rr.TypeDNAME {
			ours[e.typ] = e
		}
	}
	for _, e := range o.holes {
		if _, have := ours[e.typ]; e.name == name && !have {
			ours[e.typ] = e
		}
	}
	policy := int32(-1)
	if p := o.Builder.policies.in[o.origin][zones.NameText(name)]; p != nil && by == 0 {
		policy = p.number
	}
	_, alias := ours[rr.TypeCNAME]
	hidden := func(typ rr.Type) bool {
		_, same := ours[typ]
		return same || alias || policy >= 0 && hides(typ) || len(ours) > 0 && typ == rr.TypeCNAME
	}
	theirs := map[rr.Type]bool{}
	there := base.find([]byte(name))
	if n := o.version.tree.find([]byte(name)); n != nil {
		n.each(func(typ rr.Type, count int, wire []byte) {
			if hidden(typ) || typ == rr.TypeSOA {
				return
			}
			theirs[typ] = true
			if there != nil {
				if _, have := there.set(typ); bytes.Equal(have, wire) {
					return
				}
			}
			edits = append(edits, edit{name: name, kind: putSet, typ: typ, set: func(dst []byte) ([]byte, int) {
				return append(dst, wire...), count
			}})
		})
	}
	was := int32(-1)
	if there != nil {
		was = there.policy()
		there.each(func(typ rr.Type, _ int, _ []byte) {
			if _, stays := ours[typ]; !stays && !theirs[typ] && typ != rr.TypeSOA {
				edits = append(edits, edit{name: name, kind: dropSet, typ: typ})
			}
		})
	}
	for _, e := range ours {
		edits = append(edits, e)
	}
	if was != policy {
		edits = append(edits, edit{name: name, kind: setPolicy, n: policy})
	}
	return edits
}

// hider returns what of the primary's answers in place of a name, unless a Record stands in its place.
func (o *overlay) hider(name rr.Name) (owner rr.Name, typ rr.Type) {
	return o.version.hider(name, func(owner rr.Name, typ rr.Type) bool {
		return slices.ContainsFunc(o.catalog.RecordsAt(o.origin, zones.OwnerIn(owner, o.apex)), func(r *zones.Record) bool {
			e, ok := o.put(o.zone, o.apex, r)
			return ok && (e.typ == typ || e.typ == rr.TypeCNAME)
		})
	})
}

// changed returns the names that are others than in an older version. It is not ok where v has not come from that.
func (v *Version) changed(old *Version) (names map[rr.Name]bool, ok bool) {
	a, b := old.tree, v.tree
	if a.seed != b.seed || a.len() != b.len() {
		return nil, false
	}
	names = map[rr.Name]bool{}
	each := func(t, other *tree, i int) {
		t.at(i).each(func(n node) {
			if x := other.find(n.name()); x == nil || !alike(n, x) {
				names[rr.Name(n.name())] = true
			}
		})
	}
	for i := range a.len() {
		if !a.at(i).same(b.at(i)) {
			each(a, b, i)
			each(b, a, i)
		}
	}
	return names, true
}

// check notes what of the primary's stands in the way of what is laid over a name.
func (o *overlay) check(name rr.Name) {
	delete(o.overlaid[o.origin], name)
	if name == "" { // where what is about the zone is noted
		return
	}
	text := zones.NameText(name)
	if p := o.Builder.policies.in[o.origin][text]; p != nil {
		o.crossing(name, 0, zones.KeyOf(zones.KindPolicy, text))
	}
	for _, r := range o.catalog.RecordsAt(o.origin, zones.OwnerIn(name, o.apex)) {
		if typ, err := rr.ParseType(r.Type); err == nil {
			o.crossing(name, typ, r.Key())
		}
	}
}

// crossing is check of a Record of that type, or of a policy.
func (o *overlay) crossing(name rr.Name, typ rr.Type, key zones.Key) {
	switch owner, by := o.hider(name); {
	case by == rr.TypeDNAME:
		o.cross(name, key, "", "it is below the DNAME that the primary has at %s, which answers instead", owner)
	case by == rr.TypeNS && typ == 0:
		o.cross(name, key, "", "it is below the delegation that the primary has at %s, and never asked for here; take the NS records out there", owner)
	case typ != rr.TypeCNAME && slices.Contains(o.version.types(name), rr.TypeCNAME):
		o.cross(name, key, "", "the primary has a CNAME at its name, which it hides with all that is behind it; take the CNAME out there")
	}
}

func (o *overlay) cross(name rr.Name, key zones.Key, field, format string, args ...any) {
	o.overlaid[o.origin][name] = append(o.overlaid[o.origin][name], zones.Problem{
		Key: key, Field: field, Warning: true, Message: fmt.Sprintf(format, args...),
	})
}

// overlaidSerial is the serial of a zone that lives elsewhere. It moves when the primary's serial does and when what is
// laid over the zone does: it is their sum (RFC 1982).
func overlaidSerial(v *Version, serial uint32) uint32 { return v.Serial() + serial }

// overlaidSOA is soaOf of a zone that lives elsewhere: the primary's SOA with overlaidSerial.
func overlaidSOA(v *Version, revision uint32) (edit, negative) {
	soa := slices.Clone(v.SOA())
	putSerial(soa, overlaidSerial(v, revision))
	least := slices.Clone(soa)
	binary.BigEndian.PutUint32(least[6:], min(binary.BigEndian.Uint32(soa[6:]), binary.BigEndian.Uint32(soa[len(soa)-4:])))
	return edit{name: v.origin, kind: putSet, typ: rr.TypeSOA, set: func(dst []byte) ([]byte, int) {
		return append(dst, soa...), 1
	}}, newNegative(v.origin, least)
}

// overlaidProblems returns what crosses in all zones that live elsewhere. A resource that was written again as it was
// is not laid over again, and has another revision.
func (b *Builder) overlaidProblems(c *zones.Catalog) (all zones.Problems) {
	for _, names := range b.overlaid {
		for _, problems := range names {
			for _, p := range problems {
				p.Revision = c.VersionOf(p.Key)
				all = append(all, p)
			}
		}
	}
	slices.SortFunc(all, func(a, b zones.Problem) int { return strings.Compare(string(a.Key), string(b.Key)) })
	return all
}

// Elsewhere returns the primary's version of the zone that the answer is from, nil where there is none yet, and whether
// the zone lives elsewhere at all.
func (a *Answer) Elsewhere() (v *Version, elsewhere bool) {
	if a.in == nil {
		return nil, false
	}
	return a.in.version, a.in.elsewhere
}

// Expired reports whether the zone that the answer is from has expired: what is the primary's in it is not answered any
// more.
func (a *Answer) Expired() bool { return a.in.standing == expired }

// Expire returns for how long the zone that the answer is from is good, as a secondary of it is told (RFC 7314 section
// 4).
func (a *Answer) Expire(now time.Time) (seconds uint32, ok bool) { return a.in.expire(now) }

// Expire is Answer.Expire of the zone.
func (z *Zone) Expire(now time.Time) (seconds uint32, ok bool) { return z.zone.expire(now) }

// expire is the SOA's EXPIRE where the zone lives here, and what is left of the primary's where it does not.
func (z *zone) expire(now time.Time) (seconds uint32, ok bool) {
	n := z.tree.find([]byte(z.origin))
	if n == nil {
		return 0, false
	}
	_, soa := n.set(rr.TypeSOA)
	if len(soa) < 20 {
		return 0, false
	}
	seconds = binary.BigEndian.Uint32(soa[len(soa)-8:])
	switch {
	case !z.elsewhere:
		return seconds, true
	case z.until == nil:
		return 0, false
	}
	return uint32(min(max(z.until.Load()-now.Unix(), 0), int64(seconds))), true
}

// stand makes the outcome what it is in a zone that is not current. Policies do not depend on the primary.
func (a *Answer) stand() {
	switch {
	case a.in.standing == hollow:
		a.Outcome = Unusable
	case a.in.standing == waiting:
		a.Outcome = Unready
	case a.in.standing == expired && a.Outcome != Steered && a.Outcome != Missed:
		a.Outcome = Outdated
	}
}
