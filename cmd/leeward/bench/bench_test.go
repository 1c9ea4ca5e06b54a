package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"leeward/zones"
	"leeward/zones/document"
	"leeward/zones/rr"
)

func name(t testing.TB, s string) rr.Name {
	t.Helper()
	n, err := rr.ParseName(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// answerer is a DNS server on loopback. It sends what reply makes of each query, in as many copies; nil is no reply.
func answerer(t *testing.T, copies int, reply func(n int, query []byte) []byte) netip.AddrPort {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() { c.Close(); <-ended })
	go func() {
		defer close(ended)
		b := make([]byte, 4096)
		for n := 0; ; n++ {
			k, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			r := reply(n, b[:k])
			for range copies {
				if r != nil {
					c.WriteTo(r, from)
				}
			}
		}
	}()
	return netip.MustParseAddrPort(c.LocalAddr().String())
}

// echo turns a query into a response with an RCODE.
func echo(query []byte, rcode byte) []byte {
	r := bytes.Clone(query)
	r[2] |= 0x80
	r[3] = r[3]&0xf0 | rcode
	return r
}

func settings(t *testing.T, server netip.AddrPort) Settings {
	return Settings{
		Server: server, Sockets: 3, Seed: 1, Allow: DefaultAllow,
		From: 200, Most: 400, Step: 200 * time.Millisecond, Timeout: 4 * time.Second, Late: 4 * time.Second,
		Questions: []Question{{name(t, "www.example.test"), rr.TypeA}, {name(t, "mail.example.test"), rr.TypeMX}},
	}
}

func TestLoadCountsEveryQuery(t *testing.T) {
	type replier = func(n int, query []byte) []byte
	rcode := func(code byte) replier { return func(_ int, q []byte) []byte { return echo(q, code) } }
	// flipped flips bits of one octet of a good response.
	flipped := func(at int, bits byte) replier {
		return func(_ int, q []byte) []byte {
			r := echo(q, 0)
			r[at] ^= bits
			return r
		}
	}
	allRight := func(s Step) bool { return s.Wrong == 0 && s.Answered > 0 }
	allWrong := func(s Step) bool { return s.Wrong == s.Answered && s.Answered > 0 }
	for _, c := range []struct {
		title string
		reply replier
		check func(s Step) bool
	}{
		{"all answered", rcode(0), func(s Step) bool { return allRight(s) && s.Rcodes["NOERROR"] == s.Answered }},
		{"a name that is not there is an answer", rcode(3), func(s Step) bool {
			return allRight(s) && s.Rcodes["NXDOMAIN"] == s.Answered
		}},
		{"refused is wrong", rcode(5), allWrong},
		{"another question is wrong", flipped(headerSize+1, 1), allWrong},
		{"twice is once", rcode(0), allRight},
		{"every second one lost", func(n int, q []byte) []byte {
			if n%2 == 1 {
				return nil
			}
			return echo(q, 0)
		}, func(s Step) bool { return s.Lost >= s.Sent/2 && s.Bad() > 0.4 }},
		{"truncated ones are counted", flipped(2, 2), func(s Step) bool { return s.Cut == s.Answered }},
	} {
		t.Run(c.title, func(t *testing.T) {
			copies := 1
			if strings.Contains(c.title, "twice") {
				copies = 2
			}
			s := settings(t, answerer(t, copies, c.reply))
			if strings.Contains(c.title, "lost") {
				s.Timeout = 200 * time.Millisecond // the test waits for this
			}
			// Where the machine is busy, senders may get no turn in a step this short.
			var step Step
			for i := 0; step.Sent < 10 && i < 100; i++ {
				var err error
				if step, err = load(t.Context(), s, prepare(s, nil), 400, 1); err != nil {
					t.Fatal(err)
				}
			}
			if step.Sent == 0 || step.Answered+step.Lost != step.Sent || !c.check(step) {
				t.Errorf("%+v", step)
			}
		})
	}
}

func TestRunIsBoundedAndAsksWithTheServersCookie(t *testing.T) {
	const cookieOfServer = "0102030405060708090a0b0c0d0e0f10"
	var with, without atomic.Int64
	server := answerer(t, 1, func(_ int, q []byte) []byte {
		var m dns.Msg
		if m.Unpack(q) != nil || len(m.Question) != 1 {
			return nil
		}
		o, cookie := m.IsEdns0(), ""
		if o != nil {
			for _, option := range o.Option {
				if c, ok := option.(*dns.EDNS0_COOKIE); ok {
					cookie = c.Cookie
				}
			}
		}
		r := new(dns.Msg).SetReply(&m)
		if len(cookie) == 16 {
			r.SetEdns0(payload, false)
			r.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: cookie + cookieOfServer}}
		}
		if strings.HasSuffix(cookie, cookieOfServer) {
			with.Add(1)
		} else {
			without.Add(1)
		}
		b, _ := r.Pack()
		return b
	})
	s := settings(t, server)
	s.Cookies = true
	var told int
	s.Tell = func(Step) { told++ }
	r, err := Run(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Cookie || with.Load() == 0 || told != len(r.Steps) || r.Why == "" {
		t.Errorf("cookie %v, queries with it %d, without %d, told of %d of %d steps, why %q",
			r.Cookie, with.Load(), without.Load(), told, len(r.Steps), r.Why)
	}
	for _, step := range r.Steps {
		if step.Asked > s.Most {
			t.Errorf("asked %g a second, more than %g", step.Asked, s.Most)
		}
	}
}

func TestNobodyThere(t *testing.T) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := netip.MustParseAddrPort(c.LocalAddr().String())
	c.Close()
	_, err = Run(t.Context(), settings(t, server))
	if err == nil || !strings.Contains(err.Error(), "is a DNS server listening there?") {
		t.Error(err)
	}
}

// Wherever the server breaks, the climb finds it to within 5 %, does not go beyond the most that is allowed, and ends.
func TestClimbFindsTheKnee(t *testing.T) {
	server := answerer(t, 1, func(_ int, q []byte) []byte { return echo(q, 0) })
	base := settings(t, server)
	rapid.Check(t, func(t *rapid.T) {
		s := base
		s.From = rapid.Float64Range(1, 1e4).Draw(t, "from")
		s.Most = s.From * rapid.Float64Range(1, 1e4).Draw(t, "most")
		knee := rapid.Float64Range(1, 1e8).Draw(t, "knee")
		r := &Result{}
		steps := 0
		err := r.climb(context.Background(), s, func(rate float64, _ uint64) (Step, error) {
			if steps++; steps > 100 {
				t.Fatalf("it does not end: %v", r)
			}
			if rate > s.Most {
				t.Fatalf("asked %g a second, more than %g", rate, s.Most)
			}
			step := Step{Asked: rate, Sent: 1000, Answered: 1000}
			if rate > knee {
				step.Lost = 100
			}
			return step, nil
		})
		switch {
		case err != nil:
			t.Fatal(err)
		case knee >= s.Most:
			if r.Knee != s.Most || !r.AtLeast {
				t.Fatalf("%+v: want the most, %g", r, s.Most)
			}
		case r.Knee == 0:
			if knee > 10 {
				t.Fatalf("nothing held, but %g would: %s", knee, r.Why)
			}
		case r.Knee > knee || r.Breaks <= knee || r.Breaks/r.Knee > near || r.AtLeast:
			t.Fatalf("knee %g, breaks at %g; it is at %g", r.Knee, r.Breaks, knee)
		}
	})
}

func TestReadNames(t *testing.T) {
	got, err := ReadNames("names.txt", strings.NewReader(
		"# what our users ask\nwww.example.test\n\n mail.example.test MX \nx.example.test TYPE65280\n"))
	want := []Question{
		{name(t, "www.example.test"), rr.TypeA},
		{name(t, "mail.example.test"), rr.TypeMX},
		{name(t, "x.example.test"), 65280},
	}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for text, says := range map[string]string{
		"www.example.test\na..b":   "names.txt:2: ",
		"www.example.test NOTYPE":  "names.txt:1: ",
		"www.example.test A extra": "names.txt:1: ",
		"; nothing":                "has no name in it",
	} {
		_, err := ReadNames("names.txt", strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v; want %q", text, err, says)
		}
	}
}

func TestZoneQuestions(t *testing.T) {
	docs, problems := document.Read("test", strings.NewReader(`
{"kind": "Zone", "name": "example.test", "nameservers": ["ns1.example.test"], "hostmaster": "hostmaster@example.test"}
---
{"kind": "Zone", "name": "sub.example.test", "nameservers": ["ns1.example.test"], "hostmaster": "hostmaster@example.test"}
---
{"kind": "Record", "name": "example.test/mail/MX", "data": ["10 mail"]}
---
{"kind": "Record", "name": "example.test/*.wild/TXT", "data": ["x"]}
---
{"kind": "Record", "name": "sub.example.test/a/A", "data": ["192.0.2.1"]}
---
{"kind": "Policy", "name": "www.example.test", "rules": [{"failover": ["p"]}]}
---
{"kind": "Policy", "name": "www.sub.example.test", "rules": [{"failover": ["p"]}]}
`))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	var all []zones.Resource
	for _, d := range docs {
		all = append(all, d.Resource)
	}
	got, err := ZoneQuestions("example.test", all, 1)
	if err != nil {
		t.Fatal(err)
	}
	var wild int
	var rest []Question
	for _, q := range got {
		if q.Type == rr.TypeTXT && q.Name.Parent() == name(t, "wild.example.test") && !q.Name.IsWildcard() {
			wild++
			continue
		}
		rest = append(rest, q)
	}
	www := name(t, "www.example.test")
	want := []Question{
		{name(t, "example.test"), rr.TypeSOA},
		{name(t, "mail.example.test"), rr.TypeMX},
		{www, rr.TypeA},
		{www, rr.TypeAAAA},
	}
	if wild != standIns || !cmp.Equal(rest, want) {
		t.Errorf("%d names for the wildcard, and %v", wild, rest)
	}
	_, err = ZoneQuestions("other.test", all, 1)
	if err == nil || !strings.Contains(err.Error(), "there is no zone other.test") {
		t.Error(err)
	}
}

// Another reader of DNS reads the messages as they were meant, and clients lie within the prefix.
func TestQueries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SampledFrom([]string{
			"193.0.0.0/16", "198.51.100.128/25", "0.0.0.0/0", "2001:db8::/32", "2001:db8::1/128",
		}).Draw(t, "clients")
		clients := netip.MustParsePrefix(text)
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		subnet := subnetOf(random, clients)
		cookie := bytes.Repeat([]byte{7}, rapid.SampledFrom([]int{0, 8, 24, 40}).Draw(t, "cookie"))
		q := newQuery(Question{rr.Name("\x03www\x04test\x00"), rr.TypeAAAA}, subnet, cookie)
		var m dns.Msg
		if err := m.Unpack(q.message); err != nil {
			t.Fatal(err)
		}
		want := dns.Question{Name: "www.test.", Qtype: dns.TypeAAAA, Qclass: dns.ClassINET}
		if len(m.Question) != 1 || m.Question[0] != want {
			t.Fatal(m.Question)
		}
		var saw netip.Prefix
		var size int
		for _, o := range m.IsEdns0().Option {
			switch o := o.(type) {
			case *dns.EDNS0_SUBNET:
				a, _ := netip.AddrFromSlice(o.Address)
				if o.Family == 1 {
					a = a.Unmap()
				}
				saw = netip.PrefixFrom(a, int(o.SourceNetmask))
			case *dns.EDNS0_COOKIE:
				size = len(o.Cookie) / 2
			}
		}
		if saw != subnet || saw.Masked() != saw || !clients.Contains(saw.Addr()) || size != len(cookie) {
			t.Fatalf("subnet %v for %v out of %v, cookie of %d octets for %d", saw, subnet, clients, size, len(cookie))
		}
	})
}

func TestAllowed(t *testing.T) {
	for text, want := range map[string]bool{
		"127.0.0.1": true, "127.9.9.9": true, "::1": true, "::ffff:127.0.0.1": true,
		"10.1.2.3": true, "172.16.0.1": true, "172.32.0.1": false, "192.168.1.1": true,
		"100.64.0.1": true, "100.128.0.1": false, "169.254.0.1": true, "fe80::1": true, "fd00::1": true,
		"192.0.2.1": false, "8.8.8.8": false, "::ffff:8.8.8.8": false, "2001:db8::1": false, "0.0.0.0": false,
	} {
		if err := Allowed(netip.MustParseAddr(text)); (err == nil) != want {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestPlotAndPrint(t *testing.T) {
	r := &Result{
		Server: "127.0.0.1:5300", Knee: 4000, Breaks: 4200,
		Why: "at 4200 queries a second 7 % were not answered",
	}
	for _, asked := range []float64{1000, 2000, 4000, 8000, 4200} {
		s := Step{
			Asked: asked, Seconds: 1, Sent: uint64(asked), Answered: uint64(math.Min(asked, 4000)),
			P50: 1e-4, P99: 1e-3 * asked / 4000, Held: asked <= 4000,
		}
		s.Lost = s.Sent - s.Answered
		r.Steps = append(r.Steps, s)
	}
	var b bytes.Buffer
	if err := r.Plot(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"<svg ", "holds 4000 queries a second<", ">knee<", ">answered in time<", ">99th percentile<",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the picture lacks %s:\n%s", want, b.String())
		}
	}
	if err := new(Result).Plot(&b); err == nil {
		t.Error("nothing was drawn without an error")
	}

	b.Reset()
	want := "knee: 4000 queries a second; at 4200 queries a second 7 % were not answered\n"
	if err := r.Print(&b, false); err != nil || b.String() != want {
		t.Errorf("%q, %v", b.String(), err)
	}
	want = "     4200      4000   4.76 %        -        -     100µs     1.1ms         -  broken"
	if got := r.Steps[4].Row(); got != want {
		t.Errorf("\n%q, want\n%q", got, want)
	}
}

// FuzzServerCookie reads what a server may send.
func FuzzServerCookie(f *testing.F) {
	client := []byte("12345678")
	m := new(dns.Msg).SetQuestion("www.example.test.", dns.TypeA)
	m.Response = true
	m.SetEdns0(payload, false)
	m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{
		Code: dns.EDNS0COOKIE, Cookie: "3132333435363738" + "0102030405060708",
	}}
	b, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	question := 18 + 4
	want := append(bytes.Clone(client), 1, 2, 3, 4, 5, 6, 7, 8)
	if got := serverCookie(b, headerSize+question, client); !bytes.Equal(got, want) {
		f.Fatalf("%x", got)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, r []byte) {
		if len(r) < headerSize {
			return
		}
		at := headerSize + int(binary.BigEndian.Uint16(r))%64
		if c := serverCookie(r, at, client); c != nil && (len(c) < 16 || len(c) > 40 || !bytes.HasPrefix(c, client)) {
			t.Errorf("%x", c)
		}
	})
}
