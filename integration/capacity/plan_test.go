//go:build linux

package capacity

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"leeward/integration/lab"
	"leeward/integration/script"
)

// plan is a world in which load matters, as its text says: what endpoints can hold, who asks for how much of it, and
// what happens when.
type plan struct {
	name, title string
	lasts       time.Duration // what is measured, from 0 s
	warmUp      time.Duration // before 0 s

	ttl            time.Duration
	every, timeout time.Duration // of probes
	fall, rise     int
	ramp           time.Duration // of the pools
	field          string        // the monitor's load
	span           time.Duration // over which endpoints average their load
	noise          float64       // standard deviation of the reported load, as a share of it

	endpoints   int     // in each pool
	target, max float64 // requests a second of each, when it is warm and does not leak
	limit       float64 // of max, above which it breaks
	endures     time.Duration
	down        time.Duration
	cold        float64 // of max, the part that it can hold when it has just started
	warming     time.Duration

	demand    map[string]float64 // by region, requests a second
	resolvers []resolvers
	late      float64       // share of clients that keep an answer for longer than its TTL says
	keeps     time.Duration // and for how long

	happens []script.Block[*closedLoop]
	aim     figuresAim
}

// figuresAim is what policies that spill should reach: % of requests, moves of each client, seconds, points.
type figuresAim struct{ excess, lost, moves, settled, detour float64 }

// resolvers are a number of resolvers of one kind in a region.
type resolvers struct {
	region  string
	number  int
	subnets int     // that each sends as ECS; 0: it sends none
	farm    bool    // they share a /24
	share   float64 // of the region's clients
}

// usual returns the defaults of files.
func usual() *plan {
	p := &plan{
		warmUp: 12 * time.Second, ttl: 2 * time.Second,
		every: 250 * time.Millisecond, timeout: 200 * time.Millisecond, fall: 3, rise: 2,
		ramp: 6 * time.Second, field: "rps_fractional", span: 250 * time.Millisecond, noise: 0.02,
		endpoints: 6, target: 800, max: 1000,
		limit: 1.2, endures: 2 * time.Second, down: 10 * time.Second, cold: 0.4, warming: 6 * time.Second,
		demand: map[string]float64{},
	}
	for _, r := range lab.NewRegions() {
		p.demand[r.Name] = 2400
	}
	return p
}

// usualResolvers are the resolvers of a region whose file names none.
func usualResolvers(region string) []resolvers {
	return []resolvers{
		{region: region, number: 40, subnets: 5, share: 0.5},
		{region: region, number: 8, farm: true, share: 0.1},
		{region: region, number: 60, share: 0.4},
	}
}

// language is the lines of worlds. README.md explains each line: to add one, add it here and there.
var language = script.Language[*plan, *closedLoop]{Settings: settings, Commands: commands, Clock: true, Known: known}

// settings are the lines before the first "at".
var settings = []script.Setting[*plan]{
	{Line: "title …", Set: func(p *plan, a script.Args) error { p.title = a.Text(0); return nil }},
	{Line: "aims at N overload N lost N moves N seconds N detour", Set: (*plan).setAim},
	{Line: "lasts D", Set: func(p *plan, a script.Args) error { p.lasts = a.Duration(0); return nil }},
	{Line: "ttl D", Set: func(p *plan, a script.Args) error { p.ttl = a.Duration(0); return nil }},
	{Line: "probes every D timeout D", Set: (*plan).setProbes},
	{Line: "ramp D", Set: func(p *plan, a script.Args) error { p.ramp = a.Duration(0); return nil }},
	{Line: "load is FIELD", Set: (*plan).setLoad},
	{Line: "noise P", Set: func(p *plan, a script.Args) error { p.noise = a.Share(0); return nil }},
	{Line: "pools have N endpoints of target N and max N", Set: (*plan).setPools},
	{Line: "endpoints break at P for D and are down D", Set: (*plan).setBreaking},
	{Line: "endpoints start at P and warm up in D", Set: (*plan).setWarming},
	{Line: "clients of R ask N times a second", Set: (*plan).setDemand},
	{Line: "resolvers of R: N with N subnets have P", Set: (*plan).addSenders},
	{Line: "resolvers of R: N alone have P", Set: (*plan).addAlone},
	{Line: "resolvers of R: a farm of N has P", Set: (*plan).addFarm},
	{Line: "P of clients keep answers for D", Set: (*plan).setKeeping},
}

func (p *plan) setAim(a script.Args) error {
	p.aim = figuresAim{
		excess: a.Number(0), lost: a.Number(1), moves: a.Number(2), settled: a.Number(3),
		detour: a.Number(4),
	}
	return nil
}

func (p *plan) setProbes(a script.Args) error {
	p.every, p.timeout = a.Duration(0), a.Duration(1)
	return nil
}

func (p *plan) setLoad(a script.Args) error {
	p.field = a.Text(0)
	_, err := loadHeader(p.field, 0)
	return err
}

func (p *plan) setPools(a script.Args) error {
	p.endpoints, p.target, p.max = a.Int(0), a.Number(1), a.Number(2)
	if p.endpoints < 1 || p.endpoints > 200 {
		return errors.New("1 to 200 endpoints")
	}
	return nil
}

func (p *plan) setBreaking(a script.Args) error {
	p.limit, p.endures, p.down = a.Share(0), a.Duration(1), a.Duration(2)
	return nil
}

func (p *plan) setWarming(a script.Args) error {
	p.cold, p.warming = a.Share(0), a.Duration(1)
	return nil
}

func (p *plan) setDemand(a script.Args) error {
	for _, name := range names(a.Text(0)) {
		p.demand[name] = a.Number(1)
	}
	return nil
}

func (p *plan) addSenders(a script.Args) error {
	return p.add(a.Text(0), resolvers{number: a.Int(1), subnets: a.Int(2), share: a.Share(3)})
}

func (p *plan) addAlone(a script.Args) error {
	return p.add(a.Text(0), resolvers{number: a.Int(1), share: a.Share(2)})
}

func (p *plan) addFarm(a script.Args) error {
	return p.add(a.Text(0), resolvers{number: a.Int(1), share: a.Share(2), farm: true})
}

func (p *plan) setKeeping(a script.Args) error {
	p.late, p.keeps = a.Share(0), a.Duration(1)
	return nil
}

// add puts resolvers into each of the regions.
func (p *plan) add(regions string, r resolvers) error {
	if r.number < 1 || r.number > 250 || r.subnets*r.number > 250 {
		return errors.New("a region has room for 250 resolvers of a kind, and as many subnets")
	}
	for _, r.region = range names(regions) {
		p.resolvers = append(p.resolvers, r)
	}
	return nil
}

// names returns the regions of a word in a text: eu, eu,us or all.
func names(word string) (all []string) {
	if word != "all" {
		return strings.Split(word, ",")
	}
	for _, r := range lab.NewRegions() {
		all = append(all, r.Name)
	}
	return all
}

// known checks the regions that a text names, before it is played.
func known(kind, text string) error {
	if kind != "R" {
		return nil
	}
	for _, name := range names(text) {
		if !slices.Contains(names("all"), name) {
			return fmt.Errorf("there is no region %q; there are %s", name, strings.Join(names("all"), ", "))
		}
	}
	return nil
}

// readPlan reads a world's file. Errors name the file and the line.
func readPlan(file string) (*plan, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return parsePlan(file, string(text))
}

func parsePlan(file, text string) (*plan, error) {
	p := usual()
	t, err := language.Parse(file, text, p)
	if err != nil {
		return nil, err
	}
	p.name, p.happens = t.Name, t.Blocks
	switch {
	case p.title == "" || p.lasts <= 0:
		return nil, fmt.Errorf("%s: a world has a title, and lasts some time", file)
	case len(p.happens) > 0 && p.happens[0].When < -p.warmUp:
		return nil, fmt.Errorf("%s:%d: the warm-up begins at %v", file, p.happens[0].Line, -p.warmUp)
	}
	for _, name := range names("all") {
		mine := func(r resolvers) bool { return r.region == name }
		if !slices.ContainsFunc(p.resolvers, mine) {
			p.resolvers = append(p.resolvers, usualResolvers(name)...)
		}
		sum := 0.0
		for _, r := range p.resolvers {
			if mine(r) {
				sum += r.share
			}
		}
		if sum < 0.999 || sum > 1.001 {
			return nil, fmt.Errorf("%s: the resolvers of %s have %.0f%% of its clients; all of them together "+
				"have 100%%", file,
				name, 100*sum)
		}
	}
	return p, nil
}
