package control

import (
	"slices"
	"time"

	"leeward/health"
	"leeward/server/admin"
	"leeward/zones"
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
		Source:    admin.Source{State: string(l.condition.State), Since: l.condition.Since},
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
func (i Inside) Held(most int) []admin.Held { return held(i.l.held[:min(most, len(i.l.held))]) }

func held(hs []zones.Held) []admin.Held {
	all := make([]admin.Held, 0, len(hs))
	for _, h := range hs {
		all = append(all, admin.Held{Resource: string(h.Key), Why: h.Why, Revision: h.Revision})
	}
	return all
}

// seconds returns how long ago t was; 0 if it is zero.
func seconds(now, t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return max(0, now.Sub(t).Seconds())
}
