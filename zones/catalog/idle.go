package catalog

import (
	"net/netip"
	"slices"
	"strings"

	"leeward/zones"
)

// A setting that has no effect is reported here, as somebody meant something by it. If the resource alone shows it, it
// is an error where the resource is read. The cases here depend on other resources, or are harmless.

// crossIdleEndpoints reports settings of endpoints that are for checks, if the pool's monitor does not use them.
func (c *Catalog) crossIdleEndpoints(x *crossed, p *zones.Pool) {
	check := "none"
	if p.Monitor != "" {
		s := c.slots[zones.KindMonitor][zones.KeyOf(zones.KindMonitor, p.Monitor)]
		if s == nil {
			return
		}
		check = s.resource.(*zones.Monitor).Check()
	}
	var headers, host []string
	for _, e := range c.endpoints[p.Pool] {
		if len(e.Headers) > 0 && check != "http" && check != "https" {
			headers = append(headers, e.Endpoint)
		}
		if e.Host != "" && !slices.Contains([]string{"http", "https", "tls", "grpc"}, check) {
			host = append(host, e.Endpoint)
		}
	}
	for _, f := range []struct {
		names      []string
		field, who string
	}{
		{host, "host", "http, https, tls and grpc"},
		{headers, "headers", "http and https"},
	} {
		if len(f.names) == 0 {
			continue
		}
		slices.Sort(f.names)
		more := ""
		if len(f.names) > 3 {
			f.names, more = f.names[:3], " and others"
		}
		x.warn("monitor", "%s of its endpoints (%s%s) has no effect: %s checks send it, and the pool's check is %s; "+
			"take it out or change the check",
			f.field, strings.Join(f.names, ", "), more, f.who, check)
	}
}

// crossIdlePolicy reports settings that another setting makes useless.
func (c *Catalog) crossIdlePolicy(x *crossed, p *zones.Policy, pools []string) {
	if p.Pick == zones.PickAll && p.Answers != 0 {
		x.warn("answers", "pick: all answers with every address; answers has no effect, take one of the two out")
	}
	if p.Flatten && len(c.named(pools)) == 0 {
		x.warn("flatten", "it says how hostnames are answered, and no endpoint of its pools has one; it has no "+
			"effect, take it out")
	}
	if s := c.slots[zones.KindMap][zones.KeyOf(zones.KindMap, p.Map)]; s != nil &&
		!c.leadsAnywhere(s.resource.(*zones.Map), pools) {
		x.warn("map", "none of the regions that map %s names has a pool of this policy; it has no effect, name such "+
			"regions or take it out", p.Map)
	}
	for i := range p.Rules {
		if when := p.Rules[i].When; when != nil && len(p.Rules[:i]) < mostCompared && taken(when, p.Rules[:i]) {
			x.warn(zones.Item("rules", i)+".when",
				"rules before this one hold for all that it names; it is never reached, take it out or put it first")
		}
	}
}

// mostCompared is how many rules of a policy are compared with the rules before them. The first rules match first, and
// a policy with a thousand is made by a program.
const mostCompared = 100

func (c *Catalog) leadsAnywhere(m *zones.Map, pools []string) bool {
	for _, pool := range pools {
		region := c.slots[zones.KindPool][zones.KeyOf(zones.KindPool, pool)].resource.(*zones.Pool).Region
		for _, regions := range m.Prefixes {
			if slices.Contains(regions, region) {
				return true
			}
		}
	}
	return false
}

// taken reports whether earlier rules name everything that a when names. It does not ask a database: a country may be
// in a continent, and a prefix in a country.
func taken(w *zones.When, before []zones.Rule) bool {
	before = slices.DeleteFunc(slices.Clone(before), func(r zones.Rule) bool { return r.When == nil })
	return len(before) > 0 &&
		all(w.Continents, before, func(b *zones.When, v string) bool { return slices.Contains(b.Continents, v) }) &&
		all(w.Countries, before, func(b *zones.When, v string) bool { return slices.Contains(b.Countries, v) }) &&
		all(w.Subdivisions, before, func(b *zones.When, v string) bool {
			country, _, _ := strings.Cut(v, "-")
			return slices.Contains(b.Subdivisions, v) || slices.Contains(b.Countries, country)
		}) &&
		all(w.ASNs, before, func(b *zones.When, v uint32) bool { return slices.Contains(b.ASNs, v) }) &&
		all(w.Prefixes, before, func(b *zones.When, v netip.Prefix) bool {
			return slices.ContainsFunc(b.Prefixes,
				func(p netip.Prefix) bool { return p.Bits() <= v.Bits() && p.Contains(v.Addr()) })
		})
}

func all[T any](list []T, before []zones.Rule, names func(*zones.When, T) bool) bool {
	for _, v := range list {
		if !slices.ContainsFunc(before, func(r zones.Rule) bool { return names(r.When, v) }) {
			return false
		}
	}
	return true
}
