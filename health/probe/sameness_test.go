package probe

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"leeward/health"
)

// Pools that probe the same share one probe, however many report on it. With an interval of an hour, each probe comes
// once while the test runs.
func TestSharedProbeIsOne(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]int{} // by host
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked[r.Host]++
	}))
	defer server.Close()
	p, reports := start(t, Options{})
	var as []health.Assignment
	const pools = 20
	for i := range pools {
		// Each has a monitor of its own, and all monitors are alike.
		a := assignment(fmt.Sprintf("pool-%d/lb-1", i), monitor(t,
			`{"http": {"port": PORT}, "interval": "1h", "rise": 1, "fall": 1}`, portOf(server.Listener.Addr())))
		a.Pool = fmt.Sprintf("pool-%d", i)
		if a.Host = "one.test"; i%2 == 1 {
			a.Host = "two.test" // another question, so another probe
		}
		as = append(as, a)
	}
	p.Assign(as)
	for up := map[string]bool{}; len(up) < pools; {
		if r := <-reports; r.State == health.Up {
			up[r.Endpoint] = true
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(asked) != 2 || asked["one.test"] != 1 || asked["two.test"] != 1 {
		t.Errorf("the target was asked %v, want once for each host", asked)
	}
}

// Whatever is assigned and when, each target has one probe, and what it finds reaches all that share it. Each report is
// the one that a Tracker of the target's own would make.
func TestSharingTellsEach(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	monitors := []*health.Monitor{
		monitor(t, `{"tcp": {"port": 80}, "interval": "2s", "fall": 1, "rise": 1, "hold": "0s"}`, 80),
		monitor(t, `{"tcp": {"port": 80}, "interval": "2s", "fall": 1, "rise": 1, "hold": "0s"}`, 80), // it is the same
		monitor(t, `{"tcp": {"port": 81}, "interval": "3s", "fall": 1, "rise": 1, "hold": "0s"}`, 81),
	}
	rapid.Check(t, func(rt *rapid.T) {
		p, err := New(Options{
			Vantage: "fra", Now: func() time.Time { return now }, OnReport: func([]health.Report) {},
		})
		if err != nil {
			rt.Fatal(err)
		}
		want := map[health.Target]*health.Tracker{}
		type run struct {
			of   *assigned
			kind sameness
		}
		var running []run
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			switch rapid.IntRange(0, 3).Draw(rt, "what") {
			case 0:
				var as []health.Assignment
				fresh := map[health.Target]*health.Tracker{}
				for i := range rapid.IntRange(2, 4).Draw(rt, "pools") {
					pool := fmt.Sprintf("pool-%d", i)
					a := health.Assignment{Target: health.Target{
						Endpoint: pool + "/lb-1",
						Address:  netip.AddrFrom4([4]byte{192, 0, 2, byte(rapid.IntRange(1, 4).Draw(rt, "at") / 4)}),
					}, Pool: pool, Monitor: rapid.SampledFrom(monitors).Draw(rt, "monitor")}
					a.Host = rapid.SampledFrom([]string{"", "a.test"}).Draw(rt, "host")
					as = append(as, a)
					if fresh[a.Target] = want[a.Target]; fresh[a.Target] == nil {
						fresh[a.Target] = &health.Tracker{Fall: 1, Rise: 1}
					}
				}
				want = fresh
				p.Assign(as)
			case 1: // the next probe begins
				if len(p.schedule) > 0 {
					next := p.schedule[0]
					p.schedule.remove(next)
					next.busy, next.probed = true, next.kind
					p.running++
					running = append(running, run{next, next.kind})
				}
			default: // one of those that run ends
				if len(running) == 0 {
					continue
				}
				i := rapid.IntRange(0, len(running)-1).Draw(rt, "which")
				r := running[i]
				running = append(running[:i], running[i+1:]...)
				found := rapid.SampledFrom([]health.State{health.Up, health.Down, health.Unknown}).Draw(rt, "found")
				now = now.Add(time.Second)
				for target, tracker := range want {
					x := p.targets[target]
					if x == r.of || x.kind == r.kind && !r.of.gone && r.of.kind == r.kind && r.of.leader == nil {
						tracker.Observe(now, found)
					}
				}
				p.finish(t.Context(), r.of, monitors[0], outcome{state: found}, now)
			}
			leading := 0
			for target, x := range p.targets {
				lead := p.leaders[x.kind]
				switch {
				case lead == nil || lead.gone || lead.kind != x.kind || x.leader == nil != (lead == x):
					rt.Fatalf("%v has no leader", target)
				case x.leader == nil && x.heap < 0 && !x.busy:
					rt.Fatalf("%v leads and is not to be probed", target)
				case x.leader != nil && (x.heap >= 0 || x.leader != lead):
					rt.Fatalf("%v follows and has a probe of its own", target)
				case x.tracker.State() != want[target].State():
					rt.Fatalf("%v is %v, want %v", target, x.tracker.State(), want[target].State())
				}
				if x.leader == nil {
					leading += 1 + len(x.followers)
				}
			}
			if leading != len(p.targets) {
				rt.Fatalf("%d targets have a probe, of %d", leading, len(p.targets))
			}
		}
	})
}
