package control

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"leeward/health"
	"leeward/server/admin"
	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/steer"
)

// A drill is a drain that ends by itself if it does harm. Every server judges harm for itself, from the same reports,
// so it needs neither etcd nor the operator who began the drill. It gives the drill up: the drain has no effect on this
// server until somebody writes another override. A server does not resume a drill when the harm is over, because the
// drill would then swing on and off.
//
// docs/drill.md says what counts as harm: a pool that serves the target's clients reaches its max; one of its addresses
// goes down; a vantage goes silent; or etcd does, since then nobody could call the drill off.

// drillDeaf is how long etcd may be silent before a drill is given up.
const drillDeaf = 5 * time.Second

// drillLook is how often a drill's loads and vantages are checked.
const drillLook = 250 * time.Millisecond

// drills are the overrides that are drills, by target. They belong to the loop.
type drills struct {
	of   map[string]*drill
	next time.Time // when to check them again; zero: there is none

	turned []health.Target // their verdicts turned while something was applied aside
}

// drill is one drill as this process has seen it.
type drill struct {
	override *zones.Override
	version  int64
	carriers map[string]bool // other pools that serve the target's clients
	full     map[string]bool // carriers that were at their max when the drill began
	heard    map[string]bool // vantages that have been fresh at some time since it began
	why      string          // why it was given up; "": it was not
	broke    bool            // it was given up because something broke
}

// inForce reports whether the drill has begun and has not ended.
func (d *drill) inForce(now time.Time) bool {
	o := d.override
	return o.From != nil && !now.Before(*o.From) && o.Until != nil && now.Before(*o.Until)
}

// redrill finds the drills again after a change. A drill that was given up stays so until its override changes.
func (l *Loop) redrill(d catalog.Delta) {
	override := func(k zones.Key) bool { return k.Kind() == zones.KindOverride }
	if len(l.drills.of) == 0 && !d.Full && !slices.ContainsFunc(d.Keys, override) {
		return // the usual case
	}
	before := l.drills.of
	l.drills.of, l.drills.next = nil, time.Time{}
	l.catalog.Each(zones.KindOverride, func(r zones.Resource) bool {
		o := r.(*zones.Override)
		if !o.Drill {
			return true
		}
		d := &drill{override: o, version: l.catalog.VersionOf(o.Key()), heard: map[string]bool{}}
		if was := before[o.Target]; was != nil && was.version == d.version {
			d.full, d.heard, d.why, d.broke = was.full, was.heard, was.why, was.broke
		}
		d.carriers = l.carriersOf(o.Target)
		if l.drills.of == nil {
			l.drills.of = map[string]*drill{}
		}
		l.drills.of[o.Target], l.drills.next = d, l.o.Now()
		return true
	})
}

// carriersOf returns the other pools in the policies that use the target's pools. They take over its clients.
func (l *Loop) carriersOf(target string) map[string]bool {
	own := map[string]bool{}
	l.catalog.Each(zones.KindPool, func(r zones.Resource) bool {
		if p := r.(*zones.Pool); zones.Covers(target, p) {
			own[p.Pool] = true
		}
		return true
	})
	users := own
	if endpoint, is := strings.CutPrefix(target, "endpoint/"); is { // the pool's other endpoints carry them too
		pool, _, _ := strings.Cut(endpoint, "/")
		users = map[string]bool{pool: true}
	}
	carriers := map[string]bool{}
	for pool := range users {
		for _, p := range l.catalog.PoliciesUsing(pool) {
			for _, other := range p.PoolNames() {
				if !own[other] {
					carriers[other] = true
				}
			}
		}
	}
	return carriers
}

// drill checks whether drills in force do harm, and gives up those that do. turned are the addresses whose verdicts
// have just turned.
func (l *Loop) drill(now time.Time, turned []health.Target) {
	if l.drills.next.IsZero() || l.view == nil {
		l.drills.turned = nil
		return
	}
	turned = append(l.drills.turned, turned...)
	if l.drills.turned = nil; l.aside {
		l.drills.turned = turned // giving a drill up needs the Builder
		return
	}
	if len(turned) == 0 && now.Before(l.drills.next) {
		return
	}
	l.drills.next = time.Time{}
	gone := false
	for _, d := range l.drills.of {
		switch {
		case d.why != "":
		case d.inForce(now):
			if d.why, d.broke = l.harm(d, now, turned); d.why != "" {
				gone = true
				l.builder.GiveUp(l.catalog, d.override)
				l.o.Log.Warn("a drill is given up", "target", d.override.Target, "why", d.why)
				l.o.Metrics.gaveUp()
				l.tellGivenUp(d)
			}
			l.drills.next = now.Add(drillLook)
		case now.Before(*d.override.From):
			if l.drills.next.IsZero() || d.override.From.Before(l.drills.next) {
				l.drills.next = *d.override.From
			}
		}
	}
	if gone {
		l.snapshot, l.built = l.builder.Update(l.catalog, catalog.Delta{}, l.table)
		l.publish(now, nil, nil)
		l.assign()
	}
}

// harm says what harm a drill does, or returns "" if it does none. broke is true if something broke, and false if the
// server sees too little to go on.
func (l *Loop) harm(d *drill, now time.Time, turned []health.Target) (why string, broke bool) {
	if since := l.staleSince(); !since.IsZero() && now.Sub(since) >= drillDeaf {
		return fmt.Sprintf("etcd has not been heard of for %s, and nobody could call the drill off",
			admin.Age(now.Sub(since).Seconds())), false
	}
	for _, t := range turned {
		pool, _, _ := strings.Cut(t.Endpoint, "/")
		if d.carriers[pool] && "endpoint/"+t.Endpoint != d.override.Target && l.board.State(t) == health.Down {
			return fmt.Sprintf("%s of endpoint %s is down", t.Address, t.Endpoint), true
		}
	}
	for _, v := range l.board.Vantages(now) {
		switch {
		case v.Fresh:
			d.heard[v.Vantage] = true
		case d.heard[v.Vantage]:
			return fmt.Sprintf("vantage %s is silent", v.Vantage), false
		}
	}
	first := d.full == nil
	if first {
		d.full = map[string]bool{}
	}
	for _, p := range l.view.Pools() {
		s := p.Loads
		if s == nil || !d.carriers[p.Pool] || s.Max <= 0 || !s.Load.Known || s.Load.Value < s.Max {
			continue
		}
		if first {
			d.full[p.Pool] = true
		} else if !d.full[p.Pool] {
			return fmt.Sprintf("pool %s carries %.4g, and its max is %.4g", p.Pool, s.Load.Value, s.Max), true
		}
	}
	return "", false
}

// Watched describes how a drill is going, for an observer.
type Watched struct {
	There    bool               // the override exists
	Why      string             // why it was given up; "": it was not
	Broke    bool               // it was given up because something broke, not because too little is seen
	Led      map[string]float64 // queries a second now led to each pool, as far as servers report their clients
	Status   *admin.Status
	Carriers map[string]bool // other pools that serve the target's clients
}

// Drill describes how a drill of the target is going. servers report the clients that they have counted.
func (i Inside) Drill(target string, servers []admin.Server) *Watched {
	l, w := i.l, &Watched{}
	if d := l.drills.of[target]; d != nil {
		w.There, w.Why, w.Broke, w.Carriers = true, d.why, d.broke, d.carriers
	}
	if asked, _, _ := askedOf(servers); asked != nil && l.snapshot != nil && l.view != nil {
		w.Led = steer.Led(steer.Scene{
			View: l.view, Policy: policies(l.snapshot), Sharing: l.snapshot.Sharing(), Now: l.o.Now().Unix(),
		}, asked)
	}
	return w
}

// givenUp reports whether the target has a drill that was given up.
func (l *Loop) givenUp(target string) bool {
	d := l.drills.of[target]
	return d != nil && d.why != ""
}

// drillProblems returns a problem for each drill that was given up.
func (l *Loop) drillProblems(now time.Time) (all []admin.Problem) {
	for _, target := range slices.Sorted(maps.Keys(l.drills.of)) {
		if d := l.drills.of[target]; d.why != "" && d.inForce(now) {
			all = append(all, admin.Problem{
				Resource: string(d.override.Key()), InService: admin.InServiceNone, Revision: d.version,
				Message: "the drill is given up, and the target has its clients back: " + d.why,
			})
		}
	}
	return all
}
