package health

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestPastOutlivesTheRestartOfOthers: all servers start at once. The others' old reports confirm that a target is down,
// and are then withdrawn because the new runs have not probed it yet. That does not mean that anybody has found it up.
func TestPastOutlivesTheRestartOfOthers(t *testing.T) {
	target := Target{Endpoint: "www-eu/lb-1", Address: netip.MustParseAddr("192.0.2.1")}
	b := NewBoard()
	b.Recall([]Past{{Target: target, Verdict: Down}})
	b.Own("own")
	b.Assign([]Assignment{{Target: target, Pool: "www-eu", Region: "eu", Monitor: &Monitor{}}})
	now := epoch
	state := func(want State, when string) {
		t.Helper()
		b.Judge(now)
		if got := b.State(target); got != want {
			t.Errorf("%s it is %v, want %v", when, got, want)
		}
	}
	state(Down, "at the start")
	for i, v := range []string{"a", "b"} {
		b.Report(now, Report{Vantage: v, Target: target, State: Down, Sequence: uint64(i + 1)})
		b.Heartbeat(now, v, uint64(i+10), 0)
		b.Seen(v)
	}
	state(Down, "with the others' old reports")
	for _, v := range []string{"a", "b"} {
		b.Withdraw(v, target.Endpoint)
	}
	state(Down, "with these taken back")
	for i, v := range []string{"a", "b"} {
		b.Report(now, Report{Vantage: v, Target: target, State: Up, Sequence: uint64(i + 100)})
	}
	state(Up, "when the others have probed it")
}

// A target that was down before the start stays down until the votes of vantages known to live, and all fresh votes,
// say that it is not. A target that was not down is judged as if nothing were remembered.
func TestPastStandsUntilSomebodySpeaks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		as := world(t)
		with, without := NewBoard(), NewBoard()
		var past []Past
		dead := map[Target]bool{}
		for _, a := range as {
			if rapid.Bool().Draw(t, "was down") {
				dead[a.Target] = true
				past = append(past, Past{Target: a.Target, Verdict: Down})
			} else if rapid.Bool().Draw(t, "was up") {
				past = append(past, Past{Target: a.Target, Verdict: Up})
			}
		}
		with.Recall(past)
		boards := []*Board{with, without}
		for _, b := range boards {
			b.Own("own")
			b.Assign(as)
		}
		vantages := []string{"own", "a", "b", "c"}
		seen := map[string]bool{"own": true}
		votes := map[Target]map[string]State{}
		now := epoch
		heard := map[string]time.Time{}
		var sequence uint64
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			v := rapid.SampledFrom(vantages).Draw(t, "vantage")
			target := rapid.SampledFrom(as).Draw(t, "target").Target
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0, 1:
				state := rapid.SampledFrom([]State{Unknown, Up, Up, Down}).Draw(t, "state")
				sequence++
				for _, b := range boards {
					b.Report(now, Report{Vantage: v, Target: target, State: state, Sequence: sequence})
				}
				if votes[target] == nil {
					votes[target] = map[string]State{}
				}
				votes[target][v], heard[v] = state, now
			case 2:
				with.Seen(v)
				seen[v] = true
			case 3:
				now = now.Add(time.Duration(rapid.IntRange(1, 6).Draw(t, "seconds")) * time.Second)
			}
			for _, b := range boards {
				b.Judge(now)
			}
			blind := false
			for _, v := range with.Vantages(now) {
				blind = blind || v.Blind
			}
			if blind {
				t.Skip("blindness has its own tests")
			}
			for _, a := range as {
				up, down, all := 0, 0, true
				for v, state := range votes[a.Target] {
					if state == Unknown || v != "own" && !now.Before(heard[v].Add(DefaultStale)) {
						continue
					}
					switch {
					case !seen[v]:
						all = false
					case state == Up:
						up++
					default:
						down++
					}
				}
				plain := without.State(a.Target)
				// only by others, who may withdraw
				confirmed := all && plain == Down && (votes[a.Target]["own"] != Down)
				if dead[a.Target] && up+down > 0 && !confirmed &&
					(all || plain != Down && !a.Monitor.Quorum.Down(down, up+down)) {
					delete(dead, a.Target)
				}
				want := plain
				if dead[a.Target] {
					want = Down
				}
				if got := with.State(a.Target); got != want {
					t.Fatalf("%s is %v, want %v: seen %v, votes %v, %+v", a.Endpoint, got, want, seen, votes[a.Target],
						with.Verdict(a.Target))
				}
			}
		}
		down := map[Target]bool{}
		for _, p := range with.Past() {
			if p.Verdict == Down {
				down[p.Target] = true
			}
		}
		for _, a := range as {
			if down[a.Target] != (with.State(a.Target) == Down) {
				t.Fatalf("%s is %v and remembered as down: %v", a.Endpoint, with.State(a.Target), down[a.Target])
			}
		}
	})
}

// With what a vantage had found before it restarted, one failure is enough, and rise and hold are as they would have
// been.
func TestTrackerRecalls(t *testing.T) {
	const hold = 20 * time.Second
	for _, c := range []struct {
		name    string
		fell    time.Duration // how long before the start
		results []State       // one a second
		want    string        // the reports that are due: "", "d"own, "h"eld, "u"p
	}{
		{"it is down still", 5 * time.Second, []State{Down, Down}, "d "},
		{"it is up", time.Minute, []State{Up, Up, Up}, " u "},
		{"it is up and held", 5 * time.Second, []State{Up, Up, Up}, " h "},
		{"it is up once", 5 * time.Second, []State{Up, Down, Up, Up}, " d h"},
		{"nothing can be told", 5 * time.Second, []State{Unknown, Unknown, Unknown, Down}, "  ?d"},
	} {
		tracker := Tracker{Fall: 3, Rise: 2, Hold: hold}
		tracker.Recall(epoch.Add(-c.fell))
		got := ""
		for i, result := range c.results {
			switch due := tracker.Observe(epoch.Add(time.Duration(i)*time.Second), result); {
			case !due:
				got += " "
			case tracker.State() == Up:
				got += "u"
			case tracker.State() == Unknown:
				got += "?"
			case tracker.Held().IsZero():
				got += "d"
			default:
				got += "h"
				if want := epoch.Add(hold - c.fell); !tracker.Held().Equal(want) {
					t.Errorf("%s: held until %s, want %s", c.name, tracker.Held(), want)
				}
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// Many targets are remembered for a start, but only those that were down are kept.
func TestRecallKeepsWhatWasDown(t *testing.T) {
	b := NewBoard()
	var past []Past
	for i := range 1000 {
		past = append(past, Past{Target: Target{Endpoint: fmt.Sprintf("p/e%d", i)}, Verdict: State(1 + i%2)})
	}
	b.Recall(past)
	if len(b.past) != 500 || len(b.Past()) != 500 {
		t.Errorf("%d and %d of 500 are kept", len(b.past), len(b.Past()))
	}
}
