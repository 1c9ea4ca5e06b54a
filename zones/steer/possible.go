package steer

import "leeward/zones/rr"

// Types appends the types that the policy answers to some client at some time, whatever is healthy: what its name has
// by configuration. An endpoint by hostname may have addresses of both families.
func (p *Policy) Types(program *Program, alone bool, dst []rr.Type) []rr.Type {
	if p.Alias && alone {
		return append(dst, rr.TypeCNAME)
	}
	for f := V4; f < Name; f++ {
		for _, n := range p.pools {
			if pool := program.at(n); pool != nil && pool.may[f] {
				dst = append(dst, f.Type())
				break
			}
		}
	}
	return dst
}

// Type returns the RR type of the family.
func (f Family) Type() rr.Type { return types[f] }

func (p *Program) at(n int32) *Pool {
	if uint(n) < uint(len(p.Pools)) {
		return p.Pools[n]
	}
	return nil
}

// Singles calls f with the RDATA of each record that the policy may answer with: every address of every pool that it
// names, and every hostname, whatever is healthy.
func (p *Policy) Singles(program *Program, f func(typ rr.Type, data []byte)) {
	for _, n := range p.pools {
		pool := program.at(n)
		if pool == nil {
			continue
		}
		for i := range pool.endpoints {
			e := &pool.endpoints[i]
			for family, addrs := range e.addrs {
				for _, a := range addrs {
					f(Family(family).Type(), a.AsSlice())
				}
			}
			if e.hostname != "" {
				f(rr.TypeCNAME, []byte(e.hostname))
			}
		}
	}
}

// SamePools reports whether the pools that the policy names are the same in two programs.
func (p *Policy) SamePools(a, b *Program) bool {
	if a == b {
		return true
	}
	for _, n := range p.pools {
		if a.at(n) != b.at(n) {
			return false
		}
	}
	return true
}
