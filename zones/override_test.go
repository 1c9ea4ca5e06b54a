package zones

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The part of its clients that an override leaves to its target is a line through four points. Next goes from one point
// to the next.
func TestOverrideOverTime(t *testing.T) {
	begin := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		o := &Override{Target: "pool/p", State: rapid.SampledFrom([]Word{Drain, Up, Down}).Draw(t, "state")}
		from, length := rapid.IntRange(-50, 50).Draw(t, "from"), rapid.IntRange(1, 100).Draw(t, "length")
		ramp := 0
		if rapid.Bool().Draw(t, "from given") {
			at := begin.Add(time.Duration(from) * time.Second)
			o.From = &at
			if o.State == Drain {
				ramp = rapid.IntRange(0, length/2).Draw(t, "ramp")
				o.Ramp = Duration(time.Duration(ramp) * time.Second)
			}
		} else {
			from = -1 << 20
		}
		until := 1 << 20
		if rapid.Bool().Draw(t, "until given") {
			until = from + length
			if o.From == nil {
				until = length
			}
			at := begin.Add(time.Duration(until) * time.Second)
			o.Until = &at
		}
		if problems := Validate(o).Errors(); len(problems) > 0 {
			t.Fatalf("%v", problems)
		}
		level := func(s int) float64 { // the plain way
			switch {
			case s < from || s >= until:
				return 1
			case s < from+ramp:
				return 1 - float64(s-from)/float64(ramp)
			case s >= until-ramp && ramp > 0:
				return 1 - float64(until-s)/float64(ramp)
			}
			return 0
		}
		for s := -60; s <= 160; s++ {
			at := begin.Add(time.Duration(s) * time.Second)
			if got, want := o.Level(at), level(s); math.Abs(got-want) > 1e-9 {
				t.Fatalf("at %d s the level is %g, want %g: %+v", s, got, want, o)
			}
			next := o.Next(at)
			var want time.Time
			for later := s + 1; later <= 300 && want.IsZero(); later++ {
				turns := o.From != nil && (later == from || later == from+ramp) || o.Until != nil &&
					(later == until || later == until-ramp)
				if turns {
					want = begin.Add(time.Duration(later) * time.Second)
				}
			}
			if !next.Equal(want) {
				t.Fatalf("after %d s the next turn is at %v, want %v: %+v", s, next, want, o)
			}
		}
	})
}

// From the moment in which a drain begins to give its clients back, they are no longer gone.
func TestGone(t *testing.T) {
	from := time.Date(2026, 11, 28, 22, 0, 0, 0, time.UTC)
	until := from.Add(time.Hour)
	o := Override{
		Target: "pool/www-eu", State: Drain, From: &from, Until: &until, Ramp: Duration(10 * time.Minute),
	}
	for _, tt := range []struct {
		after time.Duration
		gone  bool
	}{
		{0, false},
		{10*time.Minute - time.Nanosecond, false},
		{10 * time.Minute, true},
		{50*time.Minute - time.Second, true},
		{50 * time.Minute, false},
		{time.Hour, false},
	} {
		if got := o.Gone(from.Add(tt.after)); got != tt.gone {
			t.Errorf("%s after it began: gone %v, want %v", tt.after, got, tt.gone)
		}
	}
}
