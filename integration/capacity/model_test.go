//go:build linux

package capacity

import (
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"leeward/integration/lab"
)

// TestCapacityVisits compares the sum over sets with going through all orders one by one.
func TestCapacityVisits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		share := rapid.OneOf(rapid.SampledFrom([]float64{0, 1}), rapid.Float64Range(0, 1))
		refuses := rapid.SliceOfN(share, 1, 6).Draw(t, "refuses")
		k := len(refuses)
		want, wantLost, orders := make([]float64, k), 0.0, 0.0
		var walk func(order []int, used int, left float64)
		walk = func(order []int, used int, left float64) {
			if len(order) == k {
				orders++
				left = 1
				for _, i := range order {
					want[i] += left
					left *= refuses[i]
				}
				wantLost += left
				return
			}
			for i := range k {
				if used&(1<<i) == 0 {
					walk(append(order, i), used|1<<i, left)
				}
			}
		}
		walk(nil, 0, 1)
		got := make([]float64, k)
		lost := visits(refuses, got)
		if math.Abs(lost-wantLost/orders) > 1e-9 {
			t.Fatalf("%v: lost %v, by going through all orders %v", refuses, lost, wantLost/orders)
		}
		for i := range got {
			if math.Abs(got[i]-want[i]/orders) > 1e-9 {
				t.Fatalf("%v: attempts %v, by going through all orders %v over %v", refuses, got, want, orders)
			}
		}
	})
}

func TestCapacityOptimum(t *testing.T) {
	for _, c := range []struct {
		demand, targets []float64
		want            float64
	}{
		{[]float64{1, 1, 1}, []float64{2, 2, 2}, 0},
		{[]float64{4, 1, 1}, []float64{2, 2, 2}, 2. / 6},
		{[]float64{6, 3, 3}, []float64{2, 2, 2}, 2. / 12}, // all over: each has 4
		{[]float64{2, 2, 2}, []float64{0, 2, 2}, 2. / 6},  // twice 3; its own 2 have to go
		{[]float64{0, 0, 0}, []float64{1, 1, 1}, 0},
		{[]float64{1, 1, 1}, []float64{0, 0, 0}, 1},
	} {
		if got := optimum(c.demand, c.targets); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%v of %v: %v, want %v", c.demand, c.targets, got, c.want)
		}
	}
}

// TestCapacityPlans reads every world. A mistake in one is reported with its line.
func TestCapacityPlans(t *testing.T) {
	for _, p := range readPlans(t) {
		if p.name == "" || p.title == "" {
			t.Errorf("%+v has no title", p)
		}
	}
	for _, c := range []struct{ text, says string }{
		{"lasts 5s\n", "a world has a title"},
		{"title x\n", "lasts some time"},
		{"title x\nlasts 5s\n  region eu dies\n", "w.txt:3: region eu dies: nothing has begun yet"},
		{"title x\nlasts 5s\nat 1s\n  region xx dies\n", "w.txt:4: region xx dies: there is no region \"xx\""},
		{"title x\nlasts 5s\nat 1s\n  a comet strikes\n", "w.txt:4: a comet strikes: nothing known is said so"},
		{"title x\nlasts 5s\nat 2s\nat 1s\n", "w.txt:4: at 1s: times come in their order"},
		{"title x\nlasts 5s\nload is heavy\n", "w.txt:3: load is heavy: no monitor reads"},
		{"title x\nlasts 5s\nresolvers of eu: 10 alone have 40%\n", "the resolvers of eu have 40% of its clients"},
		{"title x\nlasts 5s\nnoise 0.1\n", "w.txt:3: noise 0.1: write a share as 50%"},
	} {
		if _, err := parsePlan("w.txt", c.text); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %v, want %q", c.text, err, c.says)
		}
	}
}

func TestCapacityLine(t *testing.T) {
	l := level(1).towards(3, 10*time.Second, 4*time.Second)
	for now, want := range map[time.Duration]float64{
		0: 1, 10 * time.Second: 1, 11 * time.Second: 1.5, 14 * time.Second: 3,
		time.Minute: 3,
	} {
		if got := l.at(now); got != want {
			t.Errorf("at %v: %v, want %v", now, got, want)
		}
	}
	if got := l.towards(1, 12*time.Second, time.Second).at(12500 * time.Millisecond); got != 1.5 {
		t.Errorf("half-way back from half-way: %v, want 1.5", got)
	}
}

// TestCapacityBalancer: an endpoint gets too much for just not long enough, then for long enough, and comes back cold.
func TestCapacityBalancer(t *testing.T) {
	p := usual()
	b := newBalancer(t, p, 0, "eu/1", fmt.Sprintf("127.0.0.1:%d", lab.LoopbackPort(t)))
	now := time.Duration(0)
	play := func(rate float64, d time.Duration) (broke bool) {
		t.Helper()
		for until := now + d; now < until; {
			now += tickEvery
			b.arrives = rate
			once, err := b.step(now, tickEvery)
			if err != nil {
				t.Fatal(err)
			}
			broke = broke || once
		}
		return broke
	}
	probe := func() (load string, err error) {
		c := http.Client{Timeout: 100 * time.Millisecond, Transport: &http.Transport{DisableKeepAlives: true}}
		r, err := c.Get("http://" + b.address)
		if err != nil {
			return "", err
		}
		defer r.Body.Close()
		return r.Header.Get("endpoint-load-metrics"), nil
	}
	p.noise = 0
	if play(p.limit*p.max+100, p.endures) || play(p.limit*p.max, time.Minute) || play(p.limit*p.max+100, p.endures) {
		t.Fatalf("it broke at %v, before its time", now)
	}
	// on the way from 1200 to 1300
	if said, err := probe(); err != nil || said != "TEXT rps_fractional=1299.97, mem_utilization=0.31" {
		t.Errorf("it says %q (%v)", said, err)
	}
	if want := 1 - p.limit*p.max/(p.limit*p.max+100); math.Abs(b.loses-want) > 1e-9 {
		t.Errorf("it loses %v, want %v", b.loses, want)
	}
	if !play(p.limit*p.max+100, tickEvery) || b.up() {
		t.Fatal("it has not broken")
	}
	if said, err := probe(); err == nil {
		t.Errorf("broken, it says %q", said)
	}
	play(0, p.down-tickEvery)
	if b.up() {
		t.Error("it is up before its time")
	}
	play(0, tickEvery)
	if got, want := b.holds(now), p.cold*p.max; !b.up() || got != want {
		t.Errorf("just started it holds %v, want %v", got, want)
	}
	play(0, p.warming/2)
	if got, want := b.holds(now), (1+p.cold)/2*p.max; math.Abs(got-want) > 1e-6 {
		t.Errorf("half-way warm it holds %v, want %v", got, want)
	}
	if said, err := probe(); err != nil || said != "TEXT rps_fractional=0.00, mem_utilization=0.31" {
		t.Errorf("it says %q (%v)", said, err)
	}
	if err := b.die(); err != nil || b.holds(now) != 0 {
		t.Errorf("dead it holds %v (%v)", b.holds(now), err)
	}
}

func TestCapacityCache(t *testing.T) {
	client := netip.MustParseAddr("10.1.7.1")
	wide := &answer{subnet: netip.MustParsePrefix("10.1.0.0/16"), expires: 2 * time.Second}
	narrow := &answer{subnet: netip.MustParsePrefix("10.1.7.0/24"), expires: time.Second}
	other := &answer{subnet: netip.MustParsePrefix("10.1.8.0/24"), expires: time.Second}
	c := &cache{answers: []*answer{wide, other, narrow}}
	for _, at := range []struct {
		now  time.Duration
		want *answer
		left int
	}{{0, narrow, 3}, {time.Second, wide, 1}, {2 * time.Second, nil, 0}} {
		if got := c.find(client, at.now); got != at.want || len(c.answers) != at.left {
			t.Errorf("at %v: %+v of %d, want %+v of %d", at.now, got, len(c.answers), at.want, at.left)
		}
	}
}

// TestCapacitySettled: a pool's load swings for 6 s after a change, and then stays.
func TestCapacitySettled(t *testing.T) {
	m := &meter{lasts: 30 * time.Second, regions: 1}
	m.changes(5*time.Second, 4*time.Second)
	for at := time.Duration(0); at < m.lasts; at += tickEvery {
		load := 100.
		switch {
		case at > 9*time.Second && at < 15*time.Second:
			load = 180
		case at >= 15*time.Second:
			load = 150
		}
		m.ticks = append(m.ticks, tick{at: at, load: []float64{load}, most: []float64{200}})
	}
	if got := m.settled(); got < 6*time.Second || got > 7*time.Second {
		t.Errorf("settled within %v, want 6 s to 7 s, as a mean of a second shows it", got)
	}
	m.ticks[len(m.ticks)-1].load[0] = 1e6
	if got := m.settled(); got < 20*time.Second {
		t.Errorf("settled within %v, want not at all", got)
	}
}

// TestCapacityWords prints the lines of worlds, and compares them with README.md.
func TestCapacityWords(t *testing.T) {
	if err := language.Explain("README.md", *update); err != nil {
		t.Error(err)
	}
}
