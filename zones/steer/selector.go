package steer

import (
	"cmp"
	"encoding/json"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"

	"leeward/geo"
	"leeward/zones"
)

// span is a range of addresses for which everything asked so far has one outcome.
type span struct{ first, last netip.Addr }

// everything returns the span of a whole family.
func everything(a netip.Addr) span {
	whole := netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	if a.Is4() {
		whole = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return span{whole.Addr(), lastOf(whole)}
}

// narrow cuts the span down to what it shares with another.
func (s *span) narrow(first, last netip.Addr) {
	if s.first.Less(first) {
		s.first = first
	}
	if last.Less(s.last) {
		s.last = last
	}
}

// selector finds the first rule that holds for a client. A rule holds if any of its lists names the client, so the first
// rule to hold is the least of what location, ASN, prefixes and the rules without `when` say. Policies with the same
// conditions share one selector.
type selector struct {
	table    *geo.Table
	none     uint8   // what it says where no rule holds: the number of rules, or the first rule without `when`
	byPlace  []uint8 // by location number; nil where no rule asks for a location
	places   *runs   // over the table's leaves; nil: the leaf alone
	byASN    map[uint32]uint8
	hasASN   bool  // a rule asks for the ASN, and the table knows ASNs
	asns     *runs // over the table's ASN leaves
	prefixes *prefixes
}

// newSelector compiles the conditions of rules, which number at most 255.
func newSelector(rules []zones.Rule, table *geo.Table, newRuns runsMaker) *selector {
	s := &selector{table: table, none: uint8(len(rules))}
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
	for i, r := range rules {
		name("continent ", r.When.Continents, i)
		name("country ", r.When.Countries, i)
		name("subdivision ", r.When.Subdivisions, i)
		for _, n := range r.When.ASNs {
			if s.byASN == nil {
				s.byASN = map[uint32]uint8{}
			}
			if _, ok := s.byASN[n]; !ok {
				s.byASN[n] = uint8(i)
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
		s.prefixes = newPrefixes(&least)
	}
	if len(named) > 0 && table != nil {
		s.byPlace = make([]uint8, len(table.Locations()))
		first := func(best uint8, key string) uint8 {
			if rule, ok := named[key]; ok {
				return min(best, rule)
			}
			return best
		}
		for i, l := range table.Locations() {
			rule := first(s.none, "continent "+l.Continent)
			rule = first(rule, "country "+l.Country)
			s.byPlace[i] = first(rule, "subdivision "+l.Subdivision)
		}
		s.places = newRuns(table.Leaves(), func(leaf uint32) uint32 { return uint32(s.byPlace[table.LocationOf(leaf)]) }, table.V4Leaves())
	}
	if s.byASN != nil && table != nil && table.ASNLeaves() > 0 {
		s.hasASN = true
		s.asns = newRuns(table.ASNLeaves(), func(leaf uint32) uint32 { return uint32(s.rule(table.ASNOfLeaf(leaf))) }, table.V4ASNLeaves())
	}
	return s
}

func (s *selector) rule(asn uint32) uint8 {
	if r, ok := s.byASN[asn]; ok {
		return min(r, s.none)
	}
	return s.none
}

// choose returns the first rule that holds, or s.none, and narrows the span to where that is so.
func (s *selector) choose(c *client, in *span) uint8 {
	rule := s.none
	if s.byPlace != nil {
		rule = s.byPlace[c.location]
		c.narrow(in, s.places)
	}
	if s.hasASN {
		asn, leaf := s.table.ASNOf(c.addr)
		rule = min(rule, s.rule(asn))
		narrowASN(in, s.table, s.asns, leaf)
	}
	if s.prefixes != nil {
		v, first, last := s.prefixes.lookup(c.addr)
		if v >= 0 {
			rule = min(rule, uint8(v))
		}
		in.narrow(first, last)
	}
	return rule
}

// client is who asks, located.
type client struct {
	addr     netip.Addr
	table    *geo.Table // nil: nothing in the policy asks where the client is
	leaf     uint32
	location uint32
}

// narrow cuts the span down to the run around the client's leaf.
func (c *client) narrow(in *span, r *runs) {
	first, next := r.around(c.leaf)
	in.narrow(c.table.Start(first), c.table.Last(next-1))
}

// narrowASN is the same over the table's ASN leaves.
func narrowASN(in *span, table *geo.Table, r *runs, leaf uint32) {
	first, next := r.around(leaf)
	in.narrow(table.StartASN(first), table.LastASN(next-1))
}

// ranking orders the pools of a `nearest` rule by distance from the client. Rules with the same places and biases share one.
type ranking struct {
	orderOf []uint16  // by location number
	orders  [][]uint8 // positions in the rule's list, nearest first; orders[0] is as listed
	places  *runs
}

// site is where a pool of a `nearest` rule is.
type site struct {
	Latitude, Longitude float64
	Known               bool
	Bias                zones.Percent
}

// newRanking compiles the order of sites for every location. A site of unknown place comes after all others; a client of
// unknown place gets them as listed.
func newRanking(sites []site, table *geo.Table, newRuns runsMaker) *ranking {
	listed := make([]uint8, len(sites))
	for i := range listed {
		listed[i] = uint8(i)
	}
	r := &ranking{orders: [][]uint8{listed}}
	if table == nil {
		return r
	}
	number := map[string]uint16{string(listed): 0}
	r.orderOf = make([]uint16, len(table.Locations()))
	distance := make([]float64, len(sites))
	for i, l := range table.Locations() {
		if !l.HasPoint {
			continue
		}
		for k, s := range sites {
			distance[k] = 1e9
			if s.Known {
				distance[k] = geo.Distance(l.Latitude, l.Longitude, s.Latitude, s.Longitude) * (1 - float64(s.Bias)/100)
			}
		}
		order := slices.Clone(listed)
		slices.SortStableFunc(order, func(a, b uint8) int { return cmp.Compare(distance[a], distance[b]) })
		n, ok := number[string(order)]
		if !ok {
			n = uint16(len(r.orders))
			number[string(order)] = n
			r.orders = append(r.orders, order)
		}
		r.orderOf[i] = n
	}
	r.places = newRuns(table.Leaves(), func(leaf uint32) uint32 { return uint32(r.orderOf[table.LocationOf(leaf)]) }, table.V4Leaves())
	return r
}

// order returns the positions of the rule's pools, nearest first, and narrows the span to where that is the order.
func (r *ranking) order(c *client, in *span) []uint8 {
	if r.orderOf == nil {
		return r.orders[0]
	}
	if len(r.orders) > 1 {
		c.narrow(in, r.places)
	}
	return r.orders[r.orderOf[c.location]]
}

// runsMaker makes runs, or returns nil where they would take more memory than they are worth.
type runsMaker func(n int, outcome func(uint32) uint32, cuts ...int) *runs

// signature spells out what a compiled thing depends on: equal signatures share it.
func signature(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only plain fields are marshalled
	}
	return string(b)
}
