package server

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"
)

const (
	firstBuffer = 1024                   // octets that a connection has for requests at first; it grows to what a request needs
	maxMessage  = 65535                  // octets of a DNS message over TCP (RFC 1035 4.2.2)
	flushAt     = 16 * 1024              // octets of responses after which no more requests are answered before writing
	readGrace   = time.Second            // how long a response may take to be read before its client counts as idle
	lastWait    = 100 * time.Millisecond // how long what is under way is waited for after the stop
)

// connection is one client's TCP connection (RFC 7766). Requests are answered in the order in which they come; all that
// have come whole are answered before anything is written, so that pipelined ones share system calls.
type connection struct {
	net.Conn
	server *Server
	client netip.Addr
	group  netip.Prefix // what the limit per client counts

	// waiting is since when the client has owed a whole request, in nanoseconds of the table's clock; while a response is being
	// written, until when its client is not idle; negative while one is being made. A request that dribbles in does not renew it, so that a slow client is as idle as a silent one.
	waiting atomic.Int64
	evicted atomic.Bool
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
		if !stopping && s.stopping.Load() { // looked at after the deadline was set: this sees the stop, or is woken by it
			_ = c.SetReadDeadline(time.Now())
		}
		for !wholeMessage(requests) {
			requests = roomForMessage(requests)
			n, err := c.Read(requests[len(requests):cap(requests)])
			requests = requests[:len(requests)+n]
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
			var ok bool
			w := s.scratch.get()
			responses, requests, ok = w.answerStream(requests, c.client, responses[:0])
			special := w.special
			s.scratch.put(w)
			if special { // it comes first in what is left
				if len(responses) > 0 {
					_ = c.SetWriteDeadline(time.Now().Add(limits.Write))
					if _, err := c.Write(responses); err != nil {
						return closedBroken
					}
				}
				size := 2 + int(binary.BigEndian.Uint16(requests))
				if !s.special.stream(requests[2:size], c.source(), c.send) {
					return closedBroken
				}
				requests = requests[:copy(requests, requests[size:])]
				continue
			}
			c.waiting.Store(s.table.now() + int64(readGrace))
			_ = c.SetWriteDeadline(time.Now().Add(limits.Write))
			if _, err := c.Write(responses); errors.Is(err, os.ErrDeadlineExceeded) {
				return closedSlow
			} else if err != nil {
				return closedBroken
			}
			if !ok {
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

// source is who is at the other end.
func (c *connection) source() netip.AddrPort {
	a := c.RemoteAddr().(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(c.client, a.Port())
}

// send writes one message with its length, in one system call.
func (c *connection) send(message []byte) error {
	if len(message) > maxMessage {
		return errTooLong
	}
	var length [2]byte
	binary.BigEndian.PutUint16(length[:], uint16(len(message)))
	_ = c.SetWriteDeadline(time.Now().Add(c.server.options.TCP.Write))
	buffers := net.Buffers{length[:], message}
	_, err := buffers.WriteTo(c.Conn)
	return err
}

var errTooLong = errors.New("longer than a DNS message can be")

// finish ends our side, and waits a moment for the client's: closing with something unread would make the kernel throw
// away responses that the client has not read yet.
func (c *connection) finish() {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_ = c.SetReadDeadline(time.Now().Add(lastWait))
		_, _ = io.CopyN(io.Discard, c.Conn, 4*maxMessage)
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

// answerStream answers the whole requests that a stream holds, in order, and appends the responses with their lengths to
// out, until that is long enough to be written. It returns the responses and what is left of the requests, moved to the
// front of their buffer; where that begins with one for Options.Special, the worker says so. It is not ok where a request is none that can be answered: the connection is of no more use.
func (w *worker) answerStream(requests []byte, client netip.Addr, out []byte) (responses, rest []byte, ok bool) {
	w.look()
	at := 0
	ok = true
	for ok && len(out) < flushAt && wholeMessage(requests[at:]) {
		size := int(binary.BigEndian.Uint16(requests[at:]))
		request := requests[at+2 : at+2+size]
		at += 2 + size
		response := w.answer(request, client, w.long[:0])
		if w.special {
			at -= 2 + size
			break
		}
		if ok = len(response) > 0; ok {
			out = binary.BigEndian.AppendUint16(out, uint16(len(response)))
			out = append(out, response...)
		}
	}
	w.flush()
	return out, requests[:copy(requests, requests[at:])], ok
}
