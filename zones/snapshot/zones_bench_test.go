package snapshot_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/snapshot"
)

// manyZones returns a catalog of n zones with a policy each. All policies use the pool "shared"; that of zone 0 also
// uses the pool "own".
func manyZones(n int) (*catalog.Catalog, int64) {
	var batch zones.Batch
	add := func(r zones.Resource) {
		batch.Revision++
		batch.Changes = append(batch.Changes, zones.Change{Key: r.Key(), Resource: r, Revision: batch.Revision})
	}
	step := func(pool string) zones.Step { return zones.Step{Pools: []zones.WeightedPool{{Pool: pool, Weight: 1}}} }
	add(&zones.Region{Region: "eu"})
	for i, pool := range []string{"shared", "own"} {
		add(&zones.Pool{Pool: pool, Region: "eu"})
		for k := range 2 {
			add(endpoint(pool, k, byte(i)))
		}
	}
	for i := range n {
		origin := fmt.Sprintf("zone-%d.test", i)
		add(&zones.Zone{Origin: origin, Nameservers: []string{"ns.example.net"}})
		rule := zones.Rule{Failover: []zones.Step{step("shared")}}
		if i == 0 {
			rule.Failover = append(rule.Failover, step("own"))
		}
		add(&zones.Policy{Name: "www." + origin, Rules: []zones.Rule{rule}})
	}
	batch.Full = true
	c := catalog.New(time.Now)
	c.Consume(batch)
	return c, batch.Revision
}

// endpoint returns endpoint k of a pool, at an address that depends on variant.
func endpoint(pool string, k int, variant byte) *zones.Endpoint {
	a := netip.AddrFrom4([4]byte{10, pool[0], byte(k), variant})
	return &zones.Endpoint{Pool: pool, Endpoint: fmt.Sprintf("lb-%d", k), Addresses: []netip.Addr{a}}
}

// BenchmarkZones measures what many zones cost the loop: building them, a change of an endpoint that all of them use,
// and a change of an endpoint that one of them uses.
func BenchmarkZones(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("build/%d", n), func(b *testing.B) {
			for b.Loop() {
				c, revision := manyZones(n)
				snapshot.NewBuilder(time.Now).Update(c, catalog.Delta{Full: true, Revision: revision}, nil)
			}
		})
		for _, pool := range []string{"shared", "own"} {
			b.Run(fmt.Sprintf("%s/%d", pool, n), func(b *testing.B) {
				c, revision := manyZones(n)
				builder := snapshot.NewBuilder(time.Now)
				builder.Update(c, catalog.Delta{Full: true, Revision: revision}, nil)
				b.ResetTimer()
				for b.Loop() {
					revision++
					r := endpoint(pool, 0, byte(revision))
					d := c.Apply(zones.Batch{
						Revision: revision,
						Changes:  []zones.Change{{Key: r.Key(), Resource: r, Revision: revision}},
					})
					c.Problems()
					builder.Update(c, d, nil)
				}
			})
		}
	}
}
