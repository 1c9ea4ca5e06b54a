package geo

import (
	"bytes"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
	"pgregory.net/rapid"
)

func TestEmbedded(t *testing.T) {
	if size := len(countryTable); size >= 1<<20 {
		t.Errorf("%d bytes compiled in, want less than 1 MiB", size)
	}
	table, err := Open(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	source := table.Sources()[0]
	if source.File != "(built in)" || source.Gives != "country" || source.Built.Year() < 2026 {
		t.Errorf("source %+v", source)
	}
	countries := 0
	for number, l := range table.Locations() {
		if number == 0 {
			if l != (Location{}) {
				t.Errorf("location 0 is %+v", l)
			}
			continue
		}
		if l.Country == "BV" || l.Country == "HM" || l == (Location{Continent: "NA"}) {
			// no zone in tzdata, or no country any more
			continue
		}
		countries++
		if !KnownCountry(l.Country) || !KnownContinent(l.Continent) || !l.HasPoint {
			t.Errorf("location %d is %+v, want a known country, its continent and its point", number, l)
		}
	}
	if countries < 230 {
		t.Errorf("%d countries, want 230 at least", countries)
	}
	// Networks that have been in one place for decades.
	for address, want := range map[string]Location{
		"18.7.22.83":          {"NA", "US", "", 41.9, -87.7, true, "", false},  // MIT
		"130.149.7.201":       {"EU", "DE", "", 52.5, 13.4, true, "", false},   // TU Berlin
		"133.11.0.1":          {"AS", "JP", "", 35.7, 139.7, true, "", false},  // University of Tokyo
		"200.17.50.1":         {"SA", "BR", "", -23.5, -46.6, true, "", false}, // RNP
		"146.231.1.1":         {"AF", "ZA", "", -26.3, 28, true, "", false},    // Rhodes University
		"150.203.1.1":         {"OC", "AU", "", -33.9, 151.2, true, "", false}, // ANU
		"2001:638::1":         {"EU", "DE", "", 52.5, 13.4, true, "", false},   // DFN
		"2001:420::1":         {"NA", "US", "", 41.9, -87.7, true, "", false},  // Cisco
		"10.1.2.3":            {},
		"127.0.0.1":           {},
		"192.0.2.1":           {},
		"fe80::1":             {},
		"::1":                 {},
		"255.255.255.255":     {},
		"ffff:ffff::ffff:fff": {},
	} {
		expect(t, table, address, want)
	}
}

// TestEmbeddedIsTheDatabase compares with the database that the embedded table was made from, if that is at hand.
func TestEmbeddedIsTheDatabase(t *testing.T) {
	file := os.Getenv("LEEWARD_TEST_COUNTRIES")
	if file == "" {
		t.Skip("LEEWARD_TEST_COUNTRIES does not name the database")
	}
	table, err := Open(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	db, err := maxminddb.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	networks := 0
	for network := range db.Networks() {
		var want string
		if err := network.DecodePath(&want, "country_code"); err != nil {
			t.Fatal(err)
		}
		p := network.Prefix()
		if p.Bits() > 64 { // the embedded table has the country of the /64's first address
			continue
		}
		networks++
		for _, a := range []netip.Addr{p.Addr(), last(p)} {
			if p.Addr().Is6() {
				a, _ = netip.AddrFromSlice(append(a.AsSlice()[:8], make([]byte, 8)...))
			}
			if got := table.Locations()[table.LocationOf(table.Locate(a))].Country; got != want {
				t.Fatalf("%s of %s is in %q, want %q", a, p, got, want)
			}
		}
	}
	t.Logf("%d networks agree", networks)
}

func TestCompactKeepsCountries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		networks := someNetworks().Draw(t, "networks")
		table, err := Compile(networks)
		if err != nil {
			t.Fatal(err)
		}
		built := time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "built"), 0).UTC()
		var b bytes.Buffer
		if err := table.WriteCompact(&b, built); err != nil {
			t.Fatal(err)
		}
		l, err := readCompact(b.String())
		if err != nil {
			t.Fatal(err)
		}
		if !l.source.Built.Equal(built) {
			t.Fatalf("built %v, want %v", l.source.Built, built)
		}
		again, err := join([]*layer{l})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range append(borders(networks), rapid.SliceOfN(addresses(), 30, 30).Draw(t, "addresses")...) {
			asked := a
			if a.Is6() {
				a, _ = netip.AddrFromSlice(append(a.AsSlice()[:8], make([]byte, 8)...))
			}
			if _, within := innerOf(asked); within > 0 || slices.ContainsFunc(carriers, func(p netip.Prefix) bool {
				return p.Contains(a)
			}) {
				continue // its embedded IPv4 address counts, or the /64's first address
			}
			want := table.Locations()[table.LocationOf(table.Locate(a))].Country
			if got := again.Locations()[again.LocationOf(again.Locate(asked))].Country; got != want {
				t.Fatalf("%s is in %q, want %q", asked, got, want)
			}
		}
	})
}

func TestCompactRefusesDamage(t *testing.T) {
	table, err := Compile([]Network{
		{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Location: Location{Country: "DE"}},
		{Prefix: netip.MustParsePrefix("2001:db8::/32"), Location: Location{Country: "FR"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := table.WriteCompact(&b, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	for n := range b.Len() - 5 { // DEFLATE ends with an empty block of 5 octets
		if _, err := readCompact(b.String()[:n]); err == nil {
			t.Errorf("the first %d of %d bytes are not refused", n, b.Len())
		}
	}
}
