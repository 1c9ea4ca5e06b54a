package store

import (
	"slices"
	"strings"

	"leeward/zones"
	"leeward/zones/etcd"
)

// premises are what must not have changed since the writer saw it, or else its change may be wrong.
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

// octets returns the approximate length of the comparisons, without a prefix of that length in each.
func (p *premises) octets(prefix int) int {
	return p.names + len(p.keys)*(prefix+etcd.AroundOp) + len(p.ranges)*2*(prefix+etcd.AroundOp)
}

// write adds what a write relies upon. A new owner takes a resource from the owner that the listing names. A new
// resource belongs to nobody, even if a mark of an earlier one is left.
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

// add adds what one edit relies upon: the key itself, what a put refers to, and the places of whatever may refer to a
// deleted resource. The records of one name, the endpoints of one pool, and all overrides are checked together, and so
// they are added too.
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
		p.key(zones.KeyOf(zones.KindDefaults, string(kind))) // there or not: it was checked with what it inherits
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
		p.key(etcd.Accepted) // nothing was removed since, either
	}
}

// deleted adds the places of whatever may refer to a deleted resource, and the other endpoints of its pool.
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
	p.key(etcd.Accepted) // others who remove something write it too
}

// count is the number of comparisons.
func (p *premises) count() int { return len(p.keys) + len(p.ranges) }

// zoneOf returns the longest origin in the listing that contains the name.
func zoneOf(name string, base *Listing) string {
	for ; name != ""; name = zones.ParentName(name) {
		if base.revision(zones.KeyOf(zones.KindZone, name)) != 0 {
			return name
		}
	}
	return ""
}
