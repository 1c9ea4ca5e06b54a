package update

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"leeward/server/answer"
	"leeward/server/tsig"
	"leeward/server/wire"
	"leeward/zones"
	"leeward/zones/document"
)

// stored is what is in the store before each update of the tables.
var stored = map[zones.Key]string{
	"zones/example.test": `{"nameservers":["ns1.example.test","ns2.example.test"],"update":[` +
		`{"key":"all","names":["**"],"types":["ANY"]},{"key":"acme","names":["_acme-challenge.**"],"types":["TXT"]}]}`,
	"zones/child.example.test":                     `{"nameservers":["ns1.example.test"]}`,
	"zones/closed.test":                            `{"nameservers":["ns1.example.test"]}`,
	"records/example.test/www/A":                   `{"ttl":"300s","data":["192.0.2.1","192.0.2.2"]}`,
	"records/example.test/www/TXT":                 `{"data":["\"a\""]}`,
	"records/example.test/@/MX":                    `{"ttl":"300s","data":["10 mail"]}`,
	"records/example.test/alias/CNAME":             `{"ttl":"300s","data":["www"]}`,
	"records/example.test/a.b.c/TXT":               `{"ttl":"300s","data":["\"deep\""]}`,
	"records/example.test/steered/TXT":             `{"ttl":"300s","data":["\"beside\""]}`,
	"records/example.test/_acme-challenge.www/TXT": `{"ttl":"60s","data":["\"old\""]}`,
	"records/example.test/broken/TXT":              `{"data":["\"a\""],"surplus":1}`,
	"policies/steered.example.test":                `{"rules":[{"failover":["p"]}]}`,
}

// memory is a store of one process.
type memory struct {
	values   map[zones.Key]string
	revision int64
	before   func() // called between reading and writing
	err      error
	tries    int
}

func (m *memory) commit(ctx context.Context, s Scope, plan func([]zones.Change) ([]zones.Edit, error)) (int64, error) {
	for m.tries = 1; ; m.tries++ {
		if m.err != nil {
			return 0, m.err
		}
		read := m.read(s)
		edits, err := plan(read)
		if err != nil {
			return 0, err
		}
		if m.before != nil {
			m.before()
		}
		now := m.read(s)
		if !slices.EqualFunc(read, now, func(a, b zones.Change) bool {
			return a.Key == b.Key && a.Revision == b.Revision
		}) {
			continue
		}
		for _, e := range edits {
			if e.New == nil {
				delete(m.values, e.Key)
				continue
			}
			text, err := zones.Encode(e.New)
			if err != nil {
				return 0, err
			}
			m.values[e.Key] = string(text)
		}
		m.revision++
		return m.revision, ctx.Err()
	}
}

func (m *memory) read(s Scope) (all []zones.Change) {
	for _, k := range slices.Sorted(maps.Keys(m.values)) {
		if !slices.Contains(s.Keys, k) && !slices.Contains(s.Beside, k) &&
			!slices.ContainsFunc(s.Folders, func(f string) bool { return strings.HasPrefix(string(k), f) }) {
			continue
		}
		r, err := document.Decode(k, []byte(m.values[k]))
		sum := int64(0)
		for _, c := range []byte(m.values[k]) {
			sum = sum*31 + int64(c)
		}
		all = append(all, zones.Change{Key: k, Resource: r, Err: err, Revision: sum})
	}
	return all
}

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

var secret = bytes.Repeat([]byte{7}, 32)

func ring(t testing.TB) *tsig.Ring {
	t.Helper()
	var keys []*tsig.Key
	for _, name := range []string{"all", "acme", "nobody"} {
		k, err := tsig.NewKey(name, tsig.SHA256, secret)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	r, err := tsig.NewRing(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newUpdater(t testing.TB, m *memory, log *bytes.Buffer) *Updater {
	t.Helper()
	o := Options{Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)}
	if log != nil {
		o.Log = slog.New(slog.NewTextHandler(log, nil))
	}
	if m != nil {
		o.Commit = m.commit
	}
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// respond lets a server with the updater answer a message.
func respond(t testing.TB, d *Updater, message []byte, write func([]byte) error) {
	t.Helper()
	keys := ring(t)
	r, err := answer.New(answer.Options{
		Now:      d.o.Now,
		Handlers: answer.Handlers{Update: d.Handle, Keys: func() *tsig.Ring { return keys }},
	})
	if err != nil {
		t.Fatal(err)
	}
	from := netip.MustParseAddrPort("192.0.2.9:5353")
	w := r.Worker(r.Over(answer.Transport{Name: "udp", Size: wire.UDPSize}))
	if out, kind := w.Respond(message, from.Addr(), false, make([]byte, 0, wire.UDPSize)); kind == answer.Query {
		if len(out) > 0 {
			_ = write(out)
		}
		return
	}
	x := w.Later(message, from)
	x.Write = write
	if !r.Serve(t.Context(), x) {
		t.Fatalf("a panic while %x is answered", message)
	}
}

// send signs a message as miekg/dns does, unless key is "", lets the updater handle it, and checks the response's
// signature.
func send(t testing.TB, d *Updater, m *dns.Msg, key string) *dns.Msg {
	t.Helper()
	var packed []byte
	var err error
	var mac string
	if key == "" {
		packed, err = m.Pack()
	} else {
		m.SetTsig(key+".", dns.HmacSHA256, 300, now.Unix())
		packed, mac, err = dns.TsigGenerate(m, base64.StdEncoding.EncodeToString(secret), "", false)
	}
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	respond(t, d, packed, func(b []byte) error {
		got = append([]byte(nil), b...)
		return nil
	})
	reply := new(dns.Msg)
	if err := reply.Unpack(got); err != nil {
		t.Fatalf("the response cannot be read: %v: %x", err, got)
	}
	if reply.Id != m.Id || !reply.Response || reply.Opcode != dns.OpcodeUpdate || len(got) > 1232 {
		t.Errorf("not a response to the update: %v", reply)
	}
	if ts := reply.IsTsig(); key != "" && ts != nil && ts.Error == 0 {
		err := dns.TsigVerify(got, base64.StdEncoding.EncodeToString(secret), mac, false)
		if err != nil && !errors.Is(err, dns.ErrTime) &&
			!(errors.Is(err, dns.ErrAuth) && reply.Rcode == dns.RcodeNotAuth) {
			// The clock of miekg/dns is the real one, and it ignores NOTAUTH.
			t.Errorf("the response's signature: %v", err)
		}
	} else if key != "" {
		t.Errorf("the response to a signed update is not signed: %v", reply)
	}
	return reply
}

func rrs(t testing.TB, texts ...string) (all []dns.RR) {
	t.Helper()
	for _, text := range texts {
		r, err := dns.NewRR(strings.ReplaceAll(text, "$", "example.test."))
		if err != nil || r == nil {
			t.Fatalf("%s: %v", text, err)
		}
		all = append(all, r)
	}
	return all
}

// of returns any record of that name and type, where only these matter.
func of(t testing.TB, name, typ string) []dns.RR {
	t.Helper()
	return []dns.RR{&dns.RFC3597{Hdr: dns.RR_Header{
		Name:   strings.ReplaceAll(name, "$", "example.test."),
		Rrtype: dns.StringToType[typ],
	}}}
}

// TestSections goes through RFC 2136 section by section.
func TestSections(t *testing.T) {
	for _, c := range []struct {
		what  string
		key   string // "all" if empty
		build func(t *testing.T, m *dns.Msg)
		rcode int
		diff  string // "+key value" and "-key", sorted, a line each
	}{
		{what: "3.1.1 zone section of another type", build: func(t *testing.T, m *dns.Msg) {
			m.Question[0].Qtype = dns.TypeA
		}, rcode: dns.RcodeFormatError},
		{what: "3.1.1 two zones", build: func(t *testing.T, m *dns.Msg) {
			m.Question = append(m.Question, m.Question[0])
		}, rcode: dns.RcodeFormatError},
		{what: "3.1.2 a zone of others", build: func(t *testing.T, m *dns.Msg) {
			m.Question[0].Name = "other.test."
		}, rcode: dns.RcodeNotAuth},
		{what: "3.1.2 a name within the zone", build: func(t *testing.T, m *dns.Msg) {
			m.Question[0].Name = "www.example.test."
		}, rcode: dns.RcodeNotAuth},
		{what: "3.1.2 another class", build: func(t *testing.T, m *dns.Msg) {
			m.Question[0].Qclass = dns.ClassCHAOS
		}, rcode: dns.RcodeNotAuth},
		{what: "an update of nothing"},
		{what: "3.1.2 upper case", build: func(t *testing.T, m *dns.Msg) {
			m.Question[0].Name = "EXAMPLE.test."
			m.Insert(rrs(t, "New.EXAMPLE.Test. 60 A 192.0.2.7"))
		}, diff: `+records/example.test/new/A {"ttl":"1m","data":["192.0.2.7"]}`},

		{what: "2.4.1 RRset exists", build: func(t *testing.T, m *dns.Msg) { m.RRsetUsed(of(t, "www.$", "A")) }},
		{what: "2.4.1 RRset exists: not", build: func(t *testing.T, m *dns.Msg) {
			m.RRsetUsed(of(t, "www.$", "AAAA"))
		}, rcode: dns.RcodeNXRrset},
		{what: "2.4.1 of a wildcard: it is not expanded", build: func(t *testing.T, m *dns.Msg) {
			m.RRsetUsed(of(t, "nowhere.$", "TXT"))
		}, rcode: dns.RcodeNXRrset},
		{what: "2.4.1 SOA", build: func(t *testing.T, m *dns.Msg) { m.RRsetUsed(of(t, "$", "SOA")) }},
		{what: "2.4.1 NS", build: func(t *testing.T, m *dns.Msg) { m.RRsetUsed(of(t, "$", "NS")) }},
		{what: "2.4.1 a policy's addresses", build: func(t *testing.T, m *dns.Msg) {
			m.RRsetUsed(of(t, "steered.$", "A"))
		}},
		{what: "2.4.2 with values", build: func(t *testing.T, m *dns.Msg) {
			m.Used(rrs(t, "www.$ 0 A 192.0.2.2", "www.$ 0 A 192.0.2.1", "$ 0 MX 10 MAIL.$"))
		}},
		{what: "2.4.2 NS with values", build: func(t *testing.T, m *dns.Msg) {
			m.Used(rrs(t, "$ 0 NS ns2.$", "$ 0 NS NS1.$"))
		}},
		{what: "2.4.2 too few", build: func(t *testing.T, m *dns.Msg) {
			m.Used(rrs(t, "www.$ 0 A 192.0.2.2"))
		}, rcode: dns.RcodeNXRrset},
		{what: "2.4.2 too many", build: func(t *testing.T, m *dns.Msg) {
			m.Used(rrs(t, "www.$ 0 A 192.0.2.2", "www.$ 0 A 192.0.2.1", "www.$ 0 A 192.0.2.3"))
		}, rcode: dns.RcodeNXRrset},
		{what: "2.4.2 not there", build: func(t *testing.T, m *dns.Msg) {
			m.Used(rrs(t, "new.$ 0 A 192.0.2.2"))
		}, rcode: dns.RcodeNXRrset},
		{what: "2.4.2 SOA by value", build: func(t *testing.T, m *dns.Msg) {
			m.Used(rrs(t, "$ 0 SOA a. b. 1 2 3 4 5"))
		}, rcode: dns.RcodeRefused},
		{what: "2.4.3 RRset does not exist", build: func(t *testing.T, m *dns.Msg) {
			m.RRsetNotUsed(of(t, "www.$", "AAAA"))
		}},
		{what: "2.4.3 it does", build: func(t *testing.T, m *dns.Msg) {
			m.RRsetNotUsed(of(t, "www.$", "A"))
		}, rcode: dns.RcodeYXRrset},
		{what: "2.4.4 name in use", build: func(t *testing.T, m *dns.Msg) { m.NameUsed(of(t, "www.$", "A")) }},
		{what: "2.4.4 not in use", build: func(t *testing.T, m *dns.Msg) {
			m.NameUsed(of(t, "new.$", "A"))
		}, rcode: dns.RcodeNameError},
		{what: "2.4.4 an empty non-terminal is not in use", build: func(t *testing.T, m *dns.Msg) {
			m.NameUsed(of(t, "b.c.$", "A"))
		}, rcode: dns.RcodeNameError},
		{what: "2.4.4 a policy's name", build: func(t *testing.T, m *dns.Msg) { m.NameUsed(of(t, "steered.$", "A")) }},
		{what: "2.4.5 name not in use", build: func(t *testing.T, m *dns.Msg) { m.NameNotUsed(of(t, "new.$", "A")) }},
		{what: "2.4.5 in use", build: func(t *testing.T, m *dns.Msg) {
			m.NameNotUsed(of(t, "www.$", "A"))
		}, rcode: dns.RcodeYXDomain},
		{what: "3.2.5 a TTL", build: func(t *testing.T, m *dns.Msg) {
			m.NameUsed(of(t, "www.$", "A"))
			m.Answer[0].Header().Ttl = 1
		}, rcode: dns.RcodeFormatError},
		{what: "3.2.5 outside", build: func(t *testing.T, m *dns.Msg) {
			m.NameUsed(of(t, "www.other.test.", "A"))
		}, rcode: dns.RcodeNotZone},
		{what: "3.2.5 data", build: func(t *testing.T, m *dns.Msg) {
			m.Answer = rrs(t, "www.$ 0 A 192.0.2.2")
			m.Answer[0].Header().Class = dns.ClassANY
		}, rcode: dns.RcodeFormatError},
		{what: "3.2.5 a class", build: func(t *testing.T, m *dns.Msg) {
			m.Answer = rrs(t, "www.$ 0 A 192.0.2.2")
			m.Answer[0].Header().Class = dns.ClassCHAOS
		}, rcode: dns.RcodeFormatError},
		{what: "3.2 before 3.4: nothing is done", build: func(t *testing.T, m *dns.Msg) {
			m.NameNotUsed(of(t, "www.$", "A"))
			m.Insert(rrs(t, "new.$ 60 A 192.0.2.7"))
		}, rcode: dns.RcodeYXDomain},

		{what: "3.3 a key without a grant", key: "nobody", build: func(t *testing.T, m *dns.Msg) {
			m.Insert(rrs(t, "new.$ 60 A 192.0.2.7"))
		}, rcode: dns.RcodeRefused},
		{what: "3.3 a zone without grants", build: func(t *testing.T, m *dns.Msg) {
			m.Question[0].Name = "closed.test."
		}, rcode: dns.RcodeRefused},
		{what: "3.3 another name", key: "acme", build: func(t *testing.T, m *dns.Msg) {
			m.Insert(rrs(t, "new.$ 60 TXT a"))
		}, rcode: dns.RcodeRefused},
		{what: "3.3 another type", key: "acme", build: func(t *testing.T, m *dns.Msg) {
			m.Insert(rrs(t, "_acme-challenge.$ 60 A 192.0.2.7"))
		}, rcode: dns.RcodeRefused},
		{what: "3.3 all or nothing", key: "acme", build: func(t *testing.T, m *dns.Msg) {
			m.Insert(rrs(t, "_acme-challenge.$ 60 TXT a", "www.$ 60 TXT b"))
		}, rcode: dns.RcodeRefused},
		{what: "3.3 granted", key: "acme", build: func(t *testing.T, m *dns.Msg) {
			m.RemoveRRset(of(t, "_acme-challenge.www.$", "TXT"))
			m.Insert(rrs(t, "_acme-challenge.www.$ 120 TXT a", "_acme-challenge.www.$ 120 TXT b"))
		}, diff: `+records/example.test/_acme-challenge.www/TXT {"ttl":"2m","data":["\"a\"","\"b\""]}`},
		{what: "3.3 all of a name that has only what is granted", key: "acme", build: func(t *testing.T, m *dns.Msg) {
			m.RemoveName(of(t, "_acme-challenge.www.$", "ANY"))
		}, diff: "-records/example.test/_acme-challenge.www/TXT"},

		{what: "3.4.1.2 outside", build: func(t *testing.T, m *dns.Msg) {
			m.Insert(rrs(t, "www.other.test. 60 A 192.0.2.7"))
		}, rcode: dns.RcodeNotZone},
		{what: "3.4.1.2 in a child zone", build: func(t *testing.T, m *dns.Msg) {
			m.Insert(rrs(t, "www.child.$ 60 A 192.0.2.7"))
		}, rcode: dns.RcodeNotZone},
		{
			what: "3.4.1.2 the delegation of a child zone", build: func(t *testing.T, m *dns.Msg) {
				m.Insert(rrs(t, "child.$ 60 NS ns1.$"))
			},
			diff: `+records/example.test/child/NS {"ttl":"1m","data":["ns1.example.test."]}`,
		},
		{what: "3.4.1.2 a meta type", build: func(t *testing.T, m *dns.Msg) {
			m.Ns = []dns.RR{&dns.RFC3597{Hdr: dns.RR_Header{
				Name: "www.example.test.", Rrtype: dns.TypeAXFR,
				Class: dns.ClassINET,
			}, Rdata: "00"}}
		}, rcode: dns.RcodeFormatError},
		{what: "3.4.1.2 ANY of the zone's class", build: func(t *testing.T, m *dns.Msg) {
			m.Ns = []dns.RR{&dns.ANY{Hdr: dns.RR_Header{
				Name: "www.example.test.", Rrtype: dns.TypeANY,
				Class: dns.ClassINET,
			}}}
		}, rcode: dns.RcodeFormatError},
		{what: "3.4.1.2 ANY of class NONE", build: func(t *testing.T, m *dns.Msg) {
			m.Ns = []dns.RR{&dns.ANY{Hdr: dns.RR_Header{
				Name: "www.example.test.", Rrtype: dns.TypeANY,
				Class: dns.ClassNONE,
			}}}
		}, rcode: dns.RcodeFormatError},
		{what: "3.4.1.2 a deletion with a TTL", build: func(t *testing.T, m *dns.Msg) {
			m.RemoveName(of(t, "www.$", "A"))
			m.Ns[0].Header().Ttl = 1
		}, rcode: dns.RcodeFormatError},
		{what: "3.4.1.2 an addition without data", build: func(t *testing.T, m *dns.Msg) {
			m.Ns = []dns.RR{&dns.ANY{Hdr: dns.RR_Header{
				Name: "www.example.test.", Rrtype: dns.TypeA,
				Class: dns.ClassINET,
			}}}
		}, rcode: dns.RcodeFormatError},
		{what: "3.4.1.2 data that are none of the type", build: func(t *testing.T, m *dns.Msg) {
			m.Ns = []dns.RR{&dns.RFC3597{Hdr: dns.RR_Header{
				Name: "www.example.test.", Rrtype: dns.TypeA,
				Class: dns.ClassINET,
			}, Rdata: "c00002"}}
		}, rcode: dns.RcodeFormatError},
		{what: "3.4.1.3 nothing is done when the last is wrong", build: func(t *testing.T, m *dns.Msg) {
			m.Insert(rrs(t, "new.$ 60 A 192.0.2.7", "new.$ 60 A 192.0.2.8"))
			m.Ns[1].Header().Class = dns.ClassCHAOS
		}, rcode: dns.RcodeFormatError},

		{
			what: "3.4.2.2 add to an RRset; its TTL is the newest", build: func(t *testing.T, m *dns.Msg) {
				m.Insert(rrs(t, "www.$ 60 A 192.0.2.3"))
			},
			diff: `+records/example.test/www/A {"ttl":"1m","data":["192.0.2.1","192.0.2.2","192.0.2.3"]}`,
		},
		{what: "3.4.2.2 what is there already", build: func(t *testing.T, m *dns.Msg) {
			m.Insert(rrs(t, "www.$ 300 A 192.0.2.2", "$ 300 MX 10 Mail.$"))
		}},
		{
			what: "3.4.2.2 what is there already, another TTL", build: func(t *testing.T, m *dns.Msg) {
				m.Insert(rrs(t, "$ 60 MX 10 mail.$"))
			},
			diff: `+records/example.test/@/MX {"ttl":"1m","data":["10 mail"]}`,
		},
		{
			what: "3.4.2.2 TTL 0", build: func(t *testing.T, m *dns.Msg) { m.Insert(rrs(t, "new.$ 0 A 192.0.2.3")) },
			diff: `+records/example.test/new/A {"ttl":"0s","data":["192.0.2.3"]}`,
		},
		{what: "3.4.2.2 many types", build: func(t *testing.T, m *dns.Msg) {
			m.Compress = true
			m.Insert(rrs(t, "new.$ 60 SRV 1 2 3 srv.$", "new.$ 60 TYPE65280 \\# 2 beef",
				`new.$ 60 NAPTR 1 2 "u" "sip" "!a!b!" r.$`,
				`new.$ 60 TXT "two" "strings"`, "new.$ 60 CAA 0 issue ca.test", "new.$ 60 PTR www.$"))
		}, diff: strings.Join([]string{
			`+records/example.test/new/CAA {"ttl":"1m","data":["0 issue \"ca.test\""]}`,
			`+records/example.test/new/NAPTR {"ttl":"1m","data":["1 2 \"u\" \"sip\" \"!a!b!\" r.example.test."]}`,
			`+records/example.test/new/PTR {"ttl":"1m","data":["www.example.test."]}`,
			`+records/example.test/new/SRV {"ttl":"1m","data":["1 2 3 srv.example.test."]}`,
			`+records/example.test/new/TXT {"ttl":"1m","data":["\"two\" \"strings\""]}`,
			`+records/example.test/new/TYPE65280 {"ttl":"1m","data":["\\# 2 BEEF"]}`,
		}, "\n")},
		{what: "3.4.2.2 SOA", build: func(t *testing.T, m *dns.Msg) {
			m.Insert(rrs(t, "$ 60 SOA a. b. 9999999 2 3 4 5"))
		}, rcode: dns.RcodeRefused},
		{what: "3.4.2.2 SOA elsewhere", build: func(t *testing.T, m *dns.Msg) {
			m.Insert(rrs(t, "www.$ 60 SOA a. b. 9999999 2 3 4 5"))
		}, rcode: dns.RcodeRefused},
		{what: "3.4.2.2 NS of the apex", build: func(t *testing.T, m *dns.Msg) {
			m.Insert(rrs(t, "$ 60 NS ns3.$"))
		}, rcode: dns.RcodeRefused},
		{what: "3.4.2.2 NS of the apex that is there", build: func(t *testing.T, m *dns.Msg) {
			m.Insert(rrs(t, "$ 60 NS ns2.$"))
		}},
		{what: "3.4.2.2 CNAME beside others is passed over", build: func(t *testing.T, m *dns.Msg) {
			m.Insert(rrs(t, "www.$ 60 CNAME a.$", "$ 60 CNAME a.$"))
		}},
		{what: "3.4.2.2 others beside a CNAME are passed over", build: func(t *testing.T, m *dns.Msg) {
			m.Insert(rrs(t, "alias.$ 60 A 192.0.2.3"))
		}},
		{
			what: "3.4.2.2 a CNAME replaces a CNAME", build: func(t *testing.T, m *dns.Msg) {
				m.Insert(rrs(t, "alias.$ 60 CNAME a.$"))
			},
			diff: `+records/example.test/alias/CNAME {"ttl":"1m","data":["a.example.test."]}`,
		},
		{
			what: "3.4.2.2 a CNAME takes the place of what the same update deletes",
			build: func(t *testing.T, m *dns.Msg) {
				m.RemoveName(of(t, "www.$", "A"))
				m.Insert(rrs(t, "www.$ 60 CNAME a.$"))
			}, diff: "+records/example.test/www/CNAME " +
				"{\"ttl\":\"1m\",\"data\":[\"a.example.test.\"]}\n" +
				"-records/example.test/www/A\n-records/example.test/www/TXT",
		},
		{what: "signatures are made, not given", build: func(t *testing.T, m *dns.Msg) {
			m.Insert(rrs(t, "www.$ 60 NSEC a.$ A"))
		}, rcode: dns.RcodeRefused},

		{what: "3.4.2.3 delete an RRset", build: func(t *testing.T, m *dns.Msg) {
			m.RemoveRRset(of(t, "www.$", "A"))
		}, diff: "-records/example.test/www/A"},
		{what: "3.4.2.3 that is not there", build: func(t *testing.T, m *dns.Msg) {
			m.RemoveRRset(of(t, "www.$", "AAAA"))
		}},
		{what: "3.4.2.3 all of a name", build: func(t *testing.T, m *dns.Msg) {
			m.RemoveName(of(t, "www.$", "A"))
		}, diff: "-records/example.test/www/A\n-records/example.test/www/TXT"},
		{what: "3.4.2.3 all of the apex but SOA and NS", build: func(t *testing.T, m *dns.Msg) {
			m.RemoveName(of(t, "$", "A"))
		}, diff: "-records/example.test/@/MX"},
		{what: "3.4.2.3 SOA and NS of the apex stay", build: func(t *testing.T, m *dns.Msg) {
			m.RemoveRRset(of(t, "$", "SOA"))
			m.RemoveRRset(of(t, "$", "NS"))
		}},
		{
			what: "3.4.2.4 delete one", build: func(t *testing.T, m *dns.Msg) {
				m.Remove(rrs(t, "www.$ 60 A 192.0.2.1"))
			},
			diff: `+records/example.test/www/A {"ttl":"5m","data":["192.0.2.2"]}`,
		},
		{what: "3.4.2.4 delete the last", build: func(t *testing.T, m *dns.Msg) {
			m.Remove(rrs(t, "$ 60 MX 10 MAIL.$"))
		}, diff: "-records/example.test/@/MX"},
		{what: "3.4.2.4 that is not there", build: func(t *testing.T, m *dns.Msg) {
			m.Remove(rrs(t, "www.$ 60 A 192.0.2.9"))
		}},
		{what: "3.4.2.4 NS of the apex", build: func(t *testing.T, m *dns.Msg) {
			m.Remove(rrs(t, "$ 60 NS ns1.$"))
		}, rcode: dns.RcodeRefused},
		{what: "3.4.2.4 SOA", build: func(t *testing.T, m *dns.Msg) { m.Remove(rrs(t, "$ 60 SOA a. b. 1 2 3 4 5")) }},
		{what: "3.4.2 in order: deleted, and added again", build: func(t *testing.T, m *dns.Msg) {
			m.Insert(rrs(t, "new.$ 60 A 192.0.2.1"))
			m.RemoveRRset(of(t, "new.$", "A"))
		}},

		{what: "a policy's name, A", build: func(t *testing.T, m *dns.Msg) {
			m.Insert(rrs(t, "steered.$ 60 A 192.0.2.1"))
		}, rcode: dns.RcodeRefused},
		{what: "a policy's name, CNAME", build: func(t *testing.T, m *dns.Msg) {
			m.Insert(rrs(t, "steered.$ 60 CNAME a."))
		}, rcode: dns.RcodeRefused},
		{what: "a policy's name, delete AAAA", build: func(t *testing.T, m *dns.Msg) {
			m.RemoveRRset(of(t, "steered.$", "AAAA"))
		}, rcode: dns.RcodeRefused},
		{what: "a policy's name, delete all", build: func(t *testing.T, m *dns.Msg) {
			m.RemoveName(of(t, "steered.$", "A"))
		}, rcode: dns.RcodeRefused},
		{what: "a policy's name, TXT", build: func(t *testing.T, m *dns.Msg) {
			m.RemoveRRset(of(t, "steered.$", "TXT"))
		}, diff: "-records/example.test/steered/TXT"},
		{what: "a record that cannot be read", build: func(t *testing.T, m *dns.Msg) {
			m.Insert(rrs(t, "broken.$ 60 TXT a"))
		}, rcode: dns.RcodeServerFailure},
	} {
		t.Run(c.what, func(t *testing.T) {
			store := &memory{values: maps.Clone(stored)}
			d := newUpdater(t, store, nil)
			m := new(dns.Msg).SetUpdate("example.test.")
			m.SetEdns0(1232, false)
			if c.build != nil {
				c.build(t, m)
			}
			key := c.key
			if key == "" {
				key = "all"
			}
			reply := send(t, d, m, key)
			if reply.Rcode != c.rcode {
				t.Errorf("%s, want %s: %s", dns.RcodeToString[reply.Rcode], dns.RcodeToString[c.rcode], extended(reply))
			}
			if got := difference(store.values); got != c.diff {
				t.Errorf("changed:\n%s\nwant:\n%s", got, c.diff)
			}
			if n := testutil.ToFloat64(d.count.WithLabelValues(wire.RcodeName(uint16(c.rcode)))); n != 1 {
				t.Errorf("counted %v times", n)
			}
			if c.rcode == dns.RcodeRefused && extended(reply) == "" {
				t.Error("refused without a word")
			}
		})
	}
}

// extended returns the text of the Extended DNS Error.
func extended(m *dns.Msg) string {
	if o := m.IsEdns0(); o != nil {
		for _, option := range o.Option {
			if e, ok := option.(*dns.EDNS0_EDE); ok {
				return e.ExtraText
			}
		}
	}
	return ""
}

func difference(values map[zones.Key]string) string {
	var lines []string
	for k, v := range values {
		if stored[k] != v {
			lines = append(lines, "+"+string(k)+" "+v)
		}
	}
	for k := range stored {
		if _, ok := values[k]; !ok {
			lines = append(lines, "-"+string(k))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestUnsigned: nobody can update without a key, or with a wrong one.
func TestUnsigned(t *testing.T) {
	store := &memory{values: maps.Clone(stored)}
	var log bytes.Buffer
	d := newUpdater(t, store, &log)
	m := new(dns.Msg).SetUpdate("example.test.")
	m.Insert(rrs(t, "new.$ 60 A 192.0.2.1"))
	if r := send(t, d, m, ""); r.Rcode != dns.RcodeRefused {
		t.Errorf("unsigned: %v", r)
	}
	for what, c := range map[string]struct {
		key, secret string
		at          time.Time
		tsigError   uint16
	}{
		"unknown key":  {"stranger.", base64.StdEncoding.EncodeToString(secret), now, dns.RcodeBadKey},
		"wrong secret": {"all.", base64.StdEncoding.EncodeToString([]byte("wrong")), now, dns.RcodeBadSig},
		"old":          {"all.", base64.StdEncoding.EncodeToString(secret), now.Add(-time.Hour), dns.RcodeBadTime},
	} {
		m := new(dns.Msg).SetUpdate("example.test.")
		m.Insert(rrs(t, "new.$ 60 A 192.0.2.1"))
		m.SetTsig(c.key, dns.HmacSHA256, 300, c.at.Unix())
		packed, _, err := dns.TsigGenerate(m, c.secret, "", false)
		if err != nil {
			t.Fatal(err)
		}
		reply := new(dns.Msg)
		respond(t, d, packed, func(b []byte) error { return reply.Unpack(b) })
		if ts := reply.IsTsig(); reply.Rcode != dns.RcodeNotAuth || ts == nil || ts.Error != c.tsigError {
			t.Errorf("%s: %v", what, reply)
		}
	}
	if got := difference(store.values); got != "" {
		t.Errorf("changed: %s", got)
	}
	if n := strings.Count(log.String(), "update refused"); n != 1 {
		t.Errorf("%d lines for four updates of strangers within a second, want 1:\n%s", n, &log)
	}
}

// TestAgain: if somebody else was faster, an update is evaluated again on the new state.
func TestAgain(t *testing.T) {
	store := &memory{values: maps.Clone(stored)}
	var log bytes.Buffer
	d := newUpdater(t, store, &log)
	faster := func(value string) {
		store.before = func() {
			store.values["records/example.test/www/A"] = value
			store.before = nil
		}
	}
	faster(`{"ttl":"5m","data":["192.0.2.1","192.0.2.2","192.0.2.4"]}`)
	m := new(dns.Msg).SetUpdate("example.test.")
	m.Insert(rrs(t, "www.$ 300 A 192.0.2.3"))
	if r := send(t, d, m, "all"); r.Rcode != 0 || store.tries != 2 {
		t.Errorf("%d tries: %v", store.tries, r)
	}
	want := `{"ttl":"5m","data":["192.0.2.1","192.0.2.2","192.0.2.4","192.0.2.3"]}`
	if got := store.values["records/example.test/www/A"]; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if !strings.Contains(log.String(), "+www A 192.0.2.3") || !strings.Contains(log.String(), "key=all") ||
		!strings.Contains(log.String(), "revision=1") {
		t.Errorf("the log does not say what was done:\n%s", &log)
	}

	faster(`{"ttl":"5m","data":["192.0.2.9"]}`)
	m = new(dns.Msg).SetUpdate("example.test.")
	m.Used(rrs(t, "www.$ 0 A 192.0.2.1", "www.$ 0 A 192.0.2.2", "www.$ 0 A 192.0.2.3", "www.$ 0 A 192.0.2.4"))
	m.RemoveRRset(of(t, "www.$", "A"))
	if r := send(t, d, m, "all"); r.Rcode != dns.RcodeNXRrset || store.values["records/example.test/www/A"] == "" {
		t.Errorf("a prerequisite that no longer holds: %v", r)
	}
}

func TestStoreAway(t *testing.T) {
	store := &memory{values: maps.Clone(stored), err: errors.New("no quorum")}
	update := func() *dns.Msg { return new(dns.Msg).SetUpdate("example.test.") }
	d := newUpdater(t, store, nil)
	if r := send(t, d, update(), "all"); r.Rcode != dns.RcodeServerFailure {
		t.Errorf("without the store: %v", r)
	}
	store.err = fmt.Errorf("much: %w", ErrTooMuch)
	if r := send(t, d, update(), "all"); r.Rcode != dns.RcodeRefused {
		t.Errorf("more than a transaction: %v", r)
	}
	d.turn <- struct{}{} // it is somebody else's turn for ever
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if o := d.make(ctx, &message{zone: question{typ: 6, class: 1}}, "all"); !errors.Is(o.err, context.Canceled) {
		t.Errorf("waiting for a turn that does not come: %v", o.err)
	}
	if r := send(t, newUpdater(t, nil, nil), update(), "all"); r.Rcode != dns.RcodeRefused {
		t.Errorf("resources in files: %v", r)
	}
}

// TestPublished: an update gets its answer once it is published, whether it has changed anything or not. Meanwhile
// others are made. An update that is refused waits for nothing.
func TestPublished(t *testing.T) {
	store := &memory{values: maps.Clone(stored)}
	d := newUpdater(t, store, nil)
	var waited []int64
	update := func(key, record string) {
		m := new(dns.Msg).SetUpdate("example.test.")
		m.Insert(rrs(t, record))
		send(t, d, m, key)
	}
	d.o.Published = func(_ context.Context, revision int64) {
		if waited = append(waited, revision); len(waited) == 1 {
			update("all", "new.$ 60 A 192.0.2.8")
		}
	}
	update("all", "new.$ 60 A 192.0.2.7")
	update("all", "new.$ 60 A 192.0.2.7")
	update("nobody", "new.$ 60 A 192.0.2.7")
	if !slices.Equal(waited, []int64{1, 2, 3}) {
		t.Errorf("revisions waited for: %v", waited)
	}
}

// TestManyNames: one update may have as many names as a message holds. What the store does not accept is refused, and
// the refusal says why.
func TestManyNames(t *testing.T) {
	const names = 1000
	store := &memory{values: maps.Clone(stored)}
	d := newUpdater(t, store, nil)
	m := new(dns.Msg).SetUpdate("example.test.")
	m.SetEdns0(1232, false)
	for i := range names {
		m.Insert(rrs(t, fmt.Sprintf("h%d.deep.$ 60 A 192.0.2.1", i)))
	}
	m.Compress = true
	if reply := send(t, d, m, "all"); reply.Rcode != dns.RcodeSuccess || len(store.values) != len(stored)+names ||
		store.revision != 1 {
		t.Errorf("%s, %d new, in %d revisions", dns.RcodeToString[reply.Rcode], len(store.values)-len(stored),
			store.revision)
	}
	store.err = fmt.Errorf("%w: 5000 changes", ErrTooMuch)
	if reply := send(t, d, m, "all"); reply.Rcode != dns.RcodeRefused ||
		!strings.Contains(extended(reply), "send it in parts") {
		t.Errorf("%s: %s", dns.RcodeToString[reply.Rcode], extended(reply))
	}
}

// FuzzUpdate: whatever comes, there is one response, and everything that was written can be read.
func FuzzUpdate(f *testing.F) {
	seed := func(build func(m *dns.Msg)) {
		m := new(dns.Msg).SetUpdate("example.test.")
		m.Id = 1
		build(m)
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	seed(func(m *dns.Msg) { m.Insert(rrs(f, "new.$ 60 A 192.0.2.1", "$ 60 MX 10 mail.$")) })
	seed(func(m *dns.Msg) {
		m.Compress = true
		m.Insert(rrs(f, "new.$ 60 SRV 1 2 3 www.$", `new.$ 60 NAPTR 1 2 "u" "s" "r" .`))
	})
	seed(func(m *dns.Msg) { m.RemoveName(of(f, "www.$", "A")); m.Insert(rrs(f, "www.$ 60 CNAME a.$")) })
	seed(func(m *dns.Msg) { m.Used(rrs(f, "www.$ 0 A 192.0.2.1")); m.NameNotUsed(of(f, "new.$", "A")) })
	seed(func(m *dns.Msg) { m.RRsetUsed(of(f, "www.$", "A")); m.Remove(rrs(f, "www.$ 60 A 192.0.2.1")) })
	seed(func(m *dns.Msg) { m.SetEdns0(1232, true); m.RRsetNotUsed(of(f, "www.$", "AAAA")) })
	seed(func(m *dns.Msg) { m.Insert(rrs(f, "$ 60 SOA a. b. 1 2 3 4 5", "new.$ 60 TYPE65280 \\# 2 beef")) })
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parse(b)
		if len(b) < 12 {
			if err == nil {
				t.Fatal("a header of less than twelve octets is taken")
			}
			return
		}
		if err == nil {
			store := &memory{values: maps.Clone(stored)}
			edits, _, err := evaluate(m, "all", store.read(m.scope()), nil)
			if err != nil && len(edits) > 0 {
				t.Fatal("edits beside an error")
			}
			for _, e := range edits {
				if e.New == nil {
					continue
				}
				text, err := zones.Encode(e.New)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := document.Decode(e.Key, text); err != nil {
					t.Fatalf("%s is written as %s, and cannot be read: %v", e.Key, text, err)
				}
			}
			say(edits)
		}
		sent := 0
		if b[2]&0x80 != 0 {
			return // a response
		}
		respond(t, newUpdater(t, nil, nil), b, func(r []byte) error {
			sent++
			if len(r) < 12 || r[2]&0x80 == 0 || len(r) > 1232 {
				t.Fatalf("the response %x", r)
			}
			return nil
		})
		if sent != 1 {
			t.Fatalf("%d responses", sent)
		}
	})
}
