package wire

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// set is a record set as snapshots have it: two octets for the owner before each record.
func set(kind uint16, data ...string) []byte {
	var w []byte
	for _, d := range data {
		w = append(w, record("\x00\x00", kind, ClassIN, 300, []byte(d)...)...)
	}
	return w
}

func lines(section []dns.RR) []string {
	var s []string
	for _, r := range section {
		if r.Header().Rrtype != dns.TypeOPT {
			s = append(s, strings.ReplaceAll(r.String(), "\t", " "))
		}
	}
	return s
}

func diff(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// The oracle reads a whole answer, in which the target of an alias owns what follows.
func TestResponse(t *testing.T) {
	q := parsed(t, request(header{flags: 0x0110, qd: 1, ar: 1}, question(www, TypeA), optRecord(1232, 0x8000)))
	var b Builder
	b.Start(make([]byte, 0, 1232), q.Limit(1232), q)
	b.SetAuthoritative(true)
	target := b.Len() + DataOffset
	ok := b.Set(Answer, set(dns.TypeCNAME, "\x03lee\x07example\x04test\x00"), 1, QName) &&
		b.Addresses(Answer, target, 30, []byte{192, 0, 2, 1, 192, 0, 2, 2}, 4) &&
		b.Set(Authority, set(dns.TypeNS, "\x02ns\x07example\x04test\x00", "\x02ns\x00"), 2, QName+4) &&
		b.Addresses(Additional, target, 60, netip.MustParseAddr("2001:db8::1").AsSlice(), 16)
	if !ok {
		t.Fatal("not all went in")
	}
	m := unpacked(t, b.Finish())
	if m.Id != 0xbeef || !m.Response || !m.Authoritative || m.Truncated || !m.RecursionDesired ||
		m.RecursionAvailable || m.CheckingDisabled || m.Rcode != 0 {
		t.Errorf("header: %v", m.MsgHdr)
	}
	diff(t, "question in the case it was asked", []dns.Question{{Name: "wWw.eXample.TEST.", Qtype: 1, Qclass: 1}},
		m.Question)
	diff(t, "answer", []string{
		"wWw.eXample.TEST. 300 IN CNAME lee.example.test.",
		"lee.example.test. 30 IN A 192.0.2.1",
		"lee.example.test. 30 IN A 192.0.2.2",
	}, lines(m.Answer))
	diff(t, "authority", []string{"eXample.TEST. 300 IN NS ns.example.test.", "eXample.TEST. 300 IN NS ns."},
		lines(m.Ns))
	diff(t, "additional", []string{"lee.example.test. 60 IN AAAA 2001:db8::1"}, lines(m.Extra))
	if opt := m.IsEdns0(); opt == nil || opt.UDPSize() != 1232 || !opt.Do() || opt.Version() != 0 ||
		len(opt.Option) != 0 {
		t.Errorf("OPT: %v", opt)
	}
}

func TestHeaderFlags(t *testing.T) {
	for _, test := range []struct {
		what     string
		flags    uint16 // of the request
		aa       bool
		rcode    uint16
		response uint16
	}{
		{"nothing", 0, false, RcodeNoError, 0x8000},
		{"RD is echoed", 0x0100, true, RcodeNoError, 0x8500},
		{"AA, TC, RA, Z, AD, CD and rcode of the request are not", 0x06ff, false, RcodeNXDomain, 0x8003},
		{"the opcode is echoed", 4 << 11, false, RcodeNotImp, 0xa004},
	} {
		var q Query
		q.Parse(request(header{flags: test.flags, qd: 1}, question(www, 1)))
		var b Builder
		b.Start(make([]byte, 512), 512, &q)
		b.SetAuthoritative(test.aa)
		b.SetRcode(test.rcode)
		if got := binary.BigEndian.Uint16(b.Finish()[2:]); got != test.response {
			t.Errorf("%s: flags %04x, want %04x", test.what, got, test.response)
		}
	}
}

// For every verdict there is a reply that a requester can match to its request, with OPT if the request had one (RFC
// 6891 section 7).
func TestReply(t *testing.T) {
	q := question(www, TypeA)
	for _, test := range []struct {
		what     string
		msg      []byte
		rcode    int
		question bool
		edns     bool
	}{
		{"refused", plain(), dns.RcodeRefused, true, false},
		{"refused, with OPT", plain(optRecord(1232, 0)), dns.RcodeRefused, true, true},
		{"no readable question", request(header{qd: 1}, []byte("\xc0\x0c")), dns.RcodeFormatError, false, false},
		{"two questions", request(header{qd: 2}, q, q), dns.RcodeFormatError, false, false},
		{"a bad option", plain(optRecord(1232, 0, option(8))), dns.RcodeFormatError, true, true},
		{"two OPT", plain(optRecord(1232, 0), optRecord(1232, 0)), dns.RcodeFormatError, true, true},
		{"a version to come", plain(optRecord(1232, 1<<16)), dns.RcodeBadVers, true, true},
		{
			"UPDATE with OPT", request(header{flags: 5 << 11, qd: 1, ar: 1}, q, optRecord(1232, 0)),
			dns.RcodeNotImplemented, true, true,
		},
		{"DSO", request(header{flags: 6 << 11}), dns.RcodeNotImplemented, false, false},
	} {
		var query Query
		verdict := query.Parse(test.msg)
		rcode := verdict.Rcode()
		if verdict == OK {
			rcode = RcodeRefused
		}
		var b Builder
		m := unpacked(t, b.Reply(make([]byte, 512), 512, &query, rcode))
		if m.Rcode != test.rcode || m.Id != 0xbeef || len(m.Question) == 1 != test.question ||
			m.IsEdns0() != nil != test.edns {
			t.Errorf("%s: rcode %d, want %d; question %v, want %v; OPT %v, want %v", test.what,
				m.Rcode, test.rcode, len(m.Question) == 1, test.question, m.IsEdns0() != nil, test.edns)
		}
		if opt := m.IsEdns0(); opt != nil && opt.Version() != 0 {
			t.Errorf("%s: OPT says version %d; it is the highest that the server knows (RFC 6891 section 6.1.3)",
				test.what, opt.Version())
		}
	}
}

func TestOptions(t *testing.T) {
	q := parsed(t, plain(optRecord(4096, 0, option(3), option(10, []byte("client..")...), option(11),
		option(8, 0, 1, 20, 0, 198, 51, 0x60))))
	b := Builder{NSID: []byte("ams-1")}
	b.Start(make([]byte, 512), 512, q)
	b.SetScope(24)
	b.SetCookie([]byte("client..server.."))
	b.SetKeepalive(12*time.Second + 340*time.Millisecond)
	b.SetError(ErrorNotReady, "starting")
	b.SetError(ErrorOther, "the first one stays")
	opt := unpacked(t, b.Finish()).IsEdns0()
	if opt == nil {
		t.Fatal("no OPT")
	}
	var got []string
	for _, o := range opt.Option {
		got = append(got, o.String())
	}
	diff(t, "options", []string{
		"198.51.96.0/20/24",
		"616d732d31",
		"636c69656e742e2e7365727665722e2e",
		"use tcp keep-alive",
		"14 (Not Ready): (starting)",
	}, []string{got[0], got[1], got[2], "use tcp keep-alive", got[4]})
	if k, ok := opt.Option[3].(*dns.EDNS0_TCP_KEEPALIVE); !ok || k.Timeout != 123 {
		t.Errorf("keepalive %v, want 123 units of 100 ms", opt.Option[3])
	}
}

func TestScope(t *testing.T) {
	for _, test := range []struct {
		what  string
		ecs   []byte
		scope uint8
		want  []byte
	}{
		{"as set", []byte{0, 1, 24, 0, 192, 0, 2}, 16, []byte{0, 1, 24, 16, 192, 0, 2}},
		{"longer than the source is allowed", []byte{0, 1, 8, 0, 10}, 24, []byte{0, 1, 8, 24, 10}},
		{"cut to the family's length", []byte{0, 1, 24, 0, 192, 0, 2}, 56, []byte{0, 1, 24, 32, 192, 0, 2}},
		{"always 0 for family 0", []byte{0, 0, 0, 0}, 24, []byte{0, 0, 0, 0}},
		{"IPv6", []byte{0, 2, 16, 0, 0x20, 1}, 48, []byte{0, 2, 16, 48, 0x20, 1}},
	} {
		q := parsed(t, plain(optRecord(1232, 0, option(8, test.ecs...))))
		var b Builder
		b.Start(make([]byte, 512), 512, q)
		b.SetScope(test.scope)
		response := b.Finish()
		if !bytes.HasSuffix(response, option(8, test.want...)) {
			t.Errorf("%s: want the response to end in % x, got % x", test.what, option(8, test.want...), response)
		}
	}
}

func TestTruncation(t *testing.T) {
	// The room for records beyond header, question and OPT, in a message of 512 octets.
	room := 512 - HeaderSize - len(question(www, 1)) - optSize
	fill := func(octets int) []byte { return set(65280, strings.Repeat("x", octets-DataOffset)) }
	for _, test := range []struct {
		what            string
		fill            func(b *Builder)
		tc              bool
		an, ns, ar, opt int
	}{
		{"an answer that just fits", func(b *Builder) { b.Set(Answer, fill(room), 1, QName) }, false, 1, 0, 0, 1},
		{"an answer one octet too large leaves question and OPT", func(b *Builder) {
			b.Set(Answer, fill(100), 1, QName)
			b.Set(Answer, fill(room-99), 1, QName)
			b.Set(Authority, fill(20), 1, QName)
			b.Set(Additional, fill(13), 1, QName)
		}, true, 0, 0, 0, 1},
		{"addresses that do not fit", func(b *Builder) {
			b.Addresses(Answer, QName, 1, make([]byte, 4*40), 4)
		}, true, 0, 0, 0, 1},
		{"authority that does not fit", func(b *Builder) {
			b.Set(Answer, fill(100), 1, QName)
			b.Set(Authority, fill(room), 1, QName)
			b.Set(Additional, fill(13), 1, QName)
		}, true, 1, 0, 0, 1},
		{"additional records are left out", func(b *Builder) {
			b.Set(Answer, fill(100), 1, QName)
			b.Set(Additional, fill(room), 1, QName)
			b.Set(Additional, fill(20), 1, QName)
		}, false, 1, 0, 1, 1},
		{"a section that is over stays closed", func(b *Builder) {
			b.Set(Authority, fill(20), 1, QName)
			b.Set(Answer, fill(20), 1, QName)
		}, false, 0, 1, 0, 1},
		{"on purpose", func(b *Builder) {
			b.Set(Answer, fill(20), 1, QName)
			b.Truncate()
		}, true, 0, 0, 0, 1},
	} {
		q := parsed(t, plain(optRecord(512, 0)))
		var b Builder
		b.Start(make([]byte, 4096), q.Limit(1232), q)
		test.fill(&b)
		if b.Truncated() != test.tc {
			t.Errorf("%s: Truncated %v", test.what, b.Truncated())
		}
		response := b.Finish()
		m := unpacked(t, response)
		got := [...]int{len(m.Answer), len(m.Ns), len(lines(m.Extra)), len(m.Extra) - len(lines(m.Extra))}
		if want := [...]int{test.an, test.ns, test.ar, test.opt}; got != want || m.Truncated != test.tc ||
			len(response) > 512 || len(m.Question) != 1 {
			t.Errorf("%s: %v records with TC %v, want %v with %v; %d octets", test.what, got, m.Truncated, want,
				test.tc, len(response))
		}
	}
}

// Options without room are left out. The OPT record itself never is.
func TestOptionsWithoutRoom(t *testing.T) {
	q := parsed(t, plain(optRecord(512, 0)))
	room := 512 - HeaderSize - len(question(www, 1)) - optSize
	for _, test := range []struct {
		left int
		want []string
	}{
		{0, nil},
		{5, nil},
		{6, []string{"18 (Prohibited)"}},
		{8, []string{"18 (Prohibited)"}},
		{9, []string{"18 (Prohibited): (why)"}},
	} {
		var b Builder
		b.Start(make([]byte, 512), 512, q)
		if !b.Set(Answer, set(65280, strings.Repeat("x", room-DataOffset-test.left)), 1, QName) {
			t.Fatal("the answer does not fit")
		}
		b.SetError(ErrorProhibited, "why")
		m := unpacked(t, b.Finish())
		var got []string
		for _, o := range m.IsEdns0().Option {
			got = append(got, strings.TrimSuffix(o.String(), ": ()"))
		}
		if len(m.Answer) != 1 {
			t.Errorf("%d octets left: the answer was lost", test.left)
		}
		diff(t, "options", test.want, got)
	}
}

// A pointer has 14 bits. An owner further into a message over TCP is written in full.
func TestPointerLimit(t *testing.T) {
	const name = "\x03lee\x07example\x04test\x00"
	for _, at := range []int{MaxPointer - 1, MaxPointer, MaxPointer + 1, 40000} {
		q := parsed(t, plain(optRecord(1232, 0)))
		var b Builder
		b.Start(make([]byte, MaxMessage), MaxMessage, q)
		for left := at - DataOffset - b.Len(); left > 0; left = at - DataOffset - b.Len() {
			size := min(left, 20000)
			if left-size > 0 && left-size < DataOffset {
				size -= DataOffset
			}
			b.Set(Answer, set(65280, strings.Repeat("x", size-DataOffset)), 1, QName)
		}
		target := b.Len() + DataOffset
		if target != at {
			t.Fatalf("the name is at %d, want it at %d", target, at)
		}
		before := len(name) + DataOffset
		ok := b.Set(Answer, set(dns.TypeCNAME, name), 1, QName) &&
			b.Set(Answer, set(dns.TypeMX, "\x00\x01\x01a\x00", "\x00\x02\x01b\x00"), 2, target) &&
			b.Addresses(Answer, target, 30, []byte{192, 0, 2, 1, 192, 0, 2, 2}, 4)
		if !ok {
			t.Fatal("not all went in")
		}
		grown := b.Len() - at + DataOffset - before
		pointers := grown == 2*(DataOffset+5)+2*(DataOffset+4)
		if want := at <= MaxPointer; pointers != want {
			t.Errorf("name at %#x: owners as pointers %v, want %v", at, pointers, want)
		}
		answer := lines(unpacked(t, b.Finish()).Answer)
		diff(t, "answer", []string{
			"wWw.eXample.TEST. 300 IN CNAME lee.example.test.",
			"lee.example.test. 300 IN MX 1 a.",
			"lee.example.test. 300 IN MX 2 b.",
			"lee.example.test. 30 IN A 192.0.2.1",
			"lee.example.test. 30 IN A 192.0.2.2",
		}, answer[len(answer)-5:])
	}
}

// A buffer too small for anything gives nothing, or at least a header.
func TestSmallBuffers(t *testing.T) {
	q := parsed(t, plain(optRecord(1232, 0)))
	for size := range 60 {
		var b Builder
		b.Start(make([]byte, size), 512, q)
		b.Set(Answer, set(1, "\x01\x02\x03\x04"), 1, QName)
		switch response := b.Finish(); {
		case size < HeaderSize && response != nil:
			t.Errorf("%d octets: a response of %d", size, len(response))
		case size >= HeaderSize:
			if len(response) > size {
				t.Errorf("%d octets: a response of %d", size, len(response))
			}
			unpacked(t, response)
		}
	}
}

// A set that begins with another record has the same records, and fits exactly when the original set does.
func TestSetFrom(t *testing.T) {
	record := func(last byte) []byte { return []byte{0, 0, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, last} }
	var set []byte
	const count = 5
	for i := range byte(count) {
		set = append(set, record(i)...)
	}
	q := &Query{Question: []byte("\x03www\x04test\x00\x00\x01\x00\x01")}
	for limit := MinUDP; limit >= HeaderSize; limit-- {
		for first := -1; first <= count; first++ {
			for _, section := range []Section{Answer, Additional} {
				for _, owner := range []int{QName, MaxPointer + 1} {
					var plain, turned Builder
					plain.Start(make([]byte, 0, MinUDP), limit, q)
					turned.Start(make([]byte, 0, MinUDP), limit, q)
					if owner > MaxPointer && limit > 200 {
						continue
					}
					in := plain.Set(section, set, count, owner)
					if turned.SetFrom(first, section, set, count, owner) != in {
						t.Fatalf("limit %d, first %d: went in: %v as it is", limit, first, in)
					}
					a, b := plain.Finish(), turned.Finish()
					if len(a) != len(b) || !bytes.Equal(a[:min(len(a), HeaderSize)], b[:min(len(b), HeaderSize)]) {
						t.Fatalf("limit %d, first %d: % x, as it is % x", limit, first, b, a)
					}
					if in && owner == QName && first > 0 && first < count &&
						b[HeaderSize+len(q.Question)+15] != byte(first) {
						t.Fatalf("first %d: % x", first, b)
					}
				}
			}
		}
	}
}
