package health

import "time"

// What a process knows of a target from before it started, and how long it believes that.
//
// A server that starts knows nothing: no probe has ended and no vote has come. Were everything up until then, a restart
// would bring the dead back. So it begins with the verdicts of its last run. Only "down" has to be remembered, as what
// is unknown counts as up. A remembered verdict stands until something says otherwise: this process's own report, or
// the vote of a vantage that this process has seen move. Votes that only lay in etcd at the start are no such thing, as
// whoever wrote them may be dead for long.

// Past is what a run knew of one target, for the next run to begin with. A target that has no Past is new.
type Past struct {
	Target
	Verdict State
	Fell    time.Time // since when this process itself reported it down, by the wall clock, for the monitor's hold; zero: it did not
}

// Recall gives the Board what an earlier run knew. It is to be called before anything else.
func (b *Board) Recall(past []Past) {
	b.past = map[Target]bool{}
	for i := range past {
		if past[i].Verdict == Down {
			b.past[past[i].Target] = true
		}
	}
}

// Past returns what is to be remembered of all targets as of the last Judge, in any order. Fell is the prober's to add.
func (b *Board) Past() []Past {
	all := make([]Past, 0, len(b.targets))
	for _, t := range b.targets {
		if t.assigned {
			all = append(all, Past{Target: t.Target, Verdict: t.state})
		}
	}
	for key := range b.past { // of a hostname that has not been looked up yet, say
		if t := b.targets[key]; t == nil || !t.assigned {
			all = append(all, Past{Target: key, Verdict: Down})
		}
	}
	return all
}

// Seen says that the vantage was seen to move, and not only found where it was when this process began to look.
func (b *Board) Seen(name string) {
	v := b.vantage(name)
	if v.seen {
		return
	}
	v.seen = true
	if len(b.past) > 0 {
		b.touchAll(map[*vantage]bool{v: true})
	}
}

// remember applies the past to a target that has been elected: it turns a verdict that is not down into down, for as
// long as nobody who is known to live contradicts it.
func (b *Board) remember(t *target, state State) State {
	t.asBefore = false
	if len(b.past) == 0 || !b.past[t.Target] {
		return state
	}
	up, down, settled, mine := 0, 0, true, false
	for i := range t.cells {
		c := &t.cells[i]
		switch {
		case !c.counted || t.stale:
		case !c.vantage.own && !c.vantage.seen:
			settled = false
		case c.state == Up:
			up++
		default:
			down++
			mine = mine || c.vantage.own
		}
	}
	switch {
	case up+down == 0: // nobody has spoken
	case settled && state == Down && !mine:
		// Others confirm it. They may start again as well, all at once, and take back what they said before they have
		// probed: so it is remembered until this process has found the same, or somebody has found otherwise.
	case settled, state != Down && !t.quorum.Down(down, up+down):
		delete(b.past, t.Target)
		return state
	}
	t.asBefore = state != Down
	return Down
}
