package socket

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// asker is a socket that learns which responses came as one message. The loopback interface does not cut a message up
// before it reaches a receiver that wants it whole.
type asker struct {
	*net.UDPConn
	t *testing.T
}

func newAsker(t *testing.T, to netip.AddrPort) asker {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if e := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_GRO, 1)
	}); e != nil || err != nil {
		t.Fatal(e, err)
	}
	return asker{c, t}
}

func (a asker) ask(id uint16, name string, kind uint16) {
	a.t.Helper()
	m := question(name, kind)
	m.Id = id
	wire, err := m.Pack()
	if err != nil {
		a.t.Fatal(err)
	}
	if _, err = a.Write(wire); err != nil {
		a.t.Fatal(err)
	}
}

// responses reads n responses, by ID, and returns how many were in the largest message.
func (a asker) responses(n int) (all map[uint16]*dns.Msg, most int) {
	a.t.Helper()
	all = map[uint16]*dns.Msg{}
	buffer, control := make([]byte, 1<<16), make([]byte, 256)
	for len(all) < n {
		_ = a.SetReadDeadline(time.Now().Add(20 * time.Second)) // only for a broken server
		size, c, _, _, err := a.ReadMsgUDP(buffer, control)
		if err != nil {
			a.t.Fatalf("%d of %d responses: %v", len(all), n, err)
		}
		segment := size
		messages, err := unix.ParseSocketControlMessage(control[:c])
		if err != nil {
			a.t.Fatal(err)
		}
		for _, m := range messages {
			if m.Header.Level == unix.SOL_UDP && m.Header.Type == unix.UDP_GRO {
				segment = int(binary.NativeEndian.Uint16(m.Data))
			}
		}
		most = max(most, (size+segment-1)/segment)
		for at := 0; at < size; at += segment {
			m := new(dns.Msg)
			if err = m.Unpack(buffer[at:min(at+segment, size)]); err != nil {
				a.t.Fatal(err)
			}
			if all[m.Id] != nil {
				a.t.Fatalf("two responses to one query: %s", m)
			}
			all[m.Id] = m
		}
	}
	return all, most
}

// The same questions get the same answers, whether they leave together or the kernel refuses that.
func TestResponsesToOneSocketLeaveTogether(t *testing.T) {
	listen := map[string]string{"IPv4": "127.0.0.1:0", "IPv4 wildcard": "0.0.0.0:0"}
	if haveIPv6(t) {
		listen["IPv6"], listen["IPv6 wildcard"] = "[::1]:0", "[::]:0"
	}
	asked := []struct {
		name    string
		kind    uint16
		answers int
	}{
		{"mail.example.test.", dns.TypeA, 2},
		{"MAIL.example.test.", dns.TypeA, 2},
		{"nothing.example.test.", dns.TypeA, 0},
		{"mail.example.test.", dns.TypeMX, 0},
		{"big.example.test.", dns.TypeTXT, 0},
		{"elsewhere.test.", dns.TypeA, 0},
	}
	for name, address := range listen {
		for _, refused := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, refused %v", name, refused), func(t *testing.T) {
				s := newServer(t, func(o *setup) { o.Listen = []string{address}; o.Workers = 1 })
				if err := s.Bind(); err != nil {
					t.Fatal(err)
				}
				loop := s.loops[0].(*batchLoop)
				to := s.Addrs()[0]
				if refused { // a message cannot be cut up without checksums
					option, level := unix.SO_NO_CHECK, unix.SOL_SOCKET
					if to.Addr().Is6() {
						option, level = unix.UDP_NO_CHECK6_TX, unix.SOL_UDP
					}
					if err := unix.SetsockoptInt(loop.fd, level, option, 1); err != nil {
						t.Fatal(err)
					}
				}
				if to.Addr().IsUnspecified() {
					to = netip.AddrPortFrom(map[bool]netip.Addr{
						true:  netip.MustParseAddr("127.0.0.9"),
						false: netip.IPv6Loopback(),
					}[to.Addr().Is4()], to.Port())
				}
				const each, askers = 15, 4 // one batch
				var all []asker
				for range askers {
					a := newAsker(t, to)
					if refused && to.Addr().Is6() {
						raw, _ := a.SyscallConn()
						_ = raw.Control(func(fd uintptr) {
							_ = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_NO_CHECK6_RX, 1)
						})
					}
					all = append(all, a)
				}
				for id := range each {
					for n, a := range all {
						q := asked[id%len(asked)]
						a.ask(uint16(n*each+id), q.name, q.kind)
					}
				}
				if err := s.Start(); err != nil {
					t.Fatal(err)
				}
				for n, a := range all {
					responses, most := a.responses(each)
					if together := most > 1; together == refused {
						t.Errorf("up to %d responses were in a message", most)
					}
					for id := range each {
						r, q := responses[uint16(n*each+id)], asked[id%len(asked)]
						if r == nil {
							t.Fatalf("no response to query %d of socket %d", id, n)
						}
						if r.Question[0].Name != q.name || r.Question[0].Qtype != q.kind || len(r.Answer) != q.answers {
							t.Errorf("%s %d: %s", q.name, q.kind, r)
						}
					}
				}
				stop(t, s)
				if loop.batch.replies.segments == refused {
					t.Errorf("after that more such messages are made: %v", !refused)
				}
				if got := s.answers.Stats(); got.Responses != each*askers {
					t.Errorf("counted wrongly: %+v", got)
				}
			})
		}
	}
}

// Whatever is asked, and whatever of it is answered, in batch after batch: each response is in one message, which goes
// to the client that asked, from the address that was asked. All parts of a message have the same length.
func TestEveryResponseIsInOneMessage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		wildcard := rapid.Bool().Draw(t, "wildcard")
		b := newBatch(wildcard, true)
		for range rapid.IntRange(1, 4).Draw(t, "batches") {
			b.replies.clear()
			b.used, b.received = 0, rapid.IntRange(1, batchSize).Draw(t, "received")
			answered := map[*byte]int{} // keyed by the first octet of the request
			for i := range b.received {
				b.names[i] = [unix.SizeofSockaddrInet6]byte{
					unix.AF_INET, 0, 0,
					byte(rapid.IntRange(1, 3).Draw(t, "port")), 127, 0, 0, 1,
				}
				b.in[i].Hdr.Namelen = unix.SizeofSockaddrInet4
				if wildcard {
					b.controls[i] = control{}
					c := (*unix.Cmsghdr)(unsafe.Pointer(&b.controls[i]))
					c.Level, c.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
					c.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
					(*unix.Inet4Pktinfo)(unsafe.Add(unsafe.Pointer(c),
						unix.CmsgLen(0))).Spec_dst[3] = byte(rapid.IntRange(1, 2).Draw(t, "asked"))
					b.in[i].Hdr.SetControllen(unix.CmsgSpace(unix.SizeofInet4Pktinfo))
				}
				if rapid.IntRange(0, 3).Draw(t, "dropped") == 0 {
					continue
				}
				room := b.room()
				response := room[:rapid.SampledFrom([]int{60, 61, 1231, 1232}).Draw(t, "length")]
				answered[&response[0]] = i
				b.put(i, response)
			}
			b.arrange()
			for m := range b.replies.messages {
				h := &b.replies.out[m].Hdr
				parts := unsafe.Slice(h.Iov, h.Iovlen)
				var segment int
				messages, err := unix.ParseSocketControlMessage(unsafe.Slice(h.Control, int(h.Controllen)))
				if err != nil {
					t.Fatal(err)
				}
				from := byte(0)
				for _, c := range messages {
					switch {
					case c.Header.Type == unix.UDP_SEGMENT && c.Header.Level == unix.SOL_UDP:
						segment = int(binary.NativeEndian.Uint16(c.Data))
					case c.Header.Type == unix.IP_PKTINFO:
						from = c.Data[7]
					}
				}
				if len(parts) > 1 != (segment > 0) {
					t.Fatalf("%d responses in a message that is to be cut after %d octets", len(parts), segment)
				}
				for _, part := range parts {
					i, known := answered[part.Base]
					if !known {
						t.Fatal("a response that was not made, or is in two messages")
					}
					delete(answered, part.Base)
					if *(*[unix.SizeofSockaddrInet6]byte)(unsafe.Pointer(h.Name)) != b.names[i] {
						t.Fatal("a response goes to another socket")
					}
					if c := (*unix.Inet4Pktinfo)(unsafe.Add(unsafe.Pointer(&b.controls[i]),
						unix.CmsgLen(0))); wildcard && from != c.Spec_dst[3] {
						t.Fatal("a response leaves from another address")
					}
					if segment > 0 && int(part.Len) != segment {
						t.Fatalf("a response of %d octets is cut after %d", part.Len, segment)
					}
				}
				if total := len(parts) * segment; total > 65507 {
					t.Fatalf("a message of %d octets", total)
				}
			}
			if len(answered) > 0 {
				t.Fatalf("%d responses are in no message", len(answered))
			}
		}
	})
}

// While queries come, a loop keeps its P, even on one processor, and the world can still be stopped. When no query
// comes, it gives the P back.
func TestALoopKeepsItsPWhileQueriesCome(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	s := started(t, func(o *setup) { o.Workers = 1 })
	for range 20 {
		exchange(t, "udp", s.Addrs()[0], question("mail.example.test.", dns.TypeA))
		runtime.GC()
	}
	seats := func(want int32) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); s.seats.free.Load() != want; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d seats are free, not %d", s.seats.free.Load(), want)
			}
		}
	}
	seats(1)
	for end := time.Now().Add(20 * time.Second); s.seats.free.Load() != 0; {
		// Two interruptions may have come since the query.
		if time.Now().After(end) {
			t.Fatal("queries come, and the loop does not keep its P")
		}
		exchange(t, "udp", s.Addrs()[0], question("mail.example.test.", dns.TypeA))
	}
	seats(1)
}
