package transfer

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"leeward/server/tsig"
	"leeward/server/wire"
	"leeward/zones"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
)

// Time limits for a primary.
const (
	dialLimit  = 5 * time.Second
	soaLimit   = 5 * time.Second  // for the answer to an SOA query
	idleLimit  = 30 * time.Second // between two messages of a transfer
	moreLimit  = 5 * time.Second  // after the first SOA of an answer to IXFR, which may be the whole answer
	fetchLimit = 30 * time.Minute // for a whole transfer
)

// fetched is the result of asking one primary.
type fetched struct {
	version  *snapshot.Version // nil: the version in service is the newest
	how      string            // "soa", "ixfr" or "axfr"
	serial   uint32
	records  int
	messages int
	octets   int           // of names and RDATA
	left     time.Duration // EXPIRE according to the primary (RFC 7314); negative: not said
	behind   bool          // the primary says that it has a newer version than it sent
}

// errOlder refuses a version that is older than the one in service: serials only go up (RFC 1982).
type errOlder struct {
	theirs, ours uint32
	origin       rr.Name
}

func (e errOlder) Error() string {
	return fmt.Sprintf("it has serial %d, which is older than %d here; raise the serial there, or take it as it is "+
		"with leeward retransfer %s",
		e.theirs, e.ours, zones.NameText(e.origin))
}

// errBehind is returned if a primary announces a newer serial in its SOA, but sends nothing that is newer than the
// version in service.
type errBehind struct{ said, sent uint32 }

func (e errBehind) Error() string {
	return fmt.Sprintf("it announces serial %d, but sends %d", e.said, e.sent)
}

// errDial is returned if there is no connection to the primary.
type errDial struct{ error }

func (e errDial) Unwrap() error { return e.error }

// fetch asks one primary for a newer version (RFC 1034 section 4.3.5): first its SOA, then the differences (RFC 1995).
// It takes the whole zone if there is no version yet, or if the differences cannot be used.
//
// whole is set if the version in service came from a server that is no primary of this zone any more. The two need not
// share a history, so differences are not asked for, and an equal serial does not mean equal content.
func (s *Secondary) fetch(
	ctx context.Context, peer zones.Peer, from []netip.Addr, origin rr.Name, have *snapshot.Version, whole bool,
) (fetched, error) {
	ctx, stop := context.WithTimeout(ctx, fetchLimit)
	defer stop()
	line, err := s.open(peer, from)
	if err != nil {
		return fetched{}, err
	}
	defer line.close()
	done, err := s.asks.take(ctx, peer.Address.Addr())
	if err != nil {
		return fetched{}, err
	}
	soa, left, err := line.soa(ctx, origin)
	done(cmp.Or(context.Cause(ctx), err))
	if err != nil {
		return fetched{}, fmt.Errorf("SOA: %w", err)
	}
	said := snapshot.SerialOf(soa.Data)
	if have != nil {
		switch {
		case said == have.Serial() && !whole:
			return fetched{how: "soa", serial: said, left: left}, nil
		case said != have.Serial() && !newer(said, have.Serial()):
			return fetched{}, errOlder{said, have.Serial(), origin}
		}
	}
	done, err = s.fetches.take(ctx, peer.Address.Addr())
	if err != nil {
		return fetched{}, err
	}
	f, err := line.newest(ctx, origin, have, said, whole)
	f.left = left
	done(cmp.Or(context.Cause(ctx), err))
	return f, err
}

// newest transfers the version whose serial the primary has just announced: the differences if they can be used,
// otherwise the whole zone.
func (l *line) newest(ctx context.Context, origin rr.Name, have *snapshot.Version, said uint32, whole bool) (fetched,
	error,
) {
	if have != nil && !whole {
		f, err := l.transfer(ctx, origin, have)
		if err == nil && f.version == nil {
			err = errBehind{said, f.serial}
		}
		if err == nil {
			f.behind = newer(said, f.serial)
			return f, nil
		}
		// Whatever went wrong, the whole zone may still come. Some primaries reset the connection or fall silent when
		// they are asked for differences.
		if ctx.Err() != nil || errors.As(err, new(errHeld)) || errors.As(err, new(errDial)) {
			return f, fmt.Errorf("IXFR: %w", err)
		}
		l.s.o.Log.Info("the primary's differences cannot be used; the whole zone is transferred",
			"zone", origin.String(), "primary", l.peer.String(), "serial", have.Serial(), "err", err)
		l.s.metrics.received.WithLabelValues("ixfr", "failed").Inc()
		l.close()
	}
	f, err := l.transfer(ctx, origin, nil)
	if err == nil && have != nil && !newer(f.serial, have.Serial()) && !(whole && f.serial == have.Serial()) {
		err = errBehind{said, f.serial}
	}
	if err != nil {
		f.version = nil
		return f, fmt.Errorf("AXFR: %w", err)
	}
	f.version, f.behind = f.version.From(have), newer(said, f.serial)
	return f, nil
}

// line is a TCP connection to one primary. It is opened when the first query needs it.
type line struct {
	s    *Secondary
	peer zones.Peer
	from []netip.Addr
	bare bool      // the primary does not know EDNS
	key  *tsig.Key // nil: messages are not signed
	conn net.Conn
	used bool // at least one query was answered over conn
}

// open returns a line to a primary. It fails if the primary's TSIG key is not there.
func (s *Secondary) open(peer zones.Peer, from []netip.Addr) (*line, error) {
	l := &line{s: s, peer: peer, from: from}
	if peer.Key != "" {
		if l.key = s.o.Keys().Key(peer.Key); l.key == nil {
			return nil, fmt.Errorf("there is no TSIG key %q; give its file with --tsig-key", peer.Key)
		}
	}
	return l, nil
}

func (l *line) close() {
	if l.conn != nil {
		l.conn.Close()
		l.conn, l.used = nil, false
	}
}

// nextMessage waits for the next message. It returns errQuiet if none comes within the limit; 0 leaves the limit to the
// connection.
type nextMessage func(limit time.Duration) ([]byte, error)

// errQuiet is returned if a primary sends nothing after the first SOA.
var errQuiet = errors.New("it sent one SOA, and nothing after it")

// ask sends a query and lets read take the answer, message by message. limit is the longest time between two messages.
// Messages that wait to be read count as held. If the primary has closed a connection that was used before, ask opens a
// new one and tries again.
func (l *line) ask(ctx context.Context, query []byte, limit time.Duration, holding *holding,
	read func(next nextMessage) error,
) error {
	for {
		again := l.used
		if l.conn == nil {
			limited, stop := context.WithTimeout(ctx, dialLimit)
			conn, err := l.s.dial(limited, l.peer.Address, l.from)
			stop()
			if err != nil {
				return errDial{err}
			}
			l.conn = conn
		}
		got, err := l.once(ctx, query, limit, holding, read)
		if err == nil {
			l.used = true
			return nil
		}
		var late net.Error
		if !again || got > 0 || ctx.Err() != nil || errors.As(err, &late) && late.Timeout() {
			return err
		}
		l.close()
	}
}

// once is ask over the connection that is open. It returns how many messages have come.
func (l *line) once(ctx context.Context, query []byte, limit time.Duration, holding *holding,
	read func(next nextMessage) error,
) (got int, err error) {
	conn := l.conn
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	ctx, end := context.WithCancel(ctx)
	defer end()
	_ = conn.SetDeadline(time.Now().Add(limit))
	out := binary.BigEndian.AppendUint16(make([]byte, 0, len(query)+2), uint16(len(query)))
	if _, err := conn.Write(append(out, query...)); err != nil {
		return 0, err
	}
	q := newQueue(holding)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for {
			_ = conn.SetReadDeadline(time.Now().Add(limit))
			if err := ctx.Err(); err != nil { // the context's end may have set its deadline just before ours
				q.put(nil, err)
				return
			}
			msg, err := readMessage(conn)
			if !q.put(msg, err) || err != nil {
				return
			}
		}
	}()
	err = read(func(limit time.Duration) ([]byte, error) {
		msg, err := q.next(limit)
		if err == nil {
			got++
		}
		return msg, err
	})
	end()
	q.close()
	_ = conn.SetReadDeadline(time.Unix(1, 0))
	<-gone
	return got, err
}

// mostAhead is how many octets of a transfer are read before they are processed. Processing takes longer than sending,
// and some primaries close a connection that they cannot write to for half a second. So a zone is read as fast as it
// comes, unless it is larger than this.
const mostAhead = 128 << 20

// leastAhead is the bound instead of mostAhead while all transfers together hold much memory.
const leastAhead = 1 << 20

// queue holds the messages that have been read and wait to be processed.
type queue struct {
	holding  *holding // counts their octets
	mu       sync.Mutex
	turn     sync.Cond // on mu: a message came or went
	messages [][]byte
	octets   int
	err      error // what ended the messages; nil: more may come
	closed   bool
}

func newQueue(holding *holding) *queue {
	q := &queue{holding: holding}
	q.turn.L = &q.mu
	return q
}

// put appends a message, or the error that ends the messages. It waits while the queue is full. It returns false if
// nothing more is wanted.
func (q *queue) put(msg []byte, err error) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.closed && (q.octets > mostAhead || q.octets > leastAhead && q.holding.tight()) {
		q.turn.Wait()
	}
	if err == nil {
		err = q.holding.take(len(msg) + messageCost)
	}
	if q.err = err; err == nil {
		q.messages = append(q.messages, msg)
		q.octets += len(msg)
	}
	q.turn.Broadcast()
	return !q.closed && err == nil
}

// next removes the first message and returns it. It waits as a nextMessage does.
func (q *queue) next(limit time.Duration) ([]byte, error) {
	late := false
	if limit > 0 {
		timer := time.AfterFunc(limit, func() {
			q.mu.Lock()
			defer q.mu.Unlock()
			late = true
			q.turn.Broadcast()
		})
		defer timer.Stop()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.messages) == 0 {
		switch {
		case q.err != nil:
			return nil, q.err
		case late:
			return nil, errQuiet
		}
		q.turn.Wait()
	}
	msg := q.messages[0]
	q.messages[0] = nil
	q.messages = q.messages[1:]
	q.octets -= len(msg)
	q.holding.give(len(msg) + messageCost)
	q.turn.Broadcast()
	return msg, nil
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.turn.Broadcast()
}

// readMessage reads one message and the length before it (RFC 1035 section 4.2.2).
func readMessage(conn net.Conn) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, closed(err)
	}
	msg := make([]byte, binary.BigEndian.Uint16(head[:]))
	if _, err := io.ReadFull(conn, msg); err != nil {
		return nil, closed(err)
	}
	return msg, nil
}

// errClosed is returned if the primary closes the connection too early.
var errClosed = errors.New("it has closed the connection")

func closed(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errClosed
	}
	return err
}

// query makes a query, and signs it if there is a key. For IXFR, soa is the record of the version in service, for the
// authority section (RFC 1995 section 3); otherwise nil. The query asks for EXPIRE (RFC 7314), unless the primary does
// not know EDNS.
func (l *line) query(origin rr.Name, typ rr.Type, soa []byte) ([]byte, *tsig.Answers) {
	msg := binary.BigEndian.AppendUint16(nil, uint16(rand.Uint32()))
	msg = append(msg, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)
	msg = append(msg, origin...)
	msg = binary.BigEndian.AppendUint16(msg, uint16(typ))
	msg = binary.BigEndian.AppendUint16(msg, wire.ClassIN)
	if soa != nil {
		msg[9] = 1
		msg = append(append(msg, 0xc0, wire.HeaderSize), soa[2:]...)
	}
	if !l.bare {
		msg[11] = 1
		msg = append(msg, 0, 0, byte(wire.TypeOPT), byte(wire.UDPSize>>8), byte(wire.UDPSize&0xff), 0, 0, 0, 0, 0, 4, 0,
			optionExpire, 0, 0)
	}
	if l.key == nil {
		return msg, nil
	}
	return l.key.Request(msg, l.s.o.Now())
}

// soa asks for the zone's SOA record and for how long the zone is good; left is negative if the primary does not say.
// The primary must answer with authority.
func (l *line) soa(ctx context.Context, origin rr.Name) (soa rr.Record, left time.Duration, err error) {
	query, check := l.query(origin, rr.TypeSOA, nil)
	err = l.ask(ctx, query, soaLimit, nil, func(next nextMessage) error {
		msg, err := next(0)
		if err != nil {
			return err
		}
		m, err := readVerified(msg, query, check, l.s.o.Now)
		if err != nil {
			return err
		}
		if !m.aa || len(m.answers) != 1 || m.answers[0].Type != rr.TypeSOA || m.answers[0].Owner != origin ||
			m.answers[0].Class != wire.ClassIN {
			return errors.New("it is not authoritative for the zone")
		}
		soa, left = m.answers[0], saidExpire(msg)
		return rr.Check(soa.Type, soa.Data)
	})
	var said rcodeError
	if !l.bare && errors.As(err, &said) && (said.rcode == wire.RcodeFormErr || said.rcode == wire.RcodeNotImp) {
		l.bare = true // ask again without EDNS (RFC 6891 section 7)
		l.close()
		return l.soa(ctx, origin)
	}
	return soa, left, err
}

// transfer asks for the differences from a version to the newest, or, if have is nil, for the whole zone.
func (l *line) transfer(ctx context.Context, origin rr.Name, have *snapshot.Version) (f fetched, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	holding := l.s.held.open(l.peer.Address.Addr(), stop)
	defer func() {
		if holding.close() {
			f.version, err = nil, errHeld{l.s.held.most}
		}
	}()
	typ, soa := rr.TypeAXFR, []byte(nil)
	if have != nil {
		typ, soa = rr.TypeIXFR, have.SOA()
	}
	query, check := l.query(origin, typ, soa)
	r := &receiver{}
	err = l.ask(ctx, query, idleLimit, holding, func(next nextMessage) error {
		r = &receiver{origin: origin, have: have, holding: holding}
		f.messages, err = r.receive(query, next, check, l.s.o.Now)
		return err
	})
	f.how, f.serial, f.records, f.octets = r.how(), r.serial(), r.records, r.octets
	if err != nil {
		return f, err
	}
	f.version, err = r.version() // nil: a single SOA means that there is nothing newer (RFC 1995 section 2)
	return f, err
}
