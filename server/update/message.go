package update

import (
	"encoding/binary"
	"errors"

	"leeward/server/wire"
	"leeward/zones/rr"
)

// Classes that say what an update's record is for (RFC 2136 sections 2.4 and 2.5), beside that of the zone.
const (
	classNone = 254
	classAny  = wire.ClassANY
)

// message is an update, taken apart (RFC 2136 section 2). Of the additional section only OPT is looked at: the signature has been
// seen to already.
type message struct {
	zone          question
	prerequisites []record
	updates       []record

	edns    bool
	version uint8
	udpSize uint16 // octets; wire.MinUDP without EDNS
}

// question is the zone section, which has the form of a question.
type question struct {
	name  rr.Name
	typ   rr.Type
	class uint16
	raw   []byte // as sent
}

type record struct {
	owner rr.Name
	typ   rr.Type
	class uint16
	ttl   uint32
	data  []byte // uncompressed
}

var errForm = errors.New("the message cannot be read")

// errZone is a zone section of none or several zones.
var errZone = errors.New("the zone section does not name one zone")

// parse reads a message. zone.raw is there as soon as one zone could be read, whatever comes after it.
func parse(msg []byte) (m *message, err error) {
	m = &message{udpSize: wire.MinUDP}
	if len(msg) < wire.HeaderSize {
		return m, errForm
	}
	count := func(i int) int { return int(binary.BigEndian.Uint16(msg[4+2*i:])) }
	if count(0) != 1 {
		return m, errZone
	}
	owner, at, err := name(msg, wire.HeaderSize)
	if err != nil || at+4 > len(msg) {
		return m, errForm
	}
	n, _, err := rr.CutName(owner)
	if err != nil {
		return m, errForm
	}
	m.zone = question{
		name: n, typ: rr.Type(binary.BigEndian.Uint16(msg[at:])), class: binary.BigEndian.Uint16(msg[at+2:]),
		raw: append(owner, msg[at:at+4]...),
	}
	at += 4
	for i, section := range []*[]record{&m.prerequisites, &m.updates, nil} {
		for range count(i + 1) {
			var r record
			if r, at, err = readRecord(msg, at); err != nil {
				return m, err
			}
			if section != nil {
				*section = append(*section, r)
				continue
			}
			if r.typ != rr.TypeOPT {
				continue
			}
			if m.edns || r.owner != rr.Root {
				return m, errForm
			}
			m.edns, m.version, m.udpSize = true, uint8(r.ttl>>16), max(r.class, wire.MinUDP)
		}
	}
	if at != len(msg) {
		return m, errForm
	}
	return m, nil
}

// readRecord reads the record at that place, and returns where the next one begins.
func readRecord(msg []byte, at int) (r record, next int, err error) {
	owner, at, err := name(msg, at)
	if err != nil || at+10 > len(msg) {
		return r, 0, errForm
	}
	if r.owner, _, err = rr.CutName(owner); err != nil {
		return r, 0, errForm
	}
	r.typ = rr.Type(binary.BigEndian.Uint16(msg[at:]))
	r.class, r.ttl = binary.BigEndian.Uint16(msg[at+2:]), binary.BigEndian.Uint32(msg[at+4:])
	next = at + 10 + int(binary.BigEndian.Uint16(msg[at+8:]))
	if next > len(msg) {
		return r, 0, errForm
	}
	r.data, err = uncompressed(msg, at+10, next, r.typ)
	return r, next, err
}

// layout says where in RDATA names are: after some octets and some character strings.
type layout struct{ octets, strings, names int }

// layouts are the types whose names may come compressed: those of RFC 1035, and those that RFC 3597 section 4 has receivers take
// as well.
var layouts = map[rr.Type]layout{
	2: {0, 0, 1}, 3: {0, 0, 1}, 4: {0, 0, 1}, 5: {0, 0, 1}, 6: {0, 0, 2}, 7: {0, 0, 1}, 8: {0, 0, 1}, 9: {0, 0, 1}, 12: {0, 0, 1},
	14: {0, 0, 2}, 15: {2, 0, 1}, 17: {0, 0, 2}, 18: {2, 0, 1}, 21: {2, 0, 1}, 26: {2, 0, 2}, 33: {6, 0, 1}, 35: {4, 3, 1},
	36: {2, 0, 1}, 39: {0, 0, 1},
}

// uncompressed returns RDATA with its names in full.
func uncompressed(msg []byte, at, end int, t rr.Type) ([]byte, error) {
	l := layouts[t]
	if l.names == 0 || at == end {
		return append([]byte(nil), msg[at:end]...), nil
	}
	start := at
	at += l.octets
	for range l.strings {
		if at >= end {
			return nil, errForm
		}
		at += 1 + int(msg[at])
	}
	if at > end {
		return nil, errForm
	}
	data := append([]byte(nil), msg[start:at]...)
	for range l.names {
		n, next, err := name(msg[:end], at)
		if err != nil {
			return nil, errForm
		}
		data, at = append(data, n...), next
	}
	return append(data, msg[at:end]...), nil
}

// folded returns uncompressed RDATA with its names in lower case, which is how records are compared (RFC 2136 section 1.1).
func folded(t rr.Type, data []byte) string {
	l := layouts[t]
	at := l.octets
	for range l.strings {
		if at < len(data) {
			at += 1 + int(data[at])
		}
	}
	if l.names == 0 || at >= len(data) {
		return string(data)
	}
	out, rest := append([]byte(nil), data[:at]...), data[at:]
	for range l.names {
		n, after, err := rr.CutName(rest)
		if err != nil {
			break
		}
		out, rest = append(out, n...), after
	}
	return string(append(out, rest...))
}

// name reads the name at that place, uncompressed and in the case it has, and returns where what follows it begins. Pointers lead
// backwards only, so it ends.
func name(msg []byte, at int) (n []byte, next int, err error) {
	n = make([]byte, 0, 64)
	for lowest := at; ; {
		if at >= len(msg) {
			return nil, 0, errForm
		}
		length := int(msg[at])
		switch {
		case length >= 0xc0:
			if at+2 > len(msg) {
				return nil, 0, errForm
			}
			to := length&0x3f<<8 | int(msg[at+1])
			if to >= lowest {
				return nil, 0, errForm
			}
			if next == 0 {
				next = at + 2
			}
			at, lowest = to, to
			continue
		case length > rr.MaxLabel || at+1+length > len(msg) || len(n)+1+length > rr.MaxName:
			return nil, 0, errForm
		}
		n = append(n, msg[at:at+1+length]...)
		if at += 1 + length; length == 0 {
			if next == 0 {
				next = at
			}
			return n, next, nil
		}
	}
}
