package control

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"leeward/geo"
	"leeward/health"
	"leeward/health/resolve"
	"leeward/server/admin"
	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

// Summary is what the loop knew at one moment. It never changes. The loop only copies. Status costs ten times as much:
// it sorts and formulates in the goroutine of whoever asks.
type Summary struct {
	now         time.Time
	own, region string // this process as a vantage, and where it is

	resources map[zones.Kind][]zones.Resource // of the kinds in summarized
	resolved  map[string][]netip.Addr         // addresses of endpoints' hostnames
	verdicts  *health.Frozen                  // of all addresses of all endpoints, in their order
	vantages  []health.VantageStatus
	snapshot  *snapshot.Snapshot
	view      *steer.View
	moves     *lastMoves

	staleVotes, staleVerdicts, unwatched int

	problems []admin.Problem // of resources
	drills   []admin.Problem // drills that were given up
	givenUp  map[string]bool // their targets
	held     []catalog.Held
	clocks   []admin.Problem
	fleet    fleet
	geo      []geo.Source
	names    func(hostname string) (resolve.Answer, bool) // nil: nothing is known of hostnames
}

// summarized are the kinds of resources that a status shows.
var summarized = []zones.Kind{
	zones.KindOverride, zones.KindPolicy, zones.KindRegion, zones.KindPool, zones.KindEndpoint,
}

// Summary copies what the loop knows now.
func (i Inside) Summary(now time.Time) *Summary {
	l := i.l
	s := &Summary{
		now: now, own: l.o.Own, region: l.o.Region,
		resources: l.summarized(), resolved: map[string][]netip.Addr{},
		vantages: l.board.Vantages(now), unwatched: l.board.Unwatched(),
		snapshot: l.snapshot, view: l.view, moves: &l.moves, held: l.catalog.Held(), names: l.o.Names,
		givenUp: map[string]bool{}, fleet: l.fleet.clone(), clocks: l.clocks.problems(l.o.Own, now),
	}
	s.staleVotes, s.staleVerdicts = l.board.Stale()
	targets := make([]health.Target, 0, len(s.resources[zones.KindEndpoint])) // most have one address
	for _, r := range s.resources[zones.KindEndpoint] {
		e := r.(*zones.Endpoint)
		if e.Hostname != "" {
			s.resolved[e.Hostname] = l.builder.Resolution(e.Hostname).Addresses
		}
		for _, a := range s.addresses(e) {
			targets = append(targets, health.Target{Endpoint: e.ID(), Address: a})
		}
	}
	s.verdicts = l.board.Freeze(targets)
	for k := range l.wrong {
		s.problems = append(s.problems, l.problem(&l.wrong[k]))
	}
	s.drills = l.drillProblems(now)
	for target := range l.drills.of {
		if l.givenUp(target) {
			s.givenUp[target] = true
		}
	}
	switch {
	case l.o.Sources != nil:
		s.geo = l.o.Sources()
	case l.table != nil:
		s.geo = l.table.Sources()
	}
	return s
}

// summarized returns the resources that a status shows. It lists them again only after one has changed.
func (l *Loop) summarized() map[zones.Kind][]zones.Resource {
	if l.listed == nil {
		l.listed = map[zones.Kind][]zones.Resource{}
		for _, kind := range summarized {
			l.catalog.Each(kind, func(r zones.Resource) bool {
				if p, ok := r.(*zones.Policy); ok && len(p.Schedule) == 0 {
					return true
				}
				l.listed[kind] = append(l.listed[kind], r)
				return true
			})
		}
	}
	return l.listed
}

// relist forgets the list of resources if a change concerns one of them.
func (l *Loop) relist(d catalog.Delta) {
	if d.Full || slices.ContainsFunc(d.Keys, func(k zones.Key) bool { return slices.Contains(summarized, k.Kind()) }) {
		l.listed = nil
	}
}

// addresses returns an endpoint's addresses.
func (s *Summary) addresses(e *zones.Endpoint) []netip.Addr {
	if e.Hostname != "" {
		return s.resolved[e.Hostname]
	}
	return e.Addresses
}

// Status returns everything except the part about this process itself. It can be called once.
func (s *Summary) Status() *admin.Status {
	out := &admin.Status{
		Time: s.now, Servers: []admin.Server{}, Vantages: []admin.Vantage{}, Regions: []admin.Region{},
		Pools: []admin.Pool{}, Endpoints: []admin.Endpoint{}, Overrides: []admin.Override{},
		Planned: []admin.Override{}, Shifts: []admin.Shift{},
		StaleVotes: s.staleVotes, StaleVerdicts: s.staleVerdicts, Unwatched: s.unwatched,
		Problems: append([]admin.Problem{}, s.problems...), Held: held(s.held), Geo: append([]geo.Source{}, s.geo...),
	}
	for _, v := range s.vantages {
		to := admin.Vantage{
			ID: v.Vantage, Fresh: v.Fresh, Blind: v.Blind, BlindTo: v.BlindTo, Reports: v.Reports,
			AgeSeconds: seconds(s.now, v.Heard),
		}
		if v.Vantage == s.own {
			to.Region = s.region
		}
		out.Vantages = append(out.Vantages, to)
	}
	g := gathering{
		Summary: s, out: out, words: map[string]string{},
		pools: map[string]*admin.Pool{}, regions: map[string]*admin.Region{},
	}
	g.overrides()
	g.shifts()
	g.regionsAndPools()
	g.endpoints()
	s.verdicts.Thaw()
	out.Moves, out.FailingOpen, out.Denied = s.moves.of(s.snapshot, s.view)
	s.fleet.add(out)
	s.nobodyProbes(out)
	out.Problems = slices.Concat(out.Problems, s.clocks, s.drills)
	out.Burdened()
	return out
}

// gathering is a Status under construction.
type gathering struct {
	*Summary
	out     *admin.Status
	words   map[string]string // override's state by target, such as "region/eu-west"
	pools   map[string]*admin.Pool
	regions map[string]*admin.Region
}

func (g *gathering) overrides() {
	for _, r := range g.resources[zones.KindOverride] {
		o := r.(*zones.Override)
		if o.Until != nil && !g.now.Before(*o.Until) {
			continue
		}
		out := admin.Override{
			Target: o.Target, State: string(o.State), From: o.From, Until: o.Until, Reason: o.Reason,
			Drill: o.Drill,
		}
		if o.From != nil && g.now.Before(*o.From) {
			g.out.Planned = append(g.out.Planned, out)
			continue
		}
		if g.givenUp[o.Target] {
			continue // it is listed among the problems
		}
		if level := o.Level(g.now); level > 0 {
			out.Level = &level
		}
		g.words[o.Target] = string(o.State)
		g.out.Overrides = append(g.out.Overrides, out)
	}
	byTarget := func(a, b admin.Override) int { return strings.Compare(a.Target, b.Target) }
	slices.SortFunc(g.out.Overrides, byTarget)
	slices.SortFunc(g.out.Planned, byTarget)
}

// shifts describes what policies' schedules do now, and what they do next.
func (g *gathering) shifts() {
	for _, r := range g.resources[zones.KindPolicy] {
		p := r.(*zones.Policy)
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
	}
	slices.SortFunc(g.out.Shifts, func(a, b admin.Shift) int {
		return cmp.Or(strings.Compare(a.Policy, b.Policy), strings.Compare(a.Pool, b.Pool))
	})
}

func (g *gathering) regionsAndPools() {
	for _, r := range g.resources[zones.KindRegion] {
		x := r.(*zones.Region)
		g.out.Regions = append(g.out.Regions, admin.Region{
			Region: x.Region, Latitude: x.Latitude, Longitude: x.Longitude, Override: g.words["region/"+x.Region],
		})
	}
	slices.SortFunc(g.out.Regions, func(a, b admin.Region) int { return strings.Compare(a.Region, b.Region) })
	for i := range g.out.Regions {
		g.regions[g.out.Regions[i].Region] = &g.out.Regions[i]
	}
	for _, r := range g.resources[zones.KindPool] {
		p := r.(*zones.Pool)
		g.out.Pools = append(g.out.Pools, admin.Pool{
			Pool: p.Pool, Region: p.Region, Monitor: p.Monitor, Override: g.words["pool/"+p.Pool],
		})
	}
	slices.SortFunc(g.out.Pools, func(a, b admin.Pool) int { return strings.Compare(a.Pool, b.Pool) })
	for i := range g.out.Pools {
		g.pools[g.out.Pools[i].Pool] = &g.out.Pools[i]
	}
	if g.view == nil {
		return
	}
	keep := keepingOf(g.snapshot, g.view, g.now)
	for _, p := range g.view.Pools() {
		if to := g.pools[p.Pool]; to != nil {
			to.IPv4, to.IPv6, to.Names = p.IPv4, p.IPv6, p.Names
			if to.LoadStatus = p.Loads; p.Loads != nil {
				p.Loads.Keep = keep(&p)
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
	next := 0 // index of the next verdict
	// Whatever is numerous shares memory: a status is made several times a second while people look.
	targets, cells := g.verdicts.Size()
	since := make([]time.Time, 0, targets)
	list := make([]admin.Address, 0, targets)
	votes := make([]admin.Vote, 0, cells)
	g.out.Endpoints = slices.Grow(g.out.Endpoints, len(g.resources[zones.KindEndpoint]))
	for _, r := range g.resources[zones.KindEndpoint] {
		e := r.(*zones.Endpoint)
		addresses := g.addresses(e)
		first := next
		next += len(addresses)
		p := g.pools[e.Pool]
		if p == nil {
			continue
		}
		out := admin.Endpoint{
			Endpoint: e.ID(), Pool: e.Pool, Region: p.Region, Monitor: p.Monitor, Weight: e.EffectiveWeight(),
			Override: g.words["endpoint/"+e.ID()],
		}
		if e.Hostname != "" {
			out.Hostname = g.hostname(e)
		}
		healthy := e.Hostname != "" && len(addresses) == 0 // an unknown address counts as up
		from := len(list)
		for k, a := range addresses {
			v := g.verdicts.Verdict(first + k)
			began := len(votes)
			to := admin.Address{
				Address: a, Verdict: v.State.String(), Up: v.Up, Down: v.Down, Fresh: v.Fresh, Why: v.Why,
				Chosen: v.Chosen,
			}
			if !v.Since.IsZero() {
				since = append(since, v.Since)
				to.Since = &since[len(since)-1]
			}
			for i := range v.Votes {
				w := &v.Votes[i]
				var held *time.Time
				if !w.Held.IsZero() {
					until := w.Held
					held = &until
				}
				votes = append(votes, admin.Vote{
					Vantage: w.Vantage, State: w.State.String(), Fresh: w.Fresh, Blind: w.Blind, Counted: w.Counted,
					Reason: w.Reason, Held: held, AgeSeconds: w.Age.Seconds(),
				})
			}
			to.Votes = votes[began:len(votes):len(votes)]
			healthy = healthy || v.State != health.Down
			list = append(list, to)
		}
		out.Addresses = list[from:len(list):len(list)]
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
	}
	slices.SortFunc(g.out.Endpoints, func(a, b admin.Endpoint) int {
		return cmp.Or(strings.Compare(a.Pool, b.Pool), strings.Compare(a.Endpoint, b.Endpoint))
	})
}

// hostname describes an endpoint's hostname.
func (g *gathering) hostname(e *zones.Endpoint) *admin.Hostname {
	out := &admin.Hostname{Name: e.Hostname, Flatten: e.Flatten}
	if g.names == nil {
		return out
	}
	a, _ := g.names(e.Hostname)
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
