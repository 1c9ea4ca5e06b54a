package tsig

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"leeward/server/wire"
)

// record is a TSIG record (RFC 8945 section 4.2).
type record struct {
	owner     string // the key's name, wire form, lower case
	algorithm string // the same
	signed    uint64 // seconds since 1970, 48 bits
	fudge     uint16 // seconds
	mac       []byte
	id        uint16 // of the message when it was signed
	err       uint16
	other     []byte
}

var (
	errForm  = errors.New("the message cannot be read")
	errPlace = errors.New("a TSIG record that is not the last one")
)

// find returns where the TSIG record of a message begins, or 0 if it has none. It walks the whole message, follows no
// compression pointer, and returns an error if something cannot be read.
func find(msg []byte) (int, error) {
	if len(msg) < wire.HeaderSize {
		return 0, errForm
	}
	at := wire.HeaderSize
	for range binary.BigEndian.Uint16(msg[4:]) {
		if at = wire.SkipName(msg, at); at < 0 || at+4 > len(msg) {
			return 0, errForm
		}
		at += 4
	}
	before := int(binary.BigEndian.Uint16(msg[6:])) + int(binary.BigEndian.Uint16(msg[8:]))
	total := before + int(binary.BigEndian.Uint16(msg[10:]))
	for i := range total {
		start := at
		if at = wire.SkipName(msg, at); at < 0 || at+10 > len(msg) {
			return 0, errForm
		}
		kind, end := binary.BigEndian.Uint16(msg[at:]), at+10+int(binary.BigEndian.Uint16(msg[at+8:]))
		if end > len(msg) {
			return 0, errForm
		}
		if kind == wire.TypeTSIG {
			if i != total-1 || i < before {
				return 0, errPlace
			}
			return start, nil
		}
		at = end
	}
	return 0, nil
}

// read reads the record that begins there.
func read(msg []byte, at int) (*record, error) {
	var r record
	var err error
	if r.owner, at, err = name(msg, at); err != nil {
		return nil, err
	}
	if at+10 > len(msg) || binary.BigEndian.Uint16(msg[at+2:]) != wire.ClassANY ||
		binary.BigEndian.Uint32(msg[at+4:]) != 0 {
		return nil, errForm
	}
	end := at + 10 + int(binary.BigEndian.Uint16(msg[at+8:]))
	if end > len(msg) {
		return nil, errForm
	}
	if r.algorithm, at, err = name(msg, at+10); err != nil {
		return nil, err
	}
	b := msg[min(at, end):end]
	if len(b) < 10 {
		return nil, errForm
	}
	r.signed = uint64(binary.BigEndian.Uint16(b))<<32 | uint64(binary.BigEndian.Uint32(b[2:]))
	r.fudge = binary.BigEndian.Uint16(b[6:])
	size := int(binary.BigEndian.Uint16(b[8:]))
	if b = b[10:]; len(b) < size+6 {
		return nil, errForm
	}
	r.mac, b = b[:size], b[size:]
	r.id, r.err = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	size = int(binary.BigEndian.Uint16(b[4:]))
	if r.other = b[6:]; len(r.other) != size {
		return nil, errForm
	}
	return &r, nil
}

// unsigned returns a copy of the message as it was before the TSIG record at that place was added: with its original
// ID, and without counting the record (RFC 8945 section 4.3.2).
func unsigned(msg []byte, at int, id uint16) []byte {
	m := append([]byte(nil), msg[:at]...)
	binary.BigEndian.PutUint16(m, id)
	binary.BigEndian.PutUint16(m[10:], binary.BigEndian.Uint16(m[10:])-1)
	return m
}

// name reads the name at that place, in lower case and uncompressed, and returns where it ends. It accepts only
// pointers that lead backwards, so it ends.
func name(msg []byte, at int) (n string, end int, err error) {
	var buf [wire.MaxName]byte
	size, lowest := 0, at
	for {
		if at >= len(msg) {
			return "", 0, errForm
		}
		length := int(msg[at])
		switch {
		case length >= 0xc0:
			if at+1 >= len(msg) {
				return "", 0, errForm
			}
			to := length&0x3f<<8 | int(msg[at+1])
			if to >= lowest {
				return "", 0, errForm
			}
			if end == 0 {
				end = at + 2
			}
			at, lowest = to, to
			continue
		case length > 63 || at+1+length > len(msg) || size+1+length > len(buf):
			return "", 0, errForm
		}
		for i, c := range msg[at : at+1+length] {
			if i > 0 && 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			buf[size] = c
			size++
		}
		at += 1 + length
		if length == 0 {
			if end == 0 {
				end = at
			}
			return string(buf[:size]), end, nil
		}
	}
}

// wireName returns the name of a key in wire form and lower case. It knows no escapes.
func wireName(s string) (string, error) {
	trimmed := strings.ToLower(strings.TrimSuffix(s, "."))
	var b []byte
	for label := range strings.SplitSeq(trimmed, ".") {
		if label == "" || len(label) > 63 {
			return "", fmt.Errorf("key name %q: a label is empty or longer than 63 octets", s)
		}
		for i := range len(label) {
			if c := label[i]; c <= ' ' || c >= 0x7f || c == '\\' || c == '"' {
				return "", fmt.Errorf("key name %q: character %q cannot be in it", s, c)
			}
		}
		b = append(append(b, byte(len(label))), label...)
	}
	if b = append(b, 0); len(b) > wire.MaxName {
		return "", fmt.Errorf("key name %q: longer than %d octets", s, wire.MaxName)
	}
	return string(b), nil
}

// presentation is the inverse of wireName.
func presentation(owner string) string {
	var labels []string
	for len(owner) > 1 {
		n := 1 + int(owner[0])
		labels = append(labels, owner[1:n])
		owner = owner[n:]
	}
	return strings.Join(labels, ".")
}
