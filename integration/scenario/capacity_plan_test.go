//go:build linux

package scenario

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"leeward/integration/lab"
)

// capacityPlan is a world in which load matters, as its file in testdata/capacity tells it: what endpoints can hold,
// who asks for how much of them, and what happens when.
type capacityPlan struct {
	name, title string
	lasts       time.Duration // what is measured, from 0 s
	warmUp      time.Duration // before 0 s

	ttl            time.Duration
	every, timeout time.Duration // of probes
	fall, rise     int
	ramp           time.Duration // of the pools
	field          string        // the monitor's load
	span           time.Duration // that endpoints average their load over
	noise          float64       // standard deviation of what they say, as a share of it

	endpoints   int     // in each pool
	target, max float64 // requests a second of each, when it is warm and does not leak
	limit       float64 // of max, above which it breaks
	endures     time.Duration
	down        time.Duration
	cold        float64 // of max, that it can take when it has just started
	warming     time.Duration

	demand    map[string]float64 // by region, requests a second
	resolvers []resolvers
	late      float64       // share of clients that keep an answer for longer than its TTL says
	keeps     time.Duration // and for how long

	happens []occurrence
	aim     figuresAim
}

// figuresAim is what policies that spill should reach: % of requests, moves a client, seconds, points.
type figuresAim struct{ excess, lost, moves, settled, detour float64 }

// resolvers are a number of resolvers of one kind in a region.
type resolvers struct {
	region  string
	number  int
	subnets int     // that each sends as ECS; 0: it sends none
	farm    bool    // they share a /24
	share   float64 // of the region's clients
}

// occurrence is what happens at one time.
type occurrence struct {
	at   time.Duration
	text string
	word *capacityWord
	args []string
}

// usualCapacity is what files need not say.
func usualCapacity() *capacityPlan {
	p := &capacityPlan{
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

// usualResolvers are those of a file that names none.
func usualResolvers(region string) []resolvers {
	return []resolvers{
		{region: region, number: 40, subnets: 5, share: 0.5},
		{region: region, number: 8, farm: true, share: 0.1},
		{region: region, number: 60, share: 0.4},
	}
}

// capacityWord is something that a world's file can say. Words in capitals stand for what is meant.
type capacityWord struct {
	word
	set func(p *capacityPlan, args []string) error // a setting
	do  func(l *closedLoop, args []string) error   // what happens
}

// capacitySettings come before the first "at".
func capacitySettings() []capacityWord {
	duration := func(to func(*capacityPlan) []*time.Duration) func(*capacityPlan, []string) error {
		return func(p *capacityPlan, args []string) error {
			for i, d := range to(p) {
				v, err := time.ParseDuration(args[i])
				if err != nil {
					return err
				}
				*d = v
			}
			return nil
		}
	}
	return []capacityWord{
		{word: word{pattern: "title …", means: "what the world shows"}, set: func(p *capacityPlan, args []string) error {
			p.title = args[0]
			return nil
		}},
		{
			word: word{pattern: "aims at N overload N lost N moves N seconds N detour", means: "what policies that spill should reach: % of the requests, moves a client, settled within, points beyond the optimum"},
			set: func(p *capacityPlan, args []string) (err error) {
				for i, v := range []*float64{&p.aim.excess, &p.aim.lost, &p.aim.moves, &p.aim.settled, &p.aim.detour} {
					if *v, err = strconv.ParseFloat(args[i], 64); err != nil {
						return err
					}
				}
				return nil
			},
		},
		{
			word: word{pattern: "lasts D", means: "so long is measured, from 0 s; the 12 s before warm up caches and servers"},
			set:  duration(func(p *capacityPlan) []*time.Duration { return []*time.Duration{&p.lasts} }),
		},
		{
			word: word{pattern: "ttl D", means: "of the policy; 2 s"},
			set:  duration(func(p *capacityPlan) []*time.Duration { return []*time.Duration{&p.ttl} }),
		},
		{
			word: word{pattern: "probes every D timeout D", means: "of the monitor; 250 ms and 200 ms. Its fall is 3, its rise 2, its hold 0 s"},
			set:  duration(func(p *capacityPlan) []*time.Duration { return []*time.Duration{&p.every, &p.timeout} }),
		},
		{
			word: word{pattern: "ramp D", means: "of the pools; 6 s"},
			set:  duration(func(p *capacityPlan) []*time.Duration { return []*time.Duration{&p.ramp} }),
		},
		{
			word: word{pattern: "load is FIELD", means: "the monitor's `load`: `rps_fractional` or `named_metrics.NAME`, requests a second; `application_utilization` or `cpu_utilization`, a share of what it can hold now. rps_fractional"},
			set: func(p *capacityPlan, args []string) error {
				p.field = args[0]
				if _, err := loadHeader(p.field, 0); err != nil {
					return err
				}
				return nil
			},
		},
		{word: word{pattern: "noise P", means: "standard deviation of the load that an endpoint says; 2 %"}, set: func(p *capacityPlan, args []string) (err error) {
			p.noise, err = percent(args[0])
			return err
		}},
		{
			word: word{pattern: "pools have N endpoints of target N and max N", means: "requests a second of each endpoint; 6 of 800 and 1000"},
			set: func(p *capacityPlan, args []string) (err error) {
				if p.endpoints, err = strconv.Atoi(args[0]); err != nil {
					return err
				}
				if p.endpoints < 1 || p.endpoints > 200 {
					return fmt.Errorf("1 to 200 endpoints")
				}
				if p.target, err = strconv.ParseFloat(args[1], 64); err != nil {
					return err
				}
				p.max, err = strconv.ParseFloat(args[2], 64)
				return err
			},
		},
		{
			word: word{pattern: "endpoints break at P for D and are down D", means: "of max, without a pause; 120 % for 2 s, 10 s"},
			set: func(p *capacityPlan, args []string) (err error) {
				if p.limit, err = percent(args[0]); err != nil {
					return err
				}
				return duration(func(p *capacityPlan) []*time.Duration { return []*time.Duration{&p.endures, &p.down} })(p, args[1:])
			},
		},
		{
			word: word{pattern: "endpoints start at P and warm up in D", means: "what they can hold when they have just started, evenly growing; 40 %, 6 s"},
			set: func(p *capacityPlan, args []string) (err error) {
				if p.cold, err = percent(args[0]); err != nil {
					return err
				}
				return duration(func(p *capacityPlan) []*time.Duration { return []*time.Duration{&p.warming} })(p, args[1:])
			},
		},
		{
			word: word{pattern: "clients of R ask N times a second", means: "2400 in each region"},
			set: func(p *capacityPlan, args []string) error {
				n, err := strconv.ParseFloat(args[1], 64)
				if err != nil {
					return err
				}
				for _, name := range p.names(args[0]) {
					p.demand[name] = n
				}
				return p.known(args[0])
			},
		},
		{
			word: word{pattern: "resolvers of R: N with N subnets have P", means: "so many resolvers, each sending so many /24s as ECS, have that share of the region's clients. Without a line of resolvers for a region: 40 with 5 subnets 50 %, a farm of 8 10 %, 60 alone 40 %"},
			set: func(p *capacityPlan, args []string) error {
				return p.addResolvers(args[0], args[1], args[2], args[3], false)
			},
		},
		{
			word: word{pattern: "resolvers of R: N alone have P", means: "without ECS, each in a /24 of its own"},
			set: func(p *capacityPlan, args []string) error {
				return p.addResolvers(args[0], args[1], "0", args[2], false)
			},
		},
		{
			word: word{pattern: "resolvers of R: a farm of N has P", means: "without ECS, all in one /24"},
			set: func(p *capacityPlan, args []string) error {
				return p.addResolvers(args[0], args[1], "0", args[2], true)
			},
		},
		{
			word: word{pattern: "P of clients keep answers for D", means: "whatever the TTL; none do"},
			set: func(p *capacityPlan, args []string) (err error) {
				if p.late, err = percent(args[0]); err != nil {
					return err
				}
				return duration(func(p *capacityPlan) []*time.Duration { return []*time.Duration{&p.keeps} })(p, args[1:])
			},
		},
	}
}

func (p *capacityPlan) addResolvers(regions, number, subnets, share string, farm bool) error {
	if err := p.known(regions); err != nil {
		return err
	}
	r := resolvers{farm: farm}
	var err error
	if r.number, err = strconv.Atoi(number); err != nil {
		return err
	}
	if r.subnets, err = strconv.Atoi(subnets); err != nil {
		return err
	}
	if r.share, err = percent(share); err != nil {
		return err
	}
	if r.number < 1 || r.number > 250 || r.subnets*r.number > 250 {
		return fmt.Errorf("a region has room for 250 resolvers of a kind, and as many subnets")
	}
	for _, name := range p.names(regions) {
		r.region = name
		p.resolvers = append(p.resolvers, r)
	}
	return nil
}

// names are the regions that a word in a file stands for.
func (p *capacityPlan) names(arg string) []string {
	if arg == "all" {
		var all []string
		for _, r := range lab.NewRegions() {
			all = append(all, r.Name)
		}
		return all
	}
	return strings.Split(strings.TrimSuffix(arg, ":"), ",")
}

func (p *capacityPlan) known(arg string) error {
	for _, name := range p.names(strings.TrimSuffix(arg, ":")) {
		if _, ok := p.demand[name]; !ok {
			return fmt.Errorf("there is no region %q; there are %s", name, strings.Join(p.names("all"), ", "))
		}
	}
	return nil
}

// percent reads "150%" as 1.5.
func percent(text string) (float64, error) {
	number, ok := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || v < 0 {
		return 0, fmt.Errorf("write a share as 50%%, not %q", text)
	}
	return v / 100, nil
}

// readCapacityPlan reads a world's file. Errors name the file and the line.
func readCapacityPlan(file string) (*capacityPlan, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return parseCapacityPlan(file, string(text))
}

func parseCapacityPlan(file, text string) (*capacityPlan, error) {
	p := usualCapacity()
	p.name = strings.TrimSuffix(filepath.Base(file), ".txt")
	var at time.Duration
	begun := false
	for i, line := range strings.Split(text, "\n") {
		indented := strings.HasPrefix(line, " ")
		line, _, _ = strings.Cut(line, " # ")
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		var err error
		when, isTime := strings.CutPrefix(line, "at ")
		switch {
		case indented && begun:
			var w *capacityWord
			var args []string
			if w, args, err = capacitySaid(capacityHappenings(), line); err == nil {
				o := occurrence{at: at, text: line, word: w, args: args}
				p.happens, err = append(p.happens, o), o.check(p)
			}
		case indented:
			err = fmt.Errorf("nothing has begun yet: what happens comes below a line such as \"at 5s\"")
		case isTime:
			var next time.Duration
			if next, err = time.ParseDuration(when); err == nil && begun && next < at {
				err = fmt.Errorf("times come in their order")
			}
			at, begun = next, true
			if err == nil && at < -p.warmUp {
				err = fmt.Errorf("the warm-up begins at %v", -p.warmUp)
			}
		default:
			var w *capacityWord
			var args []string
			if w, args, err = capacitySaid(capacitySettings(), line); err == nil {
				err = w.set(p, args)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %s: %w", file, i+1, line, err)
		}
	}
	if p.title == "" || p.lasts <= 0 {
		return nil, fmt.Errorf("%s: a world has a title, and lasts some time", file)
	}
	for _, name := range p.names("all") {
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
			return nil, fmt.Errorf("%s: the resolvers of %s have %.0f%% of its clients; all of them together have 100%%", file, name, 100*sum)
		}
	}
	return p, nil
}

// capacitySaid returns the word that a line says, and what stands for its words in capitals.
func capacitySaid(all []capacityWord, line string) (*capacityWord, []string, error) {
	for i := range all {
		if args, ok := all[i].match(line); ok {
			return &all[i], args, nil
		}
	}
	return nil, nil, fmt.Errorf("nothing known is said so; testdata/capacity/README.md has what can be said")
}
