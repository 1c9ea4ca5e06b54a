package snapshot

import "leeward/zones/rr"

// negative is a zone's SOA as it stands in negative answers (RFC 2308 section 3): in full, and as messages have it, where
// the apex is written already and the names in its RDATA end in a pointer to it (RFC 1035 section 4.1.4). Most answers to
// what nobody has are this record, so its compression is worked out once, when the zone is built.
type negative struct {
	wire  []byte
	short []byte
	links [2]uint16
}

// newNegative takes the SOA record as appendRecord makes it.
func newNegative(apex rr.Name, wire []byte) negative {
	n := negative{wire: wire, short: append([]byte(nil), wire[:recordHead]...)}
	rest := wire[recordHead:]
	for i := range n.links { // MNAME, RNAME
		name, after, err := rr.CutName(rest)
		if err != nil {
			return negative{wire: wire}
		}
		size := len(rest) - len(after)
		if name.Under(apex) {
			n.short = append(n.short, rest[:size-len(apex)]...)
			n.links[i] = uint16(len(n.short))
			n.short = append(n.short, 0, 0)
		} else {
			n.short = append(n.short, rest[:size]...)
		}
		rest = after
	}
	n.short = append(n.short, rest...)
	n.short[recordHead-1] = byte(len(n.short) - recordHead) // at most 2 × 255 + 20, and so two octets
	n.short[recordHead-2] = byte((len(n.short) - recordHead) >> 8)
	return n
}

// set is the record in an answer to a name whose suffix at that offset is the apex.
func (n *negative) set(apex int) Set {
	return Set{Wire: n.wire, Count: 1, Owner: apex, Short: n.short, Links: n.links}
}
