package answer

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"

	"leeward/server/wire"
)

// BenchmarkSigned is what signatures cost: the same questions with the DO bit and without.
func BenchmarkSigned(b *testing.B) {
	f, _ := newSigned(b)
	r, err := New(Options{})
	if err != nil {
		b.Fatal(err)
	}
	r.Publish(f.state())
	w := r.newWorker(udp)
	client := netip.MustParseAddr("192.0.2.1")
	for _, c := range []struct {
		name, of string
		typ      uint16
	}{
		{"static", "ns.signed.test.", dns.TypeA},
		{"steered", "one.signed.test.", dns.TypeA},
		{"sets", "three.signed.test.", dns.TypeA},
		{"nxdomain", "missing.signed.test.", dns.TypeA},
		{"nodata", "ns.signed.test.", dns.TypeTXT},
	} {
		for _, do := range []bool{false, true} {
			name := c.name
			if do {
				name += "/DO"
			}
			b.Run(name, func(b *testing.B) {
				request := signedRequest(b, c.of, c.typ, do)
				out := make([]byte, 0, wire.UDPSize)
				b.ReportAllocs()
				for b.Loop() {
					if response, _ := w.Respond(request, client, false, out); len(response) == 0 {
						b.Fatal("not answered")
					}
				}
			})
		}
	}
}
