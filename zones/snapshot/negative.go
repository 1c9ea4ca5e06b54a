package snapshot

import (
	"encoding/binary"
	"slices"

	"leeward/zones/rr"
)

// negative is a zone's SOA as negative answers have it (RFC 2308 section 3), in two forms. wire is the full record.
// short is for messages that contain the apex already: names in its RDATA that end in the apex end in a pointer instead
// (RFC 1035 section 4.1.4). Most negative answers consist of this record, so it is compressed once, when the zone is
// built.
type negative struct {
	wire  []byte
	short []byte
	links [2]uint16 // where short has such pointers; 0: nowhere
}

// newNegative makes both forms of an SOA record, given as appendRecord makes it.
func newNegative(apex rr.Name, wire []byte) negative {
	n := negative{wire: wire, short: append([]byte(nil), wire[:recordHead]...)}
	rest := wire[recordHead:]
	for i := range n.links { // MNAME, RNAME
		name, after, err := rr.CutName(rest)
		if err != nil { // not an SOA
			return negative{wire: wire, short: wire}
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

// reserial returns the same SOA with another serial.
func (n negative) reserial(serial uint32) negative {
	n.wire, n.short = slices.Clone(n.wire), slices.Clone(n.short)
	putSerial(n.wire, serial)
	putSerial(n.short, serial)
	return n
}

// putSerial writes the serial into an SOA record. It is the first of the five numbers at the end (RFC 1035 section
// 3.3.13).
func putSerial(soa []byte, serial uint32) {
	binary.BigEndian.PutUint32(soa[len(soa)-20:], serial)
}

// Negative returns the SOA for a negative answer (RFC 2308 section 3), also for a Steered name without addresses. Its
// owner is the zone's apex.
func (a *Answer) Negative() Set { return Set{Wire: a.in.negative.wire, Count: 1, Owner: a.Zone} }

// Short returns the same record with names in its RDATA cut short where they end in the apex. At each of links that is
// not 0, two zero octets must be overwritten with a pointer to the apex.
func (a *Answer) Short() (wire []byte, links [2]uint16) {
	return a.in.negative.short, a.in.negative.links
}
