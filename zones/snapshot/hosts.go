package snapshot

import (
	"slices"

	"leeward/zones/steer"
)

// Resolved notes what an endpoint's hostname resolves to now. The next Update makes its pools again.
func (b *Builder) Resolved(hostname string, r steer.Resolution) {
	b.resolved[hostname] = r
	b.moved[hostname] = true
}

// Resolution returns what a hostname resolves to, as far as Resolved has been told.
func (b *Builder) Resolution(hostname string) steer.Resolution { return b.resolved[hostname] }

// takeResolved marks the pools of hostnames that were resolved.
func (u *update) takeResolved() {
	for hostname := range u.moved {
		for pool := range u.hosts[hostname] {
			u.pools[pool] = true
		}
	}
	clear(u.moved)
}

// rehost notes which hostnames a pool's endpoints have now.
func (u *update) rehost(pool string, s *slot, hosts []string) {
	slices.Sort(hosts)
	hosts = slices.Compact(hosts)
	if slices.Equal(s.hosts, hosts) {
		return
	}
	for _, h := range s.hosts {
		if delete(u.hosts[h], pool); len(u.hosts[h]) == 0 {
			delete(u.hosts, h)
			u.left = append(u.left, h)
		}
	}
	for _, h := range hosts {
		if u.hosts[h] == nil {
			u.hosts[h] = map[string]bool{}
		}
		u.hosts[h][pool] = true
	}
	s.hosts = hosts
}

// forget drops the resolutions of hostnames that no pool has any more. It comes last: an endpoint that moves to another
// pool keeps its hostname's resolution.
func (u *update) forget() {
	for _, h := range u.left {
		if u.hosts[h] == nil {
			delete(u.resolved, h)
		}
	}
}
