package socket

import (
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// BenchmarkLoopback is a query and its response over the sockets of this machine, for each way of moving datagrams. Its
// cost includes the client, which keeps a window of datagrams under way.
func BenchmarkLoopback(b *testing.B) {
	const window = 64
	for name, portable := range paths() {
		b.Run(name, func(b *testing.B) {
			s := newServer(b, func(o *setup) { o.Portable = portable })
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
