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

// compare runs two ways to answer a batch of 64 queries in turn. It reports the best time of each, which is the cost
// when nothing else runs, and how much of the first the second takes.
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

// batchOf lets the worker answer one request again and again, as a packet loop answers a batch.
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

// BenchmarkCounts is what counting by policy, rule and pool adds to an answer. Without it, all answers are counted in
// one cell, which costs as much as counting by pool alone did.
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

// BenchmarkCountries is what counting clients by country (--count-countries) adds, with each client in another place.
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

// BenchmarkRotation is what the random order of a static set of addresses adds to an answer.
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

// BenchmarkDO is what the DO bit adds to an answer of a batch, each for another name. Before each batch the benchmark
// reads other memory, as the kernel does.
func BenchmarkDO(b *testing.B) {
	for _, policies := range []int{100, 10_000} {
		for _, static := range []bool{false, true} {
			b.Run(fmt.Sprintf("names=%d/static=%v", policies, static), func(b *testing.B) {
				f, _ := newSigned(b)
				var text strings.Builder
				for i := range policies {
					if static {
						fmt.Fprintf(&text, "{kind: Record, name: signed.test/n%d/A, data: [192.0.2.1]}\n---\n", i)
						continue
					}
					fmt.Fprintf(&text, "{kind: Policy, name: n%d.signed.test, rules: [{failover: [solo]}]}\n---\n", i)
				}
				text.WriteString("{kind: Pool, name: solo, region: eu}\n---\n" +
					"{kind: Endpoint, name: solo/a, addresses: [192.0.2.9]}\n")
				f.apply(b, text.String())
				r, err := New(Options{})
				if err != nil {
					b.Fatal(err)
				}
				r.Publish(f.state())
				w := r.newWorker(udp)
				var requests [2][][]byte
				for i := range 8192 {
					name := fmt.Sprintf("n%d.signed.test.", i*7919%policies)
					for do := range requests {
						requests[do] = append(requests[do], signedRequest(b, name, 1, do == 1))
					}
				}
				other, sum := make([]byte, 2<<20), byte(0)
				out, at := make([]byte, 0, wire.UDPSize), 0
				var all [2]time.Duration
				n := 0
				for b.Loop() {
					for do := range requests {
						for i := 0; i < len(other); i += 64 {
							sum += other[i]
						}
						begin := time.Now()
						w.Ahead(mostAhead, func(i int) ([]byte, netip.Addr) { return requests[do][at+i], loopback })
						for i := range mostAhead {
							if response, _ := w.Respond(requests[do][at+i], loopback, false, out); len(response) < 50 {
								b.Fatal("not answered")
							}
						}
						all[do] += time.Since(begin)
						w.Flush()
						at = (at + mostAhead) % len(requests[0])
					}
					n += mostAhead
				}
				b.ReportMetric(float64(all[0])/float64(n), "without-ns/answer")
				b.ReportMetric(float64(all[1])/float64(n), "do-ns/answer")
				b.ReportMetric(float64(all[1])/float64(all[0])+0*float64(sum), "ratio")
			})
		}
	}
}
