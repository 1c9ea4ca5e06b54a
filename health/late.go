package health

import "time"

// When etcd fails in the same instant as an endpoint, the others' votes of up are fresh for another stale window
// although nobody can tell that the endpoint is down by now. So a vote of up whose vantage has not been heard of for
// as long as finding out takes, and is overdue with its heartbeat, does not count against this process's own word of
// down, where that is newer than the last that was heard of the vantage.
//
// For as long as finding out takes: in that time the vantage would have found out too, and said so. Nothing shorter
// will do. On links that lose packets heartbeats are late by seconds and probes fail, and whoever asks for more
// failures in a row, because of that, is not to be answered on one vantage's word as soon as two heartbeats were
// late.
//
// A process that is blind has no such word: one that is cut off with its region contradicts what the others said
// last, and waits for their votes to go stale as ever. Nor has one whose disagreement is old, as the others knew of
// what it sees and said otherwise: an election of etcd's leader turns no verdict by itself.

// lateSlack is how much later than its own turn this process may have heard of a vantage that has not seen what it
// has: their probes are not at the same time, and what is written takes a moment.
const lateSlack = time.Second

// Pace says how long a vantage waits between two heartbeats. It is overdue when one is late by a quarter of that.
// One that has no pace is never overdue.
func (b *Board) Pace(name string, every time.Duration) { b.vantage(name).overdue = every + every/4 }

// silence is for how long a vantage may say nothing before its vote of up on a target is outrun. A vote that is
// stale by then does not count anyway.
func (t *target) silence(v *vantage) time.Duration { return max(v.overdue, t.grace-handover) }

// outrun leaves out the votes of up on a target that this process's own newer word of down has outrun.
func (b *Board) outrun(t *target) {
	if b.own == nil {
		return
	}
	i, found := t.find(b.own)
	if !found || !t.cells[i].counted || t.cells[i].state != Down {
		return
	}
	since := t.cells[i].since
	for k := range t.cells {
		c := &t.cells[k]
		v := c.vantage
		if !c.counted || c.state != Up || c.validFor > 0 || v.overdue == 0 ||
			v.heard.After(since.Add(lateSlack)) {
			continue
		}
		if at := v.heard.Add(t.silence(v)); b.now.Before(at) {
			b.deadlines.push(deadline{at, t, nil})
			continue
		}
		c.counted, v.outrun = false, true
	}
}

// caughtUp has the targets of a vantage judged anew, some of whose votes did not count, as it has moved.
func (b *Board) caughtUp(v *vantage) {
	if v.outrun {
		v.outrun = false
		b.touchAll(map[*vantage]bool{v: true})
	}
}
