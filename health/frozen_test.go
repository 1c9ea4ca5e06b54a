package health

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// A Frozen says what the Board said at that moment, whatever happens to the Board.
func TestFrozenIsTheBoardOfThen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSimulation(t, rapid.IntRange(1, 4).Draw(t, "bound"), rapid.IntRange(1, 6).Draw(t, "vantages"), 5)
		turns := map[Target]State{}
		s.opinion = func(vantage string, target Target) State {
			if vantage == "v1" {
				return Down // it is blind
			}
			return turns[target]
		}
		for _, v := range s.servers {
			s.start(v)
		}
		keys := []Target{{Endpoint: "p0/unknown"}}
		for _, a := range s.as {
			keys = append(keys, a.Target)
		}
		seconds := func(n int) {
			for range n {
				for _, a := range s.as {
					turns[a.Target] = rapid.SampledFrom([]State{Up, Down, Unknown}).Draw(t, "opinion")
				}
				if v := s.servers[rapid.IntRange(0, len(s.servers)-1).Draw(t, "who")]; rapid.Bool().Draw(t, "dies") {
					v.alive = false
				}
				s.second()
			}
		}
		seconds(rapid.IntRange(1, 20).Draw(t, "seconds"))
		b := s.servers[0].board
		if rapid.Bool().Draw(t, "used") { // whose memory is used again
			earlier := b.Freeze(keys[:rapid.IntRange(0, len(keys)).Draw(t, "earlier")])
			for i := range len(earlier.targets) {
				earlier.Verdict(i)
			}
			earlier.Thaw()
			seconds(1)
		}
		frozen := b.Freeze(keys)
		var want []Verdict
		for _, key := range keys {
			want = append(want, b.Verdict(key))
		}
		seconds(rapid.IntRange(0, 15).Draw(t, "later"))
		b.Judge(s.now.Add(time.Hour))
		for i, key := range keys {
			if d := cmp.Diff(want[i], frozen.Verdict(i)); d != "" {
				t.Fatalf("%v (-board +frozen)\n%s", key, d)
			}
		}
		frozen.Thaw()
	})
}
