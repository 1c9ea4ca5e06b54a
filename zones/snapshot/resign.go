package snapshot

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"leeward/zones"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
)

// sign brings denial and signatures of signed zones up to what the zones have now, so that all of a snapshot is signed
// when it is published. It finds changes as a transfer does, by the shards that two trees do not share. So it costs
// only as much as has changed. What policies answer with may also change with pools.
func (u *update) sign() {
	if len(u.signers) == 0 {
		return
	}
	steered := map[string]map[rr.Name]bool{} // by origin: names whose policies may answer differently
	note := func(policy string) {
		if p := u.Builder.policies.named[policy]; p != nil && u.signers[p.origin] != nil {
			if steered[p.origin] == nil {
				steered[p.origin] = map[rr.Name]bool{}
			}
			steered[p.origin][p.name] = true
		}
	}
	for name := range u.policies {
		note(name)
	}
	for pool := range u.pools {
		for _, p := range u.catalog.PoliciesUsing(pool) {
			note(p.Name)
		}
	}
	origins := map[string]bool{}
	for _, all := range []func(func(string) bool){
		maps.Keys(u.zones), slices.Values(u.touched), maps.Keys(steered),
	} {
		for origin := range all {
			if u.signers[origin] != nil {
				origins[origin] = true
			}
		}
	}
	maps.Copy(origins, u.again)
	for _, origin := range slices.Sorted(maps.Keys(origins)) {
		u.signZone(origin, steered[origin])
	}
}

// signZone does what sign does, for one zone. If it fails, the zone that was in service stays.
func (u *update) signZone(origin string, steered map[rr.Name]bool) {
	apex, err := rr.ParseName(origin)
	at, ok := u.out.origins[apex]
	if err != nil || !ok {
		return
	}
	z := *u.out.zones[at]
	if z.signing == nil {
		return
	}
	var old, served *zone
	if was, known := u.last.origins[apex]; known {
		served = u.last.zones[was]
		if old = served; old.signing == nil || old.signing.signer != z.signing.signer {
			old = nil
		}
	}
	g := signing{signer: z.signing.signer, theirs: z.signing.theirs}
	_, soa := z.tree.find([]byte(apex)).set(rr.TypeSOA)
	g.soaTTL = binary.BigEndian.Uint32(soa[6:])
	g.ttl = min(g.soaTTL, binary.BigEndian.Uint32(soa[len(soa)-4:]))
	z.signing = &g
	s := u.out
	var lacks lack
	if old == nil {
		g.chain = z.linkAll()
		z.keepAll(s)
		lacks, err = z.write(s, z.tree.nodes)
	} else if names, whole := z.relink(old); whole || !z.keepSince(s, old, names) {
		g.chain = z.linkAll()
		z.keepAll(s)
		lacks, err = z.write(s, z.tree.nodes)
	} else {
		for name := range steered {
			names[name] = true
		}
		for _, name := range u.lacking[origin].names {
			names[name] = true
		}
		lacks, err = z.write(s, func(yield func(node) bool) {
			for name := range names {
				if n := z.tree.find([]byte(name)); n != nil && !yield(n) {
					return
				}
			}
		})
	}
	if err != nil {
		key := zones.KeyOf(zones.KindZone, origin)
		u.problems[key] = zones.Problem{Key: key, Field: "dnssec", Message: fmt.Sprintf("it cannot be signed: %v", err)}
		if old != nil {
			u.setZone(at, old)
			return
		}
		u.setZone(at, &zone{origin: apex, hash: z.hash, tree: newTree(u.seed), standing: hollow})
		return
	}
	if lacks.next > 0 && !u.stage {
		g.signer.Unprepare() // it will be prepared again once everything is there
	}
	if u.lacked(origin, lacks, served != nil && served.standing != hollow) {
		u.setZone(at, served)
		return
	}
	if u.stage || lacks.sets > 0 {
		u.setZone(at, &z)
		return
	}
	now, next := g.signer.Generations()
	if old == nil {
		now.Whole()
		if next != nil {
			next.Whole()
		}
	}
	g.sweep = now.Sweep()
	u.setZone(at, &z)
}

// linkAll returns the chain of all names of the zone.
func (z *zone) linkAll() *dnssec.Chain {
	var keys [][]byte
	for n := range z.tree.nodes {
		if z.signing.links(n) && !z.hidden(n.name(), n) {
			keys = append(keys, z.key(nil, n.name()))
		}
	}
	var none *dnssec.Chain
	return none.Edit(keys, nil)
}

// relink makes the zone's chain from that of an older version, and returns the names that may have something new to
// sign. whole says that a cut or a DNAME above other names has come or gone, and so hides or shows them. The chain must
// then be made from all names.
func (z *zone) relink(old *zone) (names map[rr.Name]bool, whole bool) {
	a, b := old.tree, z.tree
	alike := a.len() == b.len() && a.seed == b.seed
	names = map[rr.Name]bool{}
	for _, t := range [...]*tree{a, b} {
		for i := range t.len() {
			if !alike || !a.at(i).same(b.at(i)) {
				t.at(i).each(func(n node) { names[rr.Name(n.name())] = true })
			}
		}
	}
	var put, drop [][]byte
	for name := range names {
		was, is := a.find([]byte(name)), b.find([]byte(name))
		hides := func(n node) [2]bool { return [2]bool{n != nil && n.cut(), n != nil && n.turn()} }
		if hides(was) != hides(is) && (was != nil && was.kids() > 0 || is != nil && is.kids() > 0) {
			return names, true
		}
		linked := old.signing.links(was) && !old.hidden([]byte(name), was)
		links := z.signing.links(is) && !z.hidden([]byte(name), is)
		switch {
		case links && !linked:
			put = append(put, z.key(nil, []byte(name)))
		case linked && !links:
			drop = append(drop, z.key(nil, []byte(name)))
		}
	}
	z.signing.chain = old.signing.chain
	if len(put)+len(drop) == 0 {
		return names, false
	}
	z.signing.chain = old.signing.chain.Edit(put, drop)
	for _, key := range slices.Concat(put, drop) { // the name before it now has another next name
		names[rr.Name(z.named(nil, z.signing.chain.Before(key)))] = true
	}
	return names, false
}
