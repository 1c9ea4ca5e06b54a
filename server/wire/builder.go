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

// Offsets for those who say where an owner is.
const (
	// QName is where the question's name begins in a message.
	QName = HeaderSize
	// DataOffset is from the start of a record, whose owner is a pointer, to its RDATA: where the target of a CNAME is,
	// which owns the records that come next.
	DataOffset = 2 + recordFixed

	// MaxPointer is the last offset that a pointer reaches (RFC 1035 section 4.1.4).
	MaxPointer = 0x3fff

	recordFixed = 10 // TYPE, CLASS, TTL, RDLENGTH
)

// Builder writes a response into the caller's buffer. Its exported fields are set once; Start begins a message, Put
// fills it in the order of the sections, and Finish completes it.
//
// A set of records goes in whole or not at all. One that does not fit in the answer section leaves the question and the
// OPT record alone, with TC set, so that the requester comes back over TCP and nobody takes a part for the whole (RFC
// 2181 section 9); one that does not fit in the authority section sets TC as well; one in the additional section is
// left out without a word. After TC nothing more goes in.
type Builder struct {
	NSID []byte // the server's identifier, for those who ask; none if empty

	Suffixes *Suffixes // what Tighten works with; without, it does nothing

	buf      []byte // as long as the message may be
	n        int    // octets written
	body     int    // where the sections after the question begin
	reserved int    // octets set aside for the OPT record
	counts   [3]uint16
	section  Section
	full     bool // TC is set
	bare     bool // but for this
	tight    bool // names are cut short as far as they can be
	hopeless bool // there is no use in that
	aa       bool
	rcode    uint16
	query    *Query
	opt      opt
}

// Start begins the response to a query: its header, and the question in the case it was asked, if one could be read.
// The response has at most limit octets, and at most cap(buf), which should be MinUDP at least. The buffer must not
// overlap the request. The query must stay as it is until Finish.
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

// SetRcode sets the response code, RcodeNoError until then. Codes above 15 are said with the OPT record (RFC 6891
// section 6.1.3); without one, the low four bits are what remains.
func (b *Builder) SetRcode(rcode uint16) { b.rcode = rcode }

// SetAuthoritative sets AA, which is clear until then.
func (b *Builder) SetAuthoritative(aa bool) { b.aa = aa }

// Len returns how many octets are written: the offset of the next record.
func (b *Builder) Len() int { return b.n }

// Empty reports whether there are no records but what the OPT record says.
func (b *Builder) Empty() bool { return b.counts == [3]uint16{} }

// Truncated reports whether TC is set.
func (b *Builder) Truncated() bool { return b.full && !b.bare }

// Truncate takes all records out and sets TC, so that nothing goes in any more but what the OPT record says.
func (b *Builder) Truncate() {
	b.n = b.body
	b.counts = [3]uint16{}
	b.full = true
}

// Bare is Truncate without TC: the response has no records, and nobody is told that there would be more over TCP.
func (b *Builder) Bare() {
	b.Truncate()
	b.bare = true
}

// Fail takes all records out, AA and TC too, for a response that says only that there is none.
func (b *Builder) Fail() {
	b.Truncate()
	b.full, b.aa = false, false
}

// Suffix returns where in the message the name at that offset goes on after its first skip octets, as they are in full.
// It is skip further on, but for names that were cut short with a pointer.
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

// RecordSize returns how many octets the record takes that is at that offset of the message, its owner a pointer.
func (b *Builder) RecordSize(at int) int {
	return DataOffset + int(binary.BigEndian.Uint16(b.buf[at+DataOffset-2:]))
}

// nameAt returns the name at that offset of the message, up to and with its root label or a compression pointer.
func (b *Builder) nameAt(at int) []byte {
	end := SkipName(b.buf[:b.n], at)
	if end < 0 || end > b.n {
		return b.buf[:0]
	}
	return b.buf[at:end:end]
}

// room reports whether so many octets go in, in that section, and truncates if they had to and do not.
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

// least notes that a set which did not go in, and had to, takes so many octets at least, whatever comes of names.
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
	if q.RD && q.Opcode == OpcodeQuery { // others have no use for the bit (RFC 2136 section 2.2, RFC 1996 section 4.5)
		h[2] |= flagRD
	}
	h[3] = byte(b.rcode & 15)
	binary.BigEndian.PutUint16(h[6:], b.counts[Answer])
	binary.BigEndian.PutUint16(h[8:], b.counts[Authority])
	binary.BigEndian.PutUint16(h[10:], b.counts[Additional]+opt)
	return b.buf[:b.n]
}
