package steer

import (
	"math/bits"
	"net/netip"
	"slices"

	"leeward/zones/rr"
)

// EverySet calls f with the sets of several addresses that the policy may answer with, whatever is up: Sets in every
// state of each of its pools. If a pool has many states, those with the fewest addresses down come first. For one
// family there are at most the sets of mostStates states, and at most mostSets in all. Weights are those of the
// configuration. A load that moves weights may make other sets of a circle, which are missing here. EverySet ends when
// f returns false. data is count addresses, which last until f returns.
func (p *Policy) EverySet(program *Program, f func(typ rr.Type, data []byte, count int) bool) {
	for family := V4; family < Name; family++ {
		var done []int32
		told := map[string]bool{}
		for _, n := range p.pools {
			pool := program.at(n)
			if pool == nil || slices.Contains(done, n) {
				continue
			}
			done = append(done, n)
			if !p.everySetOf(pool, family, func(t *table, data []byte) bool {
				width := t.size
				key := sortedSet(data, width)
				if told[key] {
					return true
				}
				if len(told) == mostSets {
					return true
				}
				told[key] = true
				return f(family.Type(), data, len(data)/width)
			}) {
				return
			}
		}
	}
}

// Others calls f with the addresses of a family that the policy could answer with under a view, then with those that
// are not available. Some may come more than once. It ends when f returns false.
func (p *Policy) Others(v *View, program *Program, family Family, f func(address []byte) bool) {
	for i := range len(p.rules) + 1 {
		r := &p.listed
		if i < len(p.rules) {
			r = &p.rules[i]
		}
		for _, t := range p.tables(v, r, family) {
			for k := range t.len() {
				if !f(t.addr(uint32(k))) {
					return
				}
			}
		}
	}
	more := true
	p.Singles(program, func(typ rr.Type, data []byte) {
		more = more && (typ != family.Type() || f(data))
	})
}

// mostStates is how many states of a pool's addresses of a family are looked at. That is every state of eight
// addresses, or each state in which one of 256 addresses is down. mostSets is how many sets a policy and family have
// for them.
const (
	mostStates = 256
	mostSets   = 1024
)

func (p *Policy) everySetOf(pool *Pool, family Family, f func(*table, []byte) bool) bool {
	all := pool.candidates(family, func(int, netip.Addr) bool { return true })
	if len(all) < 2 {
		return true
	}
	index := map[place]int{}
	for i := range all {
		index[place{int(all[i].endpoint), all[i].addr}] = i
	}
	states := 0
	for down := range subsets(len(all)) {
		if states++; states > mostStates {
			break
		}
		up := make([]candidate, 0, len(all))
		up = append(up, pool.candidates(family, func(e int, a netip.Addr) bool {
			i, known := index[place{e, a}]
			return !known || !slices.Contains(down, i)
		})...)
		if len(up) < 2 {
			continue
		}
		t := newTable(up)
		if t.len() > 1 && !p.setsOf(t, func(data []byte) bool { return f(t, data) }) {
			return false
		}
	}
	return true
}

// subsets yields the subsets of n things, the smallest first, as lists that last until the next one. For more than 64
// things it leaves out subsets of more than one.
func subsets(n int) func(yield func([]int) bool) {
	return func(yield func([]int) bool) {
		if !yield(nil) {
			return
		}
		for i := range n {
			if !yield([]int{i}) {
				return
			}
		}
		if n > 64 {
			return
		}
		room := make([]int, 0, n)
		for k := 2; k < n; k++ {
			end := uint64(1)<<n - 1
			for set := uint64(1)<<k - 1; ; {
				room = room[:0]
				for rest := set; rest != 0; rest &= rest - 1 {
					room = append(room, bits.TrailingZeros64(rest))
				}
				if !yield(room) {
					return
				}
				low := set & -set // the next number with as many ones (Gosper)
				next := set + low
				if next == 0 {
					break
				}
				if set = next | (set^next)>>2/low; set > end {
					break
				}
			}
		}
	}
}

// sortedSet returns a set of addresses as one text, whatever their order.
func sortedSet(data []byte, width int) string {
	all := make([]string, 0, len(data)/width)
	for at := 0; at < len(data); at += width {
		all = append(all, string(data[at:at+width]))
	}
	slices.Sort(all)
	key := make([]byte, 0, len(data))
	for _, a := range all {
		key = append(key, a...)
	}
	return string(key)
}
