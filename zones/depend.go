package zones

import "strings"

// touched marks those dirty that it matters to that a resource has come or gone.
func (c *Catalog) touched(key Key, r Resource) {
	c.disturb(key)
	switch r := r.(type) {
	case *Zone:
		c.touchedZone(r)
	case *Record:
		name := FullName(r.Owner, r.Origin)
		c.disturb(placeOf(name))
		c.disturbList(c.states[r.Origin])
		if r.Type == "NS" || r.Type == "DNAME" {
			if z := c.states[r.Origin]; z != nil {
				for policy := range z.policies {
					if under(policy, name) {
						c.dirty[KeyOf(KindPolicy, policy)] = struct{}{}
					}
				}
			}
		}
	case *Policy:
		c.disturb(placeOf(r.Name))
		c.disturbList(c.zoneOf(r.Name))
	case *Region, *Monitor:
		for pool := range c.referrers[key] {
			c.disturbPolicies(pool)
		}
	case *Endpoint:
		c.touchedEndpoint(r)
	}
}

// altered marks those dirty that it matters to how a resource has changed. Of most only its presence matters to others.
func (c *Catalog) altered(key Key, before, after Resource) {
	switch after := after.(type) {
	case *Zone:
		c.disturbLists()
	case *Pool:
		c.disturbPolicies(key)
	case *Map:
		c.disturb(key)
	case *Region:
		if (after.Latitude == nil) == (before.(*Region).Latitude == nil) {
			return
		}
		for pool := range c.referrers[key] {
			c.disturbPolicies(pool)
		}
	case *Monitor:
		was := before.(*Monitor)
		if after.Check() != was.Check() {
			c.disturb(key) // its pools say which of their endpoints' settings the check uses
		}
		if after.DetectionTime() == was.DetectionTime() && (after.External == nil) == (was.External == nil) {
			return
		}
		for pool := range c.referrers[key] {
			c.disturbPolicies(pool)
		}
	case *Endpoint:
		was := before.(*Endpoint)
		c.touchedAddresses(was)
		c.touchedAddresses(after)
		if was.outline() != after.outline() {
			c.disturbPolicies(KeyOf(KindPool, after.Pool))
		}
	}
}

// disturbLists marks the catalog zones that are made here: they list zones, and say of which nobody may transfer them.
func (c *Catalog) disturbLists() {
	for origin := range c.lists {
		c.dirty[KeyOf(KindZone, origin)] = struct{}{}
	}
}

// disturbList marks a zone if it is one of these.
func (c *Catalog) disturbList(z *zoneState) {
	if z != nil && c.lists[z.origin] != nil {
		c.dirty[KeyOf(KindZone, z.origin)] = struct{}{}
	}
}

// outline is what policies' checks see of an endpoint. A pool can have many thousand policies, and an endpoint that
// only has another address or weight is nothing new to them.
type outline struct {
	hostname                        string
	flatten, ipv4, ipv6, lastResort bool
}

func (e *Endpoint) outline() outline {
	o := outline{hostname: e.Hostname, flatten: e.Flatten, lastResort: e.EffectiveWeight() == 0}
	for _, a := range e.Addresses {
		o.ipv4, o.ipv6 = o.ipv4 || a.Is4(), o.ipv6 || !a.Is4()
	}
	return o
}

func (c *Catalog) touchedEndpoint(e *Endpoint) {
	c.touchedAddresses(e)
	c.disturbPolicies(KeyOf(KindPool, e.Pool))
}

// touchedAddresses marks the endpoint's pool dirty, and those who have its addresses in that pool.
func (c *Catalog) touchedAddresses(e *Endpoint) {
	pool := KeyOf(KindPool, e.Pool)
	if c.slots[KindPool][pool] != nil || c.waiting[pool] != nil {
		c.dirty[pool] = struct{}{}
	}
	for _, a := range e.Addresses {
		c.disturb(addressPlace(e.Pool, a))
	}
}

// disturbPolicies marks the policies dirty that name a pool.
func (c *Catalog) disturbPolicies(pool Key) {
	for referrer := range c.referrers[pool] {
		if strings.HasPrefix(string(referrer), "policies/") {
			c.dirty[referrer] = struct{}{}
		}
	}
}

// disturb marks all dirty that name a key or place.
func (c *Catalog) disturb(target Key) {
	for referrer := range c.referrers[target] {
		c.dirty[referrer] = struct{}{}
	}
}

// touchedZone marks what is nearest to a zone that came or went, and leaves the rest to disturbMoved.
func (c *Catalog) touchedZone(z *Zone) {
	c.moved[z.Origin] = struct{}{}
	c.disturbLists()
	if parent := c.zoneOf(ParentName(z.Origin)); parent != nil {
		c.dirty[parent.zone.Key()] = struct{}{}
	}
	c.dirty[z.Key()] = struct{}{}
	if s := c.states[z.Origin]; s != nil {
		c.drop(s)
	}
}

// disturbMoved marks the policies and records dirty that are in or below a zone that came or went. There can be many
// thousand of these in one batch, so each policy, record and problem is looked at once for all of them.
func (c *Catalog) disturbMoved() {
	if len(c.moved) == 0 {
		return
	}
	below := func(name string) bool {
		for ; name != ""; name = ParentName(name) {
			if _, moved := c.moved[name]; moved {
				return true
			}
		}
		return false
	}
	policies := func(of map[string]*Policy) {
		for name := range of {
			if below(name) {
				c.dirty[KeyOf(KindPolicy, name)] = struct{}{}
			}
		}
	}
	policies(c.homeless)
	above := map[*zoneState]bool{} // that can have policies or records below one that moved
	for origin := range c.moved {
		if z := c.states[origin]; z != nil {
			policies(z.policies)
		}
		for name := ParentName(origin); name != ""; name = ParentName(name) {
			if z := c.states[name]; z != nil {
				above[z] = true
			}
		}
	}
	for z := range above {
		policies(z.policies)
		for owner, sets := range z.owners {
			if !below(FullName(owner, z.origin)) {
				continue
			}
			for sets != "" {
				var set packedSet
				set, sets = sets.next()
				c.dirty[KeyOf(KindRecord, z.origin+"/"+owner+"/"+set.kind)] = struct{}{}
			}
		}
	}
	again := func(key Key) {
		if origin, owner, _, ok := splitRecord(key); ok {
			if _, moved := c.moved[origin]; moved || below(FullName(owner, origin)) {
				c.dirty[key] = struct{}{}
			}
		} else if key.Kind() == KindPolicy && below(key.Name()) {
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
