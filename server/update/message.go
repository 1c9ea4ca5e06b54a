package update

import (
	"encoding/binary"
	"errors"

	"leeward/server/wire"
	"leeward/zones/rr"
)

// Classes that tell what a record of an update is for (RFC 2136 sections 2.4 and 2.5). A record that is added, or
// compared by value, has the zone's class.
const (
	classNone = 254
	classAny  = wire.ClassANY
)

// message is a parsed update (RFC 2136 section 2). Of the additional section, parse looks at OPT only: the signature
// has been checked and removed before.
type message struct {
	zone          question
	prerequisites []rr.Record
	updates       []rr.Record
}

// question is the zone section, which has the form of a question (RFC 2136 section 2.3).
type question struct {
	name  rr.Name
	typ   rr.Type
	class uint16
}

var errForm = errors.New("the message cannot be read")

// errZone is returned for a zone section that has no entry, or several.
var errZone = errors.New("the zone section does not name one zone")

// parse reads a message. m is never nil; if there is an error, it has what was read before.
func parse(msg []byte) (m *message, err error) {
	m = &message{}
	if len(msg) < wire.HeaderSize {
		return m, errForm
	}
	count := func(i int) int { return int(binary.BigEndian.Uint16(msg[4+2*i:])) }
	if count(0) != 1 {
		return m, errZone
	}
	owner, at, err := rr.ReadName(msg, wire.HeaderSize)
	if err != nil || at+4 > len(msg) {
		return m, errForm
	}
	n, _, err := rr.CutName(owner)
	if err != nil {
		return m, errForm
	}
	m.zone = question{
		name: n, typ: rr.Type(binary.BigEndian.Uint16(msg[at:])), class: binary.BigEndian.Uint16(msg[at+2:]),
	}
	at += 4
	opt := false
	for i, section := range []*[]rr.Record{&m.prerequisites, &m.updates, nil} {
		for range count(i + 1) {
			var r rr.Record
			if r, at, err = rr.ReadRecord(msg, at); err != nil {
				return m, errForm
			}
			if section != nil {
				*section = append(*section, r)
				continue
			}
			if r.Type == rr.TypeOPT {
				if opt || r.Owner != rr.Root {
					return m, errForm
				}
				opt = true
			}
		}
	}
	if at != len(msg) {
		return m, errForm
	}
	return m, nil
}
