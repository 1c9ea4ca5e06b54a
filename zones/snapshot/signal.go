package snapshot

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"leeward/zones"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
)

// A zone's CDS and CDNSKEY are also in the signed zones of its name servers (RFC 9615), where a parent without a DS can
// validate them: those of child.test with the name server ns1.host.test are at
//
//	_dsboot.child.test._signal.ns1.host.test
//
// They are in the tree as a Record would be, so look-up, denial, signing and transfers know nothing of them.
//
// Zones of a primary signal as well, with the CDS and name servers that they are answered with: the primary's if it
// signs them, else ours. Each server has these from a transfer of its own, at a time of its own, and no revision tells
// of them. So they cannot move the serial of the zone that they are put into, and are only put where nobody transfers
// that. An edge has none of them, as a signer has no zones of primaries and so signs none.

// signal is one name at which a zone's CDS and CDNSKEY are to be too.
type signal struct {
	domain rr.Name // _signal.NAMESERVER; of a name that is too long, the domain or what is above it
	name   rr.Name // "": it would be too long
	zone   string  // the origin of the zone that it is in; "": none here can have it
	text   string  // the name, for people
	moves  bool    // with a primary's transfers, so that no serial can tell
}

// spent is how far the times of keys have moved a zone's serial within an epoch.
type spent struct {
	epoch  int64
	events int
}

// signalTypes are the types of the RRsets that are published twice.
var signalTypes = [...]rr.Type{rr.TypeCDS, rr.TypeCDNSKEY}

// signalsOf returns where a zone's CDS and CDNSKEY are to be too; nil: the zone has none.
func (u *update) signalsOf(origin string) (all []signal) {
	z, _ := u.catalog.Get(zones.KeyOf(zones.KindZone, origin)).(*zones.Zone)
	apex, err := rr.ParseName(origin)
	if z == nil || err != nil || u.apexSet(apex, rr.TypeCDS) == nil {
		return nil
	}
	domains := z.Signals()
	if z.Secondary() && !u.edge {
		domains = z.SignalsOf(serversIn(u.apexSet(apex, rr.TypeNS)))
	}
	for _, domain := range domains {
		s := signal{text: "_dsboot." + origin + "." + domain, moves: z.Secondary()}
		if s.domain, err = rr.ParseName(domain); err != nil {
			s.domain, err = rr.ParseName(zones.ParentName(domain))
		}
		if err != nil {
			continue // validation refuses such a name server
		}
		if n, err := rr.ParseName(s.text); err == nil {
			s.name = n
		}
		all = append(all, s)
	}
	return all
}

// apexSet returns an RRset at the apex of a zone that is signed, here or by its primary; nil: there is none.
func (u *update) apexSet(apex rr.Name, typ rr.Type) []byte { return u.out.apexSet(apex, typ) }

func (s *Snapshot) apexSet(apex rr.Name, typ rr.Type) []byte {
	at, ok := s.origins[apex]
	if !ok {
		return nil
	}
	z := s.zones[at]
	if z.standing != current || z.signing == nil && z.sealed == nil {
		return nil
	}
	n := z.tree.find([]byte(apex))
	if n == nil {
		return nil
	}
	_, wire := n.set(typ)
	return wire
}

// serversIn returns the names in an NS RRset, spelled like origins.
func serversIn(wire []byte) (all []string) {
	for len(wire) > 0 {
		data := dataOf(wire)
		wire = wire[recordHead+len(data):]
		if name, _, err := rr.CutName(data); err == nil && name != rr.Root {
			all = append(all, zones.NameText(name))
		}
	}
	return all
}

// resignaled returns the zones of primaries that have begun to signal something else without being built from nothing.
func (u *update) resignaled() (all map[string]bool) {
	all = map[string]bool{}
	for _, origin := range u.touched {
		apex, err := rr.ParseName(origin)
		at, ok := u.out.origins[apex]
		if err != nil || !ok || !u.out.zones[at].elsewhere || u.zones[origin] {
			continue
		}
		for _, typ := range [...]rr.Type{rr.TypeNS, rr.TypeCDS, rr.TypeCDNSKEY} {
			if !bytes.Equal(u.apexSet(apex, typ), u.last.apexSet(apex, typ)) {
				all[origin] = true
			}
		}
	}
	return all
}

// vouching returns the origin of the zone that has a name, if that can have CDS of others; else "".
func (u *update) vouching(name rr.Name) string {
	for ; ; name = name.Parent() {
		if at, ok := u.out.origins[name]; ok {
			origin := zones.NameText(name)
			z, _ := u.catalog.Get(zones.KeyOf(zones.KindZone, origin)).(*zones.Zone)
			if z == nil || !z.Vouches() || u.out.zones[at].signing == nil {
				return ""
			}
			return origin
		}
		if name == rr.Root {
			return ""
		}
	}
}

// signalZones publishes what zones signal in the zones of their name servers. It looks at the names whose zone, or the
// zone that they are in, was built, and at those that Records have changed.
func (u *update) signalZones() {
	look := map[string]map[rr.Name]bool{} // by the origin of the zone that they are in
	mark := func(zone string, name rr.Name) {
		if look[zone] == nil {
			look[zone] = map[rr.Name]bool{}
		}
		look[zone][name] = true
	}
	if again := u.resignaled(); len(u.zones)+len(again) > 0 {
		maps.Copy(again, u.zones)
		u.placeSignals(again, mark)
	}
	for origin, edits := range u.edits {
		names := u.signaled[origin]
		for i := 0; i < len(edits) && len(names) > 0; i++ {
			switch e := edits[i]; e.typ {
			case rr.TypeNS, rr.TypeDNAME: // they may hide names below
				for name := range names {
					mark(origin, name)
				}
			case rr.TypeCDS, rr.TypeCDNSKEY, rr.TypeCNAME:
				if names[e.name] != "" {
					mark(origin, e.name)
				}
			}
		}
	}
	for _, origin := range slices.Sorted(maps.Keys(look)) {
		u.putSignals(origin, look[origin])
	}
}

// transferred reports whether a zone may be transferred.
func (u *update) transferred(origin string) bool {
	z, _ := u.catalog.Get(zones.KeyOf(zones.KindZone, origin)).(*zones.Zone)
	return z != nil && z.Transfer != nil && len(z.Transfer.Allow)+len(z.Transfer.Notify) > 0
}

// placeSignals finds out which zone each signal belongs to, after zones have come, gone or changed. again are those
// whose own signals may be others.
func (u *update) placeSignals(again map[string]bool, mark func(zone string, name rr.Name)) {
	lift := func(origin string, s *signal) {
		u.Awaits(origin, s.text, "")
		if s.zone != "" && s.name != "" {
			mark(s.zone, s.name)
			delete(u.signaled[s.zone], s.name)
		}
		s.zone = ""
	}
	for origin := range again {
		for i := range u.signals[origin] {
			lift(origin, &u.signals[origin][i])
		}
		if u.signals[origin] = u.signalsOf(origin); u.signals[origin] == nil {
			delete(u.signals, origin)
		}
	}
	vouching := map[rr.Name]string{}
	for origin, all := range u.signals {
		for i := range all {
			s := &all[i]
			zone, known := vouching[s.domain]
			if !known {
				zone = u.vouching(s.domain)
				vouching[s.domain] = zone
			}
			refused := ""
			if s.moves && zone != "" && u.transferred(zone) {
				_, at, _ := strings.Cut(s.text, "._signal.")
				refused = fmt.Sprintf("CDS and CDNSKEY are not published at %s (RFC 9615), as that is in a zone with "+
					"secondaries, whose serial cannot tell when a primary changes them; make _signal.%s a zone of its "+
					"own without transfer, and delegate it", s.text, at)
				zone = ""
			}
			moves := s.zone != zone
			if moves {
				lift(origin, s)
			}
			switch s.zone = zone; {
			case zone == "":
				u.Awaits(origin, s.text, refused)
			case s.name == "":
				u.Awaits(origin, s.text, fmt.Sprintf("CDS and CDNSKEY are not published in %s (RFC 9615), as the name "+
					"%s would be longer than 255 octets; give the parent the DS by hand", zone, s.text))
			default:
				if u.signaled[zone] == nil {
					u.signaled[zone] = map[rr.Name]string{}
				}
				if u.signaled[zone][s.name] = origin; moves || u.zones[zone] {
					mark(zone, s.name)
				}
			}
		}
	}
}

// putSignals brings names of one zone up to what is signaled there.
func (u *update) putSignals(origin string, names map[rr.Name]bool) {
	apex, err := rr.ParseName(origin)
	if err != nil {
		return
	}
	at, ok := u.out.origins[apex]
	if u.ownZones(); ok && u.lacking[origin].vital > 0 && !u.stage && !u.zones[origin] {
		u.zones[origin] = true // what is served is older than what was edited
		u.buildZone(origin)
		for name := range u.signaled[origin] {
			names[name] = true
		}
	}
	if !ok || u.out.zones[at].signing == nil || u.out.zones[at].elsewhere {
		return // it was built without
	}
	next := *u.out.zones[at]
	var edits []edit
	for _, name := range slices.Sorted(maps.Keys(names)) {
		edits = u.signalAt(edits, &next, origin, name)
	}
	if len(edits) > 0 {
		next.tree = next.tree.apply(apex, edits)
	}
	z, serial := u.catalog.Zone(origin)
	next.reserial(serial + u.turned(z)) // even if nothing was edited: all servers count the same
	u.setZone(at, &next)
	u.touched = append(u.touched, origin)
}

// signalAt appends the edits for one name. What an operator has put there stands.
func (u *update) signalAt(edits []edit, z *zone, origin string, name rr.Name) []edit {
	of := u.signaled[origin][name]
	there := z.tree.find([]byte(name))
	var theirs []zones.Key
	for _, typ := range [...]rr.Type{rr.TypeCDS, rr.TypeCDNSKEY, rr.TypeCNAME} {
		key := zones.KeyOf(zones.KindRecord, origin+"/"+zones.OwnerIn(name, z.origin)+"/"+typ.String())
		if u.catalog.Get(key) != nil || u.catalog.Missed(key) {
			theirs = append(theirs, key)
		}
	}
	if of != "" {
		text := ""
		if len(theirs) > 0 {
			text = fmt.Sprintf("CDS and CDNSKEY are not published at %s (RFC 9615), as %s is there; take it out, and "+
				"they are made of the zone's keys", zones.NameText(name), theirs[0])
		}
		u.Awaits(of, zones.NameText(name), text)
	}
	child, err := rr.ParseName(of)
	silent := of == "" || err != nil || len(theirs) > 0 || z.hides([]byte(name), there)
	for _, typ := range signalTypes {
		if slices.ContainsFunc(theirs, func(k zones.Key) bool {
			return k == zones.KeyOf(zones.KindRecord, origin+"/"+zones.OwnerIn(name, z.origin)+"/"+typ.String())
		}) {
			continue
		}
		var want, has []byte
		if there != nil {
			_, has = there.set(typ)
		}
		if !silent {
			want = u.apexSet(child, typ)
		}
		switch {
		case bytes.Equal(want, has):
		case want == nil:
			edits = append(edits, edit{name: name, kind: dropSet, typ: typ})
		default:
			edits = append(edits, edit{name: name, kind: putSet, typ: typ, set: func(dst []byte) ([]byte, int) {
				return append(dst, want...), countOf(want)
			}})
		}
	}
	return edits
}

// hides is hidden for a name that may not exist; n is nil then.
func (z *zone) hides(name []byte, n node) bool {
	if n != nil {
		return z.hidden(name, n)
	}
	var offsets [128]uint8
	above := offsets[:z.above(name, &offsets)]
	found, n := z.tree.closest(name, above, len(name)-len(z.origin))
	return z.hider(name, above, found, n).at >= 0
}

// eventsOf returns how many times of keys there were in an epoch that change what a zone has: of its own keys, and of
// those of zones that signal in it. A zone with its keys may go, so where there were signals, it never falls within an
// epoch.
func (u *update) eventsOf(origin string, e dnssec.Epoch) (n int) {
	seen := map[string]bool{}
	add := func(origin string) {
		if keys := u.keys[origin].keys; keys != nil && !seen[origin] {
			seen[origin] = true
			n += keys.Events(e.Start(), u.now())
		}
	}
	add(origin)
	was, had := u.spent[origin]
	if len(u.signaled[origin]) == 0 && !had {
		return n
	}
	for _, of := range u.signaled[origin] {
		add(of)
	}
	if was.epoch == e.Number {
		n = max(n, was.events)
	}
	u.spent[origin] = spent{e.Number, n}
	return n
}
