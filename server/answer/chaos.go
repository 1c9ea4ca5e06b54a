package answer

import (
	"encoding/binary"

	"leeward/server/wire"
)

// Chaos is what a server says about itself to questions of class CH and type TXT. A name whose field is empty is
// refused.
type Chaos struct {
	ID      string // to id.server and hostname.bind (RFC 4892)
	Version string // to version.bind and version.server
}

// chaosText is one name of class CH and its record, ready to be copied.
type chaosText struct {
	name   string // wire form, lower case
	record []byte // owner (two zero octets), TYPE, CLASS, TTL, RDLENGTH, RDATA
}

// texts makes the records. Their TTL is 0: they are about this server, and the next query to an anycast address may
// reach another one.
func (c Chaos) texts() (all []chaosText) {
	add := func(text string, names ...string) {
		if text == "" {
			return
		}
		text = text[:min(len(text), 255)] // a character-string (RFC 1035 section 3.3)
		record := make([]byte, wire.DataOffset, wire.DataOffset+1+len(text))
		binary.BigEndian.PutUint16(record[2:], wire.TypeTXT)
		binary.BigEndian.PutUint16(record[4:], wire.ClassCH)
		binary.BigEndian.PutUint16(record[10:], uint16(1+len(text)))
		record = append(append(record, byte(len(text))), text...)
		for _, name := range names {
			all = append(all, chaosText{name, record})
		}
	}
	add(c.ID, "\x02id\x06server\x00", "\x08hostname\x04bind\x00")
	add(c.Version, "\x07version\x04bind\x00", "\x07version\x06server\x00")
	return all
}

// chaos answers a question of class CH. It is not authoritative: there is no zone of that class.
func (w *Worker) chaos() (rcode uint16) {
	if w.query.Type == wire.TypeTXT {
		for i := range w.responder.chaos {
			if c := &w.responder.chaos[i]; c.name == string(w.query.Name()) {
				w.ours = true
				w.put(wire.Answer, &wire.RRset{Owner: wire.QName, Data: c.record, Count: 1})
				return wire.RcodeNoError
			}
		}
	}
	w.build.SetError(wire.ErrorNotSupported, "")
	return wire.RcodeRefused
}
