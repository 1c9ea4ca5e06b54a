package health

import "time"

// When etcd fails in the same instant as an endpoint, the others' votes of up stay fresh for another stale window,
// although nobody can report any more that the endpoint is down. This process may see that it is down. Its own vote of
// down then outruns a vote of up if it is newer than the last word of that vote's vantage, the vantage's heartbeat is
// overdue, and the vantage has been silent for as long as finding out takes: by then it would have found out and
// reported.
//
// A shorter time will not do. On links that lose packets, heartbeats are late by seconds and probes fail. An operator
// who asks for more failures in a row because of that should not get answers by a single vantage's vote as soon as two
// heartbeats are late.
//
// A blind process has no such vote: a process that is cut off with its region contradicts what the others said last,
// and waits for their votes to go stale. Nor does an old disagreement count, since the others knew what this process
// sees and said otherwise. So an election of etcd's leader turns no verdict by itself.

// lateSlack is how much later than its own turn this process may have heard from a vantage that has not seen what it
// has. Their probes run at different times, and a report takes a moment to arrive.
const lateSlack = time.Second

// Pace sets how long a vantage waits between two heartbeats. It is overdue when one is late by a quarter of that. A
// vantage without a pace is never overdue.
func (b *Board) Pace(name string, every time.Duration) { b.vantage(name).overdue = every + every/4 }

// silence returns how long a vantage may be silent before its vote of up on a target can be outrun. A stale vote does
// not count anyway.
func (t *target) silence(v *vantage) time.Duration { return max(v.overdue, t.grace-handover) }

// outrun drops the votes of up on a target that this process's own newer vote of down outruns.
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

// caughtUp has the targets of a vantage judged again once it has moved, if votes of it were outrun.
func (b *Board) caughtUp(v *vantage) {
	if v.outrun {
		v.outrun = false
		b.touchAll(map[*vantage]bool{v: true})
	}
}
