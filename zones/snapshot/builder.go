package snapshot

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"leeward/geo"
	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
	"leeward/zones/steer"
)

// Builder makes snapshots from a catalog, each from the one before. One goroutine owns it.
//
// Update goes through these steps. Each marks what the later ones must make again:
//
//	gather, takeResolved, takeTransferred, takeKeys, endOverrides    what has changed
//	compilePools, compilePolicies                                    pools and policies, numbered
//	editZones                                                        edits of names, then new trees
//	signalZones                                                      CDS of zones in those of their name servers
//	sign                                                             signatures of what is new
//	finish                                                           counts
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

	signers  map[string]*dnssec.Signer // by origin, of zones that are signed
	turns    map[string]time.Time      // by origin: when its keys next change what they do
	keys     map[string]keyed          // by origin, for zones whose keys somebody has looked for
	rekeyed  map[string]bool           // origins whose keys were found, or found missing, since the last Update
	kept     map[string]*dnssec.Kept   // by origin: signatures that an earlier process made
	epochs   map[string]bool           // origins that switched to the signatures of another epoch since the last Update
	unsigned map[string]bool           // origins that were served without signatures while none were required

	edge, stage bool                 // see lack.go
	keyFiles    bool                 // see KeysAreFiles
	lacking     map[string]lack      // by origin: what has no signatures
	came        map[string]bool      // origins for which signatures have come since the last Update
	awaits      map[[2]string]string // by origin and kind: what a zone waits for, in words for people

	lists map[string]map[string]catalog.Listed // by catalog zone made here: what it lists, by origin

	signals  map[string][]signal           // by origin: where its CDS are to be too
	signaled map[string]map[rr.Name]string // by origin: the names there of such signals, and whose they are
	spent    map[string]spent              // by origin, of zones that had any

	elsewhere map[string]Transferred                 // by origin, for zones that live on another primary
	arrived   map[string]bool                        // origins with a transfer since the last Update
	seals     map[string]time.Time                   // by origin: when the next signature of its primary expires
	overlaid  map[string]map[rr.Name][]zones.Problem // by origin and name: conflicts with the primary's records
}

// NewBuilder returns a builder. now is the clock for overrides.
func NewBuilder(now func() time.Time) *Builder {
	b := &Builder{
		now: now, seed: rand.Uint64(), regions: map[string]int32{},
		resolved: map[string]steer.Resolution{}, moved: map[string]bool{},
		elsewhere: map[string]Transferred{}, arrived: map[string]bool{}, givenUp: map[zones.Key]int64{},
		signers: map[string]*dnssec.Signer{}, keys: map[string]keyed{}, rekeyed: map[string]bool{},
		unsigned: map[string]bool{}, turns: map[string]time.Time{}, kept: map[string]*dnssec.Kept{},
		epochs: map[string]bool{}, lacking: map[string]lack{}, came: map[string]bool{}, awaits: map[[2]string]string{},
		spent: map[string]spent{},
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
	b.seals = map[string]time.Time{}
	b.sharing = map[string]*steer.Policy{}
	b.lists = map[string]map[string]catalog.Listed{}
	for origin, all := range b.signals {
		for i := range all {
			b.Awaits(origin, all[i].text, "")
		}
	}
	b.signals, b.signaled = map[string][]signal{}, map[string]map[rr.Name]string{}
}

// Update brings the snapshot up to what the catalog has now, and returns it. d names what has changed since the last
// call. It may be empty if only the geo table g has changed, or an override has begun or ended. If g is nil, no
// location is known. The problems are all that exist now, not only new ones.
func (b *Builder) Update(c *catalog.Catalog, d catalog.Delta, g *geo.Table) (*Snapshot, zones.Problems) {
	u := b.begin(c, d, g)
	u.gather(d)
	u.takeResolved()
	u.takeTransferred()
	u.takeKeys()
	u.takeSignatures()
	u.endOverrides()
	u.compilePools()
	u.forget()
	u.compilePolicies()
	u.editZones()
	u.signalZones()
	u.sign()
	b.last = u.finish()
	problems := slices.SortedFunc(maps.Values(b.problems), func(x, y zones.Problem) int {
		return strings.Compare(string(x.Key), string(y.Key))
	})
	return b.last, slices.Concat(problems, b.overlaidProblems(c), b.awaited())
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
	relaid   map[string]bool // zones that live elsewhere and must be laid over again
	again    map[string]bool // zones that lacked signatures, some of which have come
	edits    map[string][]edit
	listed   map[string][]edit // for catalog zones that are made here
	left     []string          // hostnames that some pool has lost
	all      bool              // compile every policy
	shared   bool              // the policies that use loads have changed
	own      bool              // out has zones of its own
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
	out.countries, out.table = b.countries.of(g), g
	if d.Revision != 0 {
		out.revision = d.Revision
	}
	return &update{
		Builder: b, catalog: c, out: &out, all: fresh,
		pools: map[string]bool{}, policies: map[string]bool{}, zones: map[string]bool{},
		relaid: map[string]bool{}, again: map[string]bool{}, edits: map[string][]edit{}, listed: map[string][]edit{},
	}
}

// gather marks what must be made again because of the changed keys.
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

// ownZones gives the new snapshot zones of its own, which may be changed. Until then it shares those of the last one,
// which is in service.
func (u *update) ownZones() {
	if !u.own {
		u.out.zones, u.own = slices.Clone(u.out.zones), true
	}
}

// setZone puts z at an index of the zones. If z is nil, it removes the zone that is there.
func (u *update) setZone(at int, z *zone) {
	u.ownZones()
	if old := u.out.zones[at]; old != nil {
		u.out.stats.Names -= old.tree.names
		u.out.stats.Records -= old.tree.sets
	}
	if u.out.zones[at] = z; z != nil {
		u.out.stats.Names += z.tree.names
		u.out.stats.Records += z.tree.sets
	}
}
