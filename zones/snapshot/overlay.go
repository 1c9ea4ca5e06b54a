package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/rr"
)

// Transferred is the state, here, of a zone that lives on another primary.
type Transferred struct {
	Version *Version // last one transferred; nil: none yet
	Expired bool     // the primary has been silent for longer than its SOA allows (RFC 1035 section 3.3.13)

	// Until is the Unix time in seconds at which the zone expires unless the primary is heard from. The zone's follower
	// keeps it up to date, so hearing that nothing is new needs no new snapshot. nil: unknown.
	Until *atomic.Int64
}

// standing says whether a zone can be answered from.
type standing uint8

const (
	current standing = iota
	waiting          // it lives elsewhere, and nothing has been transferred yet
	// it lives elsewhere, and the primary has been silent for too long: its records are no longer answered
	expired
	hollow // it is configured here, but it cannot be used
)

// Transferred notes the state of a zone that lives elsewhere. The next Update lays what is configured over it.
func (b *Builder) Transferred(origin string, t Transferred) {
	if t.Version == nil {
		delete(b.elsewhere, origin)
	} else {
		b.elsewhere[origin] = t
	}
	b.arrived[origin] = true
}

// Version returns the last version transferred of a zone that lives elsewhere, or nil if there is none.
func (b *Builder) Version(origin string) *Version { return b.elsewhere[origin].Version }

// takeTransferred marks the zones with a new transfer, and those with a signature that has expired.
func (u *update) takeTransferred() {
	for origin := range u.arrived {
		u.touched, u.relaid[origin] = append(u.touched, origin), true
	}
	clear(u.arrived)
	for origin, at := range u.seals {
		if !u.now().Before(at) {
			u.touched, u.relaid[origin] = append(u.touched, origin), true
		}
	}
}

// layOver builds a zone that lives elsewhere: the primary's version with Records and Policies laid over it.
//
//	our Records and Policies   (edits)
//	───────────────────────────────────
//	the primary's Version      (a tree, shared as far as nothing is laid over it)
//
// before is the zone as it was, or nil. If its version is an ancestor of the new one, only the names that have changed,
// there or here, are made again. Otherwise all names with something laid over them are made.
//
// A zone that its primary signs is passed on unchanged (pass) if nothing is laid over it and it is not to be signed
// here. A zone that is to keep the primary's signatures has them wherever they hold (keep.go), or is passed on
// unchanged too. In all other zones they are left out.
//
// A policy replaces the primary's A, AAAA and CNAME at its name. A Record replaces the set of its type. A CNAME, on
// either side, replaces all other sets. Below the primary's cuts and DNAMEs no policy applies, so that glue stays the
// primary's. Below its DNAMEs no Record applies either, since none may exist there (RFC 6672 section 2.4).
func (u *update) layOver(origin string, apex rr.Name, z *zones.Zone, before *zone) *zone {
	t := u.elsewhere[origin]
	delete(u.seals, origin)
	out := &zone{
		origin: apex, transfer: z.Transfer, version: t.Version, elsewhere: true,
		hash: hash(u.seed, []byte(apex)), debug: z.Debuggers(),
	}
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
	if o.version.Signed() && (!z.Signed() || z.Keeps()) && o.bare() {
		u.overlaid[origin] = map[rr.Name][]zones.Problem{}
		o.pass(out, before)
		return out
	}
	var theirs *sealed
	var only [][]byte
	nsec3 := z.Signed() && z.DNSSEC.NSEC3
	if z.Keeps() && o.version.Signed() {
		theirs, only = newSealed(o.version), o.version.keys()
		nsec3 = theirs.hashing != nil
		if fault := o.unkept(only); fault != "" {
			u.overlaid[origin] = map[rr.Name][]zones.Problem{}
			o.pass(out, before)
			u.doubt(z, false, errors.New(fault))
			return out
		}
	}
	signer, usable := u.signerOf(z, nsec3, only)
	if !usable {
		out.version, out.standing, out.tree = nil, hollow, newTree(u.seed)
		return out
	}
	o.signed = signer != nil
	base, names := o.version.tree, o.since(before, theirs)
	if names != nil {
		base, out.apart = before.tree, before.apart+len(names)
	} else {
		u.overlaid[origin] = map[rr.Name][]zones.Problem{}
		names = o.all()
	}
	soa, negative := overlaidSOA(o.version, u.catalog.ZoneSerial(origin)+u.turned(z))
	edits := []edit{soa}
	for name := range names {
		edits = o.lay(edits, base, name)
		o.check(name)
	}
	switch {
	case theirs != nil:
		out.signing = &signing{signer: signer, theirs: theirs}
		edits = append(edits, o.keySets(theirs, base, before)...)
	case signer != nil:
		out.signing = &signing{signer: signer}
		edits = append(edits, keySets(z, apex, signer)...)
	}
	out.tree, out.negative = base.apply(apex, edits), negative
	if o.check(""); o.version.Signed() && signer == nil {
		o.cross("", z.Key(), "transfer.primaries", "the primary signs the zone, and its signatures are left out here, "+
			"as they do not hold for what is laid over it: sign it here too (dnssec), or "+
			"take the DS out of the parent zone first, or validating resolvers get no answer")
	}
	switch {
	case theirs != nil:
		o.keepHealth(theirs, before)
	case z.Keeps():
		o.cross("", z.Key(), "dnssec.keep", "the primary does not sign the zone, so there is nothing to keep, and all "+
			"of it is signed here; have the primary sign it, or take it out")
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
	holes   []edit // all of the zone's holes
	signed  bool   // here
}

// refused returns why the zone cannot have one of the primary's RRsets, or "" if it can. A zone that is signed here is
// held to the same whether its records are given here or come from a primary.
func (o *overlay) refused(name rr.Name, typ rr.Type) (why string) {
	if !o.signed {
		return ""
	}
	return unsigned(o.apex, name, typ)
}

// since returns the names that must be made again in the zone before. It returns nil if all names must be: if the
// version is not derived from the earlier one, if a cut or a DNAME has changed (which concerns names below), or if so
// many names were made again that little is shared any more.
func (o *overlay) since(before *zone, theirs *sealed) map[rr.Name]bool {
	if before == nil || before.version == nil || before.sealed != nil || (before.signing != nil) != o.signed ||
		o.signed && !theirs.follows(before.signing.theirs) {
		return nil
	}
	changed := o.version.differs(before.version, false)
	if changed == nil {
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

// all returns the names that have something laid over them, or that lose something.
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
	if t := o.version.tree; o.signed && t.stars > 0 && t.cuts > 0 {
		for n := range t.nodes {
			if name := rr.Name(n.name()); n.cut() && o.refused(name, rr.TypeNS) != "" {
				names[name] = true
			}
		}
	}
	return names
}

// lay appends the edits that turn a name of the base into what it should be.
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
		return same || alias || policy >= 0 && hides(typ) || len(ours) > 0 && typ == rr.TypeCNAME ||
			o.refused(name, typ) != ""
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
			own := typ == rr.TypeSOA || name == o.apex && o.zone.Signed() && typ.MadeBySigning() ||
				o.zone.Keeps() && o.version.made(name, typ) != nil
			if _, stays := ours[typ]; !stays && !theirs[typ] && !own {
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

// hider returns the cut or DNAME of the primary that answers for a name, unless a Record replaces it, or it is left
// out.
func (o *overlay) hider(name rr.Name) (owner rr.Name, typ rr.Type) {
	return o.version.hider(name, func(owner rr.Name, typ rr.Type) bool {
		ours := o.catalog.RecordsAt(o.origin, zones.OwnerIn(owner, o.apex))
		return o.refused(owner, typ) != "" || slices.ContainsFunc(ours, func(r *zones.Record) bool {
			e, ok := o.put(o.zone, o.apex, r)
			return ok && (e.typ == typ || e.typ == rr.TypeCNAME)
		})
	})
}

// differs returns the names that differ from an older version, or nil if v is not derived from that. all says to count
// what signing adds too.
func (v *Version) differs(old *Version, all bool) (names map[rr.Name]bool) {
	names = map[rr.Name]bool{}
	if !v.tree.differs(old.tree, names) ||
		all && !(v.proofs.differs(old.proofs, names) && v.seals.differs(old.seals, names)) {
		return nil
	}
	return names
}

// differs adds the names that differ from an older tree. It reports whether b is derived from that tree.
func (b *tree) differs(a *tree, names map[rr.Name]bool) bool {
	if a.seed != b.seed || a.len() != b.len() {
		return false
	}
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
	return true
}

// check notes which of the primary's records conflict with what is laid over a name.
func (o *overlay) check(name rr.Name) {
	delete(o.overlaid[o.origin], name)
	if name == "" { // it stands for the zone as a whole
		return
	}
	text := zones.NameText(name)
	if n := o.version.tree.find([]byte(name)); n != nil && n.cut() {
		if why := o.refused(name, rr.TypeNS); why != "" {
			o.cross(name, o.zone.Key(), "transfer.primaries", "the primary has NS at %s; the zone is signed here, and "+
				"%s", text, why)
		}
	}
	if p := o.Builder.policies.in[o.origin][text]; p != nil {
		o.crossing(name, 0, zones.KeyOf(zones.KindPolicy, text))
	}
	for _, r := range o.catalog.RecordsAt(o.origin, zones.OwnerIn(name, o.apex)) {
		if typ, err := rr.ParseType(r.Type); err == nil {
			o.crossing(name, typ, r.Key())
		}
	}
}

// crossing does check for a Record of that type or, if typ is 0, for a policy.
func (o *overlay) crossing(name rr.Name, typ rr.Type, key zones.Key) {
	switch owner, by := o.hider(name); {
	case by == rr.TypeDNAME:
		o.cross(name, key, "", "it is below the DNAME that the primary has at %s, which answers instead", owner)
	case by == rr.TypeNS && typ == 0:
		o.cross(name, key, "", "it is below the delegation that the primary has at %s, and never asked for here; "+
			"take the NS records out there", owner)
	case typ != rr.TypeCNAME && slices.Contains(o.version.types(name), rr.TypeCNAME):
		o.cross(name, key, "", "the primary has a CNAME at its name, which it hides with all that is behind it; "+
			"take the CNAME out there")
	}
}

func (o *overlay) cross(name rr.Name, key zones.Key, field, format string, args ...any) {
	o.overlaid[o.origin][name] = append(o.overlaid[o.origin][name], zones.Problem{
		Key: key, Field: field, Warning: true, Message: fmt.Sprintf(format, args...),
	})
}

// overlaidSerial returns the serial of a zone that lives elsewhere. It is the sum of the primary's serial and that of
// what is laid over the zone, so that it moves when either does (RFC 1982).
func overlaidSerial(v *Version, serial uint32) uint32 { return v.Serial() + serial }

// overlaidSOA does soaOf for a zone that lives elsewhere: the primary's SOA with overlaidSerial.
func overlaidSOA(v *Version, revision uint32) (edit, negative) {
	soa := slices.Clone(v.SOA())
	putSerial(soa, overlaidSerial(v, revision))
	least := slices.Clone(soa)
	binary.BigEndian.PutUint32(least[6:],
		min(binary.BigEndian.Uint32(soa[6:]), binary.BigEndian.Uint32(soa[len(soa)-4:])))
	return edit{name: v.origin, kind: putSet, typ: rr.TypeSOA, set: func(dst []byte) ([]byte, int) {
		return append(dst, soa...), 1
	}}, newNegative(v.origin, least)
}

// overlaidProblems returns the conflicts in all zones that live elsewhere. It looks up their revisions now: a resource
// that was written again unchanged is not laid over again, but has a new revision.
func (b *Builder) overlaidProblems(c *catalog.Catalog) (all zones.Problems) {
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

// Elsewhere reports whether the zone that answered lives on another primary. v is the primary's version, or nil if
// nothing has been transferred yet.
func (a *Answer) Elsewhere() (v *Version, elsewhere bool) {
	if a.in == nil {
		return nil, false
	}
	return a.in.version, a.in.elsewhere
}

// Expired reports whether the zone that answered has expired, so that the primary's records are no longer answered.
func (a *Answer) Expired() bool { return a.in.standing == expired }

// Expire returns how many seconds the zone that answered remains valid, as its secondaries are told (RFC 7314 section
// 4).
func (a *Answer) Expire(now time.Time) (seconds uint32, ok bool) { return a.in.expire(now) }

// Expire does Answer.Expire for the zone.
func (z *Zone) Expire(now time.Time) (seconds uint32, ok bool) { return z.zone.expire(now) }

// expire returns the SOA's EXPIRE if the zone lives here, and else the rest of the primary's.
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

// stand corrects the outcome in a zone that is not current. Policies do not depend on the primary.
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
