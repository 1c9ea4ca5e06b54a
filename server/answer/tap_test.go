package answer

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// What was put in comes out whole and in order, past the end of the ring too. What found no room is counted.
func TestTapRingIsAQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tap := NewTap(1, 1<<18)
		r := tap.ring()
		type entry struct{ query, response []byte }
		var queue []entry
		used, dropped := 0, uint64(0)
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "put") {
				n := rapid.SampledFrom([]int{0, 12, 1000, 65535}).Draw(t, "query")
				e := entry{query: bytes.Repeat([]byte{byte(i)}, n)}
				if n := rapid.SampledFrom([]int{0, 1, 15, 4000, 65535}).Draw(t, "response"); n > 0 {
					e.response = bytes.Repeat([]byte{byte(i + 1)}, n)
				}
				client := netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), uint16(i))
				before := tap.Dropped()
				r.put(e.query, e.response, client, i%2 == 0)
				if tap.Dropped() > before {
					dropped++
					if used+65536*2+tapHeader+8+65535*2+tapHeader < 1<<18 {
						t.Fatalf("dropped beside %d octets", used)
					}
					continue
				}
				queue = append(queue, e)
				used += tapHeader + len(e.query) + len(e.response)
				continue
			}
			most := rapid.IntRange(1, 4).Draw(t, "read")
			tap.Read(func(x *Tapped) bool {
				if len(queue) == 0 {
					t.Fatal("more than was put")
				}
				if !bytes.Equal(x.Query, queue[0].query) || !bytes.Equal(x.Response, queue[0].response) {
					t.Fatal("another message than was put")
				}
				used -= tapHeader + len(x.Query) + len(x.Response)
				queue = queue[1:]
				most--
				return most > 0
			})
		}
		left := 0
		tap.Read(func(*Tapped) bool { left++; return true })
		if left != len(queue) || tap.Dropped() != dropped {
			t.Fatalf("%d of %d were left, %d of %d dropped", left, len(queue), tap.Dropped(), dropped)
		}
	})
}

// Several workers of one stripe write while one reader reads. No record is torn, and none is lost uncounted.
func TestTapConcurrently(t *testing.T) {
	tap := NewTap(1, 1<<18)
	r := tap.ring()
	const writers, each = 4, 20_000
	var all sync.WaitGroup
	for id := range writers {
		all.Go(func() {
			for i := range uint32(each) {
				m := make([]byte, 8+i%100)
				m[0] = byte(id)
				binary.BigEndian.PutUint32(m[1:], i)
				r.put(m, m, netip.AddrPortFrom(netip.IPv6Unspecified(), 1), false)
			}
		})
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	got, next := uint64(0), [writers]int64{-1, -1, -1, -1}
	take := func(x *Tapped) bool {
		i := int64(binary.BigEndian.Uint32(x.Query[1:]))
		if !bytes.Equal(x.Query, x.Response) || i <= next[x.Query[0]] || len(x.Query) != 8+int(i%100) {
			t.Errorf("torn, or out of order: %v", x.Query)
			return false
		}
		next[x.Query[0]] = i
		got++
		return true
	}
	for stopped := false; !stopped; {
		select {
		case <-done:
			stopped = true
		default:
		}
		tap.Read(take)
	}
	if got+tap.Dropped() != writers*each {
		t.Errorf("%d came, %d were dropped, of %d", got, tap.Dropped(), writers*each)
	}
}

// The tap takes one query in so many.
func TestTapSamples(t *testing.T) {
	w := newResponder(t, func(o *Options) { o.Tap = NewTap(7, 1<<20) }).newWorker(udp)
	for i := range 70 {
		m := []byte{byte(i)}
		w.Tap(m, m, netip.MustParseAddrPort("192.0.2.1:53"))
	}
	if n := w.responder.options.Tap.Read(func(x *Tapped) bool { return x.Query[0]%7 == 6 }); n != 10 {
		t.Errorf("%d of 70 were taken", n)
	}
}

// A worker allocates nothing while it is followed, either.
func TestTapAllocatesNothing(t *testing.T) {
	w := newResponder(t, func(o *Options) { o.Tap = NewTap(1, 1<<20) }).newWorker(udp)
	q, _ := readInquiry("dig www.example.test. A")
	request, _ := q.message.Pack()
	out, from := make([]byte, 0, 4096), netip.AddrPortFrom(q.client, 4711)
	if n := testing.AllocsPerRun(1000, func() {
		response, _ := w.Respond(request, q.client, false, out)
		w.Tap(request, response, from)
	}); n != 0 {
		t.Errorf("%v allocations a query", n)
	}
	var at time.Time
	w.responder.options.Tap.Read(func(x *Tapped) bool { at = x.At; return true })
	if time.Since(at) > time.Hour {
		t.Errorf("the time of a query is %v", at)
	}
}

// BenchmarkTap is what a follower adds to an answer: with no queries followed, all, and one in a hundred.
func BenchmarkTap(b *testing.B) {
	q, _ := readInquiry("dig www.example.test. A edns=1232")
	request, _ := q.message.Pack()
	from := netip.AddrPortFrom(q.client, 4711)
	for _, c := range []struct {
		name  string
		every int
	}{{"none", 0}, {"all", 1}, {"hundredth", 100}} {
		b.Run(c.name, func(b *testing.B) {
			var batch [2]func()
			for i := range batch {
				var tap *Tap
				if i == 1 && c.every > 0 {
					tap = NewTap(c.every, 1<<22)
				}
				w := newResponder(b, func(o *Options) { o.Tap = tap }).newWorker(udp)
				out := make([]byte, 0, 4096)
				batch[i] = func() {
					for range mostAhead {
						response, _ := w.Respond(request, q.client, false, out)
						if i == 1 {
							w.Tap(request, response, from)
						}
					}
					w.Flush()
					if tap != nil {
						for _, r := range tap.rings {
							r.tail.Store(r.head.Load())
						}
					}
				}
			}
			compare(b, [2]string{"off", "on"}, batch)
		})
	}
}
