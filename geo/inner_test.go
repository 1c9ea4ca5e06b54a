package geo

import (
	"net/netip"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

func TestInner(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1":                            "192.0.2.1 at 0",
		"::ffff:192.0.2.1":                     "192.0.2.1 at 96",
		"2002:c000:201::1":                     "192.0.2.1 at 16",  // RFC 3056
		"2001:0:4136:e378:8000:63bf:3fff:fdd2": "192.0.2.45 at 96", // the example of RFC 4380 section 4
		"64:ff9b::192.0.2.33":                  "192.0.2.33 at 96", // RFC 6052 section 2.4
		"64:ff9b:1::192.0.2.33":                "64:ff9b:1::c000:221 at 0",
		"64:ff9b::1:c000:221":                  "64:ff9b::1:c000:221 at 0",
		"2001:1::1":                            "2001:1::1 at 0",
		"2003::":                               "2003:: at 0",
		"::192.0.2.1":                          "::c000:201 at 0",
		"::fffe:c000:201":                      "::fffe:c000:201 at 0",
		"::":                                   ":: at 0",
	} {
		inner, at := Inner(netip.MustParseAddr(address))
		if got := inner.String() + " at " + strconv.Itoa(at); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}

// Scope, which works without areas, agrees with Areas.
func TestScopeIsThatOfAreas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		networks := someNetworks().Draw(t, "networks")
		table, err := Compile(networks)
		if err != nil {
			t.Fatal(err)
		}
		outcome := make([]uint16, len(table.Locations()))
		for i := range outcome {
			outcome[i] = uint16(i)
		}
		areas := table.ByPlace(outcome, 1<<30)
		for _, a := range append(borders(networks), rapid.SliceOfN(addresses(), 30, 30).Draw(t, "addresses")...) {
			leaf := table.Locate(a)
			got := Scope(a, table.Start(leaf), table.Last(leaf))
			if o, scope := areas.At(a); uint32(o) != table.LocationOf(leaf) || int(scope) != got {
				t.Fatalf("%s: location %d, scope /%d; areas say %d, /%d", a, table.LocationOf(leaf), got, o, scope)
			}
		}
	})
}
