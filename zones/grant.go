package zones

import (
	"fmt"
	"slices"
	"strings"

	"leeward/zones/rr"
)

// Grant lets the holder of one TSIG key change records of a zone by dynamic update (RFC 2136, RFC 3007): those whose
// owner is one of Names and whose type is one of Types.
type Grant struct {
	// The TSIG key, lower case, without the final dot.
	Key string `json:"key" example:"acme"`

	// Patterns of owners, relative to the zone. "@" is the apex, a label * is any one label, and a label ** any number
	// of them, none included. "**" is every name of the zone.
	Names []string `json:"names" range:"1 to 100" example:"[\"_acme-challenge.**\"]"`

	// The types of records. ANY is all types.
	Types []string `json:"types" range:"1 to 100" example:"[TXT]"`
}

// Allows reports whether the grant covers records of that type at an owner. The owner is relative to the origin, as
// Record.Owner is. With a type of 0, only the owner counts.
func (g *Grant) Allows(owner string, t rr.Type) bool {
	if t != 0 && !slices.ContainsFunc(g.Types, func(s string) bool {
		return s == rr.TypeANY.String() ||
			s == t.String()
	}) {
		return false
	}
	labels := ownerLabels(owner)
	return slices.ContainsFunc(g.Names, func(pattern string) bool { return matchLabels(ownerLabels(pattern), labels) })
}

// Granted reports whether a key may change records of that type at an owner, which is relative to the zone. With a type
// of 0 any type will do, with an empty owner any owner.
func (z *Zone) Granted(key, owner string, t rr.Type) bool {
	return slices.ContainsFunc(z.Update, func(g Grant) bool {
		return g.Key == key && (owner == "" || g.Allows(owner, t))
	})
}

// ownerLabels splits an owner or a pattern into labels; the apex has none.
func ownerLabels(s string) (labels []string) {
	if s == "@" {
		return nil
	}
	start := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '.':
			labels = append(labels, s[start:i])
			start = i + 1
		}
	}
	return append(labels, s[start:])
}

// matchLabels matches labels with a pattern that has at most one **.
func matchLabels(pattern, labels []string) bool {
	one := func(p, l string) bool { return p == "*" || p == l }
	i := slices.Index(pattern, "**")
	if i < 0 {
		return slices.EqualFunc(pattern, labels, one)
	}
	tail := len(pattern) - i - 1
	return len(labels) >= i+tail && slices.EqualFunc(pattern[:i], labels[:i], one) &&
		slices.EqualFunc(pattern[i+1:], labels[len(labels)-tail:], one)
}

// The most that a zone's update and one list of a Grant can have.
const (
	mostGrants    = 1000
	mostPatterns  = 100
	patternsTotal = 10_000
)

func (f *faults) update(z *Zone) {
	if len(z.Update) > mostGrants {
		f.add("update", "%d are more than %d", len(z.Update), mostGrants)
		return
	}
	total := 0
	for i := range z.Update {
		g, at := &z.Update[i], Item("update", i)
		if g.Key == "" {
			f.add(at+".key", "a grant is for one TSIG key; name it")
		} else if _, err := ParseName(g.Key); err != nil {
			f.add(at+".key", "%v", err)
		}
		if n := len(g.Names); n == 0 || n > mostPatterns {
			f.add(at+".names", "%d names; give 1 to %d, such as _acme-challenge, or ** for every name of the zone", n,
				mostPatterns)
			continue
		}
		if total += len(g.Names); total > patternsTotal {
			f.add(at+".names", "more than %d names in all grants", patternsTotal)
			return
		}
		for k, name := range g.Names {
			if err := ownerPattern(name, z.Origin); err != nil {
				f.add(Item(at+".names", k), "%v", err)
			}
		}
		if n := len(g.Types); n == 0 || n > mostPatterns {
			f.add(at+".types", "%d types; give 1 to %d, such as TXT, or ANY for all", n, mostPatterns)
		}
		for k, name := range g.Types {
			f.grantedType(Item(at+".types", k), name)
		}
	}
}

func (f *faults) grantedType(field, name string) {
	t, err := rr.ParseType(name)
	switch {
	case err != nil:
		f.add(field, "%v", err)
	case t != rr.TypeANY && !t.Storable():
		f.add(field, "type %s exists in queries only; name the type of a record, or ANY for all", name)
	case t.String() != name:
		f.add(field, "%q is not how the type is written here; write %s", name, t)
	}
}

// ownerPattern checks one of Grant.Names.
func ownerPattern(s, origin string) error {
	apex, err := ParseName(origin)
	if err != nil {
		return err
	}
	labels := ownerLabels(s)
	many := slices.Index(labels, "**")
	switch {
	case s == "":
		return fmt.Errorf("the name is empty; write @ for the apex")
	case many >= 0 && slices.Contains(labels[many+1:], "**"):
		return fmt.Errorf("%q: ** stands for any number of labels, once in a name", s)
	case s == "**":
		return nil
	}
	plain := make([]string, 0, len(labels))
	for _, l := range labels { // what remains is an owner
		if l != "**" {
			plain = append(plain, l)
		}
		if strings.Contains(l, "*") && l != "*" && l != "**" && l != `\*` {
			return fmt.Errorf("%q: * and ** stand for whole labels", s)
		}
	}
	if len(labels) == 0 {
		return nil
	}
	_, err = ownerName(strings.Join(plain, "."), apex)
	return err
}
