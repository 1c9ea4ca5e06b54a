package update

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/dnssec"
	"leeward/zones/document"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
)

const apex = rr.Name("\x07example\x04test\x00")

const (
	ourKey    = "257 3 13 AQIDBAUGBwgBAgMEBQYHCAECAwQFBgcIAQIDBAUGBwgBAgMEBQYHCAECAwQFBgcIAQIDBAUGBwgBAgMEBQYHCA=="
	otherKey  = "257 3 13 AAAABAUGBwgBAgMEBQYHCAECAwQFBgcIAQIDBAUGBwgBAgMEBQYHCAECAwQFBgcIAQIDBAUGBwgBAgMEBQYHCA=="
	someNSEC3 = "1 0 0 - VPRSVHQF8K3JQ1CJKJ6SGHCF79KJ0T2K A RRSIG"
	someRRSIG = "A 13 2 300 20261214000000 20261130000000 1 $ AAAA"
)

// secured is what is stored, with a signed zone.
func secured(more map[zones.Key]string) map[zones.Key]string {
	values := maps.Clone(stored)
	values["zones/example.test"] = `{"nameservers":["ns1.example.test"],"dnssec":{"enabled":true},` +
		`"update":[{"key":"all","names":["**"],"types":["ANY"]}]}`
	maps.Copy(values, more)
	return values
}

// TestSectionsOfSignedZones: prerequisites see what signing makes, as it is served, but nobody may change it. An update
// that could not be served is refused, and the refusal says what to do.
func TestSectionsOfSignedZones(t *testing.T) {
	insert := func(texts ...string) func(*testing.T, *dns.Msg) {
		return func(t *testing.T, m *dns.Msg) { m.Insert(rrs(t, texts...)) }
	}
	remove := func(texts ...string) func(*testing.T, *dns.Msg) {
		return func(t *testing.T, m *dns.Msg) { m.Remove(rrs(t, texts...)) }
	}
	drop := func(name, typ string) func(*testing.T, *dns.Msg) {
		return func(t *testing.T, m *dns.Msg) { m.RemoveRRset(of(t, name, typ)) }
	}
	used := func(name, typ string) func(*testing.T, *dns.Msg) {
		return func(t *testing.T, m *dns.Msg) { m.RRsetUsed(of(t, name, typ)) }
	}
	given := map[zones.Key]string{"records/example.test/@/CDS": `{"data":["0 0 0 00"]}`}
	for _, c := range []struct {
		what  string
		more  map[zones.Key]string // also stored
		build func(*testing.T, *dns.Msg)
		rcode int
		says  string
		diff  string // of keys, with + and -
	}{
		{what: "DNSKEY is there", build: used("$", "DNSKEY")},
		{what: "and is not not there", build: func(t *testing.T, m *dns.Msg) {
			m.RRsetNotUsed(of(t, "$", "DNSKEY"))
		}, rcode: dns.RcodeYXRrset},
		{what: "CDS, of which none is served", build: used("$", "CDS"), rcode: dns.RcodeNXRrset},
		{what: "CDS that is given and not served", more: given, build: used("$", "CDS"), rcode: dns.RcodeNXRrset},
		{what: "DNSKEY by value", build: func(t *testing.T, m *dns.Msg) { m.Used(rrs(t, "$ 0 DNSKEY "+ourKey)) }},
		{what: "another value", build: func(t *testing.T, m *dns.Msg) {
			m.Used(rrs(t, "$ 0 DNSKEY "+otherKey))
		}, rcode: dns.RcodeNXRrset},
		{what: "below the apex it is a record like any", build: used("www.$", "DNSKEY"), rcode: dns.RcodeNXRrset},
		{what: "RRSIG as a prerequisite", build: used("www.$", "RRSIG"), rcode: dns.RcodeRefused, says: "RRSIG"},
		{what: "NSEC by value", build: func(t *testing.T, m *dns.Msg) {
			m.Used(rrs(t, "www.$ 0 NSEC a.$ A"))
		}, rcode: dns.RcodeRefused, says: "NSEC"},

		{what: "add DNSKEY", build: insert("$ 60 DNSKEY " + otherKey), rcode: dns.RcodeRefused, says: "dnssec.foreign"},
		{what: "add the DNSKEY that is there", build: insert("$ 60 DNSKEY " + ourKey), rcode: dns.RcodeRefused},
		{what: "add CDS", build: insert("$ 60 CDS 0 0 0 00"), rcode: dns.RcodeRefused, says: "CDS"},
		{what: "add CDNSKEY", build: insert("$ 60 CDNSKEY 0 3 0 AA=="), rcode: dns.RcodeRefused},
		{
			what: "add NSEC3PARAM", build: insert("$ 60 NSEC3PARAM 1 0 0 -"), rcode: dns.RcodeRefused,
			says: "dnssec.nsec3",
		},
		{what: "add RRSIG", build: insert("www.$ 60 RRSIG " + someRRSIG), rcode: dns.RcodeRefused, says: "RRSIG"},
		{what: "add NSEC", build: insert("www.$ 60 NSEC a.$ A"), rcode: dns.RcodeRefused, says: "NSEC"},
		{what: "add NSEC3", build: insert("www.$ 60 NSEC3 " + someNSEC3), rcode: dns.RcodeRefused, says: "NSEC3"},
		{what: "all or nothing", build: insert("new.$ 60 A 192.0.2.1", "$ 60 CDS 0 0 0 00"), rcode: dns.RcodeRefused},
		{what: "add NS at a wildcard", build: insert("*.w.$ 60 NS ns.$"), rcode: dns.RcodeRefused, says: "wildcard"},
		{
			what: "delete NS at a wildcard that was given before", build: drop("*.w.$", "NS"),
			more: map[zones.Key]string{"records/example.test/*.w/NS": `{"data":["ns"]}`},
			diff: "-records/example.test/*.w/NS",
		},
		{what: "delete DNSKEY", build: drop("$", "DNSKEY"), rcode: dns.RcodeRefused, says: "leeward key"},
		{what: "delete one DNSKEY", build: remove("$ 60 DNSKEY " + ourKey), rcode: dns.RcodeRefused},
		{what: "delete RRSIG", build: drop("www.$", "RRSIG"), rcode: dns.RcodeRefused},
		{what: "delete NSEC3", build: drop("www.$", "NSEC3"), rcode: dns.RcodeRefused},
		{what: "delete CDS", build: drop("$", "CDS"), rcode: dns.RcodeRefused},
		{
			what: "delete CDS that were given before", more: given, build: drop("$", "CDS"),
			diff: "-records/example.test/@/CDS",
		},
		{
			what: "delete all at the apex", more: given,
			build: func(t *testing.T, m *dns.Msg) { m.RemoveName(of(t, "$", "ANY")) },
			diff:  "-records/example.test/@/CDS -records/example.test/@/MX",
		},
		{
			what:  "at other names they are records",
			build: insert("www.$ 60 CDS 0 0 0 00", "www.$ 60 DNSKEY "+otherKey),
			diff:  "+records/example.test/www/CDS +records/example.test/www/DNSKEY",
		},
		{
			what: "a delegation, secure", diff: "+records/example.test/sub/DS +records/example.test/sub/NS",
			build: insert("sub.$ 60 NS ns.sub.$", "sub.$ 60 DS 1 13 2 "+strings.Repeat("ab", 32)),
		},
	} {
		t.Run(c.what, func(t *testing.T) {
			before := secured(c.more)
			store := &memory{values: maps.Clone(before)}
			d := newUpdater(t, store, nil)
			d.o.Made = func(origin rr.Name, typ rr.Type) [][]byte {
				if origin != apex || typ != rr.TypeDNSKEY {
					return nil
				}
				data, err := rr.ParseData(typ, ourKey, origin)
				if err != nil {
					t.Fatal(err)
				}
				return [][]byte{data}
			}
			m := new(dns.Msg).SetUpdate("example.test.")
			m.SetEdns0(1232, false)
			c.build(t, m)
			reply := send(t, d, m, "all")
			if reply.Rcode != c.rcode || !strings.Contains(extended(reply), c.says) {
				t.Errorf("%s, want %s with %q: %s", dns.RcodeToString[reply.Rcode], dns.RcodeToString[c.rcode], c.says,
					extended(reply))
			}
			if got := strings.Join(changedKeys(before, store.values), " "); got != c.diff {
				t.Errorf("changed: %s, want %s", got, c.diff)
			}
		})
	}
}

// changedKeys lists the keys that are new, changed or gone.
func changedKeys(before, after map[zones.Key]string) (all []string) {
	for k, v := range after {
		if before[k] != v {
			all = append(all, "+"+string(k))
		}
	}
	for k := range before {
		if _, ok := after[k]; !ok {
			all = append(all, "-"+string(k))
		}
	}
	slices.Sort(all)
	return all
}

// served is the part of a server that makes snapshots.
type served struct {
	catalog *catalog.Catalog
	builder *snapshot.Builder
	last    *snapshot.Snapshot
}

func newServed(k *dnssec.Key) *served {
	s := &served{catalog: catalog.New(time.Now), builder: snapshot.NewBuilder(func() time.Time { return now })}
	s.builder.Keyed("example.test", dnssec.Alone(k), nil)
	return s
}

// take applies a change of the store to the server.
func (s *served) take(t *rapid.T, values map[zones.Key]string, keys []string, revision int64, full bool) {
	b := zones.Batch{Revision: revision, Full: full, Meant: !full}
	for _, signed := range keys {
		k := zones.Key(signed[1:])
		c := zones.Change{Key: k, Revision: revision}
		if signed[0] == '+' {
			if c.Resource, c.Err = document.Decode(k, []byte(values[k])); c.Err != nil {
				t.Fatal(c.Err)
			}
		}
		b.Changes = append(b.Changes, c)
	}
	s.last, _ = s.builder.Update(s.catalog, s.catalog.Apply(b), nil)
}

// records returns the records of a transfer of the zone, sorted.
func (s *served) records(t *rapid.T) (all []string) {
	err := s.last.Zone(apex).Each(func(name []byte, typ rr.Type, count int, wire []byte) bool {
		all = append(all, fmt.Sprintf("%s %s ×%d %x", rr.Name(name), typ, count, wire))
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// drawUpdate draws an update: prerequisites that may or may not hold, and changes of every form.
func drawUpdate(t *rapid.T) *dns.Msg {
	owner := rapid.SampledFrom([]string{
		"$", "$", "a.$", "b.a.$", "c.b.a.$", "*.a.$", "x.*.a.$", "d.$", "e.d.$", "*.$", "steered.$",
	})
	data := map[string][]string{
		"A": {"192.0.2.1", "192.0.2.2"}, "AAAA": {"2001:db8::1"}, "TXT": {`"a"`, `"B" "c"`}, "MX": {"1 A.$", "2 a.$"},
		"NS": {"ns.a.$", "ns.elsewhere.test."}, "DS": {"1 13 2 " + strings.Repeat("ab", 32)},
		"DNAME": {"d.$", "to.test."},
		"CNAME": {"a.$", "there.test."}, "HTTPS": {"1 . alpn=h2"}, "CAA": {`0 issue "ca.test"`}, "DNSKEY": {ourKey},
		"TYPE65280": {`\# 1 01`, `\# 0`}, "RRSIG": {someRRSIG},
	}
	types := rapid.SampledFrom(slices.Sorted(maps.Keys(data)))
	record := func() dns.RR {
		typ := types.Draw(t, "type")
		text := fmt.Sprintf("%s %d %s %s", owner.Draw(t, "owner"), 60*rapid.IntRange(0, 2).Draw(t, "ttl"), typ,
			rapid.SampledFrom(data[typ]).Draw(t, "data"))
		x, err := dns.NewRR(strings.ReplaceAll(text, "$", "example.test."))
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	m := new(dns.Msg).SetUpdate("example.test.")
	if rapid.IntRange(0, 3).Draw(t, "prerequisite") == 0 {
		all := rapid.SampledFrom([]func([]dns.RR){m.NameUsed, m.NameNotUsed, m.RRsetUsed, m.RRsetNotUsed})
		all.Draw(t, "which")([]dns.RR{record()})
	}
	for range rapid.IntRange(1, 5).Draw(t, "changes") {
		change := rapid.SampledFrom([]func([]dns.RR){
			m.Insert, m.Insert, m.Insert, m.Remove, m.RemoveRRset, m.RemoveName,
		})
		change.Draw(t, "change")([]dns.RR{record()})
	}
	return m
}

// TestUpdatesOfSignedZone: a signed zone that was updated again and again is, bit by bit, the zone that a server makes
// from the same documents when it starts. What an update adds to a zone is served.
func TestUpdatesOfSignedZone(t *testing.T) {
	k, err := dnssec.Generate(apex, dnssec.FlagsCSK, dnssec.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	made, refused := 0, 0
	rapid.Check(t, func(r *rapid.T) {
		nsec3 := rapid.Bool().Draw(r, "nsec3")
		store := &memory{values: map[zones.Key]string{
			"zones/example.test": fmt.Sprintf(`{"nameservers":["ns.example.net"],"dnssec":{"enabled":true,"nsec3":%v},`+
				`"update":[{"key":"all","names":["**"],"types":["ANY"]}],"transfer":{"notify":["192.0.2.1"]}}`, nsec3),
			"regions/here":                  `{}`,
			"pools/p":                       `{"region":"here"}`,
			"endpoints/p/e":                 `{"addresses":["192.0.2.80"]}`,
			"policies/steered.example.test": `{"rules":[{"failover":["p"]}]}`,
		}}
		live := newServed(k)
		var log bytes.Buffer
		d := newUpdater(t, store, &log)
		d.o.Made = func(origin rr.Name, typ rr.Type) [][]byte { return live.last.Zone(origin).MadeBySigning(typ) }
		revision := int64(1)
		live.take(r, store.values, changedKeys(nil, store.values), revision, true)
		for range rapid.IntRange(1, 6).Draw(r, "updates") {
			before := maps.Clone(store.values)
			reply := send(t, d, drawUpdate(r), "all")
			keys := changedKeys(before, store.values)
			if reply.Rcode != dns.RcodeSuccess && len(keys) > 0 {
				r.Fatalf("%s, and changed: %v", dns.RcodeToString[reply.Rcode], keys)
			}
			if reply.Rcode == dns.RcodeSuccess {
				made++
			} else if refused++; reply.Rcode == dns.RcodeServerFailure {
				r.Fatalf("it fails: %s", &log)
			}
			// A server that starts finds no trace of a deletion, except in the source: a mark has the serial.
			revision++
			mark := zones.Key("records/example.test/mark/TXT")
			store.values[mark] = fmt.Sprintf(`{"data":["\"%d\""]}`, revision)
			live.take(r, store.values, changedKeys(before, store.values), revision, false)

			fresh := newServed(k)
			fresh.take(r, store.values, changedKeys(nil, store.values), revision, true)
			got, want := live.records(r), fresh.records(r)
			if !slices.Equal(got, want) {
				r.Fatalf("after its updates the zone has\n%s\nand made anew\n%s", strings.Join(got, "\n"),
					strings.Join(want, "\n"))
			}
			for _, key := range keys {
				if k, put := strings.CutPrefix(key, "+"); put {
					held(r, zones.Key(k), store.values[zones.Key(k)], got)
				}
			}
		}
	})
	if made < 20 || refused < 20 {
		t.Errorf("%d updates were made and %d refused: the test tells little", made, refused)
	}
}

// held fails if a transfer lacks part of a Record that an update has put, unless the Record is below a DNAME.
func held(t *rapid.T, key zones.Key, text string, records []string) {
	resource, err := document.Decode(key, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	set, err := resource.(*zones.Record).Set()
	if err != nil {
		t.Fatal(err)
	}
	for n := set.Owner; n != apex; n = n.Parent() {
		above := n.Parent().String() + " DNAME "
		if slices.ContainsFunc(records, func(r string) bool { return strings.HasPrefix(r, above) }) {
			return
		}
	}
	for _, data := range set.Data {
		of, has := fmt.Sprintf("%s %s ×", set.Owner, set.Type), fmt.Sprintf("%x", data)
		if !slices.ContainsFunc(records, func(r string) bool {
			return strings.HasPrefix(r, of) && strings.Contains(r, has)
		}) {
			t.Fatalf("%s was taken and is not served: %s", key, has)
		}
	}
}
