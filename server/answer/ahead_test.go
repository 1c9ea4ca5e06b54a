package answer

import (
	"net/netip"
	"testing"
)

// Looking ahead accepts any bytes, allocates nothing, and changes no answer.
func TestLookAhead(t *testing.T) {
	s := newResponder(t, func(o *Options) { o.RateLimit = RateLimit{Rate: 1_000_000} })
	w := s.newWorker(udp)
	var requests [][]byte
	for _, c := range costs {
		q, err := readInquiry(c.dig)
		if err != nil {
			t.Fatal(err)
		}
		request, _ := q.message.Pack()
		requests = append(requests, request)
		for cut := range request { // each request, and all that is left of it when it is cut short
			requests = append(requests, request[:cut])
		}
		for at := range request {
			odd := append([]byte(nil), request...)
			odd[at] ^= 0xff
			requests = append(requests, odd)
		}
	}
	w.ahead = make([]ahead, len(requests))
	request := func(i int) ([]byte, netip.Addr) { return requests[i], loopback }
	if n := testing.AllocsPerRun(10, func() { w.Ahead(len(requests), request) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	steered := 0
	for i := range w.ahead {
		if w.ahead[i].policy != nil {
			steered++
		}
	}
	if steered == 0 {
		t.Error("no request was seen to be for a policy")
	}
	newResponder(t).newWorker(udp).Ahead(len(requests), request) // without a limit
}
