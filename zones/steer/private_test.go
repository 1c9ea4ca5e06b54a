package steer

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"leeward/geo"
	"leeward/zones"
)

// A private address has no place of its own. Its resolver's location is used, unless a rule's prefix, a map or an
// operator's own database has the address.
func TestPrivateAddresses(t *testing.T) {
	w := threeRegions()
	w.maps["m"] = &zones.Map{Map: "m", Prefixes: map[string][]string{"192.168.7.0/24": {"ap"}}}
	networks := []geo.Network{
		{
			Prefix: netip.MustParsePrefix("8.0.0.0/8"), Location: geo.Location{Continent: "NA", Country: "US"},
			ASN: 64502,
		},
		{Prefix: netip.MustParsePrefix("7.0.0.0/8"), Location: geo.Location{Continent: "NA", Country: "US"}},
		{Prefix: netip.MustParsePrefix("10.7.0.0/16"), Location: geo.Location{Continent: "EU", Country: "DE"}},
		{Prefix: netip.MustParsePrefix("172.20.0.0/16"), ASN: 64500},
	}
	table, err := geo.Compile(networks)
	if err != nil {
		t.Fatal(err)
	}
	source := &zones.Policy{Name: "www.example.test", Map: "m", Rules: []zones.Rule{
		{
			When:     &zones.When{Prefixes: []netip.Prefix{netip.MustParsePrefix("10.1.2.0/24")}},
			Failover: steps("www-ap", "www-eu"),
		},
		{When: &zones.When{ASNs: []uint32{64502}}, Failover: steps("www-us", "www-ap")},
		{When: &zones.When{Countries: []string{"US"}}, Failover: steps("www-us", "www-ap")},
		{Failover: steps("www-eu", "www-us", "www-ap")},
	}}
	v := NewView(w.program(), Sight{State: allUp}, nil)
	for _, budget := range []int{areaBudget, 0} {
		c := NewCompiler(table)
		c.areas = budget
		p, err := c.Policy(source, w.refer())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			client, resolver string
			pool             int32 // 0: eu, by the last rule; 1: us, where the resolver is; 2: ap, by prefix
			least, most      uint8
		}{
			{"10.9.8.7", "8.8.8.8", 1, 8, 13}, // within what 10.7.0.0/16 and 10.1.2.0/24 leave of 10.0.0.0/8
			{"10.9.8.7", "9.9.9.9", 0, 8, 13},
			{"10.9.8.7", "", 0, 8, 13},
			{"10.1.2.3", "8.8.8.8", 2, 24, 24}, // the rule names it
			// The database says where it is, but only the resolver has an AS number.
			{"10.7.1.1", "8.8.8.8", 1, 8, 16},
			{"10.7.1.1", "7.7.7.7", 0, 16, 16},
			{"10.9.8.7", "7.7.7.7", 1, 8, 13},
			{"192.168.7.1", "8.8.8.8", 2, 24, 24},
			{"192.168.9.1", "8.8.8.8", 1, 16, 21},
			{"172.20.1.1", "8.8.8.8", 1, 12, 16}, // the AS is another one, the country the resolver's
			{"172.31.1.1", "8.8.8.8", 1, 12, 16},
			{"100.100.1.1", "8.8.8.8", 1, 10, 10},
			{"127.0.0.1", "8.8.8.8", 1, 8, 8},
			{"169.254.1.1", "8.8.8.8", 1, 16, 16},
			{"fd00:1::1", "8.8.8.8", 1, 7, 7},
			{"fe80::1", "8.8.8.8", 1, 10, 10},
			{"::1", "8.8.8.8", 1, 128, 128},
			{"192.0.0.1", "8.8.8.8", 0, 1, 16}, // not private
			{"11.0.0.1", "8.8.8.8", 0, 1, 16},
			{"100.0.0.1", "8.8.8.8", 0, 1, 16},
			{"::2", "8.8.8.8", 0, 81, 81}, // no address with an embedded IPv4 address is in this prefix
		} {
			req := Request{Client: netip.MustParseAddr(c.client)}
			if c.resolver != "" {
				req.Resolver = netip.MustParseAddr(c.resolver)
			}
			var d Decision
			p.Decide(v, &req, &d)
			if d.Pool != c.pool || d.Scope < c.least && c.resolver != "" || d.Scope > c.most {
				t.Errorf("%s through %s: pool %d, scope /%d; want %d, /%d to /%d", c.client, c.resolver, d.Pool,
					d.Scope, c.pool, c.least, c.most)
			}
			if x := p.Explain(v, &req); x.Scope != d.Scope || x.Pool != w.pools[d.Pool].Pool {
				t.Errorf("%s through %s: explained as %+v", c.client, c.resolver, x)
			}
		}
	}
}

// Within the scope of a private address all clients get the same, whatever the rules. What the quick test excludes is
// not private.
func TestPrivateScopes(t *testing.T) {
	table := places(t)
	rapid.Check(t, func(t *rapid.T) {
		w := threeRegions()
		source := randomPolicy(t, w)
		source.Rules[0].When = &zones.When{
			Countries: []string{"DE"},
			Prefixes:  []netip.Prefix{netip.MustParsePrefix("10.64.0.0/11")},
		}
		p, err := NewCompiler(table).Policy(source, w.refer())
		if err != nil {
			t.Fatal(err)
		}
		v := NewView(w.program(), Sight{State: allUp}, nil)
		block := rapid.SampledFrom(private[:]).Draw(t, "block")
		client := neighbour(t, block.Addr(), block.Bits())
		if !isPrivate(client) {
			t.Fatalf("%s is private", client)
		}
		req := Request{Client: client, Resolver: randomClient(t), Random: rapid.Uint64().Draw(t, "dice")}
		var d, other Decision
		p.Decide(v, &req, &d)
		for range 10 {
			req.Client = neighbour(t, client, int(d.Scope))
			p.Decide(v, &req, &other)
			if other.Rule != d.Rule || other.Pool != d.Pool || string(other.Data) != string(d.Data) {
				t.Fatalf("%s and %s within /%d differ: %+v %+v", client, req.Client, d.Scope, d, other)
			}
		}
		if any := randomClient(t); isPrivate(any) != slices.ContainsFunc(private[:], func(p netip.Prefix) bool {
			return p.Contains(any)
		}) && !isPrivate(any) {
			t.Fatalf("%s is private", any)
		}
	})
}
