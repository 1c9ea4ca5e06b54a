package transfer

import (
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

// How long a primary may take.
const (
	dialLimit  = 5 * time.Second
	idleLimit  = 30 * time.Second // from one message to the next
	fetchLimit = 30 * time.Minute // all of one transfer
)

// fetched is what became of asking one primary.
type fetched struct {
	version  *snapshot.Version // nil: the one that is here is the newest
	how      string            // "soa", "ixfr" or "axfr"
	serial   uint32
	records  int
	messages int
	octets   int // of names and RDATA
}

// errOlder is why a primary's version is not taken: serials go one way (RFC 1982).
type errOlder struct{ theirs, ours uint32 }

func (e errOlder) Error() string {
	return fmt.Sprintf("it has serial %d, which is older than %d here; raise the serial there", e.theirs, e.ours)
}

// fetch asks one primary for what it has that is newer than what is here (RFC 1034 section 4.3.5): its SOA, then the differences
// (RFC 1995), or the whole zone where there is nothing to differ from or where that does not work out.
func (s *Secondary) fetch(ctx context.Context, peer zones.Peer, origin rr.Name, have *snapshot.Version) (fetched, error) {
	ctx, stop := context.WithTimeout(ctx, fetchLimit)
	defer stop()
	line, err := s.open(peer)
	if err != nil {
		return fetched{}, err
	}
	defer line.close()
	soa, err := line.soa(ctx, origin)
	if err != nil {
		return fetched{}, fmt.Errorf("SOA: %w", err)
	}
	serial := snapshot.SerialOf(soa.Data)
	if have != nil {
		switch {
		case serial == have.Serial():
			return fetched{how: "soa", serial: serial}, nil
		case !newer(serial, have.Serial()):
			return fetched{}, errOlder{serial, have.Serial()}
		}
		f, err := line.transfer(ctx, origin, have)
		var net net.Error
		switch {
		case err == nil:
			return f, nil
		case ctx.Err() != nil, errors.As(err, &net): // the whole zone would not get through either
			return f, fmt.Errorf("IXFR: %w", err)
		}
		s.o.Log.Info("no differences from the primary; the whole zone is transferred", "zone", origin.String(), "primary", peer.String(),
			"serial", have.Serial(), "err", err)
		s.metrics.received.WithLabelValues("ixfr", "failed").Inc()
		line.close()
	}
	f, err := line.transfer(ctx, origin, nil)
	if err != nil {
		return f, fmt.Errorf("AXFR: %w", err)
	}
	f.version = f.version.From(have)
	return f, nil
}

// line is a TCP connection to one primary, made when it is needed.
type line struct {
	s    *Secondary
	peer zones.Peer
	key  *tsig.Key // nil: nothing is signed
	conn net.Conn
	used bool // something has been answered over it
}

// open returns a line to a primary.
func (s *Secondary) open(peer zones.Peer) (*line, error) {
	l := &line{s: s, peer: peer}
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

// ask sends a query and has read take its answers: a function that returns the next message. Where a connection that was answered
// over before has been closed meanwhile, it is made anew.
func (l *line) ask(ctx context.Context, query []byte, read func(next func() ([]byte, error)) error) error {
	for {
		again := l.used
		if l.conn == nil {
			limited, stop := context.WithTimeout(ctx, dialLimit)
			conn, err := l.s.dial(limited, "tcp", l.peer.Address.String())
			stop()
			if err != nil {
				return err
			}
			l.conn = conn
		}
		got, err := l.once(ctx, query, read)
		if err == nil {
			l.used = true
			return nil
		}
		if !again || got > 0 || ctx.Err() != nil {
			return err
		}
		l.close()
	}
}

// once is ask over the connection that there is. It returns how many messages have come.
func (l *line) once(ctx context.Context, query []byte, read func(next func() ([]byte, error)) error) (got int, err error) {
	conn := l.conn
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	ctx, end := context.WithCancel(ctx)
	defer end()
	_ = conn.SetDeadline(time.Now().Add(idleLimit))
	out := binary.BigEndian.AppendUint16(make([]byte, 0, len(query)+2), uint16(len(query)))
	if _, err := conn.Write(append(out, query...)); err != nil {
		return 0, err
	}
	q := newQueue()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for {
			_ = conn.SetReadDeadline(time.Now().Add(idleLimit))
			if err := ctx.Err(); err != nil { // which has set another deadline, before or after
				q.put(nil, err)
				return
			}
			msg, err := readMessage(conn)
			if !q.put(msg, err) || err != nil {
				return
			}
		}
	}()
	err = read(func() ([]byte, error) {
		msg, err := q.next()
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

// mostAhead is how much of a transfer is read before it is taken up, octets. Making sense of a zone takes longer than sending it, and
// some primaries close a connection that they cannot write to for half a second: so nearly all zones are read as fast as they come.
const mostAhead = 128 << 20

// queue is the messages that have been read and not been taken up yet.
type queue struct {
	mu       sync.Mutex
	turn     sync.Cond // on mu: something has come, or gone
	messages [][]byte
	octets   int
	err      error // after the last message
	closed   bool
}

func newQueue() *queue {
	q := &queue{}
	q.turn.L = &q.mu
	return q
}

// put appends a message, or the error that ends them; it waits while too much is there. It reports whether anybody wants more.
func (q *queue) put(msg []byte, err error) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.octets > mostAhead && !q.closed {
		q.turn.Wait()
	}
	if q.err = err; err == nil {
		q.messages = append(q.messages, msg)
		q.octets += len(msg)
	}
	q.turn.Broadcast()
	return !q.closed
}

// next takes the first message; it waits for one.
func (q *queue) next() ([]byte, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.messages) == 0 {
		if q.err != nil {
			return nil, q.err
		}
		q.turn.Wait()
	}
	msg := q.messages[0]
	q.messages[0] = nil
	q.messages = q.messages[1:]
	q.octets -= len(msg)
	q.turn.Broadcast()
	return msg, nil
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.turn.Broadcast()
}

// readMessage reads one message with its length before it (RFC 1035 section 4.2.2).
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

// errClosed is a connection that the primary has closed too early.
var errClosed = errors.New("it has closed the connection")

func closed(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errClosed
	}
	return err
}

// query makes a query, with our SOA in the authority section if there is one (RFC 1995 section 3), and signs it where there is a key.
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
	if l.key == nil {
		return msg, nil
	}
	return l.key.Request(msg, l.s.o.Now())
}

// soa asks for the zone's SOA record. The primary must have authority for it.
func (l *line) soa(ctx context.Context, origin rr.Name) (soa rr.Record, err error) {
	query, check := l.query(origin, rr.TypeSOA, nil)
	err = l.ask(ctx, query, func(next func() ([]byte, error)) error {
		msg, err := next()
		if err != nil {
			return err
		}
		m, err := readVerified(msg, query, check, l.s.o.Now)
		if err != nil {
			return err
		}
		if !m.aa || len(m.answers) != 1 || m.answers[0].Type != rr.TypeSOA || m.answers[0].Owner != origin || m.answers[0].Class != wire.ClassIN {
			return errors.New("it has no authority for the zone")
		}
		soa = m.answers[0]
		return rr.Check(soa.Type, soa.Data)
	})
	return soa, err
}

// turn waits until a transfer from an address may begin; done ends it. One primary that hangs, or trickles, in all of its zones leaves
// room for the zones of others.
func (s *Secondary) turn(ctx context.Context, from netip.Addr) (done func(), err error) {
	s.mu.Lock()
	share := s.shares[from]
	if share == nil {
		share = make(chan struct{}, fetchFromOne)
		s.shares[from] = share
	}
	s.mu.Unlock()
	select {
	case share <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case s.slots <- struct{}{}:
		return func() { <-s.slots; <-share }, nil
	case <-ctx.Done():
		<-share
		return nil, ctx.Err()
	}
}

// transfer asks for what leads from a version to the newest, or for the whole zone.
func (l *line) transfer(ctx context.Context, origin rr.Name, have *snapshot.Version) (f fetched, err error) {
	done, err := l.s.turn(ctx, l.peer.Address.Addr())
	if err != nil {
		return f, err
	}
	defer done()
	typ, soa := rr.TypeAXFR, []byte(nil)
	if have != nil {
		typ, soa = rr.TypeIXFR, have.SOA()
	}
	query, check := l.query(origin, typ, soa)
	r := &receiver{origin: origin, have: have}
	err = l.ask(ctx, query, func(next func() ([]byte, error)) error {
		r = &receiver{origin: origin, have: have}
		f.messages, err = r.receive(query, next, check, l.s.o.Now)
		return err
	})
	f.how, f.serial, f.records, f.octets = r.how(), r.serial(), r.records, r.octets
	if err != nil {
		return f, err
	}
	f.version, err = r.version()
	if err == nil && f.version == nil { // RFC 1995 section 2: the one SOA says that there is nothing newer
		if f.serial != have.Serial() {
			err = errOlder{f.serial, have.Serial()}
		}
	}
	return f, err
}
