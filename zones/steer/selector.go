package steer

import (
	"encoding/json"
	"strings"

	"github.com/gaissmai/bart"

	"leeward/geo"
	"leeward/zones"
)

// selector finds the first rule that holds for a client. A rule holds if any of its lists names the client, so the
// first rule to hold is the least of what location, ASN, prefixes and the rules without `when` say. Policies with the
// same conditions share one selector.
type selector struct {
	none     uint8      // what it says where no rule holds: the number of rules, or the first rule without `when`
	places   *outcomes  // nil where no rule asks for a location
	systems  *outcomes  // nil where no rule asks for the ASN, or the table knows none
	prefixes *geo.Areas // rules + 1, 0: none holds; nil where no rule has any
}

// newSelector compiles the conditions of rules, which number at most 255.
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
	// A longer prefix of a later rule lies within a shorter one of an earlier rule: the earlier rule holds there too.
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

// choose returns the first rule that holds, or s.none, and widens the scope to where that is so.
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

// signature spells out what a compiled thing depends on: equal signatures share it.
func signature(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only plain fields are marshalled
	}
	return string(b)
}
