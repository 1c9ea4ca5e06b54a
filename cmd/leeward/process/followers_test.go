//go:build linux && !noembed

package process_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"leeward/health/vantage"
	"leeward/zones"
	"leeward/zones/etcd"
	"leeward/zones/store"
)

var measure = flag.Bool("measure", false, "print the figures of docs/measurements.md")

// freeAddress returns an address that is free now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// follower does with etcd what a server that does not probe does: the same two watches over the same connections.
type follower struct {
	link *vantage.Link

	mu        sync.Mutex
	turned    *sync.Cond
	states    []zones.Condition // all so far
	revision  int64             // last delivered
	listed    int               // how often everything was delivered
	synced    int               // how often all reports were read
	impatient bool
}

// follow starts n of them at once. They end with the test. Each change that one hears of is sent to seen.
func follow(t *testing.T, at *daemon, n int, seen chan<- struct{}) []*follower {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var followers []*follower
	var stores []*store.Store
	t.Cleanup(func() {
		stop()
		all.Wait()
		for _, e := range stores {
			e.Close()
		}
	})
	for range n {
		e, err := store.Dial(etcd.Options{Endpoints: []string{at.url()}, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		stores = append(stores, e)
		f := &follower{}
		f.turned = sync.NewCond(&f.mu)
		if f.link, err = vantage.New(vantage.Options{Etcd: e.Cluster, Bystander: true}); err != nil {
			t.Fatal(err)
		}
		followers = append(followers, f)
		all.Go(func() {
			e.Follow(ctx, func(b zones.Batch) {
				f.tell(func() {
					f.revision = b.Revision
					if b.Full {
						f.listed++
					}
				})
				if seen != nil && !b.Full {
					seen <- struct{}{}
				}
			}, func(c zones.Condition) { f.tell(func() { f.states = append(f.states, c) }) })
		})
		all.Go(func() {
			f.link.Follow(ctx, func(all []vantage.Event) {
				for _, e := range all {
					if e.Synced {
						f.tell(func() { f.synced++ })
					}
				}
			})
		})
	}
	return followers
}

func (f *follower) tell(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	f.turned.Broadcast()
}

// until waits until f holds for what has been delivered.
func (f *follower) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	limit := time.AfterFunc(2*time.Minute, func() { f.tell(func() { f.impatient = true }) })
	defer limit.Stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	for !holds() {
		if f.impatient {
			t.Fatalf("not within two minutes: %s; at revision %d, told %+v", what, f.revision, f.states)
		}
		f.turned.Wait()
	}
}

// mark returns how many states have come so far.
func (f *follower) mark() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.states)
}

// state waits until a state has come so many times since a mark.
func (f *follower) state(t *testing.T, s zones.State, times, mark int) {
	t.Helper()
	f.until(t, fmt.Sprintf("%s, %d times", s, times), func() bool {
		n := 0
		for _, c := range f.states[mark:] {
			if c.State == s {
				n++
			}
		}
		return n >= times
	})
}

// etcd's gRPC proxy does not answer requests for a watch's progress, and does not name the cluster to a watch that
// joins another. Following works behind it all the same: while nobody writes, and while others write elsewhere.
func TestFollowBehindProxy(t *testing.T) {
	member := startMember(t)
	proxy := startProxy(t, member)
	direct := dialTo(t, member)
	put := func(key, value string) int64 {
		t.Helper()
		r, err := direct.Put(t.Context(), key, value)
		if err != nil {
			t.Fatal(err)
		}
		return r.Header.Revision
	}
	region := etcd.DefaultPrefix + "regions/eu"
	put(region, `{"latitude":53.3,"longitude":-6.3}`)
	followers := follow(t, proxy, 3, nil)
	calm := func(what string, mark int) {
		t.Helper()
		for i, f := range followers {
			f.mu.Lock()
			for _, c := range f.states[mark:] {
				if c.State == zones.CutOff {
					t.Errorf("%s: follower %d was cut off: %v", what, i, c.Err)
				}
			}
			if f.synced != 1 || f.listed != 1 {
				t.Errorf("%s: follower %d has read reports %d times and resources %d times, want once",
					what, i, f.synced, f.listed)
			}
			f.mu.Unlock()
		}
	}
	for _, f := range followers {
		f.state(t, zones.Following, 3, 0) // 6 s without changes: longer than either watch may be silent
	}
	calm("nothing happens", 0)
	if r, err := direct.Get(t.Context(), etcd.DefaultPrefix+"reports/pulse"); err != nil || r.Count != 0 {
		t.Errorf("a pulse was written and nothing had happened: %v, %v", r, err)
	}

	for range 2 {
		mark := followers[0].mark()
		put("/others/key", "x")
		followers[0].state(t, zones.Following, 1, mark)
	}
	for _, f := range followers {
		if !f.link.Status().Following {
			t.Error("the reports of others are not followed")
		}
	}
	calm("others write elsewhere", 0)

	at := put(region, `{"latitude":52,"longitude":5}`)
	for _, f := range followers {
		f.until(t, "the change", func() bool { return f.revision >= at })
	}
	at = put(region, `{"latitude":51,"longitude":5}`)
	if _, err := direct.Compact(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	at = put(region, `{"latitude":50,"longitude":5}`)
	for _, f := range followers {
		f.until(t, "what comes after a compaction", func() bool { return f.revision >= at })
	}
	calm("changes and a compaction", 0)

	// The servers' descriptions of themselves do not come from the proxy's cache.
	through, err := etcd.Dial(etcd.Options{Endpoints: []string{proxy.url()}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer through.Close()
	for want := range 2 {
		all, _, err := vantage.Bystanders(t.Context(), through)
		if err != nil || len(all) != want {
			t.Errorf("servers that do not probe: %s, %v; want %d", all, err, want)
		}
		put("/leeward.servers/one", `{}`)
	}

	mark := followers[0].mark()
	if err := member.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	followers[0].state(t, zones.CutOff, 1, mark)
	mark = followers[0].mark()
	if err := member.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	followers[0].state(t, zones.Following, 1, mark)
	at = put(region, `{"latitude":49,"longitude":5}`)
	for _, f := range followers {
		f.until(t, "what comes after an outage", func() bool { return f.revision >= at })
	}
}

// TestMeasureFollowers runs followers of one etcd, directly and behind its gRPC proxy, and one vantage that sends a
// heartbeat every 2 s, as in service. It changes a record, and waits until all followers have the change.
func TestMeasureFollowers(t *testing.T) {
	if !*measure {
		t.Skip("only with -measure")
	}
	t.Logf("%s, %d cores", runtime.Version(), runtime.NumCPU())
	for _, way := range []string{"directly", "grpc-proxy"} {
		for _, n := range []int{100, 1000} {
			t.Run(fmt.Sprint(way, " ", n), func(t *testing.T) { measureFollowers(t, way == "grpc-proxy", n) })
		}
	}
}

func measureFollowers(t *testing.T, proxied bool, n int) {
	const puts = 100
	member := startMember(t)
	at := member
	if proxied {
		at = startProxy(t, member)
	}
	direct := dialTo(t, member)
	seen := make(chan struct{}, 2*n)
	began := time.Now()
	followers := follow(t, at, n, seen)
	for _, f := range followers {
		f.state(t, zones.Following, 1, 0)
		f.until(t, "reports", func() bool { return f.synced > 0 })
	}
	t.Logf("all follow after %.1f s", time.Since(began).Seconds())
	alive(t, direct)

	type both struct{ etcd, proxy usage }
	now := func() both { return both{member.usage(t), at.usage(t)} }
	const rest = 20 * time.Second
	before := now()
	time.Sleep(rest) // the measurement is of what idling costs
	after := now()
	idle := both{
		usage{
			cpu:  (after.etcd.cpu - before.etcd.cpu) / rest.Seconds(),
			sent: (after.etcd.sent - before.etcd.sent) / rest.Seconds(),
		},
		usage{cpu: (after.proxy.cpu - before.proxy.cpu) / rest.Seconds()},
	}
	t.Logf("at rest, a second: etcd %.0f ms of processor, %.0f kB sent; proxy %.0f ms",
		1000*idle.etcd.cpu, idle.etcd.sent/1000, 1000*idle.proxy.cpu)

	var took []time.Duration
	before, began = now(), time.Now()
	for i := range puts {
		begin := time.Now()
		value := fmt.Sprintf(`{"ttl": "30s", "data": ["192.0.2.%d"]}`, 1+i)
		if _, err := direct.Put(t.Context(), etcd.DefaultPrefix+"records/example.test/www/A", value); err != nil {
			t.Fatal(err)
		}
		for k := range n {
			select {
			case <-seen:
			case <-time.After(time.Minute):
				t.Fatalf("put %d: %d of %d have seen it", i, k, n)
			}
		}
		took = append(took, time.Since(begin))
	}
	after = now()
	span := time.Since(began).Seconds()
	each := func(is, was, idle float64) float64 { return (is - was - idle*span) / puts }
	slices.Sort(took)
	t.Logf("put to seen by all: p50 %v, p99 %v; a put costs etcd %.1f ms of processor and %.1f kB sent, the proxy "+
		"%.1f ms",
		took[puts/2].Round(time.Millisecond/10), took[puts*99/100].Round(time.Millisecond/10),
		1000*each(after.etcd.cpu, before.etcd.cpu, idle.etcd.cpu),
		each(after.etcd.sent, before.etcd.sent, idle.etcd.sent)/1000,
		1000*each(after.proxy.cpu, before.proxy.cpu, idle.proxy.cpu))
	t.Logf("memory of etcd %.0f MiB, of the proxy %.0f MiB", after.etcd.memory/(1<<20), after.proxy.memory/(1<<20))
	for i, f := range followers {
		f.mu.Lock()
		cut := 0
		for _, c := range f.states {
			if c.State == zones.CutOff {
				cut++
			}
		}
		if cut > 0 || f.synced > 1 || f.listed > 1 {
			t.Logf("follower %d was cut off %d times, read reports %d times and resources %d times",
				i, cut, f.synced, f.listed)
		}
		f.mu.Unlock()
	}
}

// alive writes a vantage's heartbeat every 2 s until the test ends.
func alive(t *testing.T, c *clientv3.Client) {
	ctx, stop := context.WithCancel(t.Context())
	var done sync.WaitGroup
	t.Cleanup(func() { stop(); done.Wait() })
	done.Go(func() {
		tick := time.NewTicker(vantage.DefaultEvery)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				c.Put(ctx, etcd.DefaultPrefix+"vantages/fra", fmt.Sprintf(`{"sequence":%d}`, i))
			}
		}
	})
}
