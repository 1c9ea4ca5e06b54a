package control

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"leeward/health"
	"leeward/health/vantage"
	"leeward/server/admin"
)

// fleet is what the other vantages report about themselves. It belongs to the loop.
type fleet struct {
	beats    map[string]*vantage.Heartbeat
	servers  map[string]json.RawMessage // each server's description of itself, by vantage
	problems map[string]vantage.Event   // by key: the values that cannot be read
	synced   bool                       // everything that was written before the start has been read
}

func newFleet() fleet {
	return fleet{
		beats: map[string]*vantage.Heartbeat{}, servers: map[string]json.RawMessage{},
		problems: map[string]vantage.Event{},
	}
}

// Events hands over what other vantages have written. Nothing is judged before all of it is on the board. An event
// under this process's own name is ignored: its own reports are on the board already, and those of an earlier run no
// longer count.
func (l *Loop) Events(all ...vantage.Event) {
	l.Health(func(now time.Time, b *health.Board) {
		for i := range all {
			l.event(&all[i], now, b)
		}
	})
}

func (l *Loop) event(e *vantage.Event, now time.Time, b *health.Board) {
	if e.Vantage == l.o.Own && e.Vantage != "" {
		return
	}
	switch {
	case l.o.ByClock && e.Listed:
		e.ApplyAt(b, written(e, now))
	default:
		e.Apply(b, now)
	}
	l.fleet.take(e)
	if e.Heartbeat != nil && !e.Listed { // a list may hold heartbeats from long ago
		l.clocks.heard(e.Vantage, e.Heartbeat.Time, now)
	}
}

func (f *fleet) clone() fleet {
	return fleet{
		beats: maps.Clone(f.beats), servers: maps.Clone(f.servers), problems: maps.Clone(f.problems), synced: f.synced,
	}
}

func (f *fleet) take(e *vantage.Event) {
	switch {
	case e.Gone:
		delete(f.beats, e.Vantage)
		delete(f.servers, e.Vantage)
	case e.Heartbeat != nil:
		f.beats[e.Vantage] = e.Heartbeat
		if len(e.Heartbeat.Server) > 0 { // earlier versions put the description into the heartbeat
			f.servers[e.Vantage] = e.Heartbeat.Server
		}
	case e.Server != nil:
		f.servers[e.Vantage] = e.Server
	}
	if e.Problem != "" {
		f.problems[e.Key] = *e
	} else if e.Key != "" {
		delete(f.problems, e.Key)
	}
	f.synced = f.synced || e.Synced
}

// written returns when an event was written, by the writer's clock. It returns now if the event does not say. A time in
// the future only shows that a clock is wrong, and counts as long ago.
func written(e *vantage.Event, now time.Time) time.Time {
	var at time.Time
	if e.Heartbeat != nil {
		at = e.Heartbeat.Time
	}
	for _, r := range e.Reports {
		if at.IsZero() {
			at = r.Time
		}
	}
	switch {
	case at.IsZero():
		return now
	case at.After(now.Add(aheadMost)):
		return now.Add(-longAgo)
	case at.After(now):
		return now
	}
	return at
}

// aheadMost is how far a vantage's clock may be ahead before the time in its heartbeat is not believed. longAgo is
// longer than any vantage's reports stay fresh.
const (
	aheadMost = time.Second
	longAgo   = 2 * health.MaxStale
)

// Still judges all vantages. It returns those that have a heartbeat but are not fresh, and the longest of their own
// heartbeat intervals.
func (i Inside) Still(now time.Time) (names []string, every time.Duration) {
	i.l.board.Judge(now)
	for _, v := range i.l.board.Vantages(now) {
		if beat := i.l.fleet.beats[v.Vantage]; beat != nil && !v.Fresh {
			names = append(names, v.Vantage)
			every = max(every, beat.Every.Std())
		}
	}
	return names, every
}

// Strayed returns the problem of a server or a vantage whose region is not configured.
func Strayed(resource, region string) admin.Problem {
	return admin.Problem{
		Resource: resource, Field: "region", InService: admin.InServiceNewest,
		Message: fmt.Sprintf("no region %q; start it with an existing --region, or add that region", region),
	}
}

// add adds the servers to a status that already lists the vantages, and what vantages report about themselves.
func (f *fleet) add(s *admin.Status) {
	for i := range s.Vantages {
		v := &s.Vantages[i]
		beat := f.beats[v.ID]
		if beat == nil {
			continue
		}
		v.Region = beat.Region
		var server admin.Server
		if about := f.servers[v.ID]; len(about) > 0 && json.Unmarshal(about, &server) == nil && server.ID != "" {
			v.Server = true
			server.Fresh = v.Fresh
			s.AddServer(server)
		}
	}
	for i := range s.Vantages {
		v := &s.Vantages[i]
		if !s.Knows(v.Region) {
			s.Problems = append(s.Problems, Strayed("vantages/"+v.ID, v.Region))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(f.problems)) {
		e := f.problems[key]
		s.Problems = append(s.Problems, admin.Problem{
			Resource: key, InService: admin.InServiceOlder, Revision: e.Revision, Message: e.Problem,
		})
	}
}

// nobodyProbes adds a problem if there are targets to probe and no vantage is fresh. Targets of external monitors do
// not count, since nobody probes them.
func (x *Summary) nobodyProbes(s *admin.Status) {
	if !x.fleet.synced || slices.ContainsFunc(s.Vantages, func(v admin.Vantage) bool { return v.Fresh }) {
		return
	}
	probed := func(a health.Assignment) bool { return a.Monitor.External == nil }
	if x.snapshot == nil || !slices.ContainsFunc(x.snapshot.Program().Assignments(), probed) {
		return
	}
	s.Problems = append(s.Problems, admin.Problem{
		Resource: "vantages", InService: admin.InServiceOlder,
		Message: "nobody probes: every address keeps its last verdict, and counts as up if it never had one; " +
			"start leeward probe, or a server without --no-probe",
	})
}
