package snapshot_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
)

// A snapshot that was made change by change equals one made from nothing.
func TestChangeByChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, b := catalog.New(time.Now), snapshot.NewBuilder(time.Now)
		owners := []string{"@", "a", "b", "a.b", "c.a.b", "*.a", "*", "x.*.a", "d.e.f.g", "e.f.g"}
		var last published
		for rev := int64(1); rev <= 12; rev++ {
			batch := zones.Batch{Revision: rev, Accepted: rev}
			for range rapid.IntRange(1, 6).Draw(t, "changes") {
				batch.Changes = append(batch.Changes, randomChange(t, owners, rev))
			}
			shot, problems := b.Update(c, c.Apply(batch), nil)
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			last.hold(t, shot)
			fresh, _ := snapshot.NewBuilder(time.Now).Update(c, catalog.Delta{Full: true, Revision: rev}, nil)
			if diff := cmp.Diff(printed(t, fresh), printed(t, shot)); diff != "" {
				t.Fatalf("revision %d, from nothing (-) and change by change (+):\n%s", rev, diff)
			}
			if diff := cmp.Diff(fresh.Stats(), shot.Stats()); diff != "" {
				t.Fatal(diff)
			}
			for _, origin := range []rr.Name{"\x07example\x04test\x00", "\x01a\x07example\x04test\x00"} {
				if diff := cmp.Diff(sets(fresh, origin), sets(shot, origin)); diff != "" {
					t.Fatalf("revision %d, sets of %s from nothing (-) and change by change (+):\n%s", rev, origin,
						diff)
				}
			}
		}
	})
}

// published is a snapshot as it was when it was published. Queries may hold it for as long as they like, so no later
// change may touch it.
type published struct {
	snapshot *snapshot.Snapshot
	was      string
}

// hold compares the former snapshot with what it was, and goes on with the next.
func (p *published) hold(t *rapid.T, next *snapshot.Snapshot) {
	if p.snapshot != nil {
		if diff := cmp.Diff(p.was, printed(t, p.snapshot)); diff != "" {
			t.Fatalf("the snapshot before has changed since it was published:\n%s", diff)
		}
	}
	*p = published{next, printed(t, next)}
}

// sets returns all RRsets of a zone in wire form, by name and type, and the SOA of its negative answers. It returns nil
// if there is no such zone.
func sets(s *snapshot.Snapshot, origin rr.Name) map[string]string {
	z := s.Zone(origin)
	if z == nil {
		return nil
	}
	all := map[string]string{}
	z.Each(func(name []byte, typ rr.Type, _ int, wire []byte) bool {
		all[rr.Name(name).String()+" "+typ.String()] = string(wire)
		return true
	})
	var a snapshot.Answer
	s.Lookup([]byte("\x04none"+origin), uint16(rr.TypeA), 1, &a)
	whole, shorter := a.Negative()
	short := shorter.Record
	all["negative"] = string(whole)
	all["negative, short"] = string(short)
	return all
}

// randomChange puts or deletes a zone, a record, a pool or a policy.
func randomChange(t *rapid.T, owners []string, rev int64) zones.Change {
	origin := rapid.SampledFrom([]string{"example.test", "a.example.test"}).Draw(t, "origin")
	var r zones.Resource
	switch rapid.SampledFrom([]string{"zone", "record", "record", "record", "pool", "policy"}).Draw(t, "kind") {
	case "zone":
		r = &zones.Zone{
			Origin: origin, Nameservers: []string{"ns.example.net"},
			TTL: zones.NewTTL(time.Duration(rev) * time.Minute),
		}
	case "record":
		typ := rapid.SampledFrom([]string{"TXT", "A", "NS"}).Draw(t, "type")
		owner := rapid.SampledFrom(owners).Draw(t, "owner")
		if typ == "NS" && (owner == "@" || strings.Contains(owner, "*")) {
			typ = "TXT"
		}
		r = &zones.Record{
			Origin: origin, Owner: owner, Type: typ,
			Data: []string{map[string]string{"TXT": "text", "A": "192.0.2.1", "NS": "ns"}[typ]},
		}
	case "pool":
		r = &zones.Pool{Pool: rapid.SampledFrom([]string{"p", "q"}).Draw(t, "pool"), Region: "here"}
	case "policy":
		name := rapid.SampledFrom([]string{"www.example.test", "www.a.example.test", "a.example.test"}).Draw(t,
			"policy")
		r = &zones.Policy{
			Name:  name,
			Rules: []zones.Rule{{Failover: []zones.Step{{Pools: []zones.WeightedPool{{Pool: "p", Weight: 1}}}}}},
		}
	}
	c := zones.Change{Key: r.Key(), Resource: r, Revision: rev}
	switch rapid.IntRange(0, 5).Draw(t, "delete") {
	case 0:
		c.Resource = nil
	case 1:
		c.Resource, c.Err = nil, errors.New("it cannot be read")
	}
	return c
}

func printed(t interface{ Fatal(...any) }, s *snapshot.Snapshot) string {
	var b strings.Builder
	if err := s.Print(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// many is a catalog of policies with pools of six endpoints each, and records.
func many(tb testing.TB, policies, records int) *catalog.Catalog {
	c := catalog.New(time.Now)
	rs := []zones.Resource{
		&zones.Zone{Origin: "example.test", Nameservers: []string{"ns1.example.net"}},
		&zones.Region{Region: "here"},
	}
	for i := range policies {
		pool := fmt.Sprintf("pool-%d", i)
		rs = append(rs, &zones.Pool{Pool: pool, Region: "here"}, policy(i, pool))
		for k := range 6 {
			rs = append(rs, &zones.Endpoint{Pool: pool, Endpoint: fmt.Sprintf("lb-%d", k), Addresses: []netip.Addr{
				netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), byte(k + 1)}),
			}})
		}
	}
	for i := range records {
		rs = append(rs, &zones.Record{
			Origin: "example.test", Owner: fmt.Sprintf("host-%d", i), Type: "A",
			Data: []string{"192.0.2.1"},
		})
	}
	b := zones.Batch{Revision: 1, Full: true}
	for _, r := range rs {
		b.Changes = append(b.Changes, zones.Change{Key: r.Key(), Resource: r, Revision: 1})
	}
	c.Apply(b)
	if ps := c.Problems().Errors(); len(ps) > 0 {
		tb.Fatal(ps[0])
	}
	return c
}

func policy(i int, pool string) *zones.Policy {
	return &zones.Policy{Name: fmt.Sprintf("www-%d.example.test", i), Rules: []zones.Rule{
		{Failover: []zones.Step{{Pools: []zones.WeightedPool{{Pool: pool, Weight: 1}}}}},
	}}
}

func TestLookupAllocatesNothing(t *testing.T) {
	c := many(t, 1, 100)
	shot, _ := snapshot.NewBuilder(time.Now).Update(c, catalog.Delta{Full: true, Revision: 1}, nil)
	var a snapshot.Answer
	for _, name := range []string{
		"host-7.example.test", "nothing-here-with-a-long-name-beyond-thirty-two.example.test",
		"www-0.example.test", "example.net",
	} {
		n, err := rr.ParseName(name)
		if err != nil {
			t.Fatal(err)
		}
		raw := []byte(n)
		if got := testing.AllocsPerRun(100, func() { shot.Lookup(raw, 1, 1, &a) }); got != 0 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
}

func TestSaveAndLoad(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := snapshot.Load(t.Context(), dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty folder: %v", err)
	}
	c := many(t, 3, 5)
	rs := c.Freeze()
	c.Apply(zones.Batch{Revision: 43, Changes: []zones.Change{{Key: "records/later.test/a/A", Resource: &zones.Record{
		Origin: "later.test", Owner: "a", Type: "A", Data: []string{"192.0.2.1"},
	}}}}) // what is saved is what there was
	want := snapshot.Saved{Revision: 42, Cluster: 7, Time: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)}
	if err := snapshot.Save(dir, want, rs); err != nil {
		t.Fatal(err)
	}
	meta, changes, err := snapshot.Load(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if meta.Revision != 42 || meta.Cluster != 7 || !meta.Time.Equal(want.Time) || len(changes) != rs.Len() ||
		rs.Len() == 0 {
		t.Errorf("loaded %+v with %d resources, saved %d", meta, len(changes), rs.Len())
	}
	back := catalog.New(time.Now)
	back.Apply(zones.Batch{Revision: 42, Full: true, Changes: changes})
	one, _ := snapshot.NewBuilder(time.Now).Update(c, catalog.Delta{Full: true}, nil)
	two, _ := snapshot.NewBuilder(time.Now).Update(back, catalog.Delta{Full: true}, nil)
	if diff := cmp.Diff(printed(t, one), printed(t, two)); diff != "" {
		t.Error(diff)
	}

	file := filepath.Join(dir, snapshot.StateFile)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"cut short": good[:len(good)/2], "empty": {}, "text": []byte("not gzip"),
		"a bit flipped": append(append(append([]byte{}, good[:len(good)/2]...), good[len(good)/2]^1),
			good[len(good)/2+1:]...),
		"cut at the end": good[:len(good)-9],
		"one long line":  zipped(bytes.Repeat([]byte("a"), 20<<20)),
		"lines that unpack to far more than they take": zipped(append([]byte(`{"format":1,"count":100000000}`+"\n"),
			bytes.Repeat([]byte("records/a/b/A\t"+strings.Repeat(" ", 1<<20)+"\n"), 100)...)),
	} {
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := snapshot.Load(t.Context(), dir); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: loaded, or taken for missing: %v", name, err)
		}
	}
	if left, _ := filepath.Glob(file + ".*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func BenchmarkLookup(b *testing.B) {
	for _, names := range []int{10_000, 1_000_000} {
		c := many(b, 1, names)
		shot, _ := snapshot.NewBuilder(time.Now).Update(c, catalog.Delta{Full: true, Revision: 1}, nil)
		for _, host := range []string{"host", "none"} {
			var questions [4096][]byte
			for i := range questions {
				n, err := rr.ParseName(fmt.Sprintf("%s-%d.example.test", host, i*names/len(questions)))
				if err != nil {
					b.Fatal(err)
				}
				questions[i] = []byte(n)
			}
			b.Run(fmt.Sprintf("%s/%d", host, names), func(b *testing.B) {
				b.ReportAllocs()
				var a snapshot.Answer
				for i := 0; b.Loop(); i++ {
					shot.Lookup(questions[i%len(questions)], 1, 1, &a)
				}
			})
		}
	}
}

// BenchmarkUpdate measures one changed endpoint beside 10,000 policies.
func BenchmarkUpdate(b *testing.B) {
	c := many(b, 10_000, 0)
	builder := snapshot.NewBuilder(time.Now)
	builder.Update(c, catalog.Delta{Full: true, Revision: 1}, nil)
	rev := int64(1)
	for b.Loop() {
		rev++
		i := int(rev) % 10_000
		r := &zones.Endpoint{Pool: fmt.Sprintf("pool-%d", i), Endpoint: "lb-0", Addresses: []netip.Addr{
			netip.AddrFrom4([4]byte{11, byte(i >> 8), byte(i), byte(rev)}),
		}}
		d := c.Apply(zones.Batch{Revision: rev, Changes: []zones.Change{{Key: r.Key(), Resource: r, Revision: rev}}})
		builder.Update(c, d, nil)
	}
}

// A zone of another primary is laid over change by change, there and here. It equals its newest version laid over at
// once. A version made by differences equals one transferred whole.
func TestLaidOverChangeByChange(t *testing.T) {
	const apex = rr.Name("\x07example\x04test\x00")
	rapid.Check(t, func(t *rapid.T) {
		c, b := catalog.New(time.Now), snapshot.NewBuilder(time.Now)
		owners := []string{"@", "a", "b", "a.b", "c.a.b", "*.a", "d.e.f.g", "e.f.g"}
		elsewhere := zones.Change{Resource: &zones.Zone{
			Origin:   "example.test",
			Transfer: &zones.Transfer{Primaries: []string{"192.0.2.1"}},
		}, Revision: 1}
		elsewhere.Key = elsewhere.Resource.Key()
		there := map[string]bool{} // the primary's records: owner, type and data
		var version *snapshot.Version
		var last published
		record := func(text string) rr.Record {
			words := strings.Fields(text)
			name, err := rr.ParseRelative(words[0], apex)
			typ, terr := rr.ParseType(words[1])
			data, derr := rr.ParseData(typ, words[2], apex)
			if err != nil || terr != nil || derr != nil {
				t.Fatal(err, terr, derr)
			}
			return rr.Record{Owner: name, Type: typ, Class: 1, TTL: 300, Data: data}
		}
		soa := func(serial int64) rr.Record {
			data, err := rr.ParseData(rr.TypeSOA, fmt.Sprintf("ns. host. %d 3600 600 86400 60", serial), apex)
			if err != nil {
				t.Fatal(err)
			}
			return rr.Record{Owner: apex, Type: rr.TypeSOA, Class: 1, TTL: 300, Data: data}
		}
		finish := func(e *snapshot.Edition) *snapshot.Version {
			v, err := e.Finish()
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		for rev := int64(1); rev <= 25; rev++ {
			batch := zones.Batch{Revision: rev, Accepted: rev}
			if rev == 1 {
				batch.Changes = append(batch.Changes, elsewhere)
			}
			for range rapid.IntRange(0, 2).Draw(t, "changes") {
				if ch := randomChange(t, owners, rev); ch.Key.Kind() != zones.KindZone {
					batch.Changes = append(batch.Changes, ch)
				}
			}
			edition := snapshot.NewEdition(apex)
			if version != nil {
				edition = version.Edit()
			}
			put := func(text string) {
				if err := edition.Add(record(text)); err != nil {
					t.Fatal(err)
				}
			}
			if version == nil {
				put("@ NS ns")
			}
			for range rapid.IntRange(0, 4).Draw(t, "records") {
				data := map[string]string{
					"A": "192.0.2.1", "AAAA": "2001:db8::1", "TXT": "x", "CNAME": "a", "NS": "ns",
					"DNAME": "x.test.",
				}
				typ := rapid.SampledFrom([]string{"A", "AAAA", "TXT", "CNAME", "NS", "DNAME"}).Draw(t, "type")
				owner := rapid.SampledFrom(owners).Draw(t, "owner")
				text := owner + " " + typ + " " + data[typ]
				if text == "@ NS ns" {
					continue
				}
				if there[text] {
					if err := edition.Remove(record(text)); err != nil {
						t.Fatal(err)
					}
					delete(there, text)
					continue
				}
				put(text)
				there[text] = true
			}
			if err := edition.SetSOA(soa(rev)); err != nil {
				t.Fatal(err)
			}
			version = finish(edition)

			whole := snapshot.NewEdition(apex)
			for text := range there {
				if err := whole.Add(record(text)); err != nil {
					t.Fatal(err)
				}
			}
			_ = whole.Add(record("@ NS ns"))
			_ = whole.SetSOA(soa(rev))
			at := finish(whole)
			if rapid.IntRange(0, 5).Draw(t, "whole") == 0 {
				version = at.From(version)
			}

			b.Transferred("example.test", snapshot.Transferred{Version: version})
			shot, problems := b.Update(c, c.Apply(batch), nil)
			last.hold(t, shot)
			fresh := snapshot.NewBuilder(time.Now)
			fresh.Transferred("example.test", snapshot.Transferred{Version: at})
			want, wantProblems := fresh.Update(c, catalog.Delta{Full: true, Revision: rev}, nil)
			if diff := cmp.Diff(printed(t, want), printed(t, shot)); diff != "" {
				t.Fatalf("revision %d, at once (-) and change by change (+):\n%s", rev, diff)
			}
			if diff := cmp.Diff(want.Stats(), shot.Stats()); diff != "" {
				t.Fatal(diff)
			}
			if diff := cmp.Diff(fmt.Sprint(wantProblems), fmt.Sprint(problems)); diff != "" {
				t.Fatal(diff)
			}
			if diff := cmp.Diff(sets(want, apex), sets(shot, apex)); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

// zipped returns text as gzip.
func zipped(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(b)
	_ = z.Close()
	return out.Bytes()
}

// TestLoadIsCancelled: a server that is told to stop does not first finish reading a copy.
func TestLoadIsCancelled(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, snapshot.StateFile), zipped(bytes.Repeat([]byte("a\n"), 1<<20)),
		0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, _, err := snapshot.Load(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
