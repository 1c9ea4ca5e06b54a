package store

import (
	"maps"
	"strings"

	"leeward/zones"
)

// premises are what must still be as the writer saw it for its change to be right.
type premises struct {
	keys   map[zones.Key]bool // each at the revision that was seen, or absent
	ranges map[string]bool    // folders or parts of them, ending in a slash: nothing put there since
}

func newPremises() premises {
	return premises{keys: map[zones.Key]bool{}, ranges: map[string]bool{}}
}

// add adds what one edit relies upon: the key itself; what a put refers to; where whatever refers to a deleted one
// would be; and, as they are checked together, the records of one name, the endpoints of one pool, and all overrides.
func (p premises) add(e zones.Edit, base *Listing) {
	p.keys[e.Key] = true
	if e.New != nil {
		p.put(e.New, base)
	} else {
		p.deleted(e.Key)
	}
}

func (p premises) refer(kind zones.Kind, name string) {
	if name != "" {
		p.keys[zones.KeyOf(kind, name)] = true
	}
}

func (p premises) under(kind zones.Kind, path string) {
	p.ranges[string(zones.KeyOf(kind, path))] = true
}

func (p premises) put(r zones.Resource, base *Listing) {
	switch r := r.(type) {
	case *zones.Record:
		p.refer(zones.KindZone, r.Origin)
		p.refer(zones.KindPolicy, zones.FullName(r.Owner, r.Origin))
		p.under(zones.KindRecord, r.Origin+"/"+r.Owner+"/")
	case *zones.Pool:
		p.refer(zones.KindRegion, r.Region)
		p.refer(zones.KindMonitor, r.Monitor)
	case *zones.Endpoint:
		p.refer(zones.KindPool, r.Pool)
		p.under(zones.KindEndpoint, r.Pool+"/")
	case *zones.Map:
		for _, regions := range r.Prefixes {
			for _, region := range regions {
				p.refer(zones.KindRegion, region)
			}
		}
	case *zones.Policy:
		for _, pool := range r.PoolNames() {
			p.refer(zones.KindPool, pool)
		}
		p.refer(zones.KindMap, r.Map)
		if origin := zoneOf(r.Name, base); origin != "" {
			p.refer(zones.KindZone, origin)
			owner := strings.TrimSuffix(strings.TrimSuffix(r.Name, strings.TrimPrefix(origin, ".")), ".")
			if owner == "" {
				owner = "@"
			}
			p.under(zones.KindRecord, origin+"/"+owner+"/")
		}
	case *zones.Override:
		p.refer(targetOf(r.Target))
		p.under(zones.KindOverride, "")
		p.keys[accepted] = true // nothing was taken away since either
	}
}

func (p premises) deleted(k zones.Key) {
	name := k.Name()
	switch k.Kind() {
	case zones.KindZone:
		p.under(zones.KindRecord, name+"/")
		p.under(zones.KindPolicy, "")
	case zones.KindRegion:
		p.under(zones.KindPool, "")
		p.under(zones.KindMap, "")
	case zones.KindMonitor:
		p.under(zones.KindPool, "")
	case zones.KindMap:
		p.under(zones.KindPolicy, "")
	case zones.KindPool:
		p.under(zones.KindEndpoint, name+"/")
		p.under(zones.KindPolicy, "")
	case zones.KindEndpoint:
		pool, _, _ := strings.Cut(name, "/")
		p.under(zones.KindEndpoint, pool+"/")
	case zones.KindOverride:
		return
	}
	p.under(zones.KindOverride, "")
	p.keys[accepted] = true // others who take something away write it too
}

// crowded is the folder that has the most keys among the premises.
func (p premises) crowded() (zones.Kind, int) {
	count := map[zones.Kind]int{}
	for k := range p.keys {
		count[k.Kind()]++
	}
	delete(count, "")
	var most zones.Kind
	for _, kind := range zones.Kinds {
		if count[kind] > count[most] {
			most = kind
		}
	}
	return most, count[most]
}

// count is how many comparisons they take.
func (p premises) count() int { return len(p.keys) + len(p.ranges) }

// shrink brings the premises down to limit comparisons: where there are too many keys, their whole folder must not have
// been written to since, and nothing been taken away on purpose. etcd reads all of a folder for that while it does
// nothing else, so that a folder which large says is too large ends it; it returns whether the limit is kept.
func (p premises) shrink(limit int, large func(zones.Kind) bool) bool {
	for p.count() > limit {
		kind, n := p.crowded()
		if n <= 1 || large(kind) {
			return false
		}
		folder := string(zones.KeyOf(kind, ""))
		maps.DeleteFunc(p.keys, func(k zones.Key, _ bool) bool { return k.Kind() == kind })
		maps.DeleteFunc(p.ranges, func(r string, _ bool) bool { return strings.HasPrefix(r, folder) })
		p.ranges[folder] = true
		p.keys[accepted] = true
	}
	return true
}

// zoneOf returns the longest origin in the listing that holds the name.
func zoneOf(name string, base *Listing) string {
	for name != "." {
		if base.revision(zones.KeyOf(zones.KindZone, name)) != 0 {
			return name
		}
		_, parent, ok := strings.Cut(name, ".")
		if !ok {
			parent = "."
		}
		name = parent
	}
	if base.revision(zones.KeyOf(zones.KindZone, ".")) != 0 {
		return "."
	}
	return ""
}

// targetOf returns the kind and the name of what an override is about.
func targetOf(target string) (zones.Kind, string) {
	kind, name, _ := strings.Cut(target, "/")
	switch kind {
	case "region":
		return zones.KindRegion, name
	case "pool":
		return zones.KindPool, name
	case "endpoint":
		return zones.KindEndpoint, name
	}
	return "", ""
}
