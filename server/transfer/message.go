package transfer

import (
	"encoding/binary"
	"time"

	"leeward/server/tsig"
	"leeward/server/wire"
)

// fill is how many octets of records a message of a transfer gets. Compression pointers reach no further (RFC 1035
// section 4.1.4). A longer record gets a message of its own.
const fill = 16 << 10

// recordHead is the length of a record in a set before its RDATA, with two octets for the owner.
const recordHead = 12

// stream fills the messages of one transfer with records, and sends them.
type stream struct {
	query   *wire.Query
	session *tsig.Session
	now     func() time.Time
	write   func([]byte) error

	buf      []byte
	names    map[string]uint16 // offset in the message of each name in wire form
	count    uint16
	messages int
	octets   int
	expire   int64 // seconds that OPT says the zone is good for (RFC 7314); -1: not said
	err      error // of write; nothing more is sent after it
}

func newStream(q *wire.Query, session *tsig.Session, now func() time.Time, write func([]byte) error) *stream {
	s := &stream{
		query: q, session: session, now: now, write: write, expire: -1, buf: make([]byte, 0, fill+1024),
		names: map[string]uint16{},
	}
	s.begin()
	return s
}

// begin starts a message with its header; the first one also has the question.
func (s *stream) begin() {
	s.buf = s.buf[:0]
	clear(s.names)
	s.count = 0
	flags := byte(0x84) // QR, AA
	if s.query.RD {
		flags |= 1
	}
	s.buf = binary.BigEndian.AppendUint16(s.buf, s.query.ID)
	s.buf = append(s.buf, flags, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	if s.messages == 0 {
		s.buf[5] = 1
		s.buf = append(s.buf, s.query.Question...)
	}
}

// room returns how many octets must stay free for OPT and TSIG.
func (s *stream) room() int { return s.session.Room() + optSize + expireSize }

const (
	optSize      = 11
	optionExpire = 9 // RFC 7314
	expireSize   = 8 // octets of the option
)

// record appends one record in the form of a snapshot.Set. owner is in wire form.
func (s *stream) record(owner []byte, record []byte) {
	if s.err != nil {
		return
	}
	size := len(owner) + len(record) - 2
	if s.count > 0 && len(s.buf)+size+s.room() > fill || s.count == 1<<16-1 {
		s.flush()
	}
	s.name(owner)
	s.buf = append(s.buf, record[2:]...)
	s.count++
}

// set appends all records of a set.
func (s *stream) set(owner []byte, set []byte, count int) {
	for range count {
		size := recordHead + int(binary.BigEndian.Uint16(set[recordHead-2:]))
		s.record(owner, set[:size])
		set = set[size:]
	}
}

// name appends a name. It replaces the longest end that the message has already by a pointer.
func (s *stream) name(n []byte) {
	for len(n) > 1 {
		if at, ok := s.names[string(n)]; ok {
			s.buf = binary.BigEndian.AppendUint16(s.buf, 0xc000|at)
			return
		}
		if len(s.buf) < 1<<14 {
			s.names[string(n)] = uint16(len(s.buf))
		}
		label := 1 + int(n[0])
		s.buf = append(s.buf, n[:label]...)
		n = n[label:]
	}
	s.buf = append(s.buf, 0)
}

// flush sends the message and begins the next.
func (s *stream) flush() {
	if s.err != nil || s.count == 0 {
		return
	}
	binary.BigEndian.PutUint16(s.buf[6:], s.count)
	if s.messages == 0 && s.query.EDNS { // RFC 5936 section 2.2.5
		s.buf = append(s.buf, 0, 0, byte(wire.TypeOPT), byte(wire.UDPSize>>8), byte(wire.UDPSize&0xff), 0, 0, 0, 0, 0,
			0)
		if s.query.DO {
			s.buf[len(s.buf)-4] = 0x80
		}
		if s.query.Expire && s.expire >= 0 {
			s.buf[len(s.buf)-1] = expireSize
			s.buf = append(s.buf, 0, optionExpire, 0, 4)
			s.buf = binary.BigEndian.AppendUint32(s.buf, uint32(s.expire))
		}
		s.buf[11] = 1
	}
	out := s.session.Sign(s.buf, s.now())
	if s.err = s.write(out); s.err == nil {
		s.messages++
		s.octets += len(out)
	}
	s.buf = out
	s.begin()
}
