package health

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// DefaultStale is how long a report is fresh after its vantage last moved, where the vantage has not said.
const DefaultStale = 10 * time.Second

// MaxStale is the longest that a vantage may ask for its reports to be believed after it has moved. What it says beyond
// that is not believed: a vantage that is gone would vote, and be chosen to probe, for as long.
const MaxStale = time.Minute

// Board holds the reports of all vantages and judges them. Its verdicts depend only on the reports it holds and on
// which of them are fresh, never on the order they came in. It is not safe for concurrent use: one goroutine owns it.
//
// Work is proportional to what changed: a report touches its target, a vantage that goes stale or blind the targets it
// reports on.
type Board struct {
	now       time.Time // of the last Judge
	began     time.Time // see Begin; zero: nobody has said
	vantages  map[string]*vantage
	targets   map[Target]*target
	endpoints map[string]*endpoint
	regions   map[string]int // region → assigned targets
	dirty     []*target
	deadlines deadlines

	own      *vantage    // nil: this process probes nothing
	living   []*vantage  // fresh vantages that probe, by name, as of the last Judge
	known    int         // vantages that probe, fresh or not
	mustered bool        // living and known are up to date but for what Judge finds by itself, and nobody has become or ceased to be blind
	bounds   map[int]int // of assigned targets: how many ask for that many vantages
	choice   uint64      // see Choice

	late, standing, unlit int // of all targets

	loads   map[string]*measured // by pool
	unheard []string             // pools of whose load something new was said, since the last Weigh

	past map[Target]bool // what was down before this process started, until it is known anew; see Recall

	regionNumbers map[string]int // of the regions that vantages are in; 0 is that of those that do not say

	roll            []*vantage // scratch
	picked, ordered []candidate
}

// target is all there is on one target. It exists while it is assigned or a vantage reports on it.
type target struct {
	Target
	assigned     bool
	pool, region string
	family       family
	quorum       Quorum
	cells        []cell // one a vantage, by vantage
	state        State
	since        time.Time
	dirty        bool
	stale        bool // the votes that count are the last ones, and not fresh
	asBefore     bool // it is down because it was before this process started

	bound  int           // how many vantages probe it
	grace  time.Duration // that one has to speak up
	seed   uint64
	mine   bool          // this process is to probe it
	spare  time.Time     // since when this process votes on it although it is not chosen; zero: it does not, or is
	was    State         // before the last turn
	agreed time.Duration // how long that took

	late     int // votes on it that are not fresh
	standing int // 1 where no vote is fresh and the last ones stand

	short time.Time // since when a chosen vantage has not spoken; zero: all have
	armed time.Time // when it is to be looked at again for that
	dark  time.Time // since when nobody has a fresh vote on it; zero: somebody has
	unlit int       // 1 where that has been so for as long as finding out may take
}

// endpoint keeps an endpoint's targets together, and the reports that are for all of its addresses.
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

// Own says that a vantage is this process itself: its reports come from memory and never go stale.
func (b *Board) Own(name string) {
	v := b.vantage(name)
	v.own, b.own = true, v
}

// Begin says since when this process has looked for what vantages write. What a list holds of a vantage that was never
// heard counts as if it had been heard then: it is trusted for one stale window from that time. A list that comes later,
// as etcd was away, makes nobody fresh.
func (b *Board) Begin(at time.Time) { b.began = at }

// Assign says which targets there are now. Reports on others are kept, as the assignment may only be late, and do not
// count. Where a target is listed twice the first one stands.
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

// Reassign is Assign for who knows what has changed: gone are not assigned any more, and as are, or in another way than
// before. Its work is that of what has changed.
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
	if t.assigned && t.pool == a.Pool && t.region == a.Region && t.quorum == a.Monitor.Quorum && t.bound == bound && t.grace == grace {
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
	b.touch(t) // what it took part in is counted anew; the target itself goes if nobody reports on it
	b.drop(t)
}

// leave counts a target out of its region.
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

// reblind asks for the blindness of all vantages anew: whether there is more than one region has changed.
func (b *Board) reblind() {
	for _, v := range b.vantages {
		v.moved = true
	}
}

// target returns the target, made if it is new, with the reports that are for all of its endpoint's addresses.
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

// drop forgets the target if it is not assigned and nobody reports on it by its address. The process's own Unknown is
// what its prober says last of a target that it lets go.
func (b *Board) drop(t *target) {
	if t.assigned || slices.ContainsFunc(t.cells, func(c cell) bool { return !c.forAll && (!c.vantage.own || c.state != Unknown) }) {
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

// State returns the verdict's state: Unknown of a target that is not assigned.
func (b *Board) State(key Target) State {
	if t := b.targets[key]; t != nil {
		return t.state
	}
	return Unknown
}

// Turn is how a verdict turned last.
type Turn struct {
	From, To State
	Agreed   time.Duration // from the first of the votes for it, see target.agreement
}

// Turn returns how the target's verdict turned last.
func (b *Board) Turn(key Target) Turn {
	t := b.targets[key]
	if t == nil {
		return Turn{}
	}
	return Turn{t.was, t.state, t.agreed}
}

// Stale returns how many votes on assigned targets are no longer fresh, and on how many targets none is, so that the
// last ones stand, as of the last Judge.
func (b *Board) Stale() (votes, verdicts int) { return b.late, b.standing }

// Unwatched returns on how many assigned targets nobody has had a fresh vote for as long as finding out may take (the
// monitor's detection time and 5 s): their verdicts say nothing of now.
func (b *Board) Unwatched() int { return b.unlit }

// Vantages returns what the Board knows of each vantage at that time, by name.
func (b *Board) Vantages(now time.Time) []VantageStatus {
	var all []VantageStatus
	for _, name := range slices.Sorted(maps.Keys(b.vantages)) {
		v := b.vantages[name]
		all = append(all, VantageStatus{
			Vantage: name, Fresh: v.freshAt(now), Own: v.own, Blind: v.blind != [families]bool{}, BlindTo: v.blindTo(),
			Sequence: v.sequence, Heard: v.heard, Reports: v.up + v.down + v.unknown, Up: v.up, Down: v.down,
			Shared: v.sees[ipv4].shared + v.sees[ipv6].shared, Contradicted: v.sees[ipv4].contradicted + v.sees[ipv6].contradicted,
		})
	}
	return all
}

func byTarget(a, b Target) int {
	return cmp.Or(cmp.Compare(a.Endpoint, b.Endpoint), a.Address.Compare(b.Address))
}
