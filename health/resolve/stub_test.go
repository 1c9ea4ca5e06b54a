package resolve

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// nameserver answers on a loopback port, UDP and TCP.
func nameserver(t *testing.T, handle dns.HandlerFunc) netip.AddrPort {
	t.Helper()
	for range 20 { // a port that is free for UDP need not be free for TCP
		packets, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		streams, err := net.Listen("tcp", packets.LocalAddr().String())
		if err != nil {
			packets.Close()
			continue
		}
		for _, s := range []*dns.Server{{PacketConn: packets, Handler: handle}, {Listener: streams, Handler: handle}} {
			started := make(chan struct{})
			s.NotifyStartedFunc = func() { close(started) }
			go func() { _ = s.ActivateAndServe() }()
			<-started
			t.Cleanup(func() { _ = s.Shutdown() })
		}
		return netip.MustParseAddrPort(packets.LocalAddr().String())
	}
	t.Fatal("no port that is free for both")
	return netip.AddrPort{}
}

// zone answers from records in presentation form, and follows aliases, as a recursive resolver does.
func zone(records ...string) dns.HandlerFunc {
	var all []dns.RR
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			panic(err)
		}
		all = append(all, rr)
	}
	return func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		m.RecursionAvailable = true
		name, found := q.Question[0].Name, false
		for range 20 {
			next := ""
			for _, rr := range all {
				if !strings.EqualFold(rr.Header().Name, name) {
					continue
				}
				found = true
				if c, ok := rr.(*dns.CNAME); ok {
					m.Answer, next = append(m.Answer, rr), c.Target
				} else if rr.Header().Rrtype == q.Question[0].Qtype {
					m.Answer = append(m.Answer, rr)
				}
			}
			if name = next; next == "" {
				break
			}
		}
		if !found {
			m.Rcode = dns.RcodeNameError
		}
		if w.LocalAddr().Network() == "udp" {
			m.Truncate(512)
		}
		_ = w.WriteMsg(m)
	}
}

func stubFor(servers ...netip.AddrPort) *stub {
	return &stub{servers: func() ([]netip.AddrPort, error) { return servers, nil }}
}

func TestStub(t *testing.T) {
	var many []string
	for i := range 40 {
		many = append(many, "many.example. 60 AAAA 2001:db8::"+string(rune('a'+i%6))+string(rune('0'+i%10)))
	}
	s := stubFor(nameserver(t, zone(append(many,
		"lb.example. 60 A 192.0.2.2", "lb.example. 60 A 192.0.2.1", "lb.example. 50 AAAA 2001:db8::1",
		"alias.example. 20 CNAME Next.example.", "next.example. 300 CNAME lb.example.",
		"loop.example. 20 CNAME pool.example.", "pool.example. 20 CNAME loop.example.",
		"dangling.example. 20 CNAME nothing.example.",
		`text.example. 60 TXT "no address"`,
	)...)))
	for _, c := range []struct {
		name       string
		four, six  int
		ttl4, ttl6 time.Duration
	}{
		{"lb.example", 2, 1, time.Minute, 50 * time.Second},
		{"alias.example", 2, 1, 20 * time.Second, 20 * time.Second},
		{"many.example", 0, 40, 0, time.Minute},
		{"text.example", 0, 0, 0, 0},
	} {
		four, six := s.both(t.Context(), c.name)
		if four.err != nil || six.err != nil || len(four.addresses) != c.four || len(six.addresses) != c.six {
			t.Errorf("%s: %+v, %+v", c.name, four, six)
		}
		if c.four > 0 && four.ttl != c.ttl4 || c.six > 0 && six.ttl != c.ttl6 {
			t.Errorf("%s: TTL %v and %v", c.name, four.ttl, six.ttl)
		}
	}
	for _, name := range []string{"missing.example", "dangling.example"} {
		if four, six := s.both(t.Context(), name); !four.absent && four.err == nil && len(four.addresses) > 0 ||
			!six.absent && len(six.addresses) > 0 {
			t.Errorf("%s: %+v, %+v", name, four, six)
		}
	}
	if four, _ := s.both(t.Context(), "missing.example"); !four.absent {
		t.Errorf("missing.example: %+v", four)
	}
	if four, _ := s.both(t.Context(), "loop.example"); len(four.addresses) > 0 {
		t.Errorf("loop.example: %+v", four)
	}
}

// TestChase: a server that does not follow aliases itself is asked again.
func TestChase(t *testing.T) {
	flat := zone("alias.example. 20 CNAME lb.example.")
	target := zone("lb.example. 60 A 192.0.2.1")
	s := stubFor(nameserver(t, func(w dns.ResponseWriter, q *dns.Msg) {
		if q.Question[0].Name == "alias.example." {
			flat(w, q)
			return
		}
		target(w, q)
	}))
	four, _ := s.both(t.Context(), "alias.example")
	if !slices.Equal(four.addresses, []netip.Addr{v4}) || four.ttl != 20*time.Second {
		t.Errorf("%+v", four)
	}
}

// TestWrongAnswersAreNotTaken: another ID, another question, and a query come before the right response.
func TestWrongAnswersAreNotTaken(t *testing.T) {
	right := zone("lb.example. 60 A 192.0.2.1")
	s := stubFor(nameserver(t, func(w dns.ResponseWriter, q *dns.Msg) {
		wrong, _ := dns.NewRR("lb.example. 60 A 198.51.100.66")
		for i := range 3 {
			m := new(dns.Msg)
			m.SetReply(q)
			m.RecursionAvailable = true
			m.Answer = []dns.RR{wrong}
			switch i {
			case 0:
				m.Id++
			case 1:
				m.Question = []dns.Question{{Name: "other.example.", Qtype: q.Question[0].Qtype, Qclass: dns.ClassINET}}
			case 2:
				m.Response = false
			}
			_ = w.WriteMsg(m)
		}
		_, _ = w.Write([]byte{1, 2, 3})
		right(w, q)
	}))
	if four, _ := s.both(t.Context(), "lb.example"); !slices.Equal(four.addresses, []netip.Addr{v4}) {
		t.Errorf("%+v", four)
	}
}

func TestNextServer(t *testing.T) {
	var asked atomic.Int32
	broken := nameserver(t, func(w dns.ResponseWriter, q *dns.Msg) {
		asked.Add(1)
		m := new(dns.Msg)
		m.SetRcode(q, dns.RcodeServerFailure)
		_ = w.WriteMsg(m)
	})
	referring := nameserver(t, func(w dns.ResponseWriter, q *dns.Msg) { // an authoritative server, without recursion
		m := new(dns.Msg)
		m.SetReply(q)
		ns, _ := dns.NewRR("example. 60 NS ns.example.")
		m.Ns = []dns.RR{ns}
		_ = w.WriteMsg(m)
	})
	fine := nameserver(t, zone("lb.example. 60 A 192.0.2.1"))
	s := stubFor(broken, referring, fine)
	for range 3 {
		if four, six := s.both(t.Context(), "lb.example"); !slices.Equal(four.addresses, []netip.Addr{v4}) ||
			six.err != nil {
			t.Fatalf("%+v, %+v", four, six)
		}
	}
	if n := asked.Load(); n > 2 {
		t.Errorf("the broken server was asked %d times", n)
	}
	four, _ := stubFor(broken).both(t.Context(), "lb.example")
	if four.err == nil || !strings.Contains(four.err.Error(), "SERV") {
		t.Errorf("%v", four.err)
	}
	four, _ = stubFor(referring).both(t.Context(), "lb.example")
	if four.err == nil || !strings.Contains(four.err.Error(), "recursion") {
		t.Errorf("%v", four.err)
	}
}

func TestConfig(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	now := start
	c := config{file: file, now: func() time.Time { return now }}
	want := func(text string) {
		t.Helper()
		servers, err := c.list()
		var got []string
		for _, s := range servers {
			got = append(got, s.String())
		}
		if err != nil || strings.Join(got, " ") != text {
			t.Errorf("%v, %v; want %s", got, err, text)
		}
	}
	want("127.0.0.1:53")
	if err := os.WriteFile(file, []byte("# nameserver 192.0.2.99\nsearch example\nnameserver 192.0.2.1\nnameserver "+
		"2001:db8::1\nnameserver x\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	want("127.0.0.1:53")
	now = now.Add(MinInterval)
	want("192.0.2.1:53 [2001:db8::1]:53 192.0.2.3:53")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file, 0o700); err != nil { // unreadable: the last servers stay
		t.Fatal(err)
	}
	now = now.Add(MinInterval)
	want("192.0.2.1:53 [2001:db8::1]:53 192.0.2.3:53")
	for text, want := range map[string]string{
		"192.0.2.1": "192.0.2.1:53", "192.0.2.1:5353": "192.0.2.1:5353", "2001:db8::1": "[2001:db8::1]:53",
		"[2001:db8::1]": "[2001:db8::1]:53", "[2001:db8::1]:5353": "[2001:db8::1]:5353", "resolver.example": "",
		"192.0.2.1:0": "", "": "",
	} {
		got, err := ParseServer(text)
		if (err == nil) != (want != "") || want != "" && got.String() != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}
