package health

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever is found and when, a report with a hold goes down when it would without one. It comes up no sooner than the
// hold after the last turn to down, and never on a failed probe. It turns at most once each way in any hold, and is up
// in the end if all is well for long enough. There is about one report in each hold, however fast the results turn.
func TestHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fall, rise := rapid.IntRange(1, 4).Draw(t, "fall"), rapid.IntRange(1, 4).Draw(t, "rise")
		hold := time.Duration(rapid.IntRange(1, 30).Draw(t, "hold")) * time.Second
		free, held := Tracker{Fall: fall, Rise: rise}, Tracker{Fall: fall, Rise: rise, Hold: hold}
		now := epoch
		var fell time.Time
		turns := map[State][]time.Time{}
		var due []time.Time
		observe := func(result State) {
			now = now.Add(time.Duration(rapid.IntRange(100, 2000).Draw(t, "ms")) * time.Millisecond)
			was, before := free.State(), held.State()
			free.Observe(now, result)
			if free.State() == Down && was != Down {
				fell = now
			}
			if held.Observe(now, result) {
				due = append(due, now)
			} else if held.State() != before {
				t.Fatalf("it turned to %v and no report is due", held.State())
			}
			switch got := held.State(); {
			case free.State() == Down && got != Down:
				t.Fatalf("it is %v although it has failed", got)
			case free.State() == Unknown && got != Unknown:
				t.Fatalf("it is %v although nothing is known", got)
			case got == Up && before == Down && (now.Sub(fell) < hold || result != Up):
				t.Fatalf("it is up at a result of %v %v after it turned down, held for %v", result, now.Sub(fell), hold)
			case got != before:
				turns[got] = append(turns[got], now)
			}
			if h := held.Held(); !h.IsZero() && (held.State() != Down || h.Sub(fell) > hold) {
				t.Fatalf("it is %v and held until %v after it turned down", held.State(), h.Sub(fell))
			}
		}
		silent := rapid.Bool().Draw(t, "some say nothing")
		for range rapid.IntRange(1, 200).Draw(t, "results") {
			result := State(rapid.IntRange(1, 2).Draw(t, "result"))
			if silent && rapid.IntRange(0, 9).Draw(t, "nothing") == 0 {
				result = Unknown
			}
			observe(result)
		}
		if !silent {
			for to, at := range turns {
				for i := 1; i < len(at); i++ {
					if at[i].Sub(at[i-1]) < hold {
						t.Fatalf("it turned to %v twice within %v", to, at[i].Sub(at[i-1]))
					}
				}
			}
			// One report because holding begins, one because it has ended, and a turn.
			if most := 3*int(now.Sub(epoch)/hold) + 4; len(due) > most {
				t.Fatalf("%d reports in %v, held for %v", len(due), now.Sub(epoch), hold)
			}
		}
		for end := now.Add(hold); !now.After(end); {
			observe(Up)
		}
		for range rise + 1 {
			observe(Up)
		}
		if held.State() != Up || !held.Held().IsZero() {
			t.Fatalf("all is well for more than %v and it is %v until %v", hold, held.State(), held.Held())
		}
	})
}

// An endpoint turns as it likes. Each of some vantages probes it at its own phase, and each turns its report at most
// once each way in a hold, so the verdict turns each way at most as often as there are vantages. If each state of the
// endpoint lasts long enough for all of them to find it, they turn together, and the verdict turns once each way in a
// hold (apart from the interval in which they find the same thing). It is down no later than without a hold, and may be
// sooner, because a vantage that still says down helps the others.
func TestFlappingEndpointTurnsItsVerdictOnceAHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hold := Duration(time.Duration(rapid.IntRange(2, 40).Draw(t, "hold")) * time.Second)
		zero := Duration(0)
		m := &Monitor{
			TCP: &TCP{Port: 80}, Interval: Duration(time.Second), Timeout: Duration(time.Millisecond),
			Fall: rapid.IntRange(1, 3).Draw(t, "fall"), Rise: rapid.IntRange(1, 3).Draw(t, "rise"), Hold: &hold,
		}
		free := *m
		free.Hold = &zero
		seen := rapid.Bool().Draw(t, "seen by all")
		least := 1
		if seen {
			least = 1000*max(m.Fall, m.Rise) + 1
		}
		var states []time.Duration // how long each state lasts, up and down alternately
		for range rapid.IntRange(2, 30).Draw(t, "turns") {
			states = append(states, time.Duration(rapid.IntRange(least, least+6000).Draw(t, "for"))*time.Millisecond)
		}
		well := func(at time.Duration) bool {
			for i, s := range states {
				if at < s {
					return i%2 == 0
				}
				at -= s
			}
			return true
		}
		n := rapid.IntRange(1, 5).Draw(t, "vantages")
		type prober struct {
			name    string
			phase   time.Duration
			tracker Tracker
		}
		target := Target{"www/lb-1", netip.MustParseAddr("192.0.2.1")}
		play := func(m *Monitor, phases []time.Duration) (turns map[State][]time.Time) {
			b := NewBoard()
			b.Assign([]Assignment{{Target: target, Pool: "www", Region: "eu", Monitor: m}})
			var probers []*prober
			for i, phase := range phases {
				probers = append(probers, &prober{
					fmt.Sprint(i), phase,
					Tracker{Fall: m.EffectiveFall(), Rise: m.EffectiveRise(), Hold: m.EffectiveHold()},
				})
			}
			turns = map[State][]time.Time{}
			var sequence uint64
			for second := range 300 {
				for _, p := range probers { // in the order of their phases
					at := time.Duration(second)*time.Second + p.phase
					now := epoch.Add(at)
					result := Down
					if well(at) {
						result = Up
					}
					sequence++
					if p.tracker.Observe(now, result) {
						b.Report(now, Report{
							Vantage: p.name, Target: target, State: p.tracker.State(),
							Sequence: sequence,
						})
					}
					b.Heartbeat(now, p.name, sequence, 0)
					if len(b.Judge(now)) > 0 {
						s := b.State(target)
						turns[s] = append(turns[s], now)
					}
				}
			}
			if b.State(target) != Up {
				t.Fatalf("it has been well for a while and is %v: %+v", b.State(target), b.Verdict(target))
			}
			return turns
		}
		var phases []time.Duration
		for i := range n {
			phases = append(phases, time.Duration(rapid.IntRange(i*1000/n, (i+1)*1000/n-1).Draw(t,
				"phase"))*time.Millisecond)
		}
		held, freely := play(m, phases), play(&free, phases)
		for _, to := range []State{Up, Down} {
			at := held[to]
			for i := range at {
				if k := i + 1; seen && k < len(at) && at[k].Sub(at[i]) < hold.Std()-time.Second {
					t.Fatalf("%v twice within %v", to, at[k].Sub(at[i]))
				}
				if k := i + n; k < len(at) && at[k].Sub(at[i]) < hold.Std() {
					t.Fatalf("%v %d times within %v, by %d vantages", to, n+1, at[k].Sub(at[i]), n)
				}
			}
		}
		if len(freely[Down]) > 0 && (len(held[Down]) == 0 || held[Down][0].After(freely[Down][0])) {
			t.Fatalf("down first at %v, without a hold at %v", held[Down], freely[Down])
		}
	})
}
