package steer

import (
	"cmp"
	"math/bits"
	"slices"
)

// Each set of addresses that a signed zone answers needs a signature of its own, and k of n addresses make C(n, k)
// sets. If these are more than fewSets, a policy of a signed zone draws in another way: the candidates lie on a circle,
// each with an arc in proportion to its weight, and k points at equal distances from a random one pick a set
// (systematic sampling, Madow 1949). There are at most n sets then. Each candidate is in an answer, and comes first in
// it, as often as its weight says. But the same candidates always come together, as long as the weights stay the same.

// fewSets is how many sets are few enough to be drawn freely.
const fewSets = 64

// many reports whether k of n make more sets than fewSets.
func many(n, k int) bool {
	if k <= 1 || k >= n {
		return false
	}
	k = min(k, n-k)
	sets := 1
	for i := 1; i <= k; i++ {
		if sets = sets * (n - k + i) / i; sets > fewSets {
			return true
		}
	}
	return false
}

// mostFree is the largest number of candidates of a table without a circle: 4 of 7 are 35 sets, and 4 of 8 are 70.
const mostFree = 7

// circle is where a table's candidates lie.
type circle struct {
	ends  []uint64 // the sum of the weights up to and with each candidate's
	heavy []uint32 // the heaviest first: those that are in each answer of MaxAnswers
}

func newCircle(weights []uint64) *circle {
	c := &circle{ends: make([]uint64, len(weights)), heavy: make([]uint32, len(weights))}
	var sum uint64
	for i, w := range weights {
		sum += w
		c.ends[i], c.heavy[i] = sum, uint32(i)
	}
	slices.SortFunc(c.heavy, func(i, j uint32) int {
		return cmp.Or(cmp.Compare(weights[j], weights[i]), cmp.Compare(i, j))
	})
	always, _ := c.always(weights, min(MaxAnswers, len(weights)-1))
	c.heavy = slices.Clone(c.heavy[:always])
	return c
}

// always returns how many candidates are in every set of k, and the total weight of the others. The first of heavy are
// always in. k is less than the number of candidates, so at least one place is left for the others.
func (c *circle) always(weights []uint64, k int) (n int, rest uint64) {
	rest = c.ends[len(c.ends)-1]
	for n < len(c.heavy) {
		w := weights[c.heavy[n]]
		if w*uint64(k-n) < rest {
			break
		}
		rest -= w
		n++
	}
	return n, rest
}

// set fills in the members of a set of k: first those that are always in, then those at the points. The points begin at
// base, which is below rest: a number of parts of which candidate i has k-n times its weight.
func (c *circle) set(weights []uint64, k, n int, rest, base uint64, chosen *[MaxAnswers]uint32) {
	var over [MaxAnswers]uint32 // those that are always in, as they lie on the circle
	copy(chosen[:n], c.heavy)
	copy(over[:n], c.heavy)
	slices.Sort(over[:n])
	points, passed, low := uint64(k-n), 0, 0
	var skip uint64
	for j := range points {
		at := (base+j*rest)/points + skip
		for passed < n {
			w := weights[over[passed]]
			if at < c.ends[over[passed]]-w {
				break
			}
			at, skip = at+w, skip+w
			passed++
		}
		high := len(c.ends) - 1
		for low < high { // the first that ends after it
			if half := int(uint(low+high) >> 1); c.ends[half] > at {
				high = half
			} else {
				low = half + 1
			}
		}
		chosen[n+int(j)] = uint32(low)
	}
}

// sample appends k addresses of the set at an offset, which is 64 random bits. The weights decide which comes first.
func (t *table) sample(b []byte, k int, offset uint64, random *uint64) []byte {
	var chosen [MaxAnswers]uint32
	n, rest := t.circle.always(t.weights, k)
	base, _ := bits.Mul64(offset, rest)
	t.circle.set(t.weights, k, n, rest, base, &chosen)
	turn, _ := bits.Mul64(step(random), uint64(k-n))
	first := t.leads(n, int(turn), rest, step(random), &chosen)
	b = t.appendAddr(b, chosen[first])
	for i := range k {
		at := i
		if i >= n {
			at = n + (i-n+int(turn))%(k-n)
		}
		if at != first {
			b = t.appendAddr(b, chosen[at])
		}
	}
	return b
}

// leads returns the candidate that comes first in a set: by weight one of those that are always in it, or else the one
// at a random point.
func (t *table) leads(n, turn int, rest, random uint64, chosen *[MaxAnswers]uint32) int {
	if n == 0 {
		return turn
	}
	at, _ := bits.Mul64(random, t.circle.ends[len(t.circle.ends)-1])
	for i, c := range chosen[:n] {
		w := t.weights[c]
		if at < w {
			return i
		}
		at -= w
	}
	return n + turn
}

// ring appends the addresses of the candidate with the best rendezvous score for a client, and of the k-1 after it in
// the order of their seeds.
func (t *table) ring(b []byte, k int, client uint64, weights []uint64) []byte {
	at := t.best(nil, client, weights)
	for range k {
		b = t.appendAddr(b, at)
		at = t.after(at)
	}
	return b
}

// after returns the candidate with the next seed.
func (t *table) after(at uint32) uint32 {
	seed := t.seeds[at]
	next, least := at, at // the next one, and the smallest of all
	for i, s := range t.seeds {
		i := uint32(i)
		above := func(j uint32) bool { return s > t.seeds[j] || s == t.seeds[j] && i > j }
		if (s > seed || s == seed && i > at) && (next == at || !above(next)) {
			next = i
		}
		if !above(least) {
			least = i
		}
	}
	if next == at {
		return least
	}
	return next
}
