package catalog

import (
	"strings"

	"leeward/zones"
)

// touched marks the resources dirty that are affected when a resource appears or goes.
func (c *Catalog) touched(key zones.Key, r zones.Resource) {
	c.disturb(key)
	switch r := r.(type) {
	case *zones.Zone:
		c.touchedZone(r)
	case *zones.Record:
		name := zones.FullName(r.Owner, r.Origin)
		c.disturb(placeOf(name))
		c.disturbList(c.states[r.Origin])
		if r.Type == "NS" && name != r.Origin {
			c.cuts[name] = struct{}{}
		}
		if r.Type == "NS" || r.Type == "DNAME" {
			if z := c.states[r.Origin]; z != nil {
				for policy := range z.policies {
					if zones.Under(policy, name) {
						c.dirty[zones.KeyOf(zones.KindPolicy, policy)] = struct{}{}
					}
				}
			}
		}
	case *zones.Policy:
		c.disturb(placeOf(r.Name))
		c.disturbList(c.zoneOf(r.Name))
	case *zones.Region, *zones.Monitor:
		for pool := range c.referrers[key] {
			c.disturbPolicies(pool)
		}
	case *zones.Endpoint:
		c.touchedEndpoint(r)
	case *zones.Defaults:
		c.reinherit(r.For)
	}
}

// altered marks the resources dirty that are affected by how a resource has changed. For most kinds, others depend only
// on its existence.
func (c *Catalog) altered(key zones.Key, before, after zones.Resource) {
	switch after := after.(type) {
	case *zones.Zone:
		c.disturbLists()
		if before.(*zones.Zone).Signed() != after.Signed() {
			c.moved[after.Origin] = struct{}{}
		}
	case *zones.Pool:
		c.disturbPolicies(key)
	case *zones.Map:
		c.disturb(key)
	case *zones.Defaults:
		c.reinherit(after.For)
	case *zones.Region:
		if (after.Latitude == nil) == (before.(*zones.Region).Latitude == nil) {
			return
		}
		for pool := range c.referrers[key] {
			c.disturbPolicies(pool)
		}
	case *zones.Monitor:
		was := before.(*zones.Monitor)
		if after.Check() != was.Check() {
			c.disturb(key) // its pools say which of their endpoints' settings the check uses
		}
		if after.EffectiveFall() == was.EffectiveFall() && after.EffectiveInterval() == was.EffectiveInterval() &&
			after.EffectiveTimeout() == was.EffectiveTimeout() && (after.External == nil) == (was.External == nil) {
			return
		}
		for pool := range c.referrers[key] {
			c.disturbPolicies(pool)
		}
	case *zones.Endpoint:
		was := before.(*zones.Endpoint)
		c.touchedAddresses(was)
		c.touchedAddresses(after)
		if outlineOf(was) != outlineOf(after) {
			c.disturbPolicies(zones.KeyOf(zones.KindPool, after.Pool))
		}
	}
}

// disturbLists marks the catalog zones made here as dirty, because they list other zones, and warn of zones that nobody
// may transfer.
func (c *Catalog) disturbLists() {
	for origin := range c.lists {
		c.dirty[zones.KeyOf(zones.KindZone, origin)] = struct{}{}
	}
}

// disturbList marks a zone dirty if it is a catalog zone that is made here.
func (c *Catalog) disturbList(z *zoneState) {
	if z != nil && c.lists[z.origin] != nil {
		c.dirty[zones.KeyOf(zones.KindZone, z.origin)] = struct{}{}
	}
}

// outline is the part of an endpoint that the checks of policies use. A pool can have thousands of policies, and they
// need no new check if only an endpoint's address or weight has changed.
type outline struct {
	hostname                        string
	flatten, ipv4, ipv6, lastResort bool
}

func outlineOf(e *zones.Endpoint) outline {
	o := outline{hostname: e.Hostname, flatten: e.Flatten, lastResort: e.EffectiveWeight() == 0}
	for _, a := range e.Addresses {
		o.ipv4, o.ipv6 = o.ipv4 || a.Is4(), o.ipv6 || !a.Is4()
	}
	return o
}

func (c *Catalog) touchedEndpoint(e *zones.Endpoint) {
	c.touchedAddresses(e)
	c.disturbPolicies(zones.KeyOf(zones.KindPool, e.Pool))
}

// touchedAddresses marks the endpoint's pool dirty, and the endpoints of that pool that share its addresses.
func (c *Catalog) touchedAddresses(e *zones.Endpoint) {
	pool := zones.KeyOf(zones.KindPool, e.Pool)
	if c.slots[zones.KindPool][pool] != nil || c.waiting[pool] != nil {
		c.dirty[pool] = struct{}{}
	}
	for _, a := range e.Addresses {
		c.disturb(addressPlace(e.Pool, a))
	}
}

// disturbPolicies marks the policies dirty that name a pool.
func (c *Catalog) disturbPolicies(pool zones.Key) {
	for referrer := range c.referrers[pool] {
		if strings.HasPrefix(string(referrer), "policies/") {
			c.dirty[referrer] = struct{}{}
		}
	}
}

// disturb marks everything dirty that names a key or place.
func (c *Catalog) disturb(target zones.Key) {
	for referrer := range c.referrers[target] {
		c.dirty[referrer] = struct{}{}
	}
}

// touchedZone marks the zone's neighbours dirty when it came or went, and leaves the rest to disturbMoved.
func (c *Catalog) touchedZone(z *zones.Zone) {
	c.moved[z.Origin] = struct{}{}
	c.disturbLists()
	if parent := c.zoneOf(zones.ParentName(z.Origin)); parent != nil {
		c.dirty[parent.zone.Key()] = struct{}{}
	}
	c.dirty[z.Key()] = struct{}{}
	if s := c.states[z.Origin]; s != nil {
		c.drop(s)
	}
}

// disturbMoved marks the policies and records dirty that are in or below zones that came or went, and, for signed
// zones, the zones below. One batch can have thousands of such zones, so each zone, policy, record and problem is
// looked at once for all of them.
func (c *Catalog) disturbMoved() {
	c.disturbCut()
	if len(c.moved) == 0 {
		return
	}
	below := func(name string) bool {
		for ; name != ""; name = zones.ParentName(name) {
			if _, moved := c.moved[name]; moved {
				return true
			}
		}
		return false
	}
	policies := func(of map[string]*zones.Policy) {
		for name := range of {
			if below(name) {
				c.dirty[zones.KeyOf(zones.KindPolicy, name)] = struct{}{}
			}
		}
	}
	policies(c.homeless)
	above := map[*zoneState]bool{} // zones that can have policies or records below one that moved
	signed := false
	for origin := range c.moved {
		if z := c.states[origin]; z != nil {
			policies(z.policies)
		}
		if z := c.zoneOf(origin); z != nil {
			signed = signed || z.zone.Signed()
			if z = c.zoneOf(zones.ParentName(z.origin)); z != nil {
				signed = signed || z.zone.Signed()
			}
		}
		for name := zones.ParentName(origin); name != ""; name = zones.ParentName(name) {
			if z := c.states[name]; z != nil {
				above[z] = true
			}
		}
	}
	for z := range above {
		policies(z.policies)
		for owner, sets := range z.owners {
			if !below(zones.FullName(owner, z.origin)) {
				continue
			}
			for sets != "" {
				var set packedSet
				set, sets = sets.next()
				c.dirty[zones.KeyOf(zones.KindRecord, z.origin+"/"+owner+"/"+set.kind)] = struct{}{}
			}
		}
	}
	if signed {
		for origin, z := range c.states {
			if z.zone != nil && below(zones.ParentName(origin)) {
				c.dirty[zones.KeyOf(zones.KindZone, origin)] = struct{}{}
			}
		}
	}
	again := func(key zones.Key) {
		if origin, owner, _, ok := splitRecord(key); ok {
			if _, moved := c.moved[origin]; moved || below(zones.FullName(owner, origin)) {
				c.dirty[key] = struct{}{}
			}
		} else if kind := key.Kind(); (kind == zones.KindPolicy || kind == zones.KindZone) && below(key.Name()) {
			c.dirty[key] = struct{}{}
		}
	}
	for key := range c.waiting {
		again(key)
	}
	for key := range c.problems {
		again(key)
	}
	clear(c.moved)
}

// disturbCut marks the zones dirty that are at or below a delegation that came or went. One batch can have very many of
// these, so each zone is looked at once for all of them.
func (c *Catalog) disturbCut() {
	if len(c.cuts) == 0 {
		return
	}
	for origin := range c.states {
		for name := origin; name != ""; name = zones.ParentName(name) {
			if _, cut := c.cuts[name]; cut {
				c.dirty[zones.KeyOf(zones.KindZone, origin)] = struct{}{}
				break
			}
		}
	}
	clear(c.cuts)
}
