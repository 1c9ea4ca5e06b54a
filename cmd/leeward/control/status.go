package control

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"leeward/geo"
	"leeward/health"
	"leeward/server/admin"
	"leeward/zones"
	"leeward/zones/steer"
)

// Inside is what a function that runs in the loop may look at.
type Inside struct{ l *Loop }

// Catalog returns the resources in service. It is the loop's own: not to be kept.
func (i Inside) Catalog() *zones.Catalog { return i.l.catalog }

// Mine returns, of these assignments, in their place, what this process is to probe, and says what has no verdict yet.
func (i Inside) Mine(as []health.Assignment) []health.Assignment {
	for k := range as {
		as[k].Unjudged = i.l.board.State(as[k].Target) == health.Unknown
	}
	return slices.DeleteFunc(as, func(a health.Assignment) bool { return !i.l.board.Mine(a.Target) })
}

// Server describes the loop's part of this server.
func (i Inside) Server(now time.Time) admin.Server {
	l := i.l
	s := admin.Server{
		Published: l.published,
		Source:    admin.Source{State: l.condition.State, Since: l.condition.Since},
		Problems:  len(l.wrong), Held: len(l.held), Fresh: true,
	}
	if l.condition.Err != nil {
		s.Source.Error = l.condition.Err.Error()
	}
	if l.snapshot != nil {
		s.Revision = l.snapshot.Revision()
	}
	if since := l.staleSince(); !since.IsZero() {
		s.SnapshotAgeSeconds = seconds(now, since)
	}
	return s
}

// Held tells what the guard holds back, so many at most.
func (i Inside) Held(most int) (all []admin.Held) {
	for _, h := range i.l.held[:min(most, len(i.l.held))] {
		all = append(all, admin.Held{Resource: string(h.Key), Why: h.Why, Revision: h.Revision})
	}
	return all
}

// Status tells all that the loop knows: everything but what this process itself is.
func (i Inside) Status(now time.Time) *admin.Status {
	l := i.l
	s := &admin.Status{
		Time: now, Servers: []admin.Server{}, Vantages: []admin.Vantage{}, Regions: []admin.Region{},
		Pools: []admin.Pool{}, Endpoints: []admin.Endpoint{}, Overrides: []admin.Override{},
		Planned: []admin.Override{}, Shifts: []admin.Shift{},
		Problems: []admin.Problem{}, Held: []admin.Held{}, Geo: []geo.Source{},
	}
	for _, v := range l.board.Vantages(now) {
		s.Vantages = append(s.Vantages, admin.Vantage{
			ID: v.Vantage, Fresh: v.Fresh, Blind: v.Blind, BlindTo: v.BlindTo, Reports: v.Reports, AgeSeconds: seconds(now, v.Heard),
		})
	}
	s.StaleVotes, s.StaleVerdicts = l.board.Stale()
	s.Unwatched = l.board.Unwatched()
	g := gathering{now: now, l: l, out: s, words: map[string]string{}, pools: map[string]*admin.Pool{}, regions: map[string]*admin.Region{}}
	g.overrides()
	g.shifts()
	g.regionsAndPools()
	g.endpoints()
	for _, p := range l.wrong {
		s.Problems = append(s.Problems, admin.Problem{
			Resource: string(p.Key), File: p.File, Line: p.Line, Field: p.Field, Revision: p.Revision, Message: p.Message,
			InService: l.inService(&p),
		})
	}
	s.Held = append(s.Held, i.Held(len(l.held))...)
	for i := range s.Vantages {
		if s.Vantages[i].ID == l.o.Own {
			s.Vantages[i].Region = l.o.Region
		}
	}
	l.fleet.add(s)
	l.nobodyProbes(s)
	l.clocks.add(s, l.o.Own, now)
	l.tellDrills(s)
	s.Burdened()
	if l.o.Sources != nil {
		s.Geo = append(s.Geo, l.o.Sources()...)
	} else if l.table != nil {
		s.Geo = append(s.Geo, l.table.Sources()...)
	}
	return s
}

// gathering is one Status in the making.
type gathering struct {
	now     time.Time
	l       *Loop
	out     *admin.Status
	words   map[string]string // by target: "region/eu-west"
	pools   map[string]*admin.Pool
	regions map[string]*admin.Region
}

func (g *gathering) overrides() {
	g.l.catalog.Each(zones.KindOverride, func(r zones.Resource) bool {
		o := r.(*zones.Override)
		if o.Until != nil && !g.now.Before(*o.Until) {
			return true
		}
		out := admin.Override{Target: o.Target, State: string(o.State), From: o.From, Until: o.Until, Reason: o.Reason, Drill: o.Drill}
		if o.From != nil && g.now.Before(*o.From) {
			g.out.Planned = append(g.out.Planned, out)
			return true
		}
		if g.l.givenUp(o.Target) {
			return true // it is among the problems
		}
		if level := o.Level(g.now); level > 0 {
			out.Level = &level
		}
		g.words[o.Target] = string(o.State)
		g.out.Overrides = append(g.out.Overrides, out)
		return true
	})
	byTarget := func(a, b admin.Override) int { return strings.Compare(a.Target, b.Target) }
	slices.SortFunc(g.out.Overrides, byTarget)
	slices.SortFunc(g.out.Planned, byTarget)
}

// shifts tells what policies' schedules say now and of what is to come.
func (g *gathering) shifts() {
	g.l.catalog.Each(zones.KindPolicy, func(r zones.Resource) bool {
		p := r.(*zones.Policy)
		if len(p.Schedule) == 0 {
			return true
		}
		for _, plan := range steer.PlansOf(p) {
			text := plan.Words(g.now.UTC())
			if text == "" {
				continue
			}
			s := admin.Shift{Policy: p.Name, Pool: plan.Pool, Level: plan.Level(g.now), Text: text}
			if steps := plan.Steps(g.now); len(steps) > 0 {
				s.Next = &steps[0].At
			}
			g.out.Shifts = append(g.out.Shifts, s)
		}
		return true
	})
	slices.SortFunc(g.out.Shifts, func(a, b admin.Shift) int {
		return cmp.Or(strings.Compare(a.Policy, b.Policy), strings.Compare(a.Pool, b.Pool))
	})
}

func (g *gathering) regionsAndPools() {
	g.l.catalog.Each(zones.KindRegion, func(r zones.Resource) bool {
		name := r.(*zones.Region).Region
		g.out.Regions = append(g.out.Regions, admin.Region{Region: name, Override: g.words["region/"+name]})
		return true
	})
	slices.SortFunc(g.out.Regions, func(a, b admin.Region) int { return strings.Compare(a.Region, b.Region) })
	for i := range g.out.Regions {
		g.regions[g.out.Regions[i].Region] = &g.out.Regions[i]
	}
	g.l.catalog.Each(zones.KindPool, func(r zones.Resource) bool {
		p := r.(*zones.Pool)
		g.out.Pools = append(g.out.Pools, admin.Pool{Pool: p.Pool, Region: p.Region, Monitor: p.Monitor, Override: g.words["pool/"+p.Pool]})
		return true
	})
	slices.SortFunc(g.out.Pools, func(a, b admin.Pool) int { return strings.Compare(a.Pool, b.Pool) })
	for i := range g.out.Pools {
		g.pools[g.out.Pools[i].Pool] = &g.out.Pools[i]
	}
	if g.l.view == nil {
		return
	}
	keep := g.l.keeping(g.now)
	for _, p := range g.l.view.Pools() {
		if to := g.pools[p.Pool]; to != nil {
			to.IPv4, to.IPv6, to.Names = p.IPv4, p.IPv6, p.Names
			if to.LoadStatus = p.Loads; p.Loads != nil {
				p.Loads.Keep = keep(p.Number, p.Pool)
			}
		}
		if r := g.regions[p.Region]; r != nil {
			r.Pools++
			if p.IPv4.Available || p.IPv6.Available || p.Names.Available {
				r.Available++
			}
		}
	}
}

func (g *gathering) endpoints() {
	g.l.catalog.Each(zones.KindEndpoint, func(r zones.Resource) bool {
		e := r.(*zones.Endpoint)
		p := g.pools[e.Pool]
		if p == nil {
			return true
		}
		out := admin.Endpoint{
			Endpoint: e.ID(), Pool: e.Pool, Region: p.Region, Monitor: p.Monitor, Weight: e.EffectiveWeight(),
			Override: g.words["endpoint/"+e.ID()], Addresses: make([]admin.Address, 0, len(e.Addresses)),
		}
		addresses := e.Addresses
		if e.Hostname != "" {
			out.Hostname = g.hostname(e)
			addresses = g.l.builder.Resolution(e.Hostname).Addresses
		}
		healthy := e.Hostname != "" && len(addresses) == 0 // nothing is known of it, which counts as up
		for _, a := range addresses {
			v := g.l.board.Verdict(health.Target{Endpoint: e.ID(), Address: a})
			to := admin.Address{
				Address: a, Verdict: v.State.String(), Up: v.Up, Down: v.Down, Fresh: v.Fresh, Why: v.Why,
				Chosen: v.Chosen,
				Votes:  make([]admin.Vote, 0, len(v.Votes)),
			}
			if !v.Since.IsZero() {
				to.Since = &v.Since
			}
			for i := range v.Votes {
				w := &v.Votes[i]
				var held *time.Time
				if !w.Held.IsZero() {
					held = &w.Held
				}
				to.Votes = append(to.Votes, admin.Vote{
					Vantage: w.Vantage, State: w.State.String(), Fresh: w.Fresh, Blind: w.Blind, Counted: w.Counted, Reason: w.Reason, Held: held, AgeSeconds: w.Age.Seconds(),
				})
			}
			healthy = healthy || v.State != health.Down
			out.Addresses = append(out.Addresses, to)
		}
		switch zones.Word(out.Override) {
		case zones.Up:
			healthy = true
		case zones.Down, zones.Drain:
			healthy = false
		}
		g.out.Endpoints = append(g.out.Endpoints, out)
		region := g.regions[p.Region]
		p.Total++
		if region != nil {
			region.Endpoints++
		}
		if healthy {
			p.Healthy++
			if region != nil {
				region.Healthy++
			}
		}
		return true
	})
	slices.SortFunc(g.out.Endpoints, func(a, b admin.Endpoint) int {
		return cmp.Or(strings.Compare(a.Pool, b.Pool), strings.Compare(a.Endpoint, b.Endpoint))
	})
}

// hostname describes the name that an endpoint is given by.
func (g *gathering) hostname(e *zones.Endpoint) *admin.Hostname {
	out := &admin.Hostname{Name: e.Hostname, Flatten: e.Flatten}
	if g.l.o.Names == nil {
		return out
	}
	a, _ := g.l.o.Names(e.Hostname)
	out.Error, out.Gone = a.Err, a.Gone
	if !a.Told.IsZero() {
		out.Told = &a.Told
	}
	if a.Err != "" {
		out.FailingSince = &a.Since
	}
	if !a.Expires.IsZero() {
		out.TTLSeconds = max(0, a.Expires.Sub(g.now).Seconds())
	}
	return out
}

// seconds returns how long ago t was; 0 if it is zero.
func seconds(now, t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return max(0, now.Sub(t).Seconds())
}
