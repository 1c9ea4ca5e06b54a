package probe

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"leeward/health"
)

// start runs a prober until the test ends and returns it with its reports.
func start(t *testing.T, o Options) (*Prober, <-chan health.Report) {
	reports := make(chan health.Report, 1000)
	o.Vantage = "fra"
	o.OnReport = func(rs []health.Report) {
		for _, r := range rs {
			reports <- r
		}
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return p, reports
}

func assignment(endpoint string, m *health.Monitor) health.Assignment {
	return health.Assignment{
		Target: health.Target{Endpoint: endpoint, Address: loopback}, Pool: "www", Region: "eu",
		Monitor: m,
	}
}

// A real server falls and rises, and the reports follow.
func TestProberReports(t *testing.T) {
	var broken atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if broken.Load() {
			w.WriteHeader(503)
		}
	}))
	defer server.Close()
	registry := prometheus.NewRegistry()
	p, reports := start(t, Options{Registerer: registry})
	m := monitor(t, `{"http": {"port": PORT}, "interval": "100ms", "hold": "1s"}`, portOf(server.Listener.Addr()))
	p.Assign([]health.Assignment{assignment("www/lb-1", m)})
	first := <-reports
	if first.State != health.Up || first.Reason != "" || first.Vantage != "fra" || first.Endpoint != "www/lb-1" ||
		first.Latency <= 0 {
		t.Errorf("%+v", first)
	}
	broken.Store(true)
	second := <-reports
	if second.State != health.Down || second.Reason != "status 503" || second.Sequence <= first.Sequence {
		t.Errorf("%+v", second)
	}
	broken.Store(false)
	held := <-reports
	if held.State != health.Down || held.Held.Sub(held.Time) > m.EffectiveHold() || held.Reason != "up again, held" {
		t.Errorf("%+v", held)
	}
	if r := <-reports; r.State != health.Up || r.Time.Before(held.Held) || r.Detected != 0 {
		t.Errorf("%+v", r)
	}
	server.CloseClientConnections()
	p.Assign(nil)
	last := <-reports
	if last.State != health.Unknown || last.Sequence <= second.Sequence {
		t.Errorf("%+v", last)
	}
	if n := testutil.ToFloat64(p.metrics.probes.WithLabelValues("http", "up")); n < 4 {
		t.Errorf("%v probes counted as up", n)
	}
	if n := testutil.ToFloat64(p.metrics.targets); n != 0 {
		t.Errorf("%v targets", n)
	}
}

// No two probes share a connection: each shows that a new one can be made.
func TestProbesShareNoConnection(t *testing.T) {
	var mu sync.Mutex
	var requests, connections int
	enough := make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if requests++; requests == 3 {
			close(enough)
		}
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			mu.Lock()
			defer mu.Unlock()
			connections++
		}
	}
	server.Start()
	defer server.Close()
	p, _ := start(t, Options{})
	p.Assign([]health.Assignment{assignment("www/lb-1",
		monitor(t, `{"http": {"port": PORT}, "interval": "100ms"}`, portOf(server.Listener.Addr())))})
	<-enough
	mu.Lock()
	defer mu.Unlock()
	if connections < requests {
		t.Errorf("%d requests on %d connections", requests, connections)
	}
}

// How long a vantage took to find out is measured from the start of its last probe that found otherwise, whatever came
// between.
func TestDetectionIsTimed(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	now := start
	p, err := New(Options{Vantage: "fra", Now: func() time.Time { return now }, OnReport: func([]health.Report) {}})
	if err != nil {
		t.Fatal(err)
	}
	m := monitor(t, `{"tcp": {"port": 80}, "interval": "2s", "fall": 3, "rise": 2, "hold": "0s"}`, 80)
	p.Assign([]health.Assignment{assignment("www/lb-1", m)})
	var of *assigned
	for _, x := range p.targets {
		of = x
	}
	at := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }
	for _, probe := range []struct {
		began, ended float64
		state        health.State
		report       health.State
		detected     time.Duration
	}{
		{0, 0.1, health.Up, health.Unknown, 0},
		{2, 2.1, health.Up, health.Up, 0}, // the first report: there was no other state before
		{4, 4.1, health.Up, health.Unknown, 0},
		{6, 7, health.Down, health.Unknown, 0},
		{8, 8, health.Unknown, health.Unknown, 0}, // no more sockets, which says nothing about the target
		{10, 11, health.Down, health.Unknown, 0},
		{12, 12.5, health.Down, health.Down, 8500 * time.Millisecond},
		{14, 14.1, health.Up, health.Unknown, 0},
		{16, 17, health.Down, health.Unknown, 0},
		{18, 18.1, health.Up, health.Unknown, 0},
		{20, 20.25, health.Up, health.Up, 4250 * time.Millisecond},
	} {
		now = at(probe.ended)
		p.running++
		p.finish(t.Context(), of, m, outcome{state: probe.state}, at(probe.began))
		p.schedule.remove(of)
		var got health.Report
		if len(p.reports) > 0 {
			got = p.reports[0]
		}
		p.reports = nil
		if got.State != probe.report || got.Detected != probe.detected {
			t.Errorf("the probe that ended at %v s: report %v after %v, want %v after %v", probe.ended, got.State,
				got.Detected, probe.report, probe.detected)
		}
	}
}

// A target that another reporter reports on is neither probed nor reported on.
func TestExternalIsNotProbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, reports := start(t, Options{})
		p.Assign([]health.Assignment{assignment("www/lb-1", &health.Monitor{External: &health.External{}})})
		time.Sleep(time.Minute) // of the test's own clock
		p.Assign(nil)
		synctest.Wait()
		if len(reports) != 0 || len(p.targets) != 0 {
			t.Errorf("%d reports, %d targets", len(reports), len(p.targets))
		}
	})
}

// TestSchedule tests first and after over many targets. Each slot is the target's own, the load is even, new targets
// come soon, the phase stays, and a late probe skips slots.
func TestSchedule(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	for _, interval := range []time.Duration{100 * time.Millisecond, time.Second, 30 * time.Second} {
		m := &health.Monitor{TCP: &health.TCP{Port: 80}, Interval: health.Duration(interval)}
		const n = 2000
		buckets := make([]int, 10)
		firsts := make([]int, 10)
		for i := range n {
			target := health.Target{
				Endpoint: fmt.Sprintf("www/lb-%d", i),
				Address:  netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}),
			}
			tt := &assigned{Target: target, monitor: m, phase: phaseOf("fra", target)}
			now := start.Add(12345 * time.Millisecond)
			tt.next = tt.first(start, now, windowsOf(0, 1).others)
			within := min(interval, firstWithin)
			if wait := tt.next.Sub(now); wait < 0 || wait >= within {
				t.Fatalf("the first probe is after %s", wait)
			}
			firsts[tt.next.Sub(now)*10/within]++
			before := tt.next
			tt.next, _ = tt.after(start, tt.next)
			if gap := tt.next.Sub(before); gap < interval/2 || gap > interval*3/2 {
				t.Fatalf("the second probe is %s after the first", gap)
			}
			for range 5 {
				before := tt.next
				next, skipped := tt.after(start, before.Add(interval/3))
				if next.Sub(before) != interval || skipped != 0 {
					t.Fatalf("%s from probe to probe, %d skipped", next.Sub(before), skipped)
				}
				tt.next = next
			}
			buckets[tt.next.Sub(start)%interval*10/interval]++
			before = tt.next
			next, skipped := tt.after(start, before.Add(interval*7/2))
			if next.Sub(before) != 4*interval || skipped != 3 {
				t.Fatalf("late by 2.5 intervals: the next is %s later, %d skipped", next.Sub(before), skipped)
			}
		}
		for i := range buckets {
			if buckets[i] < n/10*7/10 || buckets[i] > n/10*13/10 || firsts[i] < n/10*5/10 || firsts[i] > n/10*20/10 {
				t.Errorf("interval %s: the load is not flat: %v, at first %v", interval, buckets, firsts)
				break
			}
		}
	}
	a := health.Target{Endpoint: "www/lb-1", Address: loopback}
	if phaseOf("fra", a) == phaseOf("lon", a) {
		t.Error("two vantages have one phase")
	}
}

// The endpoints of a small pool are probed close together. Pools are spread evenly over the interval, and so are the
// endpoints of a large pool.
func TestPoolsAreProbedTogether(t *testing.T) {
	p, err := New(Options{Vantage: "fra", OnReport: func([]health.Report) {}})
	if err != nil {
		t.Fatal(err)
	}
	const interval = 10 * time.Second
	m := &health.Monitor{TCP: &health.TCP{Port: 80}, Interval: health.Duration(interval)}
	var as []health.Assignment
	add := func(pool string, n int) {
		for i := range n {
			as = append(as, health.Assignment{
				Target: health.Target{
					Endpoint: fmt.Sprintf("%s/lb-%d", pool, i),
					Address:  netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}),
				},
				Pool: pool, Region: "eu", Monitor: m,
			})
		}
	}
	const pools = 500
	for i := range pools {
		add(fmt.Sprintf("small-%d", i), 10)
	}
	add("large", 5000)
	p.Assign(as)
	seen := map[string][]time.Duration{}
	small, large := make([]int, 10), make([]int, 10)
	for _, a := range as {
		x := p.targets[a.Target]
		at := x.slot(p.start, p.start.Add(time.Hour)).Sub(p.start) % interval
		seen[a.Pool] = append(seen[a.Pool], at)
		if a.Pool == "large" {
			large[at*10/interval]++
		} else {
			small[at*10/interval]++
		}
	}
	for pool, places := range seen {
		for _, at := range places[1:] {
			if d := (at - places[0] + interval) % interval; pool != "large" && min(d, interval-d) >= 10*spacing {
				t.Errorf("%s is probed over %v", pool, min(d, interval-d))
			}
		}
	}
	for i := range 10 {
		if n := pools * 10 / 10; small[i] < n*6/10 || small[i] > n*14/10 || large[i] < 400 || large[i] > 600 {
			t.Fatalf("the load is not flat: small pools %v, the large one %v", small, large)
		}
	}
}

type assigned = target // "target" is a variable above

// Assigning the same again changes nothing. A new monitor keeps the state. A new interval gives a new place.
func TestAssignKeepsWhatIsThere(t *testing.T) {
	p, err := New(Options{Vantage: "fra", OnReport: func([]health.Report) {}})
	if err != nil {
		t.Fatal(err)
	}
	m := func(interval time.Duration, fall int) *health.Monitor {
		return &health.Monitor{TCP: &health.TCP{Port: 80}, Interval: health.Duration(interval), Fall: fall}
	}
	other := func(endpoint string, address string) health.Assignment {
		a := assignment(endpoint, m(time.Minute, 3))
		a.Address = netip.MustParseAddr(address)
		return a
	}
	p.Assign([]health.Assignment{assignment("www/lb-1", m(time.Minute, 3)), other("www/lb-2", "127.0.0.2")})
	before := maps.Clone(p.targets)
	kept := p.targets[health.Target{Endpoint: "www/lb-1", Address: loopback}]
	kept.tracker.Observe(time.Now(), health.Up)
	kept.tracker.Observe(time.Now(), health.Up)
	next := kept.next
	p.Assign([]health.Assignment{
		assignment("www/lb-1", m(time.Minute, 3)), other("www/lb-2", "127.0.0.2"), other("www/lb-3", "127.0.0.3"),
	})
	for key, t1 := range before {
		if p.targets[key] != t1 {
			t.Errorf("%v was begun anew", key)
		}
	}
	p.Assign([]health.Assignment{assignment("www/lb-1", m(time.Minute, 5))})
	if kept.next != next || kept.tracker.State() != health.Up || kept.tracker.Fall != 5 ||
		p.targets[kept.Target] != kept {
		t.Errorf("next %s (was %s), %+v", kept.next, next, kept.tracker)
	}
	if len(p.schedule) != 1 || len(p.targets) != 1 {
		t.Errorf("%d in the schedule, %d targets", len(p.schedule), len(p.targets))
	}
	var gone []string
	for _, r := range p.reports {
		gone = append(gone, r.Endpoint+" "+r.State.String())
	}
	slices.Sort(gone)
	if !slices.Equal(gone, []string{"www/lb-2 unknown", "www/lb-3 unknown"}) {
		t.Errorf("reports %v", gone)
	}
	p.Assign([]health.Assignment{assignment("www/lb-1", m(time.Second, 5))})
	if wait := time.Until(kept.next); wait > time.Second {
		t.Errorf("with an interval of 1s the next probe is in %s", wait)
	}
}

// With one slot and targets that hang, each target still gets its turn, one at a time, and late ones skip slots.
func TestSlotsAreBounded(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]bool{}
	all := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		if seen[r.Host] = true; len(seen) == 5 {
			select {
			case <-all:
			default:
				close(all)
			}
		}
		mu.Unlock()
		<-r.Context().Done()
	}))
	defer server.Close()
	p, _ := start(t, Options{Concurrency: 1})
	var as []health.Assignment
	for i := range 5 {
		as = append(as, assignment(fmt.Sprintf("www/lb-%d", i), monitor(t,
			fmt.Sprintf(`{"http": {"port": PORT, "host": "h%d.test"}, "interval": "100ms", "timeout": "50ms"}`, i),
			portOf(server.Listener.Addr()))))
	}
	p.Assign(as)
	<-all
	p.mu.Lock()
	running := p.running
	p.mu.Unlock()
	if running > 1 {
		t.Errorf("%d probes run at once", running)
	}
}

// Run ends with its context even if probes hang, and makes no report of a probe that it cut short.
func TestRunEnds(t *testing.T) {
	arrived := make(chan struct{}, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	}))
	defer server.Close()
	p, err := New(Options{Vantage: "fra", OnReport: func(rs []health.Report) { t.Errorf("reports: %v", rs) }})
	if err != nil {
		t.Fatal(err)
	}
	m := monitor(t, `{"http": {"port": PORT}, "interval": "1h", "timeout": "1h", "fall": 1}`,
		portOf(server.Listener.Addr()))
	p.Assign([]health.Assignment{assignment("www/lb-1", m)})
	for range 2 { // it may run again
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		p.mu.Lock()
		for _, t1 := range p.targets {
			t1.next = time.Now()
			p.schedule.put(t1)
		}
		p.mu.Unlock()
		signal(p.wake)
		<-arrived
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
