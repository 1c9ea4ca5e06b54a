package geo

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	"github.com/oschwald/maxminddb-golang/v2"
	"pgregory.net/rapid"
)

// The fast reader finds the same in a record as MaxMind's library does, whatever else is in the record.
func TestStandardRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		code := func(what string) mmdbtype.Map {
			m := mmdbtype.Map{}
			if c := rapid.SampledFrom([]string{"DE", "FR", "BE", ""}).Draw(t, what); c != "" {
				m["iso_code"], m["code"] = mmdbtype.String(c), mmdbtype.String(c)
			}
			return m
		}
		record := mmdbtype.Map{}
		for _, field := range []mmdbtype.String{"country", "registered_country", "continent"} {
			if rapid.Bool().Draw(t, string(field)) {
				record[field] = code(string(field))
			}
		}
		var levels mmdbtype.Slice
		for range rapid.IntRange(0, 4).Draw(t, "levels") {
			levels = append(levels, code("level"))
		}
		record["subdivisions"] = levels
		location := mmdbtype.Map{}
		for _, axis := range []mmdbtype.String{"latitude", "longitude"} {
			switch rapid.IntRange(0, 3).Draw(t, string(axis)) {
			case 0:
			case 1:
				location[axis] = mmdbtype.Int32(7)
			default:
				location[axis] = mmdbtype.Float64(rapid.Float64Range(-90, 90).Draw(t, "degrees"))
			}
		}
		record["location"] = location
		if rapid.Bool().Draw(t, "flat too") {
			record["country_code"], record["region_code"] = mmdbtype.String("US"), mmdbtype.String("CA")
			record["lat"] = mmdbtype.Float64(1)
		}
		if n := rapid.Uint32Range(0, 3).Draw(t, "AS"); n > 0 {
			record["autonomous_system_number"] = mmdbtype.Uint32(n)
		}
		for kind, f := range map[string]form{
			"GeoLite2-City": formCity, "DBIP-City-Lite": formCity,
			"GeoLite2-ASN": formASN, "mine": formOther,
		} {
			if got := formOf(kind); got != f {
				t.Fatalf("%s is of form %d, want %d", kind, got, f)
			}
			db, err := maxminddb.OpenBytes(database(t, mmdbwriter.Options{DatabaseType: kind},
				entry{"192.0.2.0/24", record}))
			if err != nil {
				t.Fatal(err)
			}
			for network := range db.Networks() {
				var s standard
				var fast, slow said
				if !s.read(f, network, &fast) {
					continue
				}
				if err := network.Decode(&slow); err != nil {
					t.Fatal(err)
				}
				r := newRecords(db)
				if f == formASN {
					if fast.system() != slow.system() {
						t.Fatalf("AS%d, want AS%d", fast.system(), slow.system())
					}
				} else if d := cmp.Diff(fmt.Sprintf("%+v", r.place(&slow)),
					fmt.Sprintf("%+v", r.place(&fast))); d != "" {
					t.Fatalf("%v: %s", record, d)
				}
			}
		}
	})
}
