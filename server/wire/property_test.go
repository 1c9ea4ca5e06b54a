package wire

import (
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"
)

// Whatever is put into a response, in whatever order and under however small a limit, the oracle reads it to its end.
// It is within the limit, has its OPT record, and its TC says whether something is missing that must not be.
func TestAnyResponse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		edns := rapid.Bool().Draw(t, "edns")
		msg := plain()
		if edns {
			msg = plain(optRecord(1232, 0, option(optionNSID), option(optionECS, 0, 1, 24, 0, 192, 0, 2)))
		}
		var q Query
		if q.Parse(msg) != OK {
			t.Fatal("not OK")
		}
		limit := rapid.IntRange(MinUDP, 2000).Draw(t, "limit")
		b := Builder{NSID: []byte("ams-1")}
		b.Start(make([]byte, 2000), limit, &q)
		data := func() string {
			return string(rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "data"))
		}
		lost := false
		for range rapid.IntRange(0, 12).Draw(t, "steps") {
			s := Section(rapid.IntRange(0, 2).Draw(t, "section"))
			late := s < b.section // a section that is over refuses it, and nothing is lost that was asked for in order
			var ok bool
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				ok = b.Set(s, set(65280, data(), data()), 2, QName+4)
			case 1:
				ok = b.Addresses(s, QName, 30, make([]byte, 16*rapid.IntRange(1, 30).Draw(t, "addresses")), 16)
			case 2:
				ok = b.SetNames(s, set(TypeMX, "\x00\x0a\x04mail\x04test\x00", "\x00\x0a\x01a\x00"), 2, QName,
					q.Name()[4:], QName+4)
			case 3:
				b.SetError(ErrorOther, data())
				continue
			}
			lost = lost || !ok && !late && s != Additional
		}
		response := b.Finish()
		if len(response) > limit {
			t.Fatalf("%d octets of %d", len(response), limit)
		}
		var m dns.Msg
		if err := m.Unpack(response); err != nil {
			t.Fatalf("the oracle: %v", err)
		}
		if m.Truncated != lost || edns != (m.IsEdns0() != nil) {
			t.Fatalf("TC %v, lost %v, OPT %v", m.Truncated, lost, m.IsEdns0())
		}
		if len(m.Answer)+len(m.Ns)+len(m.Extra) != int(b.counts[0]+b.counts[1]+b.counts[2])+bit(edns) {
			t.Fatalf("counts %v, the oracle has %v", b.counts, &m)
		}
	})
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}
