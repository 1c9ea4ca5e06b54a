package catalog

import (
	"fmt"
	"testing"
	"time"

	"leeward/zones"
	"leeward/zones/document"
)

// BenchmarkFreeze is how long the loop waits when a copy on disk, or an answer about the past, is begun.
func BenchmarkFreeze(b *testing.B) {
	const n = 10_000
	for _, inherits := range []bool{false, true} {
		b.Run(fmt.Sprintf("inherits=%v", inherits), func(b *testing.B) {
			batch := zones.Batch{Full: true, Revision: 1}
			put := func(key zones.Key, text string) {
				r, err := document.Decode(key, []byte(text))
				if err != nil {
					b.Fatal(err)
				}
				batch.Changes = append(batch.Changes, zones.Change{Key: key, Resource: r, Revision: 1})
			}
			if inherits {
				put(zones.KeyOf(zones.KindDefaults, "Policy"), `{"ttl": "20s"}`)
			}
			put(zones.KeyOf(zones.KindRegion, "eu"), `{}`)
			put(zones.KeyOf(zones.KindPool, "www-eu"), `{"region": "eu"}`)
			put(zones.KeyOf(zones.KindZone, "example.test"), `{"nameservers": ["ns1.example.test"]}`)
			for i := range n {
				put(zones.KeyOf(zones.KindPolicy, fmt.Sprintf("n%d.example.test", i)),
					`{"rules": [{"failover": ["www-eu"]}]}`)
			}
			c := New(time.Now)
			c.Apply(batch)
			for b.Loop() {
				if f := c.Freeze(); f.Len() < n {
					b.Fatalf("%d are frozen", f.Len())
				}
			}
		})
	}
}
