package health

// Tracker turns the results of one vantage's probes of one target into its report: Fall consecutive failures make it
// down, Rise consecutive successes up. Until either has happened it is Unknown, so a new target that never failed is not
// out. A result that says nothing of the target (the vantage has no IPv6, no more sockets) neither adds to nor breaks a
// run, but Fall of them in a row make the report Unknown again.
type Tracker struct {
	Fall, Rise int // thresholds, 1 or more; they may change between results

	state   State
	settled bool // a report has been due since the start, be it Unknown
	last    State
	run     int // consecutive results equal to last (Up or Down)
	blank   int // consecutive results that said nothing
}

// State returns what the vantage reports.
func (t *Tracker) State() State { return t.state }

// Observe takes the result of one probe and reports whether a new report is due.
func (t *Tracker) Observe(result State) (changed bool) {
	if result == Unknown {
		t.blank++
		if t.blank < max(t.Fall, 1) {
			return false
		}
		t.run = 0
		return t.turn(Unknown)
	}
	t.blank = 0
	if result != t.last {
		t.last, t.run = result, 0
	}
	t.run++
	threshold := t.Fall
	if result == Up {
		threshold = t.Rise
	}
	if t.run < max(threshold, 1) {
		return false
	}
	return t.turn(result)
}

func (t *Tracker) turn(to State) bool {
	if t.settled && t.state == to {
		return false
	}
	t.state, t.settled = to, true
	return true
}
