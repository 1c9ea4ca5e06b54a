package probe

import (
	"time"

	"leeward/health"
)

// What the first probes of a run mean.
//
// A target that nobody has a verdict on counts as up. Waiting for Fall failures in a row, of which each is an interval
// later, would keep a dead one in the answers for all that time. So its first failure is enough where this vantage
// reaches the others of its pool: then the fault is most likely the target's. Where the others fail as well, or there
// are none, it may be the vantage's, and Fall decides as ever.

// groupKey names the targets of which one tells whether this vantage reaches the others.
type groupKey struct {
	pool string
	ipv6 bool
}

// group is what the last probes of these targets found.
type group struct {
	key      groupKey
	members  int
	up, down int
	failed   []*target // unjudged, and their first probe has failed
}

// join puts a new target into its group. The mutex is held.
func (p *Prober) join(t *target, a *health.Assignment) {
	key := groupKey{a.Pool, a.Address.Is6()}
	g := p.groups[key]
	if g == nil {
		g = &group{key: key}
		p.groups[key] = g
	}
	g.members++
	t.group, t.unjudged = g, a.Unjudged
}

// leave takes a target out of its group. The mutex is held.
func (p *Prober) leave(t *target) {
	g := t.group
	g.count(t.result, -1)
	if g.members--; g.members == 0 {
		delete(p.groups, g.key)
	}
}

func (g *group) count(s health.State, n int) {
	switch s {
	case health.Up:
		g.up += n
	case health.Down:
		g.down += n
	}
}

// grouped takes what a probe has found, and decides on those of the group whose first probe has failed, where that can
// be. The mutex is held.
func (p *Prober) grouped(t *target, found outcome, now time.Time) {
	if t.gone || found.state == health.Unknown {
		return
	}
	g := t.group
	g.count(t.result, -1)
	g.count(found.state, 1)
	t.result = found.state
	if t.unjudged {
		t.unjudged = false
		if found.state == health.Down {
			t.failure = found
			g.failed = append(g.failed, t)
		}
	}
	if len(g.failed) == 0 || g.up == 0 || g.up < g.down-1 {
		return
	}
	for _, f := range g.failed {
		if !f.gone && f.tracker.Decide(now) {
			p.report(f, f.failure)
		}
	}
	g.failed = nil
}

// Untried returns how many of the assigned targets have not been probed yet, and one of them.
func (p *Prober) Untried() (left int, such health.Target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, t := range p.targets {
		if !t.tried {
			left++
			such = key
		}
	}
	return left, such
}

// Recall gives the Prober what an earlier run knew, before anything is assigned: what was down is so until a probe or a
// vote says otherwise, holds go on, and what was down or is new is probed first.
func (p *Prober) Recall(past []health.Past) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.past = make(map[health.Target]health.Past, len(past))
	for _, x := range past {
		p.past[x.Target] = x
	}
}

// Remember adds to what is known of targets since when this vantage has reported them down.
func (p *Prober) Remember(past []health.Past) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range past {
		x := &past[i]
		if t := p.targets[x.Target]; t != nil {
			x.Fell = t.tracker.Fell()
		} else {
			x.Fell = p.past[x.Target].Fell
		}
	}
}
