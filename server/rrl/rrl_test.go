package rrl

import (
	"encoding/binary"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func newLimiter(t testing.TB, o Options) *Limiter {
	l, err := New(o)
	if err != nil {
		t.Helper()
		t.Fatal(err)
	}
	return l
}

func hashOf(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return h.Sum64()
}

// allowed asks n times and counts what is let through.
func allowed(l *Limiter, at time.Duration, client string, kind Kind, name string, n int) (through int) {
	a := netip.MustParseAddr(client)
	for range n {
		if l.Allow(l.At(at), a, kind, hashOf(name)) {
			through++
		}
	}
	return through
}

func TestBucketHoldsASecondAndFillsAtTheRate(t *testing.T) {
	l := newLimiter(t, Options{Rate: 10})
	for _, step := range []struct {
		at   time.Duration
		want int
	}{
		{0, 10},
		{0, 0},
		{100 * time.Millisecond, 1},
		{400 * time.Millisecond, 3},
		{10 * time.Second, 10},
		{10*time.Second + 99*time.Millisecond, 0},
	} {
		if got := allowed(l, step.at, "192.0.2.1", Answer, "\x03www\x00", 50); got != step.want {
			t.Errorf("at %v: %d are let through, want %d", step.at, got, step.want)
		}
	}
}

func TestBucketsAreApart(t *testing.T) {
	l := newLimiter(t, Options{Rate: 3})
	for _, c := range []struct {
		client string
		kind   Kind
		name   string
		want   int
	}{
		{"192.0.2.1", Answer, "a", 3},
		{"192.0.2.255", Answer, "a", 0}, // the same /24
		{"192.0.3.1", Answer, "a", 3},
		{"192.0.2.1", Answer, "b", 3},
		{"192.0.2.1", Negative, "a", 3},
		{"192.0.2.1", Referral, "a", 3},
		{"192.0.2.1", Error, "", 3},
		{"192.0.2.2", Error, "", 0},
		{"2001:db8:0:100::1", Answer, "a", 3},
		{"2001:db8:0:1ff::1", Answer, "a", 0}, // the same /56
		{"2001:db8:0:200::1", Answer, "a", 3},
		{"::c000:201", Answer, "a", 3}, // not 192.0.2.1
	} {
		if got := allowed(l, time.Second, c.client, c.kind, c.name, 9); got != c.want {
			t.Errorf("%s kind %d %q: %d are let through, want %d", c.client, c.kind, c.name, got, c.want)
		}
	}
	if n := l.InUse(l.At(time.Second)); n != 9 {
		t.Errorf("%d buckets are in use, want 9", n)
	}
	if n := l.InUse(l.At(2 * time.Second)); n != 0 {
		t.Errorf("%d buckets are in use a second later", n)
	}
}

// One bucket at random times lets through what a token bucket computed with fractions does.
func TestAgainstTheDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.IntRange(1, 2000).Draw(t, "rate")
		l, err := New(Options{Rate: rate})
		if err != nil {
			t.Fatal(err)
		}
		client := netip.MustParseAddr("198.51.100.7")
		now := time.Duration(rapid.Int64Range(0, 1<<40).Draw(t, "start"))
		tokens, last := int64(rate), int64(l.At(now))
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now += time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "pause"))
			for range rapid.IntRange(1, 2*rate).Draw(t, "burst") {
				at := int64(l.At(now))
				tokens, last = min(int64(rate), tokens+at-last), at
				want := tokens > 0
				if want {
					tokens--
				}
				if got := l.Allow(Time(at), client, Answer, 0); got != want {
					t.Fatalf("at %v: %v, want %v", now, got, want)
				}
			}
		}
	})
}

// However many workers share it, a bucket lets through what it holds. A little more gets through only if races are lost
// again and again.
func TestLimitHoldsForAllWorkersTogether(t *testing.T) {
	const rate, workers = 1000, 8
	l := newLimiter(t, Options{Rate: rate})
	client := netip.MustParseAddr("192.0.2.1")
	var through atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range rate {
				if l.Allow(5, client, Answer, 1) {
					through.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := through.Load(); n < rate || n > rate+rate/10 {
		t.Errorf("%d of %d are let through, want %d", n, rate*workers, rate)
	}
}

// A flood from every prefix at once fills the table. It makes the limit milder and never stricter, and it is forgotten
// later. Loops look at the clock once a batch, so one may be behind another by the length of a batch. However they take
// turns, within a second of each other, a bucket gives no more than it holds and what has come in.
func TestClocksBehindEachOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.SampledFrom([]int{1, 2, 10, 100, 1000, 100_000}).Draw(t, "rate")
		l := newLimiter(nil, Options{Rate: rate})
		clocks := make([]time.Duration, rapid.IntRange(2, 4).Draw(t, "loops"))
		through, latest := 0, time.Duration(0)
		for range rapid.IntRange(1, 40).Draw(t, "batches") {
			i := rapid.IntRange(0, len(clocks)-1).Draw(t, "loop")
			clocks[i] = max(clocks[i], latest-time.Duration(rapid.IntRange(0, 999).Draw(t,
				"behind, ms"))*time.Millisecond)
			clocks[i] += time.Duration(rapid.IntRange(0, 300).Draw(t, "step, ms")) * time.Millisecond
			latest = max(latest, clocks[i])
			through += allowed(l, clocks[i], "192.0.2.1", Answer, "www",
				rapid.IntRange(1, min(3*rate, 500)).Draw(t, "queries"))
			if most := float64(rate)*(1+latest.Seconds()) + 1; float64(through) > most {
				t.Fatalf("%d were let through after %v, at most %v are to be", through, latest, most)
			}
		}
	})
}

func TestFloodOfPrefixes(t *testing.T) {
	l := newLimiter(t, Options{Rate: 2})
	random := rand.New(rand.NewPCG(1, 2))
	now := l.At(time.Minute)
	var b [4]byte
	for range 4 * l.Capacity() {
		binary.BigEndian.PutUint32(b[:], random.Uint32())
		l.Allow(now, netip.AddrFrom4(b), Answer, 1)
	}
	if l.Evicted() == 0 || l.InUse(now) < l.Capacity()*9/10 {
		t.Errorf("%d of %d in use, %d evicted", l.InUse(now), l.Capacity(), l.Evicted())
	}
	if got := allowed(l, time.Minute, "192.0.2.1", Negative, "zone", 2); got != 2 {
		t.Errorf("an innocent prefix is let through %d times of 2", got)
	}
	if n := l.InUse(l.At(time.Minute + 2*time.Second)); n != 0 {
		t.Errorf("%d in use two seconds later", n)
	}
}

func TestSlipAndExempt(t *testing.T) {
	l := newLimiter(t, Options{
		Rate: 1, Slip: 3,
		Exempt: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/25"), netip.MustParsePrefix("2001:db8::/32")},
	})
	slipped := 0
	for i := range 9000 {
		if l.Slip(uint64(i)) {
			slipped++
		}
	}
	if slipped != 3000 {
		t.Errorf("%d of 9000 slip, want one in 3", slipped)
	}
	if newLimiter(t, Options{Rate: 1}).Slip(0) {
		t.Error("a slip of 0 sends some")
	}
	for client, want := range map[string]bool{
		"192.0.2.1": true, "192.0.2.128": false, "2001:db8::1": true,
		"2001:db9::1": false,
	} {
		if l.Exempt(netip.MustParseAddr(client)) != want {
			t.Errorf("%s is exempt: %v", client, !want)
		}
	}
}

func TestOptionsOutOfRange(t *testing.T) {
	for _, o := range []Options{
		{},
		{Rate: -1},
		{Rate: MaxRate + 1},
		{Rate: 1, Slip: -1},
		{Rate: 1, Slip: MaxSlip + 1},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

func TestHighestRateForever(t *testing.T) {
	l := newLimiter(t, Options{Rate: MaxRate})
	for _, at := range []time.Duration{0, time.Hour, 100 * 365 * 24 * time.Hour} {
		if got := allowed(l, at, "192.0.2.1", Answer, "www", 1000); got != 1000 {
			t.Errorf("at %v: %d of 1000", at, got)
		}
	}
}

func TestAllowAllocatesNothing(t *testing.T) {
	l := newLimiter(t, Options{Rate: 200})
	client, name := netip.MustParseAddr("2001:db8::1"), uint64(7)
	if n := testing.AllocsPerRun(1000, func() { l.Allow(l.At(time.Second), client, Answer, name) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAllow(b *testing.B) {
	const name = 0x0123456789abcdef
	for _, bench := range []struct {
		name    string
		rate    int
		clients uint32
	}{{"one prefix", 100_000_000, 1}, {"one prefix over its limit", 1, 1}, {"65536 prefixes", 200, 1 << 16}} {
		b.Run(bench.name, func(b *testing.B) {
			l := newLimiter(b, Options{Rate: bench.rate, Slip: 2})
			var n uint32
			var a [4]byte
			begin := time.Now()
			now := l.At(0)
			b.ReportAllocs()
			for b.Loop() {
				if n++; n%64 == 0 {
					now = l.At(time.Since(begin))
				}
				binary.BigEndian.PutUint32(a[:], n%bench.clients<<8)
				l.Allow(now, netip.AddrFrom4(a), Answer, name)
			}
		})
	}
}
