package control_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"leeward/cmd/leeward/control"
	"leeward/health"
	"leeward/server/admin"
	"leeward/server/answer"
	"leeward/zones"
	"leeward/zones/document"
)

// BenchmarkSummary makes a status of that many endpoints, each with the votes of three vantages, and 10,000 policies.
func BenchmarkSummary(b *testing.B) {
	for _, n := range []int{2_000, 20_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var text strings.Builder
			text.WriteString("{kind: Monitor, name: web, tcp: {port: 80}}\n")
			for r := range 5 {
				fmt.Fprintf(&text, "---\n{kind: Region, name: r%d}\n", r)
			}
			for i := range n {
				if i%20 == 0 {
					fmt.Fprintf(&text, "---\n{kind: Pool, name: p%d, region: r%d, monitor: web}\n", i/20, i/20%5)
				}
				fmt.Fprintf(&text, "---\n{kind: Endpoint, name: p%d/e%d, addresses: [10.%d.%d.%d]}\n", i/20, i, i>>16,
					i>>8&255, i&255)
			}
			text.WriteString("---\n{kind: Zone, name: example.test, nameservers: [ns1.example.net]}\n")
			for i := range 10_000 {
				pool := func(k int) int { return (i + k) % (n / 20) }
				fmt.Fprintf(&text, "---\n{kind: Policy, name: w%d.example.test, ", i)
				fmt.Fprintf(&text, "rules: [{failover: [p%d, p%d, p%d]}]}\n", pool(0), pool(1), pool(2))
			}
			docs, problems := document.Read("a.yaml", strings.NewReader(text.String()))
			if err := problems.Err(); err != nil {
				b.Fatal(err)
			}
			batch := zones.Batch{Full: true, Revision: 1}
			for _, r := range zones.Resources(docs) {
				batch.Changes = append(batch.Changes, zones.Change{Key: r.Key(), Resource: r, Revision: 1})
			}
			l := control.NewLoop(control.LoopOptions{
				Log: slog.New(slog.DiscardHandler), Now: time.Now,
				Publish: func(answer.State) {}, Own: "v0",
			})
			done := make(chan struct{})
			go func() { defer close(done); l.Run(b.Context()) }()
			l.Batch(batch)
			if err := l.Do(b.Context(), func(control.Inside) {}); err != nil {
				b.Fatal(err)
			}
			targets := l.State().Snapshot.Program().Assignments()
			l.Health(func(now time.Time, board *health.Board) {
				for v := range 3 {
					name := fmt.Sprint("v", v)
					for _, a := range targets {
						board.Report(now, health.Report{Vantage: name, Target: a.Target, State: health.Up, Sequence: 1})
					}
					board.Heartbeat(now, name, 2, 24*time.Hour)
				}
			})
			var s *admin.Status
			var inLoop time.Duration
			for b.Loop() {
				var summary *control.Summary
				if err := l.Do(b.Context(), func(i control.Inside) {
					began := time.Now()
					summary = i.Summary(began)
					inLoop += time.Since(began)
				}); err != nil {
					b.Fatal(err)
				}
				s = summary.Status()
			}
			b.ReportMetric(float64(inLoop.Microseconds())/float64(b.N), "µs-in-loop/op")
			if len(s.Endpoints) != n || len(s.Endpoints[0].Addresses[0].Votes) != 3 {
				b.Fatal("not all of it")
			}
		})
	}
}
