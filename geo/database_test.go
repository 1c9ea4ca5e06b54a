package geo

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	"github.com/oschwald/maxminddb-golang/v2"
	"pgregory.net/rapid"
)

type (
	object = mmdbtype.Map
	str    = mmdbtype.String
)

// entry is one network of a database that a test makes. Later ones win.
type entry struct {
	prefix string
	record mmdbtype.DataType
}

// tb is testing.TB or *rapid.T.
type tb interface {
	Helper()
	Fatal(...any)
}

// database makes a database in the MaxMind DB format.
func database(t tb, options mmdbwriter.Options, entries ...entry) []byte {
	t.Helper()
	options.IncludeReservedNetworks = true
	if options.BuildEpoch == 0 {
		options.BuildEpoch = 1_750_000_000
	}
	tree, err := mmdbwriter.New(options)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		p := netip.MustParsePrefix(e.prefix)
		err := tree.Insert(&net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())},
			e.record)
		if aliased := (*mmdbwriter.AliasedNetworkError)(nil); err != nil && !errors.As(err, &aliased) {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := tree.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func city(continent, country, subdivision string, latitude, longitude float64) object {
	o := object{}
	if continent != "" {
		o["continent"] = object{"code": str(continent), "names": object{"en": str("somewhere")}}
	}
	if country != "" {
		o["country"] = object{"iso_code": str(country)}
	}
	if subdivision != "" {
		o["subdivisions"] = mmdbtype.Slice{object{"iso_code": str(subdivision)}, object{"iso_code": str("XX")}}
	}
	if latitude != 0 || longitude != 0 {
		o["location"] = object{"latitude": mmdbtype.Float64(latitude), "longitude": mmdbtype.Float64(longitude)}
	}
	return o
}

func asn(number uint32) object { return object{"autonomous_system_number": mmdbtype.Uint32(number)} }

// put writes a file into a folder of the test's own.
func put(t testing.TB, name string, data []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func openAll(t testing.TB, files ...string) *Table {
	t.Helper()
	table, err := Open(files, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func at(table *Table, address string) Location {
	return table.Locations()[table.LocationOf(table.Locate(netip.MustParseAddr(address)))]
}

func expect(t *testing.T, table *Table, address string, want Location) {
	t.Helper()
	if got := at(table, address); got != want {
		t.Errorf("%s is at %+v, want %+v", address, got, want)
	}
}

func TestCityDatabase(t *testing.T) {
	table := openAll(t, put(t, "City.mmdb", database(t, mmdbwriter.Options{DatabaseType: "GeoLite2-City"},
		entry{"192.0.2.0/24", city("EU", "DE", "BE", 52.5196, 13.4069)},
		entry{"192.0.2.128/25", city("EU", "DE", "BE", 52.4801, 13.4401)}, // rounded to a tenth of a degree
		entry{"198.51.100.0/24", city("NA", "", "", 0, 0)},
		entry{"203.0.113.0/24", city("", "US", "CA", 0, 0)},
		entry{"2001:db8::/32", city("AS", "JP", "13", 35.6895, 139.6917)},
		entry{"2001:db8:0:1:8000::/65", city("", "", "", -33.9, 18.4)},
	)))
	berlin := Location{"EU", "DE", "DE-BE", 52.5, 13.4, true, "DE-XX", false}
	expect(t, table, "192.0.2.1", berlin)
	expect(t, table, "192.0.2.200", berlin)
	if a, b := table.Locate(
		netip.MustParseAddr("192.0.2.0"),
	), table.Locate(netip.MustParseAddr("192.0.2.255")); a != b {
		t.Errorf("networks of one location are two leaves, %d and %d", a, b)
	}
	expect(t, table, "198.51.100.1", Location{Continent: "NA"})
	expect(t, table, "203.0.113.1", Location{"NA", "US", "US-CA", 41.9, -87.7, true, "US-XX", false})
	expect(t, table, "2001:db8::1", Location{"AS", "JP", "JP-13", 35.7, 139.7, true, "JP-XX", false})
	expect(t, table, "2001:db8:0:1:7fff::", Location{"AS", "JP", "JP-13", 35.7, 139.7, true, "JP-XX", false})
	expect(t, table, "2001:db8:0:1:8000::", Location{Latitude: -33.9, Longitude: 18.4, HasPoint: true})
	expect(t, table, "2001:db8:0:2::", Location{"AS", "JP", "JP-13", 35.7, 139.7, true, "JP-XX", false})
	expect(t, table, "10.0.0.1", Location{})
	for _, address := range []string{
		"2002:c000:201::1", "2001:0:1::3fff:fdfe", "64:ff9b::c000:201",
		"::ffff:192.0.2.1",
	} {
		expect(t, table, address, berlin)
	}

	source := table.Sources()[0]
	source.File, source.Loaded = "", time.Time{}
	want := Source{Type: "GeoLite2-City", Gives: "city", Built: time.Unix(1_750_000_000, 0).UTC(), Tells: source.Tells}
	if source != want || source.Networks < 6 {
		t.Errorf("source %+v, want %+v and at least 6 networks", source, want)
	}
}

func TestFlatDatabases(t *testing.T) {
	for name, c := range map[string]struct {
		record object
		want   Location
		asn    uint32
		gives  string
	}{
		"country_code": {
			object{"country_code": str("DE")},
			Location{"EU", "DE", "", 52.5, 13.4, true, "", false},
			0,
			"country",
		},
		"country": {
			object{"country": str("fr"), "continent": str("EU")},
			Location{"EU", "FR", "", 48.9, 2.3, true, "", false},
			0, "country",
		},
		"names and codes": {object{
			"country": str("Japan"), "country_code": str("JP"), "continent": str("Asia"), "continent_code": str("AS"),
			"asn": str("AS64500"), "as_name": str("Example"),
		}, Location{"AS", "JP", "", 35.7, 139.7, true, "", false}, 64500, "country and asn"},
		"a city with numbers": {object{
			"country_code": str("US"), "city": str("X"), "latitude": mmdbtype.Float32(37.77),
			"longitude":   mmdbtype.Float32(-122.42),
			"region_code": str("CA"),
		}, Location{"NA", "US", "US-CA", 37.8, -122.4, true, "", false}, 0, "city"},
		"a city with digits": {object{
			"country": str("ZA"), "region": str("Western Cape"), "lat": str("-33.92"), "lng": str("18.42"),
		}, Location{"AF", "ZA", "", -33.9, 18.4, true, "", false}, 0, "city"},
		"0, 0 is no point": {object{
			"country_code": str("BR"), "latitude": mmdbtype.Float64(0), "longitude": mmdbtype.Float64(0),
		}, Location{"SA", "BR", "", -23.5, -46.6, true, "", false}, 0, "country"},
		"asn alone":  {object{"asn": mmdbtype.Uint32(64501)}, Location{}, 64501, "asn"},
		"an unknown": {object{"country_code": str("ZZ"), "asn": str("64502")}, Location{}, 64502, "asn"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := readLayer(database(t, mmdbwriter.Options{DatabaseType: "whatever"},
				entry{"192.0.2.0/24", c.record}))
			if err != nil {
				t.Fatal(err)
			}
			table, err := join([]*layer{l})
			if err != nil {
				t.Fatal(err)
			}
			expect(t, table, "192.0.2.1", c.want)
			if got, _ := table.ASNOf(netip.MustParseAddr("192.0.2.1")); got != c.asn {
				t.Errorf("AS%d, want AS%d", got, c.asn)
			}
			if got := table.Sources()[0].Gives; got != c.gives {
				t.Errorf("gives %q, want %q", got, c.gives)
			}
		})
	}
}

// Records in the forms that publishers use: nested and flat at once, numbers of any kind, codes that are not countries.
func TestOddRecords(t *testing.T) {
	berlin := Location{"EU", "DE", "", 52.5, 13.4, true, "", false}
	for name, c := range map[string]struct {
		record object
		want   Location
	}{
		"flat country, nested continent": {object{
			"country_code": str("DE"), "continent": object{"code": str("EU")},
			"latitude": mmdbtype.Float64(52.52), "longitude": mmdbtype.Float64(13.41),
		}, berlin},
		"flat country, nested point": {object{
			"country_code": str("DE"), "location": object{"latitude": str("52.5"), "longitude": str("13.4")},
		}, berlin},
		"nested country, flat point": {object{
			"country": object{"code": str("DE")}, "lat": mmdbtype.Float32(52.5), "lon": mmdbtype.Float32(13.4),
		}, berlin},
		"whole degrees": {
			object{"country": object{"iso_code": str("KE")}, "location": object{
				"latitude": mmdbtype.Int32(-1), "longitude": mmdbtype.Uint16(37),
			}},
			Location{"AF", "KE", "", -1, 37, true, "", false},
		},
		"kinds that cannot be meant": {object{
			"country_code": str("DE"), "continent": mmdbtype.Slice{str("x")}, "subdivisions": object{},
			"latitude": object{},
			"location": str("52.5,13.4"), "asn": mmdbtype.Bool(true), "country": mmdbtype.Float64(1),
		}, berlin},
		"EU is no country":    {object{"country_code": str("EU")}, Location{Continent: "EU"}},
		"AP is no country":    {object{"country": object{"iso_code": str("AP")}}, Location{Continent: "AS"}},
		"AN is none any more": {object{"country_code": str("AN")}, Location{Continent: "NA"}},
		"SU is none any more": {object{"country_code": str("SU")}, Location{}},
		"UK is meant as GB":   {object{"country_code": str("uk")}, complete(Location{Country: "GB"})},
		"a code is better than EU": {
			object{"country": object{"iso_code": str("EU")}, "country_code": str("US")},
			complete(Location{Country: "US"}),
		},
		"registered, for want of another": {
			object{"registered_country": object{"iso_code": str("AU")}},
			Location{"OC", "AU", "", -33.9, 151.2, true, "", true},
		},
		"registered elsewhere": {
			object{"registered_country": object{"iso_code": str("AU")}, "country": object{"iso_code": str("DE")}},
			berlin,
		},
		"deeper subdivisions": {
			object{"country_code": str("GB"), "subdivisions": mmdbtype.Slice{
				object{"iso_code": str("ENG")},
				object{"iso_code": str("GB-LND")},
				object{},
				object{"iso_code": str("ZZZ")},
			}},
			Location{"EU", "GB", "GB-ENG", 51.5, -0.1, true, "GB-LND", false},
		},
		"state1, a code": {
			object{"country_code": str("US"), "state1": str("CA")},
			complete(Location{Country: "US", Subdivision: "US-CA"}),
		},
		"state1, with both": {
			object{"country_code": str("US"), "state1": str("US-CA")},
			complete(Location{Country: "US", Subdivision: "US-CA"}),
		},
		"state1, a name": {object{"country_code": str("IN"), "state1": str("Goa")}, complete(Location{Country: "IN"})},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := readLayer(database(t, mmdbwriter.Options{DatabaseType: "odd"},
				entry{"192.0.2.0/24", c.record}, entry{"198.51.100.0/24", object{"country_code": str("FR")}}))
			if err != nil {
				t.Fatal(err)
			}
			table, err := join([]*layer{l})
			if err != nil {
				t.Fatal(err)
			}
			expect(t, table, "192.0.2.1", c.want)
			expect(t, table, "198.51.100.1", complete(Location{Country: "FR"}))
		})
	}
}

// A database has whatever any of its records has, wherever the record is.
func TestAllRecordsAreAsked(t *testing.T) {
	var entries []entry
	for i := range 1000 {
		entries = append(entries, entry{fmt.Sprintf("10.%d.%d.0/24", i/256, i%256), asn(uint32(64500 + i))})
	}
	entries = append(entries, entry{"192.0.2.0/24", city("EU", "DE", "BE", 0, 0)})
	table := openAll(t, put(t, "mixed.mmdb", database(t, mmdbwriter.Options{DatabaseType: "mixed"}, entries...)))
	expect(t, table, "192.0.2.1", Location{"EU", "DE", "DE-BE", 52.5, 13.4, true, "DE-XX", false})
	if got, _ := table.ASNOf(netip.MustParseAddr("10.3.231.1")); got != 64500+999 {
		t.Errorf("AS%d", got)
	}
	want := Tells{Networks: 1001, Countries: 1, Subdivisions: 1, ASNs: 1000}
	if got := table.Sources()[0]; got.Tells != want || got.Gives != "country and asn" {
		t.Errorf("it gives %q, %+v; want %+v", got.Gives, got.Tells, want)
	}
}

// Each field comes from the first file that knows it, as long as the files name one country.
func TestFieldsFromSeveralFiles(t *testing.T) {
	file := func(name string, entries ...entry) string {
		return put(t, name, database(t, mmdbwriter.Options{DatabaseType: name}, entries...))
	}
	countries := file("Country.mmdb",
		entry{"192.0.2.0/26", city("EU", "DE", "", 0, 0)},
		entry{"192.0.2.64/26", object{"country_code": str("EU")}},
		entry{"192.0.2.128/26", object{"registered_country": object{"iso_code": str("AU")}}},
		entry{"192.0.2.192/26", city("EU", "FR", "", 0, 0)},
	)
	cities := file("City.mmdb",
		entry{"192.0.2.0/25", city("EU", "DE", "BY", 48.1, 11.6)},
		entry{"192.0.2.128/25", city("NA", "US", "CA", 37.8, -122.4)},
		entry{"198.51.100.0/24", object{"location": object{
			"latitude":  mmdbtype.Int32(10),
			"longitude": mmdbtype.Int32(20),
		}}},
	)
	more := file("More.mmdb", entry{"198.51.100.0/24", city("AF", "TD", "", 1, 2)})
	table := openAll(t, countries, cities, more)
	for address, c := range map[string]struct {
		location Location
		told     Told
	}{
		"192.0.2.1": {
			Location{"EU", "DE", "DE-BY", 48.1, 11.6, true, "DE-XX", false},
			Told{countries, cities, cities},
		},
		"192.0.2.65": {Location{"EU", "DE", "DE-BY", 48.1, 11.6, true, "DE-XX", false}, Told{cities, cities, cities}},
		"192.0.2.129": {
			Location{"NA", "US", "US-CA", 37.8, -122.4, true, "US-XX", false},
			Told{cities, cities, cities},
		},
		"192.0.2.193":  {complete(Location{Country: "FR"}), Told{Country: countries}}, // California is not in France
		"198.51.100.1": {Location{"AF", "TD", "", 10, 20, true, "", false}, Told{more, "", cities}},
		"203.0.113.1":  {},
	} {
		expect(t, table, address, c.location)
		if got := table.Told(table.LocationOf(table.Locate(netip.MustParseAddr(address)))); got != c.told {
			t.Errorf("%s: told by %+v, want %+v", address, got, c.told)
		}
	}
}

func TestSeveralDatabases(t *testing.T) {
	cities := put(t, "City.mmdb", database(t, mmdbwriter.Options{DatabaseType: "GeoIP2-City"},
		entry{"192.0.2.0/25", city("EU", "DE", "BE", 52.5, 13.4)},
		entry{"192.0.2.128/25", city("EU", "", "", 0, 0)}, // not enough to be the one that knows
		entry{"2001:db8::/33", city("NA", "US", "", 40.7, -74)},
	))
	countries := put(t, "Country.mmdb", database(t, mmdbwriter.Options{DatabaseType: "DBIP-Country-Lite"},
		entry{"192.0.0.0/16", city("", "PL", "", 0, 0)},
		entry{"2001:db8::/32", city("", "CA", "", 0, 0)},
	))
	systems := put(t, "ASN.mmdb", database(t, mmdbwriter.Options{DatabaseType: "GeoLite2-ASN"},
		entry{"192.0.2.64/26", asn(64500)},
		entry{"2001:db8:8000::/34", asn(64501)},
	))
	more := put(t, "MoreASN.mmdb",
		database(t, mmdbwriter.Options{DatabaseType: "ASN"}, entry{"192.0.2.0/24", asn(64502)}))
	table := openAll(t, cities, countries, systems, more)

	berlin, poland := Location{"EU", "DE", "DE-BE", 52.5, 13.4, true, "DE-XX", false}, Location{
		"EU", "PL", "", 52.3,
		21, true, "", false,
	}
	expect(t, table, "192.0.2.0", berlin)
	expect(t, table, "192.0.2.127", berlin)
	expect(t, table, "192.0.2.128", poland)
	expect(t, table, "192.0.1.255", poland)
	expect(t, table, "192.1.0.0", Location{})
	expect(t, table, "2001:db8::", Location{"NA", "US", "", 40.7, -74, true, "", false})
	expect(t, table, "2001:db8:8000::", Location{"NA", "CA", "", 43.7, -79.4, true, "", false})
	for address, want := range map[string]uint32{
		"192.0.2.63": 64502, "192.0.2.64": 64500, "192.0.2.128": 64502, "192.0.3.0": 0, "2001:db8::": 0,
		"2001:db8:8000::1": 64501,
	} {
		if got, _ := table.ASNOf(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s is of AS%d, want AS%d", address, got, want)
		}
	}

	// In the other order the countries win, since they come first.
	expect(t, openAll(t, countries, cities), "192.0.2.0", poland)
	// AS numbers alone leave locations to the embedded table.
	alone := openAll(t, systems)
	if alone.Leaves() < 1000 || alone.ASNLeaves() != 3+3 {
		t.Errorf("%d leaves of locations and %d of AS numbers, want many and 6", alone.Leaves(), alone.ASNLeaves())
	}
}

func TestFlatASNLeavesLocationsToTheEmbeddedTable(t *testing.T) {
	table := openAll(t, put(t, "asn.mmdb", database(t, mmdbwriter.Options{DatabaseType: "asn"},
		entry{"130.149.0.0/16", object{"asn": str("AS680")}})))
	if got := at(table, "130.149.7.201").Country; got != "DE" {
		t.Errorf("country %q, want DE", got)
	}
	if got, _ := table.ASNOf(netip.MustParseAddr("130.149.7.201")); got != 680 {
		t.Errorf("AS%d, want AS680", got)
	}
}

// TestAgreesWithReader compares the table with look-ups by the library that reads the format.
func TestAgreesWithReader(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		options := mmdbwriter.Options{
			DatabaseType:        "GeoLite2-Country",
			IPVersion:           rapid.SampledFrom([]int{4, 6, 6}).Draw(t, "version"),
			RecordSize:          rapid.SampledFrom([]int{24, 28, 32}).Draw(t, "record size"),
			DisableIPv4Aliasing: rapid.Bool().Draw(t, "no aliases"),
		}
		entries := []entry{{"192.0.2.0/24", city("", "DE", "", 0, 0)}} // the writer leaves out copies of the IPv4 tree
		var networks []Network
		for _, p := range rapid.SliceOfN(prefixes(), 1, 30).Draw(t, "prefixes") {
			if options.IPVersion == 4 && p.Addr().Is6() {
				continue
			}
			country := rapid.SampledFrom([]string{"DE", "FR", "US"}).Draw(t, "country")
			entries = append(entries, entry{p.String(), city("", country, "", 0, 0)})
			networks = append(networks, Network{Prefix: p})
		}
		data := database(t, options, entries...)
		db, err := maxminddb.OpenBytes(slices.Clone(data))
		if err != nil {
			t.Fatal(err)
		}
		l, err := readLayer(data)
		if err != nil {
			t.Fatal(err)
		}
		clear(data) // the table must not use it any more
		table, err := join([]*layer{l})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range append(borders(networks), rapid.SliceOfN(addresses(), 50, 50).Draw(t, "addresses")...) {
			inner, _ := innerOf(a)
			if inner.Is6() && (options.IPVersion == 4 || netip.MustParsePrefix("::/96").Contains(a)) {
				continue // the database has no IPv6, or its IPv4 tree is there
			}
			var want string
			if err := db.Lookup(inner).DecodePath(&want, "country", "iso_code"); err != nil {
				t.Fatal(err)
			}
			if got := table.Locations()[table.LocationOf(table.Locate(a))].Country; got != want {
				t.Fatalf("%s is in %q, want %q", a, got, want)
			}
		}
	})
}

// asTold turns locations into what a database would say.
func asTold(locations []Location) (told []place) {
	for _, l := range locations {
		told = append(told, place{Location: l})
	}
	return told
}

func TestOverlayIsFirstThatKnows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := someNetworks().Draw(t, "a"), someNetworks().Draw(t, "b")
		ta, err := Compile(a)
		if err != nil {
			t.Fatal(err)
		}
		tb, err := Compile(b)
		if err != nil {
			t.Fatal(err)
		}
		joined, err := join([]*layer{
			{places: &ta.places, told: asTold(ta.locations), systems: &ta.systems},
			{places: &tb.places, told: asTold(tb.locations), systems: &tb.systems},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, address := range append(borders(append(a, b...)),
			rapid.SliceOfN(addresses(), 30, 30).Draw(t, "addresses")...) {
			inner, _ := innerOf(address)
			x, y := longest(a, inner), longest(b, inner)
			want, wantASN := x.Location.Country, x.ASN
			if want == "" {
				want = y.Location.Country
			}
			if wantASN == 0 {
				wantASN = y.ASN
			}
			if got := joined.Locations()[joined.LocationOf(joined.Locate(address))].Country; got != want {
				t.Fatalf("%s is in %q, want %q", address, got, want)
			}
			if got, _ := joined.ASNOf(address); got != wantASN {
				t.Fatalf("%s is of AS%d, want AS%d", address, got, wantASN)
			}
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	good := database(t, mmdbwriter.Options{DatabaseType: "GeoLite2-Country"},
		entry{"192.0.2.0/24", city("", "DE", "", 0, 0)})
	for name, c := range map[string]struct {
		data []byte
		says string
	}{
		"empty.mmdb":     {nil, "is empty"},
		"gzip.mmdb":      {[]byte("\x1f\x8b\x08..."), "gunzip"},
		"zip.mmdb":       {[]byte("PK\x03\x04..."), "ZIP"},
		"page.mmdb":      {[]byte("<html>not found</html>"), "not a database in the MaxMind DB format"},
		"truncated.mmdb": {good[:len(good)-40], "cut short"},
		"headless.mmdb":  {good[len(good)/2:], "fetch it again"},
		"Anonymous.mmdb": {
			database(t, mmdbwriter.Options{DatabaseType: "GeoIP2-Anonymous-IP"},
				entry{"192.0.2.0/24", object{"is_anonymous": mmdbtype.Bool(true)}}),
			"\"GeoIP2-Anonymous-IP\" that has neither",
		},
		"nothing.mmdb": {database(t, mmdbwriter.Options{DatabaseType: "GeoLite2-City"}), "no network in it"},
		"nowhere.mmdb": {database(t, mmdbwriter.Options{DatabaseType: "GeoLite2-City"},
			entry{"192.0.2.0/24", city("EU", "", "", 0, 0)}), "give a City"},
		"confused.mmdb": {
			database(t, mmdbwriter.Options{},
				entry{"192.0.2.0/24", object{"country": object{"iso_code": mmdbtype.Uint32(7)}}}),
			"its records have country",
		},
		"unmeasured.zip": {bytes.Repeat([]byte{0}, 1<<16), "not a database"},
	} {
		t.Run(name, func(t *testing.T) {
			file := put(t, name, c.data)
			_, err := Open([]string{file}, slog.New(slog.DiscardHandler))
			if err == nil || !strings.HasPrefix(err.Error(), file+": ") || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %q, want one that names the file and says %q", err, c.says)
			}
		})
	}

	folder := t.TempDir()
	missing := filepath.Join(folder, "missing.mmdb")
	_, err := Open([]string{missing, folder, put(t, "good.mmdb", good)}, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), missing+": no such file") ||
		!strings.Contains(err.Error(), folder+": not a regular file: it is a folder") {
		t.Errorf("error %q does not name both files", err)
	}
}
