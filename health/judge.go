package health

import (
	"container/heap"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Judge brings all verdicts up to that time and returns the targets whose state turned, sorted.
//
// The votes on a target are the reports of fresh vantages that are not blind. If more vantages live than should probe
// the target, the votes are those of the first vantages in its order (see choice.go). If there are no such votes, the
// last ones stand although they are stale. If there never were any, the verdict is Unknown. Otherwise the monitor's
// quorum decides between Down and Up. A target that was down before this process started stays Down until it is known
// anew (see past.go).
//
// A vantage that is blind to a family abstains from votes on its addresses (see blind.go).
func (b *Board) Judge(now time.Time) (changed []Target) {
	b.now = now
	b.expire(now)
	for _, t := range b.dirty {
		b.recount(t)
	}
	b.sight()
	b.muster()
	for _, t := range b.dirty {
		t.dirty = false
		if !t.assigned {
			continue
		}
		b.light(t)
		b.elect(t)
		b.outrun(t)
		b.countStale(t)
		if state := b.remember(t, t.judge()); state != t.state {
			t.was, t.state, t.since = t.state, state, now
			t.agreed = t.agreement(now)
			changed = append(changed, t.Target)
		}
	}
	clear(b.dirty)
	b.dirty = b.dirty[:0]
	b.stand()
	slices.SortFunc(changed, byTarget)
	return changed
}

// expire touches the targets of vantages that went stale or came back, and of reports whose own validity has ended.
func (b *Board) expire(now time.Time) {
	turned := map[*vantage]bool{}
	for _, v := range b.vantages {
		if lapsed := v.lapsedAt(now); lapsed != v.lapsed {
			v.lapsed, turned[v] = lapsed, true
		}
		if fresh := v.freshAt(now); fresh != v.fresh {
			v.fresh, turned[v] = fresh, true
			if !fresh {
				v.left = now
			}
		}
	}
	b.touchAll(turned)
	for len(b.deadlines) > 0 && !now.Before(b.deadlines[0].at) {
		d := heap.Pop(&b.deadlines).(deadline)
		if d.vantage == nil {
			if d.target.assigned {
				b.touch(d.target)
			}
			continue
		}
		i, found := d.target.find(d.vantage)
		if !found {
			continue
		}
		c := &d.target.cells[i]
		c.armed = false
		if c.validFor == 0 {
			continue
		}
		if at := c.received.Add(c.validFor); now.Before(at) {
			c.armed = true
			b.deadlines.push(deadline{at, d.target, d.vantage})
			continue
		}
		b.touch(d.target)
	}
}

// touchAll touches every target on which one of the vantages reports.
func (b *Board) touchAll(vantages map[*vantage]bool) {
	if len(vantages) == 0 {
		return
	}
	for _, t := range b.targets {
		for i := range t.cells {
			if vantages[t.cells[i].vantage] {
				b.touch(t)
				break
			}
		}
	}
}

// recount works out what the target's cells add to the counts of their vantages.
func (b *Board) recount(t *target) {
	b.uncount(t)
	var votes [2][3]int // fresh or not, state
	for i := range t.cells {
		c := &t.cells[i]
		c.fresh = c.freshAt(b.now)
		votes[index(c.fresh)][c.state]++
	}
	if !t.assigned {
		return
	}
	for i := range t.cells {
		c := &t.cells[i]
		if c.state == Unknown {
			continue
		}
		votes[index(c.fresh)][c.state]--
		others := votes[1]
		if others[Up]+others[Down] == 0 && !c.fresh {
			others = votes[0]
		}
		votes[index(c.fresh)][c.state]++
		if others[Up]+others[Down] == 0 {
			continue
		}
		v := c.vantage
		seen := &v.sees[t.family]
		c.shared = true
		seen.shared++
		v.moved = true
		if others[Up] <= others[Down] {
			continue
		}
		c.well = true
		seen.well++
		if c.state == Down {
			c.contradicted = true
			seen.contradict(t, 1)
		}
	}
}

// uncount takes back what recount added.
func (b *Board) uncount(t *target) {
	for i := range t.cells {
		c := &t.cells[i]
		v := c.vantage
		if c.shared {
			c.shared = false
			v.sees[t.family].shared--
			v.moved = true
		}
		if c.well {
			c.well = false
			v.sees[t.family].well--
		}
		if c.contradicted {
			c.contradicted = false
			v.sees[t.family].contradict(t, -1)
		}
	}
}

func index(fresh bool) int {
	if fresh {
		return 1
	}
	return 0
}

// light notes whether anybody has a fresh vote on the target and, if not, since when.
func (b *Board) light(t *target) {
	unlit := 0
	switch {
	case slices.ContainsFunc(t.cells, func(c cell) bool { return c.fresh && c.state != Unknown }):
		t.dark = time.Time{}
	case t.dark.IsZero():
		t.dark = b.now
		b.deadlines.push(deadline{b.now.Add(t.grace), t, nil})
	case !b.now.Before(t.dark.Add(t.grace)):
		unlit = 1
	}
	b.unlit += unlit - t.unlit
	t.unlit = unlit
}

// tally counts the votes that make the verdict.
func (t *target) tally() (up, down int) {
	for i := range t.cells {
		switch c := &t.cells[i]; {
		case !c.counted:
		case c.state == Up:
			up++
		default:
			down++
		}
	}
	return up, down
}

func (t *target) judge() State {
	up, down := t.tally()
	switch {
	case up+down == 0:
		return Unknown
	case t.quorum.Down(down, up+down):
		return Down
	}
	return Up
}

// agreement returns how long it took to agree on the present verdict: from the first vote for it to now. Votes older
// than vantages may take to find out do not count, since those vantages were alone with theirs.
func (t *target) agreement(now time.Time) (took time.Duration) {
	for i := range t.cells {
		if c := &t.cells[i]; c.counted && c.state == t.state {
			if d := now.Sub(c.since); d <= t.grace {
				took = max(took, d)
			}
		}
	}
	return took
}

// countStale counts the target's votes that are not fresh.
func (b *Board) countStale(t *target) {
	late, standing := 0, 0
	for i := range t.cells {
		if c := &t.cells[i]; !c.fresh && c.state != Unknown {
			late++
			if c.counted && t.stale {
				standing = 1
			}
		}
	}
	b.late, b.standing = b.late+late-t.late, b.standing+standing-t.standing
	t.late, t.standing = late, standing
}

// Verdict returns the verdict on a target as of the last Judge, and how it came about.
func (b *Board) Verdict(key Target) Verdict {
	return b.verdict(b.targets[key], nil)
}

// verdict words a verdict. votes is empty, and its memory is used for the votes.
func (b *Board) verdict(t *target, votes []Vote) Verdict {
	if t == nil || !t.assigned {
		return Verdict{Why: "not monitored: counts as up"}
	}
	v := Verdict{State: t.state, Since: t.since, Chosen: b.chosenNames(t), Votes: slices.Grow(votes, len(t.cells))}
	if v.Votes == nil {
		v.Votes = []Vote{}
	}
	v.Up, v.Down = t.tally()
	var standing []string
	for i := range t.cells {
		c := &t.cells[i]
		heard := c.vantage.heardAt(b.now)
		if c.validFor > 0 && !c.vantage.own {
			heard = c.received
		}
		if c.fresh {
			v.Fresh++
		} else if c.counted && !t.stale {
			standing = append(standing, c.vantage.name)
		}
		v.Votes = append(v.Votes, Vote{
			Vantage: c.vantage.name, State: c.state, Fresh: c.fresh, Blind: c.vantage.blind[t.family],
			Counted: c.counted,
			Reason:  c.reason, Held: c.held, Age: b.now.Sub(heard), Latency: c.latency, Load: c.load,
		})
	}
	v.Why = t.quorum.why(v.Up, v.Down, t.stale)
	if t.asBefore {
		v.Why = fmt.Sprintf("down before this server started, and nobody has found otherwise yet (%d up, %d down)",
			v.Up, v.Down)
	}
	if t.unlit > 0 {
		v.Why += "; nobody has reported it for longer than detection takes, so all probe it"
	}
	if len(standing) > 0 {
		v.Why += fmt.Sprintf("; the last vote of %s stands until another vantage has spoken",
			strings.Join(standing, ", "))
	}
	for _, vote := range v.Votes {
		if vote.Blind {
			v.Why += fmt.Sprintf("; %s is blind%s and abstains", vote.Vantage, t.whereBlind(b.vantages[vote.Vantage]))
		}
	}
	return v
}

// NextDeadline returns when something next goes stale if no report comes. It returns the zero time if nothing does.
func (b *Board) NextDeadline(now time.Time) (at time.Time) {
	for _, v := range b.vantages {
		if v.own || !v.freshAt(now) {
			continue
		}
		d := v.heard.Add(v.stale)
		if v.run != 0 && v.lapsed != v.run && v.lapse.Before(d) {
			d = v.lapse
		}
		if at.IsZero() || d.Before(at) {
			at = d
		}
	}
	if len(b.deadlines) > 0 && (at.IsZero() || b.deadlines[0].at.Before(at)) {
		at = b.deadlines[0].at
	}
	return at
}

// deadlines are the times at which reports with a validity of their own go stale, and at which targets must be judged
// again. They are a heap, the next one first.
type deadlines []deadline

type deadline struct {
	at      time.Time
	target  *target
	vantage *vantage // nil: the target must be judged again
}

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].at.Before(d[j].at) }
func (d deadlines) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }
func (d *deadlines) Push(x any)        { *d = append(*d, x.(deadline)) }
func (d *deadlines) Pop() any {
	last := len(*d) - 1
	x := (*d)[last]
	(*d)[last] = deadline{}
	*d = (*d)[:last]
	return x
}

func (d *deadlines) push(x deadline) { heap.Push(d, x) }
