package probe

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"leeward/health"
)

// BenchmarkProbe measures one check of an endpoint on loopback, including the endpoint's own work in the same process.
func BenchmarkProbe(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok")) }))
	defer web.Close()
	p, err := New(Options{Vantage: "fra", OnReport: func([]health.Report) {}})
	if err != nil {
		b.Fatal(err)
	}
	for name, m := range map[string]*health.Monitor{
		"tcp":  {TCP: &health.TCP{Port: portOf(l.Addr())}},
		"http": {HTTP: &health.HTTP{Port: portOf(web.Listener.Addr()), Path: "/healthz", Host: "www.example.test"}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if o := p.probe(context.Background(), loopback, m, health.Manner{}); o.state != health.Up {
					b.Fatal(o.reason)
				}
			}
		})
	}
}
