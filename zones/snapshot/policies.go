package snapshot

import (
	"maps"
	"slices"
	"strings"

	"leeward/zones"
	"leeward/zones/rr"
	"leeward/zones/steer"
)

// world resolves what policies refer to.
func (u *update) world() steer.World {
	return steer.World{
		Pool: func(name string) (int32, *zones.Pool) {
			pool, _ := u.catalog.Get(zones.KeyOf(zones.KindPool, name)).(*zones.Pool)
			if s := u.Builder.pools[name]; s != nil && pool != nil {
				return s.number, pool
			}
			return -1, nil
		},
		Region: func(name string) (int32, *zones.Region) {
			n, ok := u.regions[name]
			if !ok {
				n = int32(len(u.regions))
				u.regions[name] = n
			}
			r, _ := u.catalog.Get(zones.KeyOf(zones.KindRegion, name)).(*zones.Region)
			return n, r
		},
		Map: func(name string) *zones.Map {
			m, _ := u.catalog.Get(zones.KeyOf(zones.KindMap, name)).(*zones.Map)
			return m
		},
		Aliases: func(pool string) bool {
			s := u.Builder.pools[pool]
			return s != nil && s.aliases
		},
		Signed: func(name string) bool {
			z, _ := u.catalog.Get(zones.KeyOf(zones.KindZone, u.catalog.ZoneOf(name))).(*zones.Zone)
			return z != nil && z.Signed()
		},
	}
}

// takeOver marks the policies of zones that came or went. A new zone takes over names from the zone above it, and a
// zone that goes leaves its names to that.
func (u *update) takeOver() {
	if len(u.zones) > 0 {
		for _, key := range u.catalog.MissedPolicies() {
			u.policies[key.Name()] = true
		}
	}
	from := map[string]bool{} // origins whose policies may now be in another zone, each looked at once
	for origin := range u.zones {
		for _, p := range u.catalog.PoliciesIn(origin) {
			u.policies[p.Name] = true
		}
		for above := origin; above != ""; above = zones.ParentName(above) {
			from[above] = true
		}
	}
	for origin := range from {
		for name := range u.Builder.policies.in[origin] {
			for above := name; above != ""; above = zones.ParentName(above) {
				if u.zones[above] {
					u.policies[name] = true
					break
				}
			}
		}
	}
}

// compilePolicies compiles the marked policies, and edits the names that they steer.
func (u *update) compilePolicies() {
	u.takeOver()
	if u.all {
		u.catalog.Each(zones.KindPolicy, func(r zones.Resource) bool {
			u.policies[r.(*zones.Policy).Name] = true
			return true
		})
	}
	if len(u.policies) == 0 {
		return
	}
	u.out.policies = slices.Clone(u.out.policies)
	world := u.world()
	for _, name := range slices.Sorted(maps.Keys(u.policies)) {
		key := zones.KeyOf(zones.KindPolicy, name)
		p, _ := u.catalog.Get(key).(*zones.Policy)
		old := u.Builder.policies.named[name]
		origin := u.catalog.ZoneOf(name)
		if old != nil && (p == nil || old.origin != origin) {
			u.edit(old.origin, edit{name: old.name, kind: setPolicy, n: -1})
			u.out.policies[old.number] = nil
			u.policyID.put(old.number)
			u.Builder.policies.drop(name)
			u.share(name, nil)
			old = nil
		}
		delete(u.problems, key)
		owner, err := rr.ParseName(name)
		if p == nil || origin == "" {
			u.hole(name, owner, origin, u.catalog.Missed(key))
			continue
		}
		var compiled *steer.Policy
		if err == nil {
			compiled, err = u.compiler.Policy(p, world)
		}
		if err != nil { // the policy that was in service stays
			u.problems[key] = zones.Problem{Key: key, Message: err.Error()}
			u.hole(name, owner, origin, old == nil)
			continue
		}
		u.hole(name, owner, origin, false)
		if idle := u.compiler.Idle(p); len(idle) > 0 {
			u.problems[key] = zones.Problem{Key: key, Warning: true, Message: strings.Join(idle, "; ")}
		}
		if old == nil {
			old = &placed{u.policyID.take(), origin, owner}
			u.Builder.policies.put(name, old)
			for int(old.number) >= len(u.out.policies) {
				u.out.policies = append(u.out.policies, nil)
			}
			u.edit(origin, edit{name: owner, kind: setPolicy, n: old.number})
		}
		compiled.Number = old.number
		u.out.policies[old.number] = compiled
		u.share(name, compiled)
		u.touched = append(u.touched, origin)
	}
}

// share notes whether a policy uses loads. p is nil if the policy was removed.
func (u *update) share(name string, p *steer.Policy) {
	if p != nil && p.ByLoads() {
		u.sharing[name], u.shared = p, true
	} else if u.sharing[name] != nil {
		delete(u.sharing, name)
		u.shared = true
	}
}

// hole puts a hole at the name of a policy that exists and cannot be used (is), or removes it.
func (u *update) hole(name string, owner rr.Name, origin string, is bool) {
	is = is && owner != "" && origin != ""
	old := u.Builder.holes.named[name]
	if old != nil && (!is || old.origin != origin) {
		u.edit(old.origin, edit{name: old.name, kind: dropSet})
		u.Builder.holes.drop(name)
		old = nil
	}
	if is && old == nil {
		u.edit(origin, edit{name: owner, kind: putSet})
		u.Builder.holes.put(name, &placed{origin: origin, name: owner})
	}
}
