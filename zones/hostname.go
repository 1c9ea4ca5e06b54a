package zones

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"leeward/zones/rr"
)

// hostname checks that an endpoint has either addresses or a hostname, and the latter's spelling.
func (f *faults) hostname(e *Endpoint) {
	switch {
	case e.Hostname != "" && len(e.Addresses) > 0:
		f.add("hostname", "there are addresses too; an endpoint has one of the two, take one out or make it two endpoints")
	case e.Hostname != "":
		if err := checkHostname(e.Hostname); err != nil {
			f.add("hostname", "%v", err)
		}
	case len(e.Addresses) == 0:
		f.add("addresses", "an endpoint has at least one address or a hostname; give one, or delete the endpoint")
	}
	if e.Flatten && e.Hostname == "" {
		f.add("flatten", "it says how a hostname is answered, and there is none; take it out")
	}
}

// checkHostname checks the name that an endpoint is given by: letters, digits, hyphens, and the underscores that clouds
// use (RFC 1123 section 2.1).
func checkHostname(s string) error {
	if _, err := netip.ParseAddr(s); err == nil {
		return fmt.Errorf("%s is an address; write addresses: [%s]", s, s)
	}
	if _, err := domainName(s); err != nil {
		return err
	}
	if s == "." {
		return errors.New("the root is not the name of an endpoint")
	}
	for _, label := range strings.Split(s, ".") {
		for _, c := range []byte(label) {
			if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' {
				continue
			}
			return fmt.Errorf("%q is no hostname: it is made of a-z, 0-9, - and _", s)
		}
	}
	return nil
}

// crossHostnames checks that no hostname of the pools' endpoints leads back to the policy, as far as our own zones
// tell.
func (c *Catalog) crossHostnames(x *crossed, p *Policy, pools []string) {
	been := map[string]bool{}
	for _, e := range c.named(pools) {
		if way := c.leads(e.Hostname, p.Name, been); way != nil {
			through := ""
			if len(way) > 1 {
				through = " by way of " + strings.Join(way[1:], ", ")
			}
			x.add(CodeReference, "rules", "hostname %s of %s leads back to the policy itself%s; give the endpoint a name of its own",
				e.Hostname, e.Key(), through)
			return
		}
	}
}

// named returns the endpoints of pools that are given by a hostname.
func (c *Catalog) named(pools []string) (es []*Endpoint) {
	for _, pool := range pools {
		for _, e := range c.endpoints[pool] {
			if e.Hostname != "" {
				es = append(es, e)
			}
		}
	}
	slices.SortFunc(es, func(a, b *Endpoint) int { return strings.Compare(a.ID(), b.ID()) })
	return es
}

// leads returns the names by which one leads to another within our zones, from the one on; nil if it does not. been are
// names that are known not to.
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

// onward returns the names that a name of our zones stands for.
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
	owner := OwnerWithin(name, home.origin)
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
			names = append(names, presentation(target))
		}
	}
	return names
}
