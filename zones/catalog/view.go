package catalog

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"leeward/zones"
)

// Revision returns the revision of the last batch, or 0 before the first.
func (c *Catalog) Revision() int64 { return c.revision }

// Get returns the effective version of a resource, or nil.
func (c *Catalog) Get(k zones.Key) zones.Resource {
	r, _ := c.effective(k)
	return r
}

// VersionOf returns the revision of a resource's effective version, or 0.
func (c *Catalog) VersionOf(k zones.Key) int64 {
	revision, _ := c.version(k)
	return revision
}

// Each calls f for every effective resource of a kind, until f returns false. They come sorted by key, except Records,
// which come zone by zone and in any order within one. Records are made for the call, and f may keep them.
func (c *Catalog) Each(kind zones.Kind, f func(zones.Resource) bool) {
	if kind == zones.KindRecord {
		for _, origin := range slices.Sorted(maps.Keys(c.states)) {
			more := true
			c.EachRecord(origin, func(r *zones.Record) bool {
				more = f(r)
				return more
			})
			if !more {
				return
			}
		}
		return
	}
	for _, key := range slices.Sorted(maps.Keys(c.slots[kind])) {
		if !f(c.slots[kind][key].resource) {
			return
		}
	}
}

// EachRecord calls f for the records of an origin, in any order but those of one owner together, until f returns false.
// The origin need not have a Zone.
func (c *Catalog) EachRecord(origin string, f func(*zones.Record) bool) {
	z := c.states[origin]
	if z == nil {
		return
	}
	for owner, sets := range z.owners {
		for sets != "" {
			var set packedSet
			if set, sets = sets.next(); !f(set.record(z.origin, owner)) {
				return
			}
		}
	}
}

// OwnersOf returns the owners of an origin's records, relative to it, in any order.
func (c *Catalog) OwnersOf(origin string) []string {
	z := c.states[origin]
	if z == nil {
		return nil
	}
	owners := make([]string, 0, len(z.owners))
	for owner := range z.owners {
		owners = append(owners, owner)
	}
	return owners
}

// RecordsAt returns the records of one owner, which is relative to the origin.
func (c *Catalog) RecordsAt(origin, owner string) []*zones.Record {
	z := c.states[origin]
	if z == nil {
		return nil
	}
	var rs []*zones.Record
	for sets := z.owners[owner]; sets != ""; {
		var set packedSet
		set, sets = sets.next()
		rs = append(rs, set.record(z.origin, owner))
	}
	return rs
}

// CountOf returns how many effective resources of a kind there are.
func (c *Catalog) CountOf(kind zones.Kind) int { return c.countOf(kind) }

// Count returns how many effective resources there are, without overrides.
func (c *Catalog) Count() int { return c.count() }

// CountIn returns how many records and policies there are in an origin.
func (c *Catalog) CountIn(origin string) int {
	if z := c.states[origin]; z != nil {
		return z.records + len(z.policies)
	}
	return 0
}

// EndpointsOf returns a pool's endpoints, sorted by name.
func (c *Catalog) EndpointsOf(pool string) []*zones.Endpoint {
	es := slices.Collect(maps.Values(c.endpoints[pool]))
	slices.SortFunc(es, func(a, b *zones.Endpoint) int { return strings.Compare(a.Endpoint, b.Endpoint) })
	return es
}

// PoliciesIn returns the policies whose longest origin this is, sorted by name.
func (c *Catalog) PoliciesIn(origin string) []*zones.Policy {
	z := c.states[origin]
	if z == nil {
		return nil
	}
	ps := slices.Collect(maps.Values(z.policies))
	slices.SortFunc(ps, func(a, b *zones.Policy) int { return strings.Compare(a.Name, b.Name) })
	return ps
}

// PoliciesUsing returns the policies whose effective version names a pool, sorted by name.
func (c *Catalog) PoliciesUsing(pool string) []*zones.Policy {
	var ps []*zones.Policy
	c.eachReferrer(zones.KeyOf(zones.KindPool, pool), func(r zones.Resource) {
		if p, ok := r.(*zones.Policy); ok {
			ps = append(ps, p)
		}
	})
	slices.SortFunc(ps, func(a, b *zones.Policy) int { return strings.Compare(a.Name, b.Name) })
	return ps
}

// PoolsOf returns the names of the pools whose effective version names a region or a monitor, sorted.
func (c *Catalog) PoolsOf(k zones.Key) []string {
	var pools []string
	c.eachReferrer(k, func(r zones.Resource) {
		if p, ok := r.(*zones.Pool); ok {
			pools = append(pools, p.Pool)
		}
	})
	slices.Sort(pools)
	return pools
}

// eachReferrer calls f, in any order, for each resource whose effective version names another.
func (c *Catalog) eachReferrer(k zones.Key, f func(zones.Resource)) {
	kind, name := k.Kind(), k.Name()
	for key := range c.referrers[k] { // by the effective or the newest version
		if s := c.slots[key.Kind()][key]; s != nil && zones.Refers(s.resource, kind, name) {
			f(s.resource)
		}
	}
}

// ZoneOf returns the longest origin that has a Zone and holds a name (lower case, without the final dot), or "".
func (c *Catalog) ZoneOf(name string) string {
	if z := c.zoneOf(name); z != nil {
		return z.origin
	}
	return ""
}

// Hollow reports whether a zone is configured, or known to have names, but nothing in it can be used, now or before. No
// answer about it would be true.
func (c *Catalog) Hollow(origin string) bool {
	_, is := c.hollows[origin]
	return is
}

// Hollows returns the origins that are Hollow, sorted.
func (c *Catalog) Hollows() []string { return slices.Sorted(maps.Keys(c.hollows)) }

// Problems returns what is wrong with newest versions, and what is odd about effective ones, sorted by key. It is made
// once for each batch; the caller must not change it.
func (c *Catalog) Problems() zones.Problems {
	now := c.now()
	if c.ready == nil || !c.lapses.IsZero() && !now.Before(c.lapses) {
		c.ready = zones.Problems{}
		for _, key := range slices.Sorted(maps.Keys(c.problems)) {
			for _, p := range c.problems[key] {
				if p.Missing != "" {
					p.Message += "; " + c.known(p.Missing.Kind(), p.Missing.Name())
				}
				c.ready = append(c.ready, p)
			}
		}
		c.ready = append(c.ready, c.orphans()...)
		c.ready = append(c.ready, c.doubles()...)
		c.ready = append(c.ready, c.ended(now)...)
		c.ready.Sort()
	}
	return c.ready
}

// ended reports overrides and schedules that are over, and notes when the next one will be.
func (c *Catalog) ended(now time.Time) zones.Problems {
	var found zones.Problems
	c.lapses = time.Time{}
	look := func(key zones.Key, until time.Time, revision int64, field, text string) {
		if now.Before(until) {
			if c.lapses.IsZero() || until.Before(c.lapses) {
				c.lapses = until
			}
			return
		}
		found = append(found, zones.Problem{
			Key: key, Field: field, Warning: true, Revision: revision, Alike: text,
			Message: fmt.Sprintf(text, until.UTC().Format(time.RFC3339)),
		})
	}
	for key, s := range c.slots[zones.KindOverride] {
		if until := s.resource.(*zones.Override).Until; until != nil {
			look(key, *until, s.revision, "until", hasEnded)
		}
	}
	for key, p := range c.planned {
		var last time.Time
		for _, s := range p.Schedule {
			if s.Until.IsZero() { // for good
				last = time.Time{}
				break
			}
			if s.Until.After(last) {
				last = s.Until
			}
		}
		if !last.IsZero() {
			look(key, last, c.VersionOf(key), "schedule", isOver)
		}
	}
	return found
}

// hasEnded is the problem of an override that is over.
const hasEnded = "it has ended at %s and has no effect; delete it, or give a later time"

// isOver is the problem of a schedule whose shifts are all over.
const isOver = "the last of its shifts was over at %s and it has no effect; take it out (leeward shift POLICY " +
	"--clear), or give a later time"

// mostOrphans is how many records of one origin without a Zone are reported one by one.
const mostOrphans = 10

// orphans reports records without a Zone. There can be a million, so they are looked for only when somebody asks.
func (c *Catalog) orphans() zones.Problems {
	var found zones.Problems
	for _, origin := range slices.Sorted(maps.Keys(c.strays)) {
		z := c.strays[origin]
		if c.unread[zones.KeyOf(zones.KindZone, origin)] || c.Hollow(origin) { // the problem of the zone says it
			continue
		}
		var keys []zones.Key
		c.EachRecord(origin, func(r *zones.Record) bool {
			keys = append(keys, r.Key())
			return len(keys) < 1000
		})
		slices.Sort(keys)
		for i, key := range keys {
			more := ""
			if i == mostOrphans && z.records > mostOrphans+1 {
				more = fmt.Sprintf(" (so are %d more records of it)", z.records-i-1)
			}
			found = append(found, zones.Problem{
				Key: key, Code: zones.CodeReference, Revision: c.VersionOf(key),
				Message: fmt.Sprintf("there is no Zone %s that it could be in; %s%s", origin,
					c.known(zones.KindZone, origin), more),
			})
			if more != "" {
				break
			}
		}
	}
	return found
}

// doubles warns of addresses that endpoints of pools in different regions share: if one region is taken out, such an
// address stays in the answers. Within a region, pools may share a load balancer.
func (c *Catalog) doubles() zones.Problems {
	var found zones.Problems
	for a := range c.shared {
		holders := slices.Clone(c.holders[a])
		slices.Sort(holders)
		first := c.regionOf(holders[0])
		for _, key := range holders[1:] {
			if region := c.regionOf(key); region != first && region != "" && first != "" {
				s := c.slots[zones.KindEndpoint][key]
				found = append(found, zones.Problem{
					Key: key, Field: zones.Item("addresses", slices.Index(s.resource.(*zones.Endpoint).Addresses, a)),
					Code: zones.CodeConflict, Warning: true,
					Revision: s.revision,
					Message: fmt.Sprintf("%s is the address of %s too, in region %s: with one of the regions out it "+
						"would still be answered", a, holders[0], first),
				})
				break
			}
		}
	}
	slices.SortFunc(found, func(a, b zones.Problem) int {
		return strings.Compare(a.Field+a.Message,
			b.Field+b.Message)
	})
	return found
}

func (c *Catalog) regionOf(endpoint zones.Key) string {
	pool, _, _ := strings.Cut(endpoint.Name(), "/")
	if s := c.slots[zones.KindPool][zones.KeyOf(zones.KindPool, pool)]; s != nil {
		return s.resource.(*zones.Pool).Region
	}
	return ""
}
