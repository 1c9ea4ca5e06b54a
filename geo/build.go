package geo

import "cmp"

// A walk emits the ranges of both families in ascending order, each by its first address and value, beginning with
// address 0 of each family. A range ends where the next of its family begins.
type walk func(v4 func(start uint32, value uint32), v6 func(upper, lower uint64, value uint32)) error

// build makes ranges of what the walk emits, and joins neighbours of equal value. It walks twice, to count and to fill,
// so that it never holds more memory than the result needs: appending would need two to three times as much.
func build(w walk) (*ranges, error) {
	var n4, n6, deep int
	var last4, last6 uint32
	err := w(func(_, value uint32) {
		if n4 == 0 || value != last4 {
			n4++
			last4 = value
		}
	}, func(_, lower uint64, value uint32) {
		if n6 == 0 || value != last6 {
			n6++
			last6 = value
			if lower != 0 {
				deep++
			}
		}
	})
	if err != nil {
		return nil, err
	}

	r := &ranges{
		edges: edges{v4: make([]uint32, 0, n4), v6: make([]uint64, 0, n6)},
		value: make([]uint32, 0, n4+n6),
	}
	if deep > 0 {
		r.deep = make([]depth, 0, deep)
	}
	value4, value6 := r.value[:0:n4], r.value[n4:n4:n4+n6]
	err = w(func(start, value uint32) {
		if n := len(value4); n == 0 || value4[n-1] != value {
			r.v4 = append(r.v4, start)
			value4 = append(value4, value)
		}
	}, func(upper, lower uint64, value uint32) {
		if n := len(value6); n == 0 || value6[n-1] != value {
			if lower != 0 {
				r.deep = append(r.deep, depth{lower, uint32(n)})
			}
			r.v6 = append(r.v6, upper)
			value6 = append(value6, value)
		}
	})
	if err != nil {
		return nil, err
	}
	r.value = r.value[:n4+n6]
	r.index()
	return r, nil
}

// sparse is the number of ranges of a family up to which no index is made: IPv4's index has 65,537 numbers.
const sparse = 4096

// index makes the indexes that searches start from.
func (r *edges) index() {
	r.index4 = indexOf(len(r.v4), func(i int) uint32 { return r.v4[i] })
	r.levels()
}

// indexOf returns, by the upper 16 bits of an address, how many of the n starts are below. It returns nil if n is
// small.
func indexOf(n int, start func(int) uint32) []uint32 {
	if n <= sparse {
		return nil
	}
	index := make([]uint32, 1<<16+1)
	at := 0
	for slot := range index {
		for at < n && uint64(start(at)) < uint64(slot)<<16 {
			at++
		}
		index[slot] = uint32(at)
	}
	return index
}

// levels makes the levels above v6.
func (r *edges) levels() {
	r.levels6 = nil
	for below := r.v6; len(below) > fanout && len(r.v6) > sparse; below = r.levels6[len(r.levels6)-1] {
		level := make([]uint64, 0, (len(below)+fanout-1)/fanout)
		for at := 0; at < len(below); at += fanout {
			level = append(level, below[at])
		}
		r.levels6 = append(r.levels6, level)
	}
}

// overlay joins two sets of ranges: where a has value x and b has value y, the result has choose(x, y).
func overlay(a, b *ranges, choose func(x, y uint32) uint32) (*ranges, error) {
	return build(func(v4 func(uint32, uint32), v6 func(uint64, uint64, uint32)) error {
		sweep(len(a.v4), len(b.v4), func(i, j int) int {
			return cmp.Compare(a.v4[i], b.v4[j])
		}, func(i, j int) {
			v4(max(a.v4[i], b.v4[j]), choose(a.value[i], b.value[j]))
		})
		order := func(i, j int) int {
			return cmp.Or(cmp.Compare(a.v6[i], b.v6[j]), cmp.Compare(a.low(uint32(i)), b.low(uint32(j))))
		}
		sweep(len(a.v6), len(b.v6), order, func(i, j int) {
			value := choose(a.value[len(a.v4)+i], b.value[len(b.v4)+j])
			if order(i, j) >= 0 {
				v6(a.v6[i], a.low(uint32(i)), value)
			} else {
				v6(b.v6[j], b.low(uint32(j)), value)
			}
		})
		return nil
	})
}

// sweep emits, in order, each pair of overlapping ranges from a sequence of n ranges and one of m ranges. order
// compares their starts. Both sequences begin at the same address and end together.
func sweep(n, m int, order func(i, j int) int, emit func(i, j int)) {
	for i, j := 0, 0; ; {
		emit(i, j)
		next := 0
		switch {
		case i+1 == n && j+1 == m:
			return
		case i+1 == n:
			next = 1
		case j+1 == m:
			next = -1
		default:
			next = order(i+1, j+1)
		}
		if next <= 0 {
			i++
		}
		if next >= 0 {
			j++
		}
	}
}

// uniform returns ranges with one value everywhere.
func uniform(value uint32) *ranges {
	return &ranges{edges{v4: []uint32{0}, v6: []uint64{0}}, []uint32{value, value}}
}
