package answer

import (
	"fmt"
	"strings"
	"testing"

	"leeward/server/wire"

	"github.com/miekg/dns"
)

// crowded is the fixture with answers near the limits of messages. Their names have a common end that is not the apex.
func crowded(t testing.TB) *fixture {
	t.Helper()
	f := newFixture(t)
	var text strings.Builder
	set := func(owner, kind string, count int, data string) {
		fmt.Fprintf(&text, "---\nkind: Record\nname: example.test/%s/%s\ndata:\n", owner, kind)
		for i := range count {
			fmt.Fprintf(&text, "  - "+data+"\n", i)
		}
	}
	set("fits", "MX", 54, "10 h%02d.pool.elsewhere.invalid.")
	set("toomany", "MX", 80, "10 h%02d.pool.elsewhere.invalid.")
	set("cut", "NS", 45, "s%02d.dns.elsewhere.invalid.")
	set("deep", "NS", 20, "s%02d.dns.deep")
	for i := range 20 {
		set(fmt.Sprintf("s%02d.dns.deep", i), "A", 1, "192.0.2.%d")
	}
	// Five links with long names, and a policy at the end. They fit into 512 octets only if names are cut.
	long := strings.Repeat(strings.Repeat("n", 60)+".", 2)
	for i := range 5 {
		target := fmt.Sprintf("l%d.%sexample.test.", i+1, long)
		if i == 4 {
			target = "www"
		}
		fmt.Fprintf(&text, "---\n{kind: Record, name: example.test/l%d.%s/CNAME, data: [%s]}\n", i,
			strings.TrimSuffix(long, "."), target)
	}
	// Over TCP: 63,840 octets of MX, behind a chain of aliases that leaves room for them only if names are cut.
	set("huge-mx", "MX", 1520, "%d mail.of.a.provider.invalid.")
	text.WriteString("---\n{kind: Record, name: example.test/to-huge-mx/CNAME, data: [m1." + long + long[:61] +
		"example.test.]}\n")
	for i := 1; i < 13; i++ {
		target := fmt.Sprintf("m%d.%sexample.test.", i+1, long+long[:61])
		if i == 12 {
			target = "huge-mx"
		}
		fmt.Fprintf(&text, "---\n{kind: Record, name: example.test/m%d.%s/CNAME, data: [%s]}\n", i,
			strings.TrimSuffix(long+long[:61], "."), target)
	}
	f.apply(t, strings.TrimPrefix(text.String(), "---\n"))
	return f
}

// An answer that fits once its names are cut is not truncated. It says the same as over TCP, and is counted once.
func TestNothingIsTruncatedForItsNames(t *testing.T) {
	s := newResponder(t)
	s.Publish(crowded(t).state())
	long := strings.Repeat(strings.Repeat("n", 60)+".", 2)
	for _, c := range []struct {
		dig     string
		records int
	}{
		{"fits.example.test. MX edns=1232", 54},
		{"FITS.example.test. MX edns=1232", 54},
		{"toomany.example.test. MX edns=1232", 0},
		{"x.cut.example.test. A edns=1232", 45},
		{"x.deep.example.test. A edns=1232", 40},
		{"x.cut.example.test. A edns=512", 0},
		{"l0." + long + "example.test. A", 6},
	} {
		q, err := readInquiry("dig " + c.dig)
		if err != nil {
			t.Fatal(err)
		}
		w := s.newWorker(udp)
		m := ask(t, w, q)
		if got := len(m.Answer) + len(m.Ns) + len(m.Extra); m.IsEdns0() != nil {
			if got--; got != c.records || m.Truncated != (c.records == 0) {
				t.Errorf("%s: %d records, not %d: %v", c.dig, got, c.records, m.MsgHdr)
			}
		} else if got != c.records || m.Truncated {
			t.Errorf("%s: %d records, not %d: %v", c.dig, got, c.records, m.MsgHdr)
		}
		if w.tally[steered] > 1 || w.tally[queries] != 1 {
			t.Errorf("%s: counted as %d steered answers to %d queries", c.dig, w.tally[steered], w.tally[queries])
		}
		if c.records == 0 {
			continue
		}
		q.proto = tcp
		whole := ask(t, s.newWorker(tcp), q)
		for i, section := range [][]dns.RR{m.Answer, m.Ns} {
			for j, r := range section {
				if other := [][]dns.RR{whole.Answer, whole.Ns}[i][j]; !strings.EqualFold(r.String(), other.String()) {
					t.Errorf("%s: %s over UDP is %s over TCP", c.dig, r, other)
				}
			}
		}
	}
}

// The same holds over TCP near 64 KiB: what fits once names are cut is an answer, not a failure.
func TestNothingFailsForItsNamesOverTCP(t *testing.T) {
	s := newResponder(t)
	s.Publish(crowded(t).state())
	for name, count := range map[string]int{"huge-mx.example.test.": 1520, "to-huge-mx.example.test.": 1520 + 13} {
		q, err := readInquiry("dig " + name + " MX tcp")
		if err != nil {
			t.Fatal(err)
		}
		if m := ask(t, s.newWorker(tcp), q); m.Rcode != dns.RcodeSuccess || len(m.Answer) != count {
			t.Errorf("%s: %d records, not %d: %v", name, len(m.Answer), count, m.MsgHdr)
		}
	}
}

// tightCosts are answers that are written twice: one that fits the second time, one that does not even then, and, for
// comparison, one that is truncated at once because it has no names to cut.
var tightCosts = []struct{ name, dig string }{
	{"again", "dig fits.example.test. MX edns=1232"},
	{"again-in-vain", "dig toomany.example.test. MX edns=1232"},
	{"referral", "dig x.cut.example.test. A edns=1232"},
	{"at-once", "dig big.example.test. TXT edns=512"},
}

func TestWritingAgainAllocatesNothing(t *testing.T) {
	s := newResponder(t)
	s.Publish(crowded(t).state())
	w := s.newWorker(udp)
	for _, c := range tightCosts {
		q, _ := readInquiry(c.dig)
		request, _ := q.message.Pack()
		out := make([]byte, 0, wire.UDPSize)
		if n := testing.AllocsPerRun(100, func() { w.answer(request, q.client, out) }); n != 0 {
			t.Errorf("%s: %v allocations a query", c.name, n)
		}
	}
}

func BenchmarkAnswerAgain(b *testing.B) {
	s := newResponder(b)
	s.Publish(crowded(b).state())
	w := s.newWorker(udp)
	for _, c := range tightCosts {
		b.Run(c.name, func(b *testing.B) {
			q, _ := readInquiry(c.dig)
			request, _ := q.message.Pack()
			out := make([]byte, 0, wire.UDPSize)
			b.ReportAllocs()
			for b.Loop() {
				if len(w.answer(request, q.client, out)) == 0 {
					b.Fatal("not answered")
				}
			}
		})
	}
}
