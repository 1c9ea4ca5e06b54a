package socket

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"
)

// paths are the ways to move datagrams. Every test with sockets runs for each.
func paths() map[string]bool {
	p := map[string]bool{"portable": true}
	if runtime.GOOS == "linux" {
		p["batch"] = false
	}
	return p
}

// started returns a server that answers from the fixture. When the test ends, the server is stopped, and checked for
// what it leaves behind.
func started(t *testing.T, change ...func(*setup)) *Server {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t) })
	s := newServer(t, change...)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

// exchange asks an address over a protocol. The deadline is only for a broken server.
func exchange(t *testing.T, protocol string, to netip.AddrPort, m *dns.Msg) *dns.Msg {
	t.Helper()
	c := dns.Client{Net: protocol, Timeout: 20 * time.Second}
	r, _, err := c.Exchange(m, to.String())
	if err != nil {
		t.Fatalf("%s %s: %v", protocol, to, err)
	}
	return r
}

func question(name string, kind uint16) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(name, kind)
	return m
}

func addresses(m *dns.Msg) (all []string) {
	for _, r := range m.Answer {
		switch r := r.(type) {
		case *dns.A:
			all = append(all, r.A.String())
		case *dns.AAAA:
			all = append(all, r.AAAA.String())
		}
	}
	return all
}

func haveIPv6(t *testing.T) bool {
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Log("no IPv6 on this machine: that part is left out")
		return false
	}
	_ = l.Close()
	return true
}

func TestAnswersOverSockets(t *testing.T) {
	listen := []string{"127.0.0.1:0", "127.0.0.2:0"}
	if haveIPv6(t) {
		listen = append(listen, "[::1]:0")
	}
	for name, portable := range paths() {
		t.Run(name, func(t *testing.T) {
			s := started(t, func(o *setup) { o.Portable = portable; o.Listen = listen })
			if got := len(s.Addrs()); got != len(listen) {
				t.Fatalf("%d addresses are bound, not %d: %v", got, len(listen), s.Addrs())
			}
			for i, a := range s.Addrs() {
				if a.Port() == 0 || !strings.HasPrefix(listen[i], strings.TrimSuffix(a.String(), "0")[:4]) {
					t.Errorf("%s is bound to %s", listen[i], a)
				}
				for _, protocol := range []string{"udp", "tcp"} {
					r := exchange(t, protocol, a, question("mail.example.test.", dns.TypeA))
					if !r.Authoritative || len(addresses(r)) != 2 {
						t.Errorf("%s %s: %s", protocol, a, r)
					}
				}
				r := exchange(t, "udp", a, question("big.example.test.", dns.TypeTXT))
				if !r.Truncated || len(r.Answer) != 0 {
					t.Errorf("not truncated over UDP: %s", r)
				}
				if r = exchange(t, "tcp", a, question("huge.example.test.", dns.TypeTXT)); r.Truncated ||
					len(r.Answer) != 240 {
					t.Errorf("%d of 240 records came over TCP", len(r.Answer))
				}
			}
			stats := s.answers.Stats()
			if want := uint64(4 * len(listen)); stats.Queries != want || stats.Responses != want ||
				stats.Truncated != uint64(len(listen)) {
				t.Errorf("counted wrongly: %+v", stats)
			}
		})
	}
}

// On a wildcard socket, the answer comes from the address that was asked. A connected client would not see any other.
func TestWildcardAnswersFromTheAddressAsked(t *testing.T) {
	for name, portable := range paths() {
		t.Run(name, func(t *testing.T) {
			s := started(t, func(o *setup) { o.Portable = portable; o.Listen = []string{":0"} })
			for _, a := range s.Addrs() {
				asked := []string{"127.0.0.1", "127.0.0.9", "127.1.2.3"}
				if a.Addr().Is6() {
					asked = []string{"::1"}
				}
				if a.Port() != s.Addrs()[0].Port() {
					t.Errorf("two ports for one: %v", s.Addrs())
				}
				for _, to := range asked {
					at := netip.AddrPortFrom(netip.MustParseAddr(to), a.Port())
					for _, protocol := range []string{"udp", "tcp"} {
						if r := exchange(t, protocol, at,
							question("mail.example.test.", dns.TypeA)); len(addresses(r)) != 2 {
							t.Errorf("%s: %s", at, r)
						}
					}
				}
			}
		})
	}
}

func TestBindFailsWithTheReason(t *testing.T) {
	for name, portable := range paths() {
		t.Run(name, func(t *testing.T) {
			s := started(t, func(o *setup) { o.Portable = portable })
			other := newServer(t, func(o *setup) {
				o.Portable = portable
				o.Listen = []string{"127.0.0.1:0", s.Addrs()[0].String()}
			})
			err := other.Start()
			if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), s.Addrs()[0].String()) {
				t.Errorf("a second server on %s: %v", s.Addrs()[0], err)
			}
			if got := other.Addrs(); len(got) != 0 {
				t.Errorf("still bound: %v", got)
			}
			if r := exchange(t, "udp", s.Addrs()[0], question("mail.example.test.", dns.TypeA)); len(r.Answer) != 2 {
				t.Errorf("the first server no longer answers: %s", r)
			}
		})
	}
}

func TestListenIsRead(t *testing.T) {
	for text, want := range map[string]string{
		"127.0.0.1:53": "127.0.0.1:53", "[2001:db8::1]:5300": "[2001:db8::1]:5300", ":53": "0.0.0.0:53 [::]:53",
		"[::]:53": "[::]:53", "[fe80::1%eth0]:53": "[fe80::1%eth0]:53", "[::ffff:127.0.0.1]:53": "127.0.0.1:53",
		"127.0.0.1": "", "localhost:53": "", ":": "", ":65536": "", "224.0.0.1:53": "", "::1": "", "": "",
	} {
		a, err := readListen(text)
		var got []string
		for _, one := range a.addrs {
			got = append(got, one.String())
		}
		if strings.Join(got, " ") != want || (err == nil) != (want != "") {
			t.Errorf("%q is read as %v, %v; want %q", text, got, err, want)
		}
	}
}

// A query that is sent after Publish has returned is answered from what was published.
func TestPublishUnderLoad(t *testing.T) {
	for name, portable := range paths() {
		t.Run(name, func(t *testing.T) {
			s := started(t, func(o *setup) { o.Portable = portable })
			f := newFixture(t)
			stopping := make(chan struct{})
			var asking sync.WaitGroup
			var answered atomic.Int64
			for range 4 {
				asking.Go(func() {
					c := dns.Client{Timeout: 20 * time.Second}
					conn, err := c.Dial(s.Addrs()[0].String())
					if err != nil {
						t.Error(err)
						return
					}
					defer conn.Close()
					for {
						select {
						case <-stopping:
							return
						default:
						}
						r, _, err := c.ExchangeWithConn(question("www.example.test.", dns.TypeA), conn)
						if err != nil || r.Rcode != dns.RcodeSuccess || len(r.Answer) == 0 {
							t.Errorf("while publishing: %v %v", err, r)
							return
						}
						answered.Add(1)
					}
				})
			}
			for i := range 200 {
				f.down["www-eu/lb-1"] = i%2 == 0
				s.answers.Publish(f.state())
				want := 1
				if f.down["www-eu/lb-1"] {
					want = 2
				}
				r := exchange(t, "udp", s.Addrs()[0], question("www.example.test.", dns.TypeA))
				if got := addresses(r); len(got) != want || (got[0] == "192.0.2.10") != (want == 1) {
					t.Fatalf("publication %d: answered %v", i, got)
				}
			}
			close(stopping)
			asking.Wait()
			if answered.Load() == 0 {
				t.Error("nobody asked meanwhile")
			}
		})
	}
}

// Whatever had reached the server's sockets before it was told to stop is answered.
func TestShutdownAnswersWhatIsInFlight(t *testing.T) {
	for name, portable := range paths() {
		t.Run(name, func(t *testing.T) {
			s := started(t, func(o *setup) { o.Portable = portable; o.Workers = 1 })
			to := net.UDPAddrFromAddrPort(s.Addrs()[0])
			conn, err := net.DialUDP("udp", nil, to)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			stream, err := net.Dial("tcp", s.Addrs()[0].String())
			if err != nil {
				t.Fatal(err)
			}
			defer stream.Close()
			request, _ := question("mail.example.test.", dns.TypeA).Pack()
			framed := append([]byte{byte(len(request) >> 8), byte(len(request))}, request...)
			const datagrams = 100 // few enough for any receive buffer: loopback loses none
			for range datagrams {
				if _, err := conn.Write(request); err != nil {
					t.Fatal(err)
				}
			}
			for range datagrams {
				if _, err := stream.Write(framed); err != nil {
					t.Fatal(err)
				}
			}
			stop(t, s)
			_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
			_ = stream.SetReadDeadline(time.Now().Add(20 * time.Second))
			buffer := make([]byte, 512)
			for i := range datagrams {
				if _, err := conn.Read(buffer); err != nil {
					t.Fatalf("after %d of %d responses over UDP: %v", i, datagrams, err)
				}
			}
			tcpConn := &dns.Conn{Conn: stream}
			for i := range datagrams {
				if _, err := tcpConn.ReadMsg(); err != nil {
					t.Fatalf("after %d of %d responses over TCP: %v", i, datagrams, err)
				}
			}
			if _, err := net.DialTimeout("tcp", s.Addrs()[0].String(), 20*time.Second); err == nil {
				t.Error("a connection is still accepted")
			}
		})
	}
}

// A client that reads nothing delays the stop for as long as the context allows.
func TestShutdownCutsOffWhoDoesNotRead(t *testing.T) {
	defer goleak.VerifyNone(t)
	s := newServer(t)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", s.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	request := frame(t, "huge.example.test.", dns.TypeTXT, 1)
	for range 500 { // 30 MB of responses: more than any buffer on the way
		if _, err := conn.Write(request); err != nil {
			t.Fatal(err)
		}
	}
	readFrame(t, conn)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "1 TCP connection") {
		t.Errorf("shutdown says %v", err)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Errorf("once it is down: %v", err)
	}
}

// Datagrams are answered for as long as streams keep the server: no query goes to a socket that nobody reads.
func TestDatagramsAreAnsweredToTheLast(t *testing.T) {
	for name, portable := range paths() {
		t.Run(name, func(t *testing.T) {
			defer goleak.VerifyNone(t)
			s := newServer(t, func(o *setup) { o.Portable = portable; o.Workers = 1 })
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
			conn, err := net.Dial("tcp", s.Addrs()[0].String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			request := frame(t, "huge.example.test.", dns.TypeTXT, 1)
			for range 500 { // more than any buffer on the way, and it takes only one
				if _, err := conn.Write(request); err != nil {
					t.Fatal(err)
				}
			}
			readFrame(t, conn)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			over := make(chan error, 1)
			go func() { over <- s.Shutdown(ctx) }()
			for { // until it has begun
				c, err := net.Dial("tcp", s.Addrs()[0].String())
				if err != nil {
					break
				}
				c.Close()
			}
			for range 10 {
				if got := addresses(exchange(t, "udp", s.Addrs()[0],
					question("mail.example.test.", dns.TypeA))); len(got) == 0 {
					t.Error("an empty answer")
				}
			}
			select {
			case err := <-over:
				t.Fatalf("the server did not wait for the stream: %v", err)
			default:
			}
			cancel()
			if err := <-over; !errors.Is(err, context.Canceled) {
				t.Errorf("shutdown says %v", err)
			}
		})
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	defer goleak.VerifyNone(t)
	s := newServer(t)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx) }()
	if r := exchange(t, "udp", s.Addrs()[0], question("mail.example.test.", dns.TypeA)); len(r.Answer) != 2 {
		t.Errorf("not answered: %s", r)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := s.Start(); err == nil {
		t.Error("a server that has ended starts again")
	}
}

// Datagrams that are no queries are dropped and counted, or refused if they are longer than a request may be. They do
// not disturb their neighbours.
func TestNoise(t *testing.T) {
	for name, portable := range paths() {
		t.Run(name, func(t *testing.T) {
			s := started(t, func(o *setup) { o.Portable = portable; o.Workers = 1 })
			conn, err := net.Dial("udp", s.Addrs()[0].String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			request, _ := question("mail.example.test.", dns.TypeA).Pack()
			long, _ := question("mail.example.test.", dns.TypeA).Pack() // its first octets could be answered
			long = append(long, make([]byte, requestSize+1-len(long))...)
			for _, b := range [][]byte{{}, {0}, make([]byte, 11), long, make([]byte, 9000), request} {
				if _, err := conn.Write(b); err != nil {
					t.Fatal(err)
				}
			}
			_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
			for i := range 3 {
				buffer := make([]byte, 9000)
				n, err := conn.Read(buffer)
				if err != nil {
					t.Fatal(err)
				}
				var r dns.Msg
				if err := r.Unpack(buffer[:n]); err != nil || i < 2 && r.Rcode != dns.RcodeFormatError || i == 2 &&
					len(r.Answer) != 2 {
					t.Errorf("response %d, %v: %s", i, err, &r)
				}
			}
			if stats := s.answers.Stats(); stats.Dropped != 3 || stats.Queries != 3 {
				t.Errorf("counted wrongly: %+v", stats)
			}
		})
	}
}
