package wire

import (
	"bytes"
	"encoding/binary"
)

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

	recordFixed = 10     // TYPE, CLASS, TTL, RDLENGTH
	maxPointer  = 0x3fff // RFC 1035 section 4.1.4
)

// Builder writes a response into the caller's buffer. Its exported fields are set once; Start begins a message, the
// record methods fill it in the order of the sections, and Finish completes it.
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

// Set appends a set of count records in wire form, each beginning with two octets for its owner, and makes these a
// compression pointer to the owner, which is the name at that offset of the message (QName, or RDATA written before).
// Where the offset is beyond what a pointer can say, the owner is written in full. It reports whether the set went in.
func (b *Builder) Set(s Section, wire []byte, count, owner int) bool {
	if owner > maxPointer {
		return b.setInFull(s, wire, count, owner)
	}
	if b.tight {
		return b.setTight(s, wire, count, owner)
	}
	if !b.room(s, len(wire)) {
		b.least(len(wire))
		return false
	}
	at := b.n
	b.n += copy(b.buf[at:], wire)
	pointer := 0xc000 | uint16(owner)
	for range count {
		if at+DataOffset > b.n {
			break
		}
		binary.BigEndian.PutUint16(b.buf[at:], pointer)
		at += DataOffset + int(binary.BigEndian.Uint16(b.buf[at+DataOffset-2:]))
	}
	b.counts[s] += uint16(count)
	return true
}

// SetFrom is Set of records of one size, of which the one of that number comes first and the others after it, around
// the end. A set that does not fit, and one of which the owner is beyond a pointer's reach, comes as Set has it.
func (b *Builder) SetFrom(first int, s Section, wire []byte, count, owner int) bool {
	if first <= 0 || first >= count || owner > maxPointer || len(wire)%count != 0 || !b.fits(len(wire)) {
		return b.Set(s, wire, count, owner)
	}
	cut := len(wire) / count * first
	return b.Set(s, wire[cut:], count-first, owner) && b.Set(s, wire[:cut], first, owner)
}

// setInFull is Set for an owner that no pointer reaches.
func (b *Builder) setInFull(s Section, wire []byte, count, owner int) bool {
	name := b.nameAt(owner)
	if !b.room(s, len(wire)+count*(len(name)-2)) {
		return false
	}
	for range count {
		if len(wire) < DataOffset {
			break
		}
		size := min(len(wire), DataOffset+int(binary.BigEndian.Uint16(wire[DataOffset-2:])))
		b.n += copy(b.buf[b.n:], name)
		b.n += copy(b.buf[b.n:], wire[2:size])
		wire = wire[size:]
	}
	b.counts[s] += uint16(count)
	return true
}

// SetLinked is Set of one record with, at each of links that is not 0, two octets more that become the pointer to the
// owner: the ends of names in its RDATA.
func (b *Builder) SetLinked(s Section, wire []byte, owner int, links [2]uint16) bool {
	if owner > maxPointer || !b.room(s, len(wire)) {
		return false
	}
	at := b.n
	b.n += copy(b.buf[at:], wire)
	pointer := 0xc000 | uint16(owner)
	binary.BigEndian.PutUint16(b.buf[at:], pointer)
	for _, l := range links {
		if l != 0 {
			binary.BigEndian.PutUint16(b.buf[at+int(l):], pointer)
		}
	}
	b.counts[s]++
	return true
}

// Embedded says where names are in the RDATA of the types that may have them compressed (RFC 3597 section 4): after how
// many octets, and how many one after the other; 0 for all other types.
func Embedded(typ uint16) (before, names int) {
	switch typ {
	case TypeNS, TypeCNAME, TypePTR, TypeMD, TypeMF, TypeMB, TypeMG, TypeMR:
		return 0, 1
	case TypeMX:
		return 2, 1
	case TypeSOA, TypeMINFO:
		return 0, 2
	}
	return 0, 0
}

// SetNames is Set for a type that has names in its RDATA: those that end in the suffix, which is the name at that
// offset of the message, are cut short there. The suffix is in wire form, and matches names that are in its case.
func (b *Builder) SetNames(s Section, wire []byte, count, owner int, suffix []byte, suffixAt int) bool {
	if b.tight && owner <= maxPointer {
		return b.setTight(s, wire, count, owner)
	}
	if len(wire) < DataOffset || owner > maxPointer || suffixAt > maxPointer || len(suffix) <= 2 {
		return b.Set(s, wire, count, owner)
	}
	before, names := Embedded(binary.BigEndian.Uint16(wire[2:]))
	if names == 0 {
		return b.Set(s, wire, count, owner)
	}
	if size, least := len(wire), len(wire); !b.fits(size) { // in full; how much shorter it is, is worked out only where that matters
		for rest := wire; len(rest) >= DataOffset; {
			record := rest[:min(len(rest), DataOffset+int(binary.BigEndian.Uint16(rest[DataOffset-2:])))]
			rest = rest[len(record):]
			for at, i := DataOffset+before, 0; i < names; i++ {
				length, cut := embedded(record[min(at, len(record)):], suffix)
				if cut {
					size -= len(suffix) - 2
				}
				least -= max(length-2, 0)
				at += length
			}
		}
		if !b.room(s, size) {
			b.least(least)
			return false
		}
	} else if !b.room(s, 0) {
		return false
	}
	pointer := 0xc000 | uint16(owner)
	for rest := wire; len(rest) >= DataOffset; {
		record := rest[:min(len(rest), DataOffset+int(binary.BigEndian.Uint16(rest[DataOffset-2:])))]
		rest = rest[len(record):]
		start := b.n
		done := min(DataOffset+before, len(record)) // octets of the record that are dealt with
		b.n += copy(b.buf[b.n:], record[:done])
		binary.BigEndian.PutUint16(b.buf[start:], pointer)
		for range names {
			length, cut := embedded(record[done:], suffix)
			if !cut {
				b.n += copy(b.buf[b.n:], record[done:done+length])
			} else {
				b.n += copy(b.buf[b.n:], record[done:done+length-len(suffix)])
				binary.BigEndian.PutUint16(b.buf[b.n:], 0xc000|uint16(suffixAt))
				b.n += 2
			}
			done += length
		}
		b.n += copy(b.buf[b.n:], record[done:])
		binary.BigEndian.PutUint16(b.buf[start+DataOffset-2:], uint16(b.n-start-DataOffset))
	}
	b.counts[s] += uint16(count)
	return true
}

// embedded returns the length of the uncompressed name that data begins with, and whether it ends in the suffix.
func embedded(data, suffix []byte) (length int, cut bool) {
	for at := 0; at < len(data); at += int(data[at]) + 1 {
		if data[at] == suffix[0] && bytes.HasPrefix(data[at:], suffix) {
			return at + len(suffix), true
		}
		if data[at] == 0 {
			return at + 1, false
		}
	}
	return len(data), false
}

// CNAME appends the CNAME record that a DNAME stands for (RFC 6672 section 3.1). The owner is as in Set, the target in
// wire form, the TTL in seconds.
func (b *Builder) CNAME(s Section, owner int, ttl uint32, target []byte) bool {
	size := DataOffset + len(target)
	if b.tight {
		size = DataOffset + 2 // at least
	}
	if owner > maxPointer || !b.room(s, size) {
		return false
	}
	start := b.n
	fixed := b.buf[start : start+DataOffset]
	binary.BigEndian.PutUint16(fixed, 0xc000|uint16(owner))
	binary.BigEndian.PutUint16(fixed[2:], TypeCNAME)
	binary.BigEndian.PutUint16(fixed[4:], ClassIN)
	binary.BigEndian.PutUint32(fixed[6:], ttl)
	b.n += DataOffset
	if !b.tight {
		b.n += copy(b.buf[b.n:], target)
	} else if b.name(target, true) < 0 {
		b.n = start
		return b.room(s, len(b.buf))
	}
	binary.BigEndian.PutUint16(fixed[10:], uint16(b.n-start-DataOffset))
	b.counts[s]++
	return true
}

// Suffix returns where in the message the name at that offset goes on after its first skip octets, as they are in full.
// It is skip further on, but for names that were cut short with a pointer.
func (b *Builder) Suffix(name, skip int) int {
	if name == QName {
		return name + skip
	}
	for skip > 0 && name+1 < b.n {
		if c := b.buf[name]; c >= 0xc0 {
			name = int(binary.BigEndian.Uint16(b.buf[name:]) & maxPointer)
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

// Addresses appends address records of class IN: A if width is 4, AAAA if it is 16, one for each width octets of
// addresses. The owner is as in Set, the TTL in seconds.
func (b *Builder) Addresses(s Section, owner int, ttl uint32, addresses []byte, width int) bool {
	kind := TypeA
	if width == 16 {
		kind = TypeAAAA
	}
	var short [2]byte
	name := short[:]
	if owner > maxPointer {
		name = b.nameAt(owner)
	} else {
		binary.BigEndian.PutUint16(name, 0xc000|uint16(owner))
	}
	count := len(addresses) / width
	if !b.room(s, count*(len(name)+recordFixed+width)) {
		b.least(count * (DataOffset + width))
		return false
	}
	for i := 0; i < len(addresses); i += width {
		b.n += copy(b.buf[b.n:], name)
		fixed := b.buf[b.n : b.n+recordFixed]
		binary.BigEndian.PutUint16(fixed, kind)
		binary.BigEndian.PutUint16(fixed[2:], ClassIN)
		binary.BigEndian.PutUint32(fixed[4:], ttl)
		binary.BigEndian.PutUint16(fixed[8:], uint16(width))
		b.n += recordFixed
		b.n += copy(b.buf[b.n:], addresses[i:i+width])
	}
	b.counts[s] += uint16(count)
	return true
}

// Records appends count records that are complete, with owners of their own.
func (b *Builder) Records(s Section, wire []byte, count int) bool {
	if !b.room(s, len(wire)) {
		return false
	}
	b.n += copy(b.buf[b.n:], wire)
	b.counts[s] += uint16(count)
	return true
}

// Glue appends the addresses of a referral's name servers to the additional section: count complete records, as many as
// fit. If any is left out TC is set, because the referral may be of no use without it (RFC 9471 section 3.1). It
// reports whether all went in.
func (b *Builder) Glue(wire []byte, count int) bool {
	for len(wire) > 0 && count > 0 {
		size := SkipName(wire, 0)
		if size < 0 || size+recordFixed > len(wire) {
			return false
		}
		size = min(len(wire), size+recordFixed+int(binary.BigEndian.Uint16(wire[size+recordFixed-2:])))
		if !b.Records(Additional, wire[:size], 1) {
			b.full = true
			return false
		}
		wire = wire[size:]
		count--
	}
	return true
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
