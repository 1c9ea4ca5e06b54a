package health

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var epoch = time.Unix(1_700_000_000, 0)

// world draws targets in some regions and pools.
func world(t *rapid.T) []Assignment {
	regions := rapid.IntRange(1, 3).Draw(t, "regions")
	families := rapid.IntRange(0, 2).Draw(t, "families") // IPv4, both, IPv6
	quorum := rapid.SampledFrom([]Quorum{Majority, Majority, Any, All, 2}).Draw(t, "quorum")
	var as []Assignment
	for i := range rapid.IntRange(1, 8).Draw(t, "targets") {
		pool := fmt.Sprintf("p%d", i%4)
		address := netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
		if families != 0 && (families == 2 || i%4 > 1) {
			address = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(i)})
		}
		as = append(as, Assignment{
			Target: Target{pool + "/e" + fmt.Sprint(i), address},
			Pool:   pool, Region: fmt.Sprintf("r%d", i%regions), Monitor: &Monitor{TCP: &TCP{Port: 80}, Quorum: quorum},
		})
	}
	return as
}

func states(b *Board, as []Assignment) map[Target]State {
	m := map[Target]State{}
	for _, a := range as {
		m[a.Target] = b.State(a.Target)
	}
	return m
}

// oracle applies the rules of Judge, as they are stated, to plain reports.
type oracle struct {
	assigned []Assignment
	reports  map[string]map[Target]Report
	received map[string]map[Target]time.Time
	heard    map[string]time.Time
}

func (o *oracle) fresh(v string, t Target, now time.Time) bool {
	r := o.reports[v][t]
	if r.ValidFor > 0 {
		return now.Before(o.received[v][t].Add(r.ValidFor))
	}
	return !o.heard[v].IsZero() && now.Before(o.heard[v].Add(10*time.Second))
}

func (o *oracle) others(v string, t Target, now time.Time, fresh bool) (up, down int) {
	for w, reports := range o.reports {
		if w == v || o.fresh(w, t, now) != fresh {
			continue
		}
		switch reports[t].State {
		case Up:
			up++
		case Down:
			down++
		}
	}
	return up, down
}

// blind returns whether a vantage is blind to addresses of that family.
func (o *oracle) blind(v string, now time.Time, six bool) bool {
	everywhere := map[string]bool{}
	for _, a := range o.assigned {
		everywhere[a.Region] = true
	}
	// rule says whether it is blind by some of the addresses: whether it misses most of what is up, in more than one
	// region.
	rule := func(of func(Assignment) bool) (misses, wide bool) {
		well, contradicted := 0, 0
		regions, pools := map[string]bool{}, map[string]bool{}
		for _, a := range o.assigned {
			state := o.reports[v][a.Target].State
			if state == Unknown || !of(a) {
				continue
			}
			up, down := o.others(v, a.Target, now, true)
			if up+down == 0 && !o.fresh(v, a.Target, now) {
				up, down = o.others(v, a.Target, now, false)
			}
			if up > down {
				well++
				if state == Down {
					contradicted++
					regions[a.Region], pools[a.Pool] = true, true
				}
			}
		}
		spread := len(regions)
		if len(everywhere) == 1 {
			spread = len(pools)
		}
		return 2*contradicted > well, spread >= 2
	}
	misses, wide := rule(func(a Assignment) bool { return a.Address.Is6() == six })
	allMisses, allWide := rule(func(Assignment) bool { return true })
	return misses && (wide || allMisses && allWide)
}

func (o *oracle) verdicts(now time.Time) map[Target]State {
	m := map[Target]State{}
	for _, a := range o.assigned {
		m[a.Target] = Unknown
		for _, fresh := range []bool{true, false} {
			up, down := 0, 0
			for v, reports := range o.reports {
				if o.fresh(v, a.Target, now) != fresh || o.blind(v, now, a.Address.Is6()) {
					continue
				}
				switch reports[a.Target].State {
				case Up:
					up++
				case Down:
					down++
				}
			}
			if up+down == 0 {
				continue
			}
			m[a.Target] = Up
			if a.Monitor.Quorum.Down(down, up+down) {
				m[a.Target] = Down
			}
			break
		}
	}
	return m
}

// However reports, heartbeats, time and assignments change, the Board says what the rules say about the present
// reports, and Judge names exactly the targets that turned.
func TestBoardAgreesWithRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := world(t)
		o := &oracle{
			assigned: all, reports: map[string]map[Target]Report{}, received: map[string]map[Target]time.Time{},
			heard: map[string]time.Time{},
		}
		b := NewBoard()
		b.Assign(all)
		now := epoch
		var sequence uint64
		vantages := []string{"a", "b", "c", "d"}[:rapid.IntRange(1, 4).Draw(t, "vantages")]
		last := states(b, all)
		report := func(v string, target Target, s State, valid time.Duration) {
			sequence++
			r := Report{Vantage: v, Target: target, State: s, Sequence: sequence, ValidFor: valid}
			b.Report(now, r)
			if o.reports[v] == nil {
				o.reports[v], o.received[v] = map[Target]Report{}, map[Target]time.Time{}
			}
			o.reports[v][target], o.received[v][target], o.heard[v] = r, now, now
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			v := rapid.SampledFrom(vantages).Draw(t, "vantage")
			target := rapid.SampledFrom(all).Draw(t, "target").Target
			state := rapid.SampledFrom([]State{Unknown, Up, Up, Down, Down}).Draw(t, "state")
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0, 1, 2:
				report(v, target, state, 0)
			case 3:
				report(v, target, state, 7*time.Second)
			case 4: // all of a vantage at once
				for _, a := range all {
					report(v, a.Target, state, 0)
				}
			case 5:
				sequence++
				b.Heartbeat(now, v, sequence, 0)
				o.heard[v] = now
			case 6:
				now = now.Add(time.Duration(rapid.IntRange(1, 12).Draw(t, "seconds")) * time.Second)
			case 7:
				b.Withdraw(v, target.Endpoint)
				delete(o.reports[v], target)
			case 8:
				b.Withdraw(v)
				delete(o.reports, v)
				delete(o.heard, v)
			case 9:
				n := rapid.IntRange(0, len(all)).Draw(t, "assigned")
				o.assigned = all[:n]
				b.Assign(o.assigned)
				for _, a := range all[n:] {
					last[a.Target] = Unknown
				}
			}
			if rapid.IntRange(0, 2).Draw(t, "judge") == 0 {
				continue
			}
			changed := b.Judge(now)
			want := o.verdicts(now)
			var turned []Target
			for _, a := range o.assigned {
				if got := b.State(a.Target); got != want[a.Target] {
					t.Fatalf("%v is %v, the rules say %v: %+v", a.Target, got, want[a.Target], b.Verdict(a.Target))
				}
				if want[a.Target] != last[a.Target] {
					turned = append(turned, a.Target)
				}
				last[a.Target] = want[a.Target]
			}
			slices.SortFunc(turned, byTarget)
			if diff := cmp.Diff(turned, changed, cmp.Comparer(func(a, b Target) bool {
				return a == b
			})); diff != "" && len(turned)+len(changed) > 0 {
				t.Fatalf("what turned: %s", diff)
			}
			votes, verdicts := 0, 0
			for _, a := range o.assigned {
				late := 0
				v := b.Verdict(a.Target)
				for _, vote := range v.Votes {
					if !vote.Fresh && vote.State != Unknown {
						late++
					}
				}
				votes += late
				if late > 0 && strings.Contains(v.Why, "no fresh vote") {
					verdicts++
				}
			}
			if late, standing := b.Stale(); late != votes || standing != verdicts {
				t.Fatalf("%d votes and %d verdicts are counted as stale, there are %d and %d", late, standing, votes,
					verdicts)
			}
			for _, v := range b.Vantages(now) {
				if v.Blind != (o.blind(v.Vantage, now, false) || o.blind(v.Vantage, now, true)) {
					t.Fatalf("%s is blind: %v, the rules say %v: %+v", v.Vantage, v.Blind, !v.Blind, v)
				}
			}
			if at := b.NextDeadline(now); !at.IsZero() && !at.After(now) {
				t.Fatalf("the next deadline is over: %s, it is %s", at, now)
			}
		}
	})
}

// Between two deadlines nothing changes by itself.
func TestNextDeadlineIsTheNextChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		as := world(t)
		b := NewBoard()
		b.Assign(as)
		for i, v := range []string{"a", "b", "c"} {
			for j, a := range as {
				r := Report{
					Vantage: v, Target: a.Target, Sequence: uint64(j + 1),
					State: State(rapid.IntRange(0, 2).Draw(t, "state")),
				}
				if rapid.Bool().Draw(t, "valid") {
					r.ValidFor = time.Duration(rapid.IntRange(1, 20).Draw(t, "for")) * time.Second
				}
				b.Report(epoch.Add(time.Duration(i)*time.Second), r)
			}
		}
		now := epoch.Add(2 * time.Second)
		b.Judge(now)
		for {
			at := b.NextDeadline(now)
			if at.IsZero() {
				break
			}
			if changed := b.Judge(at.Add(-time.Nanosecond)); len(changed) > 0 && at.Add(-time.Nanosecond).After(now) {
				t.Fatalf("%v turned before the deadline", changed)
			}
			now = at
			b.Judge(now)
		}
		if changed := b.Judge(now.Add(1000 * time.Hour)); len(changed) > 0 {
			t.Fatalf("%v turned after the last deadline", changed)
		}
	})
}

// Two servers that get the same reports in different orders, and judge at different times, agree.
func TestOrderOfArrivalDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		as := world(t)
		var reports []Report
		for i := range rapid.IntRange(1, 60).Draw(t, "reports") {
			r := Report{
				Vantage: rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "vantage"), Sequence: uint64(i + 1),
				Target: rapid.SampledFrom(as).Draw(t, "target").Target,
				State:  State(rapid.IntRange(0, 2).Draw(t, "state")),
			}
			if rapid.IntRange(0, 5).Draw(t, "all") == 0 {
				r.Address = netip.Addr{}
			}
			reports = append(reports, r)
		}
		play := func(seed uint64) (map[Target]State, []Verdict) {
			r := rand.New(rand.NewPCG(seed, 0))
			b := NewBoard()
			assign := r.IntN(len(reports))
			for n, i := range r.Perm(len(reports)) {
				if n == assign {
					b.Assign(as)
				}
				b.Report(epoch, reports[i])
				if r.IntN(4) == 0 {
					b.Judge(epoch)
				}
			}
			b.Judge(epoch)
			var verdicts []Verdict
			for _, a := range as {
				v := b.Verdict(a.Target)
				v.Since = time.Time{}
				verdicts = append(verdicts, v)
			}
			return states(b, as), verdicts
		}
		one, two := rapid.Uint64().Draw(t, "one"), rapid.Uint64().Draw(t, "two")
		a, va := play(one)
		b, vb := play(two)
		if diff := cmp.Diff(a, b, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Fatal(diff)
		}
		if diff := cmp.Diff(va, vb); diff != "" {
			t.Fatal(diff)
		}
	})
}

// Whatever a minority says, the verdict is that of the others if they agree.
func TestMinorityNeverMovesMajority(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		as := world(t)
		for i := range as {
			as[i].Monitor = &Monitor{TCP: &TCP{Port: 80}}
		}
		n := rapid.IntRange(1, 7).Draw(t, "vantages")
		minority := rapid.IntRange(0, (n-1)/2).Draw(t, "minority")
		b := NewBoard()
		b.Assign(as)
		for _, a := range as {
			truth := State(rapid.IntRange(1, 2).Draw(t, "truth"))
			for v := range n {
				state := truth
				if v < minority {
					state = State(rapid.IntRange(0, 2).Draw(t, "lie"))
				}
				b.Report(epoch, Report{Vantage: fmt.Sprint(v), Target: a.Target, Sequence: 1, State: state})
			}
			defer func() {
				if got := b.State(a.Target); got != truth {
					t.Fatalf("%v is %v, %d of %d say %v: %+v", a.Target, got, n-minority, n, truth, b.Verdict(a.Target))
				}
			}()
		}
		b.Judge(epoch)
	})
}

// If nobody reports anything, votes only ever stop being fresh.
func TestFreshnessOnlyEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		as := world(t)
		b := NewBoard()
		b.Assign(as)
		now := epoch
		for i, v := range []string{"a", "b", "c"} {
			for _, a := range as {
				b.Report(now, Report{
					Vantage: v, Target: a.Target, Sequence: uint64(i + 1), State: Up,
					ValidFor: time.Duration(rapid.IntRange(0, 20).Draw(t, "valid")) * time.Second,
				})
			}
			now = now.Add(time.Duration(rapid.IntRange(0, 5).Draw(t, "gap")) * time.Second)
		}
		b.Judge(now)
		for range 10 {
			before := map[Target]int{}
			for _, a := range as {
				before[a.Target] = b.Verdict(a.Target).Fresh
			}
			now = now.Add(time.Duration(rapid.IntRange(0, 5).Draw(t, "step")) * time.Second)
			b.Judge(now)
			for _, a := range as {
				if v := b.Verdict(a.Target); v.Fresh > before[a.Target] || v.State != Up {
					t.Fatalf("%v had %d fresh votes and has %d, is %v", a.Target, before[a.Target], v.Fresh, v.State)
				}
			}
		}
	})
}

// If the others agree, a blind vantage does not change their verdicts, whatever the quorum.
func TestBlindMovesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		as := world(t)
		with, without := NewBoard(), NewBoard()
		with.Assign(as)
		without.Assign(as)
		for _, a := range as {
			truth := State(rapid.SampledFrom([]int{1, 1, 1, 2}).Draw(t, "truth"))
			for _, v := range []string{"a", "b"} {
				r := Report{Vantage: v, Target: a.Target, Sequence: 1, State: truth}
				with.Report(epoch, r)
				without.Report(epoch, r)
			}
			with.Report(epoch, Report{Vantage: "blind", Target: a.Target, Sequence: 1, State: Down})
		}
		with.Judge(epoch)
		without.Judge(epoch)
		blind := with.vantages["blind"]
		all := blind.both()
		altogether := all.most() && all.spread(len(with.regions)) >= 2 // the rule without families
		for _, a := range as {
			if !altogether && !blind.blind[familyOf(a.Address)] {
				continue // too little is up for it to be blind
			}
			if got, want := with.State(a.Target), without.State(a.Target); got != want {
				t.Fatalf("%v is %v, without the blind one %v: %+v", a.Target, got, want, with.Verdict(a.Target))
			}
		}
	})
}

// Reports of Unknown change no verdict.
func TestUnknownNeverTakesOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		as := world(t)
		b := NewBoard()
		b.Assign(as)
		for _, a := range as {
			for _, v := range []string{"a", "b"} {
				if s := State(rapid.IntRange(0, 2).Draw(t, "state")); s != Unknown {
					b.Report(epoch, Report{Vantage: v, Target: a.Target, Sequence: 1, State: s})
				}
			}
		}
		b.Judge(epoch)
		before := states(b, as)
		for _, v := range []string{"c", "d", "e"} {
			for _, a := range as {
				b.Report(epoch, Report{
					Vantage: v, Target: a.Target, Sequence: 1, State: Unknown,
					Reason: "this vantage has no IPv6",
				})
			}
		}
		if changed := b.Judge(epoch); len(changed) > 0 {
			t.Fatalf("%v turned from %v", changed, before)
		}
	})
}

// A change costs what it touches: with 100,000 targets and three vantages, one report touches no other target.
func TestJudgeTouchesWhatChanged(t *testing.T) {
	const n = 100_000
	b := NewBoard()
	as := make([]Assignment, n)
	m := &Monitor{TCP: &TCP{Port: 80}}
	for i := range as {
		pool := fmt.Sprintf("p%d", i/10)
		as[i] = Assignment{
			Target: Target{
				fmt.Sprintf("%s/e%d", pool, i),
				netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}),
			},
			Pool: pool, Region: fmt.Sprintf("r%d", i%3), Monitor: m,
		}
	}
	b.Assign(as)
	var sequence uint64
	for _, v := range []string{"a", "b", "c"} {
		for i := range as {
			sequence++
			b.Report(epoch, Report{Vantage: v, Target: as[i].Target, State: Up, Sequence: sequence})
		}
	}
	if got := len(b.Judge(epoch)); got != n {
		t.Fatalf("%d turned", got)
	}
	for i, v := range []string{"a", "b"} {
		sequence++
		b.Report(epoch, Report{Vantage: v, Target: as[7].Target, State: Down, Sequence: sequence})
		if len(b.dirty) != 1 {
			t.Fatalf("a report touches %d targets", len(b.dirty))
		}
		if got := len(b.Judge(epoch)); got != i {
			t.Fatalf("%d turned after %d of 3 said down", got, i+1)
		}
	}
	for _, v := range []string{"a", "b", "c"} {
		sequence++
		b.Heartbeat(epoch.Add(time.Second), v, sequence, 0)
	}
	b.Assign(as)
	if len(b.dirty) != 0 {
		t.Fatalf("heartbeats and the same assignment touch %d targets", len(b.dirty))
	}
}

func BenchmarkJudge(b *testing.B) {
	const n = 100_000
	board := NewBoard()
	as := make([]Assignment, n)
	m := &Monitor{TCP: &TCP{Port: 80}}
	for i := range as {
		as[i] = Assignment{
			Target: Target{
				fmt.Sprintf("p%d/e%d", i/10, i),
				netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}),
			}, Pool: fmt.Sprintf("p%d", i/10),
			Region: fmt.Sprintf("r%d", i%3), Monitor: m,
		}
	}
	board.Assign(as)
	var sequence uint64
	for i := 0; b.Loop(); i++ {
		sequence++
		board.Report(epoch, Report{Vantage: "a", Target: as[i%n].Target, State: State(1 + i&1), Sequence: sequence})
		board.Judge(epoch)
	}
}

// A target that is neither assigned nor reported on leaves nothing behind.
func TestNothingIsLeftOfWhatIsGone(t *testing.T) {
	b := NewBoard()
	b.Own("here")
	target := Target{"www/lb-1", netip.MustParseAddr("192.0.2.1")}
	a := Assignment{Target: target, Pool: "www", Region: "eu", Monitor: &Monitor{TCP: &TCP{Port: 80}}}
	for _, letGoFirst := range []bool{true, false} {
		b.Assign([]Assignment{a})
		b.Report(epoch, Report{Vantage: "here", Target: target, State: Up, Sequence: 1})
		b.Report(epoch, Report{
			Vantage: "fra", Target: Target{Endpoint: "www/lb-1"}, State: Up, Sequence: 1,
			ValidFor: time.Second,
		})
		b.Judge(epoch)
		letGo := func() {
			b.Report(epoch, Report{Vantage: "here", Target: target, State: Unknown, Sequence: 2})
		}
		if letGoFirst {
			letGo()
		}
		b.Assign(nil)
		if !letGoFirst {
			letGo()
		}
		b.Withdraw("fra")
		b.Judge(epoch.Add(time.Hour))
		if len(b.targets)+len(b.endpoints)+len(b.regions)+len(b.deadlines)+len(b.dirty) != 0 || len(b.vantages) != 1 {
			t.Errorf("left behind: %d targets, %d endpoints, %d regions, %d deadlines, %d dirty, %d vantages",
				len(b.targets), len(b.endpoints), len(b.regions), len(b.deadlines), len(b.dirty), len(b.vantages))
		}
		if v := b.Vantages(epoch); v[0].Reports != 0 {
			t.Errorf("counted: %+v", v)
		}
	}
}

// What this process says about itself holds as long as it lives, however long ago it last turned. What others say is as
// old as their last sign of life.
func TestAgeOfWords(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	b := NewBoard()
	b.Own("here")
	at := Target{Endpoint: "www/lb-1", Address: netip.MustParseAddr("192.0.2.1")}
	b.Assign([]Assignment{{Target: at, Pool: "www", Monitor: &Monitor{TCP: &TCP{Port: 80}}}})
	b.Report(now, Report{Vantage: "here", Target: at, State: Up, Sequence: 1})
	b.Report(now, Report{Vantage: "there", Target: at, State: Up, Sequence: 1})
	now = now.Add(29 * time.Second)
	b.Heartbeat(now.Add(-time.Second), "there", 2, 10*time.Second)
	b.Judge(now)
	want := map[string]time.Duration{"here": 0, "there": time.Second}
	for _, v := range b.Verdict(at).Votes {
		if v.Age != want[v.Vantage] {
			t.Errorf("the vote of %s is %v old, want %v", v.Vantage, v.Age, want[v.Vantage])
		}
	}
	for _, v := range b.Vantages(now) {
		if age := now.Sub(v.Heard); age != want[v.Vantage] {
			t.Errorf("%s was heard %v ago, want %v", v.Vantage, age, want[v.Vantage])
		}
	}
}
