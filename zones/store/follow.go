package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"leeward/zones"
	"leeward/zones/etcd"
)

// Resume sets the history that the receiver of Follow has from a copy on disk. If etcd has another one, Follow holds
// that back until an operator accepts it. Call Resume before Follow.
func (e *Store) Resume(p etcd.Point) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.known = p
}

// Known returns the history that the receiver of Follow has, to be kept beside a copy on disk.
func (e *Store) Known() etcd.Point {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.known
}

// Follow delivers everything there is, then every change, until ctx ends; it returns ctx's error and no other. It calls
// both functions from its own goroutine. Batches come in the order of their revisions, and one batch has all changes
// of a revision. While etcd is away, Follow keeps trying.
//
//	session: connect ─▶ look ─▶ is it the history in service?
//	                              │ yes, or nothing is in service ─▶ everything, if needed ─▶ watch ─▶ Following
//	                              │ not to be proved ──────────────▶ everything ───────────▶ watch
//	                              └ no ─▶ hold (history.go) until an operator accepts it
//	ends with an error ─▶ CutOff; the next member's turn
func (e *Store) Follow(ctx context.Context, deliver func(zones.Batch), tell func(zones.Condition)) error {
	f := &follower{Store: e, deliver: deliver, tell: tell, turns: e.Turns()}
	f.condition.Since = e.Options.Now()
	f.say(zones.Syncing, nil)
	for {
		member := f.turns.Member()
		f.condition.Endpoint = e.Endpoints[member]
		err := f.session(ctx, member)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, errAgain) {
			if f.again++; f.again <= 3 {
				continue
			}
			// Something keeps ending sessions at once, perhaps a proxy in between: go slower from here on.
		}
		if f.condition.State != zones.HistoryChanged {
			f.say(zones.CutOff, fmt.Errorf("%s: %w", f.condition.Endpoint, f.Due(err, "reads", "")))
		}
		if !f.turns.Next(ctx) {
			return ctx.Err()
		}
	}
}

// follower is one run of Follow.
type follower struct {
	*Store
	deliver func(zones.Batch)
	tell    func(zones.Condition)

	condition zones.Condition
	turns     etcd.Turns
	again     int        // sessions in a row that ended with errAgain
	last      witness    // of the history in service
	accepted  int64      // as delivered last
	started   bool       // a Full batch of the history in service has been delivered by this run
	noticed   etcd.Point // where the other history was when it was first seen; zero: there is none
	silent    int64      // the revision at which a watch fell silent last
	relist    bool       // the next session must list everything, whatever it can prove
}

var errAgain = errors.New("session over, begin another at once")

// say tells the condition, and logs it if the state has changed.
func (f *follower) say(s zones.State, err error) {
	c := f.condition
	c.Revision = f.Known().Revision
	if s == zones.Following {
		c.Heard = f.Options.Now()
	}
	if s != c.State {
		c.Since = f.Options.Now()
		level := slog.LevelInfo
		if s == zones.CutOff || s == zones.HistoryChanged {
			level = slog.LevelWarn
		}
		f.Log().Log(context.Background(), level, "etcd: "+string(s),
			"member", c.Endpoint, "revision", c.Revision, "err", err)
	}
	c.State, c.Err = s, err
	f.condition = c
	f.tell(c)
}

// session follows one member over one connection until something ends it.
func (f *follower) session(ctx context.Context, member int) error {
	c, err := f.Connect(ctx, member, f.Options.Silence/2)
	if err != nil {
		return err
	}
	defer c.Close()
	here, err := f.look(ctx, c)
	if err != nil {
		if f.Known().Revision == 0 {
			return f.stale(ctx, c, err)
		}
		return err
	}
	proof, err := f.compare(ctx, c, here.Point)
	switch {
	case err != nil:
		return err
	case proof == other:
		return f.hold(ctx, c, here)
	case !f.started || proof == unproven || f.relist:
		f.noticed = etcd.Point{}
		if err := f.everything(ctx, c, here); err != nil {
			return err
		}
		f.relist = false
	default:
		f.noticed = etcd.Point{}
	}
	err = c.Watch(ctx, etcd.Watch{After: f.Known(), Ahead: here.Revision, Told: f.told})
	if errors.Is(err, etcd.ErrCompacted) {
		// etcd has forgotten what changed since, so everything must be listed.
		f.last = witness{}
		return errAgain
	}
	switch at := f.Known().Revision; {
	case errors.Is(err, etcd.ErrHistory):
		return fmt.Errorf("%w (%w)", err, errAgain)
	case errors.Is(err, etcd.ErrSilent) && f.silent == at:
		// The next revision takes a watch too long to send, or kills the member that sends it. A list skips it.
		f.relist, f.silent = true, 0
		f.Log().Warn("etcd: the watch fell silent twice at one revision; everything is read again", "revision", at)
	case errors.Is(err, etcd.ErrSilent):
		f.silent = at
	}
	return err
}

// told receives news of the watch, and delivers one batch for each revision.
func (f *follower) told(n etcd.News) error {
	for events := n.Events; len(events) > 0; {
		revision := events[0].Revision
		end := slices.IndexFunc(events, func(e etcd.Event) bool { return e.Revision != revision })
		if end < 0 {
			end = len(events)
		}
		f.revision(events[:end])
		events = events[end:]
	}
	if n.All {
		f.again, f.silent = 0, 0
		f.turns.Worked()
		f.say(zones.Following, nil)
	}
	return nil
}

// revision delivers the events of one revision.
func (f *follower) revision(events []etcd.Event) {
	b := zones.Batch{Revision: events[0].Revision, Accepted: f.accepted}
	for _, ev := range events {
		if !ev.Deleted {
			f.last.see(ev.KV)
			var kept zones.Serials
			if serial(ev.KV, &kept) {
				b.Serials = b.Serials.With(kept)
			}
			if ev.Name == etcd.Accepted {
				b.Accepted = b.Revision
			}
			if k, ok := strings.CutPrefix(ev.Name, etcd.AcceptedKeys); ok {
				if b.AcceptedKeys == nil {
					b.AcceptedKeys = map[zones.Key]int64{}
				}
				b.AcceptedKeys[zones.Key(k)] = b.Revision
			}
		}
		if place, ok := strings.CutPrefix(ev.Name, etcd.Keys); ok {
			if b.Sealed == nil {
				b.Sealed = map[string][]byte{}
			}
			if b.Sealed[place] = nil; !ev.Deleted {
				b.Sealed[place] = append([]byte{}, ev.Value...) // not nil, though it may be empty
			}
		}
		if ev.Name == etcd.Meant {
			b.Meant = !ev.Deleted
		}
		if c, ok := f.change(ev.KV, ev.Deleted); ok {
			b.Changes = append(b.Changes, c)
		}
	}
	known := f.Known()
	known.Revision = b.Revision
	f.Resume(known)
	if len(b.Changes) > 0 || b.Accepted != f.accepted || b.Serials != nil || b.AcceptedKeys != nil ||
		b.Sealed != nil {
		f.accepted = b.Accepted
		f.deliver(b)
	}
}

// everything lists and delivers. If an operator has accepted removals in the meantime, it lists at that revision, if
// etcd still has it, so that exactly the accepted removals pass the guard.
func (f *follower) everything(ctx context.Context, c *etcd.Conn, here sight) error {
	if f.condition.State != zones.CutOff || !f.started {
		f.say(zones.Syncing, f.condition.Err)
	}
	var at int64
	if known := f.Known().Revision; known != 0 && here.accepted > known {
		at = here.accepted
	}
	l, err := f.listAt(ctx, c, at)
	if err != nil {
		return err
	}
	f.full(l, l.Accepted, false)
	return nil
}

// listAt lists at a revision, or at the newest if etcd has forgotten that one.
func (f *follower) listAt(ctx context.Context, c *etcd.Conn, at int64) (*Listing, error) {
	l, err := f.list(ctx, c, at)
	if at != 0 && errors.Is(err, etcd.ErrCompacted) {
		l, err = f.list(ctx, c, 0)
	}
	return l, err
}

func (f *follower) full(l *Listing, accepted int64, anew bool) {
	f.last, f.accepted, f.started = l.last, accepted, true
	f.Resume(l.Point)
	f.deliver(zones.Batch{
		Revision: l.Revision, Full: true, Changes: l.Changes, Accepted: accepted, AcceptedKeys: l.Granted,
		Serials: &l.Serials, Sealed: l.Sealed, Anew: anew,
	})
}

// stale delivers what this member has, without a quorum behind it, because nothing else can be served. It is the true
// history up to some revision.
func (f *follower) stale(ctx context.Context, c *etcd.Conn, why error) error {
	l, err := f.list(ctx, c, 0, etcd.Alone())
	if err != nil || len(l.Changes) == 0 {
		return why
	}
	f.full(l, l.Accepted, false)
	return fmt.Errorf("%w (serving what this member has, which may be old)", why)
}
