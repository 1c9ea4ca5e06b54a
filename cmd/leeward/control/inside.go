package control

import (
	"slices"
	"strings"
	"time"

	"leeward/health"
	"leeward/server/admin"
	"leeward/zones"
	"leeward/zones/catalog"
)

// Inside is what a function that Do runs in the loop may look at. The function must not keep it.
type Inside struct{ l *Loop }

// Catalog returns the resources in service. They belong to the loop: do not keep them.
func (i Inside) Catalog() *catalog.Catalog { return i.l.catalog }

// Mine keeps, in place, the assignments that this process is to probe. It marks the targets that have no verdict yet.
func (i Inside) Mine(as []health.Assignment) []health.Assignment {
	for k := range as {
		as[k].Unjudged = i.l.board.State(as[k].Target) == health.Unknown
	}
	return slices.DeleteFunc(as, func(a health.Assignment) bool { return !i.l.board.Mine(a.Target) })
}

// Apart is how the clocks of most other vantages differ from that of this process.
type Apart struct {
	Ahead    time.Duration // by how much they are ahead of it
	Vantages int           // how many agree on that; 0: nobody can tell
	Soon     bool          // nobody can tell yet, and the next heartbeats may
}

// Apart compares the clocks.
func (i Inside) Apart() (a Apart) {
	a.Ahead, a.Vantages = i.l.clocks.others(i.l.o.Now())
	a.Soon = a.Vantages == 0 && (!i.l.fleet.synced || len(i.l.fleet.beats) > 0)
	return a
}

// Server describes the loop's part of this server.
func (i Inside) Server(now time.Time) admin.Server {
	l := i.l
	s := admin.Server{
		Published: l.published,
		Source:    admin.Source{State: string(l.condition.State), Since: l.condition.Since},
		Problems:  len(l.wrong), Held: l.held, Fresh: true,
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

// Held describes the changes that the guard holds back, but no more than most.
func (i Inside) Held(most int) []admin.Held {
	all := i.l.catalog.Held()
	return held(all[:min(most, len(all))])
}

// Problems describes what is wrong with the newest versions of resources, but no more than most, in few octets.
func (i Inside) Problems(most int) (all []admin.Problem) {
	for k := range i.l.wrong[:min(most, len(i.l.wrong))] {
		p := i.l.problem(&i.l.wrong[k])
		if len(p.Message) > toldOctets {
			p.Message = strings.ToValidUTF8(p.Message[:toldOctets], "") + "…"
		}
		all = append(all, p)
	}
	return all
}

// toldOctets is how much of a message others are told.
const toldOctets = 300

func (l *Loop) problem(p *zones.Problem) admin.Problem {
	return admin.Problem{
		Resource: string(p.Key), File: p.File, Line: p.Line, Field: p.Field, Revision: p.Revision,
		Message: p.Message, InService: l.inService(p),
	}
}

func held(hs []catalog.Held) []admin.Held {
	all := make([]admin.Held, 0, len(hs))
	for _, h := range hs {
		all = append(all, admin.Held{Resource: string(h.Key), Why: h.Why, Revision: h.Revision})
	}
	return all
}

// seconds returns the time from t to now in seconds. It returns 0 if t is zero or later than now.
func seconds(now, t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return max(0, now.Sub(t).Seconds())
}
