package probe

import (
	"time"

	"leeward/health"
)

// What the first probes of a run mean.
//
// A target without a verdict counts as up. Waiting for Fall failures in a row, an interval apart, would keep a dead one
// in answers all that time. So its first failure is enough if this vantage reaches the others of its pool: the fault is
// then most likely the target's. If the others fail too, or there are none, it may be the vantage's, and Fall decides
// as usual.

// groupKey identifies a group of targets. Reaching some of them shows that this vantage could reach the others.
type groupKey struct {
	pool string
	ipv6 bool
}

// group counts what the last probes of these targets found.
type group struct {
	key      groupKey
	members  int
	up, down int
	failed   []*target // without a verdict, and their first probe has failed
}

// join puts a new target into its group. The caller holds the mutex.
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

// leave removes a target from its group. The caller holds the mutex.
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

// grouped notes what a probe has found, and decides on the targets of the group whose first probe has failed, if the
// group allows. The caller holds the mutex.
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

// Untried returns how many of the assigned targets have not been probed yet, and one of them as an example.
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

// Recall gives the Prober what an earlier run knew, before anything is assigned. A target that was down stays down
// until a probe or a vote says otherwise, and holding continues. Targets that were down, or are new, are probed first.
func (p *Prober) Recall(past []health.Past) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.past = make(map[health.Target]health.Past, len(past))
	for _, x := range past {
		p.past[x.Target] = x
	}
}

// Remember adds to past since when this vantage has reported the targets down.
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
