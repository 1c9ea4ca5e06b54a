package zones

import (
	"strings"
	"time"
)

// maxDrill is how long a drill may take.
const maxDrill = 24 * time.Hour

func (f *faults) override(o *Override) {
	switch o.State {
	case Drain, Up, Down:
	case "":
		f.add("state", "it is empty; write drain, up or down")
	default:
		f.add("state", "%q is not a word of an override; write drain, up or down", o.State)
	}
	if o.From != nil && o.Until != nil && !o.Until.After(*o.From) {
		f.add("until", "%s is not after from, so it would never have an effect", o.Until.Format(time.RFC3339))
		return
	}
	switch ramp := o.Ramp.Std(); {
	case ramp == 0:
	case ramp < 0 || ramp > maxRamp || ramp%time.Second != 0:
		f.add("ramp", "%s is not a number of seconds from 0s to %s", o.Ramp, Duration(maxRamp))
	case o.State != Drain:
		f.add("ramp", "only a drain takes its time; leave it out")
	case strings.HasPrefix(o.Target, "endpoint/"):
		f.add("ramp", "an endpoint is drained at once; give a ramp to its pool or region, or leave it out")
	case o.From == nil:
		f.add("ramp", "it needs from: servers go by the clock")
	case o.Until != nil && 2*ramp > o.Until.Sub(*o.From):
		f.add("ramp", "%s to lose its clients and %[1]s to get them back are longer than the %s of the drain; make "+
			"the ramp shorter",
			o.Ramp, Duration(o.Until.Sub(*o.From)))
	}
	switch {
	case !o.Drill:
	case o.State != Drain:
		f.add("drill", "a drill is a drain; write state: drain")
	case o.From == nil || o.Until == nil:
		f.add("drill", "a drill must end by itself; write from and until")
	case o.Until.Sub(*o.From) > maxDrill:
		f.add("drill", "%s is longer than %s; a drain may be as long as you like", Duration(o.Until.Sub(*o.From)),
			Duration(maxDrill))
	}
}

// TargetKey returns the key of the resource that an override is for.
func (o *Override) TargetKey() Key {
	class, name, _ := strings.Cut(o.Target, "/")
	switch class {
	case "region":
		return KeyOf(KindRegion, name)
	case "pool":
		return KeyOf(KindPool, name)
	}
	return KeyOf(KindEndpoint, name)
}

// Level is the share of its clients that the override leaves to its target at a time: 1 is all, 0 none. Only while a
// drain's Ramp lasts is it in between.
func (o *Override) Level(at time.Time) float64 {
	if o.From != nil && at.Before(*o.From) || o.Until != nil && !at.Before(*o.Until) {
		return 1
	}
	if o.State != Drain {
		return 0
	}
	level := 0.
	if ramp := o.Ramp.Std(); ramp > 0 && o.From != nil {
		level = max(level, 1-at.Sub(*o.From).Seconds()/ramp.Seconds())
		if o.Until != nil {
			level = max(level, 1-o.Until.Sub(at).Seconds()/ramp.Seconds())
		}
	}
	return level
}

// Gone reports whether the target has no clients from that time until the time that Next returns. At the moment at
// which a drain begins to give them back it is false, although Level is still 0.
func (o *Override) Gone(at time.Time) bool {
	return o.Level(at) == 0 && o.Level(at.Add(time.Nanosecond)) == 0
}

// Next returns the first of these moments after a time: the override begins, has taken all clients, begins to give them
// back, or ends. Zero: none comes.
func (o *Override) Next(after time.Time) (next time.Time) {
	ramp := o.Ramp.Std()
	var turns []time.Time
	if o.From != nil {
		turns = append(turns, *o.From, o.From.Add(ramp))
	}
	if o.Until != nil {
		turns = append(turns, o.Until.Add(-ramp), *o.Until)
	}
	for _, at := range turns {
		if at.After(after) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}
