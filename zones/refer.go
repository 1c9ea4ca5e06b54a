package zones

import (
	"iter"
	"maps"
	"slices"
	"strings"
)

// Who refers to whom is written here, once:
//
//	Record ──▶ Zone ◀── Policy ──▶ Pool ◀── Endpoint
//	 (lives in)          │          │ │       ▲
//	                     ▼          ▼ ▼       │
//	                    Map ──▶ Region Monitor │
//	                              ▲  ▲         │
//	                              └ Override ──┘ (and Pool)
//
// Pools, Monitors and Policies inherit from the Defaults of their kind, which can name a Monitor or a Map.
//
// Cross checks use it to say what is missing, the guard to keep what a kept resource names, a writer's transaction to
// fail if something that its change names has gone, and the builder to find whom a change concerns.

// Reference is a field of a resource that names another.
type Reference struct {
	Kind Kind
	Name string

	in      string // the field, or the list that it is in; "": the name of the resource
	i, k    int    // of a Policy: the rule, and the place in its list; of a Map: k alone
	several bool   // the step of a Policy has other pools, too
}

// Key returns the key of what is named.
func (r Reference) Key() Key { return KeyOf(r.Kind, r.Name) }

// Field returns the field, as a Problem has it.
func (r Reference) Field() string {
	switch {
	case strings.HasPrefix(r.in, "prefixes."):
		return Item(r.in, r.k)
	case r.in != failover && r.in != nearest:
		return r.in
	}
	field := Item(Item("rules", r.i)+"."+r.in, r.k)
	if r.several {
		field += "." + r.Name
	}
	return field
}

// Nearest returns the rule of a Policy that names the pool by distance.
func (r Reference) Nearest() (rule int, is bool) { return r.i, r.in == nearest }

// The lists of a rule that name pools.
const failover, nearest = "failover", "nearest"

// References yields what a resource names, as often as it does, in the order of its document. It leaves out the zone
// that a Record or a Policy lives in: the longest Zone that holds the name counts, and there need not be one.
func References(r Resource) iter.Seq[Reference] {
	return func(yield func(Reference) bool) {
		switch r := r.(type) {
		case *Defaults:
			for ref := range References(r.Values) {
				if ref.Name != "" && !yield(ref) {
					return
				}
			}
		case *Pool:
			_ = inherited(r, yield) && yield(Reference{Kind: KindRegion, Name: r.Region, in: "region"}) &&
				r.Monitor != "" && yield(Reference{Kind: KindMonitor, Name: r.Monitor, in: "monitor"})
		case *Monitor:
			inherited(r, yield)
		case *Endpoint:
			yield(Reference{Kind: KindPool, Name: r.Pool})
		case *Map:
			for _, source := range slices.Sorted(maps.Keys(r.Prefixes)) {
				for k, region := range r.Prefixes[source] {
					if !yield(Reference{Kind: KindRegion, Name: region, in: "prefixes." + source, k: k}) {
						return
					}
				}
			}
		case *Override:
			target := r.TargetKey()
			yield(Reference{Kind: target.Kind(), Name: target.Name()})
		case *Policy:
			if !inherited(r, yield) || r.Map != "" && !yield(Reference{Kind: KindMap, Name: r.Map, in: "map"}) {
				return
			}
			r.eachPool(yield)
		}
	}
}

// inherited yields the Defaults that a resource has values from. A document that is not in service has none yet.
func inherited(r Resource, yield func(Reference) bool) bool {
	if inheritance(r).Inherited == 0 {
		return true
	}
	return yield(Reference{Kind: KindDefaults, Name: string(r.Key().Kind())})
}

// eachPool goes through the pools that a policy's rules name.
func (p *Policy) eachPool(yield func(Reference) bool) {
	for i := range p.Rules {
		for k, step := range p.Rules[i].Failover {
			for _, w := range step.Pools {
				several := len(step.Pools) > 1 || w.Weight != 1
				if !yield(Reference{Kind: KindPool, Name: w.Pool, in: failover, i: i, k: k, several: several}) {
					return
				}
			}
		}
		for k, pool := range p.Rules[i].Nearest {
			if !yield(Reference{Kind: KindPool, Name: pool, in: nearest, i: i, k: k}) {
				return
			}
		}
	}
}

// Refers reports whether a resource names another.
func Refers(r Resource, kind Kind, name string) bool {
	for ref := range References(r) {
		if ref.Kind == kind && ref.Name == name {
			return true
		}
	}
	return false
}

// Relation says that resources of one kind can name those of another.
type Relation struct {
	From, To Kind
	Within   bool // From's key begins with To's name and a slash
}

// Relations are all relations: those of References, and what Records and Policies live in.
var Relations = []Relation{
	{From: KindRecord, To: KindZone, Within: true},
	{From: KindPolicy, To: KindZone},
	{From: KindPolicy, To: KindPool},
	{From: KindPolicy, To: KindMap},
	{From: KindPool, To: KindRegion},
	{From: KindPool, To: KindMonitor},
	{From: KindMap, To: KindRegion},
	{From: KindDefaults, To: KindMonitor},
	{From: KindDefaults, To: KindMap},
	{From: KindPool, To: KindDefaults},
	{From: KindMonitor, To: KindDefaults},
	{From: KindPolicy, To: KindDefaults},
	{From: KindEndpoint, To: KindPool, Within: true},
	{From: KindOverride, To: KindRegion},
	{From: KindOverride, To: KindPool},
	{From: KindOverride, To: KindEndpoint},
}

// PoolNames returns the pools that the policy's rules name, sorted, each once.
func (p *Policy) PoolNames() []string {
	var names []string
	for i := range p.Rules {
		names = append(names, p.Rules[i].PoolNames()...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// PoolNames returns the pools that the rule names, sorted, each once.
func (r *Rule) PoolNames() []string {
	names := slices.Clone(r.Nearest)
	for _, step := range r.Failover {
		for _, w := range step.Pools {
			names = append(names, w.Pool)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
