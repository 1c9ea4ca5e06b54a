package answer

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"leeward/server/wire"
)

// streams are orders in which n keys may come. Some are harmless, and some are made to confuse a sketch.
var streams = map[string]func(random *rand.Rand, n int) func(i int) uint64{
	"skewed": func(random *rand.Rand, n int) func(int) uint64 {
		z := rand.NewZipf(random, 1.1, 1, 1<<20)
		return func(int) uint64 { return z.Uint64() }
	},
	"nearly flat": func(random *rand.Rand, n int) func(int) uint64 {
		z := rand.NewZipf(random, 1.001, 300, 1<<20)
		return func(int) uint64 { return z.Uint64() }
	},
	"few": func(random *rand.Rand, n int) func(int) uint64 { return func(i int) uint64 { return uint64(i % 7) } },
	"as many as there are slots": func(random *rand.Rand, n int) func(int) uint64 {
		return func(i int) uint64 { return uint64(i % sketchSlots) }
	},
	"some more than there are slots, in turn": func(random *rand.Rand, n int) func(int) uint64 {
		return func(i int) uint64 { return uint64(i % (sketchSlots + sketchSlots/8)) }
	},
	"all different": func(random *rand.Rand, n int) func(int) uint64 {
		return func(i int) uint64 { return uint64(i) + 1<<32 }
	},
	"a flood of names that are different, between others": func(random *rand.Rand, n int) func(int) uint64 {
		z := rand.NewZipf(random, 1.3, 1, 1<<16)
		return func(i int) uint64 {
			if i%10 > 0 {
				return uint64(i) + 1<<32
			}
			return z.Uint64()
		}
	},
	"a flood first, and then others": func(random *rand.Rand, n int) func(int) uint64 {
		z := rand.NewZipf(random, 1.3, 1, 1<<16)
		return func(i int) uint64 {
			if i < n*9/10 {
				return uint64(i) + 1<<32
			}
			return z.Uint64()
		}
	},
	"others first, and then a flood": func(random *rand.Rand, n int) func(int) uint64 {
		z := rand.NewZipf(random, 1.3, 1, 1<<16)
		return func(i int) uint64 {
			if i > n/10 {
				return uint64(i) + 1<<32
			}
			return z.Uint64()
		}
	},
	"pairs, each as often as a slot is taken": func(random *rand.Rand, n int) func(int) uint64 {
		return func(i int) uint64 { return uint64(i/2) + 1<<32 }
	},
}

// check compares what a sketch says with exact counts. If epsilon is above 0, nothing errs by more.
func check(t interface {
	Helper()
	Errorf(string, ...any)
}, found *tops, exact map[uint64]uint64, hash func(uint64) uint64, epsilon float64,
) {
	t.Helper()
	n := uint64(0)
	for key, count := range exact {
		n += count
		lo, hi := found.of(hash(key))
		if count < lo || count > hi {
			t.Errorf("%d came %d times, and is said to have come %d to %d times", key, count, lo, hi)
		}
		if err := float64(hi - lo); epsilon > 0 && err > epsilon*float64(found.n) {
			t.Errorf("%d: %d to %d of %d: an error of %.4f", key, lo, hi, found.n, err/float64(found.n))
		}
	}
	if n != found.n {
		t.Errorf("%d are counted of %d", found.n, n)
	}
	if epsilon > 0 && float64(found.others()) > epsilon*float64(n) {
		t.Errorf("somebody who is not listed may have %d of %d", found.others(), n)
	}
}

// TestSketch compares the sketch with an exact count, in one table and in several that are added up. Every key lies
// within its bounds, no key that has more than epsilon is missing, and no count errs by more.
func TestSketch(t *testing.T) {
	const n = 120_000
	for name, stream := range streams {
		for _, tables := range []int{1, 4, 60} {
			t.Run(fmt.Sprintf("%s/%d", name, tables), func(t *testing.T) {
				seed := maphash.MakeSeed()
				hash := func(key uint64) uint64 { return maphash.Comparable(seed, key) }
				next := stream(rand.New(rand.NewPCG(1, 2)), n)
				exact, sum := map[uint64]uint64{}, new(tops)
				table := new(sketch[uint64])
				for i := range n {
					key := next(i)
					exact[key]++
					if at, isNew := table.add(hash(key)); isNew {
						table.keys[at] = key
					}
					if i%(n/tables) == n/tables-1 {
						sum.add(table.read(func(k *uint64) string { return fmt.Sprint(*k) }))
						table.clear()
					}
				}
				check(t, sum, exact, hash, Epsilon)
				most := sum.most()
				for _, h := range most {
					var key uint64
					if _, err := fmt.Sscan(h.key, &key); err != nil || hash(key)|1<<63 != h.hash {
						t.Fatalf("key %s is another's", h.key)
					}
				}
				if len(most) > sketchSlots {
					t.Errorf("%d rows", len(most))
				}
			})
		}
	}
}

// TestSketchBounds: the bounds hold whatever comes in whatever order, also when all keys share a bucket, and however
// tables are added up.
func TestSketchBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		same := rapid.Bool().Draw(t, "one bucket")
		hash := func(key uint64) uint64 {
			if same {
				return key * sketchBuckets
			}
			return key
		}
		exact := map[uint64]uint64{}
		var parts []*tops
		for range rapid.IntRange(1, 4).Draw(t, "tables") {
			table := new(sketch[uint64])
			for _, key := range rapid.SliceOfN(rapid.Uint64Range(0, 60), 0, 300).Draw(t, "keys") {
				exact[key]++
				table.add(hash(key))
			}
			parts = append(parts, table.read(func(*uint64) string { return "" }))
		}
		for len(parts) > 1 {
			i := rapid.IntRange(1, len(parts)-1).Draw(t, "add")
			parts[0].add(parts[i])
			parts = slices.Delete(parts, i, i+1)
		}
		sum := new(tops)
		sum.add(parts[0])
		check(t, sum, exact, hash, 0)
	})
}

// TestTopCounts: Top has the queries over all transports, even refused ones, with clients by prefix and names in lower
// case. A random-subdomain flood pushes out nobody who asks more. Without CountTop there is no Top.
func TestTopCounts(t *testing.T) {
	clock := time.Unix(1_800_000_000, 0)
	r := newResponder(t, func(o *Options) { o.CountTop, o.Now = true, func() time.Time { return clock } })
	w, stream := r.newWorker(udp), r.newWorker(tcp)
	out := make([]byte, 0, wire.UDPSize)
	ask := func(w *Worker, name, client string, times int) {
		request, err := question(name, dns.TypeA).Pack()
		if err != nil {
			t.Fatal(err)
		}
		for range times {
			w.answer(request, netip.MustParseAddr(client), out)
		}
	}
	ask(w, "WWW.example.test.", "192.0.2.7", 300)
	ask(stream, "www.example.test.", "2001:db8:1:2ff::1", 200)
	for i := range 100_000 {
		ask(w, fmt.Sprintf("x%d.example.test.", i), fmt.Sprintf("10.%d.%d.1", i>>8&255, i&255), 1)
	}
	ask(w, "mail.example.test.", "192.0.2.200", 900)
	ask(w, "www.elsewhere.invalid.", "2001:db8:1:200::9", 600)
	top := r.Top(3)
	if top.Names.All.LastMinute != 102_000 || top.Windows[0] != 0 {
		t.Errorf("%+v", top)
	}
	for i, want := range []string{"mail.example.test", "www.elsewhere.invalid", "www.example.test"} {
		if top.Names.Rows[i].What != want {
			t.Errorf("%d: %+v, want %s", i, top.Names.Rows[i], want)
		}
	}
	for i, want := range []string{"192.0.2.0/24", "2001:db8:1:200::/56"} {
		row := top.Clients.Rows[i]
		if row.What != want || row.AtLeast.LastMinute > 1200 || row.AtMost.LastMinute < 800 {
			t.Errorf("%d: %+v, want %s", i, row, want)
		}
	}
	if o := top.Names.Others.LastMinute; o == 0 || o > 500 {
		t.Errorf("others have up to %d", o)
	}
	// a minute later the last minute has nothing, and after five minutes nothing is left at all
	for range 6 {
		clock = clock.Add(topEvery)
		r.followTop(clock)
	}
	if top = r.Top(10); top.Names.All.LastMinute != 0 || top.Names.All.LastFiveMinutes != 102_000 ||
		top.Windows != [2]float64{60, 90} {
		t.Errorf("%v, %+v", top.Windows, top.Names.All)
	}
	for range 20 {
		clock = clock.Add(topEvery)
		r.followTop(clock)
	}
	if top = r.Top(10); top.Names.All.LastFiveMinutes != 0 || len(top.Names.Rows) != 0 {
		t.Errorf("%+v", top)
	}
	if newResponder(t).Top(10) != nil {
		t.Error("clients are counted although nobody has asked for that")
	}
}

// TestTopAllocatesNothing: with clients and names counted, a query still allocates nothing, whether they are known or
// new.
func TestTopAllocatesNothing(t *testing.T) {
	w := newResponder(t, func(o *Options) { o.CountTop = true }).newWorker(udp)
	request, _ := question("aaaaaaaa.example.test.", dns.TypeA).Pack()
	out, n := make([]byte, 0, wire.UDPSize), uint32(0)
	if allocations := testing.AllocsPerRun(5000, func() {
		n++
		var from [4]byte
		binary.BigEndian.PutUint32(from[:], n*77777)
		for i := range 8 {
			request[wire.HeaderSize+1+i] = 'a' + byte(n>>(2*i)&3)
		}
		w.answer(request, netip.AddrFrom4(from), out)
	}); allocations != 0 {
		t.Errorf("%v allocations a query", allocations)
	}
}

// TestTopTogether: workers share a stripe while others read. Every query is counted, or counted as missed.
func TestTopTogether(t *testing.T) {
	r := newResponder(t, func(o *Options) { o.CountTop = true })
	make1 := r.Workers(r.Over(tcp), 1)
	request, _ := question("www.example.test.", dns.TypeA).Pack()
	const each = 2000
	var workers, readers sync.WaitGroup
	for range 4 {
		w := make1()
		workers.Go(func() {
			out := make([]byte, 0, wire.MaxMessage)
			for range each {
				w.answer(request, netip.MustParseAddr("192.0.2.7"), out)
			}
		})
	}
	stop := make(chan struct{})
	readers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				r.Top(5)
			}
		}
	})
	workers.Wait()
	close(stop)
	readers.Wait()
	top := r.Top(5)
	if n := top.Names.All.LastFiveMinutes; n != 4*each {
		t.Errorf("%d of %d: %+v", n, 4*each, top.Names)
	}
	row := top.Names.Rows[0]
	if row.AtLeast.LastFiveMinutes+top.Names.Uncounted.LastFiveMinutes != 4*each {
		t.Errorf("%+v", top.Names)
	}
}

// BenchmarkTop is what --count-top adds to an answer: with names and clients that are all known, and with ones that are
// all new.
func BenchmarkTop(b *testing.B) {
	for _, c := range []string{"few", "all different"} {
		b.Run(c, func(b *testing.B) {
			var batch [2]func()
			for i := range batch {
				w := newResponder(b, func(o *Options) { o.CountTop = i == 1 }).newWorker(udp)
				request, _ := question("aaaaaaaa.example.test.", dns.TypeA).Pack()
				out, n := make([]byte, 0, wire.UDPSize), uint32(0)
				batch[i] = func() {
					w.Look()
					for range mostAhead {
						n++
						x := n % 200
						if c != "few" {
							x = n * 2654435761
						}
						var from [4]byte
						binary.BigEndian.PutUint32(from[:], x*256)
						for i := range 8 {
							request[wire.HeaderSize+1+i] = 'a' + byte(x>>(4*i)&15)
						}
						_, _ = w.Respond(request, netip.AddrFrom4(from), false, out)
					}
					w.Flush()
				}
			}
			compare(b, [2]string{"off", "on"}, batch)
		})
	}
}
