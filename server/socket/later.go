package socket

import (
	"context"
	"errors"
	"time"

	"leeward/server/answer"
)

// Bounds of exchanges that are answered later.
const (
	// at once over UDP; further ones are dropped, and the requester tries again
	laterUDP = 64
	// transfers over TCP at once, and as many other exchanges; further connections wait for their turn
	laterTCP     = 64
	laterShare   = 16               // of these for one client: an IPv4 address or IPv6 /64
	laterUDPTime = 30 * time.Second // for a message over UDP: no requester waits longer for the answer
)

// later runs exchanges: those over UDP in goroutines of their own, those over a stream in the goroutine of their
// connection, when it is their turn. Both are bounded.
type later struct {
	server    *Server
	udp       chan struct{} // one element for each that runs
	transfers *turns        // AXFR and IXFR over TCP. They can take long, so nothing else waits for them
	others    *turns        // all other exchanges over TCP
	ctx       context.Context
	cut       context.CancelFunc // ends the remaining exchanges at the end of a shutdown
}

func newLater(s *Server) *later {
	l := &later{
		server: s, udp: make(chan struct{}, laterUDP), transfers: newTurns(laterTCP, laterShare),
		others: newTurns(laterTCP, laterShare),
	}
	l.ctx, l.cut = context.WithCancel(context.Background())
	return l
}

// datagram starts a goroutine that answers an exchange. It reports whether there was room.
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

// stream answers an exchange that came over a connection, in the connection's goroutine. An error says that the
// connection is of no further use.
//
// The first message of a response is written when the second comes, or after the turn. So if a client gets a refusal
// and does not read it, nobody else waits for that.
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

// await waits for the turn. If a client that has a turn has read nothing for a moment, it loses the turn to a client
// that waits.
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
