// Package wire reads and writes DNS messages, on bytes: a Query reads a request, a Builder writes the response to it.
// Neither allocates, and neither knows a zone: the record sets for a response are already in wire form.
//
// A request is hostile until it has been read to its end. Parse walks all of it once, follows no compression pointer,
// and returns a Verdict: the kind of reply that the request deserves, by RFC 1035, 6891 and 7871, and where they leave
// it open, as BIND, NSD and Knot agree. The question is kept twice: in lower case for the look-up, and as it was sent
// for the response, because resolvers check its case (the 0x20 bits) against forgery.
//
// A response grows in the caller's buffer up to a limit, section by section. Room for the OPT record is set aside from
// the start, so a full message never loses it.
package wire

import (
	"encoding/binary"
	"net/netip"
)

// Sizes in octets.
const (
	HeaderSize = 12  // RFC 1035 section 4.1.1
	MaxName    = 255 // a name in wire form (RFC 1035 section 2.3.4)
	MinUDP     = 512 // a UDP response that every requester takes (RFC 1035 section 2.3.4, RFC 6891 section 6.2.5)
	MaxMessage = 1<<16 - 1

	// UDPSize is the size of the largest message that we send over UDP, and accept according to the OPT record. It fits
	// the IPv6 minimum MTU, so there are no fragments.
	UDPSize = 1232
)

// Verdict says which kind of reply a request deserves.
type Verdict uint8

// The verdicts. All except Drop get a reply: an answer, or Builder.Reply with the Rcode.
const (
	OK      Verdict = iota // a QUERY with one readable question
	Drop                   // no reply at all: a response, or too short to have an ID and flags
	FormErr                // FORMERR
	BadVers                // BADVERS: a version of EDNS above 0 (RFC 6891 section 6.1.3)
	NotImp                 // NOTIMP: an opcode other than QUERY
	// a QUERY without a question, about its COOKIE alone: NOERROR, with nothing but a cookie (RFC 7873 section 5.4)
	Bare
)

// Rcode returns the rcode that replies to the verdict; RcodeNoError for OK, Drop and Bare.
func (v Verdict) Rcode() uint16 {
	switch v {
	case FormErr:
		return RcodeFormErr
	case BadVers:
		return RcodeBadVers
	case NotImp:
		return RcodeNotImp
	}
	return RcodeNoError
}

func (v Verdict) String() string {
	switch v {
	case OK:
		return "OK"
	case Drop:
		return "Drop"
	case FormErr:
		return "FormErr"
	case BadVers:
		return "BadVers"
	case NotImp:
		return "NotImp"
	case Bare:
		return "Bare"
	}
	return "Verdict?"
}

// Query is a request that was read. The caller owns it and reuses it; Parse overwrites all of it. Slices in it alias
// the message, which must not change until the response is built.
type Query struct {
	ID     uint16
	Opcode uint8
	RD     bool // recursion desired: echoed
	CD     bool // checking disabled (RFC 4035 section 3.2.2)
	AD     bool // authentic data wanted (RFC 6840 section 5.7)

	Type  uint16 // QTYPE
	Class uint16 // QCLASS

	// Question is QNAME, QTYPE and QCLASS as they were sent, for the response; nil if there is no readable question.
	Question []byte

	EDNS      bool   // there is an OPT record (RFC 6891)
	Version   uint8  // of EDNS
	UDPSize   uint16 // largest UDP response in octets: MinUDP without EDNS, and never less
	DO        bool   // DNSSEC OK (RFC 3225)
	ECS       ClientSubnet
	NSID      bool   // asks for the server's identifier (RFC 5001)
	Expire    bool   // asks how long the zone remains valid (RFC 7314); only for SOA, AXFR and IXFR
	Keepalive bool   // edns-tcp-keepalive (RFC 7828); no effect over UDP
	Cookie    []byte // the option's data (RFC 7873), 8 or 16 to 40 octets; nil if there is none

	// TSIG is where the TSIG record (RFC 8945) begins in the message; 0: there is none. It is not verified here.
	TSIG int

	name   [MaxName]byte
	size   uint8 // of name, octets
	labels [MaxName / 2]uint8
	count  uint8 // of labels
}

// ClientSubnet is the EDNS Client Subnet option of a request (RFC 7871 section 6).
type ClientSubnet struct {
	Present bool
	Family  uint16 // 1: IPv4, 2: IPv6, 0: the client does not want to be located (with Source 0)
	Source  uint8  // source prefix length, bits: 0 to 32 or 128
	// In Addr, the bits after Source are zero. Addr is not valid if Family is 0. An IPv4-mapped IPv6 address stays
	// mapped.
	Addr netip.Addr
	// Raw is the option's data as sent: FAMILY, SOURCE, SCOPE, ADDRESS.
	Raw []byte
}

// Name returns QNAME in wire form and lower case, with the root label. It is empty if there is no readable question. It
// aliases the Query.
func (q *Query) Name() []byte { return q.name[:q.size] }

// Labels returns where in Name each label begins (its length octet), first to last, without the root's. It aliases the
// Query.
func (q *Query) Labels() []uint8 { return q.labels[:q.count] }

// Limit returns the size of the largest UDP response, in octets: as much as the requester takes, and at most most (RFC
// 6891 section 6.2.5).
func (q *Query) Limit(most int) int { return max(MinUDP, min(int(q.UDPSize), most)) }

// Parse reads a request. After any verdict except Drop, a reply can be made from the Query: fields that could not be
// read are zero.
func (q *Query) Parse(msg []byte) Verdict {
	if len(msg) < HeaderSize || msg[2]&flagQR != 0 {
		return Drop
	}
	q.ID = binary.BigEndian.Uint16(msg)
	q.Opcode = msg[2] >> 3 & 15
	q.RD = msg[2]&flagRD != 0
	q.CD = msg[3]&flagCD != 0
	q.AD = msg[3]&flagAD != 0
	q.Type, q.Class, q.Question = 0, 0, nil
	q.EDNS, q.Version, q.UDPSize, q.DO = false, 0, MinUDP, false
	q.ECS, q.NSID, q.Expire, q.Keepalive, q.Cookie = ClientSubnet{}, false, false, false, nil
	q.TSIG, q.size, q.count = 0, 0, 0

	questions := binary.BigEndian.Uint16(msg[4:])
	at := HeaderSize
	if questions == 1 {
		at = q.question(msg)
	}
	switch {
	case q.Opcode != OpcodeQuery:
		// NOTIFY and UPDATE have the layout of QUERY: an OPT record is answered with one, and its version comes first.
		if q.Question != nil && q.records(msg, at) == BadVers {
			return BadVers
		}
		return NotImp
	case questions == 0:
		if verdict := q.records(msg, at); verdict != OK {
			return verdict
		} else if q.Cookie != nil {
			return Bare
		}
		return FormErr
	case q.Question == nil:
		return FormErr // also for more than one (RFC 9619)
	}
	return q.records(msg, at)
}

// question reads the question and returns where it ends. If it cannot be read, Question stays nil.
func (q *Query) question(msg []byte) (end int) {
	at, count := HeaderSize, uint8(0)
	for {
		if at >= len(msg) || at-HeaderSize >= MaxName {
			return HeaderSize
		}
		length := msg[at]
		if length == 0 {
			break
		}
		if length > 63 {
			// a compression pointer has nothing to point at, and other label types are obsolete (RFC 6891 section 5)
			return HeaderSize
		}
		if count == uint8(len(q.labels)) {
			return HeaderSize
		}
		q.labels[count] = uint8(at - HeaderSize)
		count++
		at += int(length) + 1
	}
	size := at + 1 - HeaderSize
	if size > MaxName || at+5 > len(msg) {
		return HeaderSize
	}
	lower(q.name[:size], msg[HeaderSize:])
	q.size, q.count = uint8(size), count
	q.Type = binary.BigEndian.Uint16(msg[at+1:])
	q.Class = binary.BigEndian.Uint16(msg[at+3:])
	q.Question = msg[HeaderSize : at+5 : at+5]
	return at + 5
}

// lower copies len(dst) octets from src to dst and changes A to Z to a to z. In a name in wire form this changes only
// letters: length octets are below 'A'.
func lower(dst, src []byte) {
	for len(dst) >= 8 && len(src) >= 8 {
		binary.LittleEndian.PutUint64(dst, lower8(binary.LittleEndian.Uint64(src)))
		dst, src = dst[8:], src[8:]
	}
	for i := range dst {
		c := src[i]
		if c-'A' < 26 {
			c |= 0x20
		}
		dst[i] = c
	}
}

// lower8 is lower for eight octets at once. It finds those from 'A' to 'Z' by additions that carry into the top bit of
// each octet, and makes 0x20 from that bit.
func lower8(w uint64) uint64 {
	const every = 0x0101010101010101
	low := w &^ (0x80 * every)
	atLeastA := low + (0x80-'A')*every
	aboveZ := low + (0x80-'Z'-1)*every
	upper := atLeastA &^ aboveZ &^ w & (0x80 * every)
	return w | upper>>2
}

// records walks the sections after the question, reads OPT and TSIG in the additional section, and skips the rest:
// requests should not have other records, but servers have always ignored them. Octets after the last record are
// ignored too, as by BIND and NSD.
func (q *Query) records(msg []byte, at int) Verdict {
	before := int(binary.BigEndian.Uint16(msg[6:])) + int(binary.BigEndian.Uint16(msg[8:]))
	total := before + int(binary.BigEndian.Uint16(msg[10:]))
	var options []byte
	for i := range total {
		start := at
		if at = SkipName(msg, at); at < 0 || at+10 > len(msg) {
			return FormErr
		}
		fixed := msg[at : at+10 : at+10] // TYPE, CLASS, TTL, RDLENGTH
		at += 10
		end := at + int(binary.BigEndian.Uint16(fixed[8:]))
		if end > len(msg) || q.TSIG != 0 { // TSIG is the last record (RFC 8945 section 5.1)
			return FormErr
		}
		switch binary.BigEndian.Uint16(fixed) {
		case TypeOPT:
			if i < before || q.EDNS || msg[start] != 0 {
				// one, in the additional section, owned by the root (RFC 6891 section 6.1.1)
				return FormErr
			}
			q.EDNS = true
			q.UDPSize = max(MinUDP, binary.BigEndian.Uint16(fixed[2:]))
			q.Version = fixed[5]
			q.DO = fixed[6]&flagDO != 0
			options = msg[at:end]
		case TypeTSIG:
			if i < before {
				return FormErr
			}
			q.TSIG = start
		}
		at = end
	}
	if q.Version > 0 {
		return BadVers // the options of another version may mean anything
	}
	verdict := q.options(options)
	if verdict != OK { // if some options cannot be read, none is answered
		q.ECS, q.NSID, q.Expire, q.Keepalive, q.Cookie = ClientSubnet{}, false, false, false, nil
	}
	return verdict
}

// SkipName returns where the name at that place ends, or -1 if it has no end. A compression pointer ends it and is not
// followed.
func SkipName(msg []byte, at int) int {
	for limit := at + MaxName; at < len(msg) && at < limit; {
		switch length := msg[at]; {
		case length == 0:
			return at + 1
		case length >= 0xc0:
			return at + 2
		case length > 63:
			return -1
		default:
			at += int(length) + 1
		}
	}
	return -1
}
