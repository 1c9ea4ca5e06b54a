package control

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"leeward/server/admin"
	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

// Question describes the situation that a forecast is made for.
type Question struct {
	Down   []string                           // targets that are out, written as overrides name them
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

// Foresee works out where today's clients would go. It uses the counts of all servers that are heard from, and the
// loads that vantages report. The evaluator is the one that answers queries, applied to resources changed as the
// question says.
func (i Inside) Foresee(q Question, servers []admin.Server) (*Forecast, error) {
	l := i.l
	if l.snapshot == nil || l.view == nil {
		return nil, errors.New("there are no resources: nothing is answered")
	}
	now := l.o.Now()
	at := q.At
	if at.IsZero() {
		at = now
	}
	rs := map[zones.Key]zones.Resource{}
	for _, kind := range zones.Kinds {
		if kind != zones.KindRecord {
			l.catalog.Each(kind, func(r zones.Resource) bool {
				rs[r.Key()] = r
				return true
			})
		}
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
	then := l.staged(rs, at)
	present := steer.Scene{View: l.view, Policy: policies(l.snapshot), Sharing: l.snapshot.Sharing(), Now: now.Unix()}
	future := steer.Scene{
		View:   steer.NewView(then.Program(), steer.Sight{State: l.board.State}, nil),
		Policy: policies(then), Sharing: then.Sharing(), Now: at.Unix(),
	}
	asked, told, silent := askedOf(servers)
	out := &Forecast{At: at, Servers: told, Forecast: steer.Foresee(present, future, asked, q.Surge)}
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

// staged builds the snapshot that would be served of these resources at that time.
func (l *Loop) staged(rs map[zones.Key]zones.Resource, at time.Time) *snapshot.Snapshot {
	clock := func() time.Time { return at }
	batch := zones.Batch{Full: true, Revision: 1}
	for _, key := range slices.Sorted(maps.Keys(rs)) {
		batch.Changes = append(batch.Changes, zones.Change{Key: key, Resource: rs[key], Revision: 1})
	}
	c := catalog.New(clock)
	delta := c.Apply(batch)
	builder := snapshot.NewBuilder(clock)
	for _, name := range l.snapshot.Program().Hostnames() {
		builder.Resolved(name, l.builder.Resolution(name))
	}
	s, _ := builder.Update(c, delta, l.table)
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

// askedOf adds up the clients that fresh servers have counted. told names the servers that report counts, silent the
// fresh ones that do not.
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
