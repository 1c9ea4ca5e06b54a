package control

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/snapshot"
)

// members are the zones that exist here because a catalog zone (RFC 9432) lists them. They are put into the Catalog of
// resources as if the source had them, so every rule for a secondary zone holds for them too. A zone that the source
// itself has takes precedence. It belongs to the loop's goroutine.
type members struct {
	now        func() time.Time
	configured map[string]bool     // origins of the source's own Zones, usable or not
	catalogs   map[string]*listing // by the catalog zone's origin
	put        map[string]member   // what was put into the Catalog, by origin
	problems   zones.Problems      // problems of the catalog zones
}

// member is a zone, and how a catalog zone lists it.
type member struct {
	catalog string
	owner   string // catalog zone that may take the member over (the coo property)
	zone    *zones.Zone
}

// listing is a catalog zone at the last version that could be read completely.
type listing struct {
	version *snapshot.Version // the version that was read last
	members []snapshot.Member
	whole   bool      // at least one version could be read completely
	broken  error     // why the newest version is not used
	most    int       // largest number of members within membersWindow
	since   time.Time // when most was counted
}

// membersWindow is for how long the largest number of a catalog zone's members is remembered.
const membersWindow = time.Minute

func newMembers(now func() time.Time) *members {
	return &members{now: now, configured: map[string]bool{}, catalogs: map[string]*listing{}, put: map[string]member{}}
}

// batch notes which zones a source's batch has, and adds the members to a batch that lists everything.
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
			if from, _ := z.MemberOf(); from != "" { // an earlier run put it there
				m.put[origin] = member{catalog: from, zone: z}
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

// concerns reports whether a transferred zone is a catalog zone.
func (m *members) concerns(t transferred) bool { return m.catalogs[t.origin] != nil }

// put returns the change that adds a member. Every server gives all members the same revision: the primary decides on
// their serials.
func put(z *zones.Zone) zones.Change { return zones.Change{Key: z.Key(), Resource: z, Revision: 1} }

// update returns the batches that bring the Catalog in line with the catalog zones. There are at most two: one whose
// removals are meant, and one whose removals are doubted. Removals are doubted if a catalog zone has lost more than
// half of the members that it had within a minute.
func (m *members) update(c *catalog.Catalog, version func(origin string) *snapshot.Version) (batches []zones.Batch) {
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
	for from, n := range had {
		most, left := n, n-len(gone[from])
		if l := m.catalogs[from]; l != nil {
			if n >= l.most || now.Sub(l.since) > membersWindow {
				l.most, l.since = n, now
			}
			most = l.most
		}
		for _, origin := range slices.Sorted(slices.Values(gone[from])) {
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

// wanted returns the zones that catalog zones list and that should exist here.
func (m *members) wanted(c *catalog.Catalog, version func(origin string) *snapshot.Version) map[string]member {
	wanted, there := map[string]member{}, map[string]bool{}
	c.Each(zones.KindZone, func(r zones.Resource) bool {
		lister := r.(*zones.Zone)
		if !lister.Catalog() {
			return true
		}
		name := lister.Origin
		there[name] = true
		l := m.read(name, version(name))
		if l.broken != nil {
			m.problem(lister, "the catalog zone is broken, and its members stay as they were: %v", l.broken)
		}
		if !l.whole { // no version could be read since the start: keep what there is
			for origin, p := range m.put {
				if p.catalog == name {
					wanted[origin] = p
				}
			}
		}
		for _, x := range l.members {
			z, err := lister.NewMember(x.Name, x.Label)
			if err != nil {
				m.problem(lister, "its member %s cannot be a zone here: %v", x.Name, err)
				continue
			}
			m.claim(c, lister, wanted, member{catalog: name, owner: zones.NameText(x.Owner), zone: z})
		}
		return true
	})
	maps.DeleteFunc(m.catalogs, func(name string, _ *listing) bool { return !there[name] })
	return wanted
}

// read reads a new version of a catalog zone. If it cannot be read, nothing changes.
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

// claim decides whether a catalog zone's member should exist here. A configured zone stays. So does a member that
// another catalog zone brought first, unless that one gives it away (RFC 9432 section 5.2).
func (m *members) claim(c *catalog.Catalog, lister *zones.Zone, wanted map[string]member, x member) {
	origin := x.zone.Origin
	z, ok := c.Get(x.zone.Key()).(*zones.Zone)
	if m.configured[origin] || ok && (z.Transfer == nil || z.Transfer.Member == "") {
		m.problem(lister, "its member %s is configured here by itself, and stays as it is; take one of the two out",
			origin)
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
		m.problem(lister, "%s is a member of %s and of %s, and stays with %s; take it out of the other",
			origin, rival.catalog, x.catalog, rival.catalog)
	}
}

func (m *members) problem(lister *zones.Zone, format string, args ...any) {
	m.problems = append(m.problems, zones.Problem{
		Key: lister.Key(), Field: "transfer.catalog", Message: fmt.Sprintf(format, args...),
	})
}
