//go:build linux

package lab

import (
	"net"
	"os"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// Place is where a network of the test's clients is.
type Place struct {
	Network, Continent, Country, Subdivision string
	Latitude, Longitude                      float64
}

// WriteCityDatabase writes an .mmdb of the type GeoLite2-City that knows only these places.
func WriteCityDatabase(t testing.TB, file string, places []Place) {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{
		DatabaseType: "GeoLite2-City", RecordSize: 24, IncludeReservedNetworks: true,
		Description: map[string]string{"en": "clients of the integration tests"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range places {
		_, network, err := net.ParseCIDR(p.Network)
		if err != nil {
			t.Fatal(err)
		}
		record := mmdbtype.Map{
			"continent": mmdbtype.Map{"code": mmdbtype.String(p.Continent)},
			"country":   mmdbtype.Map{"iso_code": mmdbtype.String(p.Country)},
			"location": mmdbtype.Map{
				"latitude":  mmdbtype.Float64(p.Latitude),
				"longitude": mmdbtype.Float64(p.Longitude),
			},
		}
		if p.Subdivision != "" {
			record["subdivisions"] = mmdbtype.Slice{mmdbtype.Map{"iso_code": mmdbtype.String(p.Subdivision)}}
		}
		if err := tree.Insert(network, record); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tree.WriteTo(f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
