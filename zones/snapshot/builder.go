package snapshot

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"leeward/geo"
	"leeward/health"
	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/rr"
	"leeward/zones/steer"
)

// Builder makes snapshots from a catalog, each from the one before. One goroutine owns it.
//
// Update goes through these steps. Each marks what the later ones must make again:
//
//	gather, takeResolved, takeTransferred, endOverrides    what has changed
//	compilePools, compilePolicies                          pools and policies, numbered
//	editZones                                              edits of names, then new trees
//	finish                                                 counts
type Builder struct {
	now       func() time.Time
	seed      uint64 // for hashes of names
	compiler  *steer.Compiler
	countries countries
	last      *Snapshot

	pools    map[string]*slot // by name; a pool keeps its number as long as it exists
	policies placement
	holes    placement        // of policies that cannot be used; their numbers are not used
	regions  map[string]int32 // by name; a number is never used again
	poolIDs  numbers
	policyID numbers
	expiries map[string]time.Time // by target: when its override next begins, changes or ends
	resolved map[string]steer.Resolution
	hosts    map[string]map[string]bool // by hostname: the pools whose endpoints have it
	moved    map[string]bool            // hostnames that were resolved since the last Update
	problems map[zones.Key]zones.Problem
	sharing  map[string]*steer.Policy // by name: the policies that use loads
	givenUp  map[zones.Key]int64      // overrides without effect, at this version

	lists map[string]map[string]catalog.Listed // by catalog zone made here: what it lists, by origin

	elsewhere map[string]Transferred                 // by origin, of zones that live on another primary
	arrived   map[string]bool                        // origins of which something was transferred since the last Update
	overlaid  map[string]map[rr.Name][]zones.Problem // by origin and name: conflicts with the primary's records
}

type slot struct {
	number  int32
	region  string
	aliases bool
	hosts   []string // of its endpoints
}

// placed is a policy and where it is in the snapshot.
type placed struct {
	number int32
	origin string
	name   rr.Name
}

// placement indexes the policies in the snapshot by name, and also by origin. There can be as many origins as policies,
// so nothing may look at all policies for one origin.
type placement struct {
	named map[string]*placed
	in    map[string]map[string]*placed // by origin and name
}

func (p *placement) put(name string, at *placed) {
	p.named[name] = at
	if p.in[at.origin] == nil {
		p.in[at.origin] = map[string]*placed{}
	}
	p.in[at.origin][name] = at
}

func (p *placement) drop(name string) {
	origin := p.named[name].origin
	delete(p.named, name)
	if delete(p.in[origin], name); len(p.in[origin]) == 0 {
		delete(p.in, origin)
	}
}

// numbers hands out small numbers, and reuses those that are returned.
type numbers struct {
	next int32
	free []int32
}

func (n *numbers) take() int32 {
	if last := len(n.free) - 1; last >= 0 {
		x := n.free[last]
		n.free = n.free[:last]
		return x
	}
	n.next++
	return n.next - 1
}

func (n *numbers) put(x int32) { n.free = append(n.free, x) }

// NewBuilder returns a builder. now is the clock for overrides.
func NewBuilder(now func() time.Time) *Builder {
	b := &Builder{
		now: now, seed: rand.Uint64(), regions: map[string]int32{},
		resolved: map[string]steer.Resolution{}, moved: map[string]bool{},
		elsewhere: map[string]Transferred{}, arrived: map[string]bool{}, givenUp: map[zones.Key]int64{},
	}
	b.clear()
	return b
}

// clear forgets everything but the numbers of regions.
func (b *Builder) clear() {
	b.last = &Snapshot{origins: map[rr.Name]int{}, program: &steer.Program{}}
	b.pools = map[string]*slot{}
	b.policies = placement{named: map[string]*placed{}, in: map[string]map[string]*placed{}}
	b.holes = placement{named: map[string]*placed{}, in: map[string]map[string]*placed{}}
	b.poolIDs, b.policyID = numbers{}, numbers{}
	b.expiries, b.problems = map[string]time.Time{}, map[zones.Key]zones.Problem{}
	b.hosts = map[string]map[string]bool{}
	b.overlaid = map[string]map[rr.Name][]zones.Problem{}
	b.sharing = map[string]*steer.Policy{}
	b.lists = map[string]map[string]catalog.Listed{}
}

// Update brings the snapshot up to what the catalog has now, and returns it. d names what has changed since the last
// call. It may be empty if only the geo table g has changed, or an override has begun or ended. If g is nil, no
// location is known. The problems are all that exist now, not only new ones.
func (b *Builder) Update(c *catalog.Catalog, d catalog.Delta, g *geo.Table) (*Snapshot, zones.Problems) {
	u := b.begin(c, d, g)
	u.gather(d)
	u.takeResolved()
	u.takeTransferred()
	u.endOverrides()
	u.compilePools()
	u.forget()
	u.compilePolicies()
	u.editZones()
	b.last = u.finish()
	problems := slices.SortedFunc(maps.Values(b.problems), func(x, y zones.Problem) int {
		return strings.Compare(string(x.Key), string(y.Key))
	})
	return b.last, append(problems, b.overlaidProblems(c)...)
}

// NextExpiry returns when an override next begins, changes or ends, and so when Update is due. It returns the zero time
// if none does.
func (b *Builder) NextExpiry() time.Time {
	var next time.Time
	for _, t := range b.expiries {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	return next
}

// GiveUp makes an override, at its present version, have no effect. Update is due then.
func (b *Builder) GiveUp(c *catalog.Catalog, o *zones.Override) {
	b.givenUp[o.Key()] = c.VersionOf(o.Key())
	b.expiries[o.Target] = b.now()
}

// update is one call of Update: what must be made again because of what has changed.
type update struct {
	*Builder
	catalog  *catalog.Catalog
	out      *Snapshot
	pools    map[string]bool // to compile
	policies map[string]bool // to compile
	zones    map[string]bool // to build from nothing
	touched  []string        // origins whose serial may have changed, perhaps with duplicates
	relaid   map[string]bool // zones that live elsewhere, to lay over again
	edits    map[string][]edit
	listed   map[string][]edit // of catalog zones that are made here
	left     []string          // hostnames that some pool has lost
	all      bool              // compile every policy
	shared   bool              // the policies that use loads have changed
}

func (b *Builder) begin(c *catalog.Catalog, d catalog.Delta, g *geo.Table) *update {
	fresh := b.compiler == nil || b.compiler.Table() != g || b.compiler.Shared() > 64+4*len(b.policies.named)
	if fresh {
		b.compiler = steer.NewCompiler(g)
	}
	if d.Full {
		b.clear()
	}
	out := *b.last
	out.countries = b.countries.of(g)
	if d.Revision != 0 {
		out.revision = d.Revision
	}
	return &update{
		Builder: b, catalog: c, out: &out, all: fresh,
		pools: map[string]bool{}, policies: map[string]bool{}, zones: map[string]bool{},
		relaid: map[string]bool{}, edits: map[string][]edit{}, listed: map[string][]edit{},
	}
}

// gather marks what the changed keys call for.
func (u *update) gather(d catalog.Delta) {
	if d.Full {
		for _, kind := range zones.Kinds {
			if kind == zones.KindRecord {
				continue // building a zone includes its records
			}
			u.catalog.Each(kind, func(r zones.Resource) bool {
				u.changed(r.Key())
				return true
			})
		}
		for _, origin := range u.catalog.Hollows() {
			u.zones[origin] = true
		}
		for _, key := range u.catalog.MissedPolicies() {
			u.changed(key)
		}
		return
	}
	for _, k := range d.Keys {
		u.changed(k)
	}
	u.touched = append(u.touched, d.Serials...)
}

func (u *update) changed(k zones.Key) {
	name := k.Name()
	switch k.Kind() {
	case zones.KindZone:
		u.zones[name] = true
	case zones.KindRecord:
		u.record(k)
	case zones.KindRegion, zones.KindMap:
		u.all = true
	case zones.KindPool:
		u.pools[name] = true
	case zones.KindEndpoint:
		pool, _, _ := strings.Cut(name, "/")
		u.pools[pool] = true
	case zones.KindMonitor:
		u.poolsOf(k)
	case zones.KindPolicy:
		u.policies[name] = true
	case zones.KindOverride:
		u.override(name)
	}
}

// override marks the pools that an override concerns, and notes when it next begins, changes or ends.
func (u *update) override(target string) {
	delete(u.expiries, target)
	key := zones.KeyOf(zones.KindOverride, target)
	if u.givenUp[key] != u.catalog.VersionOf(key) {
		delete(u.givenUp, key)
	}
	if o, ok := u.catalog.Get(key).(*zones.Override); ok {
		if next := o.Next(u.now()); !next.IsZero() {
			u.expiries[target] = next
		}
	}
	of := (&zones.Override{Target: target}).TargetKey()
	if of.Kind() == zones.KindRegion {
		u.poolsOf(of)
	} else {
		pool, _, _ := strings.Cut(of.Name(), "/")
		u.pools[pool] = true
	}
}

// poolsOf marks the pools that name a region or a monitor.
func (u *update) poolsOf(k zones.Key) {
	for _, pool := range u.catalog.PoolsOf(k) {
		u.pools[pool] = true
	}
}

// endOverrides marks what overrides concern that have begun, changed or ended by themselves.
func (u *update) endOverrides() {
	for target, end := range u.expiries {
		if !u.now().Before(end) {
			u.override(target)
		}
	}
}

// word returns the override in force of a target. A drain counts once its level is 0.
func (u *update) word(target string) zones.Word {
	if o := u.inForce(target); o != nil && o.Level(u.now()) == 0 {
		return o.State
	}
	return ""
}

// leaving returns the drain of a target while its level is above 0.
func (u *update) leaving(target string) *zones.Override {
	if o := u.inForce(target); o != nil && o.Level(u.now()) > 0 {
		return o
	}
	return nil
}

// inForce returns the override of a target if it has begun, has not ended and was not given up.
func (u *update) inForce(target string) *zones.Override {
	key := zones.KeyOf(zones.KindOverride, target)
	o, ok := u.catalog.Get(key).(*zones.Override)
	now := u.now()
	if !ok || o.Until != nil && !now.Before(*o.Until) || o.From != nil && now.Before(*o.From) {
		return nil
	}
	if version, given := u.givenUp[key]; given && version == u.catalog.VersionOf(key) {
		return nil
	}
	return o
}

// compilePools compiles the marked pools, and marks the policies that use one that came, went or moved.
func (u *update) compilePools() {
	if len(u.pools) == 0 {
		return
	}
	compiled := slices.Clone(u.out.program.Pools)
	set := func(n int32, p *steer.Pool) {
		u.out.stats.Endpoints += p.Endpoints() - compiled[n].Endpoints()
		compiled[n] = p
	}
	for _, name := range slices.Sorted(maps.Keys(u.pools)) {
		pool, _ := u.catalog.Get(zones.KeyOf(zones.KindPool, name)).(*zones.Pool)
		s := u.Builder.pools[name]
		if pool == nil {
			if s != nil {
				set(s.number, nil)
				u.rehost(name, s, nil)
				u.poolIDs.put(s.number)
				delete(u.Builder.pools, name)
				u.usersOf(name)
			}
			continue
		}
		if s == nil {
			s = &slot{number: u.poolIDs.take(), aliases: true}
			u.Builder.pools[name] = s
		}
		if s.region != pool.Region {
			s.region = pool.Region
			u.usersOf(name)
		}
		monitor, _ := u.catalog.Get(zones.KeyOf(zones.KindMonitor, pool.Monitor)).(*zones.Monitor)
		for int(s.number) >= len(compiled) {
			compiled = append(compiled, nil)
		}
		var checked *health.Monitor
		if monitor != nil {
			checked = &monitor.Monitor
		}
		made := steer.NewPool(s.number, pool, u.catalog.EndpointsOf(name), checked, u.word, u.leaving, u.Resolution,
			compiled[s.number])
		if set(s.number, made); s.aliases != made.Aliases() {
			s.aliases = made.Aliases()
			u.usersOf(name)
		}
		u.rehost(name, s, made.Hostnames(nil))
	}
	u.out.program = &steer.Program{Pools: compiled}
}

// usersOf marks the policies that use a pool.
func (u *update) usersOf(pool string) {
	for _, p := range u.catalog.PoliciesUsing(pool) {
		u.policies[p.Name] = true
	}
}

// world resolves what policies refer to.
func (u *update) world() steer.World {
	return steer.World{
		Pool: func(name string) (int32, *zones.Pool) {
			pool, _ := u.catalog.Get(zones.KeyOf(zones.KindPool, name)).(*zones.Pool)
			if s := u.Builder.pools[name]; s != nil && pool != nil {
				return s.number, pool
			}
			return -1, nil
		},
		Region: func(name string) (int32, *zones.Region) {
			n, ok := u.regions[name]
			if !ok {
				n = int32(len(u.regions))
				u.regions[name] = n
			}
			r, _ := u.catalog.Get(zones.KeyOf(zones.KindRegion, name)).(*zones.Region)
			return n, r
		},
		Map: func(name string) *zones.Map {
			m, _ := u.catalog.Get(zones.KeyOf(zones.KindMap, name)).(*zones.Map)
			return m
		},
		Aliases: func(pool string) bool {
			s := u.Builder.pools[pool]
			return s != nil && s.aliases
		},
	}
}

// takeOver marks the policies of zones that came or went. A new zone takes over names from the zone above it, and a
// zone that goes leaves its names to that.
func (u *update) takeOver() {
	if len(u.zones) > 0 {
		for _, key := range u.catalog.MissedPolicies() {
			u.policies[key.Name()] = true
		}
	}
	from := map[string]bool{} // origins whose policies may now be in another zone, each looked at once
	for origin := range u.zones {
		for _, p := range u.catalog.PoliciesIn(origin) {
			u.policies[p.Name] = true
		}
		for above := origin; above != ""; above = zones.ParentName(above) {
			from[above] = true
		}
	}
	for origin := range from {
		for name := range u.Builder.policies.in[origin] {
			for above := name; above != ""; above = zones.ParentName(above) {
				if u.zones[above] {
					u.policies[name] = true
					break
				}
			}
		}
	}
}

// compilePolicies compiles the marked policies, and edits the names that they steer.
func (u *update) compilePolicies() {
	u.takeOver()
	if u.all {
		u.catalog.Each(zones.KindPolicy, func(r zones.Resource) bool {
			u.policies[r.(*zones.Policy).Name] = true
			return true
		})
	}
	if len(u.policies) == 0 {
		return
	}
	u.out.policies = slices.Clone(u.out.policies)
	world := u.world()
	for _, name := range slices.Sorted(maps.Keys(u.policies)) {
		key := zones.KeyOf(zones.KindPolicy, name)
		p, _ := u.catalog.Get(key).(*zones.Policy)
		old := u.Builder.policies.named[name]
		origin := u.catalog.ZoneOf(name)
		if old != nil && (p == nil || old.origin != origin) {
			u.edit(old.origin, edit{name: old.name, kind: setPolicy, n: -1})
			u.out.policies[old.number] = nil
			u.policyID.put(old.number)
			u.Builder.policies.drop(name)
			u.share(name, nil)
			old = nil
		}
		delete(u.problems, key)
		owner, err := rr.ParseName(name)
		if p == nil || origin == "" {
			u.hole(name, owner, origin, u.catalog.Missed(key))
			continue
		}
		var compiled *steer.Policy
		if err == nil {
			compiled, err = u.compiler.Policy(p, world)
		}
		if err != nil { // the policy in service stays
			u.problems[key] = zones.Problem{Key: key, Message: err.Error()}
			u.hole(name, owner, origin, old == nil)
			continue
		}
		u.hole(name, owner, origin, false)
		if idle := u.compiler.Idle(p); len(idle) > 0 {
			u.problems[key] = zones.Problem{Key: key, Warning: true, Message: strings.Join(idle, "; ")}
		}
		if old == nil {
			old = &placed{u.policyID.take(), origin, owner}
			u.Builder.policies.put(name, old)
			for int(old.number) >= len(u.out.policies) {
				u.out.policies = append(u.out.policies, nil)
			}
			u.edit(origin, edit{name: owner, kind: setPolicy, n: old.number})
		}
		compiled.Number = old.number
		u.out.policies[old.number] = compiled
		u.share(name, compiled)
		u.touched = append(u.touched, origin)
	}
}

// share notes whether a policy uses loads. p is nil if the policy is gone.
func (u *update) share(name string, p *steer.Policy) {
	if p != nil && p.ByLoads() {
		u.sharing[name], u.shared = p, true
	} else if u.sharing[name] != nil {
		delete(u.sharing, name)
		u.shared = true
	}
}

// hole puts a hole at the name of a policy that exists and cannot be used (is), or removes it.
func (u *update) hole(name string, owner rr.Name, origin string, is bool) {
	is = is && owner != "" && origin != ""
	old := u.Builder.holes.named[name]
	if old != nil && (!is || old.origin != origin) {
		u.edit(old.origin, edit{name: old.name, kind: dropSet})
		u.Builder.holes.drop(name)
		old = nil
	}
	if is && old == nil {
		u.edit(origin, edit{name: owner, kind: putSet})
		u.Builder.holes.put(name, &placed{origin: origin, name: owner})
	}
}

// finish counts what the snapshot holds. Large counts are kept up to date as zones are replaced.
func (u *update) finish() *Snapshot {
	s := u.out
	if u.shared {
		s.sharing = make([]*steer.Policy, 0, len(u.sharing))
		for _, name := range slices.Sorted(maps.Keys(u.sharing)) {
			s.sharing = append(s.sharing, u.sharing[name])
		}
	}
	s.stats.Zones, s.stats.Policies, s.stats.Pools = len(s.zones), len(u.Builder.policies.named), len(u.Builder.pools)
	return s
}

// setZone puts z at an index of the zones. If z is nil, the zone there goes.
func (u *update) setZone(at int, z *zone) {
	if old := u.out.zones[at]; old != nil {
		u.out.stats.Names -= old.tree.names
		u.out.stats.Records -= old.tree.sets
	}
	if u.out.zones[at] = z; z != nil {
		u.out.stats.Names += z.tree.names
		u.out.stats.Records += z.tree.sets
	}
}
