package zones

import (
	"fmt"
	"strings"

	"leeward/zones/rr"
)

// AllZones is the text of Transfer.Members that means every zone.
const AllZones = "*"

// Membership is what one text of Transfer.Members says.
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
			"with group NAME after it if it has one", text)
	}
	if len(m.Group) > mostGroup {
		return m, fmt.Errorf("%q: the name of a group has at most %d octets", text, mostGroup)
	}
	if m.Origin = words[0]; m.Origin != AllZones {
		_, err = ParseName(m.Origin)
	}
	return m, err
}

const (
	mostMembers = 10_000 // texts of one catalog zone
	mostGroup   = 255    // octets, of one string of a TXT
)

// LabelLength is the length of a catalog's unique labels. Each has half as many octets of a digest, so that no two
// zones ever have the same.
const LabelLength = 32

// Lists reports whether the zone is a catalog zone of this server's own zones.
func (z *Zone) Lists() bool {
	return z.Transfer != nil && len(z.Transfer.Members) > 0 && !z.Secondary()
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
			f.add(Item("transfer.members", i), "%v", err)
		case seen[m.Origin]:
			f.add(Item("transfer.members", i), "%s is there twice; take one out", m.Origin)
		case m.Origin == z.Origin:
			f.add(Item("transfer.members", i), "a catalog zone is no member of itself; take it out")
		}
		seen[m.Origin] = true
	}
	if len(t.Members) == 0 || z.Secondary() {
		return
	}
	// "group." + label + ".zones." + origin
	if n, err := rr.ParseName(z.Origin); err == nil && len(n)+6+1+LabelLength+6 > rr.MaxName {
		f.add("transfer.members",
			"the origin has %d octets, and below it a catalog needs %d of %d; give it a shorter one",
			len(n), 6+1+LabelLength+6, rr.MaxName)
	}
	if len(z.Update) > 0 {
		f.add("update", "servers write the records of a catalog zone, from transfer.members; take update out")
	}
}
