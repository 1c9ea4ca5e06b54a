//go:build linux

package measure

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	clientv3 "go.etcd.io/etcd/client/v3"

	"leeward/integration/lab"
)

// TestMeasurePublishing measures the cost and time of queries while 1,000 changes a second are published. It compares
// them with those while as much is written to etcd that concerns nobody here, because on few cores the writing itself
// disturbs.
func TestMeasurePublishing(t *testing.T) {
	measuring(t)
	const (
		policies = 1_000
		changes  = 1_000  // a second
		load     = 20_000 // queries a second
		rounds   = 7
		lasts    = 3 * time.Second
	)
	m := lab.StartEtcd(t)
	fillPolicies(t, m, policies)
	s := lab.NewServer(t, "one", "--etcd", m.Client, "--rrl", "100000000")
	firstAnswer(t, s, lab.Question{Name: fmt.Sprintf("p%d.example.test", policies-1), Qtype: dns.TypeA})
	s.Ready(t)
	var names strings.Builder
	for i := range policies {
		fmt.Fprintf(&names, "p%d.example.test A\n", i)
	}
	file := filepath.Join(t.TempDir(), "names")
	if err := os.WriteFile(file, []byte(names.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{m.Client}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	// writes puts until the context ends, one by one, and returns the number of puts.
	writes := func(ctx context.Context, key, value func(n int) string) (n int) {
		tick := time.NewTicker(time.Second / changes)
		defer tick.Stop()
		begin, under := time.Now(), make(chan struct{}, 16)
		for ctx.Err() == nil {
			for n < int(time.Since(begin).Seconds()*changes) && ctx.Err() == nil {
				under <- struct{}{}
				go func(n int) {
					if _, err := client.Put(context.Background(), key(n), value(n)); err != nil {
						t.Errorf("put: %v", err)
					}
					<-under
				}(n)
				n++
			}
			<-tick.C
		}
		for range cap(under) {
			under <- struct{}{}
		}
		return n
	}
	address := func(n int) netip.Addr {
		return netip.AddrFrom4([4]byte{172, byte(16 + n>>16&15), byte(n >> 8), byte(n)})
	}
	endpoint := func(n int) string { return fmt.Sprintf(`{"addresses":[%q]}`, address(n)) }
	total := 0
	change := func(ctx context.Context) int {
		from := total
		n := writes(ctx, func(n int) string { return fmt.Sprintf("/leeward/endpoints/p%d-eu/lb-0", (from+n)%policies) },
			func(n int) string { return endpoint(from + n) })
		total += n
		return n
	}
	ways := []struct {
		name  string
		asks  bool
		write func(ctx context.Context) int
	}{
		{"queries alone", true, nil},
		{"puts of nobody's keys beside them", true, func(ctx context.Context) int {
			return writes(ctx, func(n int) string { return fmt.Sprintf("/nobody/%d", n%policies) }, endpoint)
		}},
		{"changes beside them", true, change},
		{"changes alone", false, change},
		{"nothing", false, nil},
	}

	type step struct {
		Sent uint64  `json:"sent"`
		Lost uint64  `json:"lost"`
		P50  float64 `json:"p50Seconds"`
		P99  float64 `json:"p99Seconds"`
		P999 float64 `json:"p999Seconds"`
	}
	type round struct {
		step
		cpu    time.Duration
		writes int
	}
	measured := make([][]round, len(ways))
	for range rounds {
		for k, w := range ways {
			var r round
			ctx, stop := context.WithTimeout(t.Context(), lasts)
			written := make(chan int, 1)
			before := runTime(s.Process)
			if w.write != nil {
				go func() { written <- w.write(ctx) }()
			}
			if w.asks {
				out := lab.Command(t, nil, "", lab.Binary, "bench", "--server", s.DNS, "--names", file, "--from",
					strconv.Itoa(load), "--most", strconv.Itoa(load),
					"--step", lasts.String(), "-o", "json") // what was lost is printed below
				var result struct {
					Steps []step `json:"steps"`
				}
				if err := json.Unmarshal([]byte(out.Stdout), &result); err != nil || len(result.Steps) == 0 {
					t.Fatalf("bench: %v: %v", err, out)
				}
				r.step = result.Steps[0]
			}
			<-ctx.Done()
			stop()
			if w.write != nil {
				r.writes = <-written
			}
			r.cpu = runTime(s.Process) - before
			measured[k] = append(measured[k], r)
		}
	}
	last := fmt.Sprintf("p%d.example.test", (total-1)%policies)
	lab.Until(t, 10*time.Second, "the last change is answered", func() error {
		for range 20 {
			r, err := lab.Ask(nil, s.DNS, lab.Question{Name: last, Qtype: dns.TypeA})
			if err != nil {
				return err
			}
			if slices.Contains(lab.Addresses(r), address(total-1)) {
				return nil
			}
		}
		return fmt.Errorf("it is not")
	})

	median := func(k int, of func(round) float64) float64 {
		var all []float64
		for _, r := range measured[k] {
			all = append(all, of(r))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	cpu := func(r round) float64 { return float64(r.cpu.Microseconds()) }
	t.Logf("%d policies × 6 endpoints, %d queries a second, %d rounds of %v in turn, medians", policies, load, rounds,
		lasts)
	t.Log("| | puts a second | server's CPU, cores | p50 | p99 | p99.9 | lost |")
	t.Log("|---|---:|---:|---:|---:|---:|---:|")
	for k, w := range ways {
		us := func(of func(round) float64) string {
			if !w.asks {
				return "–"
			}
			return fmt.Sprintf("%.0f µs", 1e6*median(k, of))
		}
		t.Logf("| %s | %.0f | %.3f | %s | %s | %s | %.0f |", w.name,
			median(k, func(r round) float64 { return float64(r.writes) })/lasts.Seconds(),
			median(k, cpu)/float64(lasts.Microseconds()),
			us(func(r round) float64 { return r.P50 }), us(func(r round) float64 { return r.P99 }),
			us(func(r round) float64 { return r.P999 }),
			median(k, func(r round) float64 { return float64(r.Lost) }))
	}
	queries := median(0, func(r round) float64 { return float64(r.Sent) })
	alone, beside := (median(0, cpu)-median(4, cpu))/queries, (median(2, cpu)-median(3, cpu))/queries
	t.Logf("a query costs %.2f µs alone and %.2f µs beside the changes, × %.2f", alone, beside, beside/alone)
}

// runTime returns how long all threads of a process have run.
func runTime(p *lab.Process) (sum time.Duration) {
	for _, thread := range lab.Threads(p) {
		sum += thread.Ran
	}
	return sum
}
