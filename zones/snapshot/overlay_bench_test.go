package snapshot_test

import (
	"fmt"
	"testing"
	"time"

	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
)

// BenchmarkLaidOver measures the cost for the control loop of two changes. A zone of 100,000 names on another primary,
// with 10,000 policies laid over it, changes at one name. One of the policies goes and comes.
func BenchmarkLaidOver(b *testing.B) {
	const apex = rr.Name("\x07example\x04test\x00")
	c, builder := catalog.New(time.Now), snapshot.NewBuilder(time.Now)
	batch := zones.Batch{Revision: 1, Full: true}
	put := func(r zones.Resource) {
		batch.Changes = append(batch.Changes, zones.Change{Key: r.Key(), Resource: r, Revision: 1})
	}
	put(&zones.Zone{Origin: "example.test", Transfer: &zones.Transfer{Primaries: []string{"192.0.2.1"}}})
	put(&zones.Region{Region: "here"})
	put(&zones.Pool{Pool: "pool", Region: "here"})
	steered := func(i int) *zones.Policy {
		p := policy(i, "pool")
		p.Name = fmt.Sprintf("host-%d.example.test", 7*i)
		return p
	}
	for i := range 10_000 {
		put(steered(i))
	}
	edition := snapshot.NewEdition(apex)
	add := func(owner string, typ rr.Type, text string) {
		name, err := rr.ParseRelative(owner, apex)
		data, derr := rr.ParseData(typ, text, apex)
		if err != nil || derr != nil {
			b.Fatal(err, derr)
		}
		r := rr.Record{Owner: name, Type: typ, Class: 1, TTL: 300, Data: data}
		f := edition.Add
		if typ == rr.TypeSOA {
			f = edition.SetSOA
		}
		if err := f(r); err != nil {
			b.Fatal(err)
		}
	}
	add("@", rr.TypeSOA, "ns. host. 1 3600 600 86400 60")
	add("@", rr.TypeNS, "ns")
	for i := range 100_000 {
		add(fmt.Sprintf("host-%d", i), rr.TypeA, "192.0.2.1")
	}
	version, err := edition.Finish()
	if err != nil {
		b.Fatal(err)
	}
	builder.Transferred("example.test", snapshot.Transferred{Version: version})
	builder.Update(c, c.Apply(batch), nil)
	b.Run("there", func(b *testing.B) {
		serial := 1
		for b.Loop() {
			serial++
			edition = version.Edit()
			add("@", rr.TypeSOA, fmt.Sprintf("ns. host. %d 3600 600 86400 60", serial))
			add(fmt.Sprintf("new-%d", serial), rr.TypeA, "192.0.2.1")
			version, _ = edition.Finish()
			builder.Transferred("example.test", snapshot.Transferred{Version: version})
			builder.Update(c, catalog.Delta{}, nil)
		}
	})
	b.Run("here", func(b *testing.B) {
		revision := int64(1)
		for b.Loop() {
			revision++
			ch := zones.Change{Key: steered(5).Key(), Revision: revision}
			if revision%2 == 1 {
				ch.Resource = steered(5)
			}
			builder.Update(c, c.Apply(zones.Batch{Revision: revision, Accepted: revision, Changes: []zones.Change{ch}}),
				nil)
		}
	})
}
