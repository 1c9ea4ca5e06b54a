package snapshot

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
	"leeward/zones/steer"
)

// TestSignedDifferences: an earlier version of a signed zone plus the differences equals a transfer of the whole zone,
// across changes of records, policies, endpoints and addresses of hostnames, of days and keys. If neither day nor keys
// have changed, the differences are of few names.
func TestSignedDifferences(t *testing.T) {
	k, next := signedKey(t), signedKey(t)
	for next.Tag() == k.Tag() {
		next = signedKey(t)
	}
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
		clock := func() time.Time { return now }
		keys, err := dnssec.NewKeys(k.Origin(),
			dnssec.TimedKey{Key: k, Times: dnssec.Times{
				Inactive: now.Add(90 * time.Hour), Delete: now.Add(100 * time.Hour),
			}},
			dnssec.TimedKey{Key: next, Times: dnssec.Times{
				Publish: now.Add(30 * time.Hour), Activate: now.Add(60 * time.Hour),
			}})
		if err != nil {
			t.Fatal(err)
		}
		c, b := catalog.New(clock), NewBuilder(clock)
		b.Keyed("example.test", keys, nil)
		z := &zones.Zone{
			Origin: "example.test", Nameservers: []string{"ns.example.net"},
			SerialOffset: 4_294_966_330, // the serial is near its end, and begins again
			DNSSEC:       &zones.DNSSEC{Enabled: true, NSEC3: rapid.Bool().Draw(t, "nsec3")},
			Transfer:     &zones.Transfer{Allow: []string{"192.0.2.1"}},
		}
		revision := int64(1)
		batch := zones.Batch{Revision: 1, Full: true}
		put := func(r zones.Resource) {
			batch.Changes = append(batch.Changes, zones.Change{Key: r.Key(), Resource: r, Revision: revision})
		}
		put(z)
		put(&zones.Region{Region: "eu"})
		put(&zones.Pool{Pool: "p", Region: "eu"})
		put(&zones.Pool{Pool: "named", Region: "eu"})
		put(&zones.Endpoint{Pool: "named", Endpoint: "away", Hostname: "away.test"})
		for i := range 40 { // so that few names are few of all
			put(&zones.Record{Origin: "example.test", Owner: fmt.Sprintf("n%d", i), Type: "TXT", Data: []string{`"x"`}})
		}
		owner := rapid.SampledFrom([]string{"a", "b.a", "c.b.a", "*.a", "x.*.a", "d", "e.d", "*", "f", "g.f", "@"})
		type version struct {
			zone    *Zone
			records []rr.Record
			whole   bool // the day, or the keys, have changed since the one before, or a cut or DNAME hides other names
		}
		var versions []version
		for range rapid.IntRange(2, 7).Draw(t, "turns") {
			whole := false
			for range rapid.IntRange(0, 3).Draw(t, "changes") {
				name := owner.Draw(t, "owner")
				switch what := rapid.IntRange(0, 11).Draw(t, "what"); what {
				case 0, 1, 2, 3, 4:
					typ := rapid.SampledFrom([]string{"A", "TXT", "NS", "DS", "DNAME"}).Draw(t, "type")
					if name == "@" && typ != "A" && typ != "TXT" {
						continue
					}
					whole = whole || typ == "NS" || typ == "DNAME"
					n := rapid.IntRange(0, 3).Draw(t, "data")
					put(&zones.Record{Origin: "example.test", Owner: name, Type: typ, Data: []string{map[string]string{
						"A": fmt.Sprintf("192.0.2.%d", n), "TXT": fmt.Sprintf(`"%d"`, n),
						"NS": fmt.Sprintf("ns%d.test.", n), "DS": "1 13 2 " + strings.Repeat("ab", 32),
						"DNAME": fmt.Sprintf("to%d.test.", n),
					}[typ]}})
				case 5, 6:
					typ := rapid.SampledFrom([]string{"A", "TXT", "NS", "DS", "DNAME"}).Draw(t, "type")
					whole = whole || typ == "NS" || typ == "DNAME"
					key := zones.KeyOf(zones.KindRecord, "example.test/"+name+"/"+typ)
					batch.Changes = append(batch.Changes, zones.Change{Key: key, Revision: revision})
				case 7, 8:
					full := strings.TrimPrefix(name+".example.test", "@.")
					if rapid.Bool().Draw(t, "goes") {
						key := zones.KeyOf(zones.KindPolicy, full)
						batch.Changes = append(batch.Changes, zones.Change{Key: key, Revision: revision})
						continue
					}
					pool := rapid.SampledFrom([]string{"p", "named"}).Draw(t, "pool")
					put(&zones.Policy{Name: full, Rules: []zones.Rule{{Failover: []zones.Step{{
						Pools: []zones.WeightedPool{{Pool: pool, Weight: 1}},
					}}}}})
				case 9:
					addresses := rapid.SampledFrom([]string{"192.0.2.1", "192.0.2.2", "2001:db8::1"})
					put(endpointOf(addresses.Draw(t, "address")))
				case 10:
					address := netip.AddrFrom4([4]byte{192, 0, 2, rapid.Byte().Draw(t, "address")})
					known := [2]bool{true, true}
					b.Resolved("away.test", steer.Resolution{Addresses: []netip.Addr{address}, Known: known})
				case 11:
					now = now.Add(time.Duration(rapid.IntRange(1, 50).Draw(t, "hours")) * time.Hour)
					whole = true
					if signer := b.signers["example.test"]; signer != nil && signer.Prepare(now) != nil {
						if _, err := b.last.Prepare(k.Origin()); err != nil {
							t.Fatal(err)
						}
						signer.Turn()
						b.Turned("example.test")
					}
				}
			}
			put(&zones.Record{
				Origin: "example.test", Owner: "mark", Type: "TXT", Data: []string{fmt.Sprintf(`"%d"`, revision)},
			})
			batch.Accepted = revision
			s, _ := b.Update(c, c.Apply(batch), nil)
			revision++
			batch = zones.Batch{Revision: revision}
			v := version{zone: s.Zone(sealedApex), whole: whole}
			if v.records, err = records(v.zone); err != nil {
				t.Fatal(err)
			}
			if len(versions) > 0 && int32(v.zone.Serial()-versions[len(versions)-1].zone.Serial()) <= 0 {
				t.Fatal("the serial does not rise")
			}
			versions = append(versions, v)
			whole = false
			for i := len(versions) - 2; i >= 0; i-- {
				whole = whole || versions[i+1].whole
				before := versions[i]
				have := map[string]int{}
				for _, line := range printed(before.records) {
					have[line]++
				}
				count := 0
				err := v.zone.Diff(before.zone, func(added bool, name, record []byte) bool {
					r := rr.Record{Owner: rr.Name(name), Data: bytes.Clone(dataOf(record))}
					r.Type, r.TTL = rr.Type(binary.BigEndian.Uint16(record[2:])), binary.BigEndian.Uint32(record[6:])
					line := printed([]rr.Record{r})[0]
					if count++; added {
						have[line]++
					} else {
						have[line]--
					}
					return true
				})
				var got []string
				for line, n := range have {
					if n != 0 && n != 1 {
						t.Fatalf("%d times: %s", n, line)
					}
					if n == 1 {
						got = append(got, line)
					}
				}
				slices.Sort(got)
				if want := printed(v.records); err != nil || !slices.Equal(got, want) {
					t.Fatalf("the differences from %d to %d (%v) lead to\n%s\nand the zone is\n%s",
						before.zone.Serial(), v.zone.Serial(), err, strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
				if most := 40 * (len(versions) - i); !whole && count > most {
					t.Fatalf("%d records differ, and %d may", count, most)
				}
			}
		}
	})
}
