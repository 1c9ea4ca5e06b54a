package geo

import (
	"net/netip"
	"runtime"
	"testing"

	"github.com/maxmind/mmdbwriter"
)

// FuzzOpen reads anything as a database. Whatever is accepted must be a complete table, and memory stays within what a
// file of that size can need.
func FuzzOpen(f *testing.F) {
	for _, options := range []mmdbwriter.Options{
		{DatabaseType: "GeoLite2-City", RecordSize: 24},
		{DatabaseType: "GeoLite2-ASN", IPVersion: 4, RecordSize: 28},
		{DatabaseType: "flat", RecordSize: 32, DisableIPv4Aliasing: true},
	} {
		record := map[string]object{
			"GeoLite2-City": city("EU", "DE", "BE", 52.5, 13.4), "GeoLite2-ASN": asn(64500),
			"flat": {"country_code": str("DE"), "asn": str("AS64500"), "lat": str("52.5"), "lng": str("13.4")},
		}[options.DatabaseType]
		entries := []entry{{"192.0.2.0/24", record}}
		if options.IPVersion != 4 {
			entries = append(entries, entry{"2001:db8::/65", record})
		}
		f.Add(database(f, options, entries...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		l, err := readLayer(data)
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20+1000*uint64(len(data)) {
			t.Fatalf("%d bytes of memory for a file of %d", grown, len(data))
		}
		if err != nil {
			return
		}
		table, err := join([]*layer{l})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range []netip.Addr{addr4(0), addr4(1<<32 - 1), addr6(0, 0), addr6(1<<64-1, 1<<64-1)} {
			leaf := table.Locate(a)
			if first, last := table.Start(leaf), table.Last(leaf); a.Less(first) || last.Less(a) {
				t.Fatalf("%s is not within its leaf, %s to %s", a, first, last)
			}
			_ = table.Locations()[table.LocationOf(leaf)]
		}
	})
}

func FuzzCompact(f *testing.F) {
	f.Add(countryTable[:1000])
	f.Add(compactMagic)
	f.Fuzz(func(t *testing.T, data string) {
		if l, err := readCompact(data); err == nil {
			if _, err := join([]*layer{l}); err != nil {
				t.Fatal(err)
			}
		}
	})
}
