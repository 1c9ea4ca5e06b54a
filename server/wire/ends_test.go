package wire

import (
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"
)

// nearby draws names that often end alike, with labels that look like parts of other labels.
func nearby(t *rapid.T, what string) string {
	labels := rapid.SliceOfN(rapid.SampledFrom([]string{
		"a", "b", "\\001a", "x\\001a", "mail", "Mail", "example", "test",
	}), 0, 6).Draw(t, what)
	return strings.Join(append(labels, ""), ".") + strings.Repeat(".", bit(len(labels) == 0))
}

// CommonEnd agrees with a plain comparison, label by label.
func TestCommonEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := nearby(t, "a"), nearby(t, "b")
		x, y := wireName(a), wireName(b)
		p, q := dns.SplitDomainName(a), dns.SplitDomainName(b)
		n := 0
		for n < len(p) && n < len(q) && p[len(p)-1-n] == q[len(q)-1-n] {
			n++
		}
		end := wireName(strings.Join(append(slices.Clone(p[len(p)-n:]), ""), ".") + strings.Repeat(".", bit(n == 0)))
		if at, in := CommonEnd([]byte(x), []byte(y)); x[at:] != end || y[in:] != end {
			t.Fatalf("%s and %s: they have %q and %q in common, not %q", a, b, x[at:], y[in:], end)
		}
	})
}

// Compressed names are still the same names. They take no more octets than with pointers to the apex alone, and no
// fewer than with the oracle, which uses every possible pointer. A set of one record takes exactly as many.
func TestShortIsTheSame(t *testing.T) {
	types := []uint16{TypeNS, TypeCNAME, TypePTR, TypeMX, TypeSOA}
	rapid.Check(t, func(t *rapid.T) {
		asked := "a." + strings.TrimPrefix(nearby(t, "asked"), ".")
		m := new(dns.Msg)
		m.SetQuestion(asked, TypeA)
		request, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		var q Query
		if q.Parse(request) != OK {
			t.Fatal("not OK")
		}
		name := q.Question[:len(q.Name())] // in the case of the question, as names match by case
		labels := dns.SplitDomainName(asked)
		apex := strings.Join(labels[len(labels)/2:], ".") + "." // in that case too
		typ := rapid.SampledFrom(types).Draw(t, "type")
		count, alias := 1, typ == TypeCNAME && rapid.Bool().Draw(t, "made")
		if typ != TypeCNAME && typ != TypeSOA {
			count = rapid.IntRange(1, 8).Draw(t, "records")
		}
		var data []string
		before, plain := 0, 0
		for range count {
			skip, names := Embedded(typ)
			d := strings.Repeat("\x01", skip)
			for range names {
				n := nearby(t, "name")
				if d += wireName(n); n != "." && apex != "." && strings.HasSuffix("."+n, "."+apex) {
					plain += len(wireName(apex)) - 2
				}
			}
			if typ == TypeSOA {
				d += strings.Repeat("\x02", 20)
			}
			before += DataOffset + len(d)
			data = append(data, d)
			r, _, err := dns.UnpackRR(record(wireName(asked), typ, ClassIN, 300, []byte(d)...), 0)
			if err != nil {
				t.Fatal(err)
			}
			m.Answer = append(m.Answer, r)
		}
		var b Builder
		b.Start(make([]byte, 0, MaxMessage), MaxMessage, &q)
		r := RRset{Owner: QName, Count: uint16(count), Data: set(typ, data...), Name: name, NameAt: QName}
		if alias {
			r.Type, r.TTL, r.Data = TypeCNAME, 300, []byte(data[0])
		}
		if !b.Put(Answer, &r) {
			t.Fatal("it does not fit")
		}
		out := b.Finish()
		var got dns.Msg
		if err := got.Unpack(out); err != nil {
			t.Fatalf("%v: % x", err, out)
		}
		for i, r := range got.Answer {
			if r.Header().Ttl = 300; r.String() != m.Answer[i].String() {
				t.Fatalf("%s has come out as %s", m.Answer[i], r)
			}
		}
		if had := len(request) + before - plain; len(out) > had {
			t.Fatalf("%d octets; pointing at %s alone makes %d", len(out), apex, had)
		}
		m.Response, m.Compress = true, true
		oracle, err := m.Pack()
		if err != nil || len(out) < len(oracle) || len(out) > len(oracle) && count == 1 && typ != TypeSOA {
			t.Fatalf("%d octets; the oracle makes %d: %v", len(out), len(oracle), err)
		}
		// With one octet less than it needs, nothing of the set is written.
		b.Start(make([]byte, 0, MaxMessage), len(out)-1, &q)
		if b.Put(Additional, &r) || b.Len() != len(request) || b.Truncated() || b.Put(Answer, &r) {
			t.Fatal("in part of the room that it takes")
		}
		b.Start(make([]byte, 0, MaxMessage), len(out)-1, &q)
		if b.Put(Answer, &r) || b.Len() != len(request) || !b.Truncated() {
			t.Fatal("not truncated")
		}
	})
}

// RDATA that does not begin with a name, which RFC 3597 allows people to write, stays as it is, and nothing points
// there.
func TestNoNameStaysAsItIs(t *testing.T) {
	q := parsed(t, plain())
	var b Builder
	b.Start(make([]byte, 0, 512), 512, q)
	data := []string{"\x09net", "\x09net", "\x80\x03net\x00", "\x03net\x00"}
	before := b.Len()
	if !b.SetNames(Answer, set(TypeNS, data...), len(data), QName, q.Name(), QName) {
		t.Fatal("it does not fit")
	}
	at := before
	for _, d := range data {
		if end := at + DataOffset + len(d); string(b.buf[at+DataOffset:end]) != d {
			t.Errorf("%q has become %q", d, b.buf[at+DataOffset:end])
		}
		at += b.RecordSize(at)
	}
}
