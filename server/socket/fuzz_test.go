package socket

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

// FuzzStream: whatever a client sends, each whole request is answered, is handed over, or ends the connection. So a
// stream always makes headway, and nothing panics.
func FuzzStream(f *testing.F) {
	f.Add(append(frame(f, "mail.example.test.", dns.TypeA, 1), frame(f, "example.test.", dns.TypeAXFR, 2)...))
	f.Add([]byte{0, 0, 0, 1, 0})
	s := newServer(f, func(o *setup) { o.later(handler) })
	f.Fuzz(func(t *testing.T, requests []byte) {
		w := s.tcp.workers.Get().(*streamWorker)
		defer s.tcp.workers.Put(w)
		for wholeMessage(requests) {
			size := len(requests)
			_, rest, _, ok := w.answer(requests, netip.AddrPortFrom(netip.IPv6Loopback(), 5353), nil)
			if len(rest) >= size {
				t.Fatalf("no headway at %x", rest)
			}
			if requests = rest; !ok {
				break
			}
		}
		if n := s.answers.Stats().Panics; n > 0 {
			t.Fatalf("%d panics", n)
		}
	})
}
