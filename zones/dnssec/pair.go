package dnssec

import (
	"sync"
	"sync/atomic"
)

// Within an epoch, RRsets come and go. The signatures of those that are gone must not pile up. So a table that has
// grown is swept: a new table takes all that is added, and all that is still in use. Then the old table is dropped.
// Until then, readers look into both.

// pair is a table and, during a sweep, the one before it.
type pair struct {
	mu    sync.Mutex // for writers
	young atomic.Pointer[table]
	old   atomic.Pointer[table] // nil: nothing is being swept
	stood atomic.Int64          // how many signatures the last sweep kept
}

// slack is how many signatures may no longer be in use before a pair is swept, in addition to as many as the last sweep
// kept.
const (
	slackFixed = 1 << 12
	slackSets  = mostExtra
)

// mostExtra is how many signatures of a zone may be made on demand for answers until the next sweep: 25 MB.
const mostExtra = 1 << 18

// find returns a signature, or nil if there is none.
func (p *pair) find(id Identity) *[SignatureSize]byte {
	if t := p.young.Load(); t != nil {
		if found := t.find(id); found != nil {
			return found
		}
	}
	if t := p.old.Load(); t != nil {
		return t.find(id)
	}
	if t := p.young.Load(); t != nil { // since the first look, a sweep may have kept it and ended
		return t.find(id)
	}
	return nil
}

// keep is find for a signature that is still in use: it survives a sweep that has begun.
func (p *pair) keep(id Identity) *[SignatureSize]byte {
	if t := p.young.Load(); t != nil && p.old.Load() == nil {
		return t.find(id)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	young, old := p.young.Load(), p.old.Load()
	if young == nil {
		return nil
	}
	if found := young.find(id); found != nil || old == nil {
		return found
	}
	if found := old.find(id); found != nil {
		return young.add(id, *found)
	}
	return nil
}

// add adds a signature unless there is one, and returns the one that is there.
func (p *pair) add(id Identity, signature [SignatureSize]byte) *[SignatureSize]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.young.Load()
	if t == nil {
		t = &table{}
		p.young.Store(t)
	}
	return t.add(id, signature)
}

// len returns how many signatures there are. It counts those in both tables twice.
func (p *pair) len() (n int) {
	for _, at := range [...]*atomic.Pointer[table]{&p.young, &p.old} {
		if t := at.Load(); t != nil {
			n += t.len()
		}
	}
	return n
}

// Sweep stands for a sweep of a table that has begun. The zero Sweep stands for none.
type Sweep struct{ of *table }

// sweep begins a sweep if the pair has grown beyond its slack, or in any case if anyway is set. It returns the sweep
// that is under way.
func (p *pair) sweep(slack int, anyway bool) Sweep {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.young.Load()
	if p.old.Load() == nil && t != nil && (anyway || t.len() > 2*int(p.stood.Load())+slack) {
		p.old.Store(t) // so a reader that finds the new table finds this one too
		p.young.Store(&table{})
	}
	return Sweep{p.old.Load()}
}

// swept ends a sweep, once everything still in use has been kept.
func (p *pair) swept(s Sweep) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.of != nil && p.old.Load() == s.of {
		p.stood.Store(int64(p.young.Load().len()))
		p.old.Store(nil)
	}
}

// Sweep begins to drop the signatures of RRsets that the zone no longer has, if there are many, and returns the sweep
// that is under way. From then on, Sign keeps a signature. Swept ends the sweep, once all RRsets of the zone have been
// signed again. While Sweep begins one, nobody may sign what the zone has by configuration.
func (g *Generation) Sweep() Sweep { return g.fixed.sweep(slackFixed, false) }

// Sweeps reports whether this sweep is under way.
func (g *Generation) Sweeps(s Sweep) bool { return s.of != nil && g.fixed.old.Load() == s.of }

// Swept ends a sweep.
func (g *Generation) Swept(s Sweep) { g.fixed.swept(s) }

// Whole says that all RRsets of the zone have been signed, for the first time. From now on as many are expected. What
// an earlier process kept of other RRsets is dropped.
func (g *Generation) Whole() {
	if g.fixed.stood.Load() == 0 {
		g.fixed.swept(Sweep{g.fixed.old.Load()})
		g.fixed.stood.Store(int64(g.fixed.len()))
	}
}

// IsWhole reports whether Whole has been called.
func (g *Generation) IsWhole() bool { return g.fixed.stood.Load() > 0 }

// SweepChosen is Sweep for sets of several addresses. It may begin at any time: a set that is not kept is signed again
// when it is asked for.
func (g *Generation) SweepChosen() Sweep {
	return g.sets.sweep(slackSets, g.extra.Load() >= mostExtra)
}

// SweptChosen ends a sweep that SweepChosen began.
func (g *Generation) SweptChosen(s Sweep) {
	g.sets.swept(s)
	g.extra.Store(0)
}

// Spare reports whether another set of several addresses may be signed on demand for an answer, and counts it.
func (g *Generation) Spare() bool { return g.extra.Load() < mostExtra && g.extra.Add(1) <= mostExtra }
