package geo

import (
	"cmp"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

// plain is ranges or areas as a list that is searched from one end to the other. It has no index, no levels, no halves:
// the faster structures are compared with it.
type plain struct {
	starts []netip.Addr // in order, IPv4 first; each family's first is its address 0
	values []uint32
}

// join joins neighbours whose values have the same outcome, as the structures under test do.
func (p plain) join(outcome func(uint32) uint32) (joined plain) {
	for i, start := range p.starts {
		o, n := outcome(p.values[i]), len(joined.starts)
		if n > 0 && joined.values[n-1] == o && joined.starts[n-1].BitLen() == start.BitLen() {
			continue
		}
		joined.starts, joined.values = append(joined.starts, start), append(joined.values, o)
	}
	return joined
}

// find returns the range that contains an address.
func (p plain) find(a netip.Addr) (found int) {
	for i, start := range p.starts {
		if start.BitLen() == a.BitLen() && start.Compare(a) <= 0 {
			found = i
		}
	}
	return found
}

// last returns a range's last address.
func (p plain) last(i int) netip.Addr {
	if i+1 < len(p.starts) && p.starts[i+1].BitLen() == p.starts[i].BitLen() {
		return p.starts[i+1].Prev()
	}
	return last(netip.PrefixFrom(p.starts[i], 0))
}

// span returns the length of the shortest prefix of an address within range i. It tries each.
func (p plain) span(a netip.Addr, i int) int {
	for length := range a.BitLen() {
		prefix, err := a.Prefix(length)
		if err != nil {
			panic(err)
		}
		if p.starts[i].Compare(prefix.Addr()) <= 0 && last(prefix).Compare(p.last(i)) <= 0 {
			return length
		}
	}
	return a.BitLen()
}

// carriers are the prefixes of IPv6 addresses with an embedded IPv4 address.
var carriers = []netip.Prefix{
	netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("2001::/32"), netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("::ffff:0:0/96"),
}

// innerOf returns the address itself, or its embedded IPv4 address, and the number of bits before that.
func innerOf(a netip.Addr) (netip.Addr, int) {
	b := a.As16()
	for i, carrier := range carriers {
		if a.Is4() || !carrier.Contains(a) && !(carrier.Addr().Is4In6() && a.Is4In6()) {
			continue
		}
		switch i {
		case 0:
			return netip.AddrFrom4([4]byte(b[2:6])), 16
		case 1:
			return netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}), 96
		}
		return netip.AddrFrom4([4]byte(b[12:])), 96
	}
	return a, 0
}

// whereabouts returns the range in which an address counts, and its span, if embedded addresses count. A prefix is in
// one range only if all of its addresses have an embedded one, or none has.
func (p plain) whereabouts(a netip.Addr, in int) (int, int) {
	inner, before := innerOf(a)
	if before > 0 {
		in = p.find(inner)
	}
	span := before + p.span(inner, in)
	if before > 0 {
		return in, span
	}
	for _, carrier := range carriers {
		for carrier.Addr().BitLen() == a.BitLen() && netip.PrefixFrom(a, span).Overlaps(carrier) {
			span++
		}
	}
	return in, span
}

// walk is the walk that build needs.
func (p plain) walk(v4 func(uint32, uint32), v6 func(uint64, uint64, uint32)) error {
	for i, start := range p.starts {
		if start.Is4() {
			v4(halves4(start), p.values[i])
			continue
		}
		upper, lower := halves6(start)
		v6(upper, lower, p.values[i])
	}
	return nil
}

func halves4(a netip.Addr) uint32 {
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

func halves6(a netip.Addr) (upper, lower uint64) {
	b := a.As16()
	for i := range 8 {
		upper, lower = upper<<8|uint64(b[i]), lower<<8|uint64(b[8+i])
	}
	return upper, lower
}

// sizes are numbers of ranges around those at which a look-up changes: one range, the widths of levels, the first
// index, and one more level.
var sizes = []int{
	1, 1, 2, 3, 4, 5, 8, 15, 16, 17, 31, 33, 255, 256, 257,
	sparse - 1, sparse, sparse + 1, sparse + fanout, sparse + fanout + 1, fanout * sparse, fanout*sparse + 1,
}

// somePlain draws ranges: for each family as many as one of sizes, crowded so that neighbours are often one address
// long, of every parity, and within one /64.
func somePlain(t *rapid.T) plain {
	var p plain
	random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 4))
	differ := rapid.Bool().Draw(t, "neighbours differ")
	for _, family := range []string{"IPv4", "IPv6"} {
		size := rapid.SampledFrom(sizes).Draw(t, family+" ranges")
		crowd := rapid.SliceOfN(addresses(), 0, min(size, 12)).Draw(t, family+" around")
		draw := func() netip.Addr { return addr4(random.Uint32() >> random.IntN(20)) }
		zero, end := addr4(0), addr4(1<<32-1)
		if family == "IPv6" {
			zero, end = addr6(0, 0), addr6(1<<64-1, 1<<64-1)
			within := random.Uint64() // one /64 with many ranges
			some := random.IntN(4)
			draw = func() netip.Addr {
				switch random.IntN(4) {
				case 0:
					return addr6(random.Uint64()>>3|1<<61, 0)
				case 1:
					return addr6(random.Uint64()>>random.IntN(60), random.Uint64()>>random.IntN(64))
				case 2:
					return addr6(within+uint64(random.IntN(3)), random.Uint64()>>random.IntN(64))
				}
				return addr6(random.Uint64()>>3|1<<61, uint64(some)*random.Uint64())
			}
		}
		seen := map[netip.Addr]bool{zero: true}
		starts := []netip.Addr{zero}
		add := func(a netip.Addr) {
			if a.IsValid() && a.BitLen() == zero.BitLen() && !seen[a] && len(starts) < size {
				seen[a] = true
				starts = append(starts, a)
			}
		}
		if random.IntN(3) == 0 {
			add(end)
		}
		for _, a := range crowd {
			add(a)
			add(a.Next())
			if random.IntN(2) == 0 {
				add(a.Prev())
			}
		}
		for len(starts) < size {
			a := draw()
			add(a)
			for a = a.Next(); random.IntN(3) > 0; a = a.Next() {
				add(a)
			}
		}
		slices.SortFunc(starts, netip.Addr.Compare)
		for i, start := range starts {
			value := uint32(i%5 + 1)
			if !differ {
				value = random.Uint32N(4)
			}
			p.starts, p.values = append(p.starts, start), append(p.values, value)
		}
	}
	return p
}

// probe calls check with addresses at which a look-up could be wrong: around the starts of all ranges, or of a sample
// if there are very many, around both ends of both families, and at random. Each comes with the range that contains it.
func (p plain) probe(t *rapid.T, most int, check func(a netip.Addr, in int)) {
	random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "probes"), 4))
	six := slices.IndexFunc(p.starts, netip.Addr.Is6)
	for i, start := range p.starts {
		if near := min(i, max(i-six, six-i), len(p.starts)-1-i) < fanout; !near && random.IntN(len(p.starts)) > most {
			continue
		}
		check(start, i)
		end := p.last(i)
		check(end, i)
		for _, a := range []netip.Addr{start.Prev(), start.Next(), start.Next().Next(), end.Prev(), end.Next()} {
			if a.IsValid() && a.BitLen() == start.BitLen() {
				// It is in this range or in the next: search from here, so that whole structures can be tested.
				in := i
				for in > 0 && a.Less(p.starts[in]) {
					in--
				}
				for in+1 < len(p.starts) && p.starts[in+1].BitLen() == a.BitLen() && p.starts[in+1].Compare(a) <= 0 {
					in++
				}
				check(a, in)
			}
		}
	}
	ends := []netip.Addr{
		addr4(0), addr4(1), addr4(1<<32 - 2), addr4(1<<32 - 1),
		addr6(0, 0), addr6(0, 1), addr6(1<<64-1, 1<<64-2), addr6(1<<64-1, 1<<64-1),
	}
	for _, a := range append(ends, rapid.SliceOfN(addresses(), 8, 8).Draw(t, "anywhere")...) {
		check(a, p.find(a))
	}
}

// lookups compares the look-ups of ranges with the list.
func lookups(t *rapid.T) {
	p := somePlain(t)
	r, err := build(p.walk)
	if err != nil {
		t.Fatal(err)
	}
	p = p.join(func(value uint32) uint32 { return value })
	if len(p.starts) != r.leaves() {
		t.Fatalf("%d ranges, want %d", r.leaves(), len(p.starts))
	}
	if indexed := len(r.v4) > sparse; indexed != (r.index4 != nil) || len(r.v6) > sparse != (len(r.levels6) > 0) {
		t.Fatalf("%d and %d ranges: the index is %v, levels %d", len(r.v4), len(r.v6), r.index4 != nil, len(r.levels6))
	}
	for i, start := range p.starts {
		if r.start(uint32(i)) != start || r.last(uint32(i)) != p.last(i) || r.value[i] != p.values[i] {
			t.Fatalf("range %d is %s to %s with %d, want %s to %s with %d",
				i, r.start(uint32(i)), r.last(uint32(i)), r.value[i], start, p.last(i), p.values[i])
		}
	}
	p.probe(t, 1<<17, func(a netip.Addr, in int) {
		if got := r.leaf(a); int(got) != in {
			t.Fatalf("%s is in range %d from %s, want %d from %s", a, got, r.start(got), in, p.starts[in])
		}
	})
	if len(p.starts) < 600 {
		for range 100 { // and the list's search from a neighbour with its full search
			a := addresses().Draw(t, "address")
			if got, want := int(r.leaf(a)), p.find(a); got != want {
				t.Fatalf("%s is in range %d, want %d", a, got, want)
			}
		}
	}
}

// outcomes compares the look-ups of areas with the list: the outcome, the scope, and what Aim and Reach return.
func outcomes(t *rapid.T) {
	p := somePlain(t)
	r, err := build(p.walk)
	if err != nil {
		t.Fatal(err)
	}
	outcome := rapid.SliceOfN(rapid.Uint16Range(0, 3), 6, 6).Draw(t, "outcomes")
	if rapid.Bool().Draw(t, "all outcomes differ") {
		outcome = []uint16{0, 1, 2, 1<<16 - 1, 4, 5}
	}
	areas := cut(r, func(value uint32) uint16 { return outcome[value] }, 1<<40)
	holdAreas(t, areas, p.join(func(value uint32) uint32 { return uint32(outcome[value]) }), plain.whereabouts)
}

func holdAreas(t *rapid.T, areas *Areas, p plain, where func(plain, netip.Addr, int) (in, span int)) {
	t.Helper()
	p.probe(t, 100, func(a netip.Addr, in int) {
		in, want := where(p, a, in)
		got, scope := areas.At(a)
		if int(scope) > a.BitLen() {
			t.Fatalf("%s: scope /%d", a, scope)
		}
		if uint32(got) != p.values[in] || int(scope) != want {
			t.Fatalf("%s: outcome %d, scope /%d; want %d, /%d as it is within %s to %s",
				a, got, scope, p.values[in], want, p.starts[in], p.last(in))
		}
		if a.Is4() && len(areas.four) > sparse {
			i := cmp.Compare(uintptr(areas.Reach(a)), uintptr(unsafe.Pointer(&areas.four[0])))
			j := cmp.Compare(uintptr(areas.Reach(a)), uintptr(unsafe.Pointer(&areas.four[len(areas.four)-1])))
			if i < 0 || j > 0 || areas.Aim(a) == nil {
				t.Fatalf("%s: what is looked at ahead is not where the search goes", a)
			}
		}
	})
}

// outcomesOfPrefixes does the same for areas cut by prefixes of all lengths, as in maps and conditions.
func outcomesOfPrefixes(t *rapid.T) {
	var networks []Network
	for i, prefix := range rapid.SliceOfNDistinct(prefixes(), 0, 30, rapid.ID).Draw(t, "prefixes") {
		networks = append(networks, Network{Prefix: prefix, ASN: uint32(rapid.IntRange(0, i+1).Draw(t, "outcome"))})
		if sibling := last(prefix).Next(); sibling.IsValid() && rapid.IntRange(0, 3).Draw(t, "sibling") == 0 {
			next := Network{Prefix: netip.PrefixFrom(sibling, prefix.Bits()), ASN: uint32(i)}
			if next.Prefix == next.Prefix.Masked() {
				networks = append(networks, next)
			}
		}
	}
	value := func(a netip.Addr) uint32 { return longest(networks, a).ASN }
	var p plain
	for _, zero := range []netip.Addr{addr4(0), addr6(0, 0)} {
		edges := []netip.Addr{zero}
		for _, n := range networks {
			for _, a := range []netip.Addr{n.Prefix.Addr(), last(n.Prefix).Next()} {
				if a.IsValid() && a.BitLen() == zero.BitLen() {
					edges = append(edges, a)
				}
			}
		}
		slices.SortFunc(edges, netip.Addr.Compare)
		for _, a := range slices.Compact(edges) {
			p.starts, p.values = append(p.starts, a), append(p.values, value(a))
		}
	}
	var all []netip.Prefix
	for _, n := range networks {
		all = append(all, n.Prefix)
	}
	areas := ByPrefix(all, func(a netip.Addr) uint16 { return uint16(value(a)) })
	holdAreas(t, areas, p.join(func(value uint32) uint32 {
		return value
	}), func(p plain, a netip.Addr, in int) (int, int) {
		return in, p.span(a, in)
	})
}

func TestLookupsAreTheList(t *testing.T)  { rapid.Check(t, lookups) }
func TestOutcomesAreTheList(t *testing.T) { rapid.Check(t, outcomes) }
func TestPrefixesAreTheList(t *testing.T) { rapid.Check(t, outcomesOfPrefixes) }

// FuzzLookups draws the same from the fuzzer's bytes.
func FuzzLookups(f *testing.F) {
	random := rand.New(rand.NewPCG(1, 9))
	for range 20 {
		seed := make([]byte, 4096)
		for i := range seed {
			seed[i] = byte(random.Uint32()) >> random.IntN(8)
		}
		f.Add(seed)
	}
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) {
		rapid.SampledFrom([]func(*rapid.T){lookups, outcomes, outcomesOfPrefixes}).Draw(t, "property")(t)
	}))
}

// Every length and both parities of a prefix's address, each alone and beside its neighbours of one address: everything
// that a map or a condition can name.
func TestAreasOfEveryLength(t *testing.T) {
	for _, address := range []string{
		"100.64.7.9", "100.64.7.10", "0.0.0.0", "0.0.0.1", "255.255.255.255", "255.255.255.254", "::", "::1",
		"2001:db8::9", "2001:db8:0:1::", "2001:db8::ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	} {
		a := netip.MustParseAddr(address)
		for length := range a.BitLen() + 1 {
			prefix, err := a.Prefix(length)
			if err != nil {
				t.Fatal(err)
			}
			areas := ByPrefix([]netip.Prefix{prefix}, func(a netip.Addr) uint16 {
				if prefix.Contains(a) {
					return 7
				}
				return 0
			})
			for _, in := range []netip.Addr{prefix.Addr(), last(prefix), a} {
				if outcome, scope := areas.At(in); outcome != 7 || int(scope) != length {
					t.Errorf("%s in %s: outcome %d, scope /%d", in, prefix, outcome, scope)
				}
			}
			for _, out := range []netip.Addr{prefix.Addr().Prev(), last(prefix).Next()} {
				if !out.IsValid() {
					continue
				}
				if outcome, scope := areas.At(out); outcome != 0 || int(scope) > length || scope == 0 {
					t.Errorf("%s beside %s: outcome %d, scope /%d", out, prefix, outcome, scope)
				}
			}
		}
	}
}
