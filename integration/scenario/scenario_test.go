//go:build linux

package scenario

import (
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"leeward/integration/lab"
	"leeward/integration/script"
)

var (
	inCI   = flag.Bool("scenarios", false, "play the scenarios in testdata, but for those that take long")
	costly = flag.Bool("faults", false, "play all scenarios")
	update = flag.Bool("update", false, "write the tables of README.md anew")
)

// TestScenarios plays every file in testdata: a fault, and what must hold while it lasts and after it, while clients
// ask all servers all the time. Each prints its timeline, and counts what was wrong, refused or lost.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	var stories []*story
	for _, file := range files {
		s, err := readStory(file)
		if err != nil {
			t.Fatal(err)
		}
		stories = append(stories, s)
	}
	var list strings.Builder
	for _, s := range stories {
		when := "make scenarios"
		if s.faults {
			when = "make faults"
		}
		fmt.Fprintf(&list, "| %2s | %-24s | %-14s | %s |\n", s.row, s.name, when, s.title)
	}
	t.Logf("row, scenario, played by, what is taken away:\n%s", &list)
	if lab.Race {
		t.Skip("they run with the binary as it is shipped, in a run of their own")
	}
	var failures failures
	t.Cleanup(func() { failures.log(t) })
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			if s.faults && !*costly {
				t.Skip("it takes long: make faults plays it")
			}
			if !*inCI && !*costly {
				t.Skip("make scenarios plays it")
			}
			t.Parallel()
			failures.add(s.name, play(t, s))
		})
	}
}

// failures repeats the failures of all scenarios at the end, because thousands of lines of those that passed come
// before.
type failures struct {
	mu    sync.Mutex
	lines []string
}

func (f *failures) add(scenario string, said []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, line := range said {
		f.lines = append(f.lines, scenario+": "+line)
	}
}

func (f *failures) log(t *testing.T) {
	if len(f.lines) > 0 {
		t.Logf("what failed:\n%s", strings.Join(f.lines, "\n"))
	}
}

// TestScenarioWords: README.md explains each line of scenarios, and no other.
func TestScenarioWords(t *testing.T) {
	if err := language.Explain("README.md", *update); err != nil {
		t.Error(err)
	}
}

// plays is how often a scenario is played at most. If the machine stood still for longer than steadiness meanwhile, a
// failure says nothing about Leeward: probes and clients have their time-outs, and the endpoints and the links are in
// this process.
const (
	plays      = 4
	steadiness = 500 * time.Millisecond
)

// play plays a story and returns what failed in it.
func play(t *testing.T, s *story) []string {
	for n := 1; ; n++ {
		a := &lab.Attempt{TB: t}
		x := &scenario{
			t: a, story: s, losses: map[string][]lab.Window{}, promised: map[trackKey]promises{},
			marks: map[string]int{}, kept: map[string]any{},
		}
		a.Run(x.play)
		stood := x.stalls.Between(x.zero, time.Now())
		switch {
		case len(a.Failures) == 0:
			return nil
		case n < plays && stood > steadiness:
			t.Logf("the machine stood still for %v while this was played: it is played again. What failed:\n%s", stood,
				strings.Join(a.Failures, "\n"))
			lab.AwaitCalm()
		default:
			for _, f := range a.Failures {
				t.Error(f)
			}
			return a.Failures
		}
	}
}

// scenario is a story being played.
type scenario struct {
	t      testing.TB
	story  *story
	w      *lab.World
	tracks *tracks
	zero   time.Time // when it began
	end    time.Time
	begun  time.Time // the block
	events []happening
	stalls lab.Stalls

	operator *lab.Process // what has been begun last

	mu       sync.Mutex
	losses   map[string][]lab.Window // by server: when queries to it need not be answered
	promised map[trackKey]promises
	marks    map[string]int // how far each server's log was when the block began
	kept     map[string]any // what steps leave for later ones
}

// happening is a step, and when it happened or was seen to hold.
type happening struct {
	at     time.Time
	letter string // of the picture; empty: the step was seen to hold
	text   string
	took   time.Duration // from the block's beginning until the step held
	limit  time.Duration
	failed bool
}

// grace is added to each bound, for the time until this process notices that something holds.
const grace = 300 * time.Millisecond

func (x *scenario) play() {
	t := x.t
	x.w = lab.NewWorld(t, x.story.plan)
	for _, r := range x.w.Regions {
		lab.Until(t, 60*time.Second, r.Server.Name+" has all endpoints up",
			func() error { return x.verdicts(r, "all", "up") })
	}
	x.tracks = startTracks(t, x.w)
	stopStalls := x.stalls.Watch(x.w.Processes)
	defer stopStalls()
	// First, all clients get the right answers.
	for _, k := range x.tracks.each() {
		c := x.w.Region(k.client)
		own := want{text: c.Name, sets: []set{{c, []int{1, 2}}}}
		x.promised[k.trackKey] = promises{{want: own}}
		lab.Until(t, 30*time.Second, "clients in "+c.Name+" get their own region from "+k.server,
			func() error { return keeping(k, own, x.zero) })
	}
	x.zero = time.Now()
	held := x.zero
	for i := range x.story.blocks {
		b := &x.story.blocks[i]
		x.await(held.Add(b.When), x.meanwhiles(i-1))
		x.block(b)
		held = time.Now()
	}
	x.await(held.Add(time.Second), x.meanwhiles(len(x.story.blocks)-1))
	x.end = time.Now()
	x.tracks.stop()
	x.judge()
}

// meanwhiles returns what must hold until the next block begins.
func (x *scenario) meanwhiles(i int) (steps []step) {
	if i < 0 {
		return nil
	}
	for _, s := range x.story.blocks[i].Steps {
		if s.Kind == script.Meanwhile {
			steps = append(steps, s)
		}
	}
	return steps
}

// block does what happens in it, and waits until what must hold does.
func (x *scenario) block(b *block) {
	x.begun = time.Now()
	for _, r := range x.w.Regions {
		x.marks[r.Name] = len(r.Server.Process.Out.String())
	}
	var running sync.WaitGroup
	stop := make(chan struct{})
	begun := false
	begin := func() { // promises are made at the last moment before the event that they are about
		if begun {
			return
		}
		begun = true
		for _, s := range b.Steps {
			if s.Kind == script.Bounded && s.Promise != nil {
				if err := s.Promise(x, s.Within, s.Args); err != nil {
					x.t.Fatalf("%s:%d: %s: %v", x.story.name, s.Number, s.Text, err)
				}
			}
		}
	}
	for _, s := range b.Steps {
		if s.Kind != script.Happens {
			continue
		}
		if !s.Quiet {
			begin()
		}
		at := time.Now()
		if err := s.Do(x, s.Args); err != nil {
			x.t.Fatalf("%s:%d: %s: %v", x.story.name, s.Number, s.Text, err)
		}
		x.note(happening{at: at, letter: x.letter(), text: s.Text})
	}
	begin()
	for _, s := range b.Steps {
		if s.Kind == script.Meanwhile {
			running.Go(func() { x.holds(s, stop) })
		}
	}
	var waiting sync.WaitGroup
	for _, s := range b.Steps {
		if s.Kind == script.Bounded {
			waiting.Go(func() { x.within(s) })
		}
	}
	waiting.Wait()
	close(stop)
	running.Wait()
}

// letter returns the next letter for the picture.
func (x *scenario) letter() string {
	n := 0
	for _, e := range x.events {
		if e.letter != "" {
			n++
		}
	}
	return string("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"[n%52])
}

func (x *scenario) note(h happening) {
	x.mu.Lock()
	x.events = append(x.events, h)
	x.mu.Unlock()
}

// within polls until a step's check holds or its time is over. Time in which the machine itself stood still is added.
func (x *scenario) within(s step) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := s.Check(x, s.Args)
		now := time.Now()
		h := happening{at: now, text: s.Text, took: now.Sub(x.begun), limit: s.Within}
		if err == nil {
			x.note(h)
			return
		}
		if now.After(x.begun.Add(s.Within + grace + x.stalls.Between(x.begun, now))) {
			h.failed = true
			x.note(h)
			x.t.Errorf("%s:%d: %s: not yet: %v", x.story.name, s.Number, s.Text, err)
			return
		}
		<-tick.C
	}
}

// holds polls a check until stop, and fails as soon as it does not hold.
func (x *scenario) holds(s step, stop <-chan struct{}) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := s.Check(x, s.Args); err != nil {
			now := time.Now()
			x.note(happening{at: now, text: s.Text, took: now.Sub(x.begun), failed: true})
			x.t.Errorf("%s:%d: %s: %v after %v", x.story.name, s.Number, s.Text, err,
				now.Sub(x.begun).Round(time.Millisecond))
			return
		}
		select {
		case <-stop:
			return
		case <-tick.C:
		}
	}
}

// await waits until the time at which the next block begins.
func (x *scenario) await(at time.Time, steps []step) {
	stop := make(chan struct{})
	var running sync.WaitGroup
	for _, s := range steps {
		running.Go(func() { x.holds(s, stop) })
	}
	timer := time.NewTimer(time.Until(at))
	<-timer.C
	close(stop)
	running.Wait()
}

// promise notes what servers should answer clients of regions from now on.
func (x *scenario) promise(servers, clients []*lab.Region, wanted want, limit time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	now := time.Now()
	for _, s := range servers {
		for _, c := range clients {
			k := trackKey{s.Name, c.Name}
			x.promised[k] = append(x.promised[k], promise{wanted, now, now.Add(limit + grace)})
		}
	}
}

// keep notes that a track has begun to keep its newest promise. A moment later it must not go back.
func (x *scenario) keep(k *track) {
	x.mu.Lock()
	defer x.mu.Unlock()
	ps := x.promised[k.trackKey]
	if len(ps) > 1 && ps[len(ps)-2].text == ps[len(ps)-1].text {
		return // it was kept before: what happens may still pass through it
	}
	if due := time.Now().Add(grace); due.Before(ps[len(ps)-1].due) {
		ps[len(ps)-1].due = due
	} else {
		ps[len(ps)-1].due = ps[len(ps)-1].due.Add(x.stalls.Between(ps[len(ps)-1].from, time.Now()))
	}
}

// keeping says whether the newest answers on a track, to queries sent after a time, are as wanted, for each name,
// family and transport.
func keeping(k *track, wanted want, after time.Time) error {
	newest := map[lab.Question]*sighting{}
	for _, s := range k.since(after) {
		if len(s.addresses) > 0 {
			newest[s.question] = s
		}
	}
	for _, s := range newest {
		if !wanted.met(s.addresses, s.addresses[0].Is6()) {
			return fmt.Errorf("%s answers clients of %s %v", k.server, k.client, s.addresses)
		}
	}
	families := map[bool]bool{}
	for q := range newest {
		families[q.Qtype == 28] = true
	}
	if len(families) == 0 {
		return fmt.Errorf("%s has answered no client of %s yet", k.server, k.client)
	}
	return nil
}
