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

// fleet is what the other vantages say of themselves. It belongs to the loop.
type fleet struct {
	beats    map[string]*vantage.Heartbeat
	servers  map[string]json.RawMessage // what they say of themselves, by vantage
	problems map[string]vantage.Event   // by key: what cannot be read
	synced   bool                       // all that there was has been read once
}

func newFleet() fleet {
	return fleet{beats: map[string]*vantage.Heartbeat{}, servers: map[string]json.RawMessage{}, problems: map[string]vantage.Event{}}
}

// Event hands over what another vantage has written. What bears this process's own name is left out: its own reports
// are on the board already, and an earlier run's say nothing any more.
func (l *Loop) Event(e vantage.Event) {
	l.Health(func(now time.Time, b *health.Board) {
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
		if e.Heartbeat != nil && !e.Listed { // what is in a list may be of long ago
			l.clocks.heard(e.Vantage, e.Heartbeat.Time, now)
		}
	})
}

func (f *fleet) clone() fleet {
	return fleet{beats: maps.Clone(f.beats), servers: maps.Clone(f.servers), problems: maps.Clone(f.problems), synced: f.synced}
}

func (f *fleet) take(e vantage.Event) {
	switch {
	case e.Gone:
		delete(f.beats, e.Vantage)
		delete(f.servers, e.Vantage)
	case e.Heartbeat != nil:
		f.beats[e.Vantage] = e.Heartbeat
		if len(e.Heartbeat.Server) > 0 { // of an earlier version, which wrote all in one
			f.servers[e.Vantage] = e.Heartbeat.Server
		}
	case e.Server != nil:
		f.servers[e.Vantage] = e.Server
	}
	if e.Problem != "" {
		f.problems[e.Key] = e
	} else if e.Key != "" {
		delete(f.problems, e.Key)
	}
	f.synced = f.synced || e.Synced
}

// written returns when an event was written by the writer's clock, now if it does not say. A time that has not come
// says nothing but that the clock is wrong, and counts as one of long ago.
func written(e vantage.Event, now time.Time) time.Time {
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

// aheadMost is how much the clock of a vantage may be ahead for its heartbeat to be taken by its time. longAgo is
// longer than any vantage is believed.
const (
	aheadMost = time.Second
	longAgo   = 2 * health.MaxStale
)

// Still judges, and returns the vantages with a heartbeat that are not fresh, and the longest time between two
// heartbeats of any of them, as they say themselves.
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

// Strayed is the problem of a server or a vantage in a region that there is not.
func Strayed(resource, region string) admin.Problem {
	return admin.Problem{
		Resource: resource, Field: "region", InService: admin.InServiceNewest,
		Message: fmt.Sprintf("no region %q; start it with a --region that there is, or add that region", region),
	}
}

// add puts servers and what vantages say of themselves into a status that has the board's account of them.
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
		s.Problems = append(s.Problems, admin.Problem{Resource: key, InService: admin.InServiceOlder, Revision: e.Revision, Message: e.Problem})
	}
}

// nobodyProbes adds the problem that no vantage lives although there is something to probe. (What reporters tell of is
// not probed.)
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
		Message: "nobody probes: every address counts as it did last, and as up where nothing was ever known of it; " +
			"start leeward probe, or a server without --no-probe",
	})
}
