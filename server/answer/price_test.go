package answer

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"leeward/geo"
	"leeward/server/wire"
	"leeward/zones/catalog"
)

// compare runs two ways to answer a batch of 64 queries in turn, and tells the best of each, which is what it costs
// when nothing else runs, and how much the second takes of the first.
func compare(b *testing.B, names [2]string, batch [2]func()) {
	best := [2]time.Duration{time.Hour, time.Hour}
	for b.Loop() {
		for i, answer := range batch {
			begin := time.Now()
			answer()
			best[i] = min(best[i], time.Since(begin))
		}
	}
	for i, name := range names {
		b.ReportMetric(float64(best[i])/mostAhead, name+"-ns/answer")
	}
	b.ReportMetric(float64(best[1])/float64(best[0]), "ratio")
}

// batchOf has the worker answer one request again and again, as a packet loop does a batch.
func batchOf(b *testing.B, w *Worker, q inquiry) func() {
	request, err := q.message.Pack()
	if err != nil {
		b.Fatal(err)
	}
	out, all := make([]byte, 0, wire.UDPSize), func(int) ([]byte, netip.Addr) { return request, q.client }
	return func() {
		w.Look()
		w.Ahead(mostAhead, all)
		for range mostAhead {
			_, _ = w.Respond(request, q.client, false, out)
		}
		w.Flush()
	}
}

// BenchmarkLimit is what the rate limit adds to an answer.
func BenchmarkLimit(b *testing.B) {
	for _, c := range costs[:8] {
		q, err := readInquiry(c.dig)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(c.name, func(b *testing.B) {
			off, on := newResponder(b).newWorker(udp), newResponder(b, limited(100_000_000, 2)).newWorker(udp)
			compare(b, [2]string{"off", "on"}, [2]func(){batchOf(b, off, q), batchOf(b, on, q)})
		})
	}
}

// BenchmarkCounts is what it adds to an answer that it is counted by policy, rule and pool. Without, all answers are
// counted in one cell, which costs what a count by pool alone did.
func BenchmarkCounts(b *testing.B) {
	for _, c := range costs {
		if c.name != "static" && c.name != "steered" && c.name != "subnet" {
			continue
		}
		q, err := readInquiry(c.dig)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(c.name, func(b *testing.B) {
			off := newResponder(b, func(o *Options) { o.uncounted = true }).newWorker(udp)
			on := newResponder(b).newWorker(udp)
			compare(b, [2]string{"off", "on"}, [2]func(){batchOf(b, off, q), batchOf(b, on, q)})
		})
	}
}

// BenchmarkCountries is what it adds that clients are counted by country (--count-countries), each from elsewhere.
func BenchmarkCountries(b *testing.B) {
	table, err := geo.Open(nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	var batch [2]func()
	for i := range batch {
		f := newFixture(b)
		if i == 1 {
			f.builder.CountCountries()
		}
		f.snapshot, _ = f.builder.Update(f.catalog, catalog.Delta{}, table)
		r := newResponder(b)
		r.Publish(f.state())
		w := r.newWorker(udp)
		request, _ := question("www.example.test.", 1).Pack()
		out, client := make([]byte, 0, wire.UDPSize), uint32(1)
		batch[i] = func() {
			for range mostAhead {
				client = client*1664525 + 1013904223
				from := netip.AddrFrom4([4]byte{byte(client >> 24), byte(client >> 16), byte(client >> 8), 1})
				_, _ = w.Respond(request, from, false, out)
			}
			w.Flush()
		}
	}
	compare(b, [2]string{"off", "on"}, batch)
}

// BenchmarkRotation is what it adds to an answer that a static set of addresses begins with any of them, by lot.
func BenchmarkRotation(b *testing.B) {
	for _, n := range []int{2, 4, 16} {
		b.Run(fmt.Sprintf("addresses=%d", n), func(b *testing.B) {
			f := newFixture(b)
			addresses := strings.TrimSuffix(strings.Repeat("192.0.2.%d, ", n), ", ")
			numbers := make([]any, n)
			for i := range numbers {
				numbers[i] = i + 1
			}
			data := fmt.Sprintf(addresses, numbers...)
			f.apply(b, fmt.Sprintf(`{kind: Zone, name: turn.test, nameservers: [ns1.example.test]}
---
{kind: Record, name: turn.test/many/A, data: [%s]}
---
{kind: Zone, name: hold.test, nameservers: [ns1.example.test], order: fixed}
---
{kind: Record, name: hold.test/many/A, data: [%s]}
`, data, data))
			r := newResponder(b)
			r.Publish(f.state())
			w := r.newWorker(udp)
			var batch [2]func()
			for i, zone := range []string{"hold", "turn"} {
				q, err := readInquiry("dig many." + zone + ".test. A edns=1232")
				if err != nil {
					b.Fatal(err)
				}
				batch[i] = batchOf(b, w, q)
			}
			compare(b, [2]string{"fixed", "rotated"}, batch)
		})
	}
}

// BenchmarkAhead is what looking ahead saves of an answer.
func BenchmarkAhead(b *testing.B) {
	for _, c := range []struct{ names, pools int }{{1000, 0}, {1_000_000, 0}, {0, 10}, {0, 10_000}} {
		b.Run(fmt.Sprintf("names=%d/pools=%d", c.names, c.pools), func(b *testing.B) {
			e := newEstate(b, c.names, c.pools)
			ahead := e.worker.ahead
			answer := func() {
				if e.answer() != mostAhead {
					b.Fatal("not answered")
				}
			}
			compare(b, [2]string{"without", "ahead"}, [2]func(){
				func() { e.worker.ahead = nil; answer() },
				func() { e.worker.ahead = ahead; answer() },
			})
		})
	}
}
