package steer

import (
	"reflect"
	"slices"

	"leeward/zones"
)

// Decisions are counted by rule and pool. Each pair that a policy can decide has a number, its cell, so that counting
// is one addition to one place. Cell 0 counts what failed open. Each rule has a cell for answers without a pool
// (NODATA, or what the rule says), and behind it one for each of its pools. Clients for which no rule holds have a run
// as well. A number is an index of Policy.cells, which begins with where the runs are, so a few are not used.

// Cell is what one of a policy's cells counts.
type Cell struct {
	Rule int    // from 0; -1: no rule holds
	When string // the rule's condition in words
	Pool string // "": the answer has nothing of a pool
}

// countBy gives the policy its cells.
func (p *Policy) countBy(source *zones.Policy, w World) {
	names := map[int32]string{}
	for _, name := range source.PoolNames() {
		if n, pool := w.Pool(name); pool != nil {
			names[n] = name
		}
	}
	p.cells = make([]int32, len(p.leads), len(p.leads)+len(p.rules)+len(names)+1)
	for i := range p.leads {
		first := len(p.cells)
		p.cells[i], p.leads[i].cell = int32(first), int32(first)
		p.cells = append(p.cells, -1)
		steps := p.listed.steps
		if i < len(p.rules) {
			steps = p.rules[i].steps
		} else if source.Rules[len(source.Rules)-1].When == nil {
			break // some rule always holds
		}
		for _, g := range steps {
			for _, m := range g.members {
				if !slices.Contains(p.cells[first:], m.pool) {
					p.cells = append(p.cells, m.pool)
					p.counted = append(p.counted, names[m.pool])
				}
			}
		}
		if len(p.cells) > first+1 && p.cells[first+1] == p.leads[i].pool {
			p.leads[i].cell++
		}
	}
	p.cells = slices.Clip(p.cells)
}

// Cells returns how many cells the policy has.
func (p *Policy) Cells() int { return len(p.cells) }

// Cell returns the cell of a decision of the policy, from 1.
//
// Most answers come from the pool that leads their rule. The decision has already read what says so, and so counting
// reads nothing of the policy but its first line.
func (p *Policy) Cell(d *Decision) uint32 {
	if rule := uint(d.Rule); rule < uint(len(p.leads)) {
		if lead := &p.leads[rule]; lead.pool == d.Pool && d.Pool >= 0 {
			return uint32(lead.cell)
		}
	}
	return p.search(d)
}

// search is Cell for any decision.
func (p *Policy) search(d *Decision) uint32 {
	rule := int(d.Rule)
	if rule < 0 {
		rule = len(p.leads) - 1
	}
	first := int(p.cells[rule])
	for at := first + 1; at < len(p.cells) && p.cells[at] >= 0; at++ {
		if p.cells[at] == d.Pool {
			return uint32(at)
		}
	}
	return uint32(first)
}

// CountsPool reports whether a cell counts answers of a pool.
func (p *Policy) CountsPool(name string) bool { return slices.Contains(p.counted, name) }

// EachCell calls f with all cells in use but the first, in order. Cell.When is filled in only with words.
func (p *Policy) EachCell(words bool, f func(number int, c Cell)) {
	rules, named := len(p.leads), 0
	c := Cell{}
	for at := rules; at < len(p.cells); at++ {
		if p.cells[at] < 0 {
			c.Rule = slices.Index(p.cells[:rules], int32(at))
			if c.Rule == rules-1 {
				c.Rule = -1
			}
			switch {
			case !words:
			case c.Rule < 0:
				c.When = "no rule holds"
			default:
				c.When = WhenWords(p.source.Rules[c.Rule].When)
			}
			c.Pool = ""
		} else {
			c.Pool = p.counted[named]
			named++
		}
		f(at, c)
	}
}

// CountsAs reports whether the cells of the policy are those of q: counts of one go on as counts of the other.
func (p *Policy) CountsAs(q *Policy) bool {
	if p.Name != q.Name || len(p.cells) != len(q.cells) || !slices.Equal(p.counted, q.counted) ||
		!slices.Equal(p.cells[:len(p.leads)], q.cells[:len(q.leads)]) {
		return false
	}
	return p.source == q.source || slices.EqualFunc(p.source.Rules, q.source.Rules, func(a, b zones.Rule) bool {
		return reflect.DeepEqual(a.When, b.When)
	})
}
