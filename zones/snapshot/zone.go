package snapshot

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"time"

	"leeward/zones"
	"leeward/zones/rr"
	"leeward/zones/steer"
)

func (u *update) edit(origin string, e edit) {
	u.edits[origin] = append(u.edits[origin], e)
	u.touched = append(u.touched, origin)
}

// record edits the name of a static RRset.
func (u *update) record(k zones.Key) {
	origin, rest, _ := strings.Cut(k.Name(), "/")
	owner, typ, _ := strings.Cut(rest, "/")
	zone, _ := u.catalog.Get(zones.KeyOf(zones.KindZone, origin)).(*zones.Zone)
	apex, err := rr.ParseName(origin)
	if zone == nil || err != nil {
		return // building or removing the zone includes its records
	}
	if r, ok := u.catalog.Get(k).(*zones.Record); ok {
		if e, ok := u.put(zone, apex, r); ok {
			u.edit(origin, e)
		}
		return
	}
	name, err := rr.ParseRelative(owner, apex)
	t, terr := rr.ParseType(typ)
	if err == nil && terr == nil && !(name == apex && t.MadeBySigning() && u.signers[origin] != nil) {
		kind := dropSet
		if u.catalog.Missed(k) {
			kind = putSet // a hole
		}
		u.edit(origin, edit{name: name, kind: kind, typ: t})
	}
}

// unsigned returns why a signed zone cannot have what a Record gives, or "" if it can.
//
// NS at a wildcard can be neither signed nor left unsigned: at the * itself they are a cut, which nobody signs, and at
// the names that the * stands for they are an answer, which somebody must. No denial holds for both, and resolvers take
// none in which the * is a cut (RFC 4592 section 4.2 leaves it open).
func unsigned(apex, name rr.Name, typ rr.Type) (why string) {
	switch {
	case name == apex && typ.MadeBySigning():
		return "these records are made of its key: what is given here is not served; take it out"
	case name != apex && typ == rr.TypeNS && name.IsWildcard():
		return "NS at a wildcard cannot be signed: they are not served; give each delegation its own name"
	}
	return ""
}

// put returns the edit that puts a static RRset.
func (u *update) put(zone *zones.Zone, apex rr.Name, r *zones.Record) (edit, bool) {
	delete(u.problems, r.Key())
	name, err := rr.ParseRelative(r.Owner, apex)
	typ, terr := rr.ParseType(r.Type)
	if err == nil {
		err = terr
	}
	if err != nil { // the catalog should not have let it through: report it rather than lose it
		u.problems[r.Key()] = zones.Problem{Key: r.Key(), Message: err.Error()}
		return edit{}, false
	}
	if why := unsigned(apex, name, typ); why != "" && u.signers[zone.Origin] != nil {
		u.problems[r.Key()] = zones.Problem{Key: r.Key(), Warning: true, Message: "the zone is signed, and " + why}
		return edit{}, false
	}
	ttl := steer.Seconds(r.TTL.Or(zone.TTL.Or(zones.DefaultTTL)))
	return edit{name: name, kind: putSet, typ: typ, set: func(dst []byte) ([]byte, int) {
		count := 0
		for _, text := range r.Data {
			data, err := rr.ParseData(typ, text, apex)
			if err != nil {
				u.problems[r.Key()] = zones.Problem{Key: r.Key(), Field: "data", Message: err.Error()}
				continue
			}
			dst = appendRecord(dst, typ, ttl, data)
			count++
		}
		return dst, count
	}}, true
}

// editZones makes the edits, zone by zone.
func (u *update) editZones() {
	for _, origin := range u.touched {
		if u.lacking[origin].vital > 0 && !u.stage {
			u.zones[origin] = true // what is served is older than what was edited
		}
	}
	if len(u.zones) > 0 {
		u.list()
	}
	if len(u.zones)+len(u.touched) > 0 {
		u.ownZones()
	}
	if len(u.zones) > 0 {
		u.out.origins = maps.Clone(u.out.origins)
		for _, origin := range slices.Sorted(maps.Keys(u.zones)) {
			u.buildZone(origin)
		}
		u.out.roots = newRoots(u.seed, u.out.zones)
		u.out.depths, u.out.debugged = 0, false
		for o, at := range u.out.origins {
			u.out.depths |= depthBit(o.Labels())
			u.out.debugged = u.out.debugged || len(u.out.zones[at].debug) > 0
		}
	}
	slices.Sort(u.touched)
	for _, origin := range slices.Compact(u.touched) {
		apex, err := rr.ParseName(origin)
		if err != nil {
			continue
		}
		at, ok := u.out.origins[apex]
		z, serial := u.catalog.Zone(origin)
		if !ok || z == nil || u.zones[origin] || u.catalog.Hollow(origin) || u.out.zones[at].standing == hollow {
			// a zone that was hollow is built from nothing
			continue
		}
		next := *u.out.zones[at]
		edits := u.edits[origin]
		if z.Lists() {
			edits = u.listed[origin]
		}
		switch {
		case z.Secondary() && (u.relaid[origin] || len(edits) > 0): // removing what covers it shows the primary's data
			next = *u.layOver(origin, apex, z, u.out.zones[at])
		case z.Secondary() && next.sealed != nil: // the serial is the primary's
		case z.Secondary() && next.version != nil:
			next.reserial(overlaidSerial(next.version, serial) + u.turned(z))
		case !z.Secondary():
			if len(edits) > 0 {
				next.tree = next.tree.apply(apex, edits)
			}
			next.reserial(serial + u.turned(z))
		}
		u.setZone(at, &next)
	}
}

// buildZone builds a zone from nothing, or removes one that is gone.
func (u *update) buildZone(origin string) {
	apex, err := rr.ParseName(origin)
	if err != nil {
		return
	}
	at, known := u.out.origins[apex]
	z, _ := u.catalog.Get(zones.KeyOf(zones.KindZone, origin)).(*zones.Zone)
	if z == nil && !u.catalog.Hollow(origin) {
		if known {
			last := len(u.out.zones) - 1
			u.out.zones[at], u.out.zones[last] = u.out.zones[last], u.out.zones[at]
			u.out.origins[u.out.zones[at].origin] = at
			u.setZone(last, nil)
			u.out.zones = u.out.zones[:last]
			delete(u.out.origins, apex)
		}
		delete(u.overlaid, origin)
		delete(u.lacking, origin)
		delete(u.seals, origin)
	} else {
		built := u.built(origin, apex, z)
		if !known {
			at = len(u.out.zones)
			u.out.origins[apex] = at
			u.out.zones = append(u.out.zones, nil)
		}
		u.setZone(at, built)
	}
}

// built returns a zone built from nothing.
func (u *update) built(origin string, apex rr.Name, z *zones.Zone) *zone {
	if z != nil && z.Secondary() {
		return u.layOver(origin, apex, z, nil)
	}
	delete(u.overlaid, origin)
	delete(u.seals, origin)
	if u.catalog.Hollow(origin) {
		return &zone{origin: apex, hash: hash(u.seed, []byte(apex)), tree: newTree(u.seed), standing: hollow}
	}
	if z.Lists() {
		return u.builtList(apex, z)
	}
	signer, usable := u.signerOf(z, z.Signed() && z.DNSSEC.NSEC3, nil)
	if !usable {
		return &zone{origin: apex, hash: hash(u.seed, []byte(apex)), tree: newTree(u.seed), standing: hollow}
	}
	soa, negative := soaOf(z, apex, u.catalog.ZoneSerial(origin)+u.turned(z))
	edits := []edit{soa}
	if ns, ok := nsOf(z, apex); ok {
		edits = append(edits, ns)
	}
	for _, p := range u.Builder.policies.in[origin] {
		edits = append(edits, edit{name: p.name, kind: setPolicy, n: p.number})
	}
	edits = append(edits, u.holesIn(origin, apex)...)
	out := &zone{
		origin: apex, hash: hash(u.seed, []byte(apex)), negative: negative, transfer: z.Transfer,
		fixed: z.Order == zones.OrderFixed, debug: z.Debuggers(),
	}
	if signer != nil {
		out.signing = &signing{signer: signer}
		edits = append(edits, keySets(z, apex, signer)...)
	}
	out.tree = u.grow(origin, apex, z, edits)
	return out
}

// holesIn returns the edits that put a zone's holes: what is configured in it and could not be read.
func (u *update) holesIn(origin string, apex rr.Name) (edits []edit) {
	for _, key := range u.catalog.MissedRecords(origin) {
		owner, typ, _ := strings.Cut(strings.TrimPrefix(key.Name(), origin+"/"), "/")
		name, err := rr.ParseRelative(owner, apex)
		t, terr := rr.ParseType(typ)
		if err == nil && terr == nil {
			edits = append(edits, edit{name: name, kind: putSet, typ: t})
		}
	}
	for _, p := range u.Builder.holes.in[origin] {
		edits = append(edits, edit{name: p.name, kind: putSet})
	}
	return edits
}

// reserial gives the zone another serial. For most zones that a change touches, that is all that changes.
func (z *zone) reserial(serial uint32) {
	z.tree = z.tree.reserial(z.origin, serial)
	z.negative = z.negative.reserial(serial)
}

// namesAtOnce bounds the memory that building a large zone takes beside the tree.
const namesAtOnce = 1 << 12

// grow builds a zone's tree from its records and further edits. It goes through the names in the order of their shards,
// so that each shard is built once, and few names are in memory as edits at a time. In the catalog's order, every shard
// would be built many times.
func (u *update) grow(origin string, apex rr.Name, z *zones.Zone, more []edit) *tree {
	owners := u.catalog.OwnersOf(origin)
	t := sizedTree(u.seed, shardsFor(len(owners)))
	r := revision{tree: t, apex: apex, own: make([]bool, len(t.shards)), kids: map[rr.Name]int32{}}
	for i := range r.own {
		r.own[i] = true
	}
	type place struct{ shard, owner uint32 }
	places := make([]place, len(owners))
	for i, owner := range owners {
		places[i].owner = uint32(i)
		if name, err := rr.ParseRelative(owner, apex); err == nil { // put reports an error
			places[i].shard = uint32(t.shardOf(t.hash([]byte(name))))
		}
	}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.shard, b.shard), cmp.Compare(a.owner, b.owner))
	})
	var edits []edit
	for i, p := range places {
		for _, record := range u.catalog.RecordsAt(origin, owners[p.owner]) {
			if e, ok := u.put(z, apex, record); ok {
				edits = append(edits, e)
			}
		}
		last := i == len(places)-1
		if last || len(edits) >= namesAtOnce && places[i+1].shard != p.shard {
			r.make(edits)
			clear(edits)
			edits = edits[:0]
		}
	}
	r.make(more)
	return r.done()
}

// soaOf returns the edit that puts the zone's SOA, and the SOA for negative answers, whose TTL is at most its MINIMUM
// (RFC 2308 section 3).
func soaOf(z *zones.Zone, apex rr.Name, serial uint32) (edit, negative) {
	data := soaData(z, serial)
	ttl := steer.Seconds(z.SOATime())
	least := min(ttl, binary.BigEndian.Uint32(data[len(data)-4:]))
	return edit{name: apex, kind: putSet, typ: rr.TypeSOA, set: func(dst []byte) ([]byte, int) {
		return appendRecord(dst, rr.TypeSOA, ttl, data), 1
	}}, newNegative(apex, appendRecord(nil, rr.TypeSOA, least, data))
}

// soaData returns the SOA's RDATA (RFC 1035 section 3.3.13).
func soaData(z *zones.Zone, serial uint32) []byte {
	var data []byte
	for _, s := range []string{z.MName(), z.RName()} {
		n, err := rr.ParseName(s)
		if err != nil { // the catalog does not let such a zone through
			n = rr.Root
		}
		data = append(data, n...)
	}
	data = binary.BigEndian.AppendUint32(data, serial)
	for _, d := range []time.Duration{
		z.Refresh.Or(zones.DefaultRefresh), z.Retry.Or(zones.DefaultRetry), z.Expire.Or(zones.DefaultExpire),
		z.NegativeTTL.Or(zones.DefaultNegativeTTL),
	} {
		data = binary.BigEndian.AppendUint32(data, steer.Seconds(d))
	}
	return data
}

// nsOf returns the edit that puts the zone's NS, and whether it has any.
func nsOf(z *zones.Zone, apex rr.Name) (edit, bool) {
	var names []rr.Name
	for _, s := range z.Nameservers {
		if n, err := rr.ParseName(s); err == nil {
			names = append(names, n)
		}
	}
	return edit{name: apex, kind: putSet, typ: rr.TypeNS, set: func(dst []byte) ([]byte, int) {
		for _, n := range names {
			dst = appendRecord(dst, rr.TypeNS, steer.Seconds(z.TTL.Or(zones.DefaultTTL)), []byte(n))
		}
		return dst, len(names)
	}}, len(names) > 0
}
