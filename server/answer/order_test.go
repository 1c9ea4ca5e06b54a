package answer

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// addressesIn returns a section's addresses in the order of the message.
func addressesIn(records []dns.RR) (all []string) {
	for _, r := range records {
		switch r := r.(type) {
		case *dns.A:
			all = append(all, r.A.String())
		case *dns.AAAA:
			all = append(all, r.AAAA.String())
		}
	}
	return all
}

// A static set of addresses begins with each of them equally often, in answers and in the additional section. It is
// whole each time: over UDP and TCP, at the end of a chain, with names cut short or not. In a zone with a fixed order
// it comes as it is written.
func TestAddressesRotate(t *testing.T) {
	f := newFixture(t)
	var text strings.Builder
	for _, origin := range []string{"turn.test", "still.test"} {
		order := map[bool]string{true: ", order: fixed"}[origin == "still.test"]
		fmt.Fprintf(&text, "---\n{kind: Zone, name: %s, nameservers: [ns1.example.test]%s}\n", origin, order)
		fmt.Fprintf(&text, "---\n{kind: Record, name: %s/many/A, data: [192.0.2.1, 192.0.2.2, 192.0.2.3, 192.0.2.4]}\n",
			origin)
		fmt.Fprintf(&text, "---\n{kind: Record, name: %s/many/AAAA, data: [\"2001:db8::1\", \"2001:db8::2\", "+
			"\"2001:db8::3\", \"2001:db8::4\"]}\n", origin)
		fmt.Fprintf(&text, "---\n{kind: Record, name: %s/alias/CNAME, data: [many]}\n", origin)
		fmt.Fprintf(&text, "---\n{kind: Record, name: %s/post/MX, data: [10 many]}\n", origin)
		fmt.Fprintf(&text, "---\n{kind: Record, name: %s/list/TXT, data: ['\"a\"', '\"b\"', '\"c\"']}\n", origin)
		fmt.Fprintf(&text, "---\n{kind: Record, name: %s/crowd/A, data: [", origin)
		for i := range 60 { // more than UDP carries, of most names
			fmt.Fprintf(&text, "198.51.100.%d, ", i+1)
		}
		text.WriteString("203.0.113.1]}\n")
	}
	f.apply(t, strings.TrimPrefix(text.String(), "---\n"))
	s := newResponder(t)
	s.Publish(f.state())
	workers := map[Transport]*Worker{udp: s.newWorker(udp), tcp: s.newWorker(tcp)}
	for _, origin := range []string{"turn.test", "still.test"} {
		for _, c := range []struct {
			query   string
			section func(*dns.Msg) []string
			want    int
		}{
			{"many.%s. A", func(m *dns.Msg) []string { return addressesIn(m.Answer) }, 4},
			{"many.%s. AAAA edns=1232", func(m *dns.Msg) []string { return addressesIn(m.Answer) }, 4},
			{"many.%s. A tcp", func(m *dns.Msg) []string { return addressesIn(m.Answer) }, 4},
			{"alias.%s. A", func(m *dns.Msg) []string { return addressesIn(m.Answer) }, 4},
			{"post.%s. MX", func(m *dns.Msg) []string { return addressesIn(m.Extra)[:4] }, 4},
			{"crowd.%s. A tcp", func(m *dns.Msg) []string { return addressesIn(m.Answer) }, 61},
		} {
			q, err := readInquiry("dig " + fmt.Sprintf(c.query, origin))
			if err != nil {
				t.Fatal(err)
			}
			firsts := map[string]int{}
			var written []string
			const times = 4000
			for range times {
				got := c.section(ask(t, workers[q.proto], q))
				firsts[got[0]]++
				if slices.Sort(got); written == nil {
					written = got
				}
				if len(got) != c.want || !slices.Equal(got, written) {
					t.Fatalf("%s: %v, want %d addresses", c.query, got, c.want)
				}
			}
			if origin == "still.test" {
				if len(firsts) != 1 {
					t.Errorf("%s %s: begins with %v", origin, c.query, firsts)
				}
				continue
			}
			for a, n := range firsts {
				if mean := times / c.want; n < mean/3 || n > 3*mean || len(firsts) != c.want {
					t.Errorf("%s %s: %s came first %d times, of %d addresses", origin, c.query, a, n, len(firsts))
				}
			}
		}
		q, _ := readInquiry("dig crowd." + origin + ". A")
		for range 100 { // whatever order the cut part has does not matter
			if m := ask(t, workers[udp], q); !m.Truncated || len(m.Answer) > 0 {
				t.Fatalf("truncated: %s", m)
			}
		}
		q, _ = readInquiry("dig list." + origin + ". TXT")
		for range 100 {
			if m := ask(t, workers[udp], q); m.Answer[0].(*dns.TXT).Txt[0] != "a" {
				t.Fatalf("not addresses: %s", m)
			}
		}
	}
}
