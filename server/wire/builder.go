package wire

import "encoding/binary"

// Section is a section of a response.
type Section uint8

// The sections, in the order in which they must be written.
const (
	Answer Section = iota
	Authority
	Additional
)

// Offsets of owners, for callers of Put.
const (
	// QName is where the question's name begins in a message.
	QName = HeaderSize
	// DataOffset is the distance from the start of a record, whose owner is a pointer, to its RDATA. There is the
	// target of a CNAME, which owns the next records.
	DataOffset = 2 + recordFixed

	// MaxPointer is the last offset that a pointer reaches (RFC 1035 section 4.1.4).
	MaxPointer = 0x3fff

	recordFixed = 10 // TYPE, CLASS, TTL, RDLENGTH
)

// Builder writes a response into the caller's buffer. Its exported fields are set once; Start begins a message, Put
// fills it in the order of the sections, and Finish completes it.
//
// A set of records goes in whole or not at all. If one does not fit into the answer section, TC is set and only the
// question and the OPT record remain. So the requester comes back over TCP, and nobody takes a part for the whole (RFC
// 2181 section 9). If one does not fit into the authority section, TC is set as well. In the additional section it is
// just left out. After TC nothing more goes in.
type Builder struct {
	NSID []byte // the server's identifier, for requests that ask for it; none if empty

	Suffixes *Suffixes // the table that Tighten uses; if nil, Tighten does nothing

	buf      []byte // as long as the message may be
	n        int    // octets written
	body     int    // where the sections after the question begin
	reserved int    // octets set aside for the OPT record
	counts   [3]uint16
	section  Section
	full     bool // TC is set
	bare     bool // TC is not set, although full is
	tight    bool // names are cut short as far as they can be
	hopeless bool // even then the response would not fit
	aa       bool
	rcode    uint16
	query    *Query
	opt      opt
}

// Start begins the response to a query: its header, and the question in the case in which it was asked, if one could be
// read. The response has at most limit octets, and at most cap(buf), which should be at least MinUDP. The buffer must
// not overlap the request. The query must not change until Finish.
func (b *Builder) Start(buf []byte, limit int, q *Query) {
	b.bare, b.tight, b.hopeless = false, false, false
	limit = min(limit, cap(buf), MaxMessage)
	b.buf = buf[:max(limit, 0)]
	b.query = q
	b.n, b.body, b.reserved = 0, 0, 0
	b.counts, b.section, b.full = [3]uint16{}, Answer, false
	b.aa, b.rcode, b.opt = false, RcodeNoError, opt{}
	if limit < HeaderSize {
		b.buf, b.full = nil, true
		return
	}
	clear(b.buf[:HeaderSize])
	b.n = HeaderSize
	if len(q.Question) > 0 && b.fits(len(q.Question)) {
		b.n += copy(b.buf[b.n:], q.Question)
		b.buf[5] = 1 // QDCOUNT
	}
	b.body = b.n
	b.startOPT()
}

// Reply is Start and Finish of a response without records: a refusal, or an error.
func (b *Builder) Reply(buf []byte, limit int, q *Query, rcode uint16) []byte {
	b.Start(buf, limit, q)
	b.SetRcode(rcode)
	return b.Finish()
}

// SetRcode sets the response code. The default is RcodeNoError. Codes above 15 need the OPT record (RFC 6891 section
// 6.1.3); without one, only the low four bits remain.
func (b *Builder) SetRcode(rcode uint16) { b.rcode = rcode }

// SetAuthoritative sets AA. By default it is clear.
func (b *Builder) SetAuthoritative(aa bool) { b.aa = aa }

// Len returns how many octets are written: the offset of the next record.
func (b *Builder) Len() int { return b.n }

// Empty reports whether there are no records, apart from OPT.
func (b *Builder) Empty() bool { return b.counts == [3]uint16{} }

// Truncated reports whether TC is set.
func (b *Builder) Truncated() bool { return b.full && !b.bare }

// Truncate removes all records and sets TC. From then on nothing goes in any more, apart from OPT.
func (b *Builder) Truncate() {
	b.n = b.body
	b.counts = [3]uint16{}
	b.full = true
}

// Bare is Truncate without TC: the response has no records, and does not say that there are more over TCP.
func (b *Builder) Bare() {
	b.Truncate()
	b.bare = true
}

// Fail removes all records and clears AA and TC, for a response that only says that there is no answer.
func (b *Builder) Fail() {
	b.Truncate()
	b.full, b.aa = false, false
}

// Suffix returns where in the message the name at that offset goes on after its first skip octets, counted in the full
// name. That is skip octets further on, unless the name was cut short by a pointer.
func (b *Builder) Suffix(name, skip int) int {
	if name == QName {
		return name + skip
	}
	for skip > 0 && name+1 < b.n {
		if c := b.buf[name]; c >= 0xc0 {
			name = int(binary.BigEndian.Uint16(b.buf[name:]) & MaxPointer)
		} else {
			name += int(c) + 1
			skip -= int(c) + 1
		}
	}
	return name
}

// RecordSize returns the size of the record at that offset of the message. Its owner is a pointer.
func (b *Builder) RecordSize(at int) int {
	return DataOffset + int(binary.BigEndian.Uint16(b.buf[at+DataOffset-2:]))
}

// nameAt returns the name at that offset of the message, including its root label or a compression pointer.
func (b *Builder) nameAt(at int) []byte {
	end := SkipName(b.buf[:b.n], at)
	if end < 0 || end > b.n {
		return b.buf[:0]
	}
	return b.buf[at:end:end]
}

// room reports whether n octets fit into a section. If they had to go in and do not fit, it truncates.
func (b *Builder) room(s Section, size int) bool {
	if b.full || s < b.section {
		return false
	}
	b.section = s
	if b.fits(size) {
		return true
	}
	switch s {
	case Answer:
		b.Truncate()
	case Authority:
		b.full = true
	}
	return false
}

// least notes the least size of a set that had to go in and did not fit, however short its names are written.
func (b *Builder) least(size int) {
	b.hopeless = b.hopeless || b.full && b.body+b.reserved+size > len(b.buf)
}

func (b *Builder) fits(size int) bool { return b.n+b.reserved+size <= len(b.buf) }

// Finish completes the response and returns it, in the buffer that Start was given.
func (b *Builder) Finish() []byte {
	if b.n == 0 {
		return nil
	}
	opt := b.finishOPT()
	h, q := b.buf[:HeaderSize], b.query
	binary.BigEndian.PutUint16(h, q.ID)
	h[2] = flagQR | q.Opcode&15<<3
	if b.aa {
		h[2] |= flagAA
	}
	if b.full && !b.bare {
		h[2] |= flagTC
	}
	// Other opcodes have no use for RD (RFC 2136 section 2.2, RFC 1996 section 4.5).
	if q.RD && q.Opcode == OpcodeQuery {
		h[2] |= flagRD
	}
	h[3] = byte(b.rcode & 15)
	binary.BigEndian.PutUint16(h[6:], b.counts[Answer])
	binary.BigEndian.PutUint16(h[8:], b.counts[Authority])
	binary.BigEndian.PutUint16(h[10:], b.counts[Additional]+opt)
	return b.buf[:b.n]
}
