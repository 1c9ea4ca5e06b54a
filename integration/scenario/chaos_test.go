//go:build linux

package scenario

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"leeward/integration/lab"
)

var (
	chaosSeed = flag.Uint64("chaos", 0, "play faults drawn with this seed (make chaos)")
	chaosFor  = flag.Duration("chaos-for", time.Minute, "for this long")
)

// drawn is a fault that can be drawn: the lines of scenarios that begin and end it, and its meaning.
type drawn struct {
	begin, end []string
	// what no other fault may have at the same time; "etcd works" only excludes those that take "etcd"
	takes  []string
	effect effect
	least  time.Duration // that it lasts; at most five times as long. 0: it has no end
}

// chaos draws faults and plays them.
type chaos struct {
	*scenario
	random *rand.Rand
	truth  *truth
	names  []string // of the regions
}

// TestChaos plays random faults: two or three at once of all those in scenarios, for random times, while clients ask
// and a note changes. Every answer is compared with what was true. The same seed draws the same faults at the same
// times.
func TestChaos(t *testing.T) {
	if *chaosSeed == 0 {
		t.Skip("make chaos plays it")
	}
	t.Logf("make chaos SEED=%d FOR=%v plays this again", *chaosSeed, *chaosFor)
	p := lab.Usual
	p.Seed, p.SmallDisk, p.Clocks = *chaosSeed, true, true
	// Servers go away here every few seconds. A resolver that remembers each for 15 minutes soon has none left to ask.
	p.Forgets = 10 * time.Second
	s := &story{
		name: "chaos", row: "all", title: fmt.Sprintf("faults by lot, seed %d", *chaosSeed), plan: p,
		limits: map[string]float64{},
	}
	x := &scenario{
		t: t, story: s, losses: map[string][]lab.Window{}, promised: map[trackKey]promises{}, marks: map[string]int{},
		kept: map[string]any{},
	}
	c := &chaos{scenario: x, random: rand.New(rand.NewPCG(*chaosSeed, 1))}
	c.play()
}

// draw returns the n-th fault. Each kind of fault takes the same amount of random numbers, so that the draws do not
// depend on who runs it.
func (c *chaos) draw() drawn {
	pick := func(n int) int { return c.random.IntN(n) }
	one := c.names[pick(3)]
	other := c.names[(slices.Index(c.names, one)+1+pick(2))%3]
	number, way, span := pick(3), pick(3), time.Duration(2+pick(6))*time.Second
	six := func(r *lab.Region, only int) (all []netip.Addr) {
		for i := range r.Endpoints {
			if only == 0 || only == i+1 {
				all = append(all, r.Addresses(false)[i], r.Addresses(true)[i])
			}
		}
		return all
	}
	region := c.w.Region(one)
	target, takes := one, []string{"endpoint " + one + "/1", "endpoint " + one + "/2"}
	if number > 0 {
		target, takes = fmt.Sprintf("%s/%d", one, number), takes[number-1:number]
	}
	addresses := six(region, number)
	everybody := c.names
	server := []string{"server " + one}
	switch pick(23) {
	case 0, 1, 2, 3, 4: // the most important ones are drawn most
		how := [...]string{"fail", "hang", "are gone"}[way]
		return drawn{
			begin: []string{"endpoints " + target + " " + how}, end: []string{"endpoints " + target + " are well"},
			takes: takes, effect: effect{dead: addresses}, least: span,
		}
	case 5:
		return drawn{
			begin: []string{fmt.Sprintf("endpoints %s flap every %v", target, span/2)},
			end:   []string{"endpoints " + target + " are well"},
			takes: takes, effect: effect{vague: addresses}, least: 2 * span,
		}
	case 6:
		return drawn{
			begin: []string{"endpoints " + target + " answer after 100ms to 350ms"},
			end:   []string{"endpoints " + target + " are well"},
			takes: takes, effect: effect{vague: addresses}, least: span,
		}
	case 7, 8:
		return drawn{
			begin: []string{"kill server " + one}, end: []string{"start server " + one}, takes: server,
			effect: effect{gone: one}, least: span,
		}
	case 9:
		return drawn{
			begin: []string{"stop server " + one}, end: []string{"start server " + one}, takes: server,
			effect: effect{gone: one}, least: span,
		}
	case 10:
		return drawn{
			begin: []string{"pause server " + one}, end: []string{"resume server " + one}, takes: server,
			effect: effect{gone: one}, least: span,
		}
	case 11:
		which := [...]string{"leader", "follower", one}[way]
		return drawn{
			begin: []string{"kill etcd " + which}, end: []string{"start etcd same"}, takes: []string{"etcd"},
			effect: effect{late: everybody}, least: span,
		}
	case 12:
		which := [...]string{"leader", "follower", one}[way]
		return drawn{
			begin: []string{"pause etcd " + which}, end: []string{"resume etcd same"}, takes: []string{"etcd"},
			effect: effect{late: everybody}, least: span,
		}
	case 13:
		which := [...]string{"followers", "all", "followers"}[way]
		return drawn{
			begin: []string{"kill etcd " + which}, end: []string{"start etcd same"}, takes: []string{"etcd"},
			effect: effect{late: everybody}, least: 2 * span,
		}
	case 14:
		return drawn{
			begin: []string{"isolate " + one}, end: []string{"rejoin " + one}, takes: append(server, "etcd", "links"),
			effect: effect{blurs: everybody, late: everybody, gone: one}, least: span,
		}
	case 15:
		return drawn{
			begin: []string{"cut " + one + " and " + other}, end: []string{"join " + one + " and " + other},
			takes:  []string{"links", "etcd"},
			effect: effect{blurs: []string{one, other}, late: everybody}, least: span,
		}
	case 16:
		return drawn{
			begin: []string{"cut " + one + " to " + other}, end: []string{"join " + one + " and " + other},
			takes:  []string{"links", "etcd"},
			effect: effect{blurs: []string{one, other}, late: everybody}, least: span,
		}
	case 17:
		return drawn{
			begin: []string{"cut " + one + " from etcd"}, end: []string{"join " + one + " to etcd"},
			takes:  []string{"links", "etcd"},
			effect: effect{late: everybody}, least: 2 * span,
		}
	case 18:
		return drawn{
			begin: []string{"probes from " + one + " are lost"}, end: []string{"probes from " + one + " arrive"},
			takes:  []string{"links"},
			effect: effect{blurs: everybody, late: everybody}, least: span,
		}
	case 19:
		return drawn{
			begin: []string{fmt.Sprintf("between %s and %s lose 15%% delay 40ms", one, other)},
			end:   []string{fmt.Sprintf("between %s and %s lose 0%% delay 0s", one, other)}, takes: []string{"links"},
			effect: effect{blurs: []string{one, other}, late: everybody}, least: span,
		}
	case 20:
		how := [...][2]string{{"is full", "has room"}, {"is read-only", "is writable"}, {"is full", "has room"}}[way]
		return drawn{
			begin: []string{"disk of " + one + " " + how[0]}, end: []string{"disk of " + one + " " + how[1]},
			takes: []string{"disk " + one}, effect: effect{full: one}, least: span,
		}
	case 21:
		off := [...]string{"+1h", "-1h", "+3s"}[way]
		return drawn{
			begin: []string{"clock of server " + one + " is " + off},
			end:   []string{"clock of server " + one + " is 0s"},
			takes: []string{"clock " + one, "server " + one}, least: span,
		}
	default:
		what := [...]string{"put 20 bad values", "compact etcd", "delete everything in etcd"}[way]
		d := drawn{begin: []string{what}, takes: []string{"etcd"}, least: time.Second}
		if way == 2 {
			d.end = []string{"apply the resources again"}
		}
		return d
	}
}

// running is a fault that lasts.
type running struct {
	drawn
	spell int
	ends  time.Time
}

func (c *chaos) play() {
	t := c.t
	c.w = lab.NewWorld(t, c.story.plan)
	for _, r := range c.w.Regions {
		c.names = append(c.names, r.Name)
		lab.Until(t, 60*time.Second, r.Server.Name+" has all endpoints up", func() error {
			return c.verdicts(r, "all", "up")
		})
	}
	c.tracks = startTracks(t, c.w)
	stopStalls := c.stalls.Watch(c.w.Processes)
	defer stopStalls()
	c.truth = &truth{regions: c.w.Regions, stood: c.stalls.Between}
	for _, k := range c.tracks.each() {
		r := c.w.Region(k.client)
		own := want{text: r.Name, sets: []set{{r, []int{1, 2}}}}
		lab.Until(t, 30*time.Second, "clients in "+r.Name+" get their own region from "+k.server, func() error {
			return keeping(k, own, c.zero)
		})
	}
	c.zero = time.Now()

	var now []running
	stop := c.zero.Add(*chaosFor)
	next := c.zero.Add(time.Second)
	notes := 0
	for time.Now().Before(stop) {
		// Whatever ends first, or the next beginning.
		slices.SortStableFunc(now, func(a, b running) int { return a.ends.Compare(b.ends) })
		due := next
		if len(now) > 0 && now[0].ends.Before(due) {
			due = now[0].ends
		}
		if due.After(stop) {
			break
		}
		timer := time.NewTimer(time.Until(due))
		<-timer.C
		if len(now) > 0 && !now[0].ends.After(due) {
			c.finish(now[0])
			now = now[1:]
			continue
		}
		next = due.Add(time.Duration(500+c.random.IntN(4500)) * time.Millisecond)
		if len(now) >= 3 {
			continue
		}
		d := c.draw()
		lasts := d.least + time.Duration(c.random.Int64N(int64(4*d.least)))
		if slices.ContainsFunc(now, func(r running) bool {
			return slices.ContainsFunc(r.takes, func(taken string) bool { return slices.Contains(d.takes, taken) })
		}) {
			continue
		}
		now = append(now, running{drawn: d, spell: c.start(d), ends: due.Add(lasts)})
		if !slices.ContainsFunc(now, func(r running) bool { return slices.Contains(r.takes, "etcd") }) {
			notes++
			c.step(fmt.Sprintf("note %d", notes))
		}
	}
	for _, r := range now {
		c.finish(r)
	}
	// Everything is back and as it was, and the newest change is everywhere.
	notes++
	healed := time.Now()
	lab.Until(t, 30*time.Second, "a change can be written", func() error { return c.do(fmt.Sprintf("note %d", notes)) })
	for _, r := range c.w.Regions {
		lab.Until(t, 60*time.Second, r.Name+" serves the newest change", func() error {
			return c.check(fmt.Sprintf("note at %s is %d", r.Name, notes))
		})
	}
	lab.Until(t, 60*time.Second, "all servers agree", func() error { return c.check("all agree") })
	for _, k := range c.tracks.each() {
		r := c.w.Region(k.client)
		own := want{text: r.Name, sets: []set{{r, []int{1, 2}}}}
		lab.Until(t, 60*time.Second, "clients in "+r.Name+" get their own region from "+k.server, func() error {
			return keeping(k, own, healed)
		})
	}
	c.end = time.Now()
	c.tracks.stop()
	c.judge()
}

// start begins a fault, and returns the number of its spell.
func (c *chaos) start(d drawn) int {
	c.truth.spells = append(c.truth.spells, spell{from: time.Now(), effect: d.effect})
	for _, line := range d.begin {
		c.step(line)
	}
	return len(c.truth.spells) - 1
}

// finish ends a fault, and waits until the servers that it stopped answer again.
func (c *chaos) finish(r running) {
	c.begun = time.Now()
	for _, line := range r.end {
		c.step(line)
	}
	if s := r.effect.gone; s != "" {
		lab.Until(c.t, 30*time.Second, s+" answers", func() error { return c.check(s + " answers") })
		c.answering(s)
	}
	c.truth.spells[r.spell].until = time.Now()
}

// answering ends a server's excuse for not answering.
func (c *chaos) answering(server string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.losses[server] {
		if w := &c.losses[server][i]; w.Until.IsZero() {
			w.Until = time.Now().Add(grace)
		}
	}
}

// step does what a line of a scenario says, and notes it.
func (c *chaos) step(line string) {
	at := time.Now()
	if err := c.do(line); err != nil {
		c.t.Errorf("at %.3f s: %s: %v", at.Sub(c.zero).Seconds(), line, err)
	}
	c.note(happening{at: at, letter: c.letter(), text: line})
}

func (c *chaos) do(line string) error {
	w, args, err := language.Said(line, false)
	if err != nil {
		return err
	}
	return w.Do(c.scenario, args)
}

func (c *chaos) check(line string) error {
	w, args, err := language.Said(line, true)
	if err != nil {
		return err
	}
	return w.Check(c.scenario, args)
}

// judge prints the timeline and fails the test for each answer that was wrong.
func (c *chaos) judge() {
	faults := map[*sighting]string{}
	count := map[string]int{}
	queries := 0
	var first *sighting // that was wrong
	for _, k := range c.tracks.each() {
		for _, s := range k.sightings {
			queries++
			kind, why := c.failure(s)
			if kind == "lost" && s.server == "resolver" && c.truth.lonely(s) {
				kind = "excused"
			}
			if kind == "" && len(s.addresses) > 0 && s.server != "resolver" {
				if why = c.truth.wrong(c.story.plan, s); why != "" {
					kind = "wrong"
				}
			}
			faults[s] = kind
			if kind == "" || kind == "excused" {
				continue
			}
			if kind == "wrong" && (first == nil || s.sent.Before(first.sent)) {
				first = s
			}
			if count[kind]++; count[kind] <= 10 {
				c.t.Errorf("%s: %s, asked %v for clients in %s at %.3f s, answered after %v %v: %s", kind, s.server,
					s.question, s.client.Name,
					s.sent.Sub(c.zero).Seconds(), s.received.Sub(s.sent).Round(time.Millisecond), s.addresses, why)
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s for %v\n\n%s\n%s\n%d queries: %d wrong, %d refused, %d lost\n", c.story.title, *chaosFor,
		c.picture(faults), c.happened(),
		queries, count["wrong"], count["refused"], count["lost"])
	if s := c.stalls.Between(c.zero, c.end); s > 0 {
		fmt.Fprintf(&b, "the machine stood still for %v in all; bounds were given that\n", s.Round(time.Millisecond))
	}
	if first != nil {
		from, until := first.sent.Add(-5*time.Second), first.received.Add(time.Second)
		fmt.Fprintf(&b, "first wrong answer at %.3f s; around it the machine stood still for %v, and was logged:\n",
			first.sent.Sub(c.zero).Seconds(), c.stalls.Between(from, until).Round(time.Millisecond))
		for _, r := range c.w.Regions {
			fmt.Fprintf(&b, "%s:\n%s", r.Server.Name, r.Server.Logged(from, until))
		}
	}
	c.t.Log(b.String())
	if c.t.Failed() {
		c.t.Errorf("make chaos SEED=%d FOR=%v plays this again", *chaosSeed, *chaosFor)
	}
}
