// Package steer chooses what a policy answers.
//
//	Policy  (one steered name, compiled)  ─┐
//	Request (client, family)              ─┼─▶ Decide ─▶ Decision (addresses, why, ECS scope)
//	View    (what is healthy now)         ─┘
//
// The server answers by Decide, and Explain runs the same code with a trace.
//
// A Compiler makes Policies from configuration. It works out beforehand what a policy asks of a client's location:
// location number → first rule that holds, and location number → order of pools by distance. A decision then only looks
// up numbers. The addresses around the client that have the same outcome give the ECS scope.
//
// A Program holds the pools as configured. A View judges them by verdicts and lays out each pool's healthy candidates.
// Policies, Programs and Views never change once they are made, so queries read them without a lock.
package steer

import (
	"fmt"
	"math"
	"slices"

	"leeward/geo"
	"leeward/zones"
)

// Policy is one compiled policy. It never changes.
type Policy struct {
	// The fields that most answers read come first: they share one cache line, which servers fetch ahead of its use.

	leads []lead     // by rule and then for listed
	sel   *selector  // nil: the rules have no conditions, and the first one holds
	table *geo.Table // nil: the policy does not ask for the client's location
	TTL   uint32     // seconds
	level bool       // there is no map, and the pick is not sticky: steps are all that the walk looks at
	one   bool       // the answer is one address, picked by weight
	// Alias says that every endpoint is a hostname that is not flattened. If the policy's name has nothing else, the
	// answer is a CNAME for every type.
	Alias bool
	few   bool // the zone is signed, so sets of addresses are to be few; see few.go

	// Number is the policy's in its snapshot; whoever numbers policies sets it before the policy is served.
	Number  int32
	planned bool // its schedule concerns some pool
	spill   bool // pools pass on what they cannot hold

	// Denies says that the name does not exist for some clients, whatever type they ask for.
	Denies bool

	hash uint64 // the first line ends here

	Name    string
	Answers int
	Pick    zones.Pick

	cells   []int32  // see cells.go: where each rule's cells begin, as in leads, and then the pool of each cell
	counted []string // the names of these pools

	source  *zones.Policy
	pools   []int32  // all pools of all rules
	allDown Says     // the answer if no pool is available; SaysAddresses: fail open
	floors  bool     // some step needs a part of its weight
	front   *mapping // nil: no map
	rules   []rule
	listed  rule            // all pools as listed, for clients for which no rule holds
	points  map[string]site // by region, of `nearest` pools, for explanations
}

// lead is what most answers by a rule need of it, in one place.
type lead struct {
	pool int32 // of the first step; -1 unless the rule's steps are plain and tried as listed
	cell int32 // that counts the answers of this pool
}

// rule gives an order of pools.
type rule struct {
	crowd crowd
	rank  *ranking // for a `nearest` rule: the order of its steps
	names []string // of its pools, as listed
	plain []int32  // the pool of each step, if every step is one pool of a weight above 0; else nil
	steps []group
	says  Says // instead of addresses
}

// smooth fills in plain, and returns the pool of the rule's entry in leads.
func (r *rule) smooth() (pool int32) {
	r.plain = nil
	for _, g := range r.steps {
		if len(g.members) != 1 || g.members[0].weight == 0 || g.members[0].pool < 0 {
			return -1
		}
	}
	for _, g := range r.steps {
		r.plain = append(r.plain, g.members[0].pool)
	}
	if len(r.plain) == 0 || r.rank != nil {
		return -1
	}
	return r.plain[0]
}

// group is one step of an order. Its available pools share the clients by weight.
type group struct {
	members []member
	atLeast uint64 // percent of the weight that must be available, unless no other step has anything
}

type member struct {
	pool   int32
	region int32
	weight uint64
	seed   uint64 // of the pool's name, for sticky picks: the same on every server
}

// mapping is a compiled Map: from a client's prefix or AS number to the regions whose pools come first.
type mapping struct {
	prefixes *geo.Areas // index in regions + 1; 0: no prefix matches
	systems  *outcomes  // the same by AS number
	regions  [][]int32  // lists of region numbers
	names    map[int32]string
}

// Compiler compiles policies against one geo table. Policies with the same conditions share tables.
type Compiler struct {
	table     *geo.Table
	selectors map[string]*selector
	rankings  map[string]*ranking
	areas     int // bytes left for areas
	budget    int // bytes left for runs

	divided map[string]bool // see subdivisions; nil: not looked for yet
}

// How much memory all conditions and orders may take together, in octets. Beyond areaBudget runs replace areas, which
// makes a look-up some 100 ns slower. Beyond runBudget the ECS scope is that of the geo table's own range, which is
// right but not always the shortest.
const (
	areaBudget = 64 << 20
	runBudget  = 64 << 20
)

// NewCompiler returns a compiler for a geo table. If table is nil, no client's location is known.
func NewCompiler(table *geo.Table) *Compiler {
	return &Compiler{
		table: table, selectors: map[string]*selector{}, rankings: map[string]*ranking{},
		areas: areaBudget, budget: runBudget,
	}
}

// Table returns the geo table that policies are compiled against.
func (c *Compiler) Table() *geo.Table { return c.table }

// Shared returns how many tables the compiler keeps for sharing.
func (c *Compiler) Shared() int { return len(c.selectors) + len(c.rankings) }

// World resolves what a policy refers to.
type World struct {
	Pool func(name string) (number int32, pool *zones.Pool) // nil and -1: there is no such pool
	// Region returns nil if there is no such region. The numbers are the caller's, and must stay the same.
	Region func(name string) (number int32, r *zones.Region)
	Map    func(name string) *zones.Map // nil: there is no such map

	// Aliases reports whether all endpoints of a pool are hostnames that are not flattened; nil: of no pool.
	Aliases func(pool string) bool
	// Signed reports whether the zone that has a name is signed; nil: none is.
	Signed func(name string) bool
}

// Policy compiles a policy. It leaves out references to what does not exist, which the caller reports.
func (c *Compiler) Policy(p *zones.Policy, w World) (*Policy, error) {
	if len(p.Rules) == 0 || len(p.Rules) > 250 {
		return nil, fmt.Errorf("rules: a policy has 1 to 250 of them, not %d", len(p.Rules))
	}
	out := &Policy{
		Name: p.Name, TTL: Seconds(p.TTL.Or(zones.DefaultPolicyTTL)), Answers: min(max(p.Answers, 1), MaxAnswers),
		Pick: p.Pick, source: p, points: map[string]site{}, hash: seedOf("policy " + p.Name),
	}
	if out.Pick == "" {
		out.Pick = zones.PickWeighted
	}
	for _, r := range p.Rules {
		out.rules = append(out.rules, c.rule(r, w, out.points))
	}
	for _, r := range out.rules {
		out.listed.steps = append(out.listed.steps, r.steps...)
	}
	out.spill = p.Spill
	for i := range out.rules {
		out.rules[i].crowd = crowdOf(p, p.Rules[i].PoolNames(), w)
		out.planned = out.planned || out.rules[i].crowd.plans != nil
	}
	out.listed.crowd = crowdOf(p, p.PoolNames(), w)
	out.allDown = says[p.WhenAllDown]
	for i := range out.rules {
		out.Denies = out.Denies || out.rules[i].says == SaysNXDomain
		out.floors = out.floors || slices.ContainsFunc(out.rules[i].steps, func(g group) bool { return g.atLeast > 0 })
		out.leads = append(out.leads, lead{pool: out.rules[i].smooth()})
	}
	out.leads = append(out.leads, lead{pool: out.listed.smooth()})
	for _, g := range out.listed.steps {
		for _, m := range g.members {
			out.pools = append(out.pools, m.pool)
		}
	}
	slices.Sort(out.pools)
	out.pools = slices.Compact(out.pools)
	out.countBy(p, w)
	out.Alias = w.Aliases != nil && !p.Flatten && len(out.listed.steps) > 0
	for _, pool := range p.PoolNames() {
		if _, there := w.Pool(pool); there != nil && out.Alias {
			out.Alias = w.Aliases(pool)
		}
	}
	conditions := slices.ContainsFunc(p.Rules, func(r zones.Rule) bool { return r.When != nil })
	if conditions && !(p.Rules[0].When == nil) {
		key := signature(conditionsOf(p.Rules))
		if c.selectors[key] == nil {
			c.selectors[key] = c.selector(p.Rules)
		}
		out.sel = c.selectors[key]
	}
	if p.Map != "" {
		if m := w.Map(p.Map); m != nil {
			front, err := c.mapping(m, w)
			if err != nil {
				return nil, err
			}
			out.front = front
		}
	}
	if out.asksPlace() {
		out.table = c.table
	}
	out.level = out.front == nil && out.Pick != zones.PickSticky && out.Pick != zones.PickLeastLoad && !out.planned
	out.one = out.Pick == zones.PickWeighted && out.Answers == 1
	out.few = w.Signed != nil && w.Signed(p.Name)
	return out, nil
}

// ByLoads reports whether the policy uses the loads of its pools.
func (p *Policy) ByLoads() bool { return p.spill || p.Pick == zones.PickLeastLoad }

// Pools returns the numbers of all pools that the policy names.
func (p *Policy) Pools() []int32 { return p.pools }

// Crowds identifies how a policy spreads clients over pools: under two policies with the same result, pools keep the
// same shares.
func (p *Policy) Crowds() string {
	of := [][]int32{}
	for i := range p.rules {
		of = append(of, p.rules[i].crowd.pools)
	}
	return signature([]any{p.spill, of, p.source.Schedule})
}

// Planned reports whether the policy's schedule concerns any pool, so that Request.Clock matters.
func (p *Policy) Planned() bool { return p.planned }

func (p *Policy) asksPlace() bool {
	return p.front != nil || p.sel != nil || slices.ContainsFunc(p.rules, func(r rule) bool { return r.rank != nil })
}

func conditionsOf(rules []zones.Rule) (ws []*zones.When) {
	for _, r := range rules {
		ws = append(ws, r.When)
	}
	return ws
}

func (c *Compiler) rule(r zones.Rule, w World, points map[string]site) rule {
	out := rule{says: says[r.Answer]}
	for _, s := range r.Failover {
		g := group{atLeast: uint64(s.AtLeast)}
		for _, wp := range s.Pools {
			if n, pool := w.Pool(wp.Pool); pool != nil {
				region, _ := w.Region(pool.Region)
				g.members = append(g.members, member{n, region, uint64(wp.Weight), seedOf("pool " + wp.Pool)})
			}
		}
		if len(g.members) > 0 {
			out.steps = append(out.steps, g)
		}
	}
	var sites []site
	for _, name := range r.Nearest {
		n, pool := w.Pool(name)
		if pool == nil {
			continue
		}
		number, region := w.Region(pool.Region)
		s := site{Bias: r.Bias[name]}
		if region != nil && region.Latitude != nil && region.Longitude != nil {
			s.Latitude, s.Longitude, s.Known = *region.Latitude, *region.Longitude, true
		}
		sites, points[pool.Region] = append(sites, s), s
		out.steps = append(out.steps, group{members: []member{{n, number, 1, seedOf("pool " + name)}}})
		out.names = append(out.names, name)
	}
	if len(sites) > 0 {
		key := signature(sites)
		if c.rankings[key] == nil {
			c.rankings[key] = c.ranking(sites)
		}
		out.rank = c.rankings[key]
	}
	return out
}

// Seconds returns a TTL in whole seconds, within the bounds of RFC 2181 section 8.
func Seconds(d interface{ Seconds() float64 }) uint32 {
	return uint32(min(max(d.Seconds(), 0), math.MaxInt32))
}
