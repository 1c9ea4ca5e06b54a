package health

import (
	"cmp"
	"hash/fnv"
	"slices"
	"time"
)

// Which vantages probe a target, and whose votes count.
//
// If there are no more vantages than the monitor asks for (Monitor.EffectiveVantages), all of them probe and every vote
// counts. If there are more, each target has an order of vantages: the first of every region, by rendezvous hashing,
// then the second of every region, and so on. The head of the order is chosen, as many as the monitor asks for. A
// vantage that comes or goes moves only the targets that it is, or was, chosen for.
//
//	order of one target:  a  b  c │ d  e  f      b is silent:  a  b  c  d │ e  f
//	                      chosen  │                            counted: a, c, d
//
// Each vantage works out by itself whether it is chosen, from the heartbeats that it hears. A vantage that is cut off
// finds the others stale, and so chooses itself for everything. Two vantages may see the fleet differently for a
// moment. So the verdict does not depend on the choice but on the votes: of the vantages with a fresh vote, the first
// in the order count, as many as are chosen. A verdict never waits for agreement on who probes, and a handover replaces
// one vote by one:
//
//   - A vantage that is no longer chosen goes on for another linger, and then until all chosen ones have reported.
//   - The vote of a vantage that went stale stands until its successor has reported, however long that takes.
//   - A chosen vantage that reports Unknown, or does not report in time, is passed over: it goes on probing, and the
//     next one probes too, however many are silent. A target on which nobody has reported for so long is probed by all.
//   - If all chosen vantages are blind, the next ones probe too. If only some are, the others' votes suffice. (If any
//     blind one were passed over, who probes would depend on who is blind, which depends on who probes.)
//
// Reporters without a heartbeat are not vantages in this sense: they probe what they like, and all their votes count.

// linger is how long a vantage goes on probing a target after it is no longer chosen. By then all vantages have seen
// why: it is as long as two servers may disagree on whether a third one is alive.
const linger = DefaultStale

// handover is how long, in addition to the monitor's detection time, a newly chosen vantage has to report: to hear that
// it is chosen, to make its first probe, and to be heard.
const handover = 5 * time.Second

// candidate is a vantage in an order.
type candidate struct {
	*vantage
	score uint64
	place uint64 // the round in the highest 16 bits, then the inverted score: the lowest comes first
	cell  int    // index of its cell in the target; -1: none
}

// few is up to how many candidates are ordered by comparing each with each. For a dozen that is several times as fast
// as sorting, and every target needs an order when a vantage comes or goes.
const few = 24

// order sorts candidates, which must be in the order of their names, into the target's order: the first of each region
// before the second of each, and within a round by their hash.
func (t *target) order(cs []candidate) {
	for i := range cs {
		cs[i].score = mix(t.seed ^ cs[i].seed)
	}
	if len(cs) > few {
		slices.SortStableFunc(cs, func(a, b candidate) int {
			return cmp.Or(cmp.Compare(a.regionNumber, b.regionNumber), cmp.Compare(b.score, a.score))
		})
		round := uint64(0)
		for i := range cs {
			if round++; i == 0 || cs[i].regionNumber != cs[i-1].regionNumber {
				round = 0
			}
			cs[i].place = round<<48 | ^cs[i].score>>16
		}
		slices.SortStableFunc(cs, func(a, b candidate) int { return cmp.Compare(a.place, b.place) })
		return
	}
	for i := range cs {
		round := uint64(0)
		for k := range cs {
			if cs[k].regionNumber == cs[i].regionNumber && cs[k].score > cs[i].score {
				round++
			}
		}
		cs[i].place = round<<48 | ^cs[i].score>>16
	}
	for i := 1; i < len(cs); i++ {
		x, k := cs[i], i
		for ; k > 0 && cs[k-1].place > x.place; k-- {
			cs[k] = cs[k-1]
		}
		cs[k] = x
	}
}

// Place sets a vantage's region. The vantages chosen for a target are in as many regions as possible.
func (b *Board) Place(name, region string) {
	n, known := b.regionNumbers[region]
	if !known {
		n = len(b.regionNumbers)
		b.regionNumbers[region] = n
	}
	if v := b.vantage(name); v.regionNumber != n {
		v.regionNumber = n
		b.mustered = false
	}
}

// prober reports whether a vantage takes part in the choice: it probes what it is chosen for.
func (v *vantage) prober() bool { return v.own || v.beat != 0 }

// muster lists the vantages that live. If the list has changed, or who is blind, it touches all targets if some target
// has more vantages than should probe it.
func (b *Board) muster() {
	known := 0
	living := b.roll[:0]
	for _, v := range b.vantages {
		if !v.prober() {
			continue
		}
		known++
		if v.fresh {
			living = append(living, v)
		}
	}
	slices.SortFunc(living, func(a, c *vantage) int { return cmp.Compare(a.name, c.name) })
	same := b.mustered && known == b.known && slices.Equal(living, b.living)
	was := b.known
	b.roll, b.living = b.living, living
	b.known, b.mustered = known, true
	if same {
		return
	}
	for bound := range b.bounds {
		if max(known, was) > bound {
			for _, t := range b.targets {
				if t.assigned {
					b.touch(t)
				}
			}
			return
		}
	}
}

// elect finds the votes that count on a target, and whether this process should probe it.
func (b *Board) elect(t *target) {
	votes := 0
	for i := range t.cells {
		c := &t.cells[i]
		c.counted = c.fresh && c.state != Unknown && !c.vantage.blind[t.family]
		if c.counted {
			votes++
		}
	}
	many := b.known > t.bound
	if many {
		b.choose(t)
	} else {
		t.short, t.spare = time.Time{}, time.Time{}
		b.assignTo(t, true)
	}
	t.stale = votes == 0
	if !t.stale || many && slices.ContainsFunc(t.cells, func(c cell) bool { return c.counted }) {
		return
	}
	// No vote is fresh: the last votes stand, of those vantages that would be chosen if they were fresh.
	last := b.picked[:0]
	for i := range t.cells {
		switch c := &t.cells[i]; {
		case c.fresh || c.state == Unknown || c.vantage.blind[t.family]:
		case many && c.vantage.prober():
			last = append(last, candidate{vantage: c.vantage, cell: i})
		default:
			c.counted = true
		}
	}
	t.order(last)
	for _, x := range last[:min(len(last), t.bound)] {
		t.cells[x.cell].counted = true
	}
	b.picked = last[:0]
}

// choose does elect if there are more vantages than should probe the target.
func (b *Board) choose(t *target) {
	patience := t.patience(b.now)
	all := b.candidates(t)
	chosen := t.chosen(all, patience)
	silent, blind := 0, 0
	for _, x := range all[:chosen] {
		switch {
		case x.blind[t.family]:
			blind++
		case x.cell < 0:
			silent++
		}
	}
	limit := max(1, t.bound-blind)
	votes := 0
	for i := range all {
		if x := &all[i]; x.cell >= 0 && t.cells[x.cell].counted {
			if votes++; votes > limit {
				t.cells[x.cell].counted = false
			}
		}
	}
	votes = min(votes, limit)
	if silent == 0 {
		t.short = time.Time{}
	} else if t.short.IsZero() {
		t.short, t.armed = b.now, time.Time{}
	}
	if silent > 0 && !t.armed.After(b.now) {
		t.armed = t.short.Add((b.now.Sub(t.short)/t.grace + 1) * t.grace)
		b.deadlines.push(deadline{t.armed, t, nil})
	}
	// What went stale before a successor was wanted is no part of this handover. Where nobody votes at all the last
	// votes stand however long it takes.
	if silent > 0 && (patience == 0 || votes == 0) {
		last := b.picked[:0]
		for i := range t.cells {
			c := &t.cells[i]
			if v := c.vantage; v.prober() && !v.blind[t.family] && !c.fresh && c.state != Unknown &&
				!v.left.Before(t.short) {
				last = append(last, candidate{vantage: v, cell: i})
			}
		}
		t.order(last)
		for _, x := range last[:min(len(last), max(0, limit-votes))] {
			t.cells[x.cell].counted = true
		}
		b.picked = last[:0]
	}
	if b.own != nil {
		b.keep(t, slices.ContainsFunc(all[:chosen], func(x candidate) bool { return x.vantage == b.own }), silent == 0)
	}
}

// keep finds whether this process is to probe the target, given whether it is among the chosen and whether all of these
// have spoken.
func (b *Board) keep(t *target, chosen, spoken bool) {
	if chosen {
		t.spare = time.Time{}
		b.assignTo(t, true)
		return
	}
	i, found := t.find(b.own)
	if !found || t.cells[i].state == Unknown {
		b.assignTo(t, false) // nobody relies on it
		return
	}
	if t.spare.IsZero() {
		t.spare = b.now
		b.deadlines.push(deadline{b.now.Add(linger), t, nil})
	}
	if spoken && !b.now.Before(t.spare.Add(linger)) {
		b.assignTo(t, false)
	}
}

// patience returns how many chosen vantages that have not spoken are passed over: none until one has had its time to
// speak up, then as many as should probe the target, and with each further such time twice as many. So vantages that
// send heartbeats and never report are passed over, however many there are. Those that come next get their time too.
func (t *target) patience(now time.Time) int {
	if t.short.IsZero() {
		return 0
	}
	times := int(now.Sub(t.short) / t.grace)
	if times == 0 {
		return 0
	}
	return t.bound << min(times-1, 20)
}

// candidates returns the vantages that live, in the target's order. It holds until the next call.
func (b *Board) candidates(t *target) []candidate {
	all := b.ordered[:0]
	i := 0
	for _, v := range b.living { // by name, as the cells are
		for i < len(t.cells) && t.cells[i].vantage != v && t.cells[i].vantage.name < v.name {
			i++
		}
		x := candidate{vantage: v, cell: -1}
		if i < len(t.cells) && t.cells[i].vantage == v && t.cells[i].sequence >= v.lapsed {
			x.cell = i
		}
		all = append(all, x)
	}
	t.order(all)
	b.ordered = all
	return all
}

// chosen returns how many vantages from the head of the order should probe the target. It passes over up to patience of
// them that do not speak up. If nobody has reported on the target for as long as finding out may take, it returns all,
// because there is no time to ask them in turn.
func (t *target) chosen(all []candidate, patience int) int {
	if t.unlit > 0 {
		return len(all)
	}
	n, late, sighted := 0, 0, false
	for i, x := range all {
		if n >= t.bound && sighted {
			return i
		}
		switch {
		case x.cell >= 0 && t.cells[x.cell].state == Unknown:
			continue
		case x.cell < 0 && late < patience:
			late++
			continue
		}
		n++
		sighted = sighted || !x.blind[t.family]
	}
	return len(all)
}

func (b *Board) assignTo(t *target, mine bool) {
	if t.mine != mine {
		t.mine = mine
		b.choice++
	}
}

// Mine reports whether this process is to probe the target, as of the last Judge: true where there is no choice, or
// nothing is known of the target.
func (b *Board) Mine(key Target) bool {
	t := b.targets[key]
	return t == nil || !t.assigned || t.mine
}

// Choice returns a number that changes with what Mine says of any target.
func (b *Board) Choice() uint64 { return b.choice }

// chosenNames returns the vantages that are to probe the target, by name.
func (b *Board) chosenNames(t *target) []string {
	all := b.candidates(t)
	names := make([]string, 0, len(all))
	for _, x := range all[:t.chosen(all, t.patience(b.now))] {
		names = append(names, x.name)
	}
	slices.Sort(names)
	return names
}

// seedOf hashes a name, or a target's endpoint and address, for the order.
func seedOf(text string, more ...byte) uint64 {
	h := fnv.New64a()
	h.Write([]byte(text))
	h.Write([]byte{0})
	h.Write(more)
	return mix(h.Sum64())
}

// mix is the finalizer of MurmurHash3: FNV's high bits hardly differ between names that differ in their last byte.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
