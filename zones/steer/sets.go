package steer

import (
	"math/bits"
	"slices"

	"leeward/zones"
	"leeward/zones/rr"
)

// SameDuties reports whether the pools that the policy names have the same state in two views.
func (p *Policy) SameDuties(a, b *View) bool {
	if a == b {
		return true
	}
	if a == nil || b == nil {
		return false
	}
	for _, n := range p.pools {
		in := func(v *View) *duty {
			if uint(n) < uint(len(v.pools)) {
				return v.pools[n]
			}
			return nil
		}
		if in(a) != in(b) {
			return false
		}
	}
	return true
}

// Sets calls f with the sets of several addresses that the policy may answer with under a view. Some may come more than
// once. It ends when f returns false. data is count addresses, which last until f returns. Sets that mix addresses of
// two pools, for crowds of clients at the border between them, are left out.
func (p *Policy) Sets(v *View, f func(typ rr.Type, data []byte, count int) bool) {
	for family := V4; family < Name; family++ {
		var done []*table
		put := func(t *table) bool {
			if t == nil || t.len() < 2 || slices.Contains(done, t) {
				return true
			}
			done = append(done, t)
			return p.setsOf(t, func(data []byte) bool { return f(family.Type(), data, len(data)/t.size) })
		}
		for i := range len(p.rules) + 1 {
			r := &p.listed
			if i < len(p.rules) {
				r = &p.rules[i]
			}
			for _, t := range p.tables(v, r, family) {
				if !put(t) {
					return
				}
			}
		}
	}
}

// tables returns the candidates of the rule's pools that are available or, if none is, of all.
func (p *Policy) tables(v *View, r *rule, f Family) (all []*table) {
	for _, open := range []bool{false, true} {
		for _, g := range r.steps {
			for _, m := range g.members {
				pool, l := v.at(m.pool, f)
				t := l.table
				if open && pool != nil {
					t = pool.fallback[f]
				}
				if t != nil && t.len() > 0 {
					all = append(all, t)
				}
			}
		}
		if len(all) > 0 || p.allDown != SaysAddresses {
			break
		}
	}
	return all
}

// setsOf calls f with the sets of one table until f returns false, and reports whether it never did.
func (p *Policy) setsOf(t *table, f func(data []byte) bool) bool {
	n := min(p.Answers, t.len())
	var room [MaxAnswers * 16]byte
	switch {
	case p.Pick == zones.PickAll && t.around == nil:
		return f(t.all(room[:0], 0))
	case p.Pick == zones.PickAll:
		all := t.len()
		if n = min(all, zones.MostAddresses(t.size)); n == all {
			return f(t.around[:n*t.size])
		}
		for i := range all {
			if !f(t.around[i*t.size:][:n*t.size]) {
				return false
			}
		}
		return true
	case n < 2:
		return true
	case !many(t.len(), n):
		return t.combinations(n, f)
	case !p.few: // there are too many
		return true
	case p.Pick == zones.PickSticky || p.Pick == zones.PickLeastLoad:
		for i := range t.len() {
			b, at := room[:0], uint32(i)
			for range n {
				b = t.appendAddr(b, at)
				at = t.after(at)
			}
			if !f(b) {
				return false
			}
		}
		return true
	}
	return t.circled(n, f)
}

// combinations calls f with all sets of k candidates, of which there are few.
func (t *table) combinations(k int, f func(data []byte) bool) bool {
	if t.len() > 64 {
		return true
	}
	var room [MaxAnswers * 16]byte
	end := uint64(1)<<t.len() - 1 // with 64 candidates all bits, as the shift is to 0
	set := uint64(1)<<k - 1
	for {
		b := room[:0]
		for rest := set; rest != 0; rest &= rest - 1 {
			b = t.appendAddr(b, uint32(bits.TrailingZeros64(rest)))
		}
		if !f(b) {
			return false
		}
		low := set & -set // the next number with as many ones (Gosper)
		next := set + low
		if next == 0 {
			return true
		}
		if set = next | (set^next)>>2/low; set > end {
			return true
		}
	}
}

// circled calls f with all sets of k on the circle: they change where an arc begins.
func (t *table) circled(k int, f func(data []byte) bool) bool {
	var chosen [MaxAnswers]uint32
	var room [MaxAnswers * 16]byte
	c := t.circle
	n, rest := c.always(t.weights, k)
	var from uint64
	for i, w := range t.weights {
		if slices.Contains(c.heavy[:n], uint32(i)) {
			continue
		}
		c.set(t.weights, k, n, rest, from*uint64(k-n)%rest, &chosen)
		from += w
		b := room[:0]
		for _, at := range chosen[:k] {
			b = t.appendAddr(b, at)
		}
		if !f(b) {
			return false
		}
	}
	return true
}
