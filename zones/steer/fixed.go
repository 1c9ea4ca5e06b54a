package steer

import (
	"net/netip"

	"leeward/zones"
	"leeward/zones/rr"
)

// Fixed returns what the policy answers without a client and without health, as a zone transfer needs it: the addresses
// of the family, of 4 or 16 octets each, of the first pool that has any. It takes a client of unknown location, all
// endpoints as healthy, and the pool of the largest weight in a step. It leaves out overrides and the addresses of
// hostnames, since both change by themselves. For Name it returns the first hostname and no address.
func (p *Policy) Fixed(program *Program, f Family) (addresses []byte, target rr.Name) {
	steps := p.rules[0].steps
	if p.sel != nil {
		steps = p.listed.steps
		for i, r := range p.source.Rules {
			if r.When == nil {
				steps = p.rules[i].steps
				break
			}
		}
	}
	for _, spare := range [...]bool{false, true} {
		for i := range steps {
			var heaviest uint64
			for _, m := range steps[i].members {
				if (m.weight == 0) != spare || int(m.pool) >= len(program.Pools) || program.Pools[m.pool] == nil {
					continue
				}
				if a, n := program.Pools[m.pool].fixed(f); len(a)+len(n) > 0 && max(m.weight, 1) > heaviest {
					heaviest, addresses, target = max(m.weight, 1), a, n
				}
			}
			if heaviest > 0 {
				return addresses, target
			}
		}
	}
	return nil, ""
}

// fixed returns the configured addresses of a family, or the first hostname. It uses endpoints of weight 0 only if
// there are no others.
func (p *Pool) fixed(f Family) (addresses []byte, target rr.Name) {
	seen := map[netip.Addr]bool{}
	for _, spare := range [...]bool{false, true} {
		for i := range p.endpoints {
			e := &p.endpoints[i]
			if (e.weight == 0) != spare {
				continue
			}
			if f == Name {
				if e.hostname != "" {
					return nil, e.hostname
				}
				continue
			}
			if e.hostname != "" {
				continue
			}
			for _, a := range e.addrs[f] {
				if !seen[a] && len(seen) < zones.MostAddresses(a.BitLen()/8) {
					seen[a] = true
					addresses = append(addresses, a.AsSlice()...)
				}
			}
		}
		if len(addresses) > 0 {
			return addresses, ""
		}
	}
	return nil, ""
}
