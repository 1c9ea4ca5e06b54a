package control

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"leeward/zones"
	"leeward/zones/snapshot"
)

// members are the zones that are here because a catalog zone (RFC 9432) lists them. They are put into the Catalog of
// resources as if a source had them, so that all that holds for a zone that lives elsewhere holds for them; what the
// source itself has goes first.
// It belongs to the loop's goroutine.
type members struct {
	now        func() time.Time
	configured map[string]bool     // origins of Zones that the source has, usable or not
	catalogs   map[string]*listing // by the catalog zone's origin
	put        map[string]member   // what was put, by origin
	problems   zones.Problems      // that the catalogs have
}

// member is a zone and how a catalog zone lists it.
type member struct {
	catalog string
	owner   string // that it may go over to
	zone    *zones.Zone
}

// listing is a catalog zone as it was when it was last whole.
type listing struct {
	version *snapshot.Version // that was looked at last
	members []snapshot.Member
	whole   bool  // there has been one
	broken  error // why the version is not used
	most    int   // members within the last membersWindow, and
	since   time.Time
}

// membersWindow is how far back it is looked at how many members a catalog zone had.
const membersWindow = time.Minute

func newMembers(now func() time.Time) *members {
	return &members{now: now, configured: map[string]bool{}, catalogs: map[string]*listing{}, put: map[string]member{}}
}

// batch takes note of the zones that a source's batch has, and adds the members to what names everything there is.
func (m *members) batch(b zones.Batch) zones.Batch {
	if b.Full {
		clear(m.configured)
	}
	for _, ch := range b.Changes {
		if ch.Key.Kind() != zones.KindZone {
			continue
		}
		origin := ch.Key.Name()
		z, _ := ch.Resource.(*zones.Zone)
		if z != nil && b.Copy {
			if catalog, _ := z.MemberOf(); catalog != "" { // an earlier run has put it
				m.put[origin] = member{catalog: catalog, zone: z}
				continue
			}
		}
		if m.configured[origin] = z != nil || ch.Err != nil; m.configured[origin] {
			delete(m.put, origin)
		} else {
			delete(m.configured, origin)
		}
	}
	if !b.Full || b.Copy {
		return b
	}
	b.Changes = slices.Clip(b.Changes)
	for _, origin := range slices.Sorted(maps.Keys(m.put)) {
		b.Changes = append(b.Changes, put(m.put[origin].zone))
	}
	return b
}

// concerns reports whether what was transferred is a catalog zone.
func (m *members) concerns(t transferred) bool { return m.catalogs[t.origin] != nil }

// put is the change that brings a member. All servers give all of them one revision: their serials are the primary's
// business.
func put(z *zones.Zone) zones.Change { return zones.Change{Key: z.Key(), Resource: z, Revision: 1} }

// update returns what brings the Catalog up to what the catalog zones list: at most a batch that is meant, and one that
// is doubted, of the members that went when more than half of what a catalog zone has had within a minute did.
func (m *members) update(c *zones.Catalog, version func(origin string) *snapshot.Version) (batches []zones.Batch) {
	m.problems = nil
	wanted := m.wanted(c, version)
	meant := zones.Batch{Revision: c.Revision(), Meant: true}
	doubted := zones.Batch{Revision: c.Revision(), Doubted: true}
	for _, origin := range slices.Sorted(maps.Keys(wanted)) {
		w := wanted[origin]
		before, there := m.put[origin]
		if !there || !zones.Same(before.zone, w.zone) {
			meant.Changes = append(meant.Changes, put(w.zone))
		}
		m.put[origin] = w
	}
	had, gone := map[string]int{}, map[string][]string{}
	for origin, p := range m.put {
		had[p.catalog]++
		if _, still := wanted[origin]; !still {
			gone[p.catalog] = append(gone[p.catalog], origin)
		}
	}
	now := m.now()
	for catalog, n := range had {
		most, left := n, n-len(gone[catalog])
		if l := m.catalogs[catalog]; l != nil {
			if n >= l.most || now.Sub(l.since) > membersWindow {
				l.most, l.since = n, now
			}
			most = l.most
		}
		for _, origin := range slices.Sorted(slices.Values(gone[catalog])) {
			ch := zones.Change{Key: zones.KeyOf(zones.KindZone, origin), Revision: c.Revision()}
			if delete(m.put, origin); 2*left < most {
				doubted.Changes = append(doubted.Changes, ch)
			} else {
				meant.Changes = append(meant.Changes, ch)
			}
		}
	}
	for _, b := range []zones.Batch{meant, doubted} {
		if len(b.Changes) > 0 {
			batches = append(batches, b)
		}
	}
	return batches
}

// wanted returns the zones that catalog zones list and that are to be here.
func (m *members) wanted(c *zones.Catalog, version func(origin string) *snapshot.Version) map[string]member {
	wanted, there := map[string]member{}, map[string]bool{}
	c.Each(zones.KindZone, func(r zones.Resource) bool {
		catalog := r.(*zones.Zone)
		if !catalog.Catalog() {
			return true
		}
		name := catalog.Origin
		there[name] = true
		l := m.read(name, version(name))
		if l.broken != nil {
			m.problem(catalog, "the catalog zone is broken, and its members stay as they were: %v", l.broken)
		}
		if !l.whole { // nothing is known of what it lists now
			for origin, p := range m.put {
				if p.catalog == name {
					wanted[origin] = p
				}
			}
		}
		for _, x := range l.members {
			z, err := catalog.NewMember(x.Name, x.Label)
			if err != nil {
				m.problem(catalog, "its member %s cannot be a zone here: %v", x.Name, err)
				continue
			}
			m.claim(c, catalog, wanted, member{catalog: name, owner: zones.NameText(x.Owner), zone: z})
		}
		return true
	})
	maps.DeleteFunc(m.catalogs, func(name string, _ *listing) bool { return !there[name] })
	return wanted
}

// read looks at what was transferred of a catalog zone. What is broken changes nothing.
func (m *members) read(name string, v *snapshot.Version) *listing {
	l := m.catalogs[name]
	if l == nil {
		l = &listing{}
		m.catalogs[name] = l
	}
	if v == nil || v == l.version {
		return l
	}
	l.version = v
	all, err := v.Members()
	if l.broken = err; err == nil {
		l.members, l.whole = all, true
	}
	return l
}

// claim settles whether a catalog zone's member is to be here: what is configured stays, and so does what another
// catalog has brought (RFC 9432 section 5.2), unless that gives it away.
func (m *members) claim(c *zones.Catalog, catalog *zones.Zone, wanted map[string]member, x member) {
	origin := x.zone.Origin
	z, ok := c.Get(x.zone.Key()).(*zones.Zone)
	if m.configured[origin] || ok && (z.Transfer == nil || z.Transfer.Member == "") {
		m.problem(catalog, "its member %s is configured here by itself, and stays as it is; take one of the two out", origin)
		return
	}
	rival, taken := wanted[origin]
	if !taken {
		wanted[origin] = x
		return
	}
	holds := m.put[origin].catalog == x.catalog
	gives, given := x.owner == rival.catalog, rival.owner == x.catalog
	switch {
	case given && !gives, holds && !gives:
		wanted[origin] = x
		x, rival = rival, x
	}
	if x.owner != rival.catalog {
		m.problem(catalog, "%s is a member of %s and of %s, and stays with %s; take it out of the other",
			origin, rival.catalog, x.catalog, rival.catalog)
	}
}

func (m *members) problem(catalog *zones.Zone, format string, args ...any) {
	m.problems = append(m.problems, zones.Problem{
		Key: catalog.Key(), Field: "transfer.catalog", Message: fmt.Sprintf(format, args...),
	})
}
