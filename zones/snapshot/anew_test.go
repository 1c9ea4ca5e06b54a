package snapshot

import (
	"fmt"
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

// anew is a server that signs a zone from a primary, with our own records on top.
type anew struct {
	catalog *catalog.Catalog
	builder *Builder
	last    *Snapshot
	there   map[zones.Key]zones.Resource
}

func newAnew(k *dnssec.Key) *anew {
	a := &anew{catalog: catalog.New(time.Now), builder: NewBuilder(time.Now), there: map[zones.Key]zones.Resource{}}
	a.builder.Keyed("example.test", dnssec.Alone(k), nil)
	return a
}

// take applies a version, or nil, and changes of resources: put and drop.
func (a *anew) take(v *Version, revision int64, put []zones.Resource, drop []zones.Key) zones.Problems {
	b := zones.Batch{Revision: revision, Full: len(a.there) == 0, Meant: len(a.there) > 0}
	for _, r := range put {
		a.there[r.Key()] = r
		b.Changes = append(b.Changes, zones.Change{Key: r.Key(), Resource: r, Revision: revision})
	}
	for _, key := range drop {
		delete(a.there, key)
		b.Changes = append(b.Changes, zones.Change{Key: key, Revision: revision})
	}
	if v != nil {
		a.builder.Transferred("example.test", Transferred{Version: v})
	}
	var problems zones.Problems
	a.last, problems = a.builder.Update(a.catalog, a.catalog.Apply(b), nil)
	return problems
}

// TestAnewChangeByChange: a zone of a primary, signed there or not, is signed here with our own records on top. However
// it came about, it equals the zone made at once from the same. Its chain has all its names, and our keys sign all of
// it.
func TestAnewChangeByChange(t *testing.T) {
	k, other := signedKey(t), signedKey(t)
	rapid.Check(t, func(t *rapid.T) {
		nsec3 := rapid.Bool().Draw(t, "nsec3")
		primary, ours := newSignedZone(other, rapid.Bool().Draw(t, "the primary's nsec3")), newAnew(k)
		unsigned := rapid.Bool().Draw(t, "the primary does not sign")
		z := &zones.Zone{
			Origin: "example.test", DNSSEC: &zones.DNSSEC{Enabled: true, NSEC3: nsec3},
			Transfer: &zones.Transfer{Primaries: []string{"192.0.2.1"}, Allow: []string{"192.0.2.2"}},
		}
		put := []zones.Resource{
			z, &zones.Region{Region: "eu"}, &zones.Pool{Pool: "p", Region: "eu"}, endpointOf("192.0.2.80"),
		}
		owner := rapid.SampledFrom([]string{"a", "b.a", "c.b.a", "*.a", "d", "e.d", "*", "f", "g.f", "@"})
		steered := rapid.SampledFrom([]string{"s.a", "t", "*.d", "b.t"}) // the primary has records there too
		star := rapid.SampledFrom([]string{"*", "*.a", "*.f", "*.d"})
		record := func(owner *rapid.Generator[string]) *zones.Record {
			typ := rapid.SampledFrom([]string{"A", "TXT", "NS", "DS", "DNAME", "CDS"}).Draw(t, "type")
			n := rapid.IntRange(1, 3).Draw(t, "data")
			r := &zones.Record{Origin: "example.test", Owner: owner.Draw(t, "owner"), Type: typ}
			r.Data = []string{map[string]string{
				"A": fmt.Sprintf("192.0.2.%d", n), "TXT": fmt.Sprintf(`"%d"`, n), "NS": fmt.Sprintf("ns%d.test.", n),
				"DS": "1 13 2 " + strings.Repeat("ab", 32), "DNAME": fmt.Sprintf("to%d.test.", n),
				"CDS": "0 0 0 00",
			}[typ]}
			if r.Owner == "@" && typ != "A" && typ != "CDS" {
				r.Type, r.Data = "TXT", []string{`"x"`}
			}
			return r
		}
		var was *Version
		var drop []zones.Key
		for turn := range rapid.IntRange(1, 8).Draw(t, "turns") {
			var v *Version
			if turn == 0 || rapid.Bool().Draw(t, "the primary changes") {
				r := record(rapid.OneOf(owner, owner, steered))
				switch rapid.IntRange(0, 7).Draw(t, "alias, or goes") {
				case 0:
					r.Type, r.Data = "CNAME", []string{"to.test."}
				case 1, 2:
					r.Data = nil
				}
				primary.apply(r)
				all, err := records(primary.last.Zone(sealedApex))
				if err != nil {
					t.Fatal(err)
				}
				// As by a primary that signs by other rules.
				if rapid.IntRange(0, 2).Draw(t, "NS at a wildcard") == 0 {
					all = append(all, rr.Record{
						Owner: rr.Name(nameOf(t, star.Draw(t, "at")+".example.test")),
						Type:  rr.TypeNS, Class: classIN, TTL: 300, Data: nameOf(t, "ns.else.test"),
					})
				}
				if unsigned {
					all = slices.DeleteFunc(all, func(r rr.Record) bool { return made(r.Owner == sealedApex, r.Type) })
				}
				v = versionOf(t, NewEdition(sealedApex), nil, all).From(was)
				was = v
			}
			for range rapid.IntRange(0, 3).Draw(t, "laid over") {
				r, full := record(owner), steered.Draw(t, "steered")+".example.test"
				switch rapid.SampledFrom([]string{"put", "put", "drop", "policy", "no policy"}).Draw(t, "what") {
				case "put":
					put = append(put, r)
				case "drop":
					drop = append(drop, r.Key())
				case "policy":
					put = append(put, &zones.Policy{Name: full, Rules: []zones.Rule{{Failover: []zones.Step{{
						Pools: []zones.WeightedPool{{Pool: "p", Weight: 1}},
					}}}}})
				case "no policy":
					drop = append(drop, zones.KeyOf(zones.KindPolicy, full))
				}
			}
			put = slices.DeleteFunc(put, func(r zones.Resource) bool { return slices.Contains(drop, r.Key()) })
			revision := int64(turn + 1)
			put = append(put, &zones.Record{
				Origin: "example.test", Owner: "mark", Type: "TXT", Data: []string{fmt.Sprintf(`"%d"`, revision)},
			})
			ours.take(v, revision, put, drop)
			put, drop = nil, nil

			at := ours.last.zones[ours.last.origins[sealedApex]]
			if at.signing == nil || at.sealed != nil {
				t.Fatal("it is not signed here")
			}
			if got, want := chainOf(at.signing.chain), chainOf(at.linkAll()); !slices.Equal(got, want) {
				t.Fatalf("the chain is\n%q\nand of all names\n%q", got, want)
			}
			if missing := unsignedSets(ours.last, at); len(missing) > 0 {
				t.Fatalf("not signed: %q", missing)
			}
			for n := range at.tree.nodes {
				if rr.Name(n.name()).IsWildcard() && n.cut() {
					t.Fatalf("NS at %s are served", rr.Name(n.name()))
				}
			}
			h, err := handedOf(ours.last.Zone(sealedApex))
			if err != nil {
				t.Fatal(err)
			}
			if faults := h.faults(sealedApex, nsec3, k.DNSKEY()); len(faults) > 0 {
				t.Fatalf("as it is transferred: %q", faults)
			}
			fresh := newAnew(k)
			var all []zones.Resource
			for _, r := range ours.there {
				all = append(all, r)
			}
			fresh.take(was, revision, all, nil)
			got, err := records(ours.last.Zone(sealedApex))
			want, err2 := records(fresh.last.Zone(sealedApex))
			if a, b := printed(got), printed(want); err != nil || err2 != nil || !slices.Equal(a, b) {
				t.Fatalf("it is (%v)\n%s\nand made at once (%v)\n%s", err, strings.Join(a, "\n"), err2,
					strings.Join(b, "\n"))
			}
		}
	})
}

// TestWildcardNSOfPrimary: NS of a primary at a wildcard are left out if the zone is signed here, with a problem. A
// policy there is then answered. In a zone that is not signed here, they are as at the primary.
func TestWildcardNSOfPrimary(t *testing.T) {
	k, theirs := signedKey(t), signedKey(t)
	primary := newSignedZone(theirs, false)
	primary.apply(
		&zones.Zone{
			Origin: "example.test", Nameservers: []string{"ns.example.net"},
			DNSSEC: &zones.DNSSEC{Enabled: true, Foreign: []string{foreign(k)}},
		},
		&zones.Record{Origin: "example.test", Owner: "*.w", Type: "TXT", Data: []string{`"x"`}},
	)
	all, err := records(primary.last.Zone(sealedApex))
	if err != nil {
		t.Fatal(err)
	}
	star := rr.Name(nameOf(t, "*.w.example.test"))
	all = append(all, rr.Record{
		Owner: star, Type: rr.TypeNS, Class: classIN, TTL: 300, Data: nameOf(t, "ns.else.test"),
	})
	plain := slices.DeleteFunc(slices.Clone(all), func(r rr.Record) bool { return made(r.Owner == sealedApex, r.Type) })
	for _, x := range []struct {
		what   string
		has    []rr.Record
		d      *zones.DNSSEC
		served bool
	}{
		{"signed there and here", all, &zones.DNSSEC{Enabled: true}, false},
		{"signed here", plain, &zones.DNSSEC{Enabled: true, NSEC3: true}, false},
		{"keeps its primary's signatures", all, &zones.DNSSEC{Enabled: true, Keep: true}, false},
		{"signed nowhere", plain, nil, true},
	} {
		z := &zones.Zone{
			Origin: "example.test", DNSSEC: x.d, Transfer: &zones.Transfer{Primaries: []string{"192.0.2.1"}},
		}
		ours, v := newAnew(k), versionOf(t, NewEdition(sealedApex), nil, x.has)
		put := []zones.Resource{
			z, &zones.Region{Region: "eu"}, &zones.Pool{Pool: "p", Region: "eu"}, endpointOf("192.0.2.80"),
			&zones.Policy{Name: "over.example.test", Rules: oneRule("p")},
		}
		for turn, more := range [][]zones.Resource{
			put,
			{&zones.Record{Origin: "example.test", Owner: "*.w", Type: "MX", Data: []string{"1 mx.test."}}},
			{&zones.Record{Origin: "example.test", Owner: "other", Type: "MX", Data: []string{"1 mx.test."}}},
		} {
			problems := ours.take(v, int64(turn+1), more, nil)
			said := 0
			for _, p := range problems {
				if strings.Contains(p.Message, "the primary has NS at *.w.example.test; the zone is signed here") {
					said++
				}
			}
			at := ours.last.zones[ours.last.origins[sealedApex]]
			_, ns := at.tree.find([]byte(star)).set(rr.TypeNS)
			if _, txt := at.tree.find([]byte(star)).set(rr.TypeTXT); (ns != nil) != x.served || txt == nil {
				t.Errorf("%s, %d: NS %x, TXT %x", x.what, turn, ns, txt)
			}
			if x.served != (said == 0) || said > 1 {
				t.Errorf("%s, %d: said %d times: %v", x.what, turn, said, problems)
			}
		}
		ours.take(nil, 4, []zones.Resource{&zones.Policy{Name: "*.w.example.test", Rules: oneRule("p")}}, nil)
		var a Answer
		ours.last.Lookup(nameOf(t, "q.w.example.test"), uint16(rr.TypeA), classIN, &a)
		if (a.Policy != nil) == x.served {
			t.Errorf("%s: the policy at the wildcard is answered: %v", x.what, a.Policy != nil)
		}
	}
}
