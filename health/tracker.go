package health

import "time"

// Tracker turns the results of one vantage's probes of one target into its report. Fall consecutive failures make it
// down, and Rise consecutive successes up. Until either has happened it is Unknown, so that a new target that never
// failed stays in answers. A result that says nothing about the target (the vantage has no IPv6, or no more sockets)
// neither extends nor breaks a run, but Fall of them in a row make the report Unknown again.
//
// Only the way back is damped. A report of down turns up at the earliest Hold after the last time that Fall failures in
// a row came together. A target that keeps turning in less than Hold goes out once and stays out. One that failed
// longer ago than Hold comes back as soon as Rise allows. Going out never waits. So within any Hold a report turns at
// most once each way. Reports are held rather than verdicts: verdicts remain the same on every server for the same
// reports, and a server that has just started need not know what happened before.
type Tracker struct {
	Fall, Rise int           // thresholds, at least 1; they may change between results
	Hold       time.Duration // see above; 0: nothing is held

	state   State
	settled bool // a report has been due since the start, perhaps Unknown
	last    State
	run     int // consecutive results equal to last (Up or Down)
	blank   int // consecutive results that said nothing about the target

	found State     // what the runs say, before holding
	fell  time.Time // when found last turned to down
	until time.Time // until when it is held, as of the last report; zero: it is not held

	recalled bool // it was down before this run, and no run of results has decided yet
}

// State returns what the vantage reports.
func (t *Tracker) State() State { return t.state }

// Held returns until when the target is held down although it has risen, according to the last report. It returns the
// zero time if it is not held.
func (t *Tracker) Held() time.Time { return t.until }

// Recall starts the Tracker with what an earlier run reported: down, since that time. Nothing is reported until a probe
// has ended. One failure confirms it, Rise successes end it, and it is held as it would have been.
func (t *Tracker) Recall(fell time.Time) {
	t.state, t.fell, t.recalled = Down, fell, true
}

// Fell returns since when the vantage reports down. It returns the zero time if it does not.
func (t *Tracker) Fell() time.Time {
	if t.state != Down {
		return time.Time{}
	}
	return t.fell
}

// Decide makes one failure suffice if nothing has been reported yet. It reports whether a new report is due.
func (t *Tracker) Decide(now time.Time) (changed bool) {
	if t.settled || t.last != Down || t.run == 0 {
		return false
	}
	t.run = max(t.Fall, 1) - 1
	return t.Observe(now, Down)
}

// Observe takes the result of one probe, which ended at now, and reports whether a new report is due. One is due if the
// state has turned, if holding begins, or if the time until which it was held is over and it is not up. So about one
// report a Hold is made, however fast the target turns.
func (t *Tracker) Observe(now time.Time, result State) (changed bool) {
	if result == Unknown {
		t.blank++
		if t.blank < max(t.Fall, 1) {
			return false
		}
		t.run, t.found = 0, Unknown
		return t.turn(Unknown, time.Time{})
	}
	t.blank = 0
	if result != t.last {
		t.last, t.run = result, 0
	}
	t.run++
	threshold := t.Fall
	switch {
	case result == Up:
		threshold = t.Rise
	case t.recalled:
		threshold = 1
	}
	if t.run >= max(threshold, 1) {
		if result == Down && t.found != Down && !t.recalled {
			t.fell = now
		}
		t.found, t.recalled = result, false
	}
	end := t.fell.Add(t.Hold)
	risen := result == Up && t.run >= max(t.Rise, 1)
	switch {
	case t.found == Unknown:
		return false
	case t.state == Down && now.Before(t.until):
		return false // the report already says that it is held
	case t.found == Up && t.state == Down && (now.Before(end) || !risen):
		return t.turn(Down, end)
	}
	return t.turn(t.found, time.Time{})
}

func (t *Tracker) turn(to State, until time.Time) bool {
	if t.settled && t.state == to && t.until.Equal(until) {
		return false
	}
	t.state, t.settled, t.until = to, true, until
	return true
}
