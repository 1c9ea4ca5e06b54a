package answer

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"leeward/server/wire"

	"github.com/miekg/dns"
)

// FuzzAnswer answers any bytes, over a datagram and over a stream. There is no panic, no response above its limit, and
// the oracle can read every response as one to its query.
func FuzzAnswer(f *testing.F) {
	text, err := os.ReadFile("testdata/answers.txt")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "dig ") {
			q, err := readInquiry(line)
			if err != nil {
				f.Fatal(err)
			}
			request, _ := q.message.Pack()
			f.Add(request)
		}
	}
	s := newResponder(f)
	datagrams, stream := s.newWorker(udp), s.newWorker(tcp)
	f.Fuzz(func(t *testing.T, request []byte) {
		sent := bytes.Clone(request)
		check := func(out []byte, most int) {
			if out == nil {
				return
			}
			if len(out) > most {
				t.Fatalf("%d octets, at most %d", len(out), most)
			}
			var m dns.Msg
			if err := m.Unpack(out); err != nil {
				t.Fatalf("% x is answered with % x: %v", request, out, err)
			}
			if !m.Response || m.RecursionAvailable || !bytes.Equal(out[:2], request[:2]) {
				t.Fatalf("not a response: %s", &m)
			}
		}
		check(datagrams.answer(request, loopback, make([]byte, 0, wire.UDPSize)), wire.UDPSize)
		check(stream.answer(request, loopback, make([]byte, 0, wire.MaxMessage)), dns.MaxMsgSize)
		if !bytes.Equal(request, sent) {
			t.Fatal("the request was changed")
		}
		if n := datagrams.tally[droppedPanic] + stream.tally[droppedPanic] + s.Stats().Panics; n > 0 {
			t.Fatalf("a fault while answering % x", sent)
		}
	})
}
