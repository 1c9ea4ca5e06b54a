package answer

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"leeward/server/wire"
)

func limited(rate, slip int) func(*Options) {
	return func(o *Options) { o.RateLimit = RateLimit{Rate: rate, Slip: slip} }
}

// sent asks n times, for names made from a number, and counts the responses by what they are.
func sent(t *testing.T, w *Worker, n int, name func(i int) string, client string, proto Transport,
	cookie string,
) map[string]int {
	t.Helper()
	w.over = w.responder.Over(proto)
	got := map[string]int{}
	for i := range n {
		q := inquiry{message: question(name(i), dns.TypeA), client: netip.MustParseAddr(client), proto: proto}
		if cookie != "" {
			q.message.SetEdns0(1232, false)
			q.message.IsEdns0().Option = append(q.message.IsEdns0().Option,
				&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: cookie})
		}
		m := ask(t, w, q)
		switch {
		case m == nil:
			got["nothing"]++
		case m.Truncated:
			if len(m.Answer)+len(m.Ns) > 0 || m.Authoritative {
				t.Errorf("a slipped response has records, or AA:\n%s", m)
			}
			got["truncated"]++
		case m.Rcode == dns.RcodeBadCookie:
			if len(m.Answer)+len(m.Ns) > 0 || len(m.IsEdns0().Option) != 1 {
				t.Errorf("BADCOOKIE has records, or no cookie:\n%s", m)
			}
			got["badcookie"]++
		default:
			got[dns.RcodeToString[m.Rcode]]++
		}
	}
	return got
}

func always(name string) func(int) string { return func(int) string { return name } }

// Endless names count as one, and names that exist count each for itself.
func TestRateLimitByKind(t *testing.T) {
	numbered := func(below string) func(int) string {
		return func(i int) string { return "n" + strings.Repeat("x", i%40) + string(rune('a'+i/40)) + "." + below }
	}
	for _, c := range []struct {
		what, code string
		name       func(int) string
	}{
		{"one RRset", "NOERROR", always("mail.example.test.")},
		{"a policy", "NOERROR", always("www.example.test.")},
		{"a wildcard", "NOERROR", numbered("wild.example.test.")},
		{"NXDOMAIN", "NXDOMAIN", numbered("example.test.")},
		{"a referral", "NOERROR", numbered("sub.example.test.")},
		{"not ours", "REFUSED", numbered("elsewhere.invalid.")},
	} {
		t.Run(c.what, func(t *testing.T) {
			w := newResponder(t, limited(50, 2)).newWorker(udp)
			got := sent(t, w, 1050, c.name, "203.0.113.9", udp, "")
			if got[c.code] != 50 {
				t.Errorf("%v, want 50 %s", got, c.code)
			}
			if n := got["truncated"]; n < 400 || n > 600 || n+got["nothing"] != 1000 {
				t.Errorf("%v, want about half of the rest truncated", got)
			}
			if n := w.tally[limitSlipped]; n != uint64(got["truncated"]) ||
				w.tally[limitDropped] != uint64(got["nothing"]) {
				t.Errorf("%d are counted as slipped, %d as dropped, of %v", n, w.tally[limitDropped], got)
			}
			// A client in the next prefix, and the same client over TCP, are not limited.
			if got := sent(t, w, 20, c.name, "203.0.114.9", udp, ""); got[c.code] != 20 {
				t.Errorf("another prefix: %v", got)
			}
			if got := sent(t, w, 100, c.name, "203.0.113.9", tcp, ""); got[c.code] != 100 {
				t.Errorf("TCP: %v", got)
			}
		})
	}
}

func TestRateLimitWithoutSlip(t *testing.T) {
	w := newResponder(t, limited(10, 0)).newWorker(udp)
	if got := sent(t, w, 100, always("mail.example.test."), "2001:db8::1", udp, ""); got["NOERROR"] != 10 ||
		got["nothing"] != 90 {
		t.Error(got)
	}
}

func TestRateLimitExempt(t *testing.T) {
	w := newResponder(t, func(o *Options) {
		o.RateLimit = RateLimit{Rate: 10, Slip: 2, Exempt: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
	}).newWorker(udp)
	if got := sent(t, w, 100, always("mail.example.test."), "192.0.2.1", udp, ""); got["NOERROR"] != 100 ||
		w.tally[limitExempt] != 90 {
		t.Error(got, w.tally[limitExempt])
	}
}

// A client with a cookie of ours is not limited. One that sends only its own gets ours in place of TC, and needs no
// TCP.
func TestRateLimitAndCookies(t *testing.T) {
	const client = "24a5ac1122334455"
	w := newResponder(t, limited(10, 1)).newWorker(udp)
	if got := sent(t, w, 100, always("mail.example.test."), "192.0.2.1", udp, client); got["NOERROR"] != 10 ||
		got["badcookie"] != 90 {
		t.Error(got)
	}
	q, _ := readInquiry("dig mail.example.test. A edns=1232")
	q.client = netip.MustParseAddr("192.0.2.1")
	q.message.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: client}}
	refused := ask(t, w, q)
	got := refused.IsEdns0().Option[0].(*dns.EDNS0_COOKIE).Cookie
	if got := sent(t, w, 1000, always("mail.example.test."), "192.0.2.1", udp, got); got["NOERROR"] != 1000 {
		t.Error(got)
	}
	if got := sent(t, w, 10, always("mail.example.test."), "192.0.2.2", udp, got); got["NOERROR"] != 0 {
		t.Errorf("another client has used it: %v", got)
	}
}

// cookieOf returns the cookie of a response in hex, "" if it has none.
func cookieOf(m *dns.Msg) string {
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if c, ok := o.(*dns.EDNS0_COOKIE); ok {
				return c.Cookie
			}
		}
	}
	return ""
}

// Two servers with a secret in common accept each other's cookies, through all three stages of a roll.
func TestCookiesOfOthers(t *testing.T) {
	a, b := newResponder(t), newResponder(t)
	one, two := wire.CookieSecret{1}, wire.CookieSecret{2}
	client := netip.MustParseAddr("2001:db8::7")
	try := func(from, to *Responder, want standing) {
		t.Helper()
		q, _ := readInquiry("dig mail.example.test. A edns=1232")
		q.client = client
		option := &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0102030405060708"}
		q.message.IsEdns0().Option = []dns.EDNS0{option}
		got := cookieOf(ask(t, from.newWorker(udp), q))
		if len(got) != 2*wire.CookieSize || !strings.HasPrefix(got, option.Cookie) {
			t.Fatalf("the cookie is %q", got)
		}
		option.Cookie = got
		w := to.newWorker(udp)
		m := ask(t, w, q)
		if m.Rcode != dns.RcodeSuccess || len(m.Answer) == 0 || w.tally[cookies+int(want)] != 1 {
			t.Errorf("counted otherwise than %d: %v\n%s", want, w.tally[cookies:cookies+4], m)
		}
		if again := cookieOf(m); len(again) != 2*wire.CookieSize {
			t.Errorf("the cookie in return is %q", again)
		}
	}
	try(a, b, imposter) // each has its own secret
	for _, stage := range [][2][]wire.CookieSecret{
		{{one}, {one}},
		{{one, two}, {one}},
		{{one, two}, {one, two}},
		{{two, one}, {one, two}},
		{{two, one}, {two, one}},
		{{two}, {two, one}},
		{{two}, {two}},
	} {
		if err := a.SetCookieSecrets(stage[0]...); err != nil {
			t.Fatal(err)
		}
		if err := b.SetCookieSecrets(stage[1]...); err != nil {
			t.Fatal(err)
		}
		try(a, b, familiar)
		try(b, a, familiar)
	}
	if a.SetCookieSecrets() == nil || a.SetCookieSecrets(make([]wire.CookieSecret, MaxCookieSecrets+1)...) == nil {
		t.Error("no secret, or too many, are taken")
	}
}

// RFC 7873 section 5.4: a query with a cookie alone, which is learnt, confirmed and refused.
func TestCookieWithoutQuestion(t *testing.T) {
	for _, proto := range []Transport{udp, tcp} {
		w := newResponder(t).newWorker(proto)
		m := new(dns.Msg)
		m.Id = 99
		m.SetEdns0(1232, false)
		option := &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0102030405060708"}
		m.IsEdns0().Option = []dns.EDNS0{option}
		q := inquiry{message: m, client: netip.MustParseAddr("192.0.2.1"), proto: proto}
		step := func(code int) string {
			t.Helper()
			r := ask(t, w, q)
			if r.Rcode != code || len(r.Question)+len(r.Answer)+len(r.Ns) > 0 || len(cookieOf(r)) != 2*wire.CookieSize {
				t.Errorf("want %s and a cookie alone:\n%s", dns.RcodeToString[code], r)
			}
			return cookieOf(r)
		}
		good := step(dns.RcodeSuccess)
		option.Cookie = good
		if again := step(dns.RcodeSuccess); again != good {
			t.Errorf("a fresh cookie is not sent back as it is: %s, %s", good, again)
		}
		bad, _ := hex.DecodeString(good)
		bad[20] ^= 1
		option.Cookie = hex.EncodeToString(bad)
		if fresh := step(dns.RcodeBadCookie); fresh != good {
			t.Errorf("a bad cookie is answered with %s, not with %s", fresh, good)
		}
	}
}

// Old cookies are accepted for an hour, and renewed after half of it.
func TestCookieIsRenewed(t *testing.T) {
	w := newResponder(t).newWorker(udp)
	q, _ := readInquiry("dig mail.example.test. A edns=1232")
	option := &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0102030405060708"}
	q.message.IsEdns0().Option = []dns.EDNS0{option}
	first := cookieOf(ask(t, w, q))
	option.Cookie = first
	for _, c := range []struct {
		after uint32
		same  bool
		valid uint64
	}{{1000, true, 1}, {900, false, 2}, {1700, false, 3}, {1, false, 3}} {
		w.now.unix += c.after
		if got := cookieOf(ask(t, w, q)); (got == first) != c.same || w.tally[cookies+int(familiar)] != c.valid {
			t.Errorf("%d s later: the same: %v, valid until now: %d", c.after, got == first,
				w.tally[cookies+int(familiar)])
		}
	}
}

func TestLimitedAllocatesNothing(t *testing.T) {
	w := newResponder(t, limited(1, 2)).newWorker(udp)
	for _, cookie := range []string{"", "0102030405060708", strings.Repeat("01", 24)} {
		m := question("mail.example.test.", dns.TypeA)
		m.SetEdns0(1232, false)
		if cookie != "" {
			m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: cookie}}
		}
		request, _ := m.Pack()
		out := make([]byte, 0, wire.UDPSize)
		client := netip.MustParseAddr("192.0.2.1")
		if n := testing.AllocsPerRun(200, func() { w.Look(); w.answer(request, client, out); w.Flush() }); n != 0 {
			t.Errorf("cookie %q: %v allocations", cookie, n)
		}
	}
}
