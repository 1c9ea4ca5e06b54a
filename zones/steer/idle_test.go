package steer

import (
	"net/netip"
	"strings"
	"testing"

	"leeward/geo"
	"leeward/zones"
)

// A condition that no database can meet is reported. One that a network meets, at any level, is not.
func TestIdleConditions(t *testing.T) {
	table := func(n geo.Network) *geo.Table {
		t.Helper()
		n.Prefix = netip.MustParsePrefix("2.0.0.0/8")
		table, err := geo.Compile([]geo.Network{n})
		if err != nil {
			t.Fatal(err)
		}
		return table
	}
	london := geo.Location{Country: "GB", Subdivision: "GB-ENG", Deeper: "GB-LND GB-CMD"}
	when := func(w zones.When) *zones.Policy {
		return &zones.Policy{Name: "www.example.test", Rules: []zones.Rule{
			{When: &w, Failover: steps("www-us")}, {Failover: steps("www-eu")},
		}}
	}
	for _, c := range []struct {
		network geo.Network
		when    zones.When
		says    string // "": nothing
	}{
		{geo.Network{Location: london}, zones.When{Subdivisions: []string{"GB-ENG", "GB-CMD"}}, ""},
		{
			geo.Network{Location: london},
			zones.When{Subdivisions: []string{"GB-ENG", "US-ZZ"}},
			"has a network in US-ZZ",
		},
		{
			geo.Network{Location: geo.Location{Country: "GB"}},
			zones.When{Subdivisions: []string{"GB-ENG"}},
			"give a City database",
		},
		{geo.Network{Location: london}, zones.When{ASNs: []uint32{64500}}, "give an ASN database"},
		{geo.Network{ASN: 64501}, zones.When{ASNs: []uint32{64500}}, ""},
		{geo.Network{}, zones.When{Countries: []string{"DE"}}, ""},
	} {
		got := strings.Join(NewCompiler(table(c.network)).Idle(when(c.when)), "; ")
		if c.says == "" && got != "" || !strings.Contains(got, c.says) {
			t.Errorf("%+v with %+v: %q, want %q", c.when, c.network, got, c.says)
		}
	}
	// And the condition on a deeper level holds.
	for _, code := range []string{"GB-ENG", "GB-LND", "GB-CMD"} {
		w := threeRegions()
		p := compile(t, table(geo.Network{Location: london}), w, when(zones.When{Subdivisions: []string{code}}))
		var d Decision
		p.Decide(NewView(w.program(), Sight{State: allUp}, nil), &Request{Client: netip.MustParseAddr("2.1.2.3")}, &d)
		if d.Rule != 0 {
			t.Errorf("%s: rule %d", code, d.Rule)
		}
	}
}
