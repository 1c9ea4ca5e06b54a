package catalog

import (
	"slices"
	"strings"

	"leeward/zones"
	"leeward/zones/rr"
)

// crossHostnames checks that no hostname of the pools' endpoints leads back to the policy, as far as our own zones
// tell.
func (c *Catalog) crossHostnames(x *crossed, p *zones.Policy, pools []string) {
	been := map[string]bool{}
	for _, e := range c.named(pools) {
		if way := c.leads(e.Hostname, p.Name, been); way != nil {
			through := ""
			if len(way) > 1 {
				through = " by way of " + strings.Join(way[1:], ", ")
			}
			x.add(zones.CodeReference, "rules",
				"hostname %s of %s leads back to the policy itself%s; give the endpoint a name of its own",
				e.Hostname, e.Key(), through)
			return
		}
	}
}

// named returns the pools' endpoints that have a hostname.
func (c *Catalog) named(pools []string) (es []*zones.Endpoint) {
	for _, pool := range pools {
		for _, e := range c.endpoints[pool] {
			if e.Hostname != "" {
				es = append(es, e)
			}
		}
	}
	slices.SortFunc(es, func(a, b *zones.Endpoint) int { return strings.Compare(a.ID(), b.ID()) })
	return es
}

// leads returns the chain of names within our zones that leads from one name to another, or nil. been has names that
// are known not to lead there.
func (c *Catalog) leads(name, to string, been map[string]bool) []string {
	switch {
	case name == to:
		return []string{}
	case been[name]:
		return nil
	}
	been[name] = true
	for _, next := range c.onward(name) {
		if way := c.leads(next, to, been); way != nil {
			return append([]string{name}, way...)
		}
	}
	return nil
}

// onward returns the names that a name in our zones is an alias of.
func (c *Catalog) onward(name string) (names []string) {
	home := c.zoneOf(name)
	if home == nil {
		return nil
	}
	if p := home.policies[name]; p != nil {
		for _, e := range c.named(p.PoolNames()) {
			names = append(names, e.Hostname)
		}
		return names
	}
	owner := zones.OwnerWithin(name, home.origin)
	set, ok := home.owners[owner].find("CNAME")
	if !ok {
		return nil
	}
	origin, err := rr.ParseName(home.origin)
	if err != nil {
		return nil
	}
	for _, text := range set.record(home.origin, owner).Data {
		if target, err := rr.ParseRelative(text, origin); err == nil {
			names = append(names, zones.NameText(target))
		}
	}
	return names
}
