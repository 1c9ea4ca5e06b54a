package wire

import (
	"testing"
)

// usual is what a resolver of today sends: 0x20 case, OPT with DO, a cookie and a client subnet.
func usual() []byte {
	return plain(optRecord(1232, 0x8000, option(optionCookie, 1, 2, 3, 4, 5, 6, 7, 8),
		option(optionECS, 0, 1, 24, 0, 198, 51, 100)))
}

type fixture struct {
	query     Query
	builder   Builder
	msg, buf  []byte
	mx        []byte
	addresses []byte
	cookie    []byte
}

func newFixture() *fixture {
	return &fixture{
		builder:   Builder{NSID: []byte("ams-1")},
		msg:       usual(),
		buf:       make([]byte, 0, 1232),
		mx:        set(15, "\x00\x0a\x04mail\x07example\x04test\x00", "\x00\x14\x05mail2\x07example\x04test\x00"),
		addresses: []byte{192, 0, 2, 1, 192, 0, 2, 2},
		cookie:    make([]byte, 16),
	}
}

func (f *fixture) parse() Verdict { return f.query.Parse(f.msg) }

func (f *fixture) build() []byte {
	b := &f.builder
	b.Start(f.buf, 1232, &f.query)
	b.SetAuthoritative(true)
	b.SetScope(24)
	b.SetCookie(f.cookie)
	b.SetError(ErrorOther, "")
	b.Addresses(Answer, QName, 30, f.addresses, 4)
	b.Set(Authority, f.mx, 2, QName+4)
	b.Addresses(Additional, QName, 300, f.addresses[:4], 4)
	return b.Finish()
}

func TestNoAllocation(t *testing.T) {
	f := newFixture()
	if n := testing.AllocsPerRun(100, func() { f.parse() }); n != 0 {
		t.Errorf("Parse allocates %v times", n)
	}
	if f.parse() != OK {
		t.Fatal("the request is not OK")
	}
	if n := testing.AllocsPerRun(100, func() { f.build() }); n != 0 {
		t.Errorf("a response allocates %v times", n)
	}
	if m := unpacked(t, f.build()); len(m.Answer) != 2 || len(m.Ns) != 2 || len(m.Extra) != 2 {
		t.Errorf("the response that was counted is not whole: %v", m)
	}
	bad := plain(optRecord(1232, 0, option(optionECS)))
	if n := testing.AllocsPerRun(100, func() {
		v := f.query.Parse(bad)
		f.builder.Reply(f.buf, 512, &f.query, v.Rcode())
	}); n != 0 {
		t.Errorf("an error reply allocates %v times", n)
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	f := newFixture()
	for b.Loop() {
		if f.parse() != OK {
			b.Fatal("not OK")
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	b.ReportAllocs()
	f := newFixture()
	f.parse()
	for b.Loop() {
		f.build()
	}
}
