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
	to.reset(target)
	var above [128]uint8
	labels := a.in.above(to.lower, &above)
	if labels < 0 {
		return
	}
	t, name := a.in.tree, to.lower
	sh, n := t.find(name)
	found := 0
	for n == nil && found < labels {
		found++
		at := len(name) - len(a.in.origin)
		if found < labels {
			at = int(above[found])
		}
		sh, n = t.find(name[at:])
		if n != nil {
			to.star = append(append(to.star[:0], 1, '*'), name[at:]...)
		}
	}
	if n == nil {
		return
	}
	if t.cuts+t.turns > 0 {
		if hider, _ := a.in.hider(name, above[:labels], found); hider >= 0 {
			return
		}
	}
	if found > 0 {
		if t.stars == 0 {
			return
		}
		if sh, n = t.find(to.star); n == nil {
			return
		}
	}
	to.take(s, sh, n)
}

// Glue finds the addresses of a name server of a cut, whatever hides them (RFC 1034 4.3.2 step 3b), and reports whether the
// name is below the cut, so that nobody can reach it without them (RFC 9471 section 2.1).
func (s *Snapshot) Glue(a *Answer, cut, target []byte, to *Addresses) (inDomain bool) {
	to.reset(target)
	var above [128]uint8
	if a.in.above(to.lower, &above) < 0 {
		return false
	}
	if sh, n := a.in.tree.find(to.lower); n != nil {
		to.take(s, sh, n)
	}
	return under(to.lower, cut)
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
