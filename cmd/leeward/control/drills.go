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
	"leeward/zones/steer"
)

// A drill is a drain that ends by itself where it does harm. Every server judges that for itself, from the same
// reports, so that it needs neither etcd nor whoever began the drill: it gives the drill up, which takes the drain's
// effect away here until the override is another one. It does not take it up again when the harm is over: it would
// swing.
//
// What counts as harm is written in docs/drill.md: a pool that serves the target's clients reaches its max, one of its
// addresses is lost, a vantage goes silent, or etcd does, as nobody could call the drill off any more.

// drillDeaf is how long etcd may be silent.
const drillDeaf = 5 * time.Second

// drillLook is how often loads and vantages are looked at.
const drillLook = 250 * time.Millisecond

// drills are those that are written, by target. They belong to the loop.
type drills struct {
	of   map[string]*drill
	next time.Time // when they are to be looked at; zero: there is none
}

// drill is one of them, as this process has seen it.
type drill struct {
	override *zones.Override
	version  int64
	carriers map[string]bool // pools that serve the target's clients, beside its own
	full     map[string]bool // those that were at their max as it began
	heard    map[string]bool // vantages that were heard of since
	why      string          // it is given up; "" as long as it is not
	broke    bool            // for something that broke
}

// inForce reports whether the drill has begun and has not ended.
func (d *drill) inForce(now time.Time) bool {
	o := d.override
	return o.From != nil && !now.Before(*o.From) && o.Until != nil && now.Before(*o.Until)
}

// redrill finds which drills there are. What has been given up stays so until it is another one.
func (l *Loop) redrill(d zones.Delta) {
	override := func(k zones.Key) bool { return k.Kind() == zones.KindOverride }
	if len(l.drills.of) == 0 && !d.Full && !slices.ContainsFunc(d.Keys, override) {
		return // as nearly always
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

// carriersOf returns the pools that policies name beside those of a target.
func (l *Loop) carriersOf(target string) map[string]bool {
	own := map[string]bool{}
	l.catalog.Each(zones.KindPool, func(r zones.Resource) bool {
		if p := r.(*zones.Pool); zones.Covers(target, p) {
			own[p.Pool] = true
		}
		return true
	})
	users := own
	if endpoint, is := strings.CutPrefix(target, "endpoint/"); is { // the others of its pool carry, too
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

// drill looks whether drills in force do harm, and takes the effect from those that do. turned are the addresses whose
// verdicts have just turned.
func (l *Loop) drill(now time.Time, turned []health.Target) {
	if l.drills.next.IsZero() || l.view == nil || len(turned) == 0 && now.Before(l.drills.next) {
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
			}
			l.drills.next = now.Add(drillLook)
		case now.Before(*d.override.From):
			if l.drills.next.IsZero() || d.override.From.Before(l.drills.next) {
				l.drills.next = *d.override.From
			}
		}
	}
	if gone {
		l.snapshot, l.built = l.builder.Update(l.catalog, zones.Delta{}, l.table)
		l.publish(now, nil, nil)
		l.assign()
	}
}

// harm says what a drill does; "": none. broke: it broke something; else too little is seen to go on.
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
			return fmt.Sprintf("vantage %s is not heard of any more", v.Vantage), false
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

// Watched is how a drill goes, for one who only looks.
type Watched struct {
	There    bool               // the override is
	Why      string             // it is given up; "": it is not
	Broke    bool               // for something that broke, and not because too little is seen to go on
	Led      map[string]float64 // queries a second that are led to each pool now, as far as servers tell who asks
	Status   *admin.Status
	Carriers map[string]bool // pools that serve the target's clients, beside its own
}

// Drill tells how a drill of the target goes, to one who has the servers' own words of who asks.
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

// givenUp reports whether the target has a drill that has no effect any more.
func (l *Loop) givenUp(target string) bool {
	d := l.drills.of[target]
	return d != nil && d.why != ""
}

// drillProblems tells of drills that were given up.
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
