package steer

import "math/bits"

// runs stores where, over leaves in address order, an outcome changes: one bit a leaf, set where a run of equal
// outcomes begins. Two levels of summary above make long runs cheap to cross. The run around a leaf is the widest
// address range with the same outcome, and so gives the ECS scope.
type runs struct {
	level [3][]uint64 // level[i+1] has one bit for each word of level[i], set if that word is not zero
	n     uint32
}

// newRuns asks for the outcome of each of n leaves in order. A new run also begins at each of cuts.
func newRuns(n int, outcome func(leaf uint32) uint32, cuts ...int) *runs {
	r := &runs{n: uint32(n)}
	words := n
	for i := range r.level {
		words = (words + 63) / 64
		r.level[i] = make([]uint64, words)
	}
	mark := func(leaf uint32) {
		for i := range r.level {
			r.level[i][leaf/64] |= 1 << (leaf % 64)
			leaf /= 64
		}
	}
	for _, c := range cuts {
		if c < n {
			mark(uint32(c))
		}
	}
	var last uint32
	for leaf := range uint32(n) {
		o := outcome(leaf)
		if leaf == 0 || o != last {
			mark(leaf)
		}
		last = o
	}
	return r
}

// around returns the first leaf of the run that holds leaf, and the first leaf after the run, which is n at the end. If
// r is nil, every leaf is a run of its own.
func (r *runs) around(leaf uint32) (first, next uint32) {
	if r == nil {
		return leaf, leaf + 1
	}
	return r.before(leaf), r.after(leaf)
}

// before returns the last set bit at or before i. There is always one, since leaf 0 begins a run.
func (r *runs) before(i uint32) uint32 {
	if w := r.level[0][i/64] << (63 - i%64); w != 0 {
		return i - uint32(bits.LeadingZeros64(w))
	}
	i /= 64
	for up := 1; up < len(r.level); up++ {
		// Bits strictly before i stand for earlier words of the level below.
		if w := r.level[up][i/64] & (1<<(i%64) - 1); w != 0 {
			i = i/64*64 + uint32(63-bits.LeadingZeros64(w))
			return r.descendLast(up, i)
		}
		i /= 64
	}
	top := len(r.level) - 1
	for i > 0 {
		i--
		if w := r.level[top][i]; w != 0 {
			return r.descendLast(top, i*64+uint32(63-bits.LeadingZeros64(w)))
		}
	}
	return 0
}

// descendLast follows bit i of a level down to the last set bit under it.
func (r *runs) descendLast(level int, i uint32) uint32 {
	for level--; level >= 0; level-- {
		i = i*64 + uint32(63-bits.LeadingZeros64(r.level[level][i]))
	}
	return i
}

// after returns the first set bit after i, or n.
func (r *runs) after(i uint32) uint32 {
	for up := range r.level {
		if i%64 != 63 {
			if w := r.level[up][i/64] & (^uint64(0) << (i%64 + 1)); w != 0 {
				return r.descendFirst(up, i/64*64+uint32(bits.TrailingZeros64(w)))
			}
		}
		i /= 64
	}
	top := len(r.level) - 1
	for i++; int(i) < len(r.level[top]); i++ {
		if w := r.level[top][i]; w != 0 {
			return r.descendFirst(top, i*64+uint32(bits.TrailingZeros64(w)))
		}
	}
	return r.n
}

// descendFirst follows bit i of a level down to the first set bit under it.
func (r *runs) descendFirst(level int, i uint32) uint32 {
	for level--; level >= 0; level-- {
		i = i*64 + uint32(bits.TrailingZeros64(r.level[level][i]))
	}
	return i
}
