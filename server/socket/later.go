package socket

import (
	"context"
	"errors"
	"time"

	"leeward/server/answer"
)

// Bounds on what is answered later.
const (
	// handled at once; what comes over UDP beyond that is dropped, and the requester tries again
	laterUDP = 64
	// transfers over TCP at once, and as many of all else; the connection waits for its turn
	laterTCP     = 64
	laterShare   = 16               // of these for one client: an IPv4 address or IPv6 /64
	laterUDPTime = 30 * time.Second // that a message over UDP may take: nobody waits for the answer any longer
)

// later runs exchanges: those over UDP in goroutines, those over a stream in the goroutine of their connection, in
// their turn. Both are bounded.
type later struct {
	server    *Server
	udp       chan struct{} // one element for each that runs
	transfers *turns        // AXFR and IXFR over TCP, which can take long: nothing else waits for them
	others    *turns        // what else comes over TCP
	ctx       context.Context
	cut       context.CancelFunc // what is left at the end of a shutdown
}

func newLater(s *Server) *later {
	l := &later{
		server: s, udp: make(chan struct{}, laterUDP), transfers: newTurns(laterTCP, laterShare),
		others: newTurns(laterTCP, laterShare),
	}
	l.ctx, l.cut = context.WithCancel(context.Background())
	return l
}

// datagram has an exchange answered in a goroutine of its own. It reports whether there was room.
func (l *later) datagram(x *answer.Exchange) bool {
	select {
	case l.udp <- struct{}{}:
	default:
		return false
	}
	l.server.running.Go(func() {
		defer func() { <-l.udp }()
		ctx, stop := context.WithTimeout(l.ctx, laterUDPTime)
		defer stop()
		l.server.answers.Serve(ctx, x)
	})
	return true
}

// stream has an exchange answered that came over a connection, in the connection's goroutine. An error says that the
// connection is of no further use.
//
// The first message of a response is written when the second comes, or after the turn: so whoever asks for what it may
// not have, and does not read the refusal, has nobody wait for it.
func (l *later) stream(x *answer.Exchange, c *connection) error {
	of := l.others
	if x.Kind == answer.Transfer {
		of = l.transfers
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
	if !l.await(turn, of, c) {
		return errCut
	}
	c.turns.Store(of)
	c.waiting.Store(-1)
	var first []byte
	var failed error
	messages := 0
	x.Write = func(message []byte) error {
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
	}
	whole := l.server.answers.Serve(l.ctx, x)
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
func (l *later) await(turn *turn, of *turns, c *connection) bool {
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
		case <-l.ctx.Done():
			return false
		case <-look.C:
			l.server.table.makeRoom(func(o *connection) bool { return o.turns.Load() == of })
		}
	}
}
