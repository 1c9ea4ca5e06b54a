package snapshot

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
)

// signalWorld is a server of several zones that all have keys.
type signalWorld struct {
	at       time.Time
	keys     map[string]*dnssec.Keys
	there    map[zones.Key]zones.Resource
	catalog  *catalog.Catalog
	builder  *Builder
	revision int64
	last     *Snapshot
	problems zones.Problems
}

func newSignalWorld(keys map[string]*dnssec.Keys, at time.Time) *signalWorld {
	w := &signalWorld{keys: keys, at: at, there: map[zones.Key]zones.Resource{}}
	now := func() time.Time { return w.at }
	w.catalog, w.builder = catalog.New(now), NewBuilder(now)
	for origin, k := range keys {
		w.builder.Keyed(origin, k, nil)
	}
	return w
}

func (w *signalWorld) apply(put []zones.Resource, drop ...zones.Key) {
	w.revision++
	b := zones.Batch{Revision: w.revision, Full: w.revision == 1, Meant: w.revision > 1}
	for _, r := range put {
		w.there[r.Key()] = r
		b.Changes = append(b.Changes, zones.Change{Key: r.Key(), Resource: r, Revision: w.revision})
	}
	for _, key := range drop {
		if _, is := w.there[key]; is {
			delete(w.there, key)
			b.Changes = append(b.Changes, zones.Change{Key: key, Revision: w.revision})
		}
	}
	w.update(w.catalog.Apply(b))
}

func (w *signalWorld) update(d catalog.Delta) {
	w.last, w.problems = w.builder.Update(w.catalog, d, nil)
}

// signaled lists the CDS and CDNSKEY below the apex of each zone, as "owner TYPE". It says whether they equal those at
// the apex of the zone that they are named after.
func (w *signalWorld) signaled() (all []string) {
	for _, z := range w.last.zones {
		for n := range z.tree.nodes {
			for _, typ := range signalTypes {
				_, wire := n.set(typ)
				if wire == nil || rr.Name(n.name()) == z.origin {
					continue
				}
				name := zones.NameText(rr.Name(n.name()))
				text := fmt.Sprintf("%s %s %s", zones.NameText(z.origin), name, typ)
				child, _, _ := strings.Cut(strings.TrimPrefix(name, "_dsboot."), "._signal.")
				apex, err := rr.ParseName(child)
				at, is := w.last.origins[apex]
				if err == nil && is {
					if at := w.last.zones[at].tree.find([]byte(apex)); at != nil {
						if _, want := at.set(typ); bytes.Equal(want, wire) {
							text += " same"
						}
					}
				}
				all = append(all, text)
			}
		}
	}
	slices.Sort(all)
	return all
}

// check checks that everything in the zones is signed and in their chains.
func (w *signalWorld) check(t interface {
	Errorf(string, ...any)
	Fatal(...any)
},
) {
	for _, z := range w.last.zones {
		if z.signing == nil {
			continue
		}
		if got, want := chainOf(z.signing.chain), chainOf(z.linkAll()); !slices.Equal(got, want) {
			t.Errorf("%s: the chain is\n%q\nand of all names\n%q", z.origin, got, want)
		}
		if missing := unsignedSets(w.last, z); len(missing) > 0 {
			t.Errorf("%s: not signed: %q", z.origin, missing)
		}
	}
}

func aloneFor(t interface{ Fatal(...any) }, origins ...string) map[string]*dnssec.Keys {
	keys := map[string]*dnssec.Keys{}
	for _, origin := range origins {
		k, err := dnssec.Generate(rr.Name(nameOf(t, origin)), dnssec.FlagsCSK, dnssec.Ed25519)
		if err != nil {
			t.Fatal(err)
		}
		keys[origin] = dnssec.Alone(k)
	}
	return keys
}

func signedOf(origin string, nameservers ...string) *zones.Zone {
	return &zones.Zone{Origin: origin, Nameservers: nameservers, DNSSEC: &zones.DNSSEC{Enabled: true}}
}

// TestSignals: where each zone's CDS and CDNSKEY are, and what is reported about those that are missing.
func TestSignals(t *testing.T) {
	long := strings.Repeat(strings.Repeat("a", 60)+".", 3) + "test" // 187 octets
	host := signedOf("host.test", "ns1.host.test")
	unsigned := &zones.Zone{Origin: "host.test", Nameservers: []string{"ns1.host.test"}}
	both := func(zone, owner string) []string {
		return []string{zone + " " + owner + " CDNSKEY same", zone + " " + owner + " CDS same"}
	}
	record := func(owner, typ string, data string) *zones.Record {
		return &zones.Record{Origin: "host.test", Owner: owner, Type: typ, Data: []string{data}}
	}
	const owner = "_dsboot.child.test._signal.ns1"
	withdrawn := signedOf("child.test", "ns1.host.test")
	withdrawn.DNSSEC.Withdraw = true
	listed := &zones.Zone{
		Origin: "host.test", Nameservers: []string{"ns1.host.test"}, Transfer: &zones.Transfer{Members: []string{"*"}},
	}
	keys := aloneFor(t, "host.test", "child.test", "ns1.host.test", "_signal.ns1.host.test", "sub.host.test",
		"test", long)
	for _, x := range []struct {
		what string
		have []zones.Resource
		want []string
		says string
	}{
		{
			"a name server in a signed zone",
			[]zones.Resource{host, signedOf("child.test", "ns1.host.test")},
			both("host.test", owner+".host.test"), "",
		},
		{
			"two, one elsewhere",
			[]zones.Resource{host, signedOf("child.test", "ns1.host.test", "ns.else.example")},
			both("host.test", owner+".host.test"), "",
		},
		{
			"two here",
			[]zones.Resource{host, signedOf("child.test", "ns1.host.test", "a.b.host.test")},
			slices.Concat(
				both("host.test", "_dsboot.child.test._signal.a.b.host.test"), both("host.test", owner+".host.test"),
			), "",
		},
		{"the zone itself is the name server", []zones.Resource{
			signedOf("ns1.host.test", "ns.else.example"), signedOf("child.test", "ns1.host.test"),
		}, both("ns1.host.test", owner+".host.test"), ""},
		{"a zone of its own for signals", []zones.Resource{
			host, signedOf("_signal.ns1.host.test", "ns.else.example"), signedOf("child.test", "ns1.host.test"),
		}, both("_signal.ns1.host.test", owner+".host.test"), ""},
		{"that is not signed", []zones.Resource{
			host, &zones.Zone{Origin: "_signal.ns1.host.test", Nameservers: []string{"ns.else.example"}},
			signedOf("child.test", "ns1.host.test"),
		}, nil, ""},
		{
			"in a zone above itself",
			[]zones.Resource{host, signedOf("sub.host.test", "ns1.host.test")},
			both("host.test", "_dsboot.sub.host.test._signal.ns1.host.test"), "",
		},
		{"in the zone itself", []zones.Resource{host, signedOf("child.test", "ns.child.test")}, nil, ""},
		{"in the zone itself, though another is above", []zones.Resource{
			signedOf("test", "ns.else.example"), signedOf("child.test", "ns.child.test"),
		}, nil, ""},
		{"in no zone here", []zones.Resource{host, signedOf("child.test", "ns.else.example")}, nil, ""},
		{"in one that is not signed", []zones.Resource{unsigned, signedOf("child.test", "ns1.host.test")}, nil, ""},
		{"in a catalog zone", []zones.Resource{listed, signedOf("child.test", "ns1.host.test")}, nil, ""},
		{"not signed itself", []zones.Resource{
			host, &zones.Zone{Origin: "child.test", Nameservers: []string{"ns1.host.test"}},
		}, nil, ""},
		{
			"asks the parent to take the DS out",
			[]zones.Resource{host, withdrawn},
			both("host.test", owner+".host.test"), "",
		},
		{"too long", []zones.Resource{
			signedOf("host.test", strings.Repeat("b", 60)+".host.test"),
			signedOf(long, strings.Repeat("b", 60)+".host.test"),
		}, nil, "longer than 255 octets"},
		{"an operator's CDS stands", []zones.Resource{
			host, signedOf("child.test", "ns1.host.test"), record(owner, "CDS", aCDS),
		}, []string{"host.test " + owner + ".host.test CDS"}, "is there; take it out"},
		{"an operator's CNAME stands", []zones.Resource{
			host, signedOf("child.test", "ns1.host.test"), record(owner, "CNAME", "else.example."),
		}, nil, "is there; take it out"},
		{"other records are beside", []zones.Resource{
			host, signedOf("child.test", "ns1.host.test"), record(owner, "TXT", `"x"`),
		}, both("host.test", owner+".host.test"), ""},
		{"below a delegation", []zones.Resource{
			host, signedOf("child.test", "ns1.host.test"), record("_signal.ns1", "NS", "ns.else.example."),
		}, nil, ""},
		{"below a DNAME", []zones.Resource{
			host, signedOf("child.test", "ns1.host.test"), record("_signal.ns1", "DNAME", "else.example."),
		}, nil, ""},
	} {
		for _, once := range []bool{true, false} {
			w := newSignalWorld(keys, time.Unix(1_800_000_000, 0))
			if w.apply(x.have[:1]); once {
				w = newSignalWorld(keys, w.at)
				w.apply(x.have)
			}
			for i := len(x.have) - 1; i > 0 && !once; i-- {
				w.apply(x.have[i : i+1])
			}
			slices.Sort(x.want)
			if got := w.signaled(); !slices.Equal(got, x.want) {
				t.Errorf("%s: there are\n%s\nnot\n%s", x.what, strings.Join(got, "\n"), strings.Join(x.want, "\n"))
			}
			said := ""
			for _, p := range w.problems {
				said += p.Message
			}
			if !strings.Contains(said, x.says) || x.says == "" && said != "" {
				t.Errorf("%s: said is %q, not %q", x.what, said, x.says)
			}
			w.check(t)
		}
	}
}

// TestSignalsMoveTheSerial: a zone that has CDS of others gets another serial when these change: by a Zone, by the
// times of keys, or because a zone goes. The serial never falls.
func TestSignalsMoveTheSerial(t *testing.T) {
	keys := aloneFor(t, "host.test")
	at := time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)
	apex := rr.Name(nameOf(t, "host.test"))
	for dnssec.EpochAt(apex, at) != dnssec.EpochAt(apex, at.Add(6*time.Hour)) {
		at = at.Add(time.Hour)
	}
	origin := rr.Name(nameOf(t, "child.test"))
	a, err := dnssec.Generate(origin, dnssec.FlagsCSK, dnssec.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	b, err := dnssec.Generate(origin, dnssec.FlagsCSK, dnssec.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	child, err := dnssec.NewKeys(origin, dnssec.TimedKey{Key: a}, dnssec.TimedKey{Key: b, Times: dnssec.Times{
		Publish: at.Add(time.Hour), Activate: at.Add(2 * time.Hour), SyncPublish: at.Add(3 * time.Hour),
	}})
	if err != nil {
		t.Fatal(err)
	}
	keys["child.test"] = child
	w := newSignalWorld(keys, at)
	host := signedOf("host.test", "ns1.host.test")
	host.Transfer = &zones.Transfer{Allow: []string{"192.0.2.1"}}
	var last uint32
	var before []string
	step := func(what string, moves bool) {
		t.Helper()
		z := w.last.Zone(apex)
		all, err := records(z)
		if err != nil {
			t.Fatal(err)
		}
		all = slices.DeleteFunc(all, func(r rr.Record) bool { return r.Type == rr.TypeSOA || r.Type == rr.TypeRRSIG })
		now := printed(all)
		if differs := !slices.Equal(now, before); differs != moves || z.Serial() < last || moves && z.Serial() == last {
			t.Errorf("%s: the content is another: %v, not %v; the serial was %d and is %d", what, differs, moves, last,
				z.Serial())
		}
		before, last = now, z.Serial()
	}
	w.apply([]zones.Resource{host})
	step("the first", true)
	w.apply([]zones.Resource{signedOf("child.test", "ns1.host.test")})
	step("a zone comes", true)
	for hour, moves := range []bool{false, false, true} {
		w.at = at.Add(time.Duration(hour+1) * time.Hour)
		w.update(catalog.Delta{})
		step(fmt.Sprint("hour ", hour+1), moves)
	}
	w.apply(nil, zones.KeyOf(zones.KindZone, "child.test"))
	step("it goes", true)
	if got := w.signaled(); len(got) > 0 {
		t.Errorf("there are still %q", got)
	}
}

// TestSignalsChangeByChange: however zones came about, their signals equal those of the same zones made at once.
func TestSignalsChangeByChange(t *testing.T) {
	origins := []string{"test", "host.test", "child.test", "sub.host.test", "_signal.ns1.host.test"}
	keys := aloneFor(t, origins...)
	theirs := aloneFor(t, "child.test")["child.test"]
	versions := []*Version{
		nil, primaryOf(t, theirs, "ns1.host.test"), primaryOf(t, nil, "ns1.host.test", "ns.child.test"),
		primaryOf(t, aloneFor(t, "child.test")["child.test"], "ns1.host.test", "ns2.host.test"),
	}
	rapid.Check(t, func(t *rapid.T) {
		var has Transferred // of child.test, from its primary
		w := newSignalWorld(keys, time.Unix(1_800_000_000, 0))
		w.apply([]zones.Resource{&zones.Region{Region: "eu"}})
		for range rapid.IntRange(1, 12).Draw(t, "turns") {
			var put []zones.Resource
			var drop []zones.Key
			for range rapid.IntRange(1, 2).Draw(t, "changes") {
				origin := rapid.SampledFrom(origins).Draw(t, "origin")
				owner := rapid.SampledFrom([]string{
					"ns1", "_signal.ns1", "_dsboot.child.test._signal.ns1", "_dsboot.sub.host.test._signal.ns1",
				}).Draw(t, "owner")
				typ := rapid.SampledFrom([]string{"CDS", "CDNSKEY", "NS", "DNAME", "TXT", "CNAME"}).Draw(t, "type")
				r := &zones.Record{Origin: "host.test", Owner: owner, Type: typ, Data: []string{map[string]string{
					"CDS": aCDS, "CDNSKEY": aCDNSKEY, "NS": "a.else.", "DNAME": "b.else.", "TXT": `"x"`, "CNAME": "c.else.",
				}[typ]}}
				switch rapid.SampledFrom([]string{
					"zone", "zone", "no zone", "record", "no record", "version",
				}).Draw(t, "what") {
				case "zone":
					z := &zones.Zone{Origin: origin, Nameservers: rapid.SampledFrom([][]string{
						{"ns1.host.test"}, {"ns1.host.test", "ns2.host.test"}, {"ns.child.test"}, {"ns.else"},
					}).Draw(t, "nameservers")}
					if rapid.IntRange(0, 3).Draw(t, "signed") > 0 {
						z.DNSSEC = &zones.DNSSEC{Enabled: true, NSEC3: rapid.Bool().Draw(t, "nsec3")}
						z.DNSSEC.Withdraw = rapid.IntRange(0, 3).Draw(t, "withdraw") == 0
					}
					switch rapid.IntRange(0, 3).Draw(t, "transfer") {
					case 0:
						z.Transfer = &zones.Transfer{Allow: []string{"192.0.2.9"}}
					case 1, 2:
						if origin == "child.test" {
							z.Nameservers, z.Transfer = nil, &zones.Transfer{Primaries: []string{"192.0.2.1"}}
						}
					}
					put = append(put, z)
				case "version":
					has.Version = rapid.SampledFrom(versions).Draw(t, "version")
					has.Expired = rapid.IntRange(0, 3).Draw(t, "expired") == 0
					w.builder.Transferred("child.test", has)
				case "no zone":
					drop = append(drop, zones.KeyOf(zones.KindZone, origin))
				case "record":
					put = append(put, r)
				case "no record":
					drop = append(drop, r.Key())
				}
			}
			put = slices.DeleteFunc(put, func(r zones.Resource) bool { return slices.Contains(drop, r.Key()) })
			last := map[zones.Key]zones.Resource{}
			for _, r := range put {
				last[r.Key()] = r
			}
			w.apply(slices.Collect(maps.Values(last)), drop...)
			w.check(t)
			fresh := newSignalWorld(keys, w.at)
			fresh.builder.Transferred("child.test", has)
			var all []zones.Resource
			w.catalog.Each(zones.KindZone, func(r zones.Resource) bool { all = append(all, r); return true })
			for _, origin := range origins {
				w.catalog.EachRecord(origin, func(r *zones.Record) bool { all = append(all, r); return true })
			}
			fresh.apply(all)
			if got, want := w.signaled(), fresh.signaled(); !slices.Equal(got, want) {
				t.Fatalf("there are\n%s\nand made at once\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			said := func(w *signalWorld) (all []string) {
				for _, p := range w.problems {
					all = append(all, fmt.Sprint(p.Key, p.Message))
				}
				return all
			}
			if got, want := said(w), said(fresh); !slices.Equal(got, want) {
				t.Fatalf("said is\n%q\nand of what is made at once\n%q", got, want)
			}
		}
	})
}

// primaryOf returns the versions of child.test on a primary, with these name servers, signed by the keys if there are
// any.
func primaryOf(t interface{ Fatal(...any) }, keys *dnssec.Keys, nameservers ...string) *Version {
	w := newSignalWorld(map[string]*dnssec.Keys{"child.test": keys}, time.Unix(1_800_000_000, 0))
	z := signedOf("child.test", nameservers...)
	if keys == nil {
		w, z.DNSSEC = newSignalWorld(nil, w.at), nil
	}
	w.apply([]zones.Resource{z, &zones.Record{
		Origin: "child.test", Owner: "www", Type: "A", Data: []string{"192.0.2.1"},
	}})
	apex := rr.Name(nameOf(t, "child.test"))
	all, err := records(w.last.Zone(apex))
	if err != nil {
		t.Fatal(err)
	}
	return versionOf(t, NewEdition(apex), nil, all)
}

// TestSignalsOfPrimaries: a zone of a primary signals what its answers have, from when it arrives until it expires, in
// zones that nobody transfers.
func TestSignalsOfPrimaries(t *testing.T) {
	keys := aloneFor(t, "host.test", "child.test", "_signal.ns1.host.test")
	theirs, others := aloneFor(t, "child.test")["child.test"], aloneFor(t, "child.test")["child.test"]
	host := signedOf("host.test", "ns1.host.test")
	transferred := signedOf("host.test", "ns1.host.test")
	transferred.Transfer = &zones.Transfer{Allow: []string{"192.0.2.9"}}
	apart := signedOf("_signal.ns1.host.test", "ns.else.example")
	child := func(d *zones.DNSSEC) *zones.Zone {
		return &zones.Zone{
			Origin: "child.test", DNSSEC: d, Transfer: &zones.Transfer{Primaries: []string{"192.0.2.1"}},
		}
	}
	over := &zones.Record{Origin: "child.test", Owner: "over", Type: "TXT", Data: []string{`"x"`}}
	both := func(zone, ns string) []string {
		owner := zone + " _dsboot.child.test._signal." + ns + " "
		return []string{owner + "CDNSKEY same", owner + "CDS same"}
	}
	signed := primaryOf(t, theirs, "ns1.host.test")
	plain := primaryOf(t, nil, "ns1.host.test")
	for _, x := range []struct {
		what    string
		have    []zones.Resource
		version *Version
		want    []string
		says    string
	}{
		{"signed there", []zones.Resource{host, child(nil)}, signed, both("host.test", "ns1.host.test"), ""},
		{
			"signed here",
			[]zones.Resource{host, child(&zones.DNSSEC{Enabled: true})},
			plain,
			both("host.test", "ns1.host.test"), "",
		},
		{
			"signed there and here",
			[]zones.Resource{host, child(&zones.DNSSEC{Enabled: true}), over},
			signed,
			both("host.test", "ns1.host.test"), "",
		},
		{"signed nowhere", []zones.Resource{host, child(nil)}, plain, nil, ""},
		{"its signatures left out", []zones.Resource{host, child(nil), over}, signed, nil, "the primary signs"},
		{"not here yet", []zones.Resource{host, child(nil)}, nil, nil, ""},
		{
			"two name servers",
			[]zones.Resource{host, child(nil)},
			primaryOf(t, theirs, "ns1.host.test", "ns2.host.test"),
			slices.Concat(both("host.test", "ns1.host.test"), both("host.test", "ns2.host.test")), "",
		},
		{"below itself", []zones.Resource{host, child(nil)}, primaryOf(t, theirs, "ns.child.test"), nil, ""},
		{
			"where it is transferred",
			[]zones.Resource{transferred, child(nil)},
			signed, nil,
			"make _signal.ns1.host.test a zone of its own without transfer",
		},
		{
			"in a zone of its own",
			[]zones.Resource{transferred, apart, child(nil)},
			signed,
			both("_signal.ns1.host.test", "ns1.host.test"), "",
		},
	} {
		come := func(w *signalWorld, v *Version, expired bool) {
			w.builder.Transferred("child.test", Transferred{Version: v, Expired: expired})
			w.update(catalog.Delta{})
		}
		check := func(w *signalWorld, way string, want []string, says string) {
			t.Helper()
			slices.Sort(want)
			if got := w.signaled(); !slices.Equal(got, want) {
				t.Errorf("%s, %s: there are\n%s\nnot\n%s", x.what, way, strings.Join(got, "\n"),
					strings.Join(want, "\n"))
			}
			said := ""
			for _, p := range w.problems {
				said += p.Message
			}
			if !strings.Contains(said, says) || says == "" && strings.Contains(said, "RFC 9615") {
				t.Errorf("%s, %s: said is %q, not %q", x.what, way, said, says)
			}
			w.check(t)
		}
		at := time.Unix(1_800_000_000, 0)
		w := newSignalWorld(keys, at)
		w.apply(x.have)
		come(w, x.version, false)
		check(w, "after the configuration", x.want, x.says)
		w = newSignalWorld(keys, at)
		w.builder.Transferred("child.test", Transferred{Version: x.version})
		for _, r := range x.have {
			w.apply([]zones.Resource{r})
		}
		check(w, "before the configuration", x.want, x.says)
		if len(x.want) == 0 {
			continue
		}
		come(w, x.version, true)
		check(w, "expired", nil, "")
		come(w, x.version, false)
		check(w, "current again", x.want, "")
		come(w, primaryOf(t, others, "ns1.host.test").From(x.version), false)
		check(w, "with other keys", both(strings.Fields(x.want[0])[0], "ns1.host.test"), "")
		come(w, primaryOf(t, others, "ns.else.test").From(x.version), false)
		check(w, "with another name server", nil, "")
		come(w, x.version, false)
		w.apply(nil, zones.KeyOf(zones.KindZone, "child.test"))
		check(w, "gone", nil, "")
	}
	edge := newSignalWorld(nil, time.Unix(1_800_000_000, 0))
	edge.builder.Edge()
	edge.builder.Keyed("host.test", keys["host.test"], nil)
	edge.builder.Transferred("child.test", Transferred{Version: signed})
	if edge.apply([]zones.Resource{host, child(nil)}); len(edge.signaled()) > 0 {
		t.Errorf("an edge signals what no signer has: %q", edge.signaled())
	}
}
