package history

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// spent is the processor time of this process.
func spent(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// verdict is an event in the form that the loop adds.
func verdict(i int) (Event, func(*Event)) {
	endpoint := fmt.Sprintf("pool-%d/lb-%d", i%1000, i%10)
	pool, _, _ := strings.Cut(endpoint, "/")
	e := Event{Kind: Verdict, Of: []string{"endpoint/" + endpoint, "pool/" + pool, "region/eu-west"}}
	return e, func(e *Event) {
		e.Turn = &Turn{
			Endpoint: endpoint, Address: "192.0.2.1", From: "up", To: "down",
			Why: "2 of 3 vantages: connection refused",
		}
		e.Text = "192.0.2.1 of " + endpoint + " is down: " + e.Turn.Why
	}
}

// BenchmarkStorm adds 10,000 verdicts: all at once, and 20 in each turn of the loop, every 5 ms. It reports the
// processor time of one verdict, how long the loop waits, and how long until all are written.
func BenchmarkStorm(b *testing.B) {
	const events = 10_000
	for _, pace := range []struct {
		name string
		turn int // events
	}{{"at once", events}, {"20 a turn", 20}, {"1 a turn", 1}} {
		b.Run(strings.ReplaceAll(pace.name, " ", "-"), func(b *testing.B) {
			j, _ := begin(b, Options{Folder: filepath.Join(b.TempDir(), "history")})
			flush(b, j)
			n := min(events, 400*pace.turn)
			var waits []time.Duration
			runtime.GC()
			before := spent(b)
			for b.Loop() {
				for i := 0; i < n; i += pace.turn {
					if i > 0 {
						time.Sleep(5 * time.Millisecond)
					}
					for k := i; k < i+pace.turn; k++ {
						e, fill := verdict(k)
						began := time.Now()
						j.Add(e, fill)
						waits = append(waits, time.Since(began))
					}
				}
				flush(b, j)
			}
			took := spent(b) - before
			slices.Sort(waits)
			b.ReportMetric(float64(took.Nanoseconds())/float64(b.N*n), "cpu-ns/event")
			b.ReportMetric(float64(waits[len(waits)/2].Nanoseconds()), "wait-p50-ns")
			b.ReportMetric(float64(waits[len(waits)*999/1000].Nanoseconds()), "wait-p99.9-ns")
			b.ReportMetric(float64(waits[len(waits)-1].Microseconds()), "wait-max-us")
			if d := j.Dropped(); d > 0 {
				b.Errorf("%d are dropped", d)
			}
		})
	}
}

// writes is how many calls to write this process has made.
func writes(t *testing.T) (n int) {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Skip("calls to write cannot be counted here: ", err)
	}
	_, after, _ := strings.Cut(string(text), "syscw:")
	if _, err := fmt.Sscan(after, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestFewWrites: a storm that waits for the writer is written in few calls, not in one for each event.
func TestFewWrites(t *testing.T) {
	const events = 5000
	j := Open(Options{Folder: filepath.Join(t.TempDir(), "history")})
	for i := range events {
		j.Add(verdict(i))
	}
	before := writes(t)
	go j.Run()
	flush(t, j)
	if n := writes(t) - before; n > events/20 {
		t.Errorf("%d events took %d calls", events, n)
	}
	j.Close()
	if d := j.Dropped(); d > 0 {
		t.Errorf("%d are dropped", d)
	}
}
