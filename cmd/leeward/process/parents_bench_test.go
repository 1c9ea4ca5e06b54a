package process

import (
	"fmt"
	"testing"
	"time"

	"leeward/cmd/leeward/control"
	"leeward/server/answer"
	"leeward/zones"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
)

// BenchmarkParentsLook is what it costs to look, every ten seconds, which of 10,000 signed zones have a parent to tell:
// when nothing has changed, and when one zone has.
func BenchmarkParentsLook(b *testing.B) {
	const n = 10_000
	l := control.NewLoop(control.LoopOptions{Now: time.Now, Publish: func(answer.State) {}})
	go l.Run(b.Context())
	r, began := &run{loop: l}, time.Now()
	change := func(i int, revision int64) zones.Change {
		z := &zones.Zone{
			Origin: fmt.Sprintf("z%d.test", i), Nameservers: []string{"ns1.example.net"},
			DNSSEC: &zones.DNSSEC{Enabled: true},
		}
		return zones.Change{Key: z.Key(), Resource: z, Revision: revision}
	}
	all := zones.Batch{Full: true, Revision: 1}
	for i := range n {
		all.Changes = append(all.Changes, change(i, 1))
		origin, err := rr.ParseName(fmt.Sprintf("z%d.test", i))
		if err != nil {
			b.Fatal(err)
		}
		keys, err := dnssec.First(origin, dnssec.Ed25519, false, began)
		if err != nil {
			b.Fatal(err)
		}
		k, err := dnssec.NewKeys(origin, keys...)
		if err != nil {
			b.Fatal(err)
		}
		l.Keyed(fmt.Sprintf("z%d.test", i), k, nil)
	}
	l.Batch(all)
	if err := l.Do(b.Context(), func(control.Inside) {}); err != nil {
		b.Fatal(err)
	}
	p := &parents{asks: r.asks(), now: time.Now, elapsed: func() time.Duration { return time.Since(began) }}
	p.init()
	p.look(b.Context())
	if len(p.zones) != n {
		b.Fatalf("%d zones have a parent to tell", len(p.zones))
	}
	b.Run("unchanged", func(b *testing.B) {
		began := spent(b)
		for b.Loop() {
			p.look(b.Context())
		}
		costs(b, began)
	})
	b.Run("changed", func(b *testing.B) {
		var all time.Duration
		for revision := int64(2); b.Loop(); revision++ {
			b.StopTimer()
			l.Batch(zones.Batch{Revision: revision, Changes: []zones.Change{change(int(revision)%n, revision)}})
			if err := l.Do(b.Context(), func(control.Inside) {}); err != nil {
				b.Fatal(err)
			}
			began := spent(b)
			b.StartTimer()
			p.look(b.Context())
			all += spent(b) - began
		}
		b.ReportMetric(all.Seconds()*1000/float64(b.N), "cpu-ms/op")
	})
}
