package geo

import (
	"math"
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

// addresses draws addresses around a few places, so that prefixes of all lengths overlap and share borders.
func addresses() *rapid.Generator[netip.Addr] {
	return rapid.Custom(func(t *rapid.T) netip.Addr {
		if rapid.Bool().Draw(t, "v4") {
			a := rapid.SampledFrom([]uint32{0, 10 << 24, 0xc0000200, 0xc6336400, 1<<32 - 1}).Draw(t, "around")
			return addr4(a ^ rapid.Uint32().Draw(t, "bits")>>rapid.IntRange(0, 32).Draw(t, "kept"))
		}
		upper := rapid.SampledFrom([]uint64{
			0, 0x20010db8 << 32, 0x2001 << 48, 0x2002_c000_0200 << 16, 0x0064_ff9b << 32, 0x2a00 << 48,
			0x2a00_1450_4001_0800, 1<<64 - 1,
		}).Draw(t, "around")
		upper ^= rapid.Uint64().Draw(t, "bits") >> rapid.IntRange(0, 64).Draw(t, "kept")
		lower := rapid.SampledFrom([]uint64{0, 0xffff << 32, 1 << 63, 1<<64 - 1}).Draw(t, "low")
		lower ^= rapid.Uint64().Draw(t, "lowbits") >> rapid.IntRange(0, 64).Draw(t, "lowkept")
		return addr6(upper, lower)
	})
}

func prefixes() *rapid.Generator[netip.Prefix] {
	return rapid.Custom(func(t *rapid.T) netip.Prefix {
		a := addresses().Draw(t, "address")
		p := netip.PrefixFrom(a, rapid.IntRange(0, a.BitLen()).Draw(t, "bits")).Masked()
		if p.Addr().Is4In6() {
			return netip.PrefixFrom(p.Addr().Unmap(), max(0, p.Bits()-96)).Masked()
		}
		return p
	})
}

func someNetworks() *rapid.Generator[[]Network] {
	return rapid.Custom(func(t *rapid.T) []Network {
		var networks []Network
		for _, p := range rapid.SliceOfNDistinct(prefixes(), 0, 40, rapid.ID).Draw(t, "prefixes") {
			networks = append(networks, Network{
				Prefix:   p,
				Location: Location{Country: rapid.SampledFrom([]string{"", "DE", "FR", "US"}).Draw(t, "country")},
				ASN:      rapid.Uint32Range(0, 3).Draw(t, "asn"),
			})
		}
		return networks
	})
}

// longest finds a network as Compile's comment says, by looking at each.
func longest(networks []Network, a netip.Addr) Network {
	best := Network{}
	for _, n := range networks {
		if n.Prefix.Contains(a) && (!best.Prefix.IsValid() || n.Prefix.Bits() > best.Prefix.Bits()) {
			best = n
		}
	}
	return best
}

// borders returns the addresses where a table could be off by one.
func borders(networks []Network) []netip.Addr {
	all := []netip.Addr{addr4(0), addr4(math.MaxUint32), addr6(0, 0), addr6(math.MaxUint64, math.MaxUint64)}
	for _, n := range networks {
		first, end := n.Prefix.Addr(), last(n.Prefix)
		for _, a := range []netip.Addr{first.Prev(), first, end, end.Next()} {
			if a.IsValid() {
				all = append(all, a)
			}
		}
	}
	return all
}

func TestTableIsLongestPrefix(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		networks := someNetworks().Draw(t, "networks")
		table, err := Compile(networks)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range append(borders(networks), rapid.SliceOfN(addresses(), 50, 50).Draw(t, "addresses")...) {
			inner, _ := innerOf(a)
			want := longest(networks, inner)
			if got := table.Locations()[table.LocationOf(table.Locate(a))]; got.Country != want.Location.Country {
				t.Fatalf("%s is in %q, want %q", a, got.Country, want.Location.Country)
			}
			if got, _ := table.ASNOf(a); got != want.ASN {
				t.Fatalf("%s is of AS%d, want AS%d", a, got, want.ASN)
			}
		}
	})
}

func TestLeavesCoverAndDiffer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table, err := Compile(someNetworks().Draw(t, "networks"))
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []struct {
			name       string
			leaves, v4 int
			start      func(uint32) netip.Addr
			last       func(uint32) netip.Addr
			value      func(uint32) uint32
			leaf       func(netip.Addr) uint32
		}{
			{
				"locations", table.Leaves(), table.V4Leaves(), table.Start, table.Last, table.LocationOf,
				table.places.leaf,
			},
			{
				"AS numbers", table.ASNLeaves(), table.V4ASNLeaves(), table.StartASN, table.LastASN, table.ASNOfLeaf,
				table.systems.leaf,
			},
		} {
			next := addr4(0)
			for leaf := range uint32(part.leaves) {
				if int(leaf) == part.v4 {
					if next.IsValid() {
						t.Fatalf("%s: IPv4 ends before %s", part.name, next)
					}
					next = addr6(0, 0)
				}
				first, last := part.start(leaf), part.last(leaf)
				if first != next {
					t.Fatalf("%s: leaf %d starts at %s, want %s", part.name, leaf, first, next)
				}
				if part.leaf(first) != leaf || part.leaf(last) != leaf {
					t.Fatalf("%s: leaf %d has %s to %s, but these are of %d and %d", part.name, leaf, first, last,
						part.leaf(first), part.leaf(last))
				}
				if leaf > 0 && int(leaf) != part.v4 && part.value(leaf) == part.value(leaf-1) {
					t.Fatalf("%s: leaves %d and %d are not joined", part.name, leaf-1, leaf)
				}
				next = last.Next()
			}
			if next.IsValid() {
				t.Fatalf("%s: IPv6 ends before %s", part.name, next)
			}
		}
	})
}

func TestSpanIsShortest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := prefixes().Draw(t, "range")
		first, end := p.Addr(), last(p)
		if rapid.Bool().Draw(t, "skewed") { // a range that is no prefix
			if other := addresses().Draw(t, "end"); other.BitLen() == first.BitLen() {
				first, end = p.Addr(), other
				if end.Less(first) {
					first, end = end, first
				}
			}
		}
		addr := rapid.SampledFrom([]netip.Addr{first, end}).Draw(t, "addr")
		if a := addresses().Draw(t, "within"); a.BitLen() == first.BitLen() && !a.Less(first) && !end.Less(a) {
			addr = a
		}
		want := addr.BitLen()
		for bits := 0; bits <= addr.BitLen(); bits++ {
			q := netip.PrefixFrom(addr, bits).Masked()
			if !q.Addr().Less(first) && !end.Less(last(q)) {
				want = bits
				break
			}
		}
		if got := Span(addr, first, end); got != want {
			t.Fatalf("Span(%s, %s, %s) = %d, want %d", addr, first, end, got, want)
		}
	})
}

func TestSpanOutside(t *testing.T) {
	a := netip.MustParseAddr("192.0.2.1")
	if got := Span(a, netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.9")); got != 32 {
		t.Errorf("%d bits for an address outside, want 32", got)
	}
}

func TestCompileRefuses(t *testing.T) {
	twice := netip.MustParsePrefix("192.0.2.0/24")
	for what, networks := range map[string][]Network{
		"an invalid prefix":  {{}},
		"IPv4 in IPv6":       {{Prefix: netip.MustParsePrefix("::ffff:192.0.2.0/120")}},
		"a prefix twice":     {{Prefix: twice}, {Prefix: twice}},
		"a point off Earth":  {{Prefix: twice, Location: Location{Latitude: 91, HasPoint: true}}},
		"a point of nothing": {{Prefix: twice, Location: Location{Latitude: math.NaN(), HasPoint: true}}},
	} {
		if _, err := Compile(networks); err == nil {
			t.Errorf("%s is not refused", what)
		}
	}
}

func TestLocateAllocatesNothing(t *testing.T) {
	table, err := Open(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2a00:1450:4001:800::200e")
	var sum uint32
	if n := testing.AllocsPerRun(100, func() {
		sum += table.LocationOf(table.Locate(v4)) + table.LocationOf(table.Locate(v6))
		asn, leaf := table.ASNOf(v6)
		sum += asn + leaf
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		from               string
		lat1, lon1         float64
		lat2, lon2, km, by float64
	}{
		{"Dublin to Frankfurt", 53.35, -6.26, 50.11, 8.68, 1090, 10},
		{"Sydney to Santiago, over the date line", -33.87, 151.21, -33.45, -70.67, 11350, 50},
		{"pole to pole", 90, 0, -90, 123, math.Pi * earthRadius, 1e-6},
		{"to the antipode", 10, 20, -10, -160, math.Pi * earthRadius, 1e-3},
		{"a degree of latitude", 0, 0, 1, 0, 111.195, 0.001},
		{"nowhere", 12.3, 45.6, 12.3, 45.6, 0, 0},
	} {
		there, back := Distance(c.lat1, c.lon1, c.lat2, c.lon2), Distance(c.lat2, c.lon2, c.lat1, c.lon1)
		if math.Abs(there-c.km) > c.by || there != back {
			t.Errorf("%s: %v km there and %v km back, want %v", c.from, there, back, c.km)
		}
	}
}
