package steer

import (
	"net/netip"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"leeward/geo"
	"leeward/zones"
)

// drawn is a configuration and a set of networks that are not compiled: rules, maps and prefixes are searched one by
// one.
type drawn struct {
	networks []geo.Network
	table    *geo.Table
	world    *world
	policy   *zones.Policy
	near     []netip.Addr // at or beside borders
}

// anyPrefix draws prefixes of any length and parity, around a few places of both families and their ends.
func anyPrefix(t *rapid.T) netip.Prefix {
	around := rapid.SampledFrom([]string{
		"100.64.7.9", "100.64.7.8", "0.0.0.0", "255.255.255.255",
		"2001:db8::9", "2002:6440:709::1", "64:ff9b::6440:709", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	}).Draw(t, "around")
	raw := netip.MustParseAddr(around).AsSlice()
	if at := rapid.IntRange(-1, 8*len(raw)-1).Draw(t, "flipped bit"); at >= 0 {
		raw[at/8] ^= 0x80 >> (at % 8)
	}
	a, _ := netip.AddrFromSlice(raw)
	return netip.PrefixFrom(a, rapid.IntRange(0, a.BitLen()).Draw(t, "length")).Masked()
}

func draw(t *rapid.T) *drawn {
	d := &drawn{world: threeRegions()}
	border := func(p netip.Prefix) {
		end := p.Addr().AsSlice()
		for i := p.Bits(); i < 8*len(end); i++ {
			end[i/8] |= 0x80 >> (i % 8)
		}
		last, _ := netip.AddrFromSlice(end)
		for _, a := range []netip.Addr{p.Addr().Prev(), p.Addr(), last, last.Next()} {
			if a.IsValid() && a.BitLen() == p.Addr().BitLen() && !a.Is4In6() { // the latter are located as IPv4
				d.near = append(d.near, a)
			}
		}
	}
	list := func(label string, most int) []netip.Prefix {
		all := rapid.SliceOfNDistinct(rapid.Custom(anyPrefix), 0, most, rapid.ID).Draw(t, label)
		for _, p := range all {
			border(p)
		}
		return all
	}
	for _, p := range list("networks", 12) {
		d.networks = append(d.networks, geo.Network{
			Prefix: p, ASN: rapid.Uint32Range(0, 3).Draw(t, "asn"),
			Location: geo.Location{Country: rapid.SampledFrom([]string{"", "DE", "FR", "US"}).Draw(t, "country")},
		})
	}
	var err error
	if d.table, err = geo.Compile(d.networks); err != nil {
		t.Fatal(err)
	}
	d.policy = &zones.Policy{Name: "www.example.test"}
	if rapid.Bool().Draw(t, "sticky") {
		d.policy.Pick = zones.PickSticky
	}
	for range rapid.IntRange(1, 4).Draw(t, "rules") {
		r := zones.Rule{Failover: steps(rapid.Permutation([]string{"www-eu", "www-us", "www-ap"}).Draw(t, "order")...)}
		if rapid.IntRange(0, 5).Draw(t, "conditional") > 0 {
			some := func(label string, from ...string) []string {
				return rapid.SliceOfNDistinct(rapid.SampledFrom(from), 0, 2, rapid.ID).Draw(t, label)
			}
			r.When = &zones.When{
				Prefixes:   list("when", 4),
				Countries:  some("countries", "DE", "FR", "US"),
				Continents: some("continents", "EU", "NA"),
				ASNs:       rapid.SliceOfNDistinct(rapid.Uint32Range(1, 3), 0, 2, rapid.ID).Draw(t, "asns"),
			}
		}
		d.policy.Rules = append(d.policy.Rules, r)
	}
	if rapid.Bool().Draw(t, "map") {
		m := &zones.Map{Map: "m", Prefixes: map[string][]string{}}
		regions := func() []string {
			all := rapid.Permutation([]string{"eu", "us", "ap"}).Draw(t, "regions")
			return all[:rapid.IntRange(1, 2).Draw(t, "of them")]
		}
		for _, p := range list("map", 8) {
			m.Prefixes[p.String()] = regions()
		}
		if rapid.Bool().Draw(t, "map by AS") {
			m.Prefixes["AS2"] = regions()
		}
		d.world.maps["m"], d.policy.Map = m, "m"
	}
	return d
}

// network returns the longest of the networks that contain an address.
func (d *drawn) network(a netip.Addr) (n geo.Network) {
	a, _ = geo.Inner(a)
	for _, other := range d.networks {
		if other.Prefix.Contains(a) && (!n.Prefix.IsValid() || other.Prefix.Bits() > n.Prefix.Bits()) {
			n = other
		}
	}
	return n
}

// rule returns the first rule whose conditions include the client, -1 if there is none.
func (d *drawn) rule(a netip.Addr) int {
	n := d.network(a)
	continent := map[string]string{"DE": "EU", "FR": "EU", "US": "NA"}[n.Location.Country]
	return slices.IndexFunc(d.policy.Rules, func(r zones.Rule) bool {
		w := r.When
		return w == nil || slices.ContainsFunc(w.Prefixes, func(p netip.Prefix) bool { return p.Contains(a) }) ||
			slices.Contains(w.Countries, n.Location.Country) || slices.Contains(w.Continents, continent) ||
			slices.Contains(w.ASNs, n.ASN)
	})
}

// regions returns what the map puts first, by its longest prefix or else by AS number.
func (d *drawn) regions(a netip.Addr) []string {
	if d.policy.Map == "" {
		return nil
	}
	var longest netip.Prefix
	all := d.world.maps["m"].Prefixes
	for key := range all {
		p, err := netip.ParsePrefix(key)
		if err == nil && p.Contains(a) && (!longest.IsValid() || p.Bits() > longest.Bits()) {
			longest = p
		}
	}
	if longest.IsValid() {
		return all[longest.String()]
	}
	return all["AS"+strconv.Itoa(int(d.network(a).ASN))]
}

// pool returns the pool that answers if everything is up: in the first region of the map that has one, or the rule's
// first.
func (d *drawn) pool(a netip.Addr) string {
	order := []string{}
	if rule := d.rule(a); rule >= 0 {
		for _, s := range d.policy.Rules[rule].Failover {
			order = append(order, s.Pools[0].Pool)
		}
	} else {
		for _, r := range d.policy.Rules {
			for _, s := range r.Failover {
				order = append(order, s.Pools[0].Pool)
			}
		}
	}
	for _, region := range d.regions(a) {
		if slices.Contains(order, "www-"+region) {
			return "www-" + region
		}
	}
	return order[0]
}

// decisions compares decisions with the list: the rule and the pool, at every border and on every path that a look-up
// can take. Explaining must say the same, and the decision must hold at the borders within the scope.
func decisions(t *rapid.T) {
	d := draw(t)
	c := NewCompiler(d.table)
	switch rapid.IntRange(0, 2).Draw(t, "memory") {
	case 1:
		c.areas = 0
	case 2:
		c.areas, c.budget = 0, 0
	}
	p, err := c.Policy(d.policy, d.world.refer())
	if err != nil {
		t.Fatal(err)
	}
	v := NewView(d.world.program(), Sight{State: allUp}, nil)
	dice := rapid.Uint64().Draw(t, "dice")
	decide := func(a netip.Addr) (d Decision) {
		p.Decide(v, &Request{Client: a, Random: dice}, &d)
		return d
	}
	clients := append(slices.Clone(d.near), netip.MustParseAddr("100.64.7.9"),
		netip.MustParseAddr("255.255.255.255"), netip.IPv6Unspecified())
	for _, a := range clients {
		p.Aim(a)
		p.Reach(a)
		p.Lead(v, a, V4)
		got := decide(a)
		if want := d.rule(a); int(got.Rule) != want {
			t.Fatalf("%s: rule %d, want %d", a, got.Rule, want)
		}
		if pool, want := d.world.pools[got.Pool].Pool, d.pool(a); pool != want {
			t.Fatalf("%s: pool %s, want %s", a, pool, want)
		}
		if int(got.Scope) > a.BitLen() {
			t.Fatalf("%s: scope /%d", a, got.Scope)
		}
		e := p.Explain(v, &Request{Client: a, Random: dice})
		if e.Rule != int(got.Rule) || e.Scope != got.Scope || e.Pool != d.world.pools[got.Pool].Pool {
			t.Fatalf("%s: decided %+v, explained %+v", a, got, e)
		}
		scope := netip.PrefixFrom(a, int(got.Scope))
		for _, b := range clients {
			if !scope.Contains(b) {
				continue
			}
			other := decide(b)
			if other.Rule != got.Rule || other.Pool != got.Pool || string(other.Data) != string(got.Data) {
				t.Fatalf("%s says scope /%d and %s, but %s says %s", a, got.Scope, d.pool(a), b, d.pool(b))
			}
		}
	}
}

func TestDecisionsAreTheList(t *testing.T) { rapid.Check(t, decisions) }

// FuzzDecisions draws the same from the fuzzer's bytes.
func FuzzDecisions(f *testing.F) {
	seed := make([]byte, 4096)
	for i := range 16 {
		for k := range seed {
			seed[k] = byte((k + 1) * (2*i + 1) * 0x9e37 >> (i % 8))
		}
		f.Add(slices.Clone(seed))
	}
	f.Fuzz(rapid.MakeFuzz(decisions))
}
