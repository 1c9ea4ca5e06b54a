package process

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/dnssec"
	"leeward/zones/snapshot"
)

// gate makes changes of the configuration wait, on a server without keys, until everything that they require is signed:
//
//	source ──▶ gate ─────────────▶ loop
//	             │ ahead: a Catalog, and a Builder that serves nothing but finds which signatures are missing
//	             └ zones that lack signatures wait, with all that they use; the loop still has the old versions
//
// A zone waits together with its Zone, Records and Policies, and the Pools and Endpoints that its policies use. If
// another zone uses one of these pools, that zone waits too. Everything else goes on at once. Overrides, for example,
// require no signature.
//
// The gate compares the Catalog ahead with that of the loop to find what to hold and what to let go. So a change that
// is held and then changed again costs nothing.
type gate struct {
	log     *slog.Logger
	now     func() time.Time
	deliver func(zones.Batch)
	// inService runs f with the loop's Catalog, after the loop has applied all that was delivered. An error says that
	// the loop is ending.
	inService func(f func(*catalog.Catalog)) error
	say       func(origin, what string) // tells the status what a zone waits for; "": nothing

	mu       sync.Mutex
	ahead    *catalog.Catalog
	builder  *snapshot.Builder
	waits    map[string]*wait // by origin
	later    []zones.Change   // removals of what waiting policies may name
	heldFrom atomic.Int64     // the first revision of which something is held; 0: nothing is held
}

// wait is a zone that waits.
type wait struct {
	since   time.Time
	lacks   int    // how many signatures are missing; -1: the zone's keys are
	because string // another zone that it shares a pool with; "": it lacks something itself
	told    string
}

// waitSaid is how long a zone waits before people are told. A signer usually takes less.
const waitSaid = 3 * time.Second

func newGate(log *slog.Logger, now func() time.Time) *gate {
	g := &gate{
		log: log, now: now, ahead: catalog.New(now), builder: snapshot.NewBuilder(now), waits: map[string]*wait{},
	}
	g.builder.Stage()
	return g
}

// batch takes in what the source delivers.
func (g *gate) batch(b zones.Batch) {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := g.ahead.Apply(b)
	g.builder.Update(g.ahead, d, nil)
	g.pass(&b)
}

// keyed takes in the keys of a zone.
func (g *gate) keyed(origin string, k *dnssec.Keys) {
	g.again(func() { g.builder.Keyed(origin, k, nil) })
}

// arrived looks again at zones for which signatures have come.
func (g *gate) arrived(origins []string) {
	g.again(func() {
		for _, origin := range origins {
			g.builder.Arrived(origin)
		}
	})
}

// turned notes that a zone has switched to the signatures of another epoch.
func (g *gate) turned(origin string) { g.again(func() { g.builder.Turned(origin) }) }

// again applies news that does not come from the source, and looks at what waits.
func (g *gate) again(tell func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	tell()
	g.builder.Update(g.ahead, catalog.Delta{}, nil)
	g.pass(nil)
}

// waiting returns how many zones wait, and since when the first of them has waited.
func (g *gate) waiting() (n int, since time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, w := range g.waits {
		if since.IsZero() || w.since.Before(since) {
			since = w.since
		}
	}
	return len(g.waits), since
}

// tick looks at what changes as time passes, and reports what has waited for long.
func (g *gate) tick() {
	due := false
	g.mu.Lock()
	g.builder.DueKeys(g.now(), func(string) { due = true })
	g.mu.Unlock()
	if due {
		g.again(func() {})
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for origin, w := range g.waits {
		if what := w.text(g.now()); what != w.told {
			w.told = what
			g.say(origin, what)
			g.log.Warn("a zone stays as it was", "zone", origin, "why", what)
		}
	}
}

func (w *wait) text(now time.Time) string {
	if now.Sub(w.since) < waitSaid {
		return ""
	}
	since := w.since.UTC().Format(time.RFC3339)
	switch {
	case w.because != "":
		return fmt.Sprintf("the zone stays as it was since %s, as it has a pool in common with %s, which waits for "+
			"signatures", since, w.because)
	case w.lacks < 0:
		return fmt.Sprintf("the zone stays as it was since %s, as its keys have not come; look after `leeward sign`",
			since)
	}
	return fmt.Sprintf("the zone stays as it was since %s, as %d signatures have not come; look after `leeward sign`",
		since, w.lacks)
}

// pass delivers what is new except what waits, and what need not wait any longer. b may be nil.
func (g *gate) pass(b *zones.Batch) {
	lacking := g.builder.Lacking()
	if len(lacking) == 0 && len(g.waits) == 0 {
		if b != nil {
			g.deliver(*b)
		}
		return
	}
	var out []zones.Batch
	err := g.inService(func(served *catalog.Catalog) {
		p := passing{gate: g, served: served, lacking: lacking}
		p.wait()
		if b != nil {
			out = append(out, p.part(*b))
		}
		out = append(out, p.let()...)
		p.note(b)
	})
	if err != nil {
		return
	}
	for _, b := range out {
		g.deliver(b)
	}
}

// passing is one decision about what may pass.
type passing struct {
	*gate
	served  *catalog.Catalog
	lacking map[string]int
	held    map[string]string // by origin of the zones held: another origin that is the cause, or ""
	free    []string          // origins that have waited until now
}

// wait finds which zones must wait: those that lack something, and those that use a changed pool that such a zone uses.
func (p *passing) wait() {
	p.held = map[string]string{}
	var todo []string
	for origin := range p.lacking {
		p.held[origin] = ""
		todo = append(todo, origin)
	}
	differs := map[string]bool{}
	for len(todo) > 0 {
		origin := todo[0]
		todo = todo[1:]
		for _, pool := range p.poolsOf(origin) {
			is, known := differs[pool]
			if !known {
				is = p.differs(pool)
				differs[pool] = is
			}
			if !is {
				continue
			}
			for _, other := range p.users(pool) {
				if _, waits := p.held[other]; !waits {
					p.held[other] = origin
					todo = append(todo, other)
				}
			}
		}
	}
	for origin := range p.waits {
		if _, waits := p.held[origin]; !waits {
			p.free = append(p.free, origin)
		}
	}
	slices.Sort(p.free)
}

func (p *passing) both() []*catalog.Catalog { return []*catalog.Catalog{p.ahead, p.served} }

// poolsOf returns the pools that a zone's policies use now, or used before.
func (p *passing) poolsOf(origin string) []string {
	all := map[string]bool{}
	for _, c := range p.both() {
		for _, policy := range c.PoliciesIn(origin) {
			for ref := range zones.References(policy) {
				if ref.Kind == zones.KindPool {
					all[ref.Name] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// users returns the zones whose policies use a pool now, or used it before.
func (p *passing) users(pool string) []string {
	all := map[string]bool{}
	for _, c := range p.both() {
		for _, policy := range c.PoliciesUsing(pool) {
			if origin := c.ZoneOf(policy.Name); origin != "" {
				all[origin] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// differs reports whether a pool or one of its endpoints differs from what is in service.
func (p *passing) differs(pool string) bool {
	for _, key := range p.keysOf(pool) {
		if !same(p.ahead.Get(key), p.served.Get(key)) {
			return true
		}
	}
	return false
}

func same(a, b zones.Resource) bool {
	if a == nil || b == nil {
		return a == b
	}
	return zones.Same(a, b)
}

// keysOf returns the keys of a pool and of its endpoints, now and before.
func (p *passing) keysOf(pool string) []zones.Key {
	keys := []zones.Key{zones.KeyOf(zones.KindPool, pool)}
	for _, c := range p.both() {
		for _, e := range c.EndpointsOf(pool) {
			keys = append(keys, e.Key())
		}
	}
	return keys
}

// waiting reports whether the resource with this key must wait.
func (p *passing) waiting(key zones.Key) bool {
	name := key.Name()
	switch key.Kind() {
	case zones.KindZone, zones.KindRecord:
		origin, _, _ := strings.Cut(name, "/")
		_, waits := p.held[origin]
		return waits
	case zones.KindPolicy:
		for _, c := range p.both() {
			if _, waits := p.held[c.ZoneOf(name)]; waits {
				return true
			}
		}
	case zones.KindPool, zones.KindEndpoint:
		pool, _, _ := strings.Cut(name, "/")
		for _, origin := range p.users(pool) {
			if _, waits := p.held[origin]; waits {
				return true
			}
		}
	}
	return false
}

// part returns a batch without what waits. In a list, what waits is as it is in service.
func (p *passing) part(b zones.Batch) zones.Batch {
	if len(p.held) == 0 {
		return b
	}
	all := b.Changes
	b.Changes = make([]zones.Change, 0, len(all))
	for _, change := range all {
		kind := change.Key.Kind()
		named := kind == zones.KindRegion || kind == zones.KindMap || kind == zones.KindMonitor ||
			kind == zones.KindDefaults
		switch {
		case p.waiting(change.Key):
		case !b.Full && named && change.Resource == nil && change.Err == nil:
			p.later = append(p.later, change)
		default:
			b.Changes = append(b.Changes, change)
		}
	}
	if b.Serials != nil {
		s := zones.Serials{Base: b.Serials.Base, Last: maps.Clone(b.Serials.Last)}
		for origin := range p.held {
			delete(s.Last, origin)
		}
		b.Serials = &s
	}
	if !b.Full {
		return b
	}
	p.later = nil
	for _, key := range p.keys(slices.Collect(maps.Keys(p.held))) {
		if r := p.served.Get(key); r != nil {
			b.Changes = append(b.Changes, zones.Change{Key: key, Resource: r, Revision: p.served.VersionOf(key)})
		}
	}
	slices.SortFunc(b.Changes, func(a, b zones.Change) int { return strings.Compare(string(a.Key), string(b.Key)) })
	return b
}

// keys returns the keys of everything that the zones wait with, sorted.
func (p *passing) keys(origins []string) []zones.Key {
	all := map[zones.Key]bool{}
	for _, origin := range origins {
		all[zones.KeyOf(zones.KindZone, origin)] = true
		for _, c := range p.both() {
			c.EachRecord(origin, func(r *zones.Record) bool { all[r.Key()] = true; return true })
			for _, policy := range c.PoliciesIn(origin) {
				all[policy.Key()] = true
			}
		}
		for _, pool := range p.poolsOf(origin) {
			for _, key := range p.keysOf(pool) {
				all[key] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// let returns the batches for zones that no longer wait: what they have ahead and not in service. They must reach the
// serials that they have ahead, because those are what is signed. So removals are delivered at the revision that is the
// zone's number. If that is not enough, the batch gives the number itself.
func (p *passing) let() (all []zones.Batch) {
	serials := p.ahead.Serials()
	told := zones.Serials{Base: serials.Base, Last: map[string]int64{}}
	slices.SortStableFunc(p.free, func(a, b string) int { return cmp.Compare(serials.Last[a], serials.Last[b]) })
	done := map[zones.Key]bool{}
	for _, origin := range p.free {
		number, known := serials.Last[origin]
		if !known { // the zone is gone
			number = p.ahead.Revision()
		} else {
			told.Last[origin] = number
		}
		b := zones.Batch{Revision: number, Meant: true} // the Catalog ahead has already let the removals pass
		for _, key := range p.keys([]string{origin}) {
			is := p.ahead.Get(key)
			if done[key] || p.waiting(key) || same(is, p.served.Get(key)) {
				continue
			}
			done[key] = true
			change := zones.Change{Key: key, Resource: is, Revision: number}
			if is != nil {
				change.Revision = p.ahead.VersionOf(key)
			}
			b.Changes = append(b.Changes, change)
		}
		if len(b.Changes) > 0 {
			all = append(all, b)
		}
	}
	if len(p.free) > 0 {
		all = append(all, zones.Batch{Revision: p.ahead.Revision(), Serials: &told})
	}
	if len(p.held) == 0 && len(p.later) > 0 {
		all, p.later = append(all, zones.Batch{Revision: p.ahead.Revision(), Changes: p.later}), nil
	}
	return all
}

// note records who waits now.
func (p *passing) note(b *zones.Batch) {
	for _, origin := range p.free {
		w := p.waits[origin]
		delete(p.waits, origin)
		p.say(origin, "")
		if w.told != "" {
			waited := p.now().Sub(w.since).Round(time.Second)
			p.log.Info("a zone is as it is configured again", "zone", origin, "waited", waited)
		}
	}
	for origin, because := range p.held {
		w := p.waits[origin]
		if w == nil {
			w = &wait{since: p.now()}
			p.waits[origin] = w
		}
		w.lacks, w.because = p.lacking[origin], because
	}
	switch {
	case len(p.waits) == 0:
		p.heldFrom.Store(0)
	case p.heldFrom.Load() == 0 && b != nil:
		p.heldFrom.Store(max(1, b.Revision))
	}
}
