package snapshot

import (
	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/rr"
	"leeward/zones/steer"
)

// nobody is the NS of a catalog zone for which no nameservers are given (RFC 9432 section 4).
const nobody = rr.Name("\x07invalid\x00")

// list brings the catalog zones that are made here up to the zones that exist. Each zone that came, went or changed
// edits one member of a catalog, so an IXFR of the catalog is a few records.
func (u *update) list() {
	catalogs := u.catalog.Catalogs()
	for origin := range u.lists {
		if z, ok := u.catalog.Get(zones.KeyOf(zones.KindZone, origin)).(*zones.Zone); !ok || !z.Lists() {
			delete(u.lists, origin)
		}
	}
	for _, z := range catalogs {
		apex, err := rr.ParseName(z.Origin)
		if err != nil {
			continue
		}
		before, now := u.lists[z.Origin], map[string]catalog.Listed{}
		for _, l := range u.catalog.Members(z) {
			l.Open = false // the zone does not show it
			now[l.Origin] = l
			if was, known := before[l.Origin]; !known || was != l {
				u.listed[z.Origin] = append(u.listed[z.Origin], listing(z, apex, l, true)...)
			}
		}
		for origin, l := range before {
			if _, still := now[origin]; !still {
				u.listed[z.Origin] = append(u.listed[z.Origin], listing(z, apex, l, false)...)
			}
		}
		u.lists[z.Origin] = now
		if len(u.listed[z.Origin]) > 0 {
			u.touched = append(u.touched, z.Origin)
		}
	}
}

// listing returns the edits that put a member into a catalog zone, or remove it. A member that cannot be read is a
// hole: if it were missing, secondaries would drop it.
func listing(z *zones.Zone, apex rr.Name, l catalog.Listed, put bool) []edit {
	label := l.Label()
	member := rr.Name(string(rune(len(label))) + label + "\x05zones" + string(apex))
	group := rr.Name("\x05group" + string(member))
	edits := []edit{
		{name: member, kind: dropSet, typ: rr.TypePTR},
		{name: group, kind: dropSet, typ: rr.TypeTXT},
	}
	if !put {
		return edits
	}
	if edits[0].kind = putSet; !l.Missed {
		if target, err := rr.ParseName(l.Origin); err == nil {
			edits[0].set = single(z, rr.TypePTR, []byte(target))
		}
	}
	if l.Group != "" {
		edits[1].kind, edits[1].set = putSet, single(z, rr.TypeTXT, append([]byte{byte(len(l.Group))}, l.Group...))
	}
	return edits
}

// single returns a function for edit.set that appends one record.
func single(z *zones.Zone, typ rr.Type, data []byte) func([]byte) ([]byte, int) {
	return func(dst []byte) ([]byte, int) {
		return appendRecord(dst, typ, steer.Seconds(z.TTL.Or(zones.DefaultTTL)), data), 1
	}
}

// builtList builds, from nothing, a catalog zone that is made here. It leaves out Records and Policies that are in the
// zone by mistake: a reader of the catalog could not know what they mean.
func (u *update) builtList(apex rr.Name, z *zones.Zone) *zone {
	soa, negative := soaOf(z, apex, u.catalog.ZoneSerial(z.Origin))
	ns, ok := nsOf(z, apex)
	if !ok {
		ns = edit{name: apex, kind: putSet, typ: rr.TypeNS, set: single(z, rr.TypeNS, []byte(nobody))}
	}
	edits := []edit{soa, ns, {
		name: rr.Name("\x07version" + string(apex)), kind: putSet, typ: rr.TypeTXT,
		set: single(z, rr.TypeTXT, catalogVersion),
	}}
	for _, l := range u.lists[z.Origin] {
		edits = append(edits, listing(z, apex, l, true)...)
	}
	return &zone{
		origin: apex, hash: hash(u.seed, []byte(apex)),
		tree:     sizedTree(u.seed, shardsFor(len(edits))).apply(apex, edits),
		negative: negative, transfer: z.Transfer, listing: true,
	}
}
