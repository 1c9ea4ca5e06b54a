package health

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Telling only what has changed comes to the same as telling everything.
func TestReassignIsAssign(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole, parts := NewBoard(), NewBoard()
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		monitor := &Monitor{TCP: &TCP{Port: 80}}
		assigned := map[Target]Assignment{}
		sequence := uint64(0)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			now = now.Add(time.Second)
			n := rapid.IntRange(0, 5).Draw(t, "target")
			key := Target{Endpoint: fmt.Sprintf("p%d/e", n), Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(n)})}
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				a := Assignment{Target: key, Pool: fmt.Sprintf("p%d", n), Region: rapid.SampledFrom([]string{"eu", "us"}).Draw(t, "region"), Monitor: monitor}
				assigned[key] = a
				parts.Reassign(nil, []Assignment{a})
			case 1:
				delete(assigned, key)
				parts.Reassign([]Target{key}, nil)
			case 2:
				sequence++
				r := Report{
					Vantage: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "vantage"), Target: key,
					State: rapid.SampledFrom([]State{Up, Down}).Draw(t, "state"), Sequence: sequence,
				}
				whole.Report(now, r)
				parts.Report(now, r)
			}
			all := make([]Assignment, 0, len(assigned))
			for _, a := range assigned {
				all = append(all, a)
			}
			whole.Assign(all)
			one, other := whole.Judge(now), parts.Judge(now)
			if fmt.Sprint(one) != fmt.Sprint(other) {
				t.Fatalf("turned: %v and %v", one, other)
			}
			for n := range 6 {
				key := Target{Endpoint: fmt.Sprintf("p%d/e", n), Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(n)})}
				if whole.State(key) != parts.State(key) {
					t.Fatalf("%v: %v and %v", key, whole.State(key), parts.State(key))
				}
			}
		}
	})
}
