package rr

import (
	"encoding/binary"
	"errors"
)

// Record is a resource record from a message (RFC 1035 section 4.1.3).
type Record struct {
	Owner Name
	Type  Type
	Class uint16
	TTL   uint32 // seconds
	Data  []byte // RDATA in wire form, its names in full; not a part of the message
}

var errMessage = errors.New("the message cannot be read")

// ReadRecord reads the record at that place of a message, and returns where the next one begins.
func ReadRecord(msg []byte, at int) (r Record, next int, err error) {
	owner, at, err := ReadName(msg, at)
	if err != nil || at+10 > len(msg) {
		return r, 0, errMessage
	}
	if r.Owner, _, err = CutName(owner); err != nil {
		return r, 0, errMessage
	}
	r.Type = Type(binary.BigEndian.Uint16(msg[at:]))
	r.Class, r.TTL = binary.BigEndian.Uint16(msg[at+2:]), binary.BigEndian.Uint32(msg[at+4:])
	next = at + 10 + int(binary.BigEndian.Uint16(msg[at+8:]))
	if next > len(msg) {
		return r, 0, errMessage
	}
	r.Data, err = uncompressed(msg, at+10, next, r.Type)
	return r, next, err
}

// layout says where RDATA has names: after some octets and some character strings.
type layout struct{ octets, strings, names int }

// layouts has the types whose names may come compressed: those of RFC 1035, and those that receivers must accept too by
// RFC 3597 section 4.
var layouts = map[Type]layout{
	2: {0, 0, 1}, 3: {0, 0, 1}, 4: {0, 0, 1}, 5: {0, 0, 1}, 6: {0, 0, 2}, 7: {0, 0, 1}, 8: {0, 0, 1}, 9: {0, 0, 1},
	12: {0, 0, 1},
	14: {0, 0, 2}, 15: {2, 0, 1}, 17: {0, 0, 2}, 18: {2, 0, 1}, 21: {2, 0, 1}, 26: {2, 0, 2}, 33: {6, 0, 1},
	35: {4, 3, 1},
	36: {2, 0, 1}, 39: {0, 0, 1},
}

// uncompressed returns RDATA with its names in full.
func uncompressed(msg []byte, at, end int, t Type) ([]byte, error) {
	l := layouts[t]
	if l.names == 0 || at == end {
		return append([]byte(nil), msg[at:end]...), nil
	}
	start := at
	at += l.octets
	for range l.strings {
		if at >= end {
			return nil, errMessage
		}
		at += 1 + int(msg[at])
	}
	if at > end {
		return nil, errMessage
	}
	data := append([]byte(nil), msg[start:at]...)
	for range l.names {
		n, next, err := ReadName(msg[:end], at)
		if err != nil {
			return nil, errMessage
		}
		data, at = append(data, n...), next
	}
	return append(data, msg[at:end]...), nil
}

// Folds reports whether RDATA of a type has names whose case does not matter.
func Folds(t Type) bool { return layouts[t].names > 0 }

// Folded returns uncompressed RDATA with its names in lower case, which is how records are compared (RFC 2136 section
// 1.1).
func Folded(t Type, data []byte) string {
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
		n, after, err := CutName(rest)
		if err != nil {
			break
		}
		out, rest = append(out, n...), after
	}
	return string(append(out, rest...))
}

// ReadName returns the name at that place of a message, uncompressed and in its own case, and the place after it. It
// accepts only pointers that lead backwards, so it ends.
func ReadName(msg []byte, at int) (n []byte, next int, err error) {
	n = make([]byte, 0, 64)
	for lowest := at; ; {
		if at >= len(msg) {
			return nil, 0, errMessage
		}
		length := int(msg[at])
		switch {
		case length >= 0xc0:
			if at+2 > len(msg) {
				return nil, 0, errMessage
			}
			to := length&0x3f<<8 | int(msg[at+1])
			if to >= lowest {
				return nil, 0, errMessage
			}
			if next == 0 {
				next = at + 2
			}
			at, lowest = to, to
			continue
		case length > MaxLabel || at+1+length > len(msg) || len(n)+1+length > MaxName:
			return nil, 0, errMessage
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
