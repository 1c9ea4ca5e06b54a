package server

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"time"

	"leeward/server/wire"
	"leeward/zones/snapshot"
)

// Exchange is a message that is not answered on the query path, because its answer takes time or many messages: NOTIFY
// (RFC 1996), UPDATE (RFC 2136), queries of type AXFR and IXFR (RFC 5936, RFC 1995), and any query with a TSIG record
// (RFC 8945), whose answer must be signed.
type Exchange struct {
	// Request is the message. The handler owns it. Its header is whole, QR is clear, and of a transfer the question and
	// the records behind it can be read; of the others nothing but the header is known to be good.
	Request []byte

	Source netip.AddrPort // who sent it; an IPv4 address is never mapped
	TCP    bool

	// State is what was published last when the message came; nil before the first.
	State *State

	// Write sends one message to who asked. Over UDP one is right and must fit what the request takes; over TCP there
	// may be any number of them, each at most wire.MaxMessage octets. Nothing else is sent to the client meanwhile. It
	// does not keep the message. After an error nothing more can be sent.
	Write func(message []byte) error

	// Proven is for the handler to set before it writes: the request is made with a key of ours.
	Proven bool

	// Answer makes the response that the query path would give, with that many octets to spare for a signature; it may
	// be nothing. It takes no account of the request's TSIG record.
	Answer func(room int) []byte

	is standing // of who asks over UDP, by its cookie
}

// Bounds on messages off the query path.
const (
	specialUDP     = 64               // handled at once; what comes over UDP beyond that is dropped, and the requester tries again
	specialTCP     = 64               // transfers over TCP at once, and as many of all else; the connection waits for its turn
	specialShare   = 16               // of these for one client: an IPv4 address or IPv6 /64
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
	server    *Server
	udp       chan struct{} // one element for each that runs
	transfers *turns        // AXFR and IXFR over TCP, which can take long: nothing else waits for them
	others    *turns        // what else comes over TCP
	ctx       context.Context
	cut       context.CancelFunc // what is left at the end of a shutdown
	stripe    *stripe
}

func newSpecials(s *Server) *specials {
	x := &specials{
		server: s, udp: make(chan struct{}, specialUDP), stripe: s.counts.stripe(),
		transfers: newTurns(specialTCP, specialShare), others: newTurns(specialTCP, specialShare),
	}
	x.ctx, x.cut = context.WithCancel(context.Background())
	return x
}

// datagram handles a message that came over UDP, in a goroutine of its own. write sends the reply from where it was
// received. It reports whether there was room.
func (x *specials) datagram(request []byte, source netip.AddrPort, is standing, write func([]byte) error) bool {
	select {
	case x.udp <- struct{}{}:
	default:
		return false
	}
	e := &Exchange{
		Request: append([]byte(nil), request...), Source: source, State: x.server.state.Load(), Write: write, is: is,
	}
	x.server.running.Go(func() {
		defer func() { <-x.udp }()
		ctx, stop := context.WithTimeout(x.ctx, specialUDPTime)
		defer stop()
		x.handle(ctx, e)
	})
	return true
}

// limited is what is sent of a response over UDP. One that proves nothing to us and carries nothing of a zone is no
// longer than its request, and all pass the rate limit, but those to who has shown that its address is its own, by a
// cookie or by a signature. A signature can have been heard by others: what is longer than the request that has it is
// limited too.
func (x *specials) limited(e *Exchange, message []byte) []byte {
	if e.is == familiar || len(message) < wire.HeaderSize || e.Proven && len(message) <= len(e.Request) {
		return message
	}
	records := message[6] | message[7] | message[8] | message[9]
	if !e.Proven && records == 0 {
		message = wire.Trim(message, len(e.Request))
	}
	s := x.server
	if s.limiter == nil {
		return message
	}
	fate := s.fate(s.limiter.At(time.Since(s.start)), e.Source.Addr(), subjectOfMessage(e.State, message), globalRandom{})
	if fate != unlimited {
		x.stripe.sums[fate].Add(1)
	}
	switch fate {
	case limitDropped:
		return nil
	case limitSlipped:
		message = wire.Trim(wire.TruncateMessage(message), len(e.Request))
	}
	return message
}

// subjectOfMessage is the subject of a response off the query path: what it says of its question's name if all is well,
// and an error otherwise.
func subjectOfMessage(state *State, message []byte) subject {
	if state == nil || uint16(message[3]&15) != wire.RcodeNoError {
		return subject{}
	}
	var q wire.Query
	asked := append([]byte(nil), message...)
	asked[2] = 0 // as a query
	if q.Parse(asked); q.Question == nil {
		return subject{}
	}
	var found snapshot.Answer
	name := q.Name()
	state.Snapshot.Lookup(name, q.Type, q.Class, &found)
	return subjectOf(&found, name)
}

// globalRandom is math/rand/v2's own generator.
type globalRandom struct{}

func (globalRandom) Uint64() uint64 { return rand.Uint64() }

// stream handles a message that came over a connection, in the connection's goroutine. An error says that the
// connection is of no further use.
//
// The first message of a response is written when the second comes, or after the turn: so whoever asks for what it may
// not have, and does not read the refusal, has nobody wait for it.
func (x *specials) stream(request []byte, c *connection) error {
	of := x.others
	if isTransfer(request) {
		of = x.transfers
	}
	turn := of.ask(c.group)
	left := false
	leave := func() {
		if !left {
			left = true
			c.turns.Store(nil)
			of.leave(turn)
		}
	}
	defer leave()
	if !x.await(turn, of, c) {
		return errCut
	}
	c.turns.Store(of)
	c.waiting.Store(-1)
	var first []byte
	var failed error
	messages := 0
	e := &Exchange{
		Request: append([]byte(nil), request...), Source: c.source(), TCP: true, State: x.server.state.Load(),
		Write: func(message []byte) error {
			messages++
			if messages == 1 {
				first = append(first, message...)
				return nil
			}
			if failed == nil && first != nil {
				failed, first = c.send(first), nil
			}
			if failed == nil {
				failed = c.send(message)
			}
			return failed
		},
	}
	whole := x.handle(x.ctx, e)
	leave()
	if failed == nil && first != nil {
		failed = c.send(first)
	}
	if failed == nil && !whole {
		failed = errCut
	}
	return failed
}

var errCut = errors.New("ended from this side")

// await waits for the turn. Who has had nothing read for a moment loses its own to who waits.
func (x *specials) await(turn *turn, of *turns, c *connection) bool {
	select {
	case <-turn.ready:
		return true
	default:
	}
	c.grace()
	look := time.NewTicker(readGrace)
	defer look.Stop()
	for {
		select {
		case <-turn.ready:
			return true
		case <-c.gone:
			return false
		case <-x.ctx.Done():
			return false
		case <-look.C:
			x.server.table.makeRoom(func(o *connection) bool { return o.turns.Load() == of })
		}
	}
}

// isTransfer reports whether a message that is for Options.Special is a query of type AXFR or IXFR.
func isTransfer(request []byte) bool {
	var q wire.Query
	return q.Parse(request) == wire.OK && (q.Type == wire.TypeAXFR || q.Type == wire.TypeIXFR)
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

// handle calls the handler, counts its response, and keeps a panic from ending the server. It reports whether there was
// none.
func (x *specials) handle(ctx context.Context, e *Exchange) (whole bool) {
	defer func() {
		if fault := recover(); fault != nil {
			x.stripe.sums[droppedPanic].Add(1)
			x.server.panics.say(x.server.log, fault, e.Request, e.Source.Addr())
		}
	}()
	write, counted := e.Write, false
	e.Write = func(message []byte) error {
		if !e.TCP {
			if message = x.limited(e, append([]byte(nil), message...)); len(message) == 0 {
				return nil
			}
		}
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
