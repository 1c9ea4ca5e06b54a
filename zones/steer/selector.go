package steer

import (
	"encoding/json"
	"strings"

	"github.com/gaissmai/bart"

	"leeward/geo"
	"leeward/zones"
)

// selector finds the first rule that holds for a client. A rule holds if any of its lists includes the client. So each
// kind of list is looked up by itself and gives the first rule of that kind, and the smallest of these is the result.
// Policies with the same conditions share one selector.
type selector struct {
	none     uint8      // result if no list includes the client: the first rule without `when`, or the number of rules
	places   *outcomes  // nil: no rule asks for a location
	systems  *outcomes  // nil: no rule asks for an AS number, or the table has none
	prefixes *geo.Areas // rule + 1; 0: no prefix matches; nil: no rule has prefixes
}

// selector compiles the conditions of at most 255 rules.
func (c *Compiler) selector(rules []zones.Rule) *selector {
	s := &selector{none: uint8(len(rules))}
	for i, r := range rules {
		if r.When == nil {
			s.none = uint8(i)
			rules = rules[:i]
			break
		}
	}
	named := map[string]uint8{}
	name := func(kind string, codes []string, rule int) {
		for _, c := range codes {
			if _, ok := named[kind+c]; !ok {
				named[kind+c] = uint8(rule)
			}
		}
	}
	var list bart.Table[int32]
	byASN := map[uint32]uint16{}
	for i, r := range rules {
		name("continent ", r.When.Continents, i)
		name("country ", r.When.Countries, i)
		name("subdivision ", r.When.Subdivisions, i)
		for _, n := range r.When.ASNs {
			if _, ok := byASN[n]; !ok {
				byASN[n] = min(uint16(i), uint16(s.none))
			}
		}
	}
	// Look at earlier rules last: if two have the same prefix the earlier one wins. A longer prefix of a later rule
	// within a shorter one of an earlier rule gets the earlier rule below.
	for i := len(rules) - 1; i >= 0; i-- {
		for _, p := range rules[i].When.Prefixes {
			list.Insert(p.Masked(), int32(i))
		}
	}
	if list.Size() > 0 {
		var least bart.Table[int32]
		for p, v := range list.All() {
			for outer, o := range list.Supernets(p) {
				if outer.Bits() <= p.Bits() {
					v = min(v, o)
				}
			}
			least.Insert(p, v)
		}
		s.prefixes = areasOf(&least)
	}
	if len(named) > 0 && c.table != nil {
		byPlace := make([]uint16, len(c.table.Locations()))
		first := func(best uint16, key string) uint16 {
			if rule, ok := named[key]; ok {
				return min(best, uint16(rule))
			}
			return best
		}
		for i, l := range c.table.Locations() {
			rule := first(uint16(s.none), "continent "+l.Continent)
			rule = first(rule, "country "+l.Country)
			rule = first(rule, "subdivision "+l.Subdivision)
			for deeper := range strings.FieldsSeq(l.Deeper) {
				rule = first(rule, "subdivision "+deeper)
			}
			byPlace[i] = rule
		}
		s.places = c.byPlace(byPlace)
	}
	if len(byASN) > 0 && c.table != nil && c.table.ASNLeaves() > 0 {
		s.systems = c.bySystem(byASN, uint16(s.none))
	}
	return s
}

// choose returns the first rule that holds, or s.none, and narrows the scope to where that is the result.
func (s *selector) choose(c *client) uint8 {
	rule := s.none
	if s.places != nil {
		rule = uint8(s.places.at(c))
	}
	if s.systems != nil {
		rule = min(rule, uint8(s.systems.at(c)))
	}
	if s.prefixes != nil {
		v, scope := s.prefixes.At(c.addr)
		if v > 0 {
			rule = min(rule, uint8(v-1))
		}
		c.scope = max(c.scope, scope)
	}
	return rule
}

// signature returns a string of everything that a compiled table depends on. Equal signatures share the table.
func signature(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only plain fields are marshalled
	}
	return string(b)
}
