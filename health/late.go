package health

import "time"

// When etcd fails in the same instant as an endpoint, the others' votes of up are fresh for another stale window although
// nobody can tell that the endpoint is down by now. So a vote of up whose vantage is overdue with its heartbeat does not
// count against this process's own word of down, where that is newer than the last that was heard of the vantage.
//
// A process that is blind has no such word: one that is cut off with its region contradicts what the others said last, and
// waits for their votes to go stale as ever. Nor has one whose disagreement is old, as the others knew of what it sees and said
// otherwise: an election of etcd's leader turns no verdict by itself.

// lateSlack is how much later than its own turn this process may have heard of a vantage that has not seen what it has: their
// probes are not at the same time, and what is written takes a moment.
const lateSlack = time.Second

// Pace says how long a vantage waits between two heartbeats. It is overdue when one is late by a quarter of that. One that
// has no pace is never overdue.
func (b *Board) Pace(name string, every time.Duration) { b.vantage(name).overdue = every + every/4 }

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
		if !c.counted || c.state != Up || c.validFor > 0 || v.overdue == 0 || v.heard.After(since.Add(lateSlack)) {
			continue
		}
		if at := v.heard.Add(v.overdue); b.now.Before(at) {
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
