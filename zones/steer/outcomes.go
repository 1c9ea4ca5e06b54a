package steer

import (
	"net/netip"

	"github.com/gaissmai/bart"

	"leeward/geo"
)

// client is who asks, and what the decision has come to depend on.
type client struct {
	addr     netip.Addr
	table    *geo.Table // nil: nothing in the policy asks where the client is
	leaf     uint32
	location uint32
	located  bool  // leaf and location are known
	scope    uint8 // the shortest prefix of addr for which everything asked so far has one outcome

	resolver      netip.Addr // of a private address: who stands for it where no database names it
	place, system standing   // of its location, and its AS number
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

// outcomes say what comes of where a client is, or of its AS number. The prefix for which that is so, and the prefixes
// that others say, are all of one address: the longest is within all.
type outcomes struct {
	areas *geo.Areas // nil where they would take too much memory: then
	runs  *runs      // over the table's leaves, nil: each leaf by itself; and
	byNum []uint16   // by location number, or
	byASN map[uint32]uint16
	none  uint16 // for other ASNs
}

// at returns the outcome for a client, and widens the scope to where it is that.
func (o *outcomes) at(c *client) uint16 {
	if c.resolver.IsValid() {
		return o.hidden(c)
	}
	return o.look(c)
}

// look is at of an address that stands for itself.
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

// byPlace compiles what comes of locations, by their numbers.
func (c *Compiler) byPlace(outcome []uint16) *outcomes {
	if areas := c.afford(c.table.ByPlace(outcome, c.areas)); areas != nil {
		return &outcomes{areas: areas}
	}
	return &outcomes{byNum: outcome, runs: c.runs(c.table.Leaves(), func(leaf uint32) uint32 {
		return uint32(outcome[c.table.LocationOf(leaf)])
	}, c.table.V4Leaves())}
}

// bySystem compiles what comes of AS numbers: none of those that are not in the map.
func (c *Compiler) bySystem(byASN map[uint32]uint16, none uint16) *outcomes {
	o := &outcomes{byASN: byASN, none: none}
	if o.areas = c.afford(c.table.BySystem(o.system, c.areas)); o.areas != nil {
		return o
	}
	o.runs = c.runs(c.table.ASNLeaves(), func(leaf uint32) uint32 { return uint32(o.system(c.table.ASNOfLeaf(leaf))) }, c.table.V4ASNLeaves())
	return o
}

func (c *Compiler) afford(areas *geo.Areas) *geo.Areas {
	if areas != nil {
		c.areas -= areas.Size()
	} else {
		c.areas = 0 // what comes later is not to be counted in vain
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

// areasOf lays out which value the longest of a set of prefixes gives an address: the value + 1, 0 where none holds.
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
