package catalog

import (
	"net/netip"
	"slices"
	"strings"

	"leeward/zones"
)

// slot is the effective version of a resource other than a Record.
type slot struct {
	resource zones.Resource
	revision int64
	home     *zoneState // for a Policy: its zoneOf
}

// version is the newest version of a resource that is not in service.
type version struct {
	resource zones.Resource // nil: it cannot be read, or its Defaults cannot be applied
	written  zones.Resource // the document, if it may inherit; nil: it is the resource itself
	problems zones.Problems // why there is no resource
	revision int64
}

// index is how a catalog finds things. All of it except waiting is about effective versions.
type index struct {
	waiting   map[zones.Key]*version            // newest versions that are not in service
	lacking   map[string]int                    // by origin: how many of its Zone and Records wait
	missed    map[string]map[zones.Key]struct{} // by origin, "" for policies: what is Missed
	lists     map[string]*zones.Zone            // by origin: the catalog zones that are made here
	brought   map[zones.Key]struct{}            // Zones that a primary's catalog zone has, or had, brought here
	signals   map[string]int                    // by domain: how many zones have it among their Signals
	turned    []zones.Key                       // keys that became Missed, or no longer are, since the last look
	slots     map[zones.Kind]map[zones.Key]*slot
	states    map[string]*zoneState // by origin
	endpoints map[string]map[string]*zones.Endpoint
	holders   map[netip.Addr][]zones.Key  // endpoints by address
	shared    map[netip.Addr]struct{}     // addresses with more than one holder
	homeless  map[string]*zones.Policy    // policies in no zone
	planned   map[zones.Key]*zones.Policy // policies with a schedule
	strays    map[string]*zoneState       // by origin: those with records and without a Zone

	// referrers are the resources to look at again when the key that they are listed under changes: those whose
	// effective or newest version names it. Besides the keys of resources there are places: "at/<name>" for what stands
	// at a name, "address/<pool>/<address>" for endpoints with an address in a pool.
	referrers map[zones.Key]map[zones.Key]struct{}

	replaced replacing
}

func newIndex() index {
	x := index{
		waiting: make(map[zones.Key]*version), slots: make(map[zones.Kind]map[zones.Key]*slot),
		states: make(map[string]*zoneState), endpoints: make(map[string]map[string]*zones.Endpoint),
		holders: make(map[netip.Addr][]zones.Key), shared: make(map[netip.Addr]struct{}),
		homeless: make(map[string]*zones.Policy), planned: make(map[zones.Key]*zones.Policy),
		strays: make(map[string]*zoneState), lacking: make(map[string]int),
		missed:    make(map[string]map[zones.Key]struct{}),
		referrers: make(map[zones.Key]map[zones.Key]struct{}), lists: make(map[string]*zones.Zone),
		brought: make(map[zones.Key]struct{}), signals: make(map[string]int),
	}
	for _, kind := range zones.Kinds {
		x.slots[kind] = make(map[zones.Key]*slot)
	}
	return x
}

// splitRecord splits a Record's key without allocating.
func splitRecord(key zones.Key) (origin, owner, kind string, ok bool) {
	rest, isRecord := strings.CutPrefix(string(key), "records/")
	origin, rest, found := strings.Cut(rest, "/")
	last := strings.LastIndexByte(rest, '/')
	if !isRecord || !found || last < 0 {
		return "", "", "", false
	}
	return origin, rest[:last], rest[last+1:], true
}

// effective returns a resource's effective version and its revision, or nil if there is none.
func (x *index) effective(key zones.Key) (zones.Resource, int64) {
	if origin, owner, kind, ok := splitRecord(key); ok {
		if z := x.states[origin]; z != nil {
			if set, ok := z.owners[owner].find(kind); ok {
				return set.record(origin, owner), set.revision
			}
		}
		return nil, 0
	}
	if s := x.slots[key.Kind()][key]; s != nil {
		return s.resource, s.revision
	}
	return nil, 0
}

// version returns the revision of a resource's effective version, and whether there is one. It does not unpack a
// Record.
func (x *index) version(key zones.Key) (revision int64, is bool) {
	if origin, owner, kind, ok := splitRecord(key); ok {
		if z := x.states[origin]; z != nil {
			set, is := z.owners[owner].find(kind)
			return set.revision, is
		}
		return 0, false
	}
	if s := x.slots[key.Kind()][key]; s != nil {
		return s.revision, true
	}
	return 0, false
}

func (x *index) state(origin string) *zoneState {
	z := x.states[origin]
	if z == nil {
		z = &zoneState{
			origin: strings.Clone(origin), owners: make(map[string]packed),
			policies: make(map[string]*zones.Policy),
		}
		x.states[z.origin] = z
	}
	return z
}

// strayed notes whether an origin has records but no Zone, after either has changed.
func (x *index) strayed(z *zoneState) {
	if z.zone == nil && z.records > 0 {
		x.strays[z.origin] = z
	} else {
		delete(x.strays, z.origin)
	}
}

// drop forgets a state with nothing in it, and its serial.
func (x *index) drop(z *zoneState) {
	if z.zone == nil && z.records == 0 && len(z.policies) == 0 {
		delete(x.states, z.origin)
	}
}

// zoneOf returns the longest origin that holds the name and has a Zone, or nil.
func (x *index) zoneOf(name string) *zoneState {
	for ; name != ""; name = zones.ParentName(name) {
		if z := x.states[name]; z != nil && z.zone != nil {
			return z
		}
	}
	return nil
}

// signal counts a zone, which may be nil, under its Signals.
func (x *index) signal(z *zones.Zone, n int) {
	if z == nil {
		return
	}
	for _, domain := range z.Signals() {
		if x.signals[domain] += n; x.signals[domain] == 0 {
			delete(x.signals, domain)
		}
	}
}

// signaling returns the zones that have CDS and CDNSKEY of others, by origin.
func (x *index) signaling() map[string]*zoneState {
	all := map[string]*zoneState{}
	for domain := range x.signals {
		if z := x.zoneOf(domain); z != nil && z.zone.Vouches() {
			all[z.origin] = z
		}
	}
	return all
}

// home returns the map of a zone's policies; for nil, the map of policies without a zone.
func (x *index) home(z *zoneState) map[string]*zones.Policy {
	if z != nil {
		return z.policies
	}
	return x.homeless
}

// rehome moves the policies whose zone has come or gone.
func (x *index) rehome(origin string) {
	from := []map[string]*zones.Policy{x.homeless}
	if z := x.states[origin]; z != nil {
		from = append(from, z.policies)
	}
	if z := x.zoneOf(zones.ParentName(origin)); z != nil {
		from = append(from, z.policies)
	}
	for _, policies := range from {
		var moving []*zones.Policy
		for name, p := range policies {
			if zones.Under(name, origin) {
				moving = append(moving, p)
			}
		}
		for _, p := range moving {
			delete(policies, p.Name)
		}
		for _, p := range moving {
			z := x.zoneOf(p.Name)
			x.home(z)[p.Name] = p
			x.slots[zones.KindPolicy][p.Key()].home = z
		}
	}
}

// wait makes v the newest version, which is not in service. nil: the effective version is the newest.
func (x *index) wait(key zones.Key, v *version) {
	x.list(key, false)
	if before := x.waiting[key]; (before == nil) != (v == nil) {
		x.lack(key, v != nil)
	}
	if v == nil {
		delete(x.waiting, key)
	} else {
		x.waiting[key] = v
	}
	x.list(key, true)
	x.miss(key)
}

// lack counts that a key has begun to wait, or no longer waits.
func (x *index) lack(key zones.Key, waits bool) {
	origin, _, _, isRecord := splitRecord(key)
	if !isRecord {
		if key.Kind() != zones.KindZone {
			return
		}
		origin = key.Name()
	}
	if waits {
		x.lacking[strings.Clone(origin)]++
	} else if x.lacking[origin]--; x.lacking[origin] == 0 {
		delete(x.lacking, origin)
	}
}

// hollow reports whether there is a zone of that origin, or names in it, but nothing that can be used: its Zone was
// never readable, or none of its Records was and no policy answers in it.
func (x *index) hollow(origin string) bool {
	if x.lacking[origin] == 0 {
		return false
	}
	if z := x.states[origin]; z != nil && z.zone != nil {
		return z.records+len(z.policies) == 0 && !z.zone.Secondary()
	}
	return x.waiting[zones.KeyOf(zones.KindZone, origin)] != nil
}

// put makes a version the effective one.
func (x *index) put(key zones.Key, r zones.Resource, revision int64) {
	var home *zoneState
	switch r := r.(type) {
	case *zones.Record:
		x.putRecord(r, revision)
		return
	}
	x.replaces(key, r)
	switch r := r.(type) {
	case *zones.Zone:
		z := x.state(r.Origin)
		isNew := z.zone == nil
		x.signal(z.zone, -1)
		x.signal(r, 1)
		z.zone = r
		if delete(x.lists, r.Origin); r.Lists() {
			x.lists[z.origin] = r
		}
		if delete(x.brought, key); r.Transfer != nil && r.Transfer.Member != "" {
			x.brought[key] = struct{}{}
		}
		x.strayed(z)
		if isNew {
			x.rehome(r.Origin)
		}
	case *zones.Policy:
		home = x.zoneOf(r.Name)
		x.home(home)[r.Name] = r
		if delete(x.planned, key); len(r.Schedule) > 0 {
			x.planned[key] = r
		}
	case *zones.Endpoint:
		if old, ok := x.slots[zones.KindEndpoint][key]; ok {
			x.release(key, old.resource.(*zones.Endpoint))
		}
		pool := x.endpoints[r.Pool]
		if pool == nil {
			pool = make(map[string]*zones.Endpoint)
			x.endpoints[r.Pool] = pool
		}
		pool[r.Endpoint] = r
		for _, a := range r.Addresses {
			x.holders[a] = append(x.holders[a], key)
			if len(x.holders[a]) > 1 {
				x.shared[a] = struct{}{}
			}
		}
	}
	x.list(key, false)
	if old := x.slots[key.Kind()][key]; old != nil {
		old.resource, old.revision = r, revision
	} else {
		x.slots[key.Kind()][key] = &slot{r, revision, home}
	}
	x.list(key, true)
	x.miss(key)
}

// putRecord is put for a Record. changed is true if more than the revision changed, isNew if the record did not exist
// before.
func (x *index) putRecord(r *zones.Record, revision int64) (changed, isNew bool) {
	if x.replaced.was != nil {
		x.replaces(r.Key(), r)
	}
	z := x.state(r.Origin)
	changed, isNew = z.set(r, revision)
	if len(x.missed) > 0 {
		x.miss(r.Key())
	}
	if z.zone == nil {
		x.strayed(z)
	}
	return changed, isNew
}

// release removes an endpoint from its addresses.
func (x *index) release(key zones.Key, e *zones.Endpoint) {
	for _, a := range e.Addresses {
		hs := slices.DeleteFunc(x.holders[a], func(k zones.Key) bool { return k == key })
		x.holders[a] = hs
		if len(hs) < 2 {
			delete(x.shared, a)
		}
		if len(hs) == 0 {
			delete(x.holders, a)
		}
	}
}

// remove removes the effective version.
func (x *index) remove(key zones.Key) {
	x.replaces(key, nil)
	if origin, owner, kind, ok := splitRecord(key); ok {
		if z := x.states[origin]; z != nil {
			z.remove(owner, kind)
			x.strayed(z)
			x.drop(z)
		}
		x.miss(key)
		return
	}
	s := x.slots[key.Kind()][key]
	if s == nil {
		return
	}
	x.list(key, false)
	delete(x.slots[key.Kind()], key)
	x.list(key, true)
	switch r := s.resource.(type) {
	case *zones.Zone:
		z := x.states[r.Origin]
		x.signal(z.zone, -1)
		z.zone = nil
		delete(x.lists, r.Origin)
		x.strayed(z)
		x.rehome(r.Origin)
		x.drop(z)
	case *zones.Policy:
		delete(x.home(s.home), r.Name)
		delete(x.planned, key)
	case *zones.Endpoint:
		x.release(key, r)
		delete(x.endpoints[r.Pool], r.Endpoint)
		if len(x.endpoints[r.Pool]) == 0 {
			delete(x.endpoints, r.Pool)
		}
	}
	x.miss(key)
}

// list lists a resource under everything that its versions name, or removes it there.
func (x *index) list(key zones.Key, on bool) {
	var targets []zones.Key
	if s := x.slots[key.Kind()][key]; s != nil {
		targets = listedUnder(s.resource, false)
	}
	if v := x.waiting[key]; v != nil && v.resource != nil {
		targets = append(targets, listedUnder(v.resource, true)...)
	}
	for _, target := range targets {
		set := x.referrers[target]
		switch {
		case on && set == nil:
			x.referrers[target] = map[zones.Key]struct{}{key: {}}
		case on:
			set[key] = struct{}{}
		default:
			if delete(set, key); len(set) == 0 {
				delete(x.referrers, target)
			}
		}
	}
}

// listedUnder returns the keys and places under which a resource is listed. A waiting version has more, as whatever is
// in its way may go.
func listedUnder(r zones.Resource, waiting bool) []zones.Key {
	var keys []zones.Key
	for ref := range zones.References(r) {
		keys = append(keys, ref.Key())
	}
	switch r := r.(type) {
	case *zones.Zone:
		for _, ns := range r.Nameservers {
			keys = append(keys, placeOf(ns))
		}
	case *zones.Policy:
		keys = append(keys, placeOf(r.Name))
	case *zones.Record:
		if waiting {
			keys = append(keys, placeOf(zones.FullName(r.Owner, r.Origin)))
		}
	case *zones.Endpoint:
		if waiting {
			for _, a := range r.Addresses {
				keys = append(keys, addressPlace(r.Pool, a))
			}
		}
	}
	return keys
}

func placeOf(name string) zones.Key { return zones.Key("at/" + name) }

func addressPlace(pool string, a netip.Addr) zones.Key {
	return zones.Key("address/" + pool + "/" + a.String())
}
