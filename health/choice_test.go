package health

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// fleetOf draws vantages in some regions.
func fleetOf(t *rapid.T, most int) []candidate {
	regions := rapid.IntRange(1, 4).Draw(t, "regions")
	var all []candidate
	for i := range rapid.IntRange(1, most).Draw(t, "vantages") {
		name := fmt.Sprintf("v%d", i)
		all = append(all, candidate{vantage: &vantage{
			name: name, seed: seedOf(name), regionNumber: rapid.IntRange(0, regions-1).Draw(t, "region"),
		}})
	}
	return all
}

func first(seed uint64, cs []candidate, n int) []string {
	cs = slices.Clone(cs)
	(&target{seed: seed}).order(cs)
	var names []string
	for _, c := range cs[:min(n, len(cs))] {
		names = append(names, c.name)
	}
	return names
}

// The chosen vantages are in as many regions as possible, as evenly as possible.
func TestChoiceSpreadsOverRegions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := fleetOf(t, 40)
		n := rapid.IntRange(1, 6).Draw(t, "bound")
		have, got := map[int]int{}, map[int]int{}
		for _, c := range all {
			have[c.regionNumber]++
		}
		for _, name := range first(rapid.Uint64().Draw(t, "seed"), all, n) {
			i := slices.IndexFunc(all, func(c candidate) bool { return c.name == name })
			got[all[i].regionNumber]++
		}
		for r, most := range got {
			for s, left := range have {
				if got[s] < most-1 && got[s] < left {
					t.Fatalf("%d of region %d, %d of region %d, which has %d", most, r, got[s], s, left)
				}
			}
		}
	})
}

// If a chosen vantage leaves, one other follows it and no other moves. If it was not chosen, none moves.
func TestChoiceMovesOnlyWhatIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := fleetOf(t, 40)
		n := rapid.IntRange(1, 6).Draw(t, "bound")
		seed := rapid.Uint64().Draw(t, "seed")
		before := first(seed, all, n)
		i := rapid.IntRange(0, len(all)-1).Draw(t, "leaves")
		gone := all[i].name
		after := first(seed, slices.Delete(slices.Clone(all), i, i+1), n)
		entered := 0
		for _, name := range after {
			if !slices.Contains(before, name) {
				entered++
			}
		}
		for _, name := range before {
			if name != gone && !slices.Contains(after, name) {
				t.Fatalf("%s leaves, and %s is not chosen any more: %v, %v", gone, name, before, after)
			}
		}
		if want := 0; entered > 1 || !slices.Contains(before, gone) && entered != want {
			t.Fatalf("%s leaves: %v, %v", gone, before, after)
		}
	})
}

// Each of several equal vantages is chosen for about as many targets.
func TestChoiceIsEven(t *testing.T) {
	const vantages, targets, bound = 12, 20_000, 3
	var all []candidate
	for i := range vantages {
		name := fmt.Sprintf("ns%d", i)
		all = append(all, candidate{vantage: &vantage{name: name, seed: seedOf(name), regionNumber: i % 4}})
	}
	n := map[string]int{}
	for i := range targets {
		a := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).As16()
		for _, name := range first(seedOf(fmt.Sprintf("p%d/e%d", i/10, i), a[:]...), all, bound) {
			n[name]++
		}
	}
	for name, got := range n {
		if mean := targets * bound / vantages; got < mean*9/10 || got > mean*11/10 {
			t.Errorf("%s is chosen for %d targets, the mean is %d", name, got, mean)
		}
	}
}

// simulation is a fleet that talks through a log, as vantages do through etcd. Every server reads the log in order;
// some lag, or cannot read or write for a while. Probes take time, and vantages die and come back with any kind of
// clock.
type simulation struct {
	t        *rapid.T
	now      time.Time
	as       []Assignment
	log      []func(now time.Time, b *Board) // what was written, in order
	servers  []*simulated
	opinion  func(vantage string, target Target) State
	lastSeen map[Target]time.Time // when a living vantage last probed it
}

type simulated struct {
	name, region string
	alive        bool
	board        *Board
	sequence     uint64
	read         int // how much of the log it has read
	deaf, dumb   bool
	probing      map[Target]int // number of probes in a row
	reported     map[Target]State
}

func (s *simulation) start(v *simulated) {
	v.alive, v.board, v.read = true, NewBoard(), 0
	v.probing, v.reported = map[Target]int{}, map[Target]State{}
	v.board.Own(v.name)
	v.board.Place(v.name, v.region)
	v.board.Assign(s.as)
	s.withdraw(v) // as Link.sync does with keys of an earlier run
}

func (s *simulation) write(v *simulated, f func(now time.Time, b *Board)) {
	if v.dumb {
		return
	}
	s.log = append(s.log, f)
}

func (s *simulation) withdraw(v *simulated) {
	name := v.name
	s.write(v, func(_ time.Time, b *Board) {
		if b.own == nil || b.own.name != name {
			for _, a := range s.as {
				b.Withdraw(name, a.Endpoint)
			}
		}
	})
}

// second lets one second pass: heartbeats, reading, judging, probing, reporting.
func (s *simulation) second() {
	s.now = s.now.Add(time.Second)
	for _, v := range s.servers {
		if !v.alive {
			continue
		}
		v.sequence++
		name, region, sequence := v.name, v.region, v.sequence
		s.write(v, func(now time.Time, b *Board) {
			if b.own == nil || b.own.name != name {
				b.Place(name, region)
				b.Heartbeat(now, name, sequence, 10*time.Second)
			}
		})
		for !v.deaf && v.read < len(s.log) {
			s.log[v.read](s.now, v.board)
			v.read++
		}
		v.board.Judge(s.now)
		for _, a := range s.as {
			if !v.board.Mine(a.Target) {
				if _, was := v.probing[a.Target]; was {
					delete(v.probing, a.Target)
					delete(v.reported, a.Target)
					v.sequence++
					v.board.Report(s.now, Report{
						Vantage: v.name, Target: a.Target, State: Unknown,
						Sequence: v.sequence,
					})
					e := a.Endpoint
					s.write(v, func(_ time.Time, b *Board) {
						if b.own == nil || b.own.name != name {
							b.Withdraw(name, e)
						}
					})
				}
				continue
			}
			s.lastSeen[a.Target] = s.now
			state := s.opinion(v.name, a.Target)
			if v.probing[a.Target]++; v.probing[a.Target] >= 3 && v.reported[a.Target] != state {
				v.reported[a.Target] = state
				v.sequence++
				r := Report{Vantage: v.name, Target: a.Target, State: state, Sequence: v.sequence}
				v.board.Report(s.now, r)
				s.write(v, func(now time.Time, b *Board) {
					if b.own == nil || b.own.name != name {
						b.Report(now, r)
					}
				})
			}
		}
		v.board.Judge(s.now)
	}
}

func newSimulation(t *rapid.T, bound, vantages, targets int) *simulation {
	s := &simulation{t: t, now: epoch, lastSeen: map[Target]time.Time{}}
	m := &Monitor{TCP: &TCP{Port: 80}, Interval: Duration(time.Second), Vantages: bound}
	for i := range targets {
		s.as = append(s.as, Assignment{
			Target: Target{fmt.Sprintf("p%d/e%d", i%3, i), netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})},
			Pool:   fmt.Sprintf("p%d", i%3), Region: fmt.Sprintf("r%d", i%3), Monitor: m,
		})
	}
	for i := range vantages {
		s.servers = append(s.servers,
			&simulated{name: fmt.Sprintf("v%d", i), region: fmt.Sprintf("r%d", i%3), sequence: uint64(i) * 1000})
	}
	return s
}

// agreed fails if servers differ. Once all is quiet, it also fails if a target is not probed by as many vantages as it
// should be.
func (s *simulation) agreed(bound int, truth map[Target]State) {
	s.t.Helper()
	living := 0
	for _, v := range s.servers {
		if v.alive {
			living++
		}
	}
	for _, a := range s.as {
		probers := 0
		for _, v := range s.servers {
			if !v.alive {
				continue
			}
			if _, probes := v.probing[a.Target]; probes {
				probers++
			}
			if got := v.board.State(a.Target); truth != nil && got != truth[a.Target] {
				s.t.Fatalf("%s: %s is %v, not %v: %+v", v.name, a.Endpoint, got, truth[a.Target],
					v.board.Verdict(a.Target))
			}
		}
		if want := min(bound, living); probers != want {
			for _, v := range s.servers {
				if v.alive {
					s.t.Logf("%s mine %v, chosen %v, verdict %+v", v.name, v.board.Mine(a.Target),
						v.board.chosenNames(v.board.targets[a.Target]), v.board.Verdict(a.Target))
				}
			}
			s.t.Fatalf("%s is probed by %d of %d vantages, want %d", a.Endpoint, probers, living, want)
		}
	}
}

// Vantages come, go, lag and disagree about who is alive, but all that probe a target find the same. Then every verdict
// stays what they find. A target is without probes for no longer than a vantage takes to go stale. Once all is calm
// again, exactly the chosen ones probe, and all agree.
func TestHandoverMovesNoVerdict(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bound := rapid.IntRange(1, 3).Draw(t, "bound")
		s := newSimulation(t, bound, rapid.IntRange(2, 6).Draw(t, "vantages"), 6)
		truth := map[Target]State{}
		for _, a := range s.as {
			truth[a.Target] = rapid.SampledFrom([]State{Up, Down}).Draw(t, "truth")
		}
		s.opinion = func(_ string, target Target) State { return truth[target] }
		for _, v := range s.servers {
			s.start(v)
		}
		for range 40 {
			s.second()
		}
		s.agreed(bound, truth)
		var fault time.Time
		for range rapid.IntRange(1, 12).Draw(t, "faults") {
			fault = s.now
			v := rapid.SampledFrom(s.servers).Draw(t, "of")
			switch rapid.SampledFrom([]string{
				"die", "return", "return behind", "deaf", "dumb", "cut off", "heal",
				"wait",
			}).Draw(t, "fault") {
			case "die":
				// The last one that can be heard stays: without any vantage there is nothing to check.
				if n := slices.IndexFunc(s.servers, func(w *simulated) bool {
					return w != v && w.alive && !w.deaf && !w.dumb
				}); n >= 0 {
					v.alive = false
				}
			case "return":
				if !v.alive {
					v.sequence += 1000
					v.deaf, v.dumb = false, false
					s.start(v)
				}
			case "return behind": // its clock was set back
				if !v.alive {
					v.sequence = 0
					v.deaf, v.dumb = false, false
					s.start(v)
				}
			case "deaf":
				v.deaf = true
			case "dumb":
				v.dumb = true
			case "cut off":
				v.deaf, v.dumb = true, true
			case "heal":
				if v.dumb { // as Link.sync writes what it missed
					v.dumb = false
					s.withdraw(v)
					for target, state := range v.reported {
						v.sequence++
						name, r := v.name, Report{Vantage: v.name, Target: target, State: state, Sequence: v.sequence}
						s.write(v, func(now time.Time, b *Board) {
							if b.own == nil || b.own.name != name {
								b.Report(now, r)
							}
						})
					}
				}
				v.deaf = false
			}
			for range rapid.IntRange(0, 25).Draw(t, "seconds") {
				s.second()
				for _, a := range s.as {
					if unseen := s.now.Sub(s.lastSeen[a.Target]); unseen > 12*time.Second &&
						s.now.Sub(fault) > 12*time.Second {
						t.Fatalf("%s has not been probed for %v", a.Endpoint, unseen)
					}
					for _, v := range s.servers {
						if got := v.board.State(a.Target); v.alive && got != truth[a.Target] && got != Unknown {
							t.Fatalf("%s: %s is %v while everybody sees it %v: %+v", v.name, a.Endpoint, got,
								truth[a.Target], v.board.Verdict(a.Target))
						}
					}
				}
			}
		}
		for _, v := range s.servers {
			if v.alive && v.dumb {
				v.dumb = false
				s.withdraw(v)
				clear(v.reported)
				for target := range v.probing {
					v.probing[target] = 0
				}
			}
			v.deaf = false
		}
		for range 60 {
			s.second()
		}
		s.agreed(bound, truth)
	})
}

// If vantages find a target in different states, the verdict in a fleet that does not change is that of the chosen
// ones, and the same on every server. A death changes it only once the successor has reported.
func TestDeathWaitsForSuccessor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const bound = 3
		s := newSimulation(t, bound, rapid.IntRange(4, 7).Draw(t, "vantages"), 6)
		lies := map[string]bool{}
		s.opinion = func(v string, target Target) State {
			if lies[v+target.Endpoint] {
				return Down
			}
			return Up
		}
		for _, v := range s.servers {
			for _, a := range s.as {
				lies[v.name+a.Endpoint] = rapid.Bool().Draw(t, "down")
			}
			s.start(v)
		}
		for range 90 {
			s.second()
		}
		for _, v := range s.servers {
			if v.board.vantage(v.name).blind != [families]bool{} ||
				slices.ContainsFunc(v.board.Vantages(s.now), func(v VantageStatus) bool { return v.Blind }) {
				t.Skip("blindness has its own tests")
			}
		}
		s.agreed(bound, nil)
		expected := func(target *target, without string) State {
			all := make([]candidate, 0, len(s.servers))
			for _, v := range s.servers {
				if v.name != without {
					all = append(all, candidate{vantage: s.servers[0].board.vantage(v.name)})
				}
			}
			down := 0
			for _, name := range first(target.seed, all, bound) {
				if lies[name+target.Endpoint] {
					down++
				}
			}
			if Majority.Down(down, bound) {
				return Down
			}
			return Up
		}
		before, after := map[Target]State{}, map[Target]State{}
		dead := rapid.SampledFrom(s.servers).Draw(t, "dies")
		for _, a := range s.as {
			before[a.Target] = expected(s.servers[0].board.targets[a.Target], "")
			after[a.Target] = expected(s.servers[0].board.targets[a.Target], dead.name)
		}
		dead.alive = false
		for range 60 {
			s.second()
			for _, v := range s.servers {
				if !v.alive {
					continue
				}
				if slices.ContainsFunc(v.board.Vantages(s.now), func(v VantageStatus) bool { return v.Blind }) {
					t.Skip("blindness has its own tests")
				}
				for _, a := range s.as {
					got := v.board.State(a.Target)
					if got == before[a.Target] {
						continue
					}
					if got != after[a.Target] {
						t.Fatalf("%s: %s is %v, was %v and becomes %v: %+v", v.name, a.Endpoint, got, before[a.Target],
							after[a.Target], v.board.Verdict(a.Target))
					}
					before[a.Target] = got // others follow, none returns
				}
			}
		}
		for _, v := range s.servers {
			for _, a := range s.as {
				if v.alive && v.board.State(a.Target) != after[a.Target] {
					t.Fatalf("%s: %s is %v and should have become %v: %+v", v.name, a.Endpoint, v.board.State(a.Target),
						after[a.Target], v.board.Verdict(a.Target))
				}
			}
		}
	})
}
