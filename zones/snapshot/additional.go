package snapshot

import (
	"bytes"

	"leeward/zones/rr"
	"leeward/zones/steer"
)

// Addresses are what there is to say, in an additional section, of a name that other records lead to: RRsets without
// records where there is nothing, or the policy that steers the name.
type Addresses struct {
	Sets   [2]Set        // A, AAAA; the owner is the name itself
	Policy *steer.Policy // that answers in place of both; nil: none

	lower, star []byte // scratch
}

// Additional finds the addresses of a name out of the RDATA of an answer, in the zone that gave it and as that answers for
// them: what is hidden by a cut or a DNAME is not there, wildcards are, and aliases are not followed. It allocates nothing
// once the scratch space has grown.
func (s *Snapshot) Additional(a *Answer, target []byte, to *Addresses) {
	s.beside(a.in, target, to, false)
}

// Glue finds the addresses of a name server of a cut, whatever hides them (RFC 1034 4.3.2 step 3b): if inDomain those below
// the cut, which nobody can reach without them (RFC 9471 section 2.1), otherwise the others. It reports whether the name is
// of that kind.
func (s *Snapshot) Glue(a *Answer, cut, target []byte, inDomain bool, to *Addresses) bool {
	to.reset(target)
	if under(to.lower, cut) != inDomain {
		return false
	}
	s.beside(a.in, target, to, true)
	return true
}

func (s *Snapshot) beside(z *zone, target []byte, to *Addresses, hidden bool) {
	to.reset(target)
	var offsets [128]uint8
	labels := z.above(to.lower, &offsets)
	if labels < 0 {
		return
	}
	t, name, above := z.tree, to.lower, offsets[:labels]
	sh, n := t.find(name)
	found, at := 0, 0 // the closest name that exists
	for n == nil && found < labels {
		if found++; found < labels {
			at = int(above[found])
		} else {
			at = len(name) - len(z.origin)
		}
		sh, n = t.find(name[at:])
	}
	if n == nil {
		return
	}
	if !hidden && t.cuts+t.turns > 0 {
		if z.hider(name, above, found, sh, n).at >= 0 {
			return
		}
	}
	if found > 0 {
		if t.stars == 0 {
			return
		}
		to.star = append(append(to.star[:0], 1, '*'), name[at:]...)
		if sh, n = t.find(to.star); n == nil {
			return
		}
	}
	to.take(s, sh, n)
}

// above fills in the offsets of a name's labels before the zone's apex and returns how many there are, -1 if the name is not
// in the zone.
func (z *zone) above(name []byte, offsets *[128]uint8) int {
	apex := len(name) - len(z.origin)
	if apex < 0 || string(name[apex:]) != string(z.origin) {
		return -1
	}
	labels, at := 0, 0
	for ; at < apex && labels < len(offsets); at += int(name[at]) + 1 {
		offsets[labels] = uint8(at)
		labels++
	}
	if at != apex {
		return -1
	}
	return labels
}

// under reports whether a name is a zone's or below it, both in wire form and lower case.
func under(name, zone []byte) bool {
	for at := 0; len(name)-at >= len(zone); at += int(name[at]) + 1 {
		if len(name)-at == len(zone) {
			return bytes.Equal(name[at:], zone)
		}
	}
	return false
}

func (to *Addresses) reset(target []byte) {
	*to = Addresses{lower: appendLower(to.lower[:0], target), star: to.star[:0]}
}

// take is what a node has.
func (to *Addresses) take(s *Snapshot, sh *shard, n *node) {
	if n.policy >= 0 {
		to.Policy = s.policies[n.policy]
		return
	}
	for i, typ := range [...]rr.Type{rr.TypeA, rr.TypeAAAA} {
		count, wire := sh.set(n, uint16(typ))
		to.Sets[i] = Set{Wire: wire, Count: count}
	}
}
