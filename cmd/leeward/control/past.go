package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"leeward/geo"
	"leeward/server/answer"
	"leeward/server/history"
	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

// PastReach is how far back ExplainAt reaches.
const PastReach = 24 * time.Hour

// ExplainAt says why a client got its answer at a time in the past. This process's history has the resources as they
// were then, and what was known of addresses and loads. From these, ExplainAt makes a Catalog, a Builder and a View
// again, and explains as Explain does. If the history lacks something of that time, it returns a *history.NotKept that
// says what there is. The caller's goroutine does the work; of resources it takes only those that the question meets.
func (l *Loop) ExplainAt(
	ctx context.Context, j *history.Journal, at time.Time, name, qtype, client string,
) (*answer.Explanation, error) {
	now := l.o.Now()
	switch {
	case at.After(now):
		return nil, &answer.BadQuestion{Message: fmt.Sprintf("at %s is to come: leave it out to ask about now",
			at.UTC().Format(time.RFC3339))}
	case now.Sub(at) > PastReach:
		return nil, &answer.BadQuestion{Message: fmt.Sprintf("at %s is more than a day ago: what was answered can be "+
			"told of the last 24 h", at.UTC().Format(time.RFC3339))}
	}
	p := &past{at: at, keys: map[string]keys{}}
	err := l.Do(ctx, func(i Inside) {
		if i.l.snapshot != nil {
			p.now, p.table = i.l.catalog.Freeze(), i.l.table
			i.l.builder.EachKeys(func(origin string, k *dnssec.Keys, err error) { p.keys[origin] = keys{k, err} })
		}
	})
	switch {
	case err != nil:
		return nil, err
	case p.now == nil:
		return nil, errors.New("no snapshot yet: the resources have not been read")
	case j == nil || !j.Flush(flushLimit): // after freezing: what made the resources what they are is to be read
		return nil, history.ErrBusy
	}
	if err := p.look(ctx, j); err != nil {
		return nil, err
	}
	if err := p.restore(ctx, j); err != nil {
		return nil, err
	}
	return p.explain(ctx, name, qtype, client)
}

// flushLimit is how long ExplainAt waits for the history to be written.
const flushLimit = 5 * time.Second

// past is a moment that is being made again.
type past struct {
	at    time.Time
	now   *catalog.Frozen // the resources as they are now
	table *geo.Table
	keys  map[string]keys

	ran   time.Time // when the process that answered then began, as far as that is recorded
	ended bool      // that process; another has begun since
	seen  sight     // the last sight, without its pools
	pools steer.Remembered
	// the documents of resources then, if they differ from now; nil: it did not exist
	changed map[zones.Key]json.RawMessage
}

// keys are those of a signed zone, or the reason why there are none. They are the present ones.
type keys struct {
	keys *dnssec.Keys
	err  error
}

func (p *past) lacks(format string, args ...any) error {
	return &history.NotKept{Message: "what was answered at " + p.at.UTC().Format(stamp) + " cannot be told, as " +
		fmt.Sprintf(format, args...)}
}

const stamp = "2006-01-02T15:04:05Z07:00"

// look finds out what was seen of addresses.
func (p *past) look(ctx context.Context, j *history.Journal) error {
	var (
		whole, done bool
		parts       int       // how many parts of a whole sight have been read
		last        time.Time // time of what was read last
		refused     error
		begins      time.Time // the first whole sight after the moment, if there is none before it
		why         = "nothing was kept yet"
	)
	err := j.EachSight(ctx, p.at, func(e *history.Event) {
		if e.Kind != history.Sighted || refused != nil {
			return
		}
		var s sight
		still := len(e.Sight) == 0 // nothing has changed since
		if !still && json.Unmarshal(e.Sight, &s) != nil {
			whole, why = false, "a part of what was seen cannot be read"
			return
		}
		if e.Time.After(p.at) {
			if !done && whole && s.First {
				refused = p.lacks("this server did not run: it last told at %s that it did, and started at %s",
					last.UTC().Format(stamp), e.Time.UTC().Format(stamp))
			}
			p.ended = p.ended || s.First
			if done = true; s.Part == 1 && begins.IsZero() {
				begins = e.Time
			}
			return
		}
		if last = e.Time; s.First {
			p.ran = e.Time
		} else if !s.Ran.IsZero() {
			p.ran = s.Ran
		}
		if s.Part == 1 {
			p.pools, whole, parts = steer.Remembered{}, s.Parts == 1, 1
		} else if s.Part > 1 {
			parts++
			whole = s.Part == parts && s.Part == s.Parts
		}
		for _, pool := range s.Pools {
			p.pools.Add(pool)
		}
		if s.Pools = nil; !still {
			p.seen = s
		}
	}, func(g history.Gap) {
		switch {
		case g.Twice && refused == nil && !p.at.Before(g.From) && p.at.Before(g.Until):
			refused = p.lacks("that time was twice on this server: %s", g.Why)
		case done || refused != nil || g.Twice:
		case g.From.IsZero():
			why = g.Why
		case !p.at.Before(g.From):
			whole, why = false, g.Why
		}
	})
	switch {
	case err != nil:
		return err
	case refused != nil:
		return refused
	case whole:
		return nil
	case begins.IsZero():
		return p.lacks("%s; it can be told in some minutes of times from then on", why)
	}
	return p.lacks("%s; it can be told of times from %s on", why, begins.UTC().Format(stamp))
}

// restore finds out how the resources were.
func (p *past) restore(ctx context.Context, j *history.Journal) error {
	p.changed = map[zones.Key]json.RawMessage{}
	settled := map[zones.Key]bool{} // resources known at the moment itself, or just after it
	set := func(key zones.Key, value json.RawMessage) {
		if settled[key] = true; len(value) == 0 || bytes.Equal(value, []byte("null")) {
			value = nil
		}
		p.changed[key] = value
	}
	var gap history.Gap
	since := p.at
	if p.ended && p.ran.Before(p.at) {
		since = p.ran // that process began with everything older
	}
	err := j.EachChange(ctx, since, func(at time.Time, resource string) bool {
		return !at.After(p.at) || !settled[zones.Key(resource)]
	}, func(e *history.Event) {
		for i := range e.Changes {
			c := &e.Changes[i]
			switch key := zones.Key(c.Resource); {
			case e.Time.After(p.at):
				if !settled[key] {
					set(key, c.Was)
				}
			case !e.Time.Before(p.ran) && !p.ran.IsZero():
				// A later start from an older copy on disk may see this change a second time.
				set(key, c.Is)
			}
		}
	}, func(g history.Gap) {
		if g.Until.After(p.at) && !g.Twice { // see look for a time that was twice
			gap = g
		}
	})
	if err != nil {
		return err
	}
	if !gap.Until.IsZero() {
		return p.lacks("changes of resources are missing up to %s: %s; it can be told of times from then on",
			gap.Until.UTC().Format(stamp), gap.Why)
	}
	for _, key := range p.seen.Void {
		p.changed[key] = nil
	}
	return nil
}

// explain makes the moment again, with what the question leads to.
func (p *past) explain(ctx context.Context, name, qtype, client string) (*answer.Explanation, error) {
	asked, _ := rr.ParseName(name) // whoever explains finds out what is wrong with it
	q := newQuestion(asked)
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		met, err := p.meet(q)
		if err != nil {
			return nil, err
		}
		e, err := answer.ExplainAt(p.state(met), p.at, name, qtype, client)
		if err != nil {
			return nil, err
		}
		more := false
		for _, n := range e.Names { // a CNAME may have led out of what was met
			more = q.ask(n) || more
			if z := met.zones[met.within(pastName(n))]; z != nil && z.Secondary() {
				return nil, p.elsewhere(z)
			}
		}
		if more {
			continue
		}
		if apex, err := rr.ParseName(e.Zone); err == nil { // that of a DS is the one above
			if z := met.zones[pastName(apex)]; z != nil && z.Secondary() {
				return nil, p.elsewhere(z)
			}
		}
		if !slices.Equal(p.seen.Geo, databases(p.table)) {
			e.Notes = append(e.Notes, fmt.Sprintf("the location is that of today's databases; those of then were %s",
				strings.Join(p.seen.Geo, ", ")))
		}
		return e, nil
	}
}

func (p *past) elsewhere(z *zones.Zone) error {
	return p.lacks("zone %s lives on another primary: what it had then is not kept", z.Origin)
}

// state returns what was published then, as far as it was met.
func (p *past) state(met *met) *answer.State {
	clock := func() time.Time { return p.seen.Built }
	batch := zones.Batch{Full: true, Copy: true, Revision: max(p.seen.Revision, 1)}
	for _, r := range met.resources {
		batch.Changes = append(batch.Changes, zones.Change{Key: r.Key(), Resource: r, Revision: batch.Revision})
	}
	c := catalog.New(clock)
	delta := c.Consume(batch)
	b := snapshot.NewBuilder(clock)
	for name, r := range p.pools.Resolutions() {
		b.Resolved(name, r)
	}
	for origin, k := range p.keys {
		if met.zones[origin] != nil {
			b.Keyed(origin, k.keys, k.err)
		}
	}
	s, _ := b.Update(c, delta, p.table)
	return &answer.State{
		Snapshot: s, View: steer.NewView(s.Program(), p.pools.Sight(), nil), Stale: p.seen.Stale,
	}
}
