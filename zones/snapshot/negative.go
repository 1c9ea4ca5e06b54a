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
	short Short
}

// Short is a record whose owner a message contains already. At each of Links that is not 0, as at the start of Record,
// two zero octets must be overwritten with a pointer to the owner.
type Short struct {
	Record []byte
	Links  [2]uint16
}

// newNegative makes both forms of an SOA record, given as appendRecord makes it.
func newNegative(apex rr.Name, wire []byte) negative {
	n := negative{wire: wire, short: Short{Record: append([]byte(nil), wire[:recordHead]...)}}
	rest := wire[recordHead:]
	for i := range n.short.Links { // MNAME, RNAME
		name, after, err := rr.CutName(rest)
		if err != nil { // not an SOA
			return negative{wire: wire, short: Short{Record: wire}}
		}
		size := len(rest) - len(after)
		if name.Under(apex) {
			n.short.Record = append(n.short.Record, rest[:size-len(apex)]...)
			n.short.Links[i] = uint16(len(n.short.Record))
			n.short.Record = append(n.short.Record, 0, 0)
		} else {
			n.short.Record = append(n.short.Record, rest[:size]...)
		}
		rest = after
	}
	n.short.Record = append(n.short.Record, rest...)
	n.short.Record[recordHead-1] = byte(len(n.short.Record) - recordHead) // at most 2 × 255 + 20, and so two octets
	n.short.Record[recordHead-2] = byte((len(n.short.Record) - recordHead) >> 8)
	return n
}

// reserial returns the same SOA with another serial.
func (n negative) reserial(serial uint32) negative {
	n.wire, n.short.Record = slices.Clone(n.wire), slices.Clone(n.short.Record)
	putSerial(n.wire, serial)
	putSerial(n.short.Record, serial)
	return n
}

// putSerial writes the serial into an SOA record. It is the first of the five numbers at the end (RFC 1035 section
// 3.3.13).
func putSerial(soa []byte, serial uint32) {
	binary.BigEndian.PutUint32(soa[len(soa)-20:], serial)
}

// Negative returns the SOA for a negative answer (RFC 2308 section 3), also for a Steered name without addresses: the
// full record, and the short one. The owner is the zone's apex.
func (a *Answer) Negative() (record []byte, short *Short) {
	return a.in.negative.wire, &a.in.negative.short
}
