package snapshot

import (
	"leeward/zones/rr"
	"leeward/zones/steer"
)

// Addresses are the addresses of a name that other records point to, for the additional section. They are RRsets, which
// may be empty, or the policy that steers the name.
type Addresses struct {
	Sets   [2]Set        // A, AAAA; the owner is the name itself
	Policy *steer.Policy // answers instead of both sets; nil: no policy steers the name

	Wild   bool // they belong to a wildcard
	Hidden bool // they are glue: a cut or a DNAME hides them, and they are not signed

	source      []byte // the name that has them
	lower, star []byte // scratch
}

// Source returns the name that has the addresses, in wire form and lower case.
func (to *Addresses) Source() []byte { return to.source }

// Additional finds the addresses of a name from the RDATA of an answer, within the zone that answered, as that zone
// would answer for them: names hidden by a cut or a DNAME have none, wildcards count, and aliases are not followed. It
// allocates nothing once the scratch space has grown.
func (s *Snapshot) Additional(a *Answer, target []byte, to *Addresses) {
	s.beside(a.in, target, to, false)
}

// Glue finds the addresses of a cut's nameserver, even if they are hidden (RFC 1034 section 4.3.2 step 3b). It reports
// whether the nameserver is below the cut, and so cannot be reached without them (RFC 9471 section 2.1).
func (s *Snapshot) Glue(a *Answer, cut, target []byte, to *Addresses) (inDomain bool) {
	s.beside(a.in, target, to, true)
	return under(to.lower, cut)
}

// Any reports whether there is an address, or a policy that may have one.
func (to *Addresses) Any() bool { return to.Sets[0].Count+to.Sets[1].Count > 0 || to.Policy != nil }

func (s *Snapshot) beside(z *zone, target []byte, to *Addresses, hidden bool) {
	to.reset(target)
	if !under(to.lower, z.origin) {
		return
	}
	t, name := z.tree, to.lower
	n := t.find(name)
	if n != nil && (hidden || t.cuts+t.turns == 0) {
		to.Hidden = hidden && (z.signing != nil || z.sealed != nil) && (n.cut() || z.hidden(name, n))
		to.take(s, n)
		return
	}
	var offsets [128]uint8
	above := offsets[:z.above(name, &offsets)]
	labels := len(above)
	found, at := 0, 0 // the closest name that exists
	for n == nil && found < labels {
		if found++; found < labels {
			at = int(above[found])
		} else {
			at = len(name) - len(z.origin)
		}
		n = t.find(name[at:])
	}
	if n == nil {
		return
	}
	if !hidden && t.cuts+t.turns > 0 {
		if z.hider(name, above, found, n).at >= 0 {
			return
		}
	}
	if found > 0 {
		if t.stars == 0 {
			return
		}
		to.star = append(append(to.star[:0], 1, '*'), name[at:]...)
		if n = t.find(to.star); n == nil {
			return
		}
		to.Wild = true
	}
	to.take(s, n)
}

// above fills in the offsets of a name's labels before the apex, and returns how many there are.
func (z *zone) above(name []byte, offsets *[128]uint8) (labels int) {
	for at := 0; at < len(name)-len(z.origin) && labels < len(offsets); at += int(name[at]) + 1 {
		offsets[labels] = uint8(at)
		labels++
	}
	return labels
}

// under reports whether a name is the zone's apex or below it, both in wire form and lower case.
func under[Z []byte | rr.Name](name []byte, zone Z) bool {
	for at := 0; len(name)-at >= len(zone); at += int(name[at]) + 1 {
		if len(name)-at == len(zone) {
			return string(name[at:]) == string(zone)
		}
	}
	return false
}

func (to *Addresses) reset(target []byte) {
	*to = Addresses{lower: appendLower(to.lower[:0], target), star: to.star[:0]}
}

// take reads a node's addresses.
func (to *Addresses) take(s *Snapshot, n node) {
	to.source = n.name()
	if number := n.policy(); number >= 0 {
		to.Policy = s.policies[number]
		return
	}
	for i, typ := range [...]rr.Type{rr.TypeA, rr.TypeAAAA} {
		count, wire := n.set(typ)
		to.Sets[i] = Set{Wire: wire, Count: count}
	}
}
