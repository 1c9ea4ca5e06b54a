package socket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"leeward/server/answer"
	"leeward/server/wire"
)

// requestSize is the size of the largest request over UDP, in octets. A longer one gets FORMERR.
const requestSize = 4096

// plainLoop serves a net.UDPConn, one datagram a system call. It works on every system. Where there is a batchLoop, it
// is the reference: the same tests run against both. The loops of an address share its connection.
type plainLoop struct {
	conn     *net.UDPConn
	wildcard bool
	server   *Server
	worker   *answer.Worker
	once     *sync.Once // closes conn for all loops of the address
}

// bindPlain opens one connection with a loop for each worker.
func (s *Server) bindPlain(a netip.AddrPort) ([]packetLoop, error) {
	var config net.ListenConfig
	c, err := config.ListenPacket(context.Background(), network("udp", a), a.String())
	if err != nil {
		return nil, err
	}
	conn := c.(*net.UDPConn)
	_ = conn.SetReadBuffer(4 << 20) // as much of it as the system gives
	wildcard := a.Addr().IsUnspecified()
	if wildcard { // the answer must leave from the address to which the request was sent
		if a.Addr().Is4() {
			err = ipv4.NewPacketConn(conn).SetControlMessage(ipv4.FlagDst, true)
		} else {
			err = ipv6.NewPacketConn(conn).SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true)
		}
		if err != nil {
			s.log.Warn("answers may leave from another address than was asked; listen on each address instead of the "+
				"wildcard",
				"address", a, "error", err)
			wildcard = false
		}
	}
	var loops []packetLoop
	once := new(sync.Once)
	for range s.options.Workers {
		loops = append(loops, &plainLoop{
			conn: conn, wildcard: wildcard, server: s, worker: s.answers.Worker(s.udp), once: once,
		})
	}
	return loops, nil
}

func (l *plainLoop) wake() { _ = l.conn.SetReadDeadline(time.Now()) }

func (l *plainLoop) overflows() uint64 { return 0 } // not known

func (l *plainLoop) close() { l.once.Do(func() { _ = l.conn.Close() }) }

func (l *plainLoop) run() error {
	request := make([]byte, requestSize+1)
	response := make([]byte, 0, wire.UDPSize)
	received := make([]byte, 128)
	w := l.worker
	stopping := false // the stop was seen: queued datagrams are read until the last deadline
	for faults := 0; ; {
		n, controls, _, src, err := l.conn.ReadMsgUDPAddrPort(request, received)
		switch {
		case err == nil:
			faults = 0
		case errors.Is(err, os.ErrDeadlineExceeded) && stopping:
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded) && l.server.last.Load():
			stopping = true
			_ = l.conn.SetReadDeadline(time.Now().Add(lastWait))
			continue
		case faults < 100 && !errors.Is(err, net.ErrClosed): // an ICMP error that some systems report, no memory
			faults++
			w.Lost(answer.Receive, 1)
			w.Flush()
			continue
		default:
			return fmt.Errorf("udp %s: %w", l.conn.LocalAddr(), err)
		}
		if src.Port() == 0 {
			continue
		}
		w.Look()
		from := netip.AddrPortFrom(src.Addr().Unmap(), src.Port())
		out, kind := respond(w, request[:min(n, requestSize)], from.Addr(), n > requestSize, response)
		if kind == answer.Query {
			w.Tap(request[:min(n, requestSize)], out, from)
		}
		w.Flush()
		if len(out) == 0 && kind == answer.Query {
			continue
		}
		var control []byte
		if l.wildcard && controls > 0 {
			control = replyControl(received[:controls], from.Addr().Is4())
		}
		write := func(message []byte) error {
			_, _, err := l.conn.WriteMsgUDPAddrPort(message, control, src)
			return err
		}
		if kind != answer.Query {
			x := w.Later(request[:n], from)
			if x.Write = write; !l.server.later.datagram(x) {
				w.Lost(answer.Busy, 1)
			}
		} else if write(out) != nil {
			w.Lost(answer.Send, 1)
		}
		w.Flush()
	}
}

// respond is Respond for one request that did not come in a batch. A panic costs only that request.
func respond(w *answer.Worker, request []byte, client netip.Addr, cut bool, out []byte) (response []byte,
	kind answer.Kind,
) {
	defer func() {
		if fault := recover(); fault != nil {
			w.Fault(fault, request, client)
			response, kind = nil, answer.Query
		}
	}()
	return w.Respond(request, client, cut, out)
}

// replyControl makes the control message that sends a reply from the address to which the request was sent. It returns
// nil if that is not known.
func replyControl(received []byte, is4 bool) []byte {
	if is4 {
		var m ipv4.ControlMessage
		if m.Parse(received) != nil || m.Dst == nil {
			return nil
		}
		return (&ipv4.ControlMessage{Src: m.Dst}).Marshal()
	}
	var m ipv6.ControlMessage
	if m.Parse(received) != nil || m.Dst == nil {
		return nil
	}
	reply := ipv6.ControlMessage{Src: m.Dst}
	if m.Dst.IsLinkLocalUnicast() {
		reply.IfIndex = m.IfIndex
	}
	return reply.Marshal()
}
