package transfer

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"leeward/server/tsig"
	"leeward/server/wire"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
)

// receiver makes a version from the records of a transfer, in the order in which they come: a whole zone between two
// copies of its SOA (RFC 5936 section 2.2), or the differences from one serial to the next (RFC 1995 section 4). The
// version is there only when the transfer is complete.
type receiver struct {
	origin rr.Name
	have   *snapshot.Version // where differences start; nil: the whole zone is asked for

	holding *holding // counts the memory; nil: nobody counts
	state   int
	soa     rr.Record // the first record, which is the SOA of the new version
	from    uint32    // of the difference that is being read
	to      uint32
	edition *snapshot.Edition
	octets  int
	records int
}

// The states of a receiver. Each says what has to come next.
const (
	awaitSOA    = iota
	awaitSecond // the second record of an answer to IXFR, which tells differences from a whole zone
	awaitWhole  // records of the zone, then its SOA
	awaitGone   // removed records, then the SOA of the newer version
	awaitNew    // added records, then an SOA
	complete
)

// how returns what has come: "soa" (nothing newer), "axfr" or "ixfr".
func (r *receiver) how() string {
	switch {
	case r.edition == nil:
		return "soa"
	case r.from != r.to:
		return "ixfr"
	}
	return "axfr"
}

// serial returns the serial of the new version.
func (r *receiver) serial() uint32 { return snapshot.SerialOf(r.soa.Data) }

// record takes the next record.
func (r *receiver) record(x rr.Record) error {
	r.records++
	octets := len(x.Owner) + len(x.Data) + recordHead
	r.octets += octets
	if err := r.holding.take(octets + recordCost); err != nil {
		return err
	}
	isSOA := x.Type == rr.TypeSOA && x.Owner == r.origin
	serial := snapshot.SerialOf(x.Data)
	if isSOA {
		if err := rr.Check(x.Type, x.Data); err != nil {
			return err
		}
	}
	switch r.state {
	case awaitSOA:
		if !isSOA {
			return fmt.Errorf("it begins with %s %s instead of the SOA", x.Owner, x.Type)
		}
		r.soa = x
		switch {
		case r.have == nil:
			r.whole()
			return r.edition.SetSOA(x)
		case !newer(serial, r.have.Serial()):
			r.state = complete
		default:
			r.state = awaitSecond
		}
		return nil
	case awaitSecond:
		if isSOA && serial == r.have.Serial() {
			r.from, r.state = serial, awaitGone
			r.edition = r.have.Edit()
			return nil
		}
		r.whole()
		if err := r.edition.SetSOA(r.soa); err != nil {
			return err
		}
		return r.record2(x, isSOA, serial)
	}
	return r.record2(x, isSOA, serial)
}

func (r *receiver) whole() { r.state, r.edition = awaitWhole, snapshot.NewEdition(r.origin) }

// record2 takes a record once the kind of the transfer is known.
func (r *receiver) record2(x rr.Record, isSOA bool, serial uint32) error {
	switch r.state {
	case awaitWhole:
		if !isSOA {
			return r.edition.Add(x)
		}
		if serial != r.serial() {
			return fmt.Errorf("it begins with serial %d and ends with %d: the zone has changed during the transfer",
				r.serial(), serial)
		}
		r.state = complete
		return nil
	case awaitGone:
		if !isSOA {
			return r.edition.Remove(x)
		}
		if !newer(serial, r.from) || newer(serial, r.serial()) {
			return fmt.Errorf("a difference leads from serial %d to %d, but the transfer to %d",
				r.from, serial, r.serial())
		}
		r.to, r.state = serial, awaitNew
		return nil
	case awaitNew:
		switch {
		case !isSOA:
			return r.edition.Add(x)
		case serial != r.to:
			return fmt.Errorf("a difference to serial %d is followed by one from %d", r.to, serial)
		case serial == r.serial():
			r.state = complete
			return r.edition.SetSOA(r.soa)
		}
		r.from, r.state = serial, awaitGone
		return nil
	}
	return errors.New("there are more records after its end")
}

// version returns the version that has come. It returns (nil, nil) if there is nothing newer.
func (r *receiver) version() (*snapshot.Version, error) {
	if r.edition == nil {
		return nil, nil
	}
	v, err := r.edition.Finish()
	if err != nil {
		return nil, err
	}
	return v.From(r.have), nil
}

// response is a message that answers our query.
type response struct {
	rcode   uint16
	aa      bool
	answers []rr.Record
}

// rcodeError is returned for a response with an RCODE other than NOERROR.
type rcodeError struct {
	rcode  uint16
	signed bool // as the request was
}

func (e rcodeError) Error() string {
	text := cmp.Or(wire.RcodeName(e.rcode), "RCODE "+strconv.Itoa(int(e.rcode)))
	if !e.signed {
		text += ", without a signature"
	}
	return "it says " + text
}

// readResponse parses the response to a query: its header, its question if it has one, and its answer section. It
// ignores the other sections.
func readResponse(msg, query []byte) (r response, err error) {
	if len(msg) < wire.HeaderSize || msg[0] != query[0] || msg[1] != query[1] || msg[2]&0xf8 != 0x80 {
		return r, errors.New("the response does not match the query")
	}
	r.rcode, r.aa = uint16(msg[3]&15), msg[2]&4 != 0
	if msg[2]&2 != 0 {
		return r, errors.New("it is truncated")
	}
	at := wire.HeaderSize
	switch binary.BigEndian.Uint16(msg[4:]) {
	case 0:
	case 1:
		name, next, err := rr.ReadName(msg, at)
		asked, end, _ := rr.ReadName(query, wire.HeaderSize)
		if err != nil || next+4 > len(msg) {
			return r, errors.New("its question cannot be read")
		}
		a, _, err1 := rr.CutName(name)
		b, _, err2 := rr.CutName(asked)
		if err1 != nil || err2 != nil || a != b || string(msg[next:next+4]) != string(query[end:end+4]) {
			return r, errors.New("it answers another question")
		}
		at = next + 4
	default:
		return r, errors.New("it has several questions")
	}
	r.answers = make([]rr.Record, 0, min(binary.BigEndian.Uint16(msg[6:]), 1024))
	for range binary.BigEndian.Uint16(msg[6:]) {
		var x rr.Record
		if x, at, err = rr.ReadRecord(msg, at); err != nil {
			return r, err
		}
		r.answers = append(r.answers, x)
	}
	return r, nil
}

// receive reads messages until the receiver is complete. check verifies their signatures; nil if the query was not
// signed.
func (r *receiver) receive(query []byte, next nextMessage, check *tsig.Answers, now func() time.Time) (messages int,
	err error,
) {
	for r.state != complete {
		limit := time.Duration(0)
		if r.state == awaitSecond {
			limit = moreLimit
		}
		msg, err := next(limit)
		if err != nil {
			return messages, err
		}
		messages++
		m, err := readVerified(msg, query, check, now)
		if err != nil {
			return messages, err
		}
		for i := range m.answers {
			if err := r.record(m.answers[i]); err != nil {
				return messages, err
			}
		}
		if len(m.answers) == 0 {
			return messages, errors.New("a message without records")
		}
	}
	if check != nil {
		return messages, check.End()
	}
	return messages, nil
}

// readVerified is readResponse with two checks: the signature is valid and the RCODE is NOERROR.
func readVerified(msg, query []byte, check *tsig.Answers, now func() time.Time) (response, error) {
	m, err := readResponse(msg, query)
	if err != nil {
		return m, err
	}
	if check != nil {
		err := check.Next(msg, now())
		if errors.Is(err, tsig.ErrUnsigned) && m.rcode != 0 {
			return m, rcodeError{m.rcode, false}
		}
		if err != nil {
			return m, err
		}
	}
	if m.rcode != 0 {
		return m, rcodeError{m.rcode, true}
	}
	return m, nil
}
