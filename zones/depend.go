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
	case *Pool:
		c.disturbPolicies(key)
	case *Region:
		if (after.Latitude == nil) == (before.(*Region).Latitude == nil) {
			return
		}
		for pool := range c.referrers[key] {
			c.disturbPolicies(pool)
		}
	case *Monitor:
		was := before.(*Monitor)
		if after.DetectionTime() == was.DetectionTime() && (after.External == nil) == (was.External == nil) {
			return
		}
		for pool := range c.referrers[key] {
			c.disturbPolicies(pool)
		}
	case *Endpoint:
		c.touchedEndpoint(before.(*Endpoint))
		c.touchedEndpoint(after)
	}
}

func (c *Catalog) touchedEndpoint(e *Endpoint) {
	pool := KeyOf(KindPool, e.Pool)
	if c.slots[KindPool][pool] != nil || c.waiting[pool] != nil {
		c.dirty[pool] = struct{}{}
	}
	c.disturbPolicies(pool)
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

func (c *Catalog) touchedZone(z *Zone) {
	for _, policies := range []map[string]*Policy{c.homeless, c.state(z.Origin).policies, c.home(parentName(z.Origin))} {
		for name := range policies {
			if under(name, z.Origin) {
				c.dirty[KeyOf(KindPolicy, name)] = struct{}{}
			}
		}
	}
	again := func(key Key) {
		if origin, owner, _, ok := splitRecord(key); ok && (origin == z.Origin || under(FullName(owner, origin), z.Origin)) {
			c.dirty[key] = struct{}{}
		} else if key.Kind() == KindPolicy && under(key.Name(), z.Origin) {
			c.dirty[key] = struct{}{}
		}
	}
	for key := range c.waiting {
		again(key)
	}
	for key := range c.problems {
		again(key)
	}
	if parent := c.zoneOf(parentName(z.Origin)); parent != nil {
		c.dirty[parent.zone.Key()] = struct{}{}
	}
	for name := parentName(z.Origin); name != ""; name = parentName(name) {
		if above := c.states[name]; above != nil {
			c.disturbBelow(above, ownerIn(z.Origin, name))
		}
	}
	c.dirty[z.Key()] = struct{}{}
	if s := c.states[z.Origin]; s != nil {
		c.drop(s)
	}
}

// disturbBelow marks the records of an origin dirty that are at or below an owner: another zone comes or goes there.
func (c *Catalog) disturbBelow(z *zoneState, cut string) {
	for owner, sets := range z.owners {
		if rest, ok := strings.CutSuffix(owner, cut); !ok || rest != "" && rest[len(rest)-1] != '.' {
			continue
		}
		for sets != "" {
			var set packedSet
			set, sets = sets.next()
			c.dirty[KeyOf(KindRecord, z.origin+"/"+owner+"/"+set.kind)] = struct{}{}
		}
	}
}
