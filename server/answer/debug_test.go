package answer

import (
	"bytes"
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"leeward/geo"
	"leeward/server/tsig"
	"leeward/server/wire"
	"leeward/zones/catalog"
	"leeward/zones/dnssec"
)

const debugZone = `{kind: Zone, name: example.test, nameservers: [ns1.example.test, ns2.example.test],
  hostmaster: hostmaster@example.test, ttl: 300s, negativeTTL: 30s, debug: [198.51.100.7, key ops, "2001:db8::/32"]}
---
{kind: Zone, name: sub.other.test, nameservers: [ns1.example.test]}
---
{kind: Zone, name: other.test, nameservers: [ns1.example.test], debug: [198.51.100.7]}
`

// newDebug returns a responder that serves the fixture with a debug name, and one that serves it without.
func newDebug(t testing.TB, change ...func(*Options)) (on, off *Responder) {
	t.Helper()
	on, off = newResponder(t, change...), newResponder(t, change...)
	with, without := newFixture(t), newFixture(t)
	with.apply(t, debugZone)
	without.apply(t, strings.NewReplacer(`, debug: [198.51.100.7, key ops, "2001:db8::/32"]`, "",
		", debug: [198.51.100.7]", "").Replace(debugZone))
	on.Publish(with.state())
	off.Publish(without.state())
	return on, off
}

// factsOf reads what a debug name says.
func factsOf(t testing.TB, m *dns.Msg) (text string) {
	t.Helper()
	for _, r := range m.Answer {
		txt, is := r.(*dns.TXT)
		if !is || len(txt.Txt) != 2 || txt.Hdr.Ttl != 0 {
			t.Fatalf("not a fact with TTL 0: %v", r)
		}
		text += txt.Txt[0] + ": " + txt.Txt[1] + "\n"
	}
	return text
}

func TestDebugName(t *testing.T) {
	on, _ := newDebug(t)
	w := on.newWorker(udp)
	for _, c := range []struct{ dig, want string }{
		{"dig _leeward.example.test. TXT", `
server: lee-1
revision: 1002
resolver: 198.51.100.7 over udp
subnet: none was sent: the resolver is located
location: unknown
`},
		{"dig www._Leeward.example.test. TXT ecs=203.0.113.0/24", `
server: lee-1
revision: 1002
resolver: 198.51.100.7 over udp
subnet: 203.0.113.0/24
location: unknown
name: www.example.test
A: pool www-us of us-east, TTL 30; scope /24; rule 0, when prefixes [203.0.113.0/24 2001:db8:77::/48]
AAAA: pool www-eu of eu-west, TTL 30; scope /24; rule 0, when prefixes [203.0.113.0/24 2001:db8:77::/48]
`},
		{"dig www._leeward.example.test. TXT client=2001:db8::1 ecs=0.0.0.0/0", `
server: lee-1
revision: 1002
resolver: 2001:db8::1 over udp
subnet: withheld (/0): the resolver is located
location: unknown
name: www.example.test
A: pool www-eu of eu-west, TTL 30; scope /42; rule 1, every client
AAAA: pool www-eu of eu-west, TTL 30; scope /42; rule 1, every client
`},
		{"dig mail._leeward.example.test. TXT", "\nA: records of the zone, the same for all clients\n" +
			"AAAA: no such record (NODATA)\n"},
		{"dig missing._leeward.example.test. TXT", "\nA: no such name (NXDOMAIN)\n"},
		{"dig x.sub._leeward.example.test. TXT", "\nA: a referral: it is delegated\n"},
		{"dig alias._leeward.example.test. TXT", "\nA: a CNAME, the same for all clients, to mail.example.test\n"},
		{"dig x.sub._leeward.other.test. TXT", "\nA: it is in another zone of this server, sub.other.test\n"},
		{"dig _leeward._leeward.example.test. TXT", "\nname: _leeward.example.test\nA: no such name (NXDOMAIN)\n"},
	} {
		q, err := readInquiry(c.dig)
		if err != nil {
			t.Fatal(err)
		}
		m := ask(t, w, q)
		got := "\n" + factsOf(t, m)
		if full := strings.HasPrefix(c.want, "\nserver"); full && got != c.want || !strings.Contains(got, c.want) ||
			!m.Authoritative {
			t.Errorf("%s: %s", c.dig, got)
		}
		if opt := m.IsEdns0(); opt != nil && len(opt.Option) > 0 {
			if s := opt.Option[0].(*dns.EDNS0_SUBNET); s.SourceScope != s.SourceNetmask {
				t.Errorf("%s: scope %d: the answer shows the prefix", c.dig, s.SourceScope)
			}
		}
	}
	for _, dig := range []string{"dig _leeward.example.test. A", "dig x.y._leeward.example.test. NS"} {
		q, _ := readInquiry(dig)
		// Resolvers ask for these on the way to a name below. They must exist, and must not be cached (RFC 9156, RFC
		// 2308).
		if m := ask(t, w, q); m.Rcode != dns.RcodeSuccess || len(m.Answer) > 0 || len(m.Ns) != 1 ||
			m.Ns[0].Header().Ttl != 0 || m.Ns[0].Header().Rrtype != dns.TypeSOA {
			t.Errorf("%s: %v", dig, m)
		}
	}
}

// TestDebugNameLocates: the debug name shows the client where policies find it, by its prefix or by its resolver.
func TestDebugNameLocates(t *testing.T) {
	table, err := geo.Open(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t)
	f.apply(t, debugZone)
	f.snapshot, _ = f.builder.Update(f.catalog, catalog.Delta{}, table)
	r := newResponder(t)
	r.Publish(f.state())
	w := r.newWorker(udp)
	for dig, want := range map[string]string{
		"dig _leeward.example.test. TXT ecs=193.0.6.0/24":                         "location: EU, NL",
		"dig _leeward.example.test. TXT client=2001:db8::1":                       "location: AS, JP",
		"dig _leeward.example.test. TXT ecs=10.0.0.0/8 client=198.51.100.7":       "location: OC, AU",
		"dig _leeward.example.test. TXT ecs=2001:67c:2e8::/48":                    "location: EU, NL",
		"dig mail._leeward.example.test. TXT ecs=193.0.6.0/24 client=2001:db8::1": "location: EU, NL",
	} {
		q, err := readInquiry(dig)
		if err != nil {
			t.Fatal(err)
		}
		if got := factsOf(t, ask(t, w, q)); !strings.Contains(got, want) {
			t.Errorf("%s: %s", dig, got)
		}
	}
	if l := f.snapshot.Locate(netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("193.0.6.139")); l.Country != "NL" {
		t.Errorf("a private address is in %q, and its resolver in NL", l.Country)
	}
}

// TestDebugNameOfKey: whoever has the key may ask from anywhere. For all others there is no debug name.
func TestDebugNameOfKey(t *testing.T) {
	secret := []byte("a secret of thirty-two octets...")
	ops, err := tsig.NewKey("ops", tsig.SHA256, secret)
	if err != nil {
		t.Fatal(err)
	}
	other, _ := tsig.NewKey("other", tsig.SHA256, secret)
	ring, _ := tsig.NewRing(ops, other)
	on, _ := newDebug(t, func(o *Options) { o.Handlers.Keys = func() *tsig.Ring { return ring } })
	for key, rcode := range map[*tsig.Key]int{ops: dns.RcodeSuccess, other: dns.RcodeNameError} {
		request, _ := question("_leeward.example.test.", dns.TypeTXT).Pack()
		signed, answers := key.Request(request, time.Now())
		w := on.newWorker(udp)
		if _, kind := w.Respond(signed, netip.MustParseAddr("192.0.2.99"), false, nil); kind != Signed {
			t.Fatal("a query that is signed is not taken for one")
		}
		x := w.Later(signed, netip.MustParseAddrPort("192.0.2.99:53"))
		var m dns.Msg
		x.Write = func(message []byte) error {
			if err := answers.Next(message, time.Now()); err != nil {
				t.Error(err)
			}
			return m.Unpack(message)
		}
		if on.Serve(context.Background(), x); m.Rcode != rcode {
			t.Errorf("key %s: %v", key.Name, &m)
		}
	}
}

// TestDebugNameIsHidden: those who may not ask get, octet by octet, what a server without debug names answers.
func TestDebugNameIsHidden(t *testing.T) {
	on, off := newDebug(t)
	name := rapid.SampledFrom([]string{
		"_leeward.example.test.", "www._leeward.example.test.", "example.test.", "www.example.test.",
		"_leeward.wild.example.test.", "_leeward.sub.example.test.", "_leeward.www.example.test.", "x._leeward.",
		"_leeward.",
		"_leeward.other.test.", "a.sub._leeward.other.test.", "_leeward.sub.other.test.", "_leeward.elsewhere.invalid.",
		`\008_leeward.example.test.`, "x_leeward.example.test.", "_leewar.example.test.",
	})
	rapid.Check(t, func(t *rapid.T) {
		typ := rapid.SampledFrom([]uint16{1, 2, 6, 16, 28, 43, 46, 47, 255}).Draw(t, "type")
		m := question(name.Draw(t, "name"), typ)
		if rapid.Bool().Draw(t, "edns") {
			m.SetEdns0(1232, rapid.Bool().Draw(t, "do"))
		}
		request, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		client := netip.MustParseAddr(rapid.SampledFrom([]string{"198.51.100.8", "2001:db9::1", "::ffff:198.51.100.7"}).
			Draw(t, "client"))
		a := on.newWorker(udp).answer(request, client, make([]byte, 0, wire.UDPSize))
		b := off.newWorker(udp).answer(request, client, make([]byte, 0, wire.UDPSize))
		if !bytes.Equal(a, b) {
			t.Fatalf("% x\n% x", a, b)
		}
	})
	// Those who may ask get the same for names that are no debug name.
	for _, dig := range []string{
		"dig _leeward.wild.example.test. TXT", "dig _leeward.sub.example.test. TXT", "dig www.example.test. A",
		"dig _leeward.sub.other.test. TXT", "dig _leeward.www.example.test. TXT",
		"dig x._leeward.www.example.test. TXT",
	} {
		q, _ := readInquiry(dig)
		if a, b := show(ask(t, on.newWorker(udp), q)), show(ask(t, off.newWorker(udp), q)); a != b {
			t.Errorf("%s:\n%s%s", dig, a, b)
		}
	}
}

// TestDebugNameIsSmall: whatever is asked, the size of an answer is bounded.
func TestDebugNameIsSmall(t *testing.T) {
	on, _ := newDebug(t, func(o *Options) { o.ID = strings.Repeat("i", 128) })
	label := strings.Repeat("\\000", 55)
	q, err := readInquiry("dig www._leeward.example.test. TXT ecs=2001:db8:77::/48 tcp client=2001:db8::1")
	if err != nil {
		t.Fatal(err)
	}
	q.message.SetQuestion(label+"."+label+"."+label+"."+label+"._leeward.example.test.", dns.TypeTXT)
	m := ask(t, on.newWorker(tcp), q)
	factsOf(t, m)
	if m.Compress = true; m.Len() > 1300 {
		t.Errorf("%d octets:\n%v", m.Len(), m)
	}
}

// TestDebugNameSigned: in a signed zone, whoever asks for signatures gets valid ones, for what exists and for what does
// not, with every kind of denial. They are not kept.
func TestDebugNameSigned(t *testing.T) {
	for _, settings := range []string{"enabled: true", "enabled: true, nsec3: true"} {
		k, err := dnssec.Generate("\x06signed\x04test\x00", dnssec.FlagsCSK, dnssec.ECDSAP256)
		if err != nil {
			t.Fatal(err)
		}
		f, key := newSignedBy(t, dnssec.Alone(k)), asMiekg(k)
		f.apply(t, `{kind: Zone, name: signed.test, nameservers: [ns.signed.test], debug: [192.0.2.99],
			dnssec: {`+settings+`}}`)
		r, err := New(Options{ID: "lee-1"})
		if err != nil {
			t.Fatal(err)
		}
		r.Publish(f.state())
		w, client := r.newWorker(udp), netip.MustParseAddr("192.0.2.99")
		get := func(name string, typ uint16, do bool) *dns.Msg {
			t.Helper()
			m := new(dns.Msg)
			out := make([]byte, 0, wire.UDPSize)
			if err := m.Unpack(w.answer(signedRequest(t, name, typ, do), client, out)); err != nil {
				t.Fatal(err)
			}
			return m
		}
		get("signed.test.", dns.TypeSOA, true)
		for _, name := range []string{"_leeward.signed.test.", "one._leeward.signed.test."} {
			for _, typ := range []uint16{dns.TypeTXT, dns.TypeA, dns.TypeDS, dns.TypeNS} {
				reply := get(name, typ, true)
				verified := 0
				records := slices.Concat(reply.Answer, reply.Ns)
				for _, x := range records {
					s, is := x.(*dns.RRSIG)
					if !is {
						continue
					}
					var set []dns.RR
					for _, y := range records {
						if y.Header().Rrtype == s.TypeCovered && y.Header().Name == s.Hdr.Name {
							set = append(set, y)
						}
					}
					if err := s.Verify(key, set); err != nil {
						t.Errorf("%s %d: %v: %v", name, typ, s, err)
					}
					verified += len(set)
				}
				if reply.Rcode != dns.RcodeSuccess || verified == 0 || verified*2 < len(records)-verified {
					t.Errorf("%s %d: %d of %d are signed: %v", name, typ, verified, len(records), reply)
				}
				for _, x := range reply.Ns {
					switch x := x.(type) {
					case *dns.NSEC:
						if x.Hdr.Name != name || slices.Contains(x.TypeBitMap, typ) ||
							x.NextDomain != `\000.`+name {
							t.Errorf("%s %d is not denied by %v", name, typ, x)
						}
					case *dns.NSEC3:
						if !x.Match(name) || slices.Contains(x.TypeBitMap, typ) {
							t.Errorf("%s %d is not denied by %v", name, typ, x)
						}
					}
				}
			}
			reply := get(name, dns.TypeTXT, false)
			if len(reply.Answer) < 5 || reply.Answer[0].Header().Rrtype != dns.TypeTXT {
				t.Error(reply)
			}
			if reply := get(name, dns.TypeRRSIG, false); len(reply.Answer) != 1 {
				t.Error(reply)
			}
		}
		signer := w.found.Signer()
		held := signer.Now().Len()
		for range 2 * signaturesAtOnce { // beyond the budget, an error is better than a bogus answer
			reply := get("_leeward.signed.test.", dns.TypeTXT, true)
			if len(reply.Answer) > 0 && reply.Answer[len(reply.Answer)-1].Header().Rrtype != dns.TypeRRSIG {
				t.Fatal(reply)
			}
			if reply.Rcode != dns.RcodeSuccess && len(reply.Answer) > 0 {
				t.Fatal(reply)
			}
		}
		if now := signer.Now().Len(); now != held {
			t.Errorf("%d signatures are kept of what is answered once", now-held)
		}
	}
}

// TestDebugCostsNothing: with a debug name on, other queries still allocate nothing.
func TestDebugCostsNothing(t *testing.T) {
	on, _ := newDebug(t)
	w := on.newWorker(udp)
	for _, dig := range []string{
		"dig www.example.test. A ecs=203.0.113.0/24", "dig missing.example.test. A",
		"dig _leeward.example.test. TXT client=192.0.2.99",
	} {
		q, _ := readInquiry(dig)
		request, _ := q.message.Pack()
		out := make([]byte, 0, wire.UDPSize)
		if n := testing.AllocsPerRun(100, func() { w.answer(request, q.client, out) }); n != 0 {
			t.Errorf("%s: %v allocations", dig, n)
		}
	}
}

// BenchmarkDebug is what a debug name adds to the cost of other queries.
func BenchmarkDebug(b *testing.B) {
	for _, c := range costs[:9] {
		q, err := readInquiry(c.dig)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(c.name, func(b *testing.B) {
			on, off := newDebug(b)
			compare(b, [2]string{"off", "on"}, [2]func(){
				batchOf(b, off.newWorker(udp), q), batchOf(b, on.newWorker(udp), q),
			})
		})
	}
}
