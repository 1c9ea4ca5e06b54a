package wire

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"
)

// tight is the response of fill, written again after truncation if that helps.
func tight(b *Builder, limit int, q *Query, fill func()) []byte {
	b.Start(make([]byte, 0, MaxMessage), limit, q)
	fill()
	if b.Tighten() {
		fill()
	}
	return b.Finish()
}

// wireName returns a name in wire form. It does not fold case.
func wireName(text string) string {
	var b [MaxName]byte
	n, err := dns.PackDomainName(text, b[:], 0, nil, false)
	if err != nil {
		panic(err)
	}
	return string(b[:n])
}

// A truncated response is written again, and each name is cut at the longest end that the message already has, in
// whatever case. It fits to the octet. The oracle, with the compression of RFC 1035, needs as many octets for the same
// records.
func TestTighten(t *testing.T) {
	var mx []string
	for i := range 40 {
		mx = append(mx, "\x00\x0a"+wireName(fmt.Sprintf("h%d.%s.outside.invalid.", i,
			[]string{"pool", "Pool", "x.POOL"}[i%3])))
	}
	q := parsed(t, plain(optRecord(4096, 0)))
	records, address := set(TypeMX, mx...), []byte{192, 0, 2, 1}
	fill := func(b *Builder) func() {
		return func() {
			if b.SetNames(Answer, records, len(mx), QName, q.Name()[4:], QName+4) {
				b.Addresses(Additional, QName, 60, address, 4)
			}
		}
	}
	b := Builder{Suffixes: new(Suffixes)}
	m := unpacked(t, tight(&b, 930, q, fill(&b)))
	if m.Truncated || len(m.Answer) != len(mx) || !b.tight {
		t.Fatalf("truncated: %v", m)
	}
	for i, r := range m.Answer {
		if got := r.(*dns.MX); wireName(strings.ToLower(got.Mx)) != strings.ToLower(mx[i][2:]) || got.Preference != 10 {
			t.Errorf("record %d is %s, not %q", i, r, mx[i])
		}
	}
	m.Compress = true
	for _, r := range m.Answer { // the oracle tells cases apart
		r.(*dns.MX).Mx = strings.ToLower(r.(*dns.MX).Mx)
	}
	m.Extra = m.Extra[len(m.Extra)-1:] // the address may be left out
	whole, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	for limit, fits := range map[int]bool{len(whole): true, len(whole) - 1: false} {
		response := tight(&b, limit, q, fill(&b))
		if m := unpacked(t, response); m.Truncated == fits {
			t.Errorf("%d octets are enough, but for %d: %v", len(whole), limit, m.MsgHdr)
		} else if fits && len(response) != limit {
			t.Errorf("%d octets; the oracle has %d", len(response), limit)
		}
	}
	again := fill(&b)
	if n := testing.AllocsPerRun(50, func() {
		b.Start(b.buf, 930, q)
		again()
		b.Tighten()
		again()
		b.Finish()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Only a truncated response is written again, and only if that helps.
func TestTightenWhereItIsOfUse(t *testing.T) {
	q := parsed(t, plain())
	name := wireName("a.long.name.in.another.zone.invalid.")
	many := make([]string, 14)
	for i := range many {
		many[i] = fmt.Sprintf("\x02%02d", i) + name
	}
	alike := append([]string{"\x01a" + name}, many[1:]...) // all but the first share a longer end
	for i := range alike[1:] {
		alike[i+1] = fmt.Sprintf("\x02%02d", i) + "\x1ea-label-of-thirty-octets-or-so" + name
	}
	for _, c := range []struct {
		what string
		fill func(b *Builder)
		use  bool
	}{
		{"what fits", func(b *Builder) { b.Set(Answer, set(TypeTXT, "\x01x"), 1, QName) }, false},
		{"names that can be cut", func(b *Builder) {
			b.SetNames(Answer, set(TypePTR, alike...), 14, QName, q.Name()[4:], QName+4)
		}, true},
		{"a set without names", func(b *Builder) {
			b.Set(Answer, set(TypeTXT, strings.Repeat("\x01x", 300)), 1, QName)
		}, false},
		{"names that must stay", func(b *Builder) { b.Set(Answer, set(dns.TypeDNAME, many...), 14, QName) }, false},
		{"too many addresses", func(b *Builder) { b.Addresses(Answer, QName, 30, make([]byte, 4*40), 4) }, false},
		{"what is left out without TC", func(b *Builder) {
			b.Addresses(Additional, QName, 30, make([]byte, 4*40), 4)
		}, false},
		{"an alias before a set that would fit", func(b *Builder) {
			b.SetNames(Answer, set(TypeCNAME, name), 1, QName, q.Name()[4:], QName+4)
			b.Set(Answer, set(TypeTXT, strings.Repeat("\x01x", 220)), 1, QName)
		}, true},
		{"what is cut on purpose", func(b *Builder) { b.Bare() }, false},
	} {
		b := Builder{Suffixes: new(Suffixes)}
		b.Start(make([]byte, 0, 512), 512, q)
		c.fill(&b)
		if use := b.Tighten(); use != c.use {
			t.Errorf("%s: %v", c.what, use)
		} else if use && b.Tighten() {
			t.Errorf("%s: a third time", c.what)
		}
	}
	var b Builder
	b.Start(make([]byte, 0, 512), 512, q)
	if b.Truncate(); b.Tighten() {
		t.Error("without a table")
	}
}

// Whatever records there are, of whatever types with names, the tight form is no longer than the oracle's, and says the
// same except for case. RDATA of types that RFC 1035 does not define comes through octet by octet (RFC 3597 section 4).
func TestTightIsTheSame(t *testing.T) {
	types := []uint16{
		TypeNS, TypeMD, TypeMF, TypeCNAME, TypeMB, TypeMG, TypeMR, TypePTR, TypeMINFO, TypeMX, TypeSOA,
		dns.TypeDNAME, TypeSRV, TypeTXT,
	}
	rapid.Check(t, func(rt *rapid.T) {
		name := func(what string) string {
			labels := rapid.SliceOfN(rapid.SampledFrom([]string{
				"a", "A", "b", "mail", "Mail", "example", "test",
				"x1",
			}), 0, 9).Draw(rt, what)
			return strings.Join(labels, ".") + "."
		}
		q := parsed(t, plain())
		type rrset struct {
			typ  uint16
			data []string
		}
		var sets []rrset
		var want []string
		m := new(dns.Msg)
		m.SetQuestion("wWw.eXample.TEST.", TypeA)
		m.Response, m.Compress, m.RecursionDesired = true, true, false
		drawn := rapid.SliceOfN(rapid.SampledFrom(types), 1, 4).Draw(rt, "types")
		// what is not pointed at
		slices.SortStableFunc(drawn, func(x, y uint16) int { return bit(inFull(x)) - bit(inFull(y)) })
		for _, typ := range drawn {
			s := rrset{typ: typ}
			for range rapid.IntRange(1, 30).Draw(rt, "records") {
				before, names := Embedded(s.typ)
				data := strings.Repeat("\x01", before)
				switch s.typ {
				case TypeSRV:
					data, names = "\x00\x01\x00\x02\x00\x03", 1
				case dns.TypeDNAME:
					names = 1
				case TypeTXT:
					data = "\x03abc"
				}
				for range names {
					data += wireName(name("name"))
				}
				if s.typ == TypeSOA {
					data += "01234567890123456789"
				}
				s.data = append(s.data, data)
				r, _, err := dns.UnpackRR(record(wireName("wWw.eXample.TEST."), s.typ, ClassIN, 300, []byte(data)...),
					0)
				if err != nil {
					rt.Fatal(err)
				}
				want = append(want, strings.ToLower(r.String()))
				m.Answer = append(m.Answer, r)
			}
			sets = append(sets, s)
		}
		b := Builder{Suffixes: new(Suffixes)}
		b.Start(make([]byte, 0, MaxMessage), MaxMessage, q)
		b.Truncate()
		if !b.Tighten() {
			rt.Fatal("not again")
		}
		for _, s := range sets {
			if !b.Set(Answer, set(s.typ, s.data...), len(s.data), QName) {
				rt.Fatal("it does not fit")
			}
		}
		out := b.Finish()
		var got dns.Msg
		if err := got.Unpack(out); err != nil {
			rt.Fatalf("%v: % x", err, out)
		}
		for i, r := range got.Answer {
			if s := strings.ToLower(r.String()); s != want[i] {
				rt.Fatalf("%s has come out as %s", want[i], s)
			}
		}
		for _, s := range sets { // in full, in every case
			if inFull(s.typ) {
				for _, d := range s.data {
					if !strings.Contains(string(out), string(binary.BigEndian.AppendUint16(nil, uint16(len(d))))+d) {
						rt.Fatalf("RDATA %q of type %d is not there as it is", d, s.typ)
					}
				}
			}
		}
		if oracle, err := m.Pack(); err != nil || len(out) > len(oracle) {
			rt.Fatalf("%d octets; the oracle makes %d: %v", len(out), len(oracle), err)
		}
	})
}

func inFull(typ uint16) bool {
	_, names := Embedded(typ)
	return names == 0
}
