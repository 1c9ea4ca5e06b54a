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
	// octets that a connection has for requests at first; it grows to what a request needs
	firstBuffer = 1024
	flushAt     = 16 * 1024              // octets of responses after which no more requests are answered before writing
	readGrace   = time.Second            // how long a response may take to be read before its client counts as idle
	lastWait    = 100 * time.Millisecond // how long what is under way is waited for after the stop
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

// connection is one client's connection (RFC 7766). Requests are answered in the order in which they come; all that
// have come whole are answered before anything is written, so that pipelined ones share system calls.
type connection struct {
	net.Conn
	server *Server
	over   *streams
	peer   netip.AddrPort // at the other end; an IPv4 address is never mapped
	group  netip.Prefix   // what the limit per client counts

	// waiting is from when on the client counts as idle, in nanoseconds of the table's clock; negative while something
	// is being made for it. Who owes a whole request is idle since it has; one that dribbles in does not renew that, so
	// that a slow client is as idle as a silent one. Who has a response to read, or waits for its turn, is idle a
	// moment later.
	waiting atomic.Int64
	// since when, by the same clock, its requests have been more than there is room to read; notAhead: they are not
	ahead   atomic.Int64
	evicted atomic.Bool
	gone    chan struct{}         // closed with evicted
	turns   atomic.Pointer[turns] // that it has a turn of; nil: none
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
	stopping := false // seen: the deadline is the last one
	for {
		c.waiting.Store(s.table.now())
		_ = c.SetReadDeadline(deadline)
		if !stopping && s.stopping.Load() {
			// looked at after the deadline was set: this sees the stop, or is woken by it
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
		if cap(responses) > flushAt { // a connection that had one long answer need not hold it for ever
			responses = nil
		}
		if !stopping {
			deadline = time.Now().Add(limits.Idle)
		}
	}
}

// notAhead is no time of the table's clock.
const notAhead = math.MaxInt64

// keepsUp notes whether all that the client has sent by now has been read.
func (c *connection) keepsUp(all bool) {
	switch {
	case all:
		c.ahead.Store(notAhead)
	case c.ahead.Load() == notAhead:
		c.ahead.Store(c.server.table.now())
	}
}

// grace says that the client has a moment from now on before it counts as idle.
func (c *connection) grace() { c.waiting.Store(c.server.table.now() + int64(readGrace)) }

// write writes responses. All that is written goes this way, or by send, so that
// who does not read is idle whatever it has asked for.
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

// finish ends our side, and waits a moment for the client's: closing with something unread would make the kernel throw
// away responses that the client has not read yet.
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

// answer answers the whole requests that a stream holds, in order, and appends the responses with their lengths to out,
// until that is long enough to be written. It returns the responses and what is left of the requests, moved to the
// front of their buffer. It stops at a request that is to be answered later, which it returns. It is not ok where a
// request is none that can be answered: the connection is of no more use.
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
