package snapshot_test

import (
	"testing"
	"time"

	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
)

// A policy that is written again unchanged is not laid over again. Its conflicts are still reported as problems of the
// newest version.
func TestCrossingIsOfTheNewestVersion(t *testing.T) {
	const apex = rr.Name("\x07example\x04test\x00")
	c, builder := catalog.New(time.Now), snapshot.NewBuilder(time.Now)
	edition := snapshot.NewEdition(apex)
	for _, x := range []struct {
		owner string
		typ   rr.Type
		text  string
	}{
		{"@", rr.TypeSOA, "ns. host. 1 3600 600 86400 60"},
		{"@", rr.TypeNS, "ns."},
		{"www", rr.TypeCNAME, "elsewhere.example."},
	} {
		name, err := rr.ParseRelative(x.owner, apex)
		data, derr := rr.ParseData(x.typ, x.text, apex)
		if err != nil || derr != nil {
			t.Fatal(err, derr)
		}
		add := edition.Add
		if x.typ == rr.TypeSOA {
			add = edition.SetSOA
		}
		if err := add(rr.Record{Owner: name, Type: x.typ, Class: 1, TTL: 300, Data: data}); err != nil {
			t.Fatal(err)
		}
	}
	version, err := edition.Finish()
	if err != nil {
		t.Fatal(err)
	}
	builder.Transferred("example.test", snapshot.Transferred{Version: version})
	steered := policy(0, "pool")
	steered.Name = "www.example.test"
	all := []zones.Resource{
		&zones.Zone{Origin: "example.test", Transfer: &zones.Transfer{Primaries: []string{"192.0.2.1"}}},
		&zones.Region{Region: "here"}, &zones.Pool{Pool: "pool", Region: "here"}, steered,
	}
	for revision := int64(1); revision <= 2; revision++ {
		batch := zones.Batch{Revision: revision, Full: true}
		for _, r := range all {
			batch.Changes = append(batch.Changes, zones.Change{Key: r.Key(), Resource: r, Revision: revision})
		}
		_, problems := builder.Update(c, c.Apply(batch), nil)
		if len(problems) != 1 || problems[0].Key != steered.Key() || problems[0].Revision != revision {
			t.Fatalf("revision %d: %+v", revision, problems)
		}
	}
}
