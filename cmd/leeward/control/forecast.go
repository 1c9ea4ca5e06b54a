package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"leeward/geo"
	"leeward/health"
	"leeward/server/admin"
	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

// Question describes the situation that a forecast is made for.
type Question struct {
	Down   []string                           // targets that are out, as overrides name them
	Word   zones.Word                         // what happens to them: down (the default) or drain
	Surge  map[string]float64                 // by region: factor for the clients whose first choice it is
	At     time.Time                          // zero: now
	Change func(map[zones.Key]zones.Resource) // changes the resources; nil: they stay
}

// Forecast is the answer to a Question.
type Forecast struct {
	At      time.Time `json:"at"`
	Seconds float64   `json:"seconds"` // period over which the clients were counted
	Servers []string  `json:"servers"` // that counted them
	*steer.Forecast
}

// Foresight is what a forecast is made from, as the loop knew it at one moment. The loop only copies. Whoever asks does
// the expensive part.
type Foresight struct {
	now       time.Time
	resources []zones.Resource // all but records
	resolved  map[string]steer.Resolution
	verdicts  map[health.Target]health.State
	snapshot  *snapshot.Snapshot
	view      *steer.View
	table     *geo.Table
}

// Foresight copies what forecasts are made from. Several forecasts may be made from it at the same time.
func (i Inside) Foresight() *Foresight {
	l := i.l
	f := &Foresight{
		now: l.o.Now(), snapshot: l.snapshot, view: l.view, table: l.table,
		resolved: map[string]steer.Resolution{}, verdicts: map[health.Target]health.State{},
	}
	if l.snapshot == nil || l.view == nil {
		return f
	}
	for _, kind := range zones.Kinds {
		if kind == zones.KindRecord {
			continue
		}
		l.catalog.Each(kind, func(r zones.Resource) bool {
			f.resources = append(f.resources, r)
			return true
		})
	}
	for _, name := range l.snapshot.Program().Hostnames() {
		f.resolved[name] = l.builder.Resolution(name)
	}
	for _, r := range f.resources {
		e, is := r.(*zones.Endpoint)
		if !is {
			continue
		}
		addresses := e.Addresses
		if e.Hostname != "" {
			addresses = f.resolved[e.Hostname].Addresses
		}
		for _, a := range addresses {
			t := health.Target{Endpoint: e.ID(), Address: a}
			f.verdicts[t] = l.board.State(t)
		}
	}
	return f
}

// Foresee works out where today's clients would go. It uses the counts of all servers that are heard from, and the
// loads that vantages report. It uses the evaluator that answers queries, on resources changed as the question says.
func (x *Foresight) Foresee(ctx context.Context, q Question, servers []admin.Server) (*Forecast, error) {
	if x.snapshot == nil || x.view == nil {
		return nil, errors.New("there are no resources: nothing is answered")
	}
	at := q.At
	if at.IsZero() {
		at = x.now
	}
	rs := make(map[zones.Key]zones.Resource, len(x.resources))
	for _, r := range x.resources {
		rs[r.Key()] = r
	}
	if q.Change != nil {
		q.Change(rs)
	}
	word := q.Word
	if word == "" {
		word = zones.Down
	}
	for _, target := range q.Down {
		if err := there(rs, target); err != nil {
			return nil, err
		}
		o := &zones.Override{Target: target, State: word}
		rs[o.Key()] = o
	}
	for region := range q.Surge {
		if rs[zones.KeyOf(zones.KindRegion, region)] == nil {
			return nil, fmt.Errorf("there is no region %s", region)
		}
	}
	then := x.staged(rs, at)
	present := steer.Scene{
		View: x.view, Policy: policies(x.snapshot), Sharing: x.snapshot.Sharing(), Now: x.now.Unix(),
	}
	future := steer.Scene{
		View: steer.NewView(then.Program(), steer.Sight{State: func(t health.Target) health.State {
			return x.verdicts[t]
		}}, nil),
		Policy: policies(then), Sharing: then.Sharing(), Now: at.Unix(),
	}
	asked, told, silent := askedOf(servers)
	f := steer.Foresee(ctx, present, future, asked, q.Surge)
	if f == nil {
		return nil, context.Cause(ctx)
	}
	out := &Forecast{At: at, Servers: told, Forecast: f}
	if asked != nil {
		out.Seconds = asked.Seconds
	}
	if len(silent) > 0 {
		out.Doubts = append(out.Doubts, "who asks is not told by "+strings.Join(silent, ", "))
	}
	return out, nil
}

// there returns an error if the target of an override does not exist.
func there(rs map[zones.Key]zones.Resource, target string) error {
	word, name, _ := strings.Cut(target, "/")
	kinds := map[string]zones.Kind{"region": zones.KindRegion, "pool": zones.KindPool, "endpoint": zones.KindEndpoint}
	kind := kinds[word]
	if rs[zones.KeyOf(kind, name)] == nil {
		return fmt.Errorf("there is no %s %s", word, name)
	}
	return nil
}

// staged builds the snapshot that would be served from these resources at that time.
func (x *Foresight) staged(rs map[zones.Key]zones.Resource, at time.Time) *snapshot.Snapshot {
	clock := func() time.Time { return at }
	batch := zones.Batch{Full: true, Revision: 1}
	for _, key := range slices.Sorted(maps.Keys(rs)) {
		batch.Changes = append(batch.Changes, zones.Change{Key: key, Resource: rs[key], Revision: 1})
	}
	c := catalog.New(clock)
	delta := c.Apply(batch)
	builder := snapshot.NewBuilder(clock)
	for name, r := range x.resolved {
		builder.Resolved(name, r)
	}
	s, _ := builder.Update(c, delta, x.table)
	return s
}

func policies(s *snapshot.Snapshot) func(string) *steer.Policy {
	all := map[string]*steer.Policy{}
	s.Policies(func(p *steer.Policy) bool {
		all[p.Name] = p
		return true
	})
	return func(name string) *steer.Policy { return all[name] }
}

// AskedShown is how many orders of pools a status lists: those that clients ask for most.
const AskedShown = 1024

// askedOf adds up the clients that fresh servers have counted. told names the servers that report counts. silent names
// the fresh ones that do not.
func askedOf(servers []admin.Server) (sum *steer.Asked, told, silent []string) {
	told = []string{}
	for i := range servers {
		s := &servers[i]
		switch {
		case !s.Fresh:
		case s.Asked == nil:
			silent = append(silent, s.ID)
		default:
			if sum == nil {
				sum = &steer.Asked{}
			}
			sum.Add(s.Asked)
			told = append(told, s.ID)
		}
	}
	if sum != nil {
		sum.Sort(AskedShown)
	}
	return sum, told, silent
}

// Broken returns the pools that would carry more than their max, and more than they carry now.
func (f *Forecast) Broken() (broken []steer.PoolForecast) {
	over, _ := f.OverMax()
	for _, p := range over {
		if p.Then > p.Load*1.02 {
			broken = append(broken, p)
		}
	}
	return broken
}
