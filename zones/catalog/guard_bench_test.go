package catalog

import (
	"fmt"
	"testing"
	"time"

	"leeward/zones"
)

// BenchmarkLargeDelete removes very many records in one batch, which the guard holds back, then changes one while they
// are held, and then accepts.
func BenchmarkLargeDelete(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchmarkLargeDelete(b, n) })
	}
}

func benchmarkLargeDelete(b *testing.B, n int) {
	for range b.N {
		c := New(time.Now)
		revision := int64(n) + 2
		c.Consume(manyRecords(b, n))
		gone := zones.Batch{Revision: revision, Changes: make([]zones.Change, n)}
		for i := range gone.Changes {
			gone.Changes[i] = zones.Change{
				Key:      zones.Key(fmt.Sprintf("records/example.test/host-%d/A", i)),
				Revision: revision,
			}
		}
		timed := func(unit string, f func()) {
			start := time.Now()
			f()
			b.ReportMetric(float64(time.Since(start).Microseconds())/1000, unit)
		}
		timed("hold-ms", func() { c.Consume(gone) })
		timed("list-ms", func() {
			if len(c.Held()) != n {
				b.Fatal(len(c.Held()))
			}
		})
		r := &zones.Record{Origin: "example.test", Owner: "x", Type: "A", Data: []string{"192.0.2.1"}}
		timed("other-ms", func() {
			c.Apply(zones.Batch{
				Revision: revision + 1,
				Changes:  []zones.Change{{Key: r.Key(), Resource: r, Revision: revision + 1}},
			})
			c.Held()
		})
		timed("accept-ms", func() { c.Apply(zones.Batch{Revision: revision + 2, Accepted: revision + 2}) })
		if c.CountOf(zones.KindRecord) != 1 {
			b.Fatal(c.CountOf(zones.KindRecord))
		}
	}
}
