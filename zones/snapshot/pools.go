package snapshot

import (
	"maps"
	"slices"

	"leeward/health"
	"leeward/zones"
	"leeward/zones/steer"
)

// poolsOf marks the pools that name a region or a monitor.
func (u *update) poolsOf(k zones.Key) {
	for _, pool := range u.catalog.PoolsOf(k) {
		u.pools[pool] = true
	}
}

// compilePools compiles the marked pools, and marks the policies that use a pool that came, went or moved.
func (u *update) compilePools() {
	if len(u.pools) == 0 {
		return
	}
	compiled := slices.Clone(u.out.program.Pools)
	set := func(n int32, p *steer.Pool) {
		u.out.stats.Endpoints += p.Endpoints() - compiled[n].Endpoints()
		compiled[n] = p
	}
	for _, name := range slices.Sorted(maps.Keys(u.pools)) {
		pool, _ := u.catalog.Get(zones.KeyOf(zones.KindPool, name)).(*zones.Pool)
		s := u.Builder.pools[name]
		if pool == nil {
			if s != nil {
				set(s.number, nil)
				u.rehost(name, s, nil)
				u.poolIDs.put(s.number)
				delete(u.Builder.pools, name)
				u.usersOf(name)
			}
			continue
		}
		if s == nil {
			s = &slot{number: u.poolIDs.take(), aliases: true}
			u.Builder.pools[name] = s
		}
		if s.region != pool.Region {
			s.region = pool.Region
			u.usersOf(name)
		}
		monitor, _ := u.catalog.Get(zones.KeyOf(zones.KindMonitor, pool.Monitor)).(*zones.Monitor)
		for int(s.number) >= len(compiled) {
			compiled = append(compiled, nil)
		}
		var checked *health.Monitor
		if monitor != nil {
			checked = &monitor.Monitor
		}
		made := steer.NewPool(s.number, pool, u.catalog.EndpointsOf(name), checked, u.word, u.leaving, u.Resolution,
			compiled[s.number])
		if set(s.number, made); s.aliases != made.Aliases() {
			s.aliases = made.Aliases()
			u.usersOf(name)
		}
		u.rehost(name, s, made.Hostnames(nil))
	}
	u.out.program = &steer.Program{Pools: compiled}
}

// usersOf marks the policies that use a pool.
func (u *update) usersOf(pool string) {
	for _, p := range u.catalog.PoliciesUsing(pool) {
		u.policies[p.Name] = true
	}
}
