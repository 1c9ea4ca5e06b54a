//go:build linux

package integration

import (
	"net"
	"os"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// place is where a network of the test's clients is.
type place struct {
	network, continent, country, subdivision string
	latitude, longitude                      float64
}

// writeCityDatabase writes an .mmdb of the type GeoLite2-City that knows these places only.
func writeCityDatabase(t testing.TB, file string, places []place) {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{
		DatabaseType: "GeoLite2-City", RecordSize: 24, IncludeReservedNetworks: true,
		Description: map[string]string{"en": "clients of the integration tests"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range places {
		_, network, err := net.ParseCIDR(p.network)
		if err != nil {
			t.Fatal(err)
		}
		record := mmdbtype.Map{
			"continent": mmdbtype.Map{"code": mmdbtype.String(p.continent)},
			"country":   mmdbtype.Map{"iso_code": mmdbtype.String(p.country)},
			"location":  mmdbtype.Map{"latitude": mmdbtype.Float64(p.latitude), "longitude": mmdbtype.Float64(p.longitude)},
		}
		if p.subdivision != "" {
			record["subdivisions"] = mmdbtype.Slice{mmdbtype.Map{"iso_code": mmdbtype.String(p.subdivision)}}
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
