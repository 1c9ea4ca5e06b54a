package rr

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"
)

// oracleData returns the RDATA of a record as miekg/dns makes it.
func oracleData(record dns.RR) ([]byte, error) {
	buf := make([]byte, 1<<16+512)
	record.Header().Name = "."
	end, err := dns.PackRR(record, buf, 0, nil, false)
	if err != nil {
		return nil, err
	}
	return buf[11:end], nil
}

// samples are RDATA in presentation form, relative to example.test.
var samples = []struct{ kind, text string }{
	{"A", "192.0.2.1"},
	{"AAAA", "2001:db8::1"},
	{"AAAA", "::ffff:192.0.2.1"},
	{"NS", "ns1"},
	{"NS", "Ns1.Other.TEST."},
	{"CNAME", "@"},
	{"CNAME", `a\.b.c\032d`},
	{"PTR", "host.example.test."},
	{"DNAME", "."},
	{"MX", "10 mail"},
	{"MX", "0 ."},
	{"SOA", "ns1 hostmaster 1 3600 900 1209600 30"},
	{"TXT", `"v=spf1 -all"`},
	{"TXT", `one two "three four" "" "; \" \\ \000 \255"`},
	{"TXT", `"` + strings.Repeat("x", 255) + `"`},
	{"SRV", "0 5 5060 sip"},
	{"CAA", `0 issue "ca.test; account=1"`},
	{"CAA", `128 iodef "mailto:a@b.test"`},
	{"NAPTR", `100 10 "u" "E2U+sip" "!^.*$!sip:info@example.test!" .`},
	{"SSHFP", "4 2 123456789abcdef67890123456789abcdef67890123456789abcdef123456789"},
	{"TLSA", "3 1 1 d2abde240d7cd3ee6b4b28c54df034b97983a1d16e8a410e4561cb106618e971"},
	{"DS", "60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118"},
	{"DNSKEY", "257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ=="},
	{"SVCB", "0 svc"},
	{"SVCB", `1 . alpn="h2,h3" port=8443 ipv4hint=192.0.2.1 ipv6hint=2001:db8::1`},
	{"HTTPS", `16 foo mandatory="alpn,ipv4hint" alpn="h2" ipv4hint=192.0.2.1`},
	{"HINFO", `"ANY" "RFC8482"`},
	{"LOC", "52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m"},
	{"URI", `10 1 "https://www.example.test/path"`},
	{"AFSDB", "1 afs"},
	{"NSEC", "next A MX RRSIG NSEC TYPE1234"},
	{"CDS", "0 0 0 00"},
	{"RP", "mbox txt"},
	{"TYPE65280", `\# 3 010203`},
	{"TYPE65280", `\# 0`},
	{"A", `\# 4 C0000201`},
	{"MX", `\# 8 000A 04 6d61696c 00`},
	{"TXT", "( one ; comments are for those below\n two )"},
}

// ParseData reads what the oracle reads, and it reads back the same octets from what FormatData prints.
func TestData(t *testing.T) {
	origin := name(t, "example.test")
	for _, s := range samples {
		kind, err := ParseType(s.kind)
		if err != nil {
			t.Error(err)
			continue
		}
		text := s.text
		if strings.Contains(text, "; comments") {
			text = "( one\n two )" // TestDataRefused has the comment
		}
		data, err := ParseData(kind, text, origin)
		if err != nil {
			t.Errorf("%s %s: %v", s.kind, s.text, err)
			continue
		}
		parser := dns.NewZoneParser(strings.NewReader("x 1 IN "+s.kind+" "+s.text+"\n"), "example.test.", "")
		record, ok := parser.Next()
		if !ok {
			t.Errorf("%s %s: the oracle does not read it: %v", s.kind, s.text, parser.Err())
			continue
		}
		want, err := oracleData(record)
		if err != nil || !bytes.Equal(data, want) {
			t.Errorf("%s %s:\n got % x\nwant % x (%v)", s.kind, s.text, data, want, err)
		}
		if err := Check(kind, data); err != nil {
			t.Errorf("%s %s: Check: %v", s.kind, s.text, err)
		}
		printed, err := FormatData(kind, data)
		if err != nil {
			t.Errorf("%s %s: %v", s.kind, s.text, err)
			continue
		}
		if again, err := ParseData(kind, printed, ""); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%s %s prints as %s, which is read as % x, %v", s.kind, s.text, printed, again, err)
		}
		if strings.HasPrefix(printed, `\#`) != strings.HasPrefix(s.kind, "TYPE") {
			t.Errorf("%s %s prints as %s", s.kind, s.text, printed)
		}
	}
}

func TestDataKeepsCase(t *testing.T) {
	data, err := ParseData(TypeNS, "Ns1.Other.TEST.", "")
	if err != nil || string(data) != "\x03Ns1\x05Other\x04TEST\x00" {
		t.Errorf("got %q, %v", data, err)
	}
	text, err := FormatData(TypeNS, data)
	if err != nil || text != "Ns1.Other.TEST." {
		t.Errorf("printed as %q, %v", text, err)
	}
}

func TestDataRefused(t *testing.T) {
	for _, test := range []struct{ kind, text, want string }{
		{"A", "192.0.2.256", `A data "192.0.2.256": not an IPv4 address`},
		{"A", "2001:db8::1", `A data "2001:db8::1": not an IPv4 address`},
		{"AAAA", "192.0.2.1", `AAAA data "192.0.2.1": not an IPv6 address`},
		{"AAAA", "fe80::1%eth0", `AAAA data "fe80::1%eth0": not an IPv6 address`},
		{"A", "", "A: no data"},
		{"TXT", "", "TXT: no data"},
		{"MX", "mail", `MX data "mail": bad MX Pref`},
		{"MX", "10", `MX data "10": bad MX Mx`},
		{"MX", "10 mail", `no origin here, so names must end in a dot`},
		{"NS", "ns1", `name "ns1": relative, and there is no origin here; end it with a dot`},
		{"NS", "a. b.", `NS data "a. b."`},
		{
			"TXT", "v=DKIM1; k=rsa",
			`TXT data "v=DKIM1; k=rsa": ";" outside of quotes; put the text in quotes, or write \;`,
		},
		{"TXT", `"open`, "a quote is left open"},
		{"TXT", `( "a"`, "a parenthesis is left open"},
		{"TXT", `"a" )`, `")" without its "("`},
		{"TXT", "a\n$INCLUDE /etc/passwd", "more than one line"},
		{"A", "192.0.2.1\n192.0.2.2", "more than one line"},
		{"SOA", "ns1. hostmaster. 1 2 3", `5 fields, and it takes 7`},
		{"DS", "60485 13 2", `3 fields, and it takes 4`},
		{"TLSA", "3 1 1", `3 fields, and it takes 4`},
		{"CAA", "issue ca.test", `CAA data "issue ca.test": bad CAA Flag`},
		{"TYPE65280", "1 2 3", `write it as \# LENGTH HEX (RFC 3597)`},
		{"TYPE65280", `\#`, `after \# comes the number of octets`},
		{"TYPE65280", `\# x`, `length "x" after \#`},
		{"TYPE65280", `\# 65536`, `length "65536" after \#`},
		{"TYPE65280", `\# 2 01`, `it says 2 octets, and has 1`},
		{"TYPE65280", `\# 1 0g`, "invalid byte"},
		{"A", `\# 3 010203`, "not well-formed"},
		{"A", `\# 5 0102030405`, "not well-formed"},
		{"A", `\# 0`, "no data"},
		{"MX", `\# 6 000A 0161 C000`, "compressed"},
		{"MX", `\# 4 000A C000`, "compressed"},
		{"OPT", `\# 0`, "it exists in queries only"},
		{"ANY", `x`, "it exists in queries only"},
		{"TYPE128", `\# 0`, "it exists in queries only"},
	} {
		kind, err := ParseType(test.kind)
		if err != nil {
			t.Fatal(err)
		}
		data, err := ParseData(kind, test.text, "")
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s %s: % x, %v; want an error with %s", test.kind, test.text, data, err, test.want)
		}
	}
}

// Whatever octets a zone holds, if they are RDATA of the type, they come back from their text.
func TestFormatDataRoundTrip(t *testing.T) {
	kinds := []Type{
		TypeA, TypeNS, TypeSOA, TypeMX, TypeTXT, TypeAAAA, TypeSRV, TypeNAPTR, TypeDS, TypeCAA, TypeSVCB, TypeHTTPS,
		TypeURI,
		TypeTLSA, TypeHINFO, TypeNSEC, 65280, 29 /* LOC */, 42 /* APL */, 45 /* IPSECKEY */, 55, /* HIP */
	}
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom(kinds).Draw(t, "type")
		data := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "data")
		if rapid.Bool().Draw(t, "name") {
			data = append(data[:min(len(data), 6)], anyName(t)...)
		}
		if Check(kind, data) != nil {
			return
		}
		text, err := FormatData(kind, data)
		if err != nil {
			t.Fatalf("%s % x: %v", kind, data, err)
		}
		if again, err := ParseData(kind, text, ""); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%s % x prints as %s, which is read as % x, %v", kind, data, text, again, err)
		}
	})
}

// The reader by hand agrees with the grammar.
func TestSimpleDataAsOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var kind Type
		var text string
		if rapid.Bool().Draw(t, "address") {
			octets := rapid.SliceOfN(rapid.OneOf(rapid.Just(byte(0)), rapid.Byte()), 16, 16).Draw(t, "octets")
			addr, _ := netip.AddrFromSlice(octets)
			if kind, text = TypeAAAA, addr.String(); rapid.Bool().Draw(t, "v4") {
				addr = netip.AddrFrom4([4]byte(octets))
				kind, text = TypeA, addr.String()
			}
			if rapid.Bool().Draw(t, "expanded") {
				text = addr.StringExpanded()
			}
		} else {
			kind = rapid.SampledFrom([]Type{TypeNS, TypeCNAME, TypePTR, TypeDNAME}).Draw(t, "type")
			text = anyName(t).String()
			if rapid.Bool().Draw(t, "upper") && strings.IndexByte(text, '\\') < 0 {
				text = strings.ToUpper(text)
			}
			if rapid.Bool().Draw(t, "final dot") && text != "." {
				text += "."
			}
		}
		data, err := ParseData(kind, text, "\x04test\x00")
		parser := dns.NewZoneParser(strings.NewReader(". 1 IN "+kind.String()+" "+text+"\n"), "test.", "")
		record, ok := parser.Next()
		if !ok {
			if err == nil && len(data) <= 250 { // the oracle counts relative names near the limit in another way
				t.Fatalf("%s %s: % x; the oracle: %v", kind, text, data, parser.Err())
			}
			return
		}
		want, packErr := oracleData(record)
		if (err == nil) != (packErr == nil) || err == nil && !bytes.Equal(data, want) {
			t.Fatalf("%s %s: % x, %v; the oracle has % x, %v", kind, text, data, err, want, packErr)
		}
	})
}

func TestTypes(t *testing.T) {
	for text, want := range map[string]Type{
		"A": 1, "a": 1, "aaaa": 28, "MX": 15, "TYPE65280": 65280, "type1": 1,
		"HTTPS": 65, "TYPE65535": 65535,
	} {
		if got, err := ParseType(text); err != nil || got != want {
			t.Errorf("ParseType(%q) = %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "B", "TYPE", "TYPE65536", "TYPE-1", "TYPE+1", "TYPE0", "None", "Reserved", "IN"} {
		if got, err := ParseType(text); err == nil {
			t.Errorf("ParseType(%q) = %d", text, got)
		}
	}
	for i := range 1 << 16 {
		if got, err := ParseType(Type(i).String()); i > 0 && i < 1<<16-1 && (err != nil || int(got) != i) {
			t.Errorf("type %d prints as %s, which is read as %d, %v", i, Type(i), got, err)
		}
	}
}

// TestCutShort: RDATA that ends within its fixed fields or names is refused. A hostile primary could send it.
func TestCutShort(t *testing.T) {
	for _, c := range []struct {
		typ, text string
		fixed     int // octets that must be there
	}{
		{"A", "192.0.2.1", 4},
		{"AAAA", "2001:db8::1", 16},
		{"NS", "a.b.", 5},
		{"SOA", "a. b. 1 2 3 4 5", 26},
		{"MX", "10 a.", 5},
		{"SRV", "1 2 3 a.", 9},
		{"NAPTR", `1 2 "" "" "" a.`, 10},
		{"RP", "a. b.", 6},
		{"AFSDB", "1 a.", 5},
		{"CAA", `0 issue "a"`, 7},
		{"SVCB", "1 a.", 5},
		{"HTTPS", "1 a.", 5},
		{"DS", "1 13 2 " + strings.Repeat("ab", 32), 4},
		{"CDS", "0 0 0 00", 4},
		{"DNSKEY", "257 3 15 AQID", 4},
		{"CDNSKEY", "0 3 0 AA==", 4},
		{"RRSIG", "A 13 2 60 20300101000000 20200101000000 7 a. AQID", 21},
		{"NSEC", "a. A", 3},
		{"NSEC3", "1 0 0 aabb 0p9mhaveqvm6t7vbl5lop2u3t2rp3tom A", 28},
		{"NSEC3PARAM", "1 0 0 aabb", 7},
		{"TLSA", "3 1 1 aabb", 3},
		{"SSHFP", "4 2 aabb", 2},
		{"CERT", "1 2 3 AQID", 5},
		{"URI", `1 2 "a"`, 4},
		{"LOC", "52 0 0 N 4 0 0 E 1m", 16},
		{"EUI48", "00-11-22-33-44-55", 6},
		{"ZONEMD", "1 1 1 " + strings.Repeat("ab", 48), 6},
	} {
		typ, err := ParseType(c.typ)
		if err != nil {
			t.Fatal(err)
		}
		data, err := ParseData(typ, c.text, Root)
		if err != nil {
			t.Errorf("%s %s: %v", c.typ, c.text, err)
			continue
		}
		for n := range data {
			if err := Check(typ, data[:n]); n < c.fixed && err == nil {
				t.Errorf("%s: %d octets of %x are taken", c.typ, n, data)
			}
		}
		if err := Check(typ, data); err != nil {
			t.Errorf("%s %x: %v", c.typ, data, err)
		}
	}
}

func FuzzParseData(f *testing.F) {
	for _, s := range samples {
		kind, _ := ParseType(s.kind)
		f.Add(uint16(kind), s.text)
	}
	f.Add(uint16(TypeTXT), "a ; b")
	f.Add(uint16(TypeTXT), "( a\n b )")
	f.Fuzz(func(t *testing.T, number uint16, text string) {
		kind := Type(number)
		data, err := ParseData(kind, text, "\x04test\x00")
		if err != nil {
			return
		}
		if err := Check(kind, data); err != nil {
			t.Fatalf("%s %q: read as % x, and Check says %v", kind, text, data, err)
		}
		printed, err := FormatData(kind, data)
		if err != nil {
			t.Fatalf("%s %q: read as % x, which has no text: %v", kind, text, data, err)
		}
		if again, err := ParseData(kind, printed, ""); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%s %q prints as %q, which is read as % x, %v; want % x", kind, text, printed, again, err, data)
		}
		// The oracle does not check what it leaves out, so only what it reads whole is compared.
		if strings.ContainsAny(text, "\n\r(") || slices.Contains(strings.Fields(text), `\#`) {
			return
		}
		parser := dns.NewZoneParser(strings.NewReader(fmt.Sprintf(". 1 IN TYPE%d %s\n", number,
			strings.Trim(text, " \t"))), "test.", "")
		record, ok := parser.Next()
		if !ok {
			return
		}
		if want, err := oracleData(record); err != nil || !bytes.Equal(data, want) {
			t.Fatalf("%s %q: % x; the oracle has % x, %v", kind, text, data, want, err)
		}
	})
}

func BenchmarkParseData(b *testing.B) {
	for _, bench := range []struct {
		kind Type
		text string
	}{
		{TypeA, "192.0.2.1"},
		{TypeAAAA, "2001:db8::1"},
		{TypeCNAME, "www.example.test."},
		{TypeMX, "10 mail.example.test."},
		{TypeTXT, `"v=spf1 -all"`},
	} {
		b.Run(bench.kind.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseData(bench.kind, bench.text, ""); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
