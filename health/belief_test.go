package health

import (
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A listener of OnBelief knows, after each Judge, what Vantages returns, and hears nothing twice.
func TestBelief(t *testing.T) {
	blind := map[Belief]bool{}
	rapid.Check(t, func(t *rapid.T) {
		as := world(t)
		b := NewBoard()
		b.Own("own")
		told := map[string]Belief{}
		b.OnBelief(func(vantage string, from, to Belief) {
			if told[vantage] != from || from == to {
				t.Fatalf("%s turns from %v to %v, and it was %v", vantage, from, to, told[vantage])
			}
			if told[vantage] = to; to == Absent {
				delete(told, vantage)
			}
		})
		b.Assign(as)
		now, names := epoch, []string{"own", "a", "b", "c"}
		beats := map[string]bool{"own": true}
		sequence := uint64(0)
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			sequence++
			name := rapid.SampledFrom(names).Draw(t, "vantage")
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				now = now.Add(time.Duration(rapid.IntRange(1, 12).Draw(t, "seconds")) * time.Second)
			case 1:
				b.Withdraw(name)
				if name != "own" {
					delete(beats, name)
				}
			case 2, 3:
				b.Heartbeat(now, name, sequence, 0)
				beats[name] = true
			default:
				state := State(rapid.IntRange(1, 2).Draw(t, "state"))
				for _, a := range as {
					sequence++
					if rapid.IntRange(0, 9).Draw(t, "other") == 0 {
						state = Up + Down - state
					}
					b.Report(now, Report{Vantage: name, Target: a.Target, Sequence: sequence, State: state})
				}
			}
			b.Judge(now)
			want := map[string]Belief{}
			for _, v := range b.Vantages(now) {
				is := Sighted
				switch {
				case !beats[v.Vantage]:
					continue
				case !v.Fresh:
					is = Silent
				case len(v.BlindTo) > 0:
					is = map[string]Belief{"IPv4": BlindToIPv4, "IPv6": BlindToIPv6}[v.BlindTo[0]]
				case v.Blind:
					is = Blind
				}
				want[v.Vantage] = is
				blind[is] = true
			}
			if !maps.Equal(told, want) {
				t.Fatalf("told is %v, and the vantages are %v", told, want)
			}
		}
	})
	for _, is := range []Belief{Sighted, Blind, Silent} {
		if !blind[is] {
			t.Errorf("no vantage ever was %v", is)
		}
	}
}
