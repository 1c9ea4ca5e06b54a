package steer

import (
	"cmp"
	"math/bits"
	"net/netip"

	"leeward/zones"
	"leeward/zones/rr"
)

// table holds candidates, one for each address, laid out for picking by weight in constant time: an alias table (Walker
// 1974, Vose 1991). The caller has divided each endpoint's weight evenly among its addresses.
type table struct {
	entries  []entry
	size     int       // of an address, octets: 4 or 16
	names    []rr.Name // for the family Name, instead of addresses
	around   []byte    // more than MaxAnswers addresses: all of them twice, so that any rotation is one slice
	until    until     // the earliest end of the addresses that came from hostnames
	weights  []uint64
	shares   []uint64 // weights by load, for pick: least-load; nil: as weights
	seeds    []uint64 // for rendezvous hashing; an endpoint's k-th IPv4 and k-th IPv6 address have the same seed
	endpoint []int32  // index in the pool
	circle   *circle  // of addresses, if they are more than mostFree
}

// entry is what a pick reads of one candidate, all in one place.
type entry struct {
	limit uint32 // of the alias table: of 2³² draws, up to limit pick this candidate and the rest pick other
	other uint32
	addr  [16]byte // network byte order; an IPv4 address has the first four octets
}

// candidate is one address, or hostname, that may be in answers.
type candidate struct {
	addr     netip.Addr
	weight   uint64
	share    uint64 // weight by load; 0: as weight
	seed     uint64
	endpoint int32
	name     rr.Name // for the family Name, instead of addr
	until    until
}

// newTable lays candidates out. Candidates of weight 0 are left out, unless all have weight 0: they then weigh the
// same.
func newTable(cs []candidate) *table {
	var sum uint64
	for _, c := range cs {
		sum += c.weight
	}
	t := &table{}
	for _, c := range cs {
		w := c.weight
		if sum == 0 {
			w = 1
		}
		if w == 0 {
			continue
		}
		var e entry
		if c.name != "" {
			t.names = append(t.names, c.name)
		} else {
			t.size = copy(e.addr[:], c.addr.AsSlice())
		}
		t.entries = append(t.entries, e)
		t.until = t.until.and(c.until)
		t.weights = append(t.weights, w)
		if c.share != 0 && c.share != w && t.shares == nil {
			t.shares = append(make([]uint64, 0, len(cs)), t.weights[:len(t.weights)-1]...)
		}
		if t.shares != nil {
			t.shares = append(t.shares, cmp.Or(c.share, w))
		}
		t.seeds = append(t.seeds, c.seed)
		t.endpoint = append(t.endpoint, c.endpoint)
	}
	t.alias()
	if t.size > 0 && t.len() > mostFree {
		t.circle = newCircle(t.weights)
	}
	if t.size > 0 && t.len() > MaxAnswers {
		for range 2 {
			for i := range t.entries {
				t.around = t.appendAddr(t.around, uint32(i))
			}
		}
	}
	return t
}

func (t *table) len() int { return len(t.entries) }

// addr returns candidate i's address.
func (t *table) addr(i uint32) []byte { return t.entries[i].addr[:t.size] }

// alias fills in limits and others in linear time.
func (t *table) alias() {
	n := t.len()
	var sum uint64
	for _, w := range t.weights {
		sum += w
	}
	scaled := make([]float64, n) // weight as a multiple of the mean
	var small, large []int
	put := func(i int) {
		if scaled[i] < 1 {
			small = append(small, i)
		} else {
			large = append(large, i)
		}
	}
	for i, w := range t.weights {
		scaled[i] = float64(w) * float64(n) / float64(sum)
		put(i)
	}
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small, large = small[:len(small)-1], large[:len(large)-1]
		t.entries[s].limit, t.entries[s].other = uint32(scaled[s]*(1<<32)), uint32(l)
		scaled[l] -= 1 - scaled[s]
		put(l)
	}
	for _, i := range append(small, large...) {
		t.entries[i].limit, t.entries[i].other = 1<<32-1, uint32(i)
	}
}

// pick returns one candidate for 64 random bits.
func (t *table) pick(random uint64) uint32 { return pick(t.entries, random) }

func pick(entries []entry, random uint64) uint32 {
	hi, lo := bits.Mul64(random, uint64(len(entries)))
	if e := &entries[hi]; uint32(lo>>32) > e.limit {
		return e.other
	}
	return uint32(hi)
}

// appendAddr appends candidate i's address.
func (t *table) appendAddr(b []byte, i uint32) []byte { return append(b, t.addr(i)...) }

// draw appends the addresses of n different candidates, drawn by weight without replacement. n is at most t.len().
func (t *table) draw(b []byte, n int, random uint64) []byte {
	if n == 1 {
		return t.appendAddr(b, t.pick(random))
	}
	var chosen [MaxAnswers]uint32
	state := random
	for k := range n {
		i := t.pick(step(&state))
		for try := 0; within(chosen[:k], i); try++ {
			if try == 8 { // the heavy candidates are taken already: search the rest
				i = t.rest(chosen[:k], step(&state))
				break
			}
			i = t.pick(step(&state))
		}
		chosen[k] = i
		b = t.appendAddr(b, i)
	}
	return b
}

// rest picks by weight among the candidates that are not in chosen.
func (t *table) rest(chosen []uint32, random uint64) uint32 {
	var sum uint64
	for i, w := range t.weights {
		if !within(chosen, uint32(i)) {
			sum += w
		}
	}
	at, _ := bits.Mul64(random, sum)
	for i, w := range t.weights {
		if within(chosen, uint32(i)) {
			continue
		}
		if at < w {
			return uint32(i)
		}
		at -= w
	}
	return 0 // not reached: at is below sum
}

func within(list []uint32, i uint32) bool {
	for _, x := range list {
		if x == i {
			return true
		}
	}
	return false
}

// all returns as many addresses as one answer can hold, beginning at a random one. It appends them to b or, if there
// are more than b has room for, returns part of the table's own list.
func (t *table) all(b []byte, random uint64) []byte {
	n := t.len()
	at, _ := bits.Mul64(random, uint64(n))
	if t.around != nil {
		return t.around[int(at)*t.size:][:min(n, zones.MostAddresses(t.size))*t.size]
	}
	for range n {
		b = t.appendAddr(b, uint32(at))
		if at++; at == uint64(n) {
			at = 0
		}
	}
	return b
}

// sticky appends the n candidates with the best rendezvous scores for a client. With weighted rendezvous hashing,
// adding or losing a candidate moves only its own share of clients (Thaler and Ravishankar 1998, with weights).
func (t *table) sticky(b []byte, n int, client uint64, weights []uint64) []byte {
	var chosen [MaxAnswers]uint32
	for k := range n {
		chosen[k] = t.best(chosen[:k], client, weights)
		b = t.appendAddr(b, chosen[k])
	}
	return b
}

// byLoad returns the weights for pick: least-load.
func (t *table) byLoad() []uint64 {
	if t.shares != nil {
		return t.shares
	}
	return t.weights
}

// best returns the candidate with the best score that is not in chosen.
func (t *table) best(chosen []uint32, client uint64, weights []uint64) uint32 {
	best, lowest := uint32(0), ^uint64(0)
	for i := range weights {
		if within(chosen, uint32(i)) {
			continue
		}
		if s := score(client, t.seeds[i], weights[i]); s < lowest {
			best, lowest = uint32(i), s
		}
	}
	return best
}

// score is -log2(u)/weight in fixed point, where u is uniform and drawn from client and seed. The lowest score wins,
// and each candidate wins in proportion to its weight. It uses integers only, so that all servers on all machines
// agree.
func score(client, seed, weight uint64) uint64 { return negLog2(mix(client^seed)) << 24 / weight }

// negLog2 returns -log2(u/2⁶⁴) with 32 fraction bits, below 2³⁹.
func negLog2(u uint64) uint64 {
	u |= 1
	zeros := uint64(bits.LeadingZeros64(u))
	x := u << zeros >> 32 // the mantissa, 1 to 2, with 31 fraction bits
	// Compute its logarithm bit by bit: square it, and if the result reaches 2 the bit is one (Knuth, TAOCP 1.2.2,
	// exercise 25). The last 16 bits are interpolated linearly.
	var frac uint64
	for bit := 31; bit >= 16; bit-- {
		if x = x * x >> 31; x >= 1<<32 {
			x >>= 1
			frac |= 1 << bit
		}
	}
	frac |= (x - 1<<31) >> 15
	return (zeros+1)<<32 - frac
}

// step advances a splitmix64 generator.
func step(state *uint64) uint64 {
	*state += 0x9e3779b97f4a7c15
	return mix(*state)
}

// mix is the finaliser of splitmix64 (Steele, Lea and Flood 2014): a bijection that spreads every bit over all.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
