package socket

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// frame returns the query with its length in front, two octets, as over TCP.
func frame(t testing.TB, name string, kind, id uint16) []byte {
	t.Helper()
	m := question(name, kind)
	m.Id = id
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
}

// piped runs a connection of the server over a pipe, and returns the client's end. ended is closed when the connection
// ends.
func piped(s *Server, client string) (conn net.Conn, c *connection, ended chan struct{}) {
	near, far := net.Pipe()
	c = &connection{Conn: far, server: s, over: s.tcp, peer: netip.AddrPortFrom(netip.MustParseAddr(client), 5353)}
	ended = make(chan struct{})
	if !s.table.add(c) {
		_ = far.Close()
		close(ended)
		return near, c, ended
	}
	go func() { c.run(); close(ended) }()
	return near, c, ended
}

func readFrame(t testing.TB, conn net.Conn) *dns.Msg {
	t.Helper()
	m, err := (&dns.Conn{Conn: conn}).ReadMsg()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Requests arrive cut up in any way: an octet at a time, several in one read, a length apart from its message.
func TestStreamInPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		conn, _, ended := piped(s, "192.0.2.200")
		go func() {
			for _, b := range frame(t, "mail.example.test.", dns.TypeA, 1) {
				_, _ = conn.Write([]byte{b})
			}
			three := append(frame(t, "alias.example.test.", dns.TypeA, 2),
				frame(t, "huge.example.test.", dns.TypeTXT, 3)...)
			three = append(three, frame(t, "www.example.test.", dns.TypeA, 4)...)
			_, _ = conn.Write(three[:len(three)-5])
			_, _ = conn.Write(three[len(three)-5:])
		}()
		for id, answers := range []int{2, 3, 240, 1} {
			if m := readFrame(t, conn); int(m.Id) != id+1 || len(m.Answer) != answers {
				t.Errorf("response %d has ID %d and %d answers, not %d", id+1, m.Id, len(m.Answer), answers)
			}
		}
		_ = conn.Close()
		<-ended
		if s.table.closed[closedByClient].Load() != 1 || s.table.size() != 0 {
			t.Error("not ended by the client")
		}
	})
}

func TestIdleConnectionIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		conn, _, ended := piped(s, "192.0.2.200")
		begin := time.Now()
		time.Sleep(7 * time.Second) // the bubble's clock
		go func() { _, _ = conn.Write(frame(t, "mail.example.test.", dns.TypeA, 1)) }()
		readFrame(t, conn)
		<-ended
		if lasted := time.Since(begin); lasted != 17*time.Second {
			t.Errorf("closed after %v, not 10 s after the request at 7 s", lasted)
		}
		if s.table.closed[closedIdle].Load() != 1 {
			t.Error("not counted as idle")
		}
		_ = conn.Close()
	})
}

// A request that trickles in gets no more time than a whole one.
func TestSlowSenderIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		conn, _, ended := piped(s, "192.0.2.200")
		begin := time.Now()
		given := make(chan struct{})
		go func() {
			defer close(given)
			for _, b := range frame(t, "mail.example.test.", dns.TypeA, 1) {
				if _, err := conn.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		<-ended
		if lasted := time.Since(begin); lasted != 10*time.Second {
			t.Errorf("closed after %v", lasted)
		}
		if s.table.closed[closedSlow].Load() != 1 {
			t.Error("not counted as slow")
		}
		_ = conn.Close()
		<-given
	})
}

func TestSlowReceiverIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		conn, _, ended := piped(s, "192.0.2.200")
		if _, err := conn.Write(frame(t, "mail.example.test.", dns.TypeA, 1)); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		<-ended // nobody reads
		if lasted := time.Since(begin); lasted != 5*time.Second {
			t.Errorf("closed after %v", lasted)
		}
		if s.table.closed[closedSlow].Load() != 1 {
			t.Error("not counted as slow")
		}
		_ = conn.Close()
	})
}

func TestBadMessageEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		for _, bad := range [][]byte{{0, 0}, {0, 3, 1, 2, 3}} {
			conn, _, ended := piped(s, "192.0.2.200")
			go func() { _, _ = conn.Write(append(frame(t, "mail.example.test.", dns.TypeA, 9), bad...)) }()
			if m := readFrame(t, conn); m.Id != 9 { // what came before is answered
				t.Errorf("ID %d", m.Id)
			}
			<-ended
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("after % x: %v", bad, err)
			}
			_ = conn.Close()
		}
		if got := s.table.closed[closedBadMessage].Load(); got != 2 {
			t.Errorf("%d counted", got)
		}
	})
}

// When the table is full, the connection that has been idle longest makes room. A client with too many connections
// loses one of its own first.
func TestFullTableClosesTheOldestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, func(o *setup) {
			o.TCP = TCPLimits{Connections: 4, PerClient: 2, Idle: time.Hour}
		})
		type client struct {
			net.Conn
			ended chan struct{}
		}
		open := func(from string) client {
			time.Sleep(time.Second)
			conn, _, ended := piped(s, from)
			synctest.Wait()
			return client{conn, ended}
		}
		alive := func(c client) bool {
			synctest.Wait()
			select {
			case <-c.ended:
				return false
			default:
				return true
			}
		}
		first, second := open("192.0.2.1"), open("2001:db8::1")
		third, fourth := open("2001:db8::2"), open("192.0.2.4")
		// The first speaks, and is no longer the oldest.
		go func() { _, _ = first.Write(frame(t, "mail.example.test.", dns.TypeA, 1)) }()
		time.Sleep(time.Second)
		readFrame(t, first)
		synctest.Wait()

		fifth := open("2001:db8::3") // the same /64 as the second and third
		if alive(second) || !alive(third) || !alive(first) || !alive(fourth) || !alive(fifth) {
			t.Error("not the client's own oldest was closed")
		}
		sixth := open("192.0.2.6")
		if alive(third) || !alive(first) || !alive(fourth) || !alive(fifth) || !alive(sixth) {
			t.Error("not the oldest of all was closed")
		}
		if got := s.table.closed[closedEvicted].Load(); got != 2 || s.table.size() != 4 {
			t.Errorf("%d evicted, %d open", got, s.table.size())
		}
		for _, c := range []client{first, second, third, fourth, fifth, sixth} {
			_ = c.Close()
			<-c.ended
		}
		if len(s.table.byClient) != 0 {
			t.Errorf("still counted: %v", s.table.byClient)
		}
	})
}

// If all connections in the table are busy, there is no room.
func TestFullTableOfBusyConnectionsRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, func(o *setup) { o.TCP = TCPLimits{Connections: 1} })
		conn, _, ended := piped(s, "192.0.2.1")
		if _, err := conn.Write(frame(t, "mail.example.test.", dns.TypeA, 1)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // it waits for us to read
		late, _, refused := piped(s, "192.0.2.2")
		<-refused
		if _, err := late.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("a connection too many: %v", err)
		}
		readFrame(t, conn)
		_ = conn.Close()
		<-ended
		if s.table.closed[closedRefused].Load() != 1 {
			t.Error("not counted")
		}
	})
}

// A client loses a connection, even a busy one, to a newcomer that has at least two fewer, and to no other.
func TestFullTableIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, func(o *setup) { o.TCP = TCPLimits{Connections: 4} })
		var all []net.Conn
		busy := func(from string) chan struct{} {
			conn, _, ended := piped(s, from)
			all = append(all, conn)
			go func() { _, _ = conn.Write(frame(t, "mail.example.test.", dns.TypeA, 1)) }()
			synctest.Wait() // it waits for us to read
			return ended
		}
		for range 3 {
			busy("192.0.2.1")
		}
		busy("192.0.2.2")
		for i, c := range []struct {
			from             string
			evicted, refused uint64
		}{
			{"192.0.2.3", 1, 0}, // of three
			{"192.0.2.4", 2, 0}, // of two
			{"192.0.2.5", 2, 1}, // of one
			{"192.0.2.1", 2, 2}, // its own is not idle
		} {
			busy(c.from)
			if e, r := s.table.closed[closedEvicted].Load(), s.table.closed[closedRefused].Load(); e != c.evicted ||
				r != c.refused {
				t.Errorf("newcomer %d: %d evicted, %d refused", i, e, r)
			}
		}
		for _, conn := range all {
			_ = conn.Close()
		}
		synctest.Wait()
	})
}

func TestStreamAllocatesNothing(t *testing.T) {
	s := newServer(t)
	w := s.tcp.workers.Get().(*streamWorker)
	stream := append(frame(t, "mail.example.test.", dns.TypeA, 1), frame(t, "www.example.test.", dns.TypeA, 2)...)
	requests := make([]byte, len(stream))
	out := make([]byte, 0, flushAt)
	if n := testing.AllocsPerRun(100, func() {
		copy(requests, stream)
		responses, rest, x, ok := w.answer(requests, netip.AddrPort{}, out)
		if len(responses) == 0 || len(rest) != 0 || x != nil || !ok {
			t.Fatal("not answered")
		}
	}); n != 0 {
		t.Errorf("%v allocations a stream of two", n)
	}
}

// A client that does not read its responses makes room for another, just as an idle one does.
func TestSlowReceiverMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, func(o *setup) { o.TCP = TCPLimits{Connections: 1} })
		slow, _, ended := piped(s, "192.0.2.1")
		if _, err := slow.Write(frame(t, "mail.example.test.", dns.TypeA, 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(readGrace) // the bubble's clock
		synctest.Wait()
		conn, _, done := piped(s, "192.0.2.2")
		<-ended
		go func() { _, _ = conn.Write(frame(t, "mail.example.test.", dns.TypeA, 2)) }()
		if m := readFrame(t, conn); m.Id != 2 {
			t.Error(m)
		}
		_ = slow.Close()
		_ = conn.Close()
		<-done
		if s.table.closed[closedEvicted].Load() != 1 || s.table.closed[closedRefused].Load() != 0 {
			t.Error("not counted as evicted")
		}
	})
}
