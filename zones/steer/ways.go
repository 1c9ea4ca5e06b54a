package steer

import (
	"slices"

	"leeward/zones"
)

// Way is one order of a policy's pools that some of its clients have. It says which pools would answer them if all were
// well, and which answer now.
type Way struct {
	Well []int32 // numbers of pools
	Now  []int32
	Open bool // none is available: Now answers as if its pools were healthy, or the policy's whenAllDown is said
}

// Ways returns the ways of a family, one for each order that clients of the policy may have. It ignores what pools pass
// on because they are full, and what a schedule moves, since the pools are there. It also ignores the regions that a
// map puts first.
func (p *Policy) Ways(v *View, f Family) (ways []Way) {
	rules := p.rules
	switch {
	case p.sel == nil:
		rules = rules[:1] // the first always holds
	case p.source.Rules[len(rules)-1].When != nil:
		rules = append(slices.Clip(rules), p.listed) // for clients for which no rule holds
	}
	for i := range rules {
		orders := [][]uint8{nil}
		if rules[i].rank != nil {
			orders = rules[i].rank.orders
		}
		for _, order := range orders {
			w := walk{view: v, policy: p, family: f, steps: rules[i].steps, order: order}
			now, open := w.first(shut)
			well, _ := w.first(drained)
			if well != nil && !slices.ContainsFunc(ways, func(o Way) bool {
				return o.Open == open && slices.Equal(o.Now, now) && slices.Equal(o.Well, well)
			}) {
				ways = append(ways, Way{well, now, open})
			}
		}
	}
	return ways
}

// WhenAllDown returns the answer to clients for whom no pool is available. SaysAddresses: as if all were healthy.
func (p *Policy) WhenAllDown() Says { return p.allDown }

// Source returns the resource that the policy was compiled from. It does not change.
func (p *Policy) Source() *zones.Policy { return p.source }

// first returns the pools of the first step that has any, and whether they answer as if they were healthy. It is find
// without a client: where find draws one of a step's pools, first returns them all.
func (w *walk) first(open openness) (pools []int32, isOpen bool) {
	for w.open = open; w.open <= drained; w.open++ {
		for w.need = enough; w.need <= spares; w.need++ {
			if w.need == anyhow || w.need == little && !w.policy.floors {
				continue
			}
			for i := range w.steps {
				g := &w.steps[i]
				if w.order != nil {
					g = &w.steps[w.order[i]]
				}
				if len(g.members) > 1 && w.need < little && g.atLeast > 0 && !w.suffices(g) {
					continue
				}
				for k := range g.members {
					if pool, _ := w.there(&g.members[k], -1); pool != nil {
						pools = append(pools, g.members[k].pool)
					}
				}
				if pools != nil {
					slices.Sort(pools)
					return pools, w.open != shut
				}
			}
		}
	}
	return nil, true
}
