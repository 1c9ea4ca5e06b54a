package answer

import (
	"testing"

	"leeward/server/wire"
)

// costs are the kinds of queries whose cost we watch.
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
	w := newResponder(t).newWorker(udp)
	for _, c := range costs {
		q, err := readInquiry(c.dig)
		if err != nil {
			t.Fatal(err)
		}
		request, _ := q.message.Pack()
		out := make([]byte, 0, wire.UDPSize)
		answered := 0
		allocations := testing.AllocsPerRun(100, func() {
			answered += len(w.answer(request, q.client, out))
			w.Flush()
		})
		if allocations != 0 || answered == 0 {
			t.Errorf("%s: %v allocations a query", c.name, allocations)
		}
	}
}

func BenchmarkAnswer(b *testing.B) {
	w := newResponder(b).newWorker(udp)
	for _, c := range costs {
		b.Run(c.name, func(b *testing.B) {
			q, err := readInquiry(c.dig)
			if err != nil {
				b.Fatal(err)
			}
			request, _ := q.message.Pack()
			out := make([]byte, 0, wire.UDPSize)
			b.ReportAllocs()
			for b.Loop() {
				if response, _ := w.Respond(request, q.client, false, out); len(response) == 0 {
					b.Fatal("not answered")
				}
			}
		})
	}
}
