package catalog

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"leeward/zones"
	"leeward/zones/document"
)

// manyRecords are values from etcd, decoded one by one.
func manyRecords(b *testing.B, n int) zones.Batch {
	b.Helper()
	batch := zones.Batch{Revision: int64(n) + 1, Full: true, Changes: make([]zones.Change, 0, n+1)}
	zone := &zones.Zone{Origin: "example.test", Nameservers: []string{"ns.example.net"}}
	batch.Changes = append(batch.Changes, zones.Change{Key: zone.Key(), Resource: zone, Revision: 1})
	for i := range n {
		key := zones.Key(fmt.Sprintf("records/example.test/host-%d/A", i))
		r, err := document.Decode(key, fmt.Appendf(nil, `{"ttl":"300s","data":["10.%d.%d.%d"]}`, i>>16&255, i>>8&255, i&255))
		if err != nil {
			b.Fatal(err)
		}
		batch.Changes = append(batch.Changes, zones.Change{Key: key, Resource: r, Revision: int64(i) + 2})
	}
	return batch
}

// BenchmarkCatalogMillion loads a million static records, and reports how much memory one takes in the catalog.
func BenchmarkCatalogMillion(b *testing.B) {
	const n = 1_000_000
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for range b.N {
		before := heap()
		start := time.Now()
		batch := manyRecords(b, n)
		decoded := time.Now()
		whole := heap()
		c := New(time.Now)
		c.Apply(batch)
		b.ReportMetric(time.Since(decoded).Seconds(), "apply-s")
		b.ReportMetric(decoded.Sub(start).Seconds(), "decode-s")
		b.ReportMetric(float64(whole-before)/n, "batch-B/record")
		batch = zones.Batch{}
		b.ReportMetric(float64(heap()-before)/n, "B/record")
		if c.CountOf(zones.KindRecord) != n {
			b.Fatal(c.CountOf(zones.KindRecord), batch)
		}
	}
}

// tenThousand is 10,000 policies, each with three pools of two endpoints.
func tenThousand() (*Catalog, int64) {
	var batch zones.Batch
	add := func(r zones.Resource) {
		batch.Revision++
		batch.Changes = append(batch.Changes, zones.Change{Key: r.Key(), Resource: r, Revision: batch.Revision})
	}
	add(&zones.Zone{Origin: "example.test", Nameservers: []string{"ns.example.net"}})
	m, err := document.Decode("monitors/web", []byte(`{"tcp":{"port":80}}`))
	if err != nil {
		panic(err)
	}
	add(m)
	places := []string{"eu", "us", "ap"}
	for _, region := range places {
		lat := 1.0
		add(&zones.Region{Region: region, Latitude: &lat, Longitude: &lat})
	}
	for i := range 10_000 {
		rule := zones.Rule{}
		for k, region := range places {
			pool := fmt.Sprintf("p%d-%s", i, region)
			add(&zones.Pool{Pool: pool, Region: region, Monitor: "web"})
			for e := range 2 {
				a := netip.AddrFrom4([4]byte{byte(10 + k*2 + e), 0, byte(i >> 8), byte(i)})
				add(&zones.Endpoint{Pool: pool, Endpoint: fmt.Sprintf("lb-%d", e), Addresses: []netip.Addr{a}})
			}
			rule.Nearest = append(rule.Nearest, pool)
		}
		add(&zones.Policy{Name: fmt.Sprintf("h%d.example.test", i), Rules: []zones.Rule{rule}})
	}
	batch.Full = true
	c := New(time.Now)
	c.Apply(batch)
	return c, batch.Revision
}

// BenchmarkApply is one change to 10,000 policies with 60,000 endpoints.
func BenchmarkApply(b *testing.B) {
	c, revision := tenThousand()
	if len(c.Problems()) > 0 {
		b.Fatal(c.Problems()[0])
	}
	one := func(name string, change func(i int) zones.Resource) {
		b.Run(name, func(b *testing.B) {
			for i := range b.N {
				revision++
				r := change(i)
				c.Apply(zones.Batch{
					Revision: revision,
					Changes:  []zones.Change{{Key: r.Key(), Resource: r, Revision: revision}},
				})
				c.Problems()
			}
		})
	}
	one("policy", func(i int) zones.Resource {
		p := *c.Get("policies/h5000.example.test").(*zones.Policy)
		p.Answers = i%8 + 1
		return &p
	})
	one("endpoint", func(i int) zones.Resource {
		e := *c.Get("endpoints/p5000-eu/lb-1").(*zones.Endpoint)
		weight := i % 100
		e.Weight = &weight
		return &e
	})
	one("record", func(i int) zones.Resource {
		return &zones.Record{
			Origin: "example.test", Owner: "x", Type: "A",
			Data: []string{fmt.Sprintf("10.9.%d.%d", i>>8&255, i&255)},
		}
	})
	one("monitor of all", func(i int) zones.Resource {
		m := *c.Get("monitors/web").(*zones.Monitor)
		m.Fall = i%3 + 1
		return &m
	})
}
