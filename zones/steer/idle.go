package steer

import (
	"fmt"
	"strings"

	"leeward/zones"
)

// Idle lists the conditions of a policy that hold for no client, because no loaded database has what they ask for:
// subdivisions or AS numbers. It returns nil if no location is known at all, since that is not the policy's fault.
func (c *Compiler) Idle(p *zones.Policy) (why []string) {
	if c.table == nil {
		return nil
	}
	for i, r := range p.Rules {
		if r.When == nil {
			continue
		}
		say := func(field, format string, args ...any) {
			why = append(why, fmt.Sprintf("rules[%d].when.%s: %s", i, field, fmt.Sprintf(format, args...)))
		}
		if len(r.When.Subdivisions) > 0 {
			known := c.subdivisions()
			var unknown []string
			for _, code := range r.When.Subdivisions {
				if !known[code] {
					unknown = append(unknown, code)
				}
			}
			switch {
			case len(known) == 0:
				say("subdivisions", "never holds, because no location database in use has subdivisions; "+
					"give a City database (--geodb)")
			case len(unknown) > 0:
				say("subdivisions", "no location database in use has a network in %s", strings.Join(unknown, ", "))
			}
		}
		if len(r.When.ASNs) > 0 && !c.systems() {
			say("asns", "never holds, because no location database in use has AS numbers; give an ASN database "+
				"(--geodb)")
		}
	}
	return why
}

// subdivisions returns all subdivisions that some network is in.
func (c *Compiler) subdivisions() map[string]bool {
	if c.divided == nil {
		c.divided = map[string]bool{}
		for _, l := range c.table.Locations() {
			if l.Subdivision != "" {
				c.divided[l.Subdivision] = true
			}
			for deeper := range strings.FieldsSeq(l.Deeper) {
				c.divided[deeper] = true
			}
		}
	}
	return c.divided
}

// systems reports whether the AS number of any network is known: only then do leaves differ in it.
func (c *Compiler) systems() bool {
	return c.table.ASNLeaves() > 2 || c.table.ASNOfLeaf(0) != 0 || c.table.ASNOfLeaf(1) != 0
}
