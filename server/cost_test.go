package server

import (
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// costs are the kinds of queries whose price is watched.
var costs = []struct{ name, dig string }{
	{"static", "dig mail.example.test. A edns=1232"},
	{"wildcard", "dig x.wild.example.test. A edns=1232"},
	{"nxdomain", "dig missing.example.test. A edns=1232"},
	{"nodata", "dig mail.example.test. AAAA edns=1232"},
	{"chain", "dig steered.example.test. A edns=1232"},
	{"referral", "dig x.sub.example.test. A edns=1232"},
	{"refused", "dig www.elsewhere.invalid. A edns=1232"},
	{"steered", "dig www.example.test. A edns=1232"},
	{"subnet", "dig www.example.test. A ecs=203.0.113.0/24"},
	{"truncated", "dig big.example.test. TXT"},
	{"dname", "dig x.d.corner.test. A edns=1232"},
	{"mx", "dig corner.test. MX edns=1232"},
	{"mxsteered", "dig mxsteer.corner.test. MX edns=1232"},
	{"apexns", "dig corner.test. NS edns=1232"},
	{"siblings", "dig cut.corner.test. A edns=1232"},
	{"soa", "dig corner.test. SOA edns=1232"},
	{"chaos", "dig id.server. TXT class=CH"},
	{"nsid", "dig mail.example.test. A nsid"},
}

func TestAnsweringAllocatesNothing(t *testing.T) {
	w := newServer(t).newWorker(udp)
	for _, c := range costs {
		q, err := readInquiry(c.dig)
		if err != nil {
			t.Fatal(err)
		}
		request, _ := q.message.Pack()
		out := make([]byte, 0, MaxUDPSize)
		answered := 0
		allocations := testing.AllocsPerRun(100, func() {
			answered += len(w.answer(request, q.client, out))
			w.flush()
		})
		if allocations != 0 || answered == 0 {
			t.Errorf("%s: %v allocations a query", c.name, allocations)
		}
	}
}

func TestStreamAllocatesNothing(t *testing.T) {
	s := newServer(t)
	w := s.newWorker(tcp)
	stream := append(frame(t, "mail.example.test.", dns.TypeA, 1), frame(t, "www.example.test.", dns.TypeA, 2)...)
	requests := make([]byte, len(stream))
	out := make([]byte, 0, flushAt)
	if n := testing.AllocsPerRun(100, func() {
		copy(requests, stream)
		responses, rest, ok := w.answerStream(requests, loopback, out)
		if len(responses) == 0 || len(rest) != 0 || !ok {
			t.Fatal("not answered")
		}
	}); n != 0 {
		t.Errorf("%v allocations a stream of two", n)
	}
}

func BenchmarkAnswer(b *testing.B) {
	w := newServer(b).newWorker(udp)
	for _, c := range costs {
		b.Run(c.name, func(b *testing.B) {
			q, err := readInquiry(c.dig)
			if err != nil {
				b.Fatal(err)
			}
			request, _ := q.message.Pack()
			out := make([]byte, 0, MaxUDPSize)
			b.ReportAllocs()
			for b.Loop() {
				if len(w.answer(request, q.client, out)) == 0 {
					b.Fatal("not answered")
				}
			}
		})
	}
}

// BenchmarkLoopback is a query and its response over the sockets of this machine, for each way of moving datagrams:
// what it costs includes the client, which has a window of datagrams under way.
func BenchmarkLoopback(b *testing.B) {
	const window = 64
	for name, portable := range paths() {
		b.Run(name, func(b *testing.B) {
			s := newServer(b, func(o *Options) { o.Portable = portable })
			if err := s.Start(); err != nil {
				b.Fatal(err)
			}
			defer func() { _ = s.Shutdown(b.Context()) }()
			request, _ := question("www.example.test.", dns.TypeA).Pack()
			b.RunParallel(func(p *testing.PB) {
				conn, err := net.Dial("udp", s.Addrs()[0].String())
				if err != nil {
					b.Error(err)
					return
				}
				defer conn.Close()
				_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
				response := make([]byte, 512)
				for more := true; more; {
					sent := 0
					for ; sent < window && more; sent++ {
						if more = p.Next(); !more {
							break
						}
						if _, err := conn.Write(request); err != nil {
							b.Error(err)
							return
						}
					}
					for range sent {
						if _, err := conn.Read(response); err != nil {
							b.Error(err)
							return
						}
					}
				}
			})
		})
	}
}
