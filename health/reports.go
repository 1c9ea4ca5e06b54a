package health

import (
	"slices"
	"time"
)

// vantage is one reporter, with counts over its reports. The counts are kept up to date with every change, so that
// checking for blindness compares two numbers.
type vantage struct {
	name         string
	regionNumber int    // see Board.Place
	seed         uint64 // hash of its name
	own          bool
	seen         bool // see Seen
	outrun       bool // some of its votes do not count, see Board.outrun
	overdue      time.Duration
	weighs       bool   // its measures of loads count, as of the last Weigh
	sequence     uint64 // highest seen in reports and heartbeats
	beat         uint64 // of the last heartbeat; 0: it has sent none
	stale        time.Duration
	heard        time.Time // when the sequence last moved
	fresh        bool      // as of the last Judge
	left         time.Time // when a Judge last saw it go stale
	blind        [families]bool
	moved        bool   // the counts have changed since the last Judge
	belief       Belief // as last told, see OnBelief

	// What an earlier run of the vantage has said. See Began.
	run    uint64    // reports below this sequence are of an earlier run; 0: none is known to be
	lapse  time.Time // when these go stale
	lapsed uint64    // the run whose predecessors had gone stale, as of the last Judge
	told   uint64    // the same as of the last Weigh

	up, down, unknown int            // number of its reports
	sees              [families]view // counts over its votes on targets that others vote on too; see cell

	behind uint64            // a heartbeat that went backwards, until the next one explains it
	held   map[Target]Report // reports older than those at hand: they are of a new run, if there is one
}

// cell is one vantage's report on one target.
type cell struct {
	vantage  *vantage
	state    State
	forAll   bool // it is a report on every address of the endpoint
	fresh    bool // as of the last Judge
	armed    bool // there is a deadline for it
	counted  bool // it is one of the votes that made the verdict
	sequence uint64
	since    time.Time // when the state last changed
	received time.Time // when this sequence came
	validFor time.Duration
	reason   string
	held     time.Time
	latency  time.Duration
	load     Load

	// What the vantage's counts include of it: it is shared if another vantage votes on the target too, well if most of
	// those say up, and contradicted if it says down nevertheless.
	shared, well, contradicted bool
}

// heardAt returns when it was last known that what the vantage says is true. Of itself this process knows it always:
// its reports come when something turns.
func (v *vantage) heardAt(now time.Time) time.Time {
	if v.own {
		return now
	}
	return v.heard
}

func (v *vantage) freshAt(now time.Time) bool {
	return v.own || !v.heard.IsZero() && now.Before(v.heard.Add(v.stale))
}

func (c *cell) freshAt(now time.Time) bool {
	if c.validFor > 0 && !c.vantage.own {
		return now.Before(c.received.Add(c.validFor))
	}
	return c.vantage.freshAt(now) && (c.sequence >= c.vantage.run || c.vantage.lapsedAt(now) == 0)
}

// lapsedAt returns the vantage's run if what the runs before it have said is stale, else 0.
func (v *vantage) lapsedAt(now time.Time) uint64 {
	if v.run == 0 || now.Before(v.lapse) {
		return 0
	}
	return v.run
}

// leap notes that a vantage which sends heartbeats begins a new run with this sequence, if that is so: it grows by a
// Leap. The caller then writes down that the vantage was heard.
func (v *vantage) leap(sequence uint64) {
	if v.beat != 0 && sequence >= v.sequence+Leap {
		v.run, v.lapse = max(v.run, v.sequence+Leap), v.heard.Add(v.stale)
	}
}

// Began says with which sequence the present run of a vantage began, 0 if it does not say. It is called before the
// heartbeat that says so.
//
// A vantage that was away says with its first heartbeat that it lives, and nothing yet about what it probes: its
// reports are still those of the run before. So these hold for as long as they would have if it had stayed away. Who
// has just begun to listen does not know how long that is, and does not count them.
func (b *Board) Began(name string, run uint64) {
	if v := b.vantage(name); !v.own && run > v.run {
		v.run = run
	}
}

func (v *vantage) hear(now time.Time, sequence uint64) {
	if v.heard.IsZero() || sequence > v.sequence {
		v.sequence, v.heard = max(sequence, v.sequence), now
	}
}

func (v *vantage) count(s State, n int) {
	switch s {
	case Up:
		v.up += n
	case Down:
		v.down += n
	default:
		v.unknown += n
	}
}

func (b *Board) vantage(name string) *vantage {
	v := b.vantages[name]
	if v == nil {
		v = &vantage{name: name, seed: seedOf(name), stale: DefaultStale}
		b.vantages[name] = v
	}
	return v
}

// Report takes reports, this process's own or others', that were received at that time. Of two reports by one vantage
// on one target, the one with the higher sequence stands. A new sequence shows that the vantage is alive.
func (b *Board) Report(now time.Time, rs ...Report) {
	for _, r := range rs {
		v := b.vantage(r.Vantage)
		v.leap(r.Sequence)
		v.hear(now, r.Sequence)
		if !r.Address.IsValid() {
			b.reportAll(now, v, r)
			continue
		}
		t := b.target(r.Target)
		if v.own && r.State == Unknown && t.assigned && !t.mine {
			// The prober has let the target go, which says nothing about it.
			if b.remove(t, v) {
				b.touch(t)
			}
			continue
		}
		b.put(now, t, v, r, false)
		b.drop(t)
	}
}

// reportAll takes a report on every address of an endpoint. It counts for addresses on which the vantage has no own
// report.
func (b *Board) reportAll(now time.Time, v *vantage, r Report) {
	e := b.endpoint(r.Endpoint)
	if old, ok := e.all[v]; ok && r.Sequence <= old.Sequence {
		v.hold(r, old.Sequence)
		return
	}
	if e.all == nil {
		e.all = map[*vantage]Report{}
	}
	e.all[v] = r
	for _, t := range e.targets {
		r.Target = t.Target
		b.put(now, t, v, r, true)
	}
}

// put writes the vantage's report into the target.
func (b *Board) put(now time.Time, t *target, v *vantage, r Report, forAll bool) {
	i, found := t.find(v)
	switch {
	case !found:
		t.cells = slices.Insert(t.cells, i, cell{vantage: v})
		v.count(Unknown, 1)
	case forAll && !t.cells[i].forAll:
		return
	case forAll == t.cells[i].forAll && r.Sequence <= t.cells[i].sequence:
		v.hold(r, t.cells[i].sequence)
		return
	}
	c := &t.cells[i]
	if c.state != r.State || !c.fresh || (c.validFor > 0) != (r.ValidFor > 0) {
		b.touch(t)
	}
	if c.state != r.State {
		if b.heard != nil {
			b.heard(t.Target, v.name, c.state, r.State, r.Reason)
		}
		c.since = now
	}
	v.count(c.state, -1)
	v.count(r.State, 1)
	c.state, c.forAll, c.sequence, c.received, c.validFor = r.State, forAll, r.Sequence, now, r.ValidFor
	c.reason, c.held, c.latency, c.load = r.Reason, r.Held, r.Latency, r.Load
	if c.validFor > 0 && !v.own && !c.armed {
		c.armed = true
		b.deadlines.push(deadline{now.Add(c.validFor), t, v})
	}
}

// hold keeps a report that is older than the one at hand, in case the vantage has begun a new run. It keeps the last
// one that came, since several runs may have begun one after the other.
func (v *vantage) hold(r Report, sequence uint64) {
	if r.Sequence == sequence {
		return
	}
	if v.held == nil {
		v.held = map[Target]Report{}
	}
	v.held[r.Target] = r
}

// Withdraw takes back a vantage's reports on these endpoints. Without endpoints it takes back all reports and forgets
// the vantage.
func (b *Board) Withdraw(name string, endpoints ...string) {
	v := b.vantages[name]
	if v == nil {
		return
	}
	if len(endpoints) == 0 {
		for key, e := range b.endpoints {
			b.withdraw(v, key, e)
		}
		b.Unmeasure(name)
		if !v.own {
			delete(b.vantages, name)
			if b.stood != nil && v.belief != Absent {
				b.stood(name, v.belief, Absent)
			}
		}
		v.held = nil
		return
	}
	for _, key := range endpoints {
		if e := b.endpoints[key]; e != nil {
			b.withdraw(v, key, e)
		}
	}
	if len(v.held) > 0 {
		for t := range v.held {
			if slices.Contains(endpoints, t.Endpoint) {
				delete(v.held, t)
			}
		}
	}
}

func (b *Board) withdraw(v *vantage, key string, e *endpoint) {
	delete(e.all, v)
	for _, t := range slices.Clone(e.targets) {
		if b.remove(t, v) {
			b.touch(t)
			b.drop(t)
		}
	}
	if len(e.targets) == 0 && len(e.all) == 0 {
		delete(b.endpoints, key)
	}
}

// remove removes the vantage's cell from the target.
func (b *Board) remove(t *target, v *vantage) bool {
	i, found := t.find(v)
	if !found {
		return false
	}
	b.uncount(t)
	v.count(t.cells[i].state, -1)
	t.cells = slices.Delete(t.cells, i, i+1)
	return true
}

// Leap is more than a vantage's sequence grows between two heartbeats. A run that knows of an earlier one begins at
// least that much above it.
const Leap = 1 << 20

// Since returns the time as of which something counts that was found in a list, where nobody knows when it was written.
// For a fresh vantage that is now. For a stale one it is when it was last heard, and for one never heard it is when
// this process began to listen (see Begin): they count again once they are seen to move.
//
// The reason is a lost quorum. When etcd regains it, etcd commits what was under way when it was lost: heartbeats of
// vantages that may be dead by now, and reports just as old.
func (b *Board) Since(now time.Time, name string) time.Time {
	v := b.vantages[name]
	switch {
	case v == nil || v.heard.IsZero():
		if b.began.IsZero() || b.began.After(now) {
			return now
		}
		return b.began
	case !v.freshAt(now):
		return v.heard
	}
	return now
}

// Dated returns the time as of which a heartbeat counts that was found in a list and says when it was written, by the
// clock of its vantage: no later than at, and as long before now as the two clocks are apart from it.
//
// No clock is trusted with more than that. Where a vantage is alive and the clocks differ, the worst that happens is
// that it counts from its next heartbeat on, and not at once. Who was seen to move needs no date.
func (b *Board) Dated(now, at time.Time, name string, written time.Time) time.Time {
	if v := b.vantages[name]; written.IsZero() || v != nil && v.seen {
		return at
	}
	if dated := now.Add(-now.Sub(written).Abs()); dated.Before(at) {
		return dated
	}
	return at
}

// Heartbeat notes that a vantage has shown this sequence at that time. If the sequence moved, the vantage's reports are
// fresh for another stale (DefaultStale if zero). The first heartbeat of a vantage counts as a move, since it may be
// one.
//
// A vantage begins each run with a sequence above all its earlier ones, so a lower one is an old message. Only if such
// heartbeats continue and grow is it a new run that could not know better, because its clock was set back or its old
// heartbeat was lost. The new run's reports then replace those of the old run.
func (b *Board) Heartbeat(now time.Time, name string, sequence uint64, stale time.Duration) {
	v := b.vantage(name)
	if stale > 0 {
		v.stale = min(stale, MaxStale)
	}
	switch {
	case v.beat == 0 || sequence > v.beat:
		v.leap(sequence)
		if sequence > v.beat {
			v.heard = now
			b.caughtUp(v)
		}
		v.beat, v.sequence = sequence, max(sequence, v.sequence)
		v.behind, v.held = 0, nil
	case sequence == v.beat:
	case v.behind != 0 && sequence > v.behind:
		b.restart(now, v, sequence)
	default:
		v.behind = sequence
	}
}

// restart forgets what an earlier run reported. Reports of the new run that nothing older displaced into held are at
// most Leap above the heartbeat, and stay.
func (b *Board) restart(now time.Time, v *vantage, sequence uint64) {
	above := sequence + Leap
	for key, e := range b.endpoints {
		if all, ok := e.all[v]; ok && all.Sequence > above {
			delete(e.all, v)
		}
		for _, t := range slices.Clone(e.targets) {
			if i, found := t.find(v); found && t.cells[i].sequence > above {
				b.remove(t, v)
				b.touch(t)
				b.drop(t)
			}
		}
		if len(e.targets) == 0 && len(e.all) == 0 {
			delete(b.endpoints, key)
		}
	}
	v.sequence, v.beat, v.heard, v.behind = sequence, sequence, now, 0
	v.run = 0
	held := v.held
	v.held = nil
	for _, r := range held {
		b.Report(now, r)
	}
}

// find returns the index of the vantage's cell, or where it would be.
func (t *target) find(v *vantage) (int, bool) {
	for i := range t.cells {
		if t.cells[i].vantage == v {
			return i, true
		}
		if t.cells[i].vantage.name > v.name {
			return i, false
		}
	}
	return len(t.cells), false
}
