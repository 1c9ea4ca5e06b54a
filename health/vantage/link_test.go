package vantage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	clientv3 "go.etcd.io/etcd/client/v3"

	"leeward/health"
	"leeward/zones/etcd"
)

func target(endpoint string) health.Target {
	return health.Target{Endpoint: endpoint, Address: netip.MustParseAddr("192.0.2.1")}
}

func assign(endpoints ...string) []health.Assignment {
	var as []health.Assignment
	for _, e := range endpoints {
		pool, _, _ := strings.Cut(e, "/")
		as = append(as, health.Assignment{
			Target: target(e), Pool: pool, Region: pool,
			Monitor: &health.Monitor{TCP: &health.TCP{Port: 80}},
		})
	}
	return as
}

func report(endpoint string, s health.State) []health.Report {
	return []health.Report{{Target: target(endpoint), State: s, Reason: "because", Latency: time.Millisecond}}
}

func synced(e Event) bool { return e.Synced }

func silence(d time.Duration) func(*etcd.Options) { return func(o *etcd.Options) { o.Silence = d } }

func TestOptionsAreChecked(t *testing.T) {
	nobody := cluster(t, func(o *etcd.Options) { o.Prefix = "/x" }, "127.0.0.1:1")
	for name, o := range map[string]Options{
		"no etcd": {ID: "fra"}, "no name": {Etcd: nobody}, "a name with a slash": {Etcd: nobody, ID: "eu/fra"},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	l, err := New(Options{Etcd: nobody, ID: "fra", Every: time.Minute})
	if err != nil || l.etcd.Key(l.reports) != "/x/reports/fra/" || l.etcd.Key(l.beat) != "/x/vantages/fra" ||
		l.options.Stale != 2*time.Minute {
		t.Errorf("%+v, %v", l, err)
	}
}

// Two vantages see each other's reports, changes and statuses, but not their own. One that withdraws is gone at once.
func TestTwoLinksSeeEachOther(t *testing.T) {
	e := startEtcd(t)
	fra, lon := e.link("fra"), e.link("lon")
	as := assign("www-eu/lb-1", "www-us/lb-1")
	for _, k := range []*link{fra, lon} {
		k.Assign(as)
		k.board.Assign(as)
	}
	fra.Report(report("www-eu/lb-1", health.Down))
	lon.Report(report("www-us/lb-1", health.Up))
	lon.awaitState(target("www-eu/lb-1"), health.Down)
	fra.awaitState(target("www-us/lb-1"), health.Up)
	if v := lon.board.Verdict(target("www-eu/lb-1")); len(v.Votes) != 1 || v.Votes[0].Vantage != "fra" ||
		v.Votes[0].Reason != "because" || v.Votes[0].Latency != time.Millisecond {
		t.Errorf("%+v", v)
	}
	fra.Report(report("www-eu/lb-1", health.Up))
	lon.awaitState(target("www-eu/lb-1"), health.Up)

	if err := fra.SetServer(map[string]int{"revision": 7}); err != nil {
		t.Fatal(err)
	}
	about := lon.await("fra's status", func(e Event) bool { return e.Server != nil })
	if about.Vantage != "fra" || string(about.Server) != `{"revision":7}` {
		t.Errorf("fra says of itself %s, as %+v", about.Server, about)
	}
	beat := lon.await("fra's heartbeat", func(e Event) bool { return e.Heartbeat != nil })
	if size := len(get(t, e.dial(), "/leeward/vantages/fra")); size > 160 {
		t.Errorf("a heartbeat has %d octets: etcd keeps each of them until it is compacted", size)
	}
	if h := beat.Heartbeat; h.Vantage != "fra" || h.Region != "eu" || len(h.Server) != 0 ||
		h.Every.Std() != 100*time.Millisecond || h.Stale.Std() != 10*time.Second || h.Time.IsZero() {
		t.Errorf("%+v", h)
	}
	next := lon.await("another heartbeat", func(e Event) bool { return e.Heartbeat != nil })
	if next.Heartbeat.Sequence <= beat.Heartbeat.Sequence {
		t.Errorf("the sequence went from %d to %d", beat.Heartbeat.Sequence, next.Heartbeat.Sequence)
	}

	// A target that is no longer assigned is no longer reported on.
	fra.Assign(assign("www-us/lb-1"))
	lon.awaitState(target("www-eu/lb-1"), health.Unknown)
	if text := get(t, e.dial(), "/leeward/reports/fra/www-eu"); text != "" {
		t.Errorf("still there: %s", text)
	}

	fra.Report(report("www-us/lb-1", health.Up))
	lon.await("fra's new report", func(Event) bool { return len(lon.board.Verdict(target("www-us/lb-1")).Votes) == 1 })
	if err := fra.Withdraw(context.Background()); err != nil {
		t.Fatal(err)
	}
	lon.await("fra to go", func(e Event) bool { return e.Vantage == "fra" && e.Gone })
	if n := len(lon.board.Vantages(time.Now())); n != 0 {
		t.Errorf("%d vantages are left", n)
	}
	fra.Report(report("www-us/lb-1", health.Down)) // too late
	fra.stop()
	r, err := e.dial().Get(context.Background(), "/leeward/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range r.Kvs {
		if strings.Contains(string(kv.Key), "/fra") {
			t.Errorf("%s was written after the withdrawal", kv.Key)
		}
	}
	for len(fra.events) > 0 {
		if ev := <-fra.events; ev.Vantage == "fra" {
			t.Errorf("fra was told of itself: %+v", ev)
		}
	}
}

// A vantage turned while nobody followed, for example during an election of etcd's leader. Its heartbeat makes its
// votes count again. If the heartbeat came before the new votes, the old ones would count for a moment, and verdicts
// would turn back.
func TestListIsToldAsAWhole(t *testing.T) {
	e := startEtcd(t)
	fra, lon := e.link("fra"), e.link("lon")
	as := assign("www-ap/lb-1", "www-eu/lb-1", "www-us/lb-1")
	for _, k := range []*link{fra, lon} {
		k.Assign(as)
		k.board.Assign(as)
	}
	all := []string{"www-ap/lb-1", "www-eu/lb-1", "www-us/lb-1"}
	turn := func(s health.State) {
		for _, endpoint := range all {
			fra.Report(report(endpoint, s))
		}
		for _, endpoint := range all {
			lon.awaitState(target(endpoint), s)
		}
	}
	turn(health.Up)
	turn(health.Down)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	first := make(chan []Event, 1)
	ended := make(chan error)
	go func() {
		ended <- lon.Link.Follow(ctx, func(all []Event) {
			select {
			case first <- all:
			default:
			}
		})
	}()
	told := <-first
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	beats, down := 0, 0
	for i := range told {
		if told[i].Heartbeat != nil {
			beats++
		}
		for _, r := range told[i].Reports {
			if r.State == health.Down {
				down++
			}
		}
	}
	if beats != 1 || down != len(all) {
		t.Errorf("the first call has %d heartbeats and %d reports of %d", beats, down, len(all))
	}
}

// etcd goes away and comes back. Whatever turned meanwhile arrives at once, and only in its latest state.
func TestEtcdStopsAndStarts(t *testing.T) {
	e := startEtcd(t)
	fra, lon := e.link("fra"), e.link("lon", func(o *Options) {
		o.Etcd = cluster(t, silence(500*time.Millisecond), e.client.Host)
	})
	as := assign("www-eu/lb-1", "www-us/lb-1")
	fra.Assign(as)
	lon.board.Assign(as)
	fra.Report(append(report("www-eu/lb-1", health.Up), report("www-us/lb-1", health.Up)...))
	lon.awaitState(target("www-us/lb-1"), health.Up)
	e.stop()
	for i := range 1000 { // none of this waits, and nothing of it piles up
		fra.Report(report("www-eu/lb-1", health.State(1+i%2)))
	}
	fra.Assign(assign("www-eu/lb-1")) // this is gone by the time etcd is back
	wait(t, "fra to see that etcd is away", func() bool { return !fra.Status().Connected })
	wait(t, "lon to hear nothing", func() bool { return !lon.Status().Following })
	if s := fra.Status(); s.Unwritten != 2 || !strings.Contains(s.Problem, "cannot be written") || s.Reports != 1 {
		t.Errorf("%+v", s)
	}
	e.start()
	lon.awaitState(target("www-eu/lb-1"), health.Down)
	lon.awaitState(target("www-us/lb-1"), health.Unknown)
	wait(t, "fra to be connected", func() bool { return fra.Status().Connected && fra.Status().Unwritten == 0 })
}

// Another etcd takes etcd's place, and its revisions begin anew. A watch that went on from where it was would only hear
// that all is well.
func TestEtcdIsMadeAnew(t *testing.T) {
	e := startEtcd(t)
	client := e.dial()
	for range 100 { // so that the new one takes long to count this far
		put(t, client, "/leeward/regions/eu", "{}")
	}
	fra, lon := e.link("fra"), e.link("lon", func(o *Options) {
		o.Etcd = cluster(t, silence(time.Minute), e.client.Host)
	})
	as := assign("www-eu/lb-1")
	fra.Assign(as)
	lon.board.Assign(as)
	fra.Report(report("www-eu/lb-1", health.Up))
	lon.awaitState(target("www-eu/lb-1"), health.Up)
	e.stop()
	e.folder = t.TempDir()
	e.start()
	fra.Report(report("www-eu/lb-1", health.Down))
	lon.awaitState(target("www-eu/lb-1"), health.Down)
}

// A connection falls silent without an error. The watch is given up and begun anew, and what was missed is delivered.
func TestSilentWatch(t *testing.T) {
	e := startEtcd(t)
	w := e.wire()
	lon := e.link("lon", func(o *Options) {
		o.Etcd = cluster(t, silence(500*time.Millisecond), w.listener.Addr().String())
	})
	as := assign("www/lb-1", "www/lb-2")
	lon.board.Assign(as)
	client := e.dial()
	put(t, client, "/leeward/reports/ci/www", `{"validFor": "1h", "endpoints": {"lb-1": {"*": {"state": "down"}}}}`)
	lon.awaitState(target("www/lb-1"), health.Down)
	w.breakAll()
	put(t, client, "/leeward/reports/ci/www", `{"validFor": "1h", "endpoints": {"lb-2": {"*": {"state": "down"}}}}`)
	lon.awaitState(target("www/lb-2"), health.Down)
	lon.awaitState(target("www/lb-1"), health.Unknown)
	wait(t, "lon to follow and write again", func() bool { return lon.Status().Following && lon.Status().Connected })
}

// Two members of three accept connections and say nothing, as stopped ones do. Reports are written through the third,
// and others' reports come through it, whichever is asked first.
func TestSilentMembers(t *testing.T) {
	e := startEtcd(t)
	silent := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l.Addr().String()
	}
	beside := func(o *Options) {
		o.Etcd = cluster(t, nil, silent(), e.client.Host, silent())
	}
	fra, lon := e.link("fra", beside), e.link("lon", beside)
	as := assign("www-eu/lb-1")
	fra.Assign(as)
	lon.board.Assign(as)
	fra.Report(report("www-eu/lb-1", health.Down))
	lon.awaitState(target("www-eu/lb-1"), health.Down)
	fra.Report(report("www-eu/lb-1", health.Up))
	lon.awaitState(target("www-eu/lb-1"), health.Up)
}

func wait(t *testing.T, what string, until func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !until() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("waited in vain for ", what)
		}
	}
}

// The keys of a dead vantage count until they are stale, and no longer. A server that reads them only then trusts them
// for one window. The vantage's next run takes them over.
func TestDeadVantageGoesStale(t *testing.T) {
	e := startEtcd(t)
	fra, lon := e.link("fra"), e.link("lon")
	as := assign("www-eu/lb-1", "www-us/lb-1")
	fra.Assign(as)
	lon.board.Assign(as)
	fra.Report(append(report("www-eu/lb-1", health.Down), report("www-us/lb-1", health.Up)...))
	lon.awaitState(target("www-eu/lb-1"), health.Down)
	last := lon.await("a heartbeat", func(e Event) bool { return e.Heartbeat != nil })
	fra.stop()

	late := e.link("nyc")
	late.board.Assign(as)
	late.await("the list", synced)
	for _, k := range []*link{lon, late} {
		now := time.Now()
		if v := k.board.Vantages(now); len(v) == 0 || v[0].Vantage != "fra" || !v[0].Fresh {
			t.Errorf("%+v", v)
		}
		if v := k.board.Vantages(now.Add(10 * time.Second))[0]; v.Fresh {
			t.Errorf("still fresh: %+v", v)
		}
		k.board.Judge(now.Add(time.Hour))
		if v := k.board.Verdict(target("www-eu/lb-1")); v.Fresh != 0 || v.State != health.Down {
			t.Errorf("the last vote does not stand: %+v", v)
		}
	}

	// This clock is at its beginning.
	again := e.link("fra", func(o *Options) { o.Now = func() time.Time { return time.Unix(1, 0) } })
	again.Assign(assign("www-us/lb-1"))
	again.Report(report("www-us/lb-1", health.Down))
	lon.awaitState(target("www-us/lb-1"), health.Down)
	next := lon.await("a heartbeat", func(e Event) bool { return e.Heartbeat != nil && e.Vantage == "fra" })
	if next.Heartbeat.Sequence <= last.Heartbeat.Sequence {
		t.Errorf("the new run's sequence %d is not above %d", next.Heartbeat.Sequence, last.Heartbeat.Sequence)
	}
	lon.awaitState(target("www-eu/lb-1"), health.Unknown) // the new run has removed what it does not probe
}

// A run whose clock is behind continues above all sequences that the run before has used, even those after its last
// heartbeat.
func TestNewRunIsAboveTheOld(t *testing.T) {
	e := startEtcd(t)
	client := e.dial()
	put(t, client, "/leeward/vantages/fra", `{"sequence": 1000}`)
	put(t, client, "/leeward/reports/fra/www",
		`{"sequence": 1007, "endpoints": {"lb-1": {"192.0.2.1": {"state": "up"}}}}`)
	lon := e.link("lon")
	lon.board.Assign(assign("www/lb-1"))
	lon.awaitState(target("www/lb-1"), health.Up)
	fra := e.link("fra", func(o *Options) { o.Now = func() time.Time { return time.Unix(0, 1) } })
	fra.Report(report("www/lb-1", health.Down))
	lon.awaitState(target("www/lb-1"), health.Down)
	if p := fra.Status().Problem; p != "" {
		t.Errorf("an earlier run is taken for another process: %s", p)
	}
}

// 10,000 targets that all flap at once are some hundred transactions, not tens of thousands.
func TestFlapStorm(t *testing.T) {
	e := startEtcd(t)
	fra, lon := e.link("fra", func(o *Options) { o.Every = 2 * time.Second }), e.link("lon")
	const pools, each = 1000, 10
	var endpoints []string
	for p := range pools {
		for i := range each {
			endpoints = append(endpoints, fmt.Sprintf("p%d/lb-%d", p, i))
		}
	}
	as := assign(endpoints...)
	fra.Assign(as)
	lon.board.Assign(as)
	for _, s := range []health.State{health.Up, health.Down} {
		for _, endpoint := range endpoints {
			fra.Report(report(endpoint, s)) // one by one, as probes end
		}
		left := map[health.Target]bool{}
		for _, a := range as {
			left[a.Target] = true
		}
		deadline := time.After(60 * time.Second)
		for len(left) > 0 {
			select {
			case ev := <-lon.events:
				for _, r := range ev.Reports {
					if r.State == s {
						delete(left, r.Target)
					}
				}
			case <-deadline:
				t.Fatalf("%d of %d did not arrive", len(left), len(as))
			}
		}
	}
	done := testutil.ToFloat64(fra.metrics.transactions.WithLabelValues("done"))
	ops := testutil.ToFloat64(fra.metrics.ops)
	t.Logf("%d changes in %v transactions, %v writes", 2*len(as), done, ops)
	if done > 400 {
		t.Errorf("%v transactions", done)
	}
	if n := testutil.ToFloat64(fra.metrics.transactions.WithLabelValues("failed")); n > 0 {
		t.Errorf("%v failed", n)
	}
}

// Others put reports by hand: with a validity, for all addresses, without a sequence. A value that cannot be read
// affects only itself.
func TestReportsPutByHand(t *testing.T) {
	e := startEtcd(t)
	client := e.dial()
	lon := e.link("lon")
	as := assign("www/lb-1", "www/lb-2", "api/lb-1")
	lon.board.Assign(as)
	put(t, client, "/leeward/reports/ci/www",
		`{"validFor": "1h", "endpoints": {"lb-1": {"*": {"state": "down", "reason": "deploy"}}, "lb-2": {"192.0.2.1": {"state": "up", "load": 0.5}}}}`)
	lon.awaitState(target("www/lb-1"), health.Down)
	lon.awaitState(target("www/lb-2"), health.Up)
	if v := lon.board.Verdict(target("www/lb-2")); v.Votes[0].Load != health.LoadOf(0.5) {
		t.Errorf("%+v", v)
	}
	// Each put is a report of its own, even with the same sequence. The last one counts.
	put(t, client, "/leeward/reports/ci/www",
		`{"sequence": 1, "validFor": "1h", "endpoints": {"lb-1": {"*": {"state": "up"}}, "lb-2": {"192.0.2.1": {"state": "down"}}}}`)
	lon.awaitState(target("www/lb-2"), health.Down)
	put(t, client, "/leeward/reports/ci/www",
		`{"sequence": 1, "validFor": "1h", "endpoints": {"lb-1": {"*": {"state": "down"}}, "lb-2": {"192.0.2.1": {"state": "up"}}}}`)
	lon.awaitState(target("www/lb-2"), health.Up)

	for _, c := range []struct{ key, value, problem string }{
		{"reports/ci/www", `{`, "not a report"},
		{"reports/ci/www", `{"vantage": "fra", "endpoints": {}}`, "is not what the key says"},
		{"reports/ci/www", `{}`, "endpoints: is missing"},
		{"reports/ci/www", `{"sequence": -1, "endpoints": {}}`, "not a report"},
		{"reports/ci/www", `{"validFor": 3, "endpoints": {}}`, "a duration is text"},
		{"vantages/ci", `{"sequence": "x"}`, "not a heartbeat"},
		{"vantages/ci", `{}`, "sequence: is missing"},
	} {
		put(t, client, "/leeward/"+c.key, c.value)
		ev := lon.await("the problem of "+c.value, func(e Event) bool { return e.Problem != "" })
		if ev.Key != c.key || !strings.Contains(ev.Problem, c.problem) || len(ev.Reports)+len(ev.Withdrawn) > 0 {
			t.Errorf("%s: %+v", c.value, ev)
		}
	}
	if s := lon.board.State(target("www/lb-1")); s != health.Down {
		t.Errorf("a broken value has cost the last good one: %v", s)
	}

	// One endpoint is broken. It keeps its last report, and the others have their new one.
	for _, broken := range []string{`{"192.0.2.300": {"state": "up"}}`, `{"*": {"state": "fine"}}`, `{"*": {}}`, `7`} {
		state := map[health.State]string{health.Up: "down", health.Down: "up"}[lon.board.State(target("www/lb-2"))]
		put(t, client, "/leeward/reports/ci/www", `{"validFor": "1h", "endpoints": {"lb-1": `+broken+
			`, "lb-2": {"*": {"state": "`+state+`"}}}}`)
		ev := lon.await("the problem of "+broken, func(e Event) bool { return e.Problem != "" })
		if !strings.HasPrefix(ev.Problem, "endpoints.lb-1: ") || lon.board.State(target("www/lb-1")) != health.Down ||
			lon.board.State(target("www/lb-2")).String() != state {
			t.Errorf("%s: %+v, lb-1 is %v, lb-2 %v", broken, ev, lon.board.State(target("www/lb-1")),
				lon.board.State(target("www/lb-2")))
		}
	}
	if n := testutil.ToFloat64(lon.metrics.problems); n != 2 {
		t.Errorf("%v problems are counted", n)
	}
	put(t, client, "/leeward/reports/ci/www", `{"validFor": "1h", "endpoints": {"lb-2": {"*": {"state": "up"}}}}`)
	lon.awaitState(target("www/lb-1"), health.Unknown)
	for _, key := range []string{"/leeward/reports/ci/www", "/leeward/vantages/ci"} {
		if _, err := client.Delete(context.Background(), key); err != nil {
			t.Fatal(err)
		}
	}
	lon.await("ci to go", func(e Event) bool { return e.Gone && e.Vantage == "ci" })
	lon.awaitState(target("www/lb-2"), health.Unknown)
	if n := testutil.ToFloat64(lon.metrics.problems); n != 0 {
		t.Errorf("%v problems are counted", n)
	}
}

// The next list notices what was removed while nobody listened, before a compaction. Lists have pages.
func TestListDeliversRemovals(t *testing.T) {
	e := startEtcd(t)
	client := e.dial()
	var known []string
	for i := range etcd.FirstPage + 10 {
		pool := fmt.Sprintf("p%04d", i)
		known = append(known, pool+"/lb-1")
		put(t, client, "/leeward/reports/ci/"+pool,
			`{"validFor": "1h", "endpoints": {"lb-1": {"*": {"state": "down"}}}}`)
	}
	l, err := New(Options{Etcd: cluster(t, nil, e.client.Host), ID: "lon"})
	if err != nil {
		t.Fatal(err)
	}
	var events []Event
	w := newFollower(l, func(all []Event) { events = append(events, all...) })
	list := func() etcd.Point {
		t.Helper()
		events = nil
		for {
			at, err := w.list(t.Context())
			switch {
			case err == nil:
				return at
			case !errors.Is(err, context.DeadlineExceeded):
				// A busy machine misses the deadline. The follower tries again too, and goes on where it was.
				t.Fatal(err)
			}
		}
	}
	old := list()
	board := health.NewBoard()
	board.Assign(assign(known...))
	for _, ev := range events {
		ev.Apply(board, time.Now())
	}
	if changed := board.Judge(time.Now()); len(changed) != len(known) {
		t.Errorf("%d of %d are down", len(changed), len(known))
	}

	if _, err := client.Delete(context.Background(), "/leeward/reports/ci/p0007"); err != nil {
		t.Fatal(err)
	}
	revision := put(t, client, "/leeward/reports/ci/p0008", `{"validFor": "1h", "endpoints": {}}`)
	if _, err := client.Compact(context.Background(), revision); err != nil {
		t.Fatal(err)
	}
	if err := w.watch(t.Context(), old); !errors.Is(err, etcd.ErrCompacted) {
		t.Errorf("a watch of what is compacted: %v", err)
	}
	list()
	for _, ev := range events {
		ev.Apply(board, time.Now())
	}
	var turned []string
	for _, t := range board.Judge(time.Now()) {
		turned = append(turned, t.Endpoint)
	}
	if !slices.Equal(turned, []string{"p0007/lb-1", "p0008/lb-1"}) {
		t.Errorf("turned: %v", turned)
	}
}

// Keys that something else has changed are put right, for example after etcd was wiped or restored, or by another
// process of the same name.
func TestOwnKeysArePutRight(t *testing.T) {
	e := startEtcd(t)
	fra := e.link("fra")
	fra.Assign(assign("www/lb-1"))
	fra.Report(report("www/lb-1", health.Up))
	client := e.dial()
	const ours = "/leeward/reports/fra/www"
	wait(t, "the report", func() bool { return get(t, client, ours) != "" })
	before := get(t, client, ours)
	if _, err := client.Delete(context.Background(), "/leeward/", clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
	wait(t, "the report again", func() bool { return get(t, client, ours) != "" })
	if get(t, client, ours) == before {
		t.Error("it has not been written anew")
	}

	var now struct{ Sequence uint64 }
	if err := json.Unmarshal([]byte(get(t, client, "/leeward/vantages/fra")), &now); err != nil {
		t.Fatal(err)
	}
	put(t, client, "/leeward/vantages/fra", fmt.Sprintf(`{"sequence": %d}`, now.Sequence+1_000_000))
	wait(t, "the complaint", func() bool { return strings.Contains(fra.Status().Problem, "another process") })
	wait(t, "a heartbeat above the other's", func() bool {
		var h Heartbeat
		return json.Unmarshal([]byte(get(t, client, "/leeward/vantages/fra")), &h) == nil &&
			h.Sequence > now.Sequence+1_000_000
	})
}

// The keys of a vantage that has not moved for a day are removed.
func TestGarbage(t *testing.T) {
	e := startEtcd(t)
	client := e.dial()
	put(t, client, "/leeward/vantages/old", `{"sequence": 1}`)
	put(t, client, "/leeward/reports/old/www", `{"sequence": 1, "endpoints": {"lb-1": {"*": {"state": "down"}}}}`)
	put(t, client, "/leeward/reports/ci/www", `{"validFor": "1h", "endpoints": {"lb-1": {"*": {"state": "up"}}}}`)
	// Many heartbeats of fra come in this time, even on a busy machine.
	lon := e.link("lon", func(o *Options) { o.Garbage = 3 * time.Second })
	fra := e.link("fra")
	fra.Assign(assign("www/lb-1"))
	fra.Report(report("www/lb-1", health.Up))
	lon.await("old to go", func(e Event) bool { return e.Gone && e.Vantage == "old" })
	for _, key := range []string{"/leeward/reports/ci/www", "/leeward/reports/fra/www", "/leeward/vantages/fra"} {
		if get(t, client, key) == "" {
			t.Errorf("%s is gone too", key)
		}
	}
}

// A process stood still for longer than Options.Garbage, and has heard nothing meanwhile. Its first clean-up must not
// remove what belongs to those who went on. The reports of a fleet at rest have not moved either, but its heartbeats
// have.
func TestGarbageAfterAStandstill(t *testing.T) {
	e := startEtcd(t)
	client := e.dial()
	beats := []string{"fra", "old"}
	for _, id := range beats {
		put(t, client, "/leeward/vantages/"+id, `{"sequence": 1}`)
		put(t, client, "/leeward/vantages/"+id+"/server", `{}`)
		put(t, client, "/leeward/reports/"+id+"/www",
			`{"sequence": 1, "endpoints": {"lb-1": {"*": {"state": "up"}}}}`)
	}
	now := time.Now()
	l, err := New(Options{
		ID: "lon", Etcd: cluster(t, nil, e.client.Host), Garbage: time.Hour, Now: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	w := newFollower(l, func([]Event) {})
	if _, err := w.list(t.Context()); err != nil {
		t.Fatal(err)
	}
	put(t, client, "/leeward/vantages/fra", `{"sequence": 2}`)
	now = now.Add(25 * time.Hour)
	w.sweep(t.Context())
	for _, key := range []string{"/leeward/vantages/", "/leeward/reports/"} {
		for _, id := range beats {
			name := map[string]string{"/leeward/vantages/": key + id, "/leeward/reports/": key + id + "/www"}[key]
			if there := get(t, client, name) != ""; there != (id == "fra") {
				t.Errorf("%s is there: %v", name, there)
			}
		}
	}
	if get(t, client, "/leeward/vantages/fra/server") == "" || get(t, client, "/leeward/vantages/old/server") != "" {
		t.Error("what a server says of itself goes with its heartbeat")
	}
}

// etcd was restored from a backup of the same cluster, and has counted past the last revision that was seen of the
// former history. A report whose number is a revision is still new, though its number is lower.
func TestHistoryThatWasOvertaken(t *testing.T) {
	e := startEtcd(t)
	client := e.dial()
	for range 20 {
		put(t, client, "/leeward/regions/eu", "{}")
	}
	report := func(state string) string {
		return fmt.Sprintf(`{"validFor": "1h", "endpoints": {"lb-1": {"*": {"state": %q}}}}`, state)
	}
	put(t, client, "/leeward/reports/ci/www", report("down"))
	l, err := New(Options{ID: "lon", Etcd: cluster(t, nil, e.client.Host)})
	if err != nil {
		t.Fatal(err)
	}
	board := health.NewBoard()
	board.Assign(assign("www/lb-1", "www/lb-2", "api/lb-1"))
	w := newFollower(l, func(all []Event) {
		for i := range all {
			all[i].Apply(board, time.Now())
		}
		board.Judge(time.Now())
	})
	if _, err := w.list(t.Context()); err != nil || board.State(target("www/lb-1")) != health.Down {
		t.Fatalf("%v, %v", board.State(target("www/lb-1")), err)
	}
	e.stop()
	e.folder = t.TempDir()
	e.start()
	client = e.dial()
	put(t, client, "/leeward/reports/ci/www", report("up"))
	for range 40 {
		put(t, client, "/leeward/regions/eu", "{}")
	}
	put(t, client, "/leeward/reports/ci/api", report("down"))
	wait(t, "a list", func() bool {
		_, err := w.list(t.Context())
		return err == nil
	})
	if got := board.State(target("www/lb-1")); got != health.Up {
		t.Errorf("it is %v by the history that was left", got)
	}
	if got := board.State(target("api/lb-1")); got != health.Down {
		t.Errorf("what is new there is %v", got)
	}
}

func FuzzReadPool(f *testing.F) {
	f.Add(
		[]byte(
			`{"vantage":"fra","sequence":7,"time":"2026-01-01T00:00:00Z","validFor":"1m","endpoints":{"lb-1":{"192.0.2.1":{"state":"up","latency":"1ms","load":0.5},"*":{"state":"down","reason":"x"}}}}`,
		),
	)
	f.Add([]byte(`{"endpoints":{"a/b":{}, "":{}, "c":{"::ffff:192.0.2.1":{"state":"unknown"}}}}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		reports, _, bad, err := readPool("fra", "www", value, 1)
		if (len(bad) > 0) && err == nil {
			t.Error("bad endpoints without an error")
		}
		for _, r := range reports {
			if r.Vantage != "fra" || !strings.HasPrefix(r.Endpoint, "www/") || r.State > health.Down ||
				slices.Contains(bad, r.Endpoint) {
				t.Errorf("%+v", r)
			}
		}
	})
}
