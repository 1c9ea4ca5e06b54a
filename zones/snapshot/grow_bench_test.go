package snapshot

import (
	"fmt"
	"testing"
	"time"

	"leeward/zones"
	"leeward/zones/catalog"
)

// BenchmarkZoneGrows adds very many names to a small zone in one revision, as a watch delivers them.
func BenchmarkZoneGrows(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				c, builder := catalog.New(time.Now), NewBuilder(time.Now)
				z := &zones.Zone{Origin: "example.test", Nameservers: []string{"ns.example.net"}}
				d := c.Apply(zones.Batch{
					Revision: 1, Full: true,
					Changes: []zones.Change{{Key: z.Key(), Resource: z, Revision: 1}},
				})
				builder.Update(c, d, nil)
				batch := zones.Batch{Revision: 2}
				for i := range n {
					r := &zones.Record{
						Origin: "example.test", Owner: fmt.Sprint("h", i), Type: "A",
						Data: []string{"192.0.2.1"},
					}
					batch.Changes = append(batch.Changes, zones.Change{Key: r.Key(), Resource: r, Revision: 2})
				}
				d = c.Apply(batch)
				b.StartTimer()
				builder.Update(c, d, nil)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/name")
		})
	}
}
