package socket

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"leeward/server/answer"
	"leeward/server/wire"
)

const (
	// octets for requests at first; the buffer grows with a larger request
	firstBuffer = 1024
	flushAt     = 16 * 1024              // octets of responses that are written before more requests are answered
	readGrace   = time.Second            // how long a client may take to read a response before it counts as idle
	lastWait    = 100 * time.Millisecond // how long to wait after the stop for requests that are under way
)

// streams is a transport whose clients connect. Connections borrow its workers while they have something to answer.
type streams struct {
	*answer.Transport
	workers sync.Pool // of *streamWorker
}

func (s *Server) newStreams(t answer.Transport) *streams {
	over := &streams{Transport: s.answers.Over(t)}
	worker := s.answers.Workers(over.Transport, s.options.Workers)
	over.workers.New = func() any { return &streamWorker{worker(), make([]byte, t.Size)} }
	return over
}

// connection is one client's connection (RFC 7766). Requests are answered in the order in which they come. All complete
// requests are answered before anything is written, so that pipelined ones share system calls.
type connection struct {
	net.Conn
	server *Server
	over   *streams
	peer   netip.AddrPort // at the other end; an IPv4 address is never mapped
	group  netip.Prefix   // the client, for the limit per client

	// waiting is the time from which on the client counts as idle, in nanoseconds of the table's clock. It is negative
	// while the server works for it. A client that owes a complete request is idle since then; further octets of the
	// request do not change that, so a slow client is as idle as a silent one. A client that has a response to read, or
	// waits for its turn, becomes idle a moment later.
	waiting atomic.Int64
	// the time, by the same clock, since which it has sent more requests than can be read; notAhead: it has not
	ahead   atomic.Int64
	evicted atomic.Bool
	gone    chan struct{}         // closed with evicted
	turns   atomic.Pointer[turns] // the turns of which it has one now; nil: none
}

// run answers until the client is done, is too slow, or the server stops.
func (c *connection) run() {
	why := c.serve()
	if c.evicted.Load() {
		why = closedEvicted
	}
	c.server.table.remove(c, why)
	_ = c.Close()
}

// serve returns why it ended.
func (c *connection) serve() closing {
	s := c.server
	limits := &s.options.TCP
	var responses []byte
	requests := make([]byte, 0, firstBuffer)
	deadline := time.Now().Add(limits.Idle)
	stopping := false // the stop was seen, and the deadline is the last one
	for {
		c.waiting.Store(s.table.now())
		_ = c.SetReadDeadline(deadline)
		if !stopping && s.stopping.Load() {
			// checked after the deadline was set: either this sees the stop, or the stop wakes it
			_ = c.SetReadDeadline(time.Now())
		}
		for !wholeMessage(requests) {
			requests = roomForMessage(requests)
			n, err := c.Read(requests[len(requests):cap(requests)])
			requests = requests[:len(requests)+n]
			c.keepsUp(len(requests) < cap(requests))
			if err == nil || wholeMessage(requests) {
				continue
			}
			switch {
			case errors.Is(err, io.EOF) && len(requests) == 0:
				return closedByClient
			case errors.Is(err, os.ErrDeadlineExceeded) && stopping:
				c.finish()
				return closedByStop
			case errors.Is(err, os.ErrDeadlineExceeded) && s.stopping.Load():
				stopping = true
				deadline = time.Now().Add(lastWait)
				_ = c.SetReadDeadline(deadline)
				continue
			case errors.Is(err, os.ErrDeadlineExceeded) && len(requests) == 0:
				return closedIdle
			case errors.Is(err, os.ErrDeadlineExceeded):
				return closedSlow
			}
			return closedBroken
		}
		c.waiting.Store(-1)
		for wholeMessage(requests) {
			var x *answer.Exchange
			var ok bool
			w := c.over.workers.Get().(*streamWorker)
			responses, requests, x, ok = w.answer(requests, c.peer, responses[:0])
			c.over.workers.Put(w)
			var err error
			if len(responses) > 0 {
				err = c.write(responses)
			}
			if x != nil && err == nil {
				err = s.later.stream(x, c)
			}
			switch {
			case errors.Is(err, os.ErrDeadlineExceeded):
				return closedSlow
			case err != nil:
				return closedBroken
			case !ok:
				return closedBadMessage
			}
		}
		if cap(responses) > flushAt { // do not keep a large buffer for ever because of one long answer
			responses = nil
		}
		if !stopping {
			deadline = time.Now().Add(limits.Idle)
		}
	}
}

// notAhead is no time of the table's clock.
const notAhead = math.MaxInt64

// keepsUp notes whether everything that the client has sent by now has been read.
func (c *connection) keepsUp(all bool) {
	switch {
	case all:
		c.ahead.Store(notAhead)
	case c.ahead.Load() == notAhead:
		c.ahead.Store(c.server.table.now())
	}
}

// grace gives the client a moment, from now on, before it counts as idle.
func (c *connection) grace() { c.waiting.Store(c.server.table.now() + int64(readGrace)) }

// write writes responses. Everything is written here or by send, so a client that does not read counts as idle,
// whatever it has asked for.
func (c *connection) write(responses []byte) error {
	c.owe()
	_, err := c.Conn.Write(responses)
	c.waiting.Store(-1)
	return err
}

// send writes one message with its length, in one system call.
func (c *connection) send(message []byte) error {
	if len(message) > wire.MaxMessage {
		return errTooLong
	}
	c.owe()
	var length [2]byte
	binary.BigEndian.PutUint16(length[:], uint16(len(message)))
	buffers := net.Buffers{length[:], message}
	_, err := buffers.WriteTo(c.Conn)
	c.waiting.Store(-1)
	return err
}

// owe begins to wait for the client to read.
func (c *connection) owe() {
	c.grace()
	_ = c.SetWriteDeadline(time.Now().Add(c.server.options.TCP.Write))
}

var errTooLong = errors.New("longer than a DNS message can be")

// finish closes our side, and waits a moment for the client's. If we closed the connection with unread requests in it,
// the kernel would discard responses that the client has not read yet.
func (c *connection) finish() {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_ = c.SetReadDeadline(time.Now().Add(lastWait))
		_, _ = io.CopyN(io.Discard, c.Conn, 4*wire.MaxMessage)
	}
}

// wholeMessage reports whether a request, two octets of length and as many as they say, has come whole.
func wholeMessage(b []byte) bool {
	return len(b) >= 2 && len(b) >= 2+int(binary.BigEndian.Uint16(b))
}

// roomForMessage returns b with room for the rest of the request that it begins with.
func roomForMessage(b []byte) []byte {
	need := firstBuffer
	if len(b) >= 2 {
		need = 2 + int(binary.BigEndian.Uint16(b))
	}
	if cap(b) >= need && len(b) < cap(b) {
		return b
	}
	grown := make([]byte, len(b), max(need, firstBuffer))
	copy(grown, b)
	return grown
}

// streamWorker is a Worker with room for a response of any size.
type streamWorker struct {
	*answer.Worker
	long []byte
}

// answer answers the complete requests in a stream, in order, and appends the responses with their lengths to out,
// until that is long enough to be written. It returns the responses, and the rest of the requests, moved to the front
// of their buffer. It stops at a request that must be answered later, and returns that. ok is false if a request cannot
// be answered: then the connection is of no more use.
func (w *streamWorker) answer(requests []byte, peer netip.AddrPort, out []byte) (responses, rest []byte,
	x *answer.Exchange, ok bool,
) {
	w.Look()
	at := 0
	ok = true
	for ok && x == nil && len(out) < flushAt && wholeMessage(requests[at:]) {
		request := requests[at+2 : at+2+int(binary.BigEndian.Uint16(requests[at:]))]
		at += 2 + len(request)
		response, kind := respond(w.Worker, request, peer.Addr(), false, w.long[:0])
		if kind == answer.Query {
			w.Tap(request, response, peer)
		}
		if kind != answer.Query {
			x = w.Later(request, peer)
		} else if ok = len(response) > 0; ok {
			out = binary.BigEndian.AppendUint16(out, uint16(len(response)))
			out = append(out, response...)
		}
	}
	w.Flush()
	return out, requests[:copy(requests, requests[at:])], x, ok
}
