package transfer

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"leeward/zones/rr"
	"leeward/zones/snapshot"
)

var update = flag.Bool("update", false, "write what came out into testdata")

const apex = rr.Name("\x07example\x04test\x00")

// record reads one line of a scenario, in the form of a master file of example.test. SOA needs only its serial.
func record(t testing.TB, line string) dns.RR {
	t.Helper()
	return recordOf(t, "example.test.", line)
}

func recordOf(t testing.TB, zone, line string) dns.RR {
	t.Helper()
	if owner, serial, ok := strings.Cut(line, " SOA "); ok {
		line = owner + " 300 SOA ns hostmaster " + serial + " 3600 600 86400 60"
	}
	if owner, data, ok := strings.Cut(line, ` A \# 3 `); ok { // no parser accepts this
		return &dns.RFC3597{Hdr: dns.RR_Header{
			Name: owner + ".example.test.", Rrtype: dns.TypeA, Class: dns.ClassINET,
			Ttl: 300,
		}, Rdata: data}
	}
	p := dns.NewZoneParser(strings.NewReader("$TTL 300\n"+line+"\n"), zone, "")
	r, ok := p.Next()
	if !ok {
		t.Fatalf("%q: %v", line, p.Err())
	}
	return r
}

// whole makes a version of lines.
func whole(t testing.TB, lines ...string) *snapshot.Version {
	t.Helper()
	return wholeOf(t, "example.test.", lines...)
}

// wholeOf is whole of another zone.
func wholeOf(t testing.TB, zone string, lines ...string) *snapshot.Version {
	t.Helper()
	origin, err := rr.ParseName(zone)
	if err != nil {
		t.Fatal(err)
	}
	e := snapshot.NewEdition(origin)
	for _, line := range lines {
		msg := &dns.Msg{Answer: []dns.RR{recordOf(t, zone, line)}}
		packed, err := msg.Pack()
		if err != nil {
			t.Fatal(err)
		}
		x, _, err := rr.ReadRecord(packed, 12)
		if err == nil && x.Type == rr.TypeSOA {
			err = e.SetSOA(x)
		} else if err == nil {
			err = e.Add(x)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	v, err := e.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// base is the version that is already here.
func base(t testing.TB, serial string) *snapshot.Version {
	return whole(t, "@ SOA "+serial, "@ NS ns", "ns A 192.0.2.53", "www A 192.0.2.1", "www A 192.0.2.2", `text TXT "x"`)
}

// lines prints a version.
func lines(v *snapshot.Version) (out []string) {
	v.Each(func(name []byte, typ rr.Type, count int, wire []byte) bool {
		for range count {
			size := recordHead + int(binary.BigEndian.Uint16(wire[recordHead-2:]))
			text, err := rr.FormatData(typ, wire[recordHead:size])
			if err != nil {
				text = err.Error()
			}
			out = append(out, fmt.Sprintf("%s %d %s %s", rr.Name(name), binary.BigEndian.Uint32(wire[6:]), typ, text))
			wire = wire[size:]
		}
		return true
	})
	slices.Sort(out)
	return out
}

// parcel is a query and the messages that answer it.
type parcel struct {
	query    []byte
	have     *snapshot.Version
	messages [][]byte
}

// readParcel reads a scenario.
func readParcel(t testing.TB, text []string) (p parcel) {
	var message *dns.Msg
	q := axfr("example.test.")
	flush := func() {
		if message == nil {
			return
		}
		message.Compress = true
		b, err := message.Pack()
		if err != nil {
			t.Fatal(err)
		}
		p.messages = append(p.messages, b)
	}
	next := func() {
		flush()
		message = new(dns.Msg).SetReply(q)
		message.Authoritative = true
	}
	for _, line := range text {
		switch words := strings.Fields(line); {
		case words[0] == "ask":
			if words[1] == "ixfr" {
				q.Question[0].Qtype = dns.TypeIXFR
				serial := "1000"
				if len(words) > 2 {
					serial = words[2]
				}
				p.have = base(t, serial)
			}
			next()
		case words[0] == "--":
			next()
		case words[0] == "rcode":
			message.Rcode = dns.StringToRcode[words[1]]
		default:
			message.Answer = append(message.Answer, record(t, line))
		}
	}
	flush()
	var err error
	if p.query, err = q.Pack(); err != nil {
		t.Fatal(err)
	}
	return p
}

// receive returns what comes out of the messages.
func (p parcel) receive() (*receiver, *snapshot.Version, error) {
	r := &receiver{origin: apex, have: p.have}
	rest := p.messages
	_, err := r.receive(p.query, func(time.Duration) ([]byte, error) {
		if len(rest) == 0 {
			return nil, io.EOF
		}
		m := rest[0]
		rest = rest[1:]
		return m, nil
	}, nil, time.Now)
	if err != nil {
		return r, nil, err
	}
	v, err := r.version()
	return r, v, err
}

// scenarios reads testdata/receive.txt: its paragraphs, without the lines that begin with ">".
func scenarios(t testing.TB) [][]string {
	text, err := os.ReadFile("testdata/receive.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all [][]string
	for paragraph := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
		all = append(all, strings.Split(paragraph, "\n"))
	}
	return all
}

func TestReceive(t *testing.T) {
	var out []string
	was, err := os.ReadFile("testdata/receive.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, paragraph := range scenarios(t) {
		steps := slices.DeleteFunc(slices.Clone(paragraph), func(l string) bool { return l[0] == '>' || l[0] == '#' })
		said := slices.DeleteFunc(slices.Clone(paragraph), func(l string) bool { return l[0] == '>' })
		if len(steps) > 0 {
			r, v, err := readParcel(t, steps).receive()
			switch {
			case err != nil:
				said = append(said, "> error: "+err.Error())
			case v == nil:
				said = append(said, "> nothing newer")
			default:
				said = append(said, fmt.Sprintf("> %s %d", r.how(), v.Serial()))
				for _, line := range lines(v) {
					said = append(said, ">   "+line)
				}
				if v.Signed() {
					said = append(said, ">   signed")
				}
			}
		}
		out = append(out, strings.Join(said, "\n"))
	}
	text := strings.Join(out, "\n\n") + "\n"
	if *update {
		if err := os.WriteFile("testdata/receive.txt", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(string(was), text); d != "" {
		t.Error(d)
	}
}

// TestResponse: a message that does not answer the query is not mistaken for its response.
func TestResponse(t *testing.T) {
	query, err := axfr("example.test.").Pack()
	if err != nil {
		t.Fatal(err)
	}
	good := func() *dns.Msg {
		m := new(dns.Msg)
		if err := m.Unpack(query); err != nil {
			t.Fatal(err)
		}
		return new(dns.Msg).SetReply(m)
	}
	for name, change := range map[string]func(*dns.Msg){
		"another ID":        func(m *dns.Msg) { m.Id++ },
		"a query":           func(m *dns.Msg) { m.Response = false },
		"another opcode":    func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify },
		"truncated":         func(m *dns.Msg) { m.Truncated = true },
		"another zone":      func(m *dns.Msg) { m.Question[0].Name = "example.net." },
		"another type":      func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeSOA },
		"two questions":     func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) },
		"fine, and in caps": func(m *dns.Msg) { m.Question[0].Name = "EXAMPLE.test." },
		"fine, without one": func(m *dns.Msg) { m.Question = nil },
	} {
		m := good()
		change(m)
		packed, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readResponse(packed, query); (err == nil) != strings.HasPrefix(name, "fine") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzReceive: any octets from a primary make a whole zone or none. The first octet says whether differences were asked
// for. Each message has its length in front, in two octets.
func FuzzReceive(f *testing.F) {
	var queries [2][]byte
	for _, paragraph := range scenarios(f) {
		steps := slices.DeleteFunc(paragraph, func(l string) bool { return l[0] == '>' || l[0] == '#' })
		if len(steps) == 0 {
			continue
		}
		p := readParcel(f, steps)
		b := []byte{0}
		if p.have != nil {
			b[0] = 1
		}
		for _, m := range p.messages {
			m[0], m[1] = 0, 0
			b = append(binary.BigEndian.AppendUint16(b, uint16(len(m))), m...)
		}
		f.Add(b)
		p.query[0], p.query[1] = 0, 0
		queries[b[0]] = p.query
	}
	have := base(f, "1000")
	before := lines(have)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 {
			return
		}
		p := parcel{query: queries[b[0]&1]}
		if b[0]&1 == 1 {
			p.have = have
		}
		for b = b[1:]; len(b) > 2; {
			size := min(int(binary.BigEndian.Uint16(b)), len(b)-2)
			p.messages = append(p.messages, b[2:2+size])
			b = b[2+size:]
		}
		_, v, err := p.receive()
		if d := cmp.Diff(before, lines(have)); d != "" {
			t.Fatal("what was here is another: ", d)
		}
		if err != nil || v == nil {
			return
		}
		if p.have != nil && !newer(v.Serial(), have.Serial()) {
			t.Fatalf("serial %d is taken for newer", v.Serial())
		}
		soas, ns := 0, 0
		v.Each(func(name []byte, typ rr.Type, count int, wire []byte) bool {
			switch {
			case !rr.Name(name).Under(apex):
				t.Fatalf("%s is not in the zone", rr.Name(name))
			case typ == rr.TypeSOA:
				soas += count
			case typ == rr.TypeNS && rr.Name(name) == apex:
				ns += count
			}
			return true
		})
		if soas != 1 || ns == 0 {
			t.Fatalf("%d SOA, %d NS", soas, ns)
		}
		var file bytes.Buffer
		if err := writeVersion(&file, v, kept{}); err != nil {
			t.Fatal(err)
		}
		again, _, err := readVersion(&file, apex)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(lines(v), lines(again)); d != "" {
			t.Fatal("from disk: ", d)
		}
	})
}
