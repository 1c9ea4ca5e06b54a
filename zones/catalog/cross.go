package catalog

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"leeward/zones"
)

// crossed is the result of checking a resource against all others.
type crossed struct {
	problems  zones.Problems
	conflicts []zones.Key // effective resources that exclude it
}

func (x *crossed) add(code zones.Code, field, format string, args ...any) {
	x.problems = append(x.problems, zones.Problem{
		Field: field, Code: code, Message: fmt.Sprintf(format, args...),
		Alike: format,
	})
}

func (x *crossed) warn(field, format string, args ...any) {
	x.problems = append(x.problems, zones.Problem{
		Field: field, Warning: true, Message: fmt.Sprintf(format, args...),
		Alike: format,
	})
}

// cross checks a version of a resource against the effective versions of all others.
func (c *Catalog) cross(key zones.Key, r zones.Resource) crossed {
	x := crossed{problems: append(zones.Doubts(zones.Written(r)), c.uninherited(r)...)}
	named := c.crossReferences(&x, r)
	switch r := r.(type) {
	case *zones.Zone:
		c.crossZone(&x, r)
	case *zones.Record:
		c.crossRecord(&x, r)
	case *zones.Pool:
		c.crossPool(&x, r)
	case *zones.Endpoint:
		c.crossEndpoint(&x, key, r)
	case *zones.Policy:
		c.crossPolicy(&x, r, named)
	}
	return x
}

// crossReferences checks that what a resource names exists. It returns the references that do.
func (c *Catalog) crossReferences(x *crossed, r zones.Resource) (named []zones.Reference) {
	for ref := range zones.References(r) {
		key := ref.Key()
		what := strings.ToLower(string(ref.Kind))
		switch {
		case c.slots[ref.Kind][key] != nil:
			named = append(named, ref)
		case c.unread[key]: // that is reported already
		case c.waiting[key] != nil:
			x.add(zones.CodeReference, ref.Field(), "%s %q has no version that can be used; see its own problem", what,
				ref.Name)
		default:
			x.add(zones.CodeReference, ref.Field(), "no %s %q", what, ref.Name)
			x.problems[len(x.problems)-1].Missing = key
		}
	}
	return named
}

func (c *Catalog) crossZone(x *crossed, z *zones.Zone) {
	if z.Secondary() && (z.Serial != nil || len(z.Nameservers) > 0) {
		x.add(zones.CodeReference, "transfer.primaries",
			"there is a master file of the zone too, and a zone lives in one place; take out one of the two")
	}
	if z.Lists() {
		c.crossLists(x, z)
	}
	if len(z.Nameservers) == 0 && !z.Secondary() && !z.Lists() {
		x.add(zones.CodeReference, "nameservers",
			"a zone has at least one nameserver; list them here or give the zone's master file")
	}
	c.crossCut(x, z)
	for i, ns := range z.Nameservers {
		home := c.zoneOf(ns)
		if home == nil || home.origin != z.Origin {
			continue
		}
		owner := zones.OwnerWithin(ns, z.Origin)
		sets := home.owners[owner]
		_, alias := sets.find("CNAME")
		switch {
		case alias:
			x.warn(zones.Item("nameservers", i),
				"%s is a CNAME, and a nameserver's name must not be one (RFC 2181 10.3); give it addresses", ns)
		case !hasType(sets, "A", "AAAA") && home.policies[ns] == nil:
			x.warn(zones.Item("nameservers", i), "%s has no address in the zone; add Record %s/%s/A", ns, z.Origin,
				owner)
		}
	}
}

// crossCut checks that a signed zone above delegates this one. Otherwise the zone above proves that the name does not
// exist, and neither does the DS of this zone (RFC 4035 section 5.2).
func (c *Catalog) crossCut(x *crossed, z *zones.Zone) {
	parent := c.zoneOf(zones.ParentName(z.Origin))
	if parent == nil || !parent.zone.Signed() || parent.zone.Secondary() { // of which the primary knows the cuts
		return
	}
	cut := false // at or above this zone: then the zone above has said its part, and whom it names says the rest
	for name := z.Origin; name != parent.origin && !cut; name = zones.ParentName(name) {
		cut = hasType(parent.owners[zones.OwnerWithin(name, parent.origin)], "NS")
	}
	if owner := zones.OwnerWithin(z.Origin, parent.origin); !cut {
		x.warn("", "zone %s above it is signed and does not delegate it, so validating resolvers conclude that "+
			"it does not exist; add Record %s/%s/NS, and a DS record beside it once this zone is signed", parent.origin,
			parent.origin, owner)
	}
}

func hasType(sets packed, kinds ...string) bool {
	return slices.ContainsFunc(kinds, func(kind string) bool {
		_, ok := sets.find(kind)
		return ok
	})
}

func (c *Catalog) crossRecord(x *crossed, r *zones.Record) {
	name := zones.FullName(r.Owner, r.Origin)
	state := c.states[r.Origin] // orphans reports a missing Zone, once for all records of an origin
	var sets packed
	if state != nil {
		sets = state.owners[r.Owner]
	}
	for sets != "" {
		var set packedSet
		if set, sets = sets.next(); set.kind != r.Type && (set.kind == "CNAME" || r.Type == "CNAME") {
			other := zones.KeyOf(zones.KindRecord, r.Origin+"/"+r.Owner+"/"+set.kind)
			x.conflicts = append(x.conflicts, other)
			x.add(zones.CodeConflict, "",
				"%s is there, and a CNAME stands alone at its name (RFC 2181 10.1); delete one of the two", other)
		}
	}
	steered := r.Type == "A" || r.Type == "AAAA" || r.Type == "CNAME"
	if home := c.zoneOf(name); home != nil {
		if p := home.policies[name]; p != nil && steered && home == state {
			x.conflicts = append(x.conflicts, p.Key())
			x.add(zones.CodeConflict, "", "%s answers at this name; delete one of the two", p.Key())
		}
		delegates := r.Type == "NS" || r.Type == "DS"
		if home.origin != r.Origin && zones.Under(home.origin, r.Origin) && !(delegates && home.origin == name) {
			x.warn("", "%s is in zone %s, which answers for it; name the record %s/%s/%s",
				name, home.origin, home.origin, zones.OwnerWithin(name, home.origin), r.Type)
		}
	}
}

func (c *Catalog) crossPool(x *crossed, p *zones.Pool) {
	endpoints := c.endpoints[p.Pool]
	if c.missing[p.Pool] {
		return
	}
	if len(endpoints) == 0 {
		x.warn("", "it has no endpoints, so policies pass over it; add Endpoint %s/…", p.Pool)
		return
	}
	c.crossIdleEndpoints(x, p)
	if p.MinHealthy.Count > len(endpoints) {
		x.warn("minHealthy", "%d can never be met by %d endpoints: the pool is always out", p.MinHealthy.Count,
			len(endpoints))
	}
	for _, e := range endpoints {
		if e.EffectiveWeight() > 0 {
			return
		}
	}
	x.warn("", "all its endpoints have weight 0, which is for those of last resort; give one a weight above 0")
}

func (c *Catalog) crossEndpoint(x *crossed, key zones.Key, e *zones.Endpoint) {
	for i, a := range e.Addresses {
		for _, holder := range c.holders[a] {
			if holder == key {
				continue
			}
			if pool, _, _ := strings.Cut(holder.Name(), "/"); pool == e.Pool {
				x.conflicts = append(x.conflicts, holder)
				x.add(zones.CodeConflict, zones.Item("addresses", i),
					"%s is the address of %s in the same pool already; take it out of one", a, holder)
			}
		}
	}
}

// crossPolicy checks a policy. named are the resources that it names and that exist.
func (c *Catalog) crossPolicy(x *crossed, p *zones.Policy, named []zones.Reference) {
	if home := c.zoneOf(p.Name); home != nil {
		c.crossName(x, p, home)
	} else {
		c.crossHomeless(x, p)
	}
	var pools []string
	for _, ref := range named {
		if ref.Kind == zones.KindPool {
			pools = append(pools, ref.Name)
		}
		if rule, is := ref.Nearest(); is && len(p.Rules[rule].Nearest) > 1 {
			c.crossPlace(x, ref)
		}
	}
	if !slices.ContainsFunc(p.Rules, func(r zones.Rule) bool { return r.When == nil }) {
		x.warn("rules", "no rule holds for everybody: clients that none names get the pools of all rules, in their "+
			"order; end with a rule without when, such as - answer: nodata")
	}
	for ref := range zones.References(p) {
		if ref.Kind == zones.KindPool && (c.unread[ref.Key()] || c.missing[ref.Name]) {
			return // if everything could be read, there would be more
		}
	}
	if !slices.ContainsFunc(pools, func(pool string) bool { return len(c.endpoints[pool]) > 0 }) {
		x.add(zones.CodeNoAnswer, "rules",
			"no pool of the policy has an endpoint, so it has no answer; add endpoints, or delete the policy")
	}
	c.crossFamilies(x, p)
	c.crossNumber(x, p, pools)
	c.crossDetection(x, p, pools)
	c.crossHostnames(x, p, pools)
	c.crossIdlePolicy(x, p, pools)
	c.crossCapacity(x, p, pools)
}

// crossCapacity checks that pools have what a policy by load needs.
func (c *Catalog) crossCapacity(x *crossed, p *zones.Policy, pools []string) {
	if !p.Spill && p.Pick != zones.PickLeastLoad {
		return
	}
	field := "spill"
	if !p.Spill {
		field = "pick"
	}
	named, addressed := "", "" // a pool that is answered by name, and one by address
	for i, name := range pools {
		if slices.Index(pools, name) < i {
			continue
		}
		pool := c.slots[zones.KindPool][zones.KeyOf(zones.KindPool, name)].resource.(*zones.Pool)
		without := ""
		for _, e := range c.endpoints[name] {
			if pool.Capacity == nil && e.Capacity == nil {
				without = e.ID()
			}
			if e.Hostname != "" && !e.Flatten && !p.Flatten {
				named = name
			} else {
				addressed = name
			}
		}
		if without != "" {
			x.warn(field, "endpoint %s has no capacity: pool %s counts as one that takes whatever comes; give the "+
				"pool capacity: {target: …}", without, name)
			continue
		}
		s := c.slots[zones.KindMonitor][zones.KeyOf(zones.KindMonitor, pool.Monitor)]
		switch {
		case pool.Monitor == "":
			x.warn(field, "pool %s has no monitor, so nobody learns its load, and it keeps all of its clients; give "+
				"it one", name)
		case s == nil:
		case !s.resource.(*zones.Monitor).TellsLoad():
			x.warn(field, "monitor %s of pool %s learns no load, so the pool keeps all of its clients; use an http, "+
				"https or external check", pool.Monitor, name)
		}
	}
	if p.Spill && named != "" && addressed != "" {
		x.add(zones.CodeReference, "spill",
			"pool %s is answered by name and pool %s by address: resolvers keep a name for all of their clients, "+
				"which turns shares around; "+
				"write flatten: true, or do not spill between the two", named, addressed)
	}
}

// crossNumber checks that all addresses of a pool fit into an answer, if the policy picks all, and into a transfer.
func (c *Catalog) crossNumber(x *crossed, p *zones.Policy, pools []string) {
	for i, pool := range pools {
		if slices.Index(pools, pool) < i {
			continue
		}
		var count [2]int
		for _, e := range c.endpoints[pool] {
			for _, a := range e.Addresses {
				count[a.BitLen()>>7]++
			}
		}
		for f, n := range count {
			kind, most := [...]string{"IPv4", "IPv6"}[f], zones.MostAddresses(4<<(2*f))
			switch {
			case n <= most:
			case p.Pick == zones.PickAll:
				x.add(zones.CodeReference, "pick",
					"pool %s has %d %s addresses, and one message holds %d; pick weighted, or spread them over more "+
						"names", pool, n, kind, most)
			default:
				x.warn("", "pool %s has %d %s addresses, and one message holds %d: a zone transfer has the first of "+
					"them only", pool, n, kind, most)
			}
		}
	}
}

// crossFamilies warns if one rule has addresses of a family and another has none. Resolvers cache "no such addresses"
// for all of their clients, not only for those that it was said of (RFC 7871 section 7.4). What hostnames resolve to is
// not known here.
func (c *Catalog) crossFamilies(x *crossed, p *zones.Policy) {
	with, without := [2]int{-1, -1}, [2]int{-1, -1} // the first rule with addresses, and the first without
	for i, rule := range p.Rules {
		var has [2]bool
		for _, pool := range rule.PoolNames() {
			for _, e := range c.endpoints[pool] {
				has[0], has[1] = has[0] || e.Hostname != "", has[1] || e.Hostname != ""
				for _, a := range e.Addresses {
					has[a.BitLen()>>7] = true
				}
			}
		}
		if !has[0] && !has[1] {
			continue // that is reported elsewhere, or intended
		}
		for f := range has {
			if to := map[bool]*[2]int{true: &with, false: &without}[has[f]]; to[f] < 0 {
				to[f] = i
			}
		}
	}
	for f, kind := range [...]string{"IPv4", "IPv6"} {
		if with[f] >= 0 && without[f] >= 0 {
			x.warn(zones.Item("rules", without[f]),
				"its pools have no %s address and those of rules[%d] do: resolvers that keep a negative answer for "+
					"all clients "+
					"(RFC 7871 7.4) deny the others' too; give all rules both families", kind, with[f])
		}
	}
}

// crossHomeless reports that a name is outside of all zones.
func (c *Catalog) crossHomeless(x *crossed, p *zones.Policy) {
	for name := p.Name; name != ""; name = zones.ParentName(name) {
		if c.unread[zones.KeyOf(zones.KindZone, name)] {
			return
		}
	}
	x.add(zones.CodeReference, "", "its name is in no zone; apply a Zone that holds it")
	x.problems[len(x.problems)-1].Missing = zones.KeyOf(zones.KindZone, p.Name)
}

// known lists the resources of a kind for a message. It leaves the list out if there are so many that finding the
// nearest takes long, as thousands may miss the same thing at once.
func (c *Catalog) known(kind zones.Kind, written string) string {
	if n := len(c.slots[kind]); n > 200 {
		return fmt.Sprintf("%d others are known", n)
	}
	var names []string
	for key := range c.slots[kind] {
		names = append(names, key.Name())
	}
	return zones.Known(written, names)
}

// crossName checks what else stands at the policy's name, and above it in the zone.
func (c *Catalog) crossName(x *crossed, p *zones.Policy, home *zoneState) {
	owner := zones.OwnerWithin(p.Name, home.origin)
	for sets := home.owners[owner]; sets != ""; {
		var set packedSet
		if set, sets = sets.next(); set.kind == "A" || set.kind == "AAAA" || set.kind == "CNAME" {
			other := zones.KeyOf(zones.KindRecord, home.origin+"/"+owner+"/"+set.kind)
			x.conflicts = append(x.conflicts, other)
			x.add(zones.CodeConflict, "", "%s is at this name already; delete one of the two", other)
		}
	}
	if i := slices.IndexFunc(p.Rules, func(r zones.Rule) bool { return r.Answer == zones.AnswerNXDomain }); i >= 0 {
		switch {
		case owner == "@":
			x.add(zones.CodeConflict, zones.Item("rules", i)+".answer",
				"the zone itself is at this name, so it exists for everybody (RFC 8020); write nodata")
		case home.owners[owner] != "":
			x.add(zones.CodeConflict, zones.Item("rules", i)+".answer",
				"records are at this name, so it exists for everybody (RFC 8020); write nodata, or delete them")
		}
	}
	for name := p.Name; name != home.origin && name != ""; name = zones.ParentName(name) {
		sets := home.owners[zones.OwnerWithin(name, home.origin)]
		switch {
		case hasType(sets, "NS"):
			x.warn("", "it is below the delegation of %s and never asked for here; move it there, or delete the NS "+
				"records", name)
		case name != p.Name && hasType(sets, "DNAME"):
			x.warn("", "it is below the DNAME at %s, which answers instead; delete one of the two", name)
		}
	}
}

// crossPlace checks that a pool of nearest has coordinates.
func (c *Catalog) crossPlace(x *crossed, ref zones.Reference) {
	name := c.slots[zones.KindPool][ref.Key()].resource.(*zones.Pool).Region
	r := c.slots[zones.KindRegion][zones.KeyOf(zones.KindRegion, name)]
	if r != nil && r.resource.(*zones.Region).Latitude == nil {
		x.add(zones.CodeReference, ref.Field(),
			"nearest goes by distance, and region %s of pool %s has no latitude and longitude; give it both", name,
			ref.Name)
	}
}

// crossDetection checks that answers do not expire much sooner than a failure is noticed. If clients ask every few
// seconds but a failure takes a minute to show, the short TTL only causes queries.
func (c *Catalog) crossDetection(x *crossed, p *zones.Policy, pools []string) {
	ttl := p.TTL.Or(zones.DefaultPolicyTTL)
	var slowest *zones.Monitor
	for _, pool := range pools {
		name := c.slots[zones.KindPool][zones.KeyOf(zones.KindPool, pool)].resource.(*zones.Pool).Monitor
		s := c.slots[zones.KindMonitor][zones.KeyOf(zones.KindMonitor, name)]
		if s == nil {
			continue
		}
		m := s.resource.(*zones.Monitor)
		if m.External == nil && m.DetectionTime() > ttl &&
			(slowest == nil || m.DetectionTime() > slowest.DetectionTime()) {
			slowest = m
		}
	}
	if slowest == nil {
		return
	}
	takes := slowest.DetectionTime()
	atLeast := (takes + time.Second - 1).Truncate(time.Second)
	x.add(zones.CodeDetection, "ttl",
		"%s is shorter than the %s that monitor %s takes to see a failure (%d × %s + %s); "+
			"write ttl: %s or more, or let the monitor look more often",
		zones.Duration(ttl), zones.Duration(takes), slowest.Name, slowest.EffectiveFall(),
		zones.Duration(slowest.EffectiveInterval()),
		zones.Duration(slowest.EffectiveTimeout()), zones.Duration(atLeast))
	x.problems[len(x.problems)-1].Warning = true // many do that on purpose
}
