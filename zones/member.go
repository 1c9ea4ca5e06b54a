package zones

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"

	"leeward/zones/rr"
)

// AllZones is the text of Transfer.Members that stands for every zone.
const AllZones = "*"

// Membership is one text of Transfer.Members, read.
type Membership struct {
	Origin string // of the zone that the catalog is to list, or AllZones
	Group  string // its group property (RFC 9432 section 4.4.2); "": none
}

// ParseMember reads one text of Transfer.Members.
func ParseMember(text string) (m Membership, err error) {
	words := strings.Fields(text)
	switch {
	case len(words) == 3 && words[1] == "group":
		m.Group = words[2]
	case len(words) != 1:
		return m, fmt.Errorf("%q: write * for every zone, or the origin of one, "+
			"with group NAME behind it where one is wanted", text)
	}
	if len(m.Group) > mostGroup {
		return m, fmt.Errorf("%q: the name of a group has at most %d octets", text, mostGroup)
	}
	if m.Origin = words[0]; m.Origin != AllZones {
		_, err = domainName(m.Origin)
	}
	return m, err
}

const (
	mostMembers = 10_000 // texts of one catalog zone
	mostGroup   = 255    // octets, of one string of a TXT
)

// Lists reports whether the zone is a catalog zone that is made here: it lists zones of this server.
func (z *Zone) Lists() bool {
	return z.Transfer != nil && len(z.Transfer.Members) > 0 && !z.Secondary()
}

// Listed is a member of a catalog zone that is made here.
type Listed struct {
	Origin string
	Group  string
	Open   bool // somebody may transfer it
	Missed bool // it is known to be there, and nothing of it can be read
}

// Label is the unique label that a catalog lists the member by (RFC 9432 section 4.1): the same on every server, and
// for as long as the zone is called that.
func (l Listed) Label() string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(l.Origin)))[:labelLength]
}

// labelLength is that of unique labels: half of it are octets, so that no two zones ever have the same.
const labelLength = 32

// Members returns what a catalog zone that is made here lists, by origin. Other catalog zones are no members, nor is
// what one of them has brought here: who is to have that takes the catalog that it is in.
func (c *Catalog) Members(catalog *Zone) []Listed {
	all, everybody := Membership{}, false
	named := map[string]string{}
	for _, text := range catalog.Transfer.Members {
		if m, err := ParseMember(text); err != nil {
			continue // validation does not let it pass
		} else if m.Origin == AllZones {
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
	for _, s := range c.slots[KindZone] {
		z := s.resource.(*Zone)
		if brought, _ := z.MemberOf(); brought == "" && !z.Lists() && !z.Catalog() {
			add(Listed{Origin: z.Origin, Open: z.Transfer != nil && len(z.Transfer.Allow) > 0})
		}
	}
	for key := range c.waiting {
		if key.Kind() == KindZone && c.slots[KindZone][key] == nil {
			add(Listed{Origin: key.Name(), Missed: true})
		}
	}
	slices.SortFunc(members, func(a, b Listed) int { return strings.Compare(a.Origin, b.Origin) })
	return members
}

// Catalogs returns the catalog zones that are made here, by origin.
func (c *Catalog) Catalogs() []*Zone {
	all := make([]*Zone, 0, len(c.lists))
	for _, origin := range slices.Sorted(maps.Keys(c.lists)) {
		all = append(all, c.lists[origin])
	}
	return all
}

// members checks Transfer.Members.
func (f *faults) members(z *Zone) {
	t := z.Transfer
	if len(t.Members) > mostMembers {
		f.add("transfer.members", "%d are more than %d; \"*\" is every zone", len(t.Members), mostMembers)
		return
	}
	seen := map[string]bool{}
	for i, text := range t.Members {
		m, err := ParseMember(text)
		switch {
		case err != nil:
			f.add(item("transfer.members", i), "%v", err)
		case seen[m.Origin]:
			f.add(item("transfer.members", i), "%s is there twice; take one out", m.Origin)
		case m.Origin == z.Origin:
			f.add(item("transfer.members", i), "a catalog zone is no member of itself; take it out")
		}
		seen[m.Origin] = true
	}
	if len(t.Members) == 0 || z.Secondary() {
		return
	}
	// "group." + label + ".zones." + origin
	if n, err := rr.ParseName(z.Origin); err == nil && len(n)+6+1+labelLength+6 > rr.MaxName {
		f.add("transfer.members", "the origin has %d octets, and below it a catalog needs %d of %d; give it a shorter one",
			len(n), 6+1+labelLength+6, rr.MaxName)
	}
	if len(z.Update) > 0 {
		f.add("update", "servers write what is in a catalog zone, from transfer.members; take update out")
	}
}

// crossLists checks a catalog zone that is made here against the zones that there are.
func (c *Catalog) crossLists(x *crossed, z *Zone) {
	if z.Serial != nil {
		x.add(CodeReference, "transfer.members", "there is a master file of the zone too, and what a catalog zone "+
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
		m, err := ParseMember(text)
		if err == nil && m.Origin != AllZones && !there[m.Origin] && !c.unread[KeyOf(KindZone, m.Origin)] {
			x.warn(item("transfer.members", i), "%s is no zone here that can be listed; it is listed when it is", m.Origin)
		}
	}
	if s := c.states[z.Origin]; s != nil && s.zone != nil && s.records+len(s.policies) > 0 {
		x.warn("transfer.members", "there are Records or Policies in the catalog zone, which nobody is given; "+
			"delete them")
	}
}
