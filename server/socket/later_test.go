package socket

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"
	"testing"
	"time"

	"leeward/server/answer"

	"github.com/miekg/dns"
)

// echo answers a message with copies of its header with QR set, as many as its ID says.
func echo(_ context.Context, x *answer.Exchange) {
	if binary.BigEndian.Uint16(x.Request) == 13 {
		panic("thirteen")
	}
	m := append([]byte(nil), x.Request...)
	m[2] |= 0x80
	for range max(1, binary.BigEndian.Uint16(x.Request)%100) {
		if x.Write(m) != nil || !x.Over.Stream {
			return
		}
	}
}

func laterMessages(t *testing.T) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for name, m := range map[string]*dns.Msg{
		"notify": new(dns.Msg).SetNotify("example.test."), "update": new(dns.Msg).SetUpdate("example.test."),
		"axfr": new(dns.Msg).SetAxfr("example.test."), "ixfr": new(dns.Msg).SetIxfr("example.test.", 1, "ns.", "h."),
	} {
		m.Id = 3
		packed, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		all[name] = packed
	}
	return all
}

func TestLaterOverUDP(t *testing.T) {
	for _, portable := range []bool{false, true} {
		for _, listen := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::]:0"} {
			t.Run(fmt.Sprint(portable, listen), func(t *testing.T) {
				s := started(t, func(o *setup) {
					o.Portable, o.Listen = portable, []string{listen}
					o.later(echo)
				})
				to := net.JoinHostPort("127.0.0.1", strconv.Itoa(int(s.Addrs()[0].Port())))
				if listen == "[::]:0" {
					to = net.JoinHostPort("::1", strconv.Itoa(int(s.Addrs()[0].Port())))
				}
				c, err := net.Dial("udp", to)
				if err != nil {
					t.Fatal(err)
				}
				for name, m := range laterMessages(t) {
					_ = c.SetDeadline(time.Now().Add(10 * time.Second))
					if _, err := c.Write(m); err != nil {
						t.Fatal(err)
					}
					var b [4096]byte
					n, err := c.Read(b[:])
					if err != nil || n != len(m) || b[2]&0x80 == 0 {
						t.Errorf("%s: %d octets, %v; want the message back", name, n, err)
					}
				}
				c.Close()
			})
		}
	}
}

// TestLaterOverTCP: what is answered later is answered in its turn, with any number of messages.
func TestLaterOverTCP(t *testing.T) {
	s := started(t, func(o *setup) { o.later(echo) })
	c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(s.Addrs()[0].Port()))))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	query, err := new(dns.Msg).SetQuestion("www.example.test.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	var stream []byte
	var want []int
	for _, m := range laterMessages(t) {
		for _, one := range [][]byte{query, m} {
			stream = append(binary.BigEndian.AppendUint16(stream, uint16(len(one))), one...)
		}
		want = append(want, 0, len(m), len(m), len(m))
	}
	if _, err := c.Write(stream); err != nil {
		t.Fatal(err)
	}
	for i, size := range want {
		var length [2]byte
		if _, err := io.ReadFull(c, length[:]); err != nil {
			t.Fatalf("response %d: %v", i, err)
		}
		m := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(c, m); err != nil {
			t.Fatal(err)
		}
		if isQuery := binary.BigEndian.Uint16(m) == binary.BigEndian.Uint16(query); isQuery != (size == 0) ||
			size > 0 && len(m) != size {
			t.Fatalf("response %d is %x, want one of %d octets", i, m, size)
		}
	}
}

// TestFaultOfAHandler: a handler that panics costs that one message.
func TestFaultOfAHandler(t *testing.T) {
	s := started(t, func(o *setup) { o.later(echo) })
	m := new(dns.Msg).SetNotify("example.test.")
	m.Id = 13
	packed, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(s.Addrs()[0].Port()))))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write(append([]byte{0, byte(len(packed))}, packed...)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("a message whose handler panicked was answered")
	}
	if n := s.answers.Stats().Panics; n != 1 {
		t.Errorf("%d panics are counted, want 1", n)
	}
}
