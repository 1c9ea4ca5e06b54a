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

// anew is a server that signs a zone which it has from a primary, with what is laid over it.
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

// take takes a version, or nil, and changes of resources, of which those of the third list go.
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

// TestAnewChangeByChange: a zone of a primary, signed there or not, that is signed here with what is laid over it, is
// what it is when it is made of the same at once: its chain is that of all its names, and all of it is signed by us.
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
		steered := rapid.SampledFrom([]string{"s.a", "t", "*.d", "b.t"}) // where the primary has records too
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
				if unsigned {
					all = slices.DeleteFunc(all, func(r rr.Record) bool { return made(r.Owner == sealedApex, r.Type) })
				}
				v = versionOf(t, nil, nil, all).From(was)
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
