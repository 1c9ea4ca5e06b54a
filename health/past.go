package health

import "time"

// What a process knows about a target from before it started, and how long it believes that.
//
// A server that starts knows nothing: no probe has ended and no vote has come. If everything counted as up until then,
// a restart would bring dead endpoints back. So a server begins with the verdicts of its last run. It remembers only
// "down", since what is unknown counts as up. A remembered verdict stands until something contradicts it: this
// process's own report, or the vote of a vantage that this process has seen move. A vote that was in etcd at the start
// does not contradict it, because its vantage may be long dead.

// Past is what a run knew about one target, for the next run to begin with. A target without a Past is new.
type Past struct {
	Target
	Verdict State
	// since when this process itself reported it down, by the wall clock, for holding; zero: it did not
	Fell time.Time
}

// Recall gives the Board what an earlier run knew. It must be called first.
func (b *Board) Recall(past []Past) {
	b.past = map[Target]bool{}
	for i := range past {
		if past[i].Verdict == Down {
			b.past[past[i].Target] = true
		}
	}
}

// Past returns what should be remembered of all targets as of the last Judge, in any order. The prober adds Fell.
func (b *Board) Past() []Past {
	all := make([]Past, 0, len(b.targets))
	for _, t := range b.targets {
		if t.assigned {
			all = append(all, Past{Target: t.Target, Verdict: t.state})
		}
	}
	for key := range b.past { // such as addresses of a hostname that has not been looked up yet
		if t := b.targets[key]; t == nil || !t.assigned {
			all = append(all, Past{Target: key, Verdict: Down})
		}
	}
	return all
}

// Seen says that the vantage was seen to move, and not only found in a list.
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

// remember applies the past to an elected target: it turns a verdict that is not down into down as long as no vantage
// that is known to live contradicts it.
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
		// Others confirm it. They may be starting too, all at once, and take their reports back before they have
		// probed. So it is remembered until this process finds the same, or somebody finds otherwise.
	case settled, state != Down && !t.quorum.Down(down, up+down):
		delete(b.past, t.Target)
		return state
	}
	t.asBefore = state != Down
	return Down
}
