package steer

import (
	"net/netip"
	"unsafe"
)

// A decision can begin before its turn as a look-up can (snapshot.Ahead): these return where the next step will look.

// Aim returns where the search for the client's area begins, nil where the client does not matter.
func (p *Policy) Aim(client netip.Addr) unsafe.Pointer {
	if p.sel != nil && p.sel.places != nil && p.sel.places.areas != nil {
		return p.sel.places.areas.Aim(client)
	}
	return nil
}

// Reach goes on to where it ends.
func (p *Policy) Reach(client netip.Addr) unsafe.Pointer {
	if p.sel != nil && p.sel.places != nil && p.sel.places.areas != nil {
		return p.sel.places.areas.Reach(client)
	}
	return nil
}

// Line is the policy's own first line.
func (p *Policy) Line() unsafe.Pointer { return unsafe.Pointer(p) }

// Leads returns where it says which pool answers.
func (p *Policy) Leads() unsafe.Pointer { return unsafe.Pointer(&p.leads[0]) }

// Lead goes on to the pool that answers first of all, whatever else the policy asks for.
func (p *Policy) Lead(v *View, client netip.Addr, f Family) unsafe.Pointer {
	n := 0
	if p.sel != nil {
		if p.sel.places == nil || p.sel.places.areas == nil {
			return nil
		}
		outcome, _ := p.sel.places.areas.At(client)
		n = min(int(outcome), len(p.leads)-1)
	}
	if pool := p.leads[n]; f < Name && uint(pool) < uint(len(v.pools)) && v.pools[pool] != nil {
		return unsafe.Pointer(&v.pools[pool].quick[f])
	}
	return nil
}
