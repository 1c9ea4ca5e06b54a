package snapshot

import (
	"bytes"
	"encoding/binary"
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

const sealedApex = rr.Name("\x07example\x04test\x00")

// signedZone is a zone that we sign and change. Others have it from us as their primary.
type signedZone struct {
	catalog  *catalog.Catalog
	builder  *Builder
	last     *Snapshot
	revision int64
}

func newSignedZone(k *dnssec.Key, nsec3 bool) *signedZone {
	s := &signedZone{catalog: catalog.New(time.Now), builder: NewBuilder(time.Now)}
	s.builder.Keyed("example.test", dnssec.Alone(k), nil)
	s.apply(&zones.Zone{
		Origin: "example.test", Nameservers: []string{"ns.example.net"},
		DNSSEC: &zones.DNSSEC{Enabled: true, NSEC3: nsec3},
	})
	return s
}

func (s *signedZone) apply(all ...zones.Resource) {
	s.revision++
	b := zones.Batch{Revision: s.revision, Full: s.revision == 1, Meant: s.revision > 1}
	for _, r := range all {
		c := zones.Change{Key: r.Key(), Resource: r, Revision: s.revision}
		if x, is := r.(*zones.Record); is && x.Data == nil {
			c.Resource = nil
		}
		b.Changes = append(b.Changes, c)
	}
	s.last, _ = s.builder.Update(s.catalog, s.catalog.Apply(b), nil)
}

// records returns all records of a zone, as in a transfer.
func records(z *Zone) (all []rr.Record, err error) {
	err = z.Each(func(name []byte, typ rr.Type, count int, wire []byte) bool {
		for range count {
			data := dataOf(wire)
			all = append(all, rr.Record{
				Owner: rr.Name(name), Type: typ, Class: classIN, TTL: binary.BigEndian.Uint32(wire[6:]),
				Data: bytes.Clone(data),
			})
			wire = wire[recordHead+len(data):]
		}
		return true
	})
	return all, err
}

func printed(all []rr.Record) (out []string) {
	for _, r := range all {
		out = append(out, fmt.Sprintf("%s %d %s %x", r.Owner, r.TTL, r.Type, r.Data))
	}
	slices.Sort(out)
	return out
}

// versionOf makes a version of the present records. before are those with which the edition begins.
func versionOf(t interface{ Fatal(...any) }, e *Edition, before, now []rr.Record) *Version {
	has := func(all []rr.Record, r rr.Record) bool {
		return slices.ContainsFunc(all, func(x rr.Record) bool {
			return x.Owner == r.Owner && x.Type == r.Type && x.TTL == r.TTL && bytes.Equal(x.Data, r.Data)
		})
	}
	var gone []rr.Record
	for _, r := range before {
		if !has(now, r) {
			gone = append(gone, r)
		}
	}
	now = slices.DeleteFunc(slices.Clone(now), func(r rr.Record) bool { return has(before, r) })
	for _, r := range gone {
		if r.Type != rr.TypeSOA {
			if err := e.Remove(r); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, r := range now {
		put := e.Add
		if r.Type == rr.TypeSOA {
			put = e.SetSOA
		}
		r.Data = bytes.Clone(r.Data)
		if err := put(r); err != nil {
			t.Fatal(err)
		}
	}
	v, err := e.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// passes is a server that has the zone from its primary.
type passes struct {
	catalog  *catalog.Catalog
	builder  *Builder
	last     *Snapshot
	problems zones.Problems
}

func newPasses(now func() time.Time) *passes {
	p := &passes{catalog: catalog.New(now), builder: NewBuilder(now)}
	z := &zones.Zone{Origin: "example.test", Transfer: &zones.Transfer{Primaries: []string{"192.0.2.1"}}}
	p.last, _ = p.builder.Update(p.catalog, p.catalog.Apply(zones.Batch{
		Revision: 1, Full: true, Changes: []zones.Change{{Key: z.Key(), Resource: z, Revision: 1}},
	}), nil)
	return p
}

func (p *passes) take(v *Version) {
	p.builder.Transferred("example.test", Transferred{Version: v})
	p.last, p.problems = p.builder.Update(p.catalog, catalog.Delta{}, nil)
}

func (p *passes) zone() *zone { return p.last.zones[p.last.origins[sealedApex]] }

// shown returns a snapshot's answer to a question, with its proofs.
func shown(s *Snapshot, name []byte, typ rr.Type) string {
	var a Answer
	var d Denial
	s.Lookup(name, uint16(typ), classIN, &a)
	text := fmt.Sprintf("%d, secure %v", a.Outcome, a.Secure())
	switch a.Outcome {
	case Positive, Alias:
		if text += fmt.Sprintf(" %x", a.Answer.Wire); a.Encloser > 0 {
			s.Expanded(&a, name, &d)
		}
	case NoData:
		if p, ok := s.Link(&a, &d); ok && typ == rr.TypeNSEC {
			return text + fmt.Sprintf(" %x", p.Data)
		}
		s.NoData(&a, name, nil, 0, &d)
	case NameError:
		s.NameError(&a, name, &d)
	case Referral:
		ds := s.Delegation(&a, name, a.Authority.Owner, &d)
		text += fmt.Sprintf(" %x %x", a.Authority.Wire, ds.Wire)
	}
	for _, p := range d.Proofs {
		text += fmt.Sprintf("\n  %s %d %s %x", rr.Name(p.Owner), p.TTL, p.Type, p.Data)
	}
	return text
}

// TestSealedChangeByChange: a zone that its primary signs is transferred and answered as by the primary, whether it
// came whole or as differences. There is no problem about it.
func TestSealedChangeByChange(t *testing.T) {
	k := signedKey(t)
	rapid.Check(t, func(t *rapid.T) {
		nsec3 := rapid.Bool().Draw(t, "nsec3")
		primary, ours := newSignedZone(k, nsec3), newPasses(time.Now)
		var was *Version
		var before []rr.Record
		owner := rapid.SampledFrom([]string{"a", "b.a", "c.b.a", "*.a", "x.*.a", "d", "e.d", "*", "f", "g.f", "@"})
		for range rapid.IntRange(1, 8).Draw(t, "turns") {
			var changes []zones.Resource
			for range rapid.IntRange(0, 4).Draw(t, "changes") {
				types := rapid.SampledFrom([]string{"A", "TXT", "NS", "DS", "DNAME", "TYPE65280", "CNAME"})
				typ := types.Draw(t, "type")
				r := &zones.Record{Origin: "example.test", Owner: owner.Draw(t, "owner"), Type: typ}
				n := rapid.IntRange(0, 3).Draw(t, "data")
				if text := map[string]string{
					"A": fmt.Sprintf("192.0.2.%d", n), "TXT": fmt.Sprintf(`"%d"`, n),
					"NS": fmt.Sprintf("ns%d.test.", n), "DS": "1 13 2 " + strings.Repeat("ab", 32),
					"DNAME":     fmt.Sprintf("to%d.test.", n),
					"TYPE65280": fmt.Sprintf(`\# 1 0%d`, n),
					"CNAME":     fmt.Sprintf("to%d.test.", n),
				}[typ]; n > 0 {
					r.Data = []string{text}
				}
				if r.Owner != "@" || typ == "A" || typ == "TXT" {
					changes = append(changes, r)
				}
			}
			primary.apply(changes...)
			theirs := primary.last.Zone(sealedApex)
			now, err := records(theirs)
			if err != nil {
				t.Fatal(err)
			}
			if rapid.Bool().Draw(t, "whole") || was == nil {
				was = versionOf(t, NewEdition(sealedApex), nil, now).From(was)
			} else {
				was = versionOf(t, was.Edit(), before, now)
			}
			before = now
			ours.take(was)
			got, err := records(ours.last.Zone(sealedApex))
			if err != nil || !slices.Equal(printed(got), printed(now)) {
				t.Fatalf("handed on is (%v)\n%s\nand the primary has\n%s", err, strings.Join(printed(got), "\n"),
					strings.Join(printed(now), "\n"))
			}
			if len(ours.problems) > 0 {
				t.Fatalf("%v", ours.problems)
			}
			fresh := newPasses(time.Now)
			fresh.take(versionOf(t, NewEdition(sealedApex), nil, now))
			if a, b := chainOf(ours.zone().sealed.chain), chainOf(fresh.zone().sealed.chain); !slices.Equal(a, b) {
				t.Fatalf("the chain is\n%q\nand made anew\n%q", a, b)
			}
			for range 20 {
				text := strings.TrimPrefix(owner.Draw(t, "asked")+".example.test", "@.")
				if rapid.Bool().Draw(t, "below") {
					text = rapid.SampledFrom([]string{"q", "b", "0", "*", "s.r.q", "q.b"}).Draw(t, "label") + "." + text
				}
				name, err := rr.ParseName(text)
				if err != nil {
					t.Fatal(err)
				}
				typ := rapid.SampledFrom([]rr.Type{
					rr.TypeA, rr.TypeTXT, rr.TypeNS, rr.TypeDS, rr.TypeNSEC, rr.TypeDNSKEY,
				}).Draw(t, "qtype")
				want := shown(primary.last, []byte(name), typ)
				if got := shown(ours.last, []byte(name), typ); got != want {
					t.Fatalf("%s %s is\n%s\nand the primary says\n%s", name, typ, got, want)
				}
			}
		}
	})
}

// BenchmarkSealedNameError proves that names do not exist, in a zone with NSEC3 that its primary signs. A name of many
// labels costs as much as one of few.
func BenchmarkSealedNameError(b *testing.B) {
	primary, ours := newSignedZone(signedKey(b), true), newPasses(time.Now)
	primary.apply(&zones.Record{Origin: "example.test", Owner: "a", Type: "A", Data: []string{"192.0.2.1"}})
	all, err := records(primary.last.Zone(sealedApex))
	if err != nil {
		b.Fatal(err)
	}
	ours.take(versionOf(b, NewEdition(sealedApex), nil, all))
	for _, labels := range []int{1, 100} {
		b.Run(fmt.Sprintf("labels=%d", labels), func(b *testing.B) {
			name := []byte(strings.Repeat("\x01q", labels) + string(sealedApex))
			var a Answer
			var d Denial
			for b.Loop() {
				ours.last.Lookup(name, uint16(rr.TypeA), classIN, &a)
				ours.last.NameError(&a, name, &d)
			}
			if len(d.Proofs) == 0 {
				b.Fatal("nothing is proven")
			}
		})
	}
}

// TestSealedIterations: if a hash costs more than any resolver accepts, it is not computed, and a problem says so. The
// primary's records are still served.
func TestSealedIterations(t *testing.T) {
	primary := newSignedZone(signedKey(t), true)
	primary.apply(&zones.Record{Origin: "example.test", Owner: "a", Type: "A", Data: []string{"192.0.2.1"}})
	for iterations, proven := range map[uint16]bool{0: true, 501: false, 65535: false} {
		all, err := records(primary.last.Zone(sealedApex))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range all {
			if r.Type == rr.TypeNSEC3 || r.Type == rr.TypeNSEC3PARAM {
				binary.BigEndian.PutUint16(r.Data[2:], iterations)
			}
		}
		ours := newPasses(time.Now)
		ours.take(versionOf(t, NewEdition(sealedApex), nil, all))
		said := slices.ContainsFunc(ours.problems, func(p zones.Problem) bool {
			return strings.Contains(p.Message, fmt.Sprintf("%d iterations, and 500 are the most", iterations))
		})
		var a Answer
		var d Denial
		name := []byte("\x01q" + string(sealedApex))
		ours.last.Lookup(name, uint16(rr.TypeA), classIN, &a)
		ours.last.NameError(&a, name, &d)
		if said == proven || len(d.Proofs) > 0 != proven {
			t.Errorf("%d iterations: %d proofs, %v", iterations, len(d.Proofs), ours.problems)
		}
		got, err := records(ours.last.Zone(sealedApex))
		if err != nil || !slices.Equal(printed(got), printed(all)) {
			t.Errorf("%d iterations: not served as it is", iterations)
		}
	}
}

// TestSealedFaults: expired signatures and broken denial are served as they are, with a problem.
func TestSealedFaults(t *testing.T) {
	k := signedKey(t)
	for _, nsec3 := range []bool{false, true} {
		rapid.Check(t, func(t *rapid.T) {
			now := time.Now()
			primary := newSignedZone(k, nsec3)
			for _, owner := range []string{"a", "b.a", "c", "*.d"} {
				primary.apply(&zones.Record{
					Origin: "example.test", Owner: owner, Type: "A", Data: []string{"192.0.2.1"},
				})
			}
			ours := newPasses(func() time.Time { return now })
			all, err := records(primary.last.Zone(sealedApex))
			if err != nil {
				t.Fatal(err)
			}
			whole := versionOf(t, NewEdition(sealedApex), nil, all)
			ours.take(whole)
			if len(ours.problems) > 0 {
				t.Fatal(ours.problems)
			}
			says := func(what string, texts ...string) {
				t.Helper()
				if len(ours.problems) != len(texts) {
					t.Fatalf("%s: %v", what, ours.problems)
				}
				for i, text := range texts {
					if p := ours.problems[i]; !strings.Contains(p.Message, text) || !p.Warning {
						t.Fatalf("%s: %v", what, p)
					}
				}
				got, err := records(ours.last.Zone(sealedApex))
				if want := slices.Clone(all); err != nil || !slices.Equal(printed(got), printed(want)) {
					t.Fatalf("%s: not served as it is", what)
				}
			}
			due := ours.builder.NextExpiry()
			if due.Before(now.Add(12*24*time.Hour)) || due.After(now.Add(14*24*time.Hour)) {
				t.Fatalf("signatures expire at %v", due)
			}
			now = due
			ours.last, ours.problems = ours.builder.Update(ours.catalog, catalog.Delta{}, nil)
			says("after expiry", "RRsets have expired, that of ")
			now = time.Now()
			ours.take(whole)
			says("the clock is right again")

			before := all
			links := slices.DeleteFunc(slices.Clone(all), func(r rr.Record) bool { return !denies(r.Type) })
			gone := rapid.SampledFrom(links).Draw(t, "gone")
			all = slices.DeleteFunc(slices.Clone(all), func(r rr.Record) bool {
				return denies(r.Type) && r.Owner == gone.Owner
			})
			if rapid.Bool().Draw(t, "by difference") {
				ours.take(versionOf(t, whole.Edit(), before, all))
			} else {
				ours.take(versionOf(t, NewEdition(sealedApex), nil, all))
			}
			says("without "+gone.Owner.String(), "denial of existence is broken")
			all = before
			ours.take(whole)
			says("it is back")
		})
	}
}
