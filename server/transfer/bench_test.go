package transfer

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/miekg/dns"

	"leeward/zones/snapshot"
)

// BenchmarkReceive is what the records of a zone cost in a whole transfer, in another one of the same zone, in one
// difference, and in the kept file.
func BenchmarkReceive(b *testing.B) {
	const names = 100_000
	text := []string{"@ SOA 1", "@ NS ns", "ns A 192.0.2.53"}
	for i := range names {
		text = append(text, fmt.Sprintf("host-%d A 10.%d.%d.%d", i, i>>16, i>>8&255, i&255))
	}
	parcelOf := func(typ uint16, have *snapshot.Version, text []string) parcel {
		q := axfr("example.test.")
		q.Question[0].Qtype = typ
		query, err := q.Pack()
		if err != nil {
			b.Fatal(err)
		}
		p := parcel{query: query, have: have}
		for at := 0; at < len(text); at += 500 {
			m := new(dns.Msg).SetReply(q)
			m.Compress = true
			for _, line := range text[at:min(at+500, len(text))] {
				m.Answer = append(m.Answer, record(b, line))
			}
			packed, err := m.Pack()
			if err != nil {
				b.Fatal(err)
			}
			p.messages = append(p.messages, packed)
		}
		return p
	}
	first := parcelOf(dns.TypeAXFR, nil, append(text, text[0]))
	_, v, err := first.receive()
	if err != nil {
		b.Fatal(err)
	}
	text[0] = "@ SOA 2"
	again := parcelOf(dns.TypeAXFR, nil, append(text, text[0]))
	difference := parcelOf(dns.TypeIXFR, v,
		[]string{"@ SOA 2", "@ SOA 1", "host-1 A 10.0.0.1", "@ SOA 2", "host-1 A 10.0.0.9", "@ SOA 2"})
	run := func(name string, p parcel, f func(*snapshot.Version) *snapshot.Version) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, got, err := p.receive()
				if err != nil || f(got) == nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("axfr", first, func(v *snapshot.Version) *snapshot.Version { return v })
	run("axfr-again", again, func(next *snapshot.Version) *snapshot.Version { return next.From(v) })
	run("ixfr", difference, func(v *snapshot.Version) *snapshot.Version { return v })
	b.Run("disk", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var file bytes.Buffer
			if err := writeVersion(&file, v, kept{}); err != nil {
				b.Fatal(err)
			}
			if _, _, err := readVersion(&file, apex); err != nil {
				b.Fatal(err)
			}
		}
	})
}
