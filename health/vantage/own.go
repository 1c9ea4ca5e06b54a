package vantage

import (
	"strings"
	"time"

	"leeward/health"
)

// own is what this process says of a pool. It is the value of one key.
type own struct {
	reports map[health.Target]entry
	load    *poolLoad // nil: nothing
}

// value returns the value that etcd should hold.
func (o *own) value(vantage string, sequence uint64, now time.Time) []byte {
	p := pool{
		Vantage: vantage, Sequence: sequence, Time: now.UTC(), Load: o.load, Endpoints: map[string]map[string]entry{},
	}
	for t, e := range o.reports {
		_, endpoint, _ := strings.Cut(t.Endpoint, "/")
		if p.Endpoints[endpoint] == nil {
			p.Endpoints[endpoint] = map[string]entry{}
		}
		p.Endpoints[endpoint][addressText(t.Address)] = e
	}
	return encode(p)
}

// change changes what is said of a pool, and marks it to be written. The caller holds the mutex.
func (l *Link) change(pool string, f func(*own)) {
	o := l.pools[pool]
	if o == nil {
		o = &own{reports: map[health.Target]entry{}}
		l.pools[pool] = o
	}
	f(o)
	if len(o.reports) == 0 && o.load == nil {
		delete(l.pools, pool)
	}
	l.write(pool)
}

// remove takes back one report. The caller holds the mutex.
func (l *Link) remove(pool string, t health.Target) {
	if o := l.pools[pool]; o != nil {
		if _, said := o.reports[t]; said {
			l.change(pool, func(o *own) { delete(o.reports, t) })
		}
	}
}

// Assign sets which targets this process probes. Reports on others are taken back.
func (l *Link) Assign(as []health.Assignment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.assigned == nil {
		l.synced = false // only now is it known which keys of an earlier run are to go
	}
	l.assigned = make(map[health.Target]bool, len(as))
	shortest := 2 * l.options.Every
	for i := range as {
		if m := as[i].Monitor; m.External == nil {
			l.assigned[as[i].Target] = true
			shortest = min(shortest, m.DetectionTime())
		}
	}
	l.every = beatEvery(shortest, l.options.Every)
	for name, o := range l.pools {
		for t := range o.reports {
			if !l.assigned[t] {
				l.remove(name, t)
			}
		}
	}
	signal(l.wake)
}

// Report takes this process's newest reports, and has them written soon. Of reports that turn several times during a
// write, only the last is written.
func (l *Link) Report(rs []health.Report) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range rs {
		name, _, ok := strings.Cut(r.Endpoint, "/")
		if !ok {
			l.options.Log.Error("a report is of no endpoint", "endpoint", r.Endpoint)
			continue
		}
		if r.State == health.Unknown && l.assigned != nil && !l.assigned[r.Target] {
			l.remove(name, r.Target)
		} else {
			l.change(name, func(o *own) { o.reports[r.Target] = entryOf(r) })
		}
	}
	signal(l.wake)
}

// Measure takes what this process says of a pool's load, and has it written soon.
func (l *Link) Measure(m *health.Measure) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.change(m.Pool, func(o *own) { o.load = loadOf(m) })
	signal(l.wake)
}

// Unmeasure takes back what was said of a pool's load.
func (l *Link) Unmeasure(pool string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if o := l.pools[pool]; o != nil && o.load != nil {
		l.change(pool, func(o *own) { o.load = nil })
		signal(l.wake)
	}
}
