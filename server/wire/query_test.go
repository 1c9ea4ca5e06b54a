package wire

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestVerdicts(t *testing.T) {
	q := question(www, TypeA)
	long := strings.Repeat("\x3f"+strings.Repeat("a", 63), 3)
	for _, test := range []struct {
		rfc  string
		what string
		msg  []byte
		want Verdict
	}{
		{"1035 4.1.1", "nothing", nil, Drop},
		{"1035 4.1.1", "one octet less than a header", plain()[:11], Drop},
		{"1035 4.1.1", "a response is never responded to", request(header{flags: 0x8000, qd: 1}, q), Drop},
		{"1035 4.1.1", "a query", plain(), OK},
		{
			"1035 4.1.1", "flags that mean nothing in a query (AA, TC, RA, Z) and an rcode",
			request(header{flags: 0x07cf, qd: 1}, q), OK,
		},
		{"1035 4.1.1", "IQUERY", request(header{flags: 1 << 11}), NotImp},
		{"1996", "NOTIFY", request(header{flags: 4 << 11, qd: 1}, question("\x00", 6)), NotImp},
		{"2136", "UPDATE", request(header{flags: 5 << 11, qd: 1}, question("\x00", 6)), NotImp},
		{"8490", "DSO", request(header{flags: 6 << 11}, []byte{0, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0}), NotImp},
		{"9619 4", "no question", request(header{}), FormErr},
		{"9619 4", "no question where one is said to be", request(header{qd: 1}), FormErr},
		{"9619 4", "two questions", request(header{qd: 2}, q, q), FormErr},

		{"1035 3.1", "the root", request(header{qd: 1}, question("\x00", 2)), OK},
		{"1035 3.1", "a name without its end", request(header{qd: 1}, []byte("\x03www\x07exam")), FormErr},
		{"1035 4.1.2", "no QTYPE", request(header{qd: 1}, []byte(www)), FormErr},
		{"1035 4.1.2", "half a QCLASS", request(header{qd: 1}, q[:len(q)-1]), FormErr},
		{
			"1035 2.3.4", "a name of 255 octets",
			request(header{qd: 1}, question(long+"\x3d"+strings.Repeat("b", 61)+"\x00", 1)), OK,
		},
		{
			"1035 2.3.4", "a name of 256 octets",
			request(header{qd: 1}, question(long+"\x3e"+strings.Repeat("b", 62)+"\x00", 1)), FormErr,
		},
		{"1035 2.3.4", "127 labels", request(header{qd: 1}, question(strings.Repeat("\x01a", 127)+"\x00", 1)), OK},
		{"1035 2.3.4", "128 labels", request(header{qd: 1}, question(strings.Repeat("\x01a", 128)+"\x00", 1)), FormErr},
		{"1035 4.1.4", "a compression pointer to itself", request(header{qd: 1}, question("\xc0\x0c", 1)), FormErr},
		{
			"1035 4.1.4", "a compression pointer after a label", request(header{qd: 1}, question("\x01a\xc0\x0c", 1)),
			FormErr,
		},
		{"6891 5", "a bit-string label", request(header{qd: 1}, question("\x41\x08\xff\x00", 1)), FormErr},
		{"6891 5", "a label of the fourth kind", request(header{qd: 1}, question("\x81a\x00", 1)), FormErr},

		{"1035 4.1", "what follows the last record does not matter", append(plain(), "garbage"...), OK},
		{
			"1035 4.1", "records in answer and authority",
			request(header{qd: 1, an: 1, ns: 1}, q, record("\xc0\x0c", 1, 1, 0, 1, 2, 3, 4),
				record("\x00", 2, 1, 0, 0)), OK,
		},
		{
			"1035 4.1", "an additional record of a type that nobody knows", plain(record("\x01a\x00", 65280, 1, 0, 1)),
			OK,
		},
		{"1035 4.1", "a record that is said to be there and is not", request(header{qd: 1, an: 1}, q), FormErr},
		{"1035 4.1", "65535 of them", request(header{qd: 1, ar: 65535}, q), FormErr},
		{"1035 4.1.3", "a record cut in its header", request(header{qd: 1, ar: 1}, q, optRecord(1232, 0)[:9]), FormErr},
		{
			"1035 4.1.3", "RDLENGTH beyond the message",
			request(header{qd: 1, ar: 1}, q, []byte("\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x01")), FormErr,
		},
		{"1035 4.1.3", "an owner that does not end", request(header{qd: 1, ar: 1}, q, []byte("\x3f")), FormErr},
		{"1035 4.1.3", "half a compression pointer", request(header{qd: 1, ar: 1}, q, []byte("\xc0")), FormErr},

		{"6891 6.1.1", "one OPT", plain(optRecord(1232, 0)), OK},
		{"6891 6.1.1", "two OPT", plain(optRecord(1232, 0), optRecord(1232, 0)), FormErr},
		{"6891 6.1.1", "OPT after another record", plain(record("\x00", 65280, 1, 0), optRecord(1232, 0)), OK},
		{"6891 6.1.1", "OPT in the answer section", request(header{qd: 1, an: 1}, q, optRecord(1232, 0)), FormErr},
		{"6891 6.1.1", "OPT in the authority section", request(header{qd: 1, ns: 1}, q, optRecord(1232, 0)), FormErr},
		{"6891 6.1.2", "OPT with an owner", plain(record("\x01a\x00", TypeOPT, 1232, 0)), FormErr},
		{"6891 6.1.2", "OPT with a pointer as its owner", plain(record("\xc0\x1d", TypeOPT, 1232, 0)), FormErr},
		{"6891 6.1.2", "an option that nobody knows", plain(optRecord(1232, 0, option(65001, 1, 2, 3))), OK},
		{"6891 6.1.2", "an option cut in its header", plain(optRecord(1232, 0, []byte{0, 3, 0})), FormErr},
		{"6891 6.1.2", "an option longer than the record", plain(optRecord(1232, 0, []byte{0, 3, 0, 1})), FormErr},
		{"6891 6.1.3", "version 1", plain(optRecord(1232, 1<<16)), BadVers},
		{"6891 6.1.3", "version 255, whatever its options", plain(optRecord(1232, 255<<16, []byte{0})), BadVers},
		{
			"6891 6.1.3", "version 1 in a message that is not well-formed",
			request(header{qd: 1, ar: 2}, q, optRecord(1232, 1<<16)), FormErr,
		},
		{"6891 6.1.4", "flags that are not defined", plain(optRecord(1232, 0x7fff)), OK},

		{"7871 6", "ECS 192.0.2.0/24", plain(optRecord(1232, 0, option(8, 0, 1, 24, 0, 192, 0, 2))), OK},
		{"7871 6", "ECS 2001:db8::/32", plain(optRecord(1232, 0, option(8, 0, 2, 32, 0, 0x20, 1, 0xd, 0xb8))), OK},
		{
			"7871 6", "ECS of a length that is no multiple of 8",
			plain(optRecord(1232, 0, option(8, 0, 1, 20, 0, 192, 0, 0x20))), OK,
		},
		{"7871 6", "ECS IPv4 /0", plain(optRecord(1232, 0, option(8, 0, 1, 0, 0))), OK},
		{"7871 6", "ECS IPv4 /32", plain(optRecord(1232, 0, option(8, 0, 1, 32, 0, 192, 0, 2, 1))), OK},
		{"7871 6", "ECS IPv4 /33", plain(optRecord(1232, 0, option(8, 0, 1, 33, 0, 192, 0, 2, 1, 0))), FormErr},
		{"7871 6", "ECS IPv6 /129", plain(optRecord(1232, 0,
			option(8, append([]byte{0, 2, 129, 0}, make([]byte, 17)...)...))), FormErr},
		{"7871 6", "ECS family 0, source 0", plain(optRecord(1232, 0, option(8, 0, 0, 0, 0))), OK},
		{"7871 6", "ECS family 0, source 8", plain(optRecord(1232, 0, option(8, 0, 0, 8, 0, 10))), FormErr},
		{"7871 6", "ECS family 3", plain(optRecord(1232, 0, option(8, 0, 3, 0, 0))), FormErr},
		{"7871 6", "ECS cut", plain(optRecord(1232, 0, option(8, 0, 1, 0))), FormErr},
		{"7871 6", "ECS empty", plain(optRecord(1232, 0, option(8))), FormErr},
		{"7871 6", "ECS with too few octets", plain(optRecord(1232, 0, option(8, 0, 1, 24, 0, 192, 0))), FormErr},
		{
			"7871 6", "ECS with too many octets", plain(optRecord(1232, 0, option(8, 0, 1, 24, 0, 192, 0, 2, 0))),
			FormErr,
		},
		{
			"7871 6", "ECS with a bit set after the source prefix",
			plain(optRecord(1232, 0, option(8, 0, 1, 20, 0, 192, 0, 0x21))), FormErr,
		},
		{"7871 6", "ECS with a scope", plain(optRecord(1232, 0, option(8, 0, 1, 24, 24, 192, 0, 2))), FormErr},
		{
			"7871 6", "a second ECS that is not well-formed",
			plain(optRecord(1232, 0, option(8, 0, 1, 0, 0), option(8))),
			FormErr,
		},

		{"7873 5.2.2", "a client cookie", plain(optRecord(1232, 0, option(10, make([]byte, 8)...))), OK},
		{"7873 5.2.2", "both cookies, shortest", plain(optRecord(1232, 0, option(10, make([]byte, 16)...))), OK},
		{"7873 5.2.2", "both cookies, longest", plain(optRecord(1232, 0, option(10, make([]byte, 40)...))), OK},
		{
			"7873 5.4", "a cookie without a question",
			request(header{ar: 1}, optRecord(1232, 0, option(10, make([]byte, 8)...))), Bare,
		},
		{
			"7873 5.4", "a bad cookie without a question",
			request(header{ar: 1}, optRecord(1232, 0, option(10, make([]byte, 9)...))), FormErr,
		},
		{"7873 5.4", "neither a cookie nor a question", request(header{ar: 1}, optRecord(1232, 0)), FormErr},
		{"7873 5.2.2", "no cookie in it", plain(optRecord(1232, 0, option(10))), FormErr},
		{
			"7873 5.2.2", "a server cookie of 7 octets", plain(optRecord(1232, 0, option(10, make([]byte, 15)...))),
			FormErr,
		},
		{
			"7873 5.2.2", "a server cookie of 33 octets", plain(optRecord(1232, 0, option(10, make([]byte, 41)...))),
			FormErr,
		},
		{"7828 3.1", "keepalive", plain(optRecord(1232, 0, option(11))), OK},
		{"7828 3.1", "keepalive of one octet", plain(optRecord(1232, 0, option(11, 1))), OK},
		{"8945 5.1", "TSIG at the end", plain(optRecord(1232, 0), record("\x01k\x00", TypeTSIG, ClassANY, 0)), OK},
		{
			"8945 5.1", "TSIG before another record",
			plain(record("\x01k\x00", TypeTSIG, ClassANY, 0), optRecord(1232, 0)), FormErr,
		},
		{
			"8945 5.1", "TSIG in the answer section",
			request(header{qd: 1, an: 1}, q, record("\x01k\x00", TypeTSIG, ClassANY, 0)), FormErr,
		},
	} {
		if got := new(Query).Parse(test.msg); got != test.want {
			t.Errorf("RFC %s: %s: %v, want %v", test.rfc, test.what, got, test.want)
		}
	}
}

func TestQuestion(t *testing.T) {
	q := parsed(t, request(header{flags: 0x0130, qd: 1}, question(www, 28)))
	if got, want := string(q.Name()), strings.ToLower(www); got != want {
		t.Errorf("Name %q, want %q in lower case", got, want)
	}
	if got, want := string(q.Question), string(question(www, 28)); got != want {
		t.Errorf("Question %q, want %q as sent", got, want)
	}
	if got, want := q.Labels(), []uint8{0, 4, 12}; !slices.Equal(got, want) {
		t.Errorf("Labels %v, want %v", got, want)
	}
	if q.ID != 0xbeef || !q.RD || !q.CD || !q.AD || q.Type != 28 || q.Class != 1 || q.Opcode != 0 {
		t.Errorf("header or question read wrongly: %+v", q)
	}
	if root := parsed(t, request(header{qd: 1}, question("\x00", 2))); string(root.Name()) != "\x00" ||
		len(root.Labels()) != 0 {
		t.Errorf("the root: name %q, labels %v", root.Name(), root.Labels())
	}
}

// Every octet except A to Z stays as it is, anywhere in the name.
func TestLower(t *testing.T) {
	for shift := range 9 {
		src := make([]byte, 256+shift)
		for i := range 256 {
			src[shift+i] = byte(i)
		}
		dst := make([]byte, len(src))
		lower(dst, src)
		for i, c := range src {
			want := c
			if 'A' <= c && c <= 'Z' {
				want = c - 'A' + 'a'
			}
			if dst[i] != want {
				t.Fatalf("lower at shift %d: octet %#x became %#x, want %#x", shift, c, dst[i], want)
			}
		}
	}
}

func TestEDNS(t *testing.T) {
	q := parsed(t, plain())
	if q.EDNS || q.UDPSize != 512 || q.Limit(1232) != 512 {
		t.Errorf("without OPT: EDNS %v, size %d, limit %d", q.EDNS, q.UDPSize, q.Limit(1232))
	}
	for _, test := range []struct{ says, size, limit int }{
		{0, 512, 512}, {511, 512, 512}, {1000, 1000, 1000}, {1232, 1232, 1232}, {65535, 65535, 1232},
	} {
		q := parsed(t, plain(optRecord(uint16(test.says), 0)))
		if !q.EDNS || int(q.UDPSize) != test.size || q.Limit(1232) != test.limit || q.DO {
			t.Errorf("OPT says %d: size %d, want %d; limit %d, want %d", test.says, q.UDPSize, test.size, q.Limit(1232),
				test.limit)
		}
	}

	cookie := []byte{1, 2, 3, 4, 5, 6, 7, 8}
	msg := plain(optRecord(4096, 0x8000,
		option(3), option(10, cookie...), option(10, make([]byte, 16)...), option(11), option(12, 0, 0, 0),
		option(8, 0, 1, 20, 0, 198, 51, 0x60), option(8, 0, 0, 0, 0)))
	q = parsed(t, msg)
	if !q.DO || !q.NSID || !q.Keepalive || !slices.Equal(q.Cookie, cookie) {
		t.Errorf("DO %v, NSID %v, keepalive %v, cookie % x", q.DO, q.NSID, q.Keepalive, q.Cookie)
	}
	want := ClientSubnet{
		Present: true, Family: 1, Source: 20, Addr: netip.MustParseAddr("198.51.96.0"),
		Raw: []byte{0, 1, 20, 0, 198, 51, 0x60},
	}
	if d := cmp.Diff(want, q.ECS, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
		t.Errorf("the first client subnet counts (-want +got):\n%s", d)
	}
	if q = parsed(t, plain(optRecord(1232, 0,
		option(8, 0, 2, 56, 0, 0x20, 1, 0xd, 0xb8, 0, 1, 2)))); q.ECS.Addr != netip.MustParseAddr("2001:db8:1:200::") {
		t.Errorf("IPv6 client subnet: %v", q.ECS.Addr)
	}
	if q = parsed(t, plain(optRecord(1232, 0, option(8, 0, 0, 0, 0)))); !q.ECS.Present || q.ECS.Addr.IsValid() {
		t.Errorf("family 0: %+v, want present without an address", q.ECS)
	}
	tsig := plain(optRecord(1232, 0), record("\x01k\x00", TypeTSIG, ClassANY, 0))
	if q = parsed(t, tsig); q.TSIG != len(plain(optRecord(1232, 0))) {
		t.Errorf("TSIG at %d", q.TSIG)
	}
}

// A reused Query keeps nothing of what it held before.
func TestQueryReuse(t *testing.T) {
	q := parsed(t, plain(optRecord(4096, 0x8000, option(3), option(11), option(10, make([]byte, 8)...),
		option(8, 0, 1, 0, 0)),
		record("\x00", TypeTSIG, 255, 0)))
	msg := request(header{qd: 1}, question("\x00", 2))
	if v := q.Parse(msg); v != OK {
		t.Fatal(v)
	}
	fresh := parsed(t, msg)
	fresh.name, fresh.labels = q.name, q.labels // beyond size and count they are leftovers
	if d := cmp.Diff(fresh, q, cmp.AllowUnexported(Query{}), cmp.Comparer(func(a, b netip.Addr) bool {
		return a == b
	})); d != "" {
		t.Errorf("used again (-fresh +used):\n%s", d)
	}
	if q.Parse(request(header{qd: 1})) != FormErr || len(q.Name()) != 0 || q.Question != nil {
		t.Errorf("an unreadable question leaves %q", q.Name())
	}
}
