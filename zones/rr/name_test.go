package rr

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"
)

func name(t testing.TB, s string) Name {
	t.Helper()
	n, err := ParseName(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// anyName draws a name of any octets at all.
func anyName(t *rapid.T) Name {
	octet := rapid.OneOf(rapid.ByteRange('a', 'z'), rapid.Byte())
	labels := rapid.SliceOfN(rapid.SliceOfN(octet, 1, 20), 0, 12).Draw(t, "labels")
	n := Root
	for _, l := range labels {
		if len(n)+len(l)+1 <= MaxName {
			n = Name([]byte{byte(len(l))}) + Name(fold(l)) + n
		}
	}
	return n
}

// fold returns the octets with A to Z in lower case; in a name those are letters only.
func fold(l []byte) []byte {
	l = slices.Clone(l)
	for i, c := range l {
		if 'A' <= c && c <= 'Z' {
			l[i] = c + 'a' - 'A'
		}
	}
	return l
}

func TestParseName(t *testing.T) {
	long := strings.Repeat(strings.Repeat("a", 63)+".", 3)
	for _, test := range []struct {
		text string
		want Name
	}{
		{"www.example.test", "\x03www\x07example\x04test\x00"},
		{"www.example.test.", "\x03www\x07example\x04test\x00"},
		{"WWW.Example.TEST", "\x03www\x07example\x04test\x00"},
		{".", "\x00"},
		{"*.a", "\x01*\x01a\x00"},
		{`a\.b.c`, "\x03a.b\x01c\x00"},
		{`\065\.\\\032`, "\x04a.\\ \x00"},
		{`\000.\255`, "\x01\x00\x01\xff\x00"},
		{"_sip._tcp.a", "\x04_sip\x04_tcp\x01a\x00"},
		{"a@b", "\x03a@b\x00"},
		{
			long + strings.Repeat("b", 61),
			Name(strings.Repeat("\x3f"+strings.Repeat("a", 63), 3) + "\x3d" + strings.Repeat("b", 61) + "\x00"),
		},
	} {
		if got, err := ParseName(test.text); err != nil || got != test.want {
			t.Errorf("ParseName(%q) = %q, %v; want %q", test.text, got, err, test.want)
		}
	}
	for text, want := range map[string]string{
		"":                               `name "": empty; the root is written "."`,
		"@":                              `name "@": there is no origin here; write the name in full`,
		"a..b":                           `name "a..b": it has an empty label; take out the extra dot`,
		".a":                             `name ".a": it has an empty label; take out the extra dot`,
		"..":                             `name "..": it has an empty label; take out the extra dot`,
		`a\`:                             `name "a\\": \ must be followed by a character or by three digits up to 255`,
		`a\25`:                           `name "a\\25": \ must be followed by a character or by three digits up to 255`,
		`a\256`:                          `name "a\\256": \ must be followed by a character or by three digits up to 255`,
		"a b":                            `name "a b": character ' '; if it is meant to be in the name, write it as \032`,
		"bücher.test":                    `name "bücher.test": character outside of ASCII; write internationalised labels in their xn-- form`,
		strings.Repeat("a", 64):          `name "` + strings.Repeat("a", 64) + `": a label is longer than 63 octets`,
		long + strings.Repeat("b", 62):   `name "` + long + strings.Repeat("b", 62) + `": longer than 255 octets`,
		long + strings.Repeat("b.", 100): `name "` + long + strings.Repeat("b.", 100) + `": longer than 255 octets`,
	} {
		if got, err := ParseName(text); err == nil || err.Error() != want {
			t.Errorf("ParseName(%q) = %q, %v; want the error %s", text, got, err, want)
		}
	}
}

func TestParseRelative(t *testing.T) {
	origin := name(t, "example.test")
	for text, want := range map[string]string{
		"@": "example.test", "www": "www.example.test", "www.": "www", "a.b": "a.b.example.test", ".": ".",
	} {
		if got, err := ParseRelative(text, origin); err != nil || got.String() != want {
			t.Errorf("ParseRelative(%q) = %s, %v; want %s", text, got, err, want)
		}
	}
	if _, err := ParseRelative("www", ""); err == nil || !strings.Contains(err.Error(), "end it with a dot") {
		t.Errorf("relative without an origin: %v", err)
	}
	if _, err := ParseRelative("@", ""); err == nil {
		t.Error("@ without an origin is not an error")
	}
	if _, err := ParseRelative(strings.Repeat("abc.", 61)+"abc", origin); err == nil ||
		!strings.Contains(err.Error(), "with its origin") {
		t.Errorf("too long with the origin: %v", err)
	}
}

// Any name is printed in a form that we and the oracle read back.
func TestNameRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := anyName(t)
		if again, err := ParseName(n.String()); err != nil || again != n {
			t.Fatalf("%q prints as %s, which is read as %q, %v", n, n, again, err)
		}
		buf := make([]byte, MaxName+1)
		end, err := dns.PackDomainName(dns.Fqdn(n.String()), buf, 0, nil, false)
		if n == Root {
			end, err = dns.PackDomainName(".", buf, 0, nil, false)
		}
		if err != nil || string(buf[:end]) != string(n) {
			t.Fatalf("%q prints as %s, which the oracle reads as %q, %v", n, n, buf[:end], err)
		}
		upper := []byte(n)
		for i := 0; upper[i] != 0; i += int(upper[i]) + 1 {
			copy(upper[i+1:], bytes.ToUpper(ascii(upper[i+1:i+1+int(upper[i])])))
		}
		cut, rest, err := CutName(append(upper, "rest"...))
		if err != nil || cut != n || string(rest) != "rest" {
			t.Fatalf("CutName(%q) = %q, %q, %v", upper, cut, rest, err)
		}
	})
}

// ascii returns the octets if all are ASCII, and otherwise none: bytes.ToUpper knows UTF-8.
func ascii(b []byte) []byte {
	if slices.ContainsFunc(b, func(c byte) bool { return c >= 0x80 }) {
		return nil
	}
	return b
}

func TestCutNameRefuses(t *testing.T) {
	for _, wire := range []string{
		"", "\x01", "\x01a", "\xc0\x0c", "\x01a\xc0\x00", "\x40a",
		strings.Repeat("\x01a", 127) + "\x01a\x00",
	} {
		if n, _, err := CutName([]byte(wire)); err == nil {
			t.Errorf("CutName(%q) = %q", wire, n)
		}
	}
}

func TestNameRelations(t *testing.T) {
	www, zone := name(t, "www.example.test"), name(t, "example.test")
	if www.Parent() != zone || zone.Parent().Parent() != Root || Root.Parent() != Root {
		t.Error("Parent")
	}
	if www.Labels() != 3 || Root.Labels() != 0 {
		t.Error("Labels")
	}
	for _, test := range []struct {
		name, zone string
		want       bool
	}{
		{"www.example.test", "example.test", true},
		{"example.test", "example.test", true},
		{"test", "example.test", false},
		{"badexample.test", "example.test", false},
		{`x\007example.test`, "example.test", false}, // its octets end like the zone's, but no label begins there
		{"example.test", ".", true},
		{".", ".", true},
		{".", "test", false},
	} {
		if got := name(t, test.name).Under(name(t, test.zone)); got != test.want {
			t.Errorf("%s under %s: %v", test.name, test.zone, got)
		}
	}
	if !name(t, "*.example.test").IsWildcard() || zone.IsWildcard() || name(t, "*a.test").IsWildcard() {
		t.Error("IsWildcard")
	}
}

// The order of RFC 4034 section 6.1, with its own example.
func TestCompare(t *testing.T) {
	sorted := []string{
		"example", "a.example", "yljkjljk.a.example", "Z.a.example", "zABC.a.EXAMPLE", "z.example", `\001.z.example`,
		"*.z.example", `\200.z.example`,
	}
	for i, a := range sorted {
		for j, b := range sorted {
			if got := name(t, a).Compare(name(t, b)); got != cmp.Compare(i, j) {
				t.Errorf("%s to %s: %d", a, b, got)
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyName(t), anyName(t)
		if a.Compare(b) != -b.Compare(a) || (a.Compare(b) == 0) != (a == b) {
			t.Fatalf("%s to %s: %d and back %d", a, b, a.Compare(b), b.Compare(a))
		}
		if a != b && a.Under(b) && a.Compare(b) != 1 {
			t.Fatalf("%s is below %s and does not come after it", a, b)
		}
	})
}

func FuzzParseName(f *testing.F) {
	for _, s := range []string{
		"www.example.test.", `a\.b.\255`, "@", "..", "*.x", "a@b", `\$TTL`,
		"xn--bcher-kva.test",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseName(s)
		if err != nil {
			return
		}
		if end, err := nameEnd([]byte(n)); err != nil || end != len(n) {
			t.Fatalf("ParseName(%q) = %q, which is not a name", s, n)
		}
		if again, err := ParseName(n.String()); err != nil || again != n {
			t.Fatalf("%q prints as %s, which is read as %q, %v", n, n, again, err)
		}
		buf := make([]byte, 2*MaxName)
		end, err := dns.PackDomainName(dns.Fqdn(s), buf, 0, nil, false)
		if err != nil || string(fold(buf[:end])) != string(n) {
			t.Fatalf("ParseName(%q) = %q; the oracle reads %q, %v", s, n, buf[:end], err)
		}
	})
}

func BenchmarkParseName(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseName("www.eu-west.example.test"); err != nil {
			b.Fatal(err)
		}
	}
}

// The final dot is removed where it ends a label, and stays where it is part of one. The result is the same name.
func TestTrimDot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringOfN(rapid.SampledFrom([]rune(`ab.\1`)), 1, 12, -1).Draw(t, "name")
		n, err := ParseName(s)
		if err != nil {
			t.Skip()
		}
		short := TrimDot(s)
		if again, err := ParseName(short); err != nil || again != n {
			t.Fatalf("%q is %q, and %q is %q, %v", s, n, short, again, err)
		}
		_, err = ParseRelative(short, "\x04test\x00")
		if rel, _ := ParseRelative(short, "\x04test\x00"); n != Root && (err != nil || rel == n) {
			t.Fatalf("%q still ends in a dot", short)
		}
	})
}
