package server

import (
	"context"
	"net/netip"
	"time"

	"leeward/server/wire"
)

// Exchange is a message that is not answered on the query path, because its answer takes time or many messages: NOTIFY
// (RFC 1996), UPDATE (RFC 2136), queries of type AXFR and IXFR (RFC 5936, RFC 1995), and any query with a TSIG record (RFC
// 8945), whose answer must be signed.
type Exchange struct {
	// Request is the message. The handler owns it. Its header is whole, QR is clear, and of a transfer the question and
	// the records behind it can be read; of the others nothing but the header is known to be good.
	Request []byte

	Source netip.AddrPort // who sent it; an IPv4 address is never mapped
	TCP    bool

	// State is what was published last when the message came; nil before the first.
	State *State

	// Write sends one message to who asked. Over UDP one is right and must fit what the request takes; over TCP there may be
	// any number of them, each at most wire.MaxMessage octets. Nothing else is sent to the client meanwhile. It does not keep
	// the message. After an error nothing more can be sent.
	Write func(message []byte) error

	// Answer makes the response that the query path would give, with that many octets to spare for a signature; it may be
	// nothing. It takes no account of the request's TSIG record.
	Answer func(room int) []byte
}

// Bounds on messages off the query path.
const (
	specialUDP     = 64               // handled at once; what comes over UDP beyond that is dropped, and the requester tries again
	specialTCP     = 64               // handled at once; over TCP the connection waits for its turn
	specialUDPTime = 30 * time.Second // that a message over UDP may take: nobody waits for the answer any longer
)

// isSpecial says whether a request that was read with that verdict is for Options.Special.
func isSpecial(q *wire.Query, verdict wire.Verdict) bool {
	switch verdict {
	case wire.OK:
		return q.TSIG != 0 || q.Class == wire.ClassIN && (q.Type == wire.TypeAXFR || q.Type == wire.TypeIXFR)
	case wire.NotImp:
		return q.Opcode == wire.OpcodeNotify || q.Opcode == wire.OpcodeUpdate
	}
	return false
}

// specials runs Options.Special in a bounded number of goroutines.
type specials struct {
	server   *Server
	udp, tcp chan struct{} // one element for each that runs
	ctx      context.Context
	cut      context.CancelFunc // what is left at the end of a shutdown
	stripe   *stripe
}

func newSpecials(s *Server) *specials {
	x := &specials{
		server: s, udp: make(chan struct{}, specialUDP), tcp: make(chan struct{}, specialTCP), stripe: s.counts.stripe(),
	}
	x.ctx, x.cut = context.WithCancel(context.Background())
	return x
}

// datagram handles a message that came over UDP, in a goroutine of its own. write sends the reply from where it was received.
// It reports whether there was room.
func (x *specials) datagram(request []byte, source netip.AddrPort, write func([]byte) error) bool {
	select {
	case x.udp <- struct{}{}:
	default:
		return false
	}
	e := &Exchange{Request: append([]byte(nil), request...), Source: source, State: x.server.state.Load(), Write: write}
	x.server.running.Go(func() {
		defer func() { <-x.udp }()
		ctx, stop := context.WithTimeout(x.ctx, specialUDPTime)
		defer stop()
		x.handle(ctx, e)
	})
	return true
}

// stream handles a message that came over a connection, in the connection's goroutine. It reports whether the connection is
// of further use.
func (x *specials) stream(request []byte, source netip.AddrPort, write func([]byte) error) bool {
	select {
	case x.tcp <- struct{}{}:
	case <-x.ctx.Done():
		return false
	}
	defer func() { <-x.tcp }()
	good := true
	e := &Exchange{
		Request: append([]byte(nil), request...), Source: source, TCP: true, State: x.server.state.Load(),
		Write: func(message []byte) error {
			err := write(message)
			good = good && err == nil
			return err
		},
	}
	return x.handle(x.ctx, e) && good
}

// plain answers as the query path does, by a worker of its own.
func (x *specials) plain(e *Exchange, room int) []byte {
	proto, size := udp, MaxUDPSize
	if e.TCP {
		proto, size = tcp, wire.MaxMessage
	}
	w := x.server.newWorkerOn(x.stripe, proto)
	w.plain, w.spare = true, room
	defer w.flush()
	return w.respond(e.State, e.Request, e.Source.Addr(), make([]byte, 0, size))
}

// handle calls the handler, counts its response, and keeps a panic from ending the server. It reports whether there was none.
func (x *specials) handle(ctx context.Context, e *Exchange) (whole bool) {
	defer func() {
		if fault := recover(); fault != nil {
			x.stripe.sums[droppedPanic].Add(1)
			x.server.panics.say(x.server.log, fault, e.Request, e.Source.Addr())
		}
	}()
	write, counted := e.Write, false
	e.Write = func(message []byte) error {
		if !counted && len(message) >= wire.HeaderSize {
			counted = true
			x.stripe.sums[responses+int(message[3]&15)].Add(1)
		}
		return write(message)
	}
	e.Answer = func(room int) []byte { return x.plain(e, room) }
	x.server.options.Special(ctx, e)
	return true
}
