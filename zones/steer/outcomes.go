package steer

import (
	"net/netip"

	"github.com/gaissmai/bart"

	"leeward/geo"
)

// client is the client of one decision, and the scope of what has been asked about it so far.
type client struct {
	addr     netip.Addr
	table    *geo.Table // nil: nothing in the policy asks for the client's location
	leaf     uint32
	location uint32
	located  bool  // leaf and location are known
	scope    uint8 // shortest prefix of addr for which everything asked so far has the same outcome

	resolver      netip.Addr // set for a private address: the resolver whose location is used if no database has addr
	place, system standing   // whether it is used for the location, and for the AS number
}

func (c *client) locate() {
	if !c.located {
		at := c.addr
		if c.place.resolver {
			at = c.resolver
		}
		c.located, c.leaf = true, c.table.Locate(at)
		c.location = c.table.LocationOf(c.leaf)
	}
}

// outcomes maps a client's location, or its AS number, to an outcome such as a rule. Each look-up also gives the
// shortest prefix for which the outcome is the same. All prefixes contain the client's address, so the longest of
// several lies within the others.
type outcomes struct {
	areas *geo.Areas // nil: they would take too much memory, and the fields below are used
	runs  *runs      // over the table's leaves; nil: each leaf is a run of its own
	byNum []uint16   // by location number; nil: by AS number
	byASN map[uint32]uint16
	none  uint16 // the outcome of other AS numbers
}

// at returns the outcome for a client, and narrows the scope to where that is the outcome.
func (o *outcomes) at(c *client) uint16 {
	if c.resolver.IsValid() {
		return o.hidden(c)
	}
	return o.look(c)
}

// look is at for an address that stands for itself.
func (o *outcomes) look(c *client) uint16 {
	if o.areas != nil {
		outcome, scope := o.areas.At(c.addr)
		c.scope = max(c.scope, scope)
		return outcome
	}
	if o.byNum != nil {
		c.locate()
		first, next := o.runs.around(c.leaf)
		c.scope = max(c.scope, uint8(geo.Scope(c.addr, c.table.Start(first), c.table.Last(next-1))))
		return o.byNum[c.location]
	}
	asn, leaf := c.table.ASNOf(c.addr)
	first, next := o.runs.around(leaf)
	c.scope = max(c.scope, uint8(geo.Scope(c.addr, c.table.StartASN(first), c.table.LastASN(next-1))))
	return o.system(asn)
}

func (o *outcomes) system(asn uint32) uint16 {
	if outcome, ok := o.byASN[asn]; ok {
		return outcome
	}
	return o.none
}

// byPlace compiles the outcomes of locations, by their numbers.
func (c *Compiler) byPlace(outcome []uint16) *outcomes {
	if areas := c.afford(c.table.ByPlace(outcome, c.areas)); areas != nil {
		return &outcomes{areas: areas}
	}
	return &outcomes{byNum: outcome, runs: c.runs(c.table.Leaves(), func(leaf uint32) uint32 {
		return uint32(outcome[c.table.LocationOf(leaf)])
	}, c.table.V4Leaves())}
}

// bySystem compiles the outcomes of AS numbers. Those not in the map have the outcome none.
func (c *Compiler) bySystem(byASN map[uint32]uint16, none uint16) *outcomes {
	o := &outcomes{byASN: byASN, none: none}
	if o.areas = c.afford(c.table.BySystem(o.system, c.areas)); o.areas != nil {
		return o
	}
	o.runs = c.runs(c.table.ASNLeaves(), func(leaf uint32) uint32 {
		return uint32(o.system(c.table.ASNOfLeaf(leaf)))
	}, c.table.V4ASNLeaves())
	return o
}

func (c *Compiler) afford(areas *geo.Areas) *geo.Areas {
	if areas != nil {
		c.areas -= areas.Size()
	} else {
		c.areas = 0 // do not try again: counting takes time
	}
	return areas
}

func (c *Compiler) runs(n int, outcome func(uint32) uint32, cuts ...int) *runs {
	if c.budget < n/8 {
		return nil
	}
	c.budget -= n / 8
	return newRuns(n, outcome, cuts...)
}

// areasOf compiles what the longest matching prefix gives each address: its value + 1, or 0 if no prefix matches.
func areasOf(table *bart.Table[int32]) *geo.Areas {
	var prefixes []netip.Prefix
	for p := range table.All() {
		prefixes = append(prefixes, p)
	}
	return geo.ByPrefix(prefixes, func(a netip.Addr) uint16 {
		if v, ok := table.Lookup(a); ok {
			return uint16(v + 1)
		}
		return 0
	})
}
