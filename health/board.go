package health

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// DefaultStale is how long a vantage's reports stay fresh after it last moved, if it does not say.
const DefaultStale = 10 * time.Second

// MaxStale bounds how long a vantage may ask for its reports to stay fresh after it has moved. Otherwise a vantage that
// is gone could vote, and be chosen to probe, for longer.
const MaxStale = time.Minute

// Board holds the reports of all vantages and judges them. One goroutine owns it.
//
//	Board ─┬─ vantage, one a reporter: when it was heard, its counts, whether it is blind
//	       ├─ target, one an address of an endpoint: the verdict ─▶ cell, one a vantage: its report
//	       └─ measured, one a pool: what vantages say of its load
//
// Judge works in this order: expire (what went stale), recount and sight (who is blind), muster (who lives), then for
// each dirty target light, elect, outrun, remember.
//
// Verdicts depend only on the reports that the Board holds and on which of them are fresh, never on the order in which
// they came. Work is proportional to what changed: a report touches its target, and a vantage that goes stale or blind
// touches the targets that it reports on.
type Board struct {
	now       time.Time // of the last Judge
	began     time.Time // see Begin; zero: unknown
	vantages  map[string]*vantage
	targets   map[Target]*target
	endpoints map[string]*endpoint
	regions   map[string]int // number of assigned targets by region
	dirty     []*target
	deadlines deadlines

	own    *vantage   // nil: this process does not probe
	living []*vantage // fresh vantages that probe, by name, as of the last Judge
	known  int        // number of vantages that probe, fresh or not
	// living and known are valid: no vantage has moved to another region, or turned blind or sighted
	mustered bool
	bounds   map[int]int // number of assigned targets by how many vantages should probe them
	choice   uint64      // see Choice

	late, standing, unlit int // of all targets

	loads   map[string]*measured // by pool
	unheard []string             // pools with news of their load since the last Weigh

	heard func(t Target, vantage string, from, to State, why string) // see OnVote
	stood func(vantage string, from, to Belief)                      // see OnBelief

	past map[Target]bool // targets that were down before this process started and are not known anew; see Recall

	regionNumbers map[string]int // regions of vantages; 0 is the region of those that do not name one

	roll            []*vantage // scratch
	picked, ordered []candidate
}

// target is what the Board knows of one target. It exists while it is assigned or a vantage reports on it.
type target struct {
	Target
	assigned     bool
	pool, region string
	family       family
	quorum       Quorum
	cells        []cell // one for each vantage that reports on it, by vantage
	state        State
	since        time.Time
	dirty        bool
	stale        bool // no vote is fresh, and the last ones stand
	asBefore     bool // it is down because it was down before this process started

	bound  int           // how many vantages should probe it
	grace  time.Duration // how long a vantage may take to report on it
	seed   uint64
	mine   bool          // this process should probe it
	spare  time.Time     // since when this process votes on it without being chosen; zero: it does not
	was    State         // before the last turn
	agreed time.Duration // how long agreeing on the last turn took

	late     int // number of its votes that are not fresh
	standing int // 1 if no vote is fresh and the last ones stand

	short time.Time // since when some chosen vantage has not reported; zero: all have
	armed time.Time // when to look at that again
	dark  time.Time // since when nobody has a fresh vote on it; zero: somebody has
	unlit int       // 1 if that has lasted longer than finding out may take
}

// endpoint groups an endpoint's targets, and the reports that are for all of its addresses.
type endpoint struct {
	targets []*target
	all     map[*vantage]Report
}

// NewBoard returns an empty Board.
func NewBoard() *Board {
	return &Board{
		vantages:  map[string]*vantage{},
		targets:   map[Target]*target{},
		endpoints: map[string]*endpoint{},
		regions:   map[string]int{},
		bounds:    map[int]int{},
		loads:     map[string]*measured{},

		regionNumbers: map[string]int{"": 0},
	}
}

// Own names the vantage that is this process itself. Its reports come from memory and never go stale.
func (b *Board) Own(name string) {
	v := b.vantage(name)
	v.own, b.own = true, v
}

// OnVote has f called, from within Report, when a vantage's report on a target says another state than the one before.
// A report that is the vantage's first on the target comes from Unknown. f must not call the Board.
func (b *Board) OnVote(f func(t Target, vantage string, from, to State, why string)) { b.heard = f }

// Begin says when this process began to listen to vantages. A vantage that was never heard and is found in a list
// counts as heard at that time, so it is trusted for one stale window. A list that comes later, because etcd was away,
// makes nobody fresh.
func (b *Board) Begin(at time.Time) { b.began = at }

// Assign sets the targets. Reports on other targets are kept, since an assignment may only be late, but do not count.
// If a target is listed twice, the first one stands.
func (b *Board) Assign(as []Assignment) {
	listed := make(map[Target]bool, len(as))
	for i := range as {
		a := &as[i]
		if listed[a.Target] {
			continue
		}
		listed[a.Target] = true
		b.assign(a)
	}
	for _, t := range b.targets {
		if t.assigned && !listed[t.Target] {
			b.unassign(t)
		}
	}
}

// Reassign does the same for a caller that knows what has changed. The targets in gone are no longer assigned, and the
// assignments in as are new or changed. Its cost is that of the changes.
func (b *Board) Reassign(gone []Target, as []Assignment) {
	for _, key := range gone {
		if t := b.targets[key]; t != nil && t.assigned {
			b.unassign(t)
		}
	}
	for i := range as {
		b.assign(&as[i])
	}
}

func (b *Board) assign(a *Assignment) {
	t := b.target(a.Target)
	bound, grace := a.Monitor.EffectiveVantages(), a.Monitor.DetectionTime()+handover
	if t.assigned && t.pool == a.Pool && t.region == a.Region && t.quorum == a.Monitor.Quorum && t.bound == bound &&
		t.grace == grace {
		return
	}
	b.uncount(t)
	if t.assigned {
		b.leave(t)
	} else {
		t.mine = true
	}
	t.assigned, t.pool, t.region, t.quorum, t.bound, t.grace = true, a.Pool, a.Region, a.Monitor.Quorum, bound, grace
	b.bounds[bound]++
	if b.regions[t.region]++; len(b.regions) <= 2 && b.regions[t.region] == 1 {
		b.reblind()
	}
	b.touch(t)
}

func (b *Board) unassign(t *target) {
	b.uncount(t)
	b.leave(t)
	t.assigned, t.state, t.since = false, Unknown, time.Time{}
	t.spare, t.short, t.dark = time.Time{}, time.Time{}, time.Time{}
	b.late, b.standing, b.unlit = b.late-t.late, b.standing-t.standing, b.unlit-t.unlit
	t.unlit = 0
	t.late, t.standing = 0, 0
	b.touch(t) // the counts it was part of must be made again; it is deleted if nobody reports on it
	b.drop(t)
}

// leave removes a target from the counts of its region.
func (b *Board) leave(t *target) {
	if b.bounds[t.bound]--; b.bounds[t.bound] == 0 {
		delete(b.bounds, t.bound)
	}
	region := t.region
	if b.regions[region]--; b.regions[region] == 0 {
		delete(b.regions, region)
		if len(b.regions) <= 1 {
			b.reblind()
		}
	}
}

// reblind marks all vantages for a new check of blindness, because there is now one region or no longer only one.
func (b *Board) reblind() {
	for _, v := range b.vantages {
		v.moved = true
	}
}

// target returns the target, and makes it if it is new, with the reports that are for all of its endpoint's addresses.
func (b *Board) target(key Target) *target {
	t := b.targets[key]
	if t != nil {
		return t
	}
	address := key.Address.As16()
	t = &target{Target: key, family: familyOf(key.Address), seed: seedOf(key.Endpoint, address[:]...)}
	b.targets[key] = t
	e := b.endpoint(key.Endpoint)
	e.targets = append(e.targets, t)
	for v, r := range e.all {
		r.Target = key
		b.put(b.now, t, v, r, true)
	}
	return t
}

func (b *Board) endpoint(name string) *endpoint {
	e := b.endpoints[name]
	if e == nil {
		e = &endpoint{}
		b.endpoints[name] = e
	}
	return e
}

// drop forgets the target if it is not assigned and nobody reports on its address. A report of Unknown by this process
// does not count: its prober makes one when it lets a target go.
func (b *Board) drop(t *target) {
	if t.assigned || slices.ContainsFunc(t.cells, func(c cell) bool {
		return !c.forAll && (!c.vantage.own || c.state != Unknown)
	}) {
		return
	}
	for len(t.cells) > 0 {
		b.remove(t, t.cells[0].vantage)
	}
	delete(b.targets, t.Target)
	e := b.endpoints[t.Endpoint]
	e.targets = slices.DeleteFunc(e.targets, func(o *target) bool { return o == t })
	if len(e.targets) == 0 && len(e.all) == 0 {
		delete(b.endpoints, t.Endpoint)
	}
}

func (b *Board) touch(t *target) {
	if !t.dirty {
		t.dirty = true
		b.dirty = append(b.dirty, t)
	}
}

// State returns the verdict's state. It is Unknown for a target that is not assigned.
func (b *Board) State(key Target) State {
	if t := b.targets[key]; t != nil {
		return t.state
	}
	return Unknown
}

// Turn describes the last turn of a verdict.
type Turn struct {
	From, To State
	Agreed   time.Duration // from the first vote for it, see target.agreement
}

// Turn returns how the target's verdict last turned.
func (b *Board) Turn(key Target) Turn {
	t := b.targets[key]
	if t == nil {
		return Turn{}
	}
	return Turn{t.was, t.state, t.agreed}
}

// Stale returns, as of the last Judge, the number of votes on assigned targets that are not fresh, and the number of
// targets on which none is fresh, so that the last votes stand.
func (b *Board) Stale() (votes, verdicts int) { return b.late, b.standing }

// Unwatched returns the number of assigned targets on which nobody has had a fresh vote for longer than finding out may
// take (the monitor's detection time and 5 s). Their verdicts say nothing about now.
func (b *Board) Unwatched() int { return b.unlit }

// Vantages describes each vantage at that time, by name.
func (b *Board) Vantages(now time.Time) []VantageStatus {
	var all []VantageStatus
	for _, name := range slices.Sorted(maps.Keys(b.vantages)) {
		v := b.vantages[name]
		all = append(all, VantageStatus{
			Vantage: name, Fresh: v.freshAt(now), Own: v.own, Blind: v.blind != [families]bool{}, BlindTo: v.blindTo(),
			Sequence: v.sequence, Heard: v.heardAt(now), Reports: v.up + v.down + v.unknown, Up: v.up, Down: v.down,
			Shared:       v.sees[ipv4].shared + v.sees[ipv6].shared,
			Contradicted: v.sees[ipv4].contradicted + v.sees[ipv6].contradicted,
		})
	}
	return all
}

func byTarget(a, b Target) int {
	return cmp.Or(cmp.Compare(a.Endpoint, b.Endpoint), a.Address.Compare(b.Address))
}
