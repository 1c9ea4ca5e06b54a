package store

import (
	"slices"
	"strings"

	"leeward/zones"
	"leeward/zones/etcd"
)

// premises are what must still be as the writer saw it for its change to be right.
type premises struct {
	keys   map[zones.Key]bool // each at the revision that was seen, or absent
	ranges map[string]bool    // folders or parts of them, ending in a slash: nothing put there since
	names  int                // octets of all of these
}

func newPremises() *premises {
	return &premises{keys: map[zones.Key]bool{}, ranges: map[string]bool{}}
}

func (p *premises) key(k zones.Key) {
	if !p.keys[k] {
		p.keys[k] = true
		p.names += len(k)
	}
}

func (p *premises) folder(f string) {
	if !p.ranges[f] {
		p.ranges[f] = true
		p.names += 2 * len(f) // a range has two ends
	}
}

// octets returns about how long the comparisons are, beside a prefix of that length in each.
func (p *premises) octets(prefix int) int {
	return p.names + len(p.keys)*(prefix+etcd.AroundOp) + len(p.ranges)*2*(prefix+etcd.AroundOp)
}

// write adds what a write relies upon. Whoever takes over what is there takes it from whom the listing says; what is
// put anew is nobody's, whatever mark is left of one before it.
func (p *premises) write(w write, base *Listing) {
	if w.owner != "" && w.had && base.marks != nil {
		p.key(markOf(w.edit.Key))
	}
	if w.only {
		p.key(w.edit.Key)
		return
	}
	p.add(w.edit, base)
}

// add adds what one edit relies upon: the key itself; what a put refers to; where whatever refers to a deleted one
// would be; and, as they are checked together, the records of one name, the endpoints of one pool, and all overrides.
func (p *premises) add(e zones.Edit, base *Listing) {
	p.key(e.Key)
	if e.New != nil {
		p.put(e.New, base)
	} else {
		p.deleted(e.Key)
	}
}

func (p *premises) under(kind zones.Kind, path string) {
	p.folder(string(zones.KeyOf(kind, path)))
}

func (p *premises) put(r zones.Resource, base *Listing) {
	for ref := range zones.References(r) {
		p.key(ref.Key())
	}
	if kind := r.Key().Kind(); slices.Contains(zones.KindsWithDefaults(), kind) {
		p.key(zones.KeyOf(zones.KindDefaults, string(kind))) // there or not: what it inherits was checked with it
	}
	switch r := r.(type) {
	case *zones.Record:
		p.key(zones.KeyOf(zones.KindZone, r.Origin))
		p.key(zones.KeyOf(zones.KindPolicy, zones.FullName(r.Owner, r.Origin)))
		p.under(zones.KindRecord, r.Origin+"/"+r.Owner+"/")
	case *zones.Endpoint:
		p.under(zones.KindEndpoint, r.Pool+"/")
	case *zones.Policy:
		if origin := zoneOf(r.Name, base); origin != "" {
			p.key(zones.KeyOf(zones.KindZone, origin))
			p.under(zones.KindRecord, origin+"/"+zones.OwnerWithin(r.Name, origin)+"/")
		}
	case *zones.Override:
		p.under(zones.KindOverride, "")
		p.key(etcd.Accepted) // nothing was taken away since either
	}
}

// deleted adds where whatever names a deleted resource would be, and the other endpoints of its pool.
func (p *premises) deleted(k zones.Key) {
	kind, name := k.Kind(), k.Name()
	if kind == zones.KindOverride {
		return
	}
	for _, x := range zones.Relations {
		switch {
		case x.To != kind:
		case x.Within:
			p.under(x.From, name+"/")
		default:
			p.under(x.From, "")
		}
	}
	if kind == zones.KindEndpoint {
		pool, _, _ := strings.Cut(name, "/")
		p.under(kind, pool+"/")
	}
	p.under(zones.KindOverride, "")
	p.key(etcd.Accepted) // others who take something away write it too
}

// count is how many comparisons they take.
func (p *premises) count() int { return len(p.keys) + len(p.ranges) }

// zoneOf returns the longest origin in the listing that holds the name.
func zoneOf(name string, base *Listing) string {
	for ; name != ""; name = zones.ParentName(name) {
		if base.revision(zones.KeyOf(zones.KindZone, name)) != 0 {
			return name
		}
	}
	return ""
}
