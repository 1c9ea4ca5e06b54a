package steer

import (
	"net/netip"
	"unsafe"

	"leeward/geo"
)

// These functions return where the next step of a decision will read, so that a server can fetch that memory for a
// whole batch of queries before it decides one of them (see snapshot.Ahead). A wrong address costs time and changes no
// answer.

// areas are those that selector.choose searches for the client; nil if the client does not matter.
func (p *Policy) areas() *geo.Areas {
	if p.sel == nil || p.sel.places == nil {
		return nil
	}
	return p.sel.places.areas
}

// Aim returns where the search for the client's area begins. It returns nil if the client does not matter.
func (p *Policy) Aim(client netip.Addr) unsafe.Pointer {
	if a := p.areas(); a != nil {
		return a.Aim(client)
	}
	return nil
}

// Reach returns where that search ends.
func (p *Policy) Reach(client netip.Addr) unsafe.Pointer {
	if a := p.areas(); a != nil {
		return a.Reach(client)
	}
	return nil
}

// Line returns the policy's first cache line. A decision reads it, and so does the count of its answers.
func (p *Policy) Line() unsafe.Pointer { return unsafe.Pointer(p) }

// Leads returns the policy's list of leading pools.
func (p *Policy) Leads() unsafe.Pointer { return unsafe.Pointer(&p.leads[0]) }

// Lead returns the leading pool's candidates, whatever else the policy may ask: what quick reads.
func (p *Policy) Lead(v *View, client netip.Addr, f Family) unsafe.Pointer {
	n := 0
	if p.sel != nil {
		a := p.areas()
		if a == nil {
			return nil
		}
		outcome, _ := a.At(client)
		n = min(int(outcome), len(p.leads)-1)
	}
	if pool := p.leads[n].pool; f < Name && uint(pool) < uint(len(v.pools)) && v.pools[pool] != nil {
		return unsafe.Pointer(&v.pools[pool].quick[f])
	}
	return nil
}
