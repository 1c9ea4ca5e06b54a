package catalog

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"

	"leeward/zones"
)

// Listed is a member of a catalog zone that is made here.
type Listed struct {
	Origin string
	Group  string
	Open   bool // somebody may transfer it
	Missed bool // it exists, but nothing of it can be read
}

// Label is the unique label under which a catalog lists the member (RFC 9432 section 4.1). It is the same on every
// server, for as long as the zone has its name.
func (l Listed) Label() string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(l.Origin)))[:zones.LabelLength]
}

// Members returns the zones that a catalog zone made here lists, by origin. It lists no other catalog zones, and no
// zones that came here by one: secondaries get those from the catalog that lists them.
func (c *Catalog) Members(catalog *zones.Zone) []Listed {
	all, everybody := zones.Membership{}, false
	named := map[string]string{}
	for _, text := range catalog.Transfer.Members {
		if m, err := zones.ParseMember(text); err != nil {
			continue // validation refuses it
		} else if m.Origin == zones.AllZones {
			all, everybody = m, true
		} else {
			named[m.Origin] = m.Group
		}
	}
	var members []Listed
	add := func(l Listed) {
		if group, is := named[l.Origin]; is {
			l.Group = group
		} else if l.Group = all.Group; !everybody {
			return
		}
		if l.Origin != catalog.Origin {
			members = append(members, l)
		}
	}
	for _, s := range c.slots[zones.KindZone] {
		z := s.resource.(*zones.Zone)
		if brought, _ := z.MemberOf(); brought == "" && !z.Lists() && !z.Catalog() {
			add(Listed{Origin: z.Origin, Open: z.Transfer != nil && len(z.Transfer.Allow) > 0})
		}
	}
	for key := range c.waiting {
		if key.Kind() == zones.KindZone && c.slots[zones.KindZone][key] == nil {
			add(Listed{Origin: key.Name(), Missed: true})
		}
	}
	slices.SortFunc(members, func(a, b Listed) int { return strings.Compare(a.Origin, b.Origin) })
	return members
}

// Catalogs returns the catalog zones that are made here, by origin.
func (c *Catalog) Catalogs() []*zones.Zone {
	all := make([]*zones.Zone, 0, len(c.lists))
	for _, origin := range slices.Sorted(maps.Keys(c.lists)) {
		all = append(all, c.lists[origin])
	}
	return all
}

// crossLists checks a catalog zone made here against the zones that exist.
func (c *Catalog) crossLists(x *crossed, z *zones.Zone) {
	if z.Serial != nil {
		x.add(zones.CodeReference, "transfer.members",
			"there is a master file of the zone too, and what a catalog zone "+
				"holds is written by servers; take out one of the two")
	}
	if len(z.Transfer.Allow) == 0 {
		x.warn("transfer.members", "nobody may transfer the catalog zone, and queries are not answered from it; "+
			"give transfer.allow")
	}
	there, closed := map[string]bool{}, []string(nil)
	for _, l := range c.Members(z) {
		if there[l.Origin] = true; !l.Open && !l.Missed {
			closed = append(closed, l.Origin)
		}
	}
	if len(closed) > 0 {
		x.warn("transfer.members", "nobody may transfer %d of the zones that it lists, such as %s, "+
			"so that who takes the catalog tries in vain; give them transfer.allow", len(closed), closed[0])
	}
	for i, text := range z.Transfer.Members {
		m, err := zones.ParseMember(text)
		if err == nil && m.Origin != zones.AllZones && !there[m.Origin] &&
			!c.unread[zones.KeyOf(zones.KindZone, m.Origin)] {
			x.warn(zones.Item("transfer.members", i), "%s is no zone here that can be listed; it is listed when it is",
				m.Origin)
		}
	}
	if s := c.states[z.Origin]; s != nil && s.zone != nil && s.records+len(s.policies) > 0 {
		x.warn("transfer.members", "there are Records or Policies in the catalog zone, which nobody is given; "+
			"delete them")
	}
}
