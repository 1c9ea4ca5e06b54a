package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// plainLoop serves a net.UDPConn, one datagram a system call: for every system, and beside batchLoop the reference that
// the same tests run against. The loops of an address share its connection.
type plainLoop struct {
	conn     *net.UDPConn
	wildcard bool
	stopping *atomic.Bool
	worker   *worker
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
	if wildcard { // the answer must leave from the address that was asked
		if a.Addr().Is4() {
			err = ipv4.NewPacketConn(conn).SetControlMessage(ipv4.FlagDst, true)
		} else {
			err = ipv6.NewPacketConn(conn).SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true)
		}
		if err != nil {
			s.log.Warn("answers may leave from another address than was asked; listen on each address instead of the wildcard",
				"address", a, "error", err)
			wildcard = false
		}
	}
	var loops []packetLoop
	once := new(sync.Once)
	for range s.options.Workers {
		loops = append(loops, &plainLoop{
			conn: conn, wildcard: wildcard, stopping: &s.last, worker: s.newWorker(udp), once: once,
		})
	}
	return loops, nil
}

func (l *plainLoop) wake() { _ = l.conn.SetReadDeadline(time.Now()) }

func (l *plainLoop) overflows() uint64 { return 0 } // not known

func (l *plainLoop) close() { l.once.Do(func() { _ = l.conn.Close() }) }

func (l *plainLoop) run() error {
	request := make([]byte, MaxUDPSize+1)
	response := make([]byte, 0, MaxUDPSize)
	received := make([]byte, 128)
	w := l.worker
	stopping := false // seen: what is queued is read until the last deadline
	for faults := 0; ; {
		n, controls, _, src, err := l.conn.ReadMsgUDPAddrPort(request, received)
		switch {
		case err == nil:
			faults = 0
		case errors.Is(err, os.ErrDeadlineExceeded) && stopping:
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded) && l.stopping.Load():
			stopping = true
			_ = l.conn.SetReadDeadline(time.Now().Add(lastWait))
			continue
		case faults < 100 && !errors.Is(err, net.ErrClosed): // an ICMP error that some systems report, no memory
			faults++
			w.tally[droppedReceive]++
			w.flush()
			continue
		default:
			return fmt.Errorf("udp %s: %w", l.conn.LocalAddr(), err)
		}
		if src.Port() == 0 {
			continue
		}
		w.look()
		var out []byte
		if n > MaxUDPSize {
			out = w.refuse(request[:MaxUDPSize], src.Addr().Unmap(), response)
		} else {
			out = w.answer(request[:n], src.Addr().Unmap(), response)
		}
		w.flush()
		if len(out) == 0 && !w.special {
			continue
		}
		var control []byte
		if l.wildcard && controls > 0 {
			control = replyControl(received[:controls], src.Addr().Unmap().Is4())
		}
		if w.special {
			write := func(message []byte) error {
				_, _, err := l.conn.WriteMsgUDPAddrPort(message, control, src)
				return err
			}
			source := netip.AddrPortFrom(src.Addr().Unmap(), src.Port())
			if !w.server.special.datagram(request[:n], source, w.is, write) {
				w.tally[droppedBusy]++
				w.flush()
			}
			continue
		}
		if _, _, err := l.conn.WriteMsgUDPAddrPort(out, control, src); err != nil {
			w.tally[droppedSend]++
			w.flush()
		}
	}
}

// replyControl makes the control message that sends a reply from the address that was asked, nil if that is not known.
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
