package wire

import (
	"encoding/binary"
	"testing"

	"github.com/miekg/dns"
)

// A set of names is as short as it claims to be. It fits where it fits only compressed, does not fit with one octet
// less, and the oracle reads back what was written.
func TestSetNames(t *testing.T) {
	apex := "\x07example\x04test\x00"
	for _, c := range []struct {
		name  string
		typ   uint16
		data  []string // RDATA
		saves int      // octets
	}{
		{"ns", TypeNS, []string{"\x03ns1" + apex, "\x03ns2" + apex, "\x03ns1\x05other\x00"}, 2 * (len(apex) - 2)},
		{"the apex itself", TypeCNAME, []string{apex}, len(apex) - 2},
		{"upper case", TypeCNAME, []string{"\x03www\x07Example\x04test\x00"}, 4}, // test is the same in both
		{"one before it", TypeNS, []string{"\x01a\x03net\x00", "\x01b\x03net\x00", "\x01a\x03net\x00"}, 3 + 5},
		{"a label that looks like it", TypeCNAME, []string{"\x10xx" + apex[:13] + "y\x00"}, 0},
		{"mx", TypeMX, []string{"\x00\x0a\x04mail" + apex, "\x00\x14\x00"}, len(apex) - 2},
		{"soa", TypeSOA, []string{"\x03ns1" + apex + "\x04host" + apex +
			"\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\x04\x00\x00\x00\x05"}, 2 * (len(apex) - 2)},
		{"srv stays in full", TypeSRV, []string{"\x00\x01\x00\x01\x00\x50\x03www" + apex}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var q Query
			request := append(append(make([]byte, 4, 64), 0, 1, 0, 0, 0, 0, 0, 0), "\x03www"+apex+"\x00\x02\x00\x01"...)
			if v := q.Parse(request); v != OK {
				t.Fatal(v)
			}
			var set []byte
			for _, data := range c.data {
				set = binary.BigEndian.AppendUint16(append(set, 0, 0), c.typ)
				set = append(set, 0, 1, 0, 0, 1, 44)
				set = append(binary.BigEndian.AppendUint16(set, uint16(len(data))), data...)
			}
			whole := len(request) + len(set) - c.saves
			for limit, fits := range map[int]bool{whole - 1: false, whole: true, 512: true} {
				var b Builder
				b.Start(make([]byte, 0, 512), limit, &q)
				if in := b.SetNames(Answer, set, len(c.data), QName+4, q.Name()[4:], b.Suffix(QName, 4)); in != fits {
					t.Fatalf("in %d octets, of which it takes %d: %v", limit, whole, in)
				}
				out := b.Finish()
				if !fits {
					continue
				}
				if len(out) != whole {
					t.Errorf("%d octets, not %d", len(out), whole)
				}
				var m dns.Msg
				if err := m.Unpack(out); err != nil || len(m.Answer) != len(c.data) {
					t.Fatalf("% x: %v", out, err)
				}
				for i, r := range m.Answer {
					packed := make([]byte, 512)
					end, err := dns.PackRR(r, packed, 0, nil, false)
					if err != nil || string(packed[end-len(c.data[i]):end]) != c.data[i] ||
						r.Header().Name != "example.test." {
						t.Errorf("%q has come out as %s", c.data[i], r)
					}
				}
			}
		})
	}
}

// A name in the message continues, after that many of its octets, where its pointers lead.
func TestSuffix(t *testing.T) {
	var q Query
	request := append(append(make([]byte, 4, 64), 0, 1, 0, 0, 0, 0, 0, 0),
		"\x03www\x07example\x04test\x00\x00\x01\x00\x01"...)
	if v := q.Parse(request); v != OK {
		t.Fatal(v)
	}
	var b Builder
	b.Start(make([]byte, 0, 512), 512, &q)
	at := b.Len()
	set := append([]byte{0, 0, 0, 5, 0, 1, 0, 0, 0, 9, 0, 19}, "\x04mail\x07example\x04test\x00"...)
	if !b.SetNames(Answer, set, 1, QName, q.Name()[4:], QName+4) {
		t.Fatal("it does not fit")
	}
	target := at + DataOffset
	for skip, want := range map[int]int{0: target, 5: target + 5, 13: QName + 4 + 8, 18: QName + 4 + 8 + 5} {
		if got := b.Suffix(target, skip); got != want {
			t.Errorf("after %d octets it goes on at %d, not %d", skip, got, want)
		}
	}
	if n := b.RecordSize(at); at+n != b.Len() {
		t.Errorf("the record has %d octets, and the message goes on %d after it", n, b.Len()-at)
	}
}
