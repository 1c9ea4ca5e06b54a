package health

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// How long agreeing takes is measured from the first vote for the verdict, leaving out votes that were alone for long.
func TestTurn(t *testing.T) {
	b := NewBoard()
	a := Assignment{
		Target: Target{"www/lb-1", netip.MustParseAddr("192.0.2.1")}, Pool: "www", Region: "eu",
		Monitor: &Monitor{TCP: &TCP{Port: 80}},
	}
	b.Assign([]Assignment{a})
	var sequence uint64
	for _, step := range []struct {
		at      time.Duration
		vantage string
		state   State
		want    Turn
	}{
		{0, "a", Up, Turn{Unknown, Up, 0}},
		{0, "b", Up, Turn{Unknown, Up, 0}},
		{0, "c", Up, Turn{Unknown, Up, 0}},
		{1 * time.Second, "a", Down, Turn{Unknown, Up, 0}},
		{2 * time.Second, "a", Up, Turn{Unknown, Up, 0}}, // nobody votes against it any more
		{3 * time.Second, "b", Down, Turn{Unknown, Up, 0}},
		{5 * time.Second, "c", Down, Turn{Up, Down, 2 * time.Second}},
		{9 * time.Second, "b", Up, Turn{Down, Up, 7 * time.Second}}, // a has voted so since 2 s
		{time.Minute, "b", Down, Turn{Up, Down, 0}},                 // c has voted so for long
		{90 * time.Second, "c", Up, Turn{Down, Up, 0}},              // and so has a
	} {
		sequence++
		now := epoch.Add(step.at)
		b.Report(now, Report{Vantage: step.vantage, Target: a.Target, State: step.state, Sequence: sequence})
		b.Judge(now)
		if got := b.Turn(a.Target); got != step.want {
			t.Errorf("after %v, %s %v: %+v, want %+v", step.at, step.vantage, step.state, got, step.want)
		}
	}
	// A repeated report that has not changed is as old as it was.
	for _, v := range []string{"a", "c"} {
		sequence++
		b.Report(epoch.Add(100*time.Second), Report{Vantage: v, Target: a.Target, State: Down, Sequence: sequence})
		sequence++
		b.Report(epoch.Add(101*time.Second), Report{Vantage: v, Target: a.Target, State: Down, Sequence: sequence})
	}
	b.Judge(epoch.Add(101 * time.Second))
	if got, want := b.Turn(a.Target), (Turn{Up, Down, time.Second}); got != want {
		t.Errorf("told twice: %+v, want %+v", got, want)
	}
	if got := b.Turn(Target{}); got != (Turn{}) {
		t.Errorf("of no target: %+v", got)
	}
}

// Reassign with what has changed equals Assign with everything.
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
				a := Assignment{
					Target: key, Pool: fmt.Sprintf("p%d", n),
					Region: rapid.SampledFrom([]string{"eu", "us"}).Draw(t, "region"), Monitor: monitor,
				}
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
