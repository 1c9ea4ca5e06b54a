package health

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Up to 195 vantages send heartbeats and never report, beside five that report. Every target is probed by somebody as
// soon as nobody has reported on it for as long as finding out may take. Its verdict is right soon after, and until
// then the Board says that it is unwatched.
func TestSilentVantagesArePassedOver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		silent := rapid.SampledFrom([]int{1, 5, 60, 95, 195}).Draw(t, "silent")
		bound := rapid.IntRange(1, 5).Draw(t, "bound")
		s := newSimulation(t, bound, 5, 3)
		truth := map[Target]State{}
		for _, a := range s.as {
			truth[a.Target] = rapid.SampledFrom([]State{Up, Down}).Draw(t, "truth")
		}
		s.opinion = func(_ string, target Target) State { return truth[target] }
		for _, v := range s.servers {
			s.start(v)
		}
		alarmed := false
		grace := int((s.as[0].Monitor.DetectionTime() + handover) / time.Second)
		for second := range grace + 10 {
			for i := range silent {
				name, region := fmt.Sprintf("silent%d", i), fmt.Sprintf("r%d", i%3)
				s.log = append(s.log, func(now time.Time, b *Board) {
					b.Place(name, region)
					b.Heartbeat(now, name, uint64(second+1), 24*time.Hour)
				})
			}
			s.second()
			for _, v := range s.servers {
				alarmed = alarmed || v.board.Unwatched() > 0
			}
		}
		for _, v := range s.servers {
			if v.board.Unwatched() != 0 {
				t.Fatalf("%s: %d are unwatched still", v.name, v.board.Unwatched())
			}
			for _, a := range s.as {
				if got := v.board.State(a.Target); got != truth[a.Target] {
					t.Fatalf("%s: %s is %v, not %v: %+v", v.name, a.Endpoint, got, truth[a.Target],
						v.board.Verdict(a.Target))
				}
			}
		}
		if silent == 195 && bound == 1 && !alarmed {
			t.Fatal("nobody told of a target, and nobody was alarmed")
		}
		// They are still watched when an endpoint turns.
		for _, a := range s.as {
			truth[a.Target] = 3 - truth[a.Target]
		}
		for second := range 10 {
			for i := range silent {
				name := fmt.Sprintf("silent%d", i)
				s.log = append(s.log, func(now time.Time, b *Board) { b.Heartbeat(now, name, uint64(1000+second), 0) })
			}
			s.second()
		}
		for _, v := range s.servers {
			for _, a := range s.as {
				if got := v.board.State(a.Target); got != truth[a.Target] {
					t.Fatalf("%s: %s turned and is %v: %+v", v.name, a.Endpoint, got, v.board.Verdict(a.Target))
				}
			}
		}
	})
}

// A vantage that asks to be believed for years is stale after a minute.
func TestStaleIsBounded(t *testing.T) {
	b := NewBoard()
	b.Heartbeat(epoch, "v", 1, 0)
	b.Heartbeat(epoch, "v", 2, 87600*time.Hour)
	if v := b.Vantages(epoch.Add(MaxStale - 1))[0]; !v.Fresh {
		t.Error("stale too soon")
	}
	if v := b.Vantages(epoch.Add(MaxStale))[0]; v.Fresh {
		t.Error("fresh after the most that a vantage may ask for")
	}
}

// Two of five vantages lie: they say that all is up, that all is down, alternate, or repeat what was true once (their
// reports are frozen while they send heartbeats). Every verdict is the truth, and a vantage that lies by saying down is
// blind or outvoted.
func TestTwoLiarsOfFive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSimulation(t, 5, 5, 6)
		truth, frozen := map[Target]State{}, map[Target]State{}
		for _, a := range s.as {
			truth[a.Target] = rapid.SampledFrom([]State{Up, Up, Down}).Draw(t, "truth")
			frozen[a.Target] = truth[a.Target]
		}
		lies := map[string]string{}
		for _, i := range rapid.Permutation([]int{0, 1, 2, 3, 4}).Draw(t, "liars")[:2] {
			lies[s.servers[i].name] = rapid.SampledFrom([]string{"up", "down", "random", "frozen"}).Draw(t, "lie")
		}
		s.opinion = func(v string, target Target) State {
			switch lies[v] {
			case "up":
				return Up
			case "down":
				return Down
			case "random":
				return rapid.SampledFrom([]State{Up, Down, Unknown}).Draw(t, "random")
			case "frozen":
				return frozen[target]
			}
			return truth[target]
		}
		for _, v := range s.servers {
			s.start(v)
		}
		for round := range 3 {
			for range 15 {
				s.second()
			}
			for _, v := range s.servers {
				for _, a := range s.as {
					if got := v.board.State(a.Target); got != truth[a.Target] {
						t.Fatalf("round %d, %s: %s is %v, not %v: %+v", round, v.name, a.Endpoint, got, truth[a.Target],
							v.board.Verdict(a.Target))
					}
				}
			}
			for _, a := range s.as {
				truth[a.Target] = rapid.SampledFrom([]State{Up, Down}).Draw(t, "turns")
			}
		}
	})
}
