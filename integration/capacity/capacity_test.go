//go:build linux

package capacity

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"leeward/integration/lab"
)

var (
	capacityDir = flag.String("capacity", "",
		"play all worlds, with policies that spill and static ones, and write figures and pictures into this folder")
	capacityWorlds = flag.String("capacity-worlds", "testdata/*.txt", "the worlds' files")
	capacityPlays  = flag.Int("capacity-plays", 3, "how often each world is played; figures are medians")
	update         = flag.Bool("update", false, "write the tables of README.md anew")
	capacityOnly   = flag.String("capacity-only", "", "play with these policies only: static, or spill")
)

// readPlans reads all worlds.
func readPlans(t testing.TB) (all []*plan) {
	t.Helper()
	files, err := filepath.Glob(*capacityWorlds)
	if err != nil || len(files) == 0 {
		t.Fatalf("no worlds are in %s: %v", *capacityWorlds, err)
	}
	for _, file := range files {
		p, err := readPlan(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// choice is one world played with one kind of policies.
type choice struct {
	plan  *plan
	spill bool
	nth   int
}

func (r choice) policies() string {
	if r.spill {
		return "spill"
	}
	return "static"
}

// TestCapacityAll plays every world: `make capacity`. It asserts only that answers are never empty or wrong. The
// figures are for people, in the folder with the pictures.
func TestCapacityAll(t *testing.T) {
	if *capacityDir == "" {
		t.Skip("make capacity plays it")
	}
	plans := readPlans(t)
	var mu sync.Mutex
	played := map[choice]*closedLoop{}
	before, seconds := processorTime(), 0.0
	t.Run("of", func(t *testing.T) {
		for nth := range *capacityPlays {
			for _, p := range plans {
				for _, spill := range []bool{false, true} {
					r := choice{p, spill, nth}
					if *capacityOnly != "" && *capacityOnly != r.policies() {
						continue
					}
					t.Run(fmt.Sprintf("%s/%s/%d", p.name, r.policies(), nth+1), func(t *testing.T) {
						t.Parallel()
						if spill {
							needSpill(t, p)
						}
						l := steadily(t, func(t testing.TB) *closedLoop { return play(t, p, spill) })
						if l == nil {
							return
						}
						mu.Lock()
						defer mu.Unlock()
						played[r] = l
						seconds += (p.lasts + p.warmUp).Seconds()
						f := l.figures()
						t.Logf("%s\n%s\n%s", f, strings.Join(l.log, "\n"), l.story())
						if f.wrong > 0 {
							t.Errorf("%d answers were empty or wrong", f.wrong)
						}
					})
				}
			}
		}
	})
	if len(played) == 0 {
		return
	}
	t.Logf("the model took %.1f %% of a core for each world", 100*(processorTime()-before).Seconds()/seconds)
	table := medians(plans, played)
	t.Logf("median of %d\n\n%s", *capacityPlays, table)
	for _, p := range plans {
		var titles []string
		var runs []*closedLoop
		for _, spill := range []bool{false, true} {
			if l := played[choice{p, spill, 0}]; l != nil {
				titles, runs = append(titles, choice{p, spill, 0}.policies()), append(runs, l)
			}
		}
		if len(runs) > 0 {
			if err := written(*capacityDir, p.name, titles, runs); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(*capacityDir, "figures.md"), []byte(table), 0o644); err != nil {
		t.Fatal(err)
	}
}

// needSpill skips the test as long as the binary does not know the plan's fields.
func needSpill(t testing.TB, p *plan) {
	t.Helper()
	l := &closedLoop{t: t, plan: p, spill: true, regions: lab.NewRegions()}
	for r, region := range l.regions {
		l.balancers = append(l.balancers, &balancer{
			plan: p, region: r, name: region.Name + "/1",
			address: fmt.Sprintf("127.0.0.%d:80", 1+r),
		})
	}
	o := lab.Leeward(t, l.documents(80), "check", "-f", "-")
	if o.Code == 0 {
		return
	}
	if strings.Contains(o.Stderr+o.Stdout, "not supported by this version") {
		t.Skip("this version of Leeward does not spill yet")
	}
	t.Fatalf("leeward check: %v", o)
}

// standstill is how long the machine may stand still at once while a world is played: the TTL of most. If it stands
// still each time, the second play counts.
const standstill = 2 * time.Second

// steadily plays a world, and plays it again if the machine stood still for long, because its endpoints and resolvers
// are in this process, and its times are those of the machine. It returns nil if the play failed, which it has
// reported.
func steadily(t *testing.T, once func(testing.TB) *closedLoop) (l *closedLoop) {
	for n := 1; ; n++ {
		a := &lab.Attempt{TB: t}
		a.Run(func() { l = once(a) })
		if l != nil && l.stalls.Longest() > standstill && n < 2 {
			t.Logf("the machine stood still for %v while this was played: it is played again",
				l.stalls.Longest().Round(time.Millisecond))
			lab.AwaitCalm()
			continue
		}
		for _, f := range a.Failures {
			t.Error(f)
		}
		if len(a.Failures) > 0 {
			return nil
		}
		return l
	}
}

// stood is how long the machine stood still in all.
func (l *closedLoop) stood() time.Duration {
	return l.stalls.Between(l.began.Add(-l.plan.warmUp), l.began.Add(l.plan.lasts))
}

func (l *closedLoop) figures() figures {
	f := l.meter.figures()
	f.stood = l.stood().Seconds()
	return f
}

func (f figures) String() string {
	return fmt.Sprintf("%d endpoints broken, overload %.2f %% (%.2f %% at an overloaded endpoint), lost %.2f %%, "+
		"%.2f moves a client, "+
		"settled within %.1f s, detour %.2f points; %d wrong, %d unanswered; the machine stood still for %.2f s",
		f.broken, f.excess, f.crowded, f.lost, f.moves, f.settled, f.detour, f.wrong, f.unanswered, f.stood)
}

// medians formats the figures of all plays: medians, beside the aims.
func medians(plans []*plan, played map[choice]*closedLoop) string {
	var b strings.Builder
	b.WriteString("| world | policies | endpoints broken | overload, % | at overloaded, % | lost, % | moves a client " +
		"| settled, s | detour, points |\n" +
		"|---|---|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, p := range plans {
		shown := false
		for _, spill := range []bool{false, true} {
			var all []figures
			for nth := range *capacityPlays {
				if l := played[choice{p, spill, nth}]; l != nil {
					all = append(all, l.figures())
				}
			}
			if len(all) == 0 {
				continue
			}
			shown = true
			median := func(value func(figures) float64) float64 {
				slices.SortFunc(all, func(a, b figures) int { return cmp.Compare(value(a), value(b)) })
				return (value(all[(len(all)-1)/2]) + value(all[len(all)/2])) / 2
			}
			fmt.Fprintf(&b, "| %s | %s | %.0f | %.2f | %.2f | %.2f | %.2f | %.1f | %.1f |\n", p.title,
				choice{p, spill, 0}.policies(),
				median(func(f figures) float64 {
					return float64(f.broken)
				}), median(func(f figures) float64 { return f.excess }),
				median(func(f figures) float64 { return f.crowded }), median(func(f figures) float64 { return f.lost }),
				median(func(f figures) float64 {
					return f.moves
				}), median(func(f figures) float64 { return f.settled }),
				median(func(f figures) float64 { return f.detour }))
		}
		if a := p.aim; shown && a != (figuresAim{}) {
			fmt.Fprintf(&b, "| | *aim* | 0 | %v | | %v | %v | %v | %v |\n", a.excess, a.lost, a.moves, a.settled,
				a.detour)
		}
	}
	return b.String()
}

// story is the run second by second. For each region it has the demand of its clients, the load and capacity of its
// pool, how many endpoints are up, who is sent home, and what servers say they keep and are offered. It also has what
// is lost, and how many queries have not been answered in time so far.
func (l *closedLoop) story() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%6s", "s")
	for _, r := range l.regions {
		fmt.Fprintf(&b, " | %-4s%6s%6s%6s%3s%6s%6s%7s", r.Name, "asks", "gets", "holds", "up", "home", "keep", "offer")
	}
	fmt.Fprintf(&b, " | %6s%7s\n", "lost", "silent")
	for _, k := range every(l.meter.ticks, time.Second) {
		fmt.Fprintf(&b, "%6.1f", k.at.Seconds())
		for r := range l.regions {
			fmt.Fprintf(&b, " | %10.0f%6.0f%6.0f%3d%6.2f%6.2f%7.0f", k.demand[r], k.load[r], k.most[r], k.up[r],
				k.home[r],
				k.kept[r], k.offered[r])
		}
		fmt.Fprintf(&b, " | %6.0f%7d\n", k.lost, k.silent)
	}
	return b.String()
}

// TestCapacity plays the heart of it within a minute: a crowd breaks one region after the other with static policies,
// and hardly any endpoint with policies that spill. It asserts only wide relations between the two, played side by side
// on the same machine. `make capacity` is for figures.
func TestCapacity(t *testing.T) {
	if lab.Race {
		t.Skip("it plays with the binary as it is shipped, in a run of its own")
	}
	p, err := readPlan("testdata/02-crowd-two-ttls.txt")
	if err != nil {
		t.Fatal(err)
	}
	needSpill(t, p)
	p.lasts = 24 * time.Second
	p.happens = p.happens[:1] // it comes and stays
	played := [2]*closedLoop{}
	t.Run("side by side", func(t *testing.T) {
		for i, name := range []string{"static", "spill"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				played[i] = play(t, p, name == "spill")
			})
		}
	})
	if played[0] == nil || played[1] == nil {
		return
	}
	static, spill := played[0].figures(), played[1].figures()
	t.Logf("static: %v\n%s\nspill: %v\n%s", static, played[0].story(), spill, played[1].story())
	if n := static.wrong + spill.wrong; n > 0 {
		t.Errorf("%d answers were empty or wrong", n)
	}
	if static.broken < p.endpoints {
		t.Errorf("with static policies %d endpoints broke: this crowd is none", static.broken)
	}
	if spill.broken > static.broken/4 || spill.lost > static.lost/4 {
		t.Errorf("with policies that spill %d endpoints broke and %.2f %% were lost, with static ones %d and %.2f "+
			"%%: not even a quarter of it is spared",
			spill.broken, spill.lost, static.broken, static.lost)
	}
}
