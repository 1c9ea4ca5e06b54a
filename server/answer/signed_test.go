package answer

import (
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/server/wire"
	"leeward/zones/catalog"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
)

const signedDocuments = `{kind: Zone, name: signed.test, nameservers: [ns.signed.test], dnssec: {enabled: true}}
---
{kind: Record, name: signed.test/ns/A, data: [192.0.2.53]}
---
{kind: Record, name: "signed.test/*.wild/TXT", data: ['"x"']}
---
{kind: Record, name: signed.test/mail/MX, data: [10 ns, 20 three]}
---
{kind: Record, name: signed.test/cut/NS, data: [ns.cut]}
---
{kind: Record, name: signed.test/ns.cut/A, data: [192.0.2.54]}
---
{kind: Record, name: signed.test/c/CNAME, data: [x.wild]}
---
{kind: Region, name: eu}
---
{kind: Monitor, name: m, tcp: {port: 80}}
---
{kind: Pool, name: p, region: eu, monitor: m}
---
{kind: Endpoint, name: p/a, addresses: [192.0.2.1]}
---
{kind: Endpoint, name: p/b, addresses: [192.0.2.2]}
---
{kind: Endpoint, name: p/c, addresses: [192.0.2.3]}
---
{kind: Endpoint, name: p/d, addresses: [192.0.2.4]}
---
{kind: Policy, name: one.signed.test, rules: [{failover: [p]}]}
---
{kind: Policy, name: three.signed.test, answers: 3, rules: [{failover: [p]}]}
---
{kind: Policy, name: all.signed.test, pick: all, rules: [{failover: [p]}]}
`

// newSigned returns a fixture with a signed zone, and the zone's key as miekg/dns has it.
func newSigned(t testing.TB) (*fixture, *dns.DNSKEY) {
	t.Helper()
	k, err := dnssec.Generate("\x06signed\x04test\x00", dnssec.FlagsCSK, dnssec.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	return newSignedBy(t, dnssec.Alone(k)), asMiekg(k)
}

// newSignedBy returns a fixture with a zone that is signed with the keys.
func newSignedBy(t testing.TB, k *dnssec.Keys) *fixture {
	t.Helper()
	f := &fixture{
		catalog: catalog.New(time.Now), builder: snapshot.NewBuilder(time.Now), revision: 1, down: map[string]bool{},
	}
	f.builder.Keyed("signed.test", k, nil)
	f.apply(t, signedDocuments)
	return f
}

func asMiekg(k *dnssec.Key) *dns.DNSKEY {
	data := k.DNSKEY()
	return &dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: "signed.test.", Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET},
		Flags: binary.BigEndian.Uint16(data), Protocol: 3, Algorithm: data[3],
		PublicKey: base64.StdEncoding.EncodeToString(data[4:]),
	}
}

// TestSignedByKeys: a zone has a KSK, a ZSK, a key that stands by, and a key of another algorithm. Each set comes with
// one signature of each algorithm, or not at all. The KSK signs the keys, and the ZSK everything else. An answer still
// allocates nothing.
func TestSignedByKeys(t *testing.T) {
	keys := map[uint16]*dns.DNSKEY{}
	var all []dnssec.TimedKey
	add := func(flags uint16, a dnssec.Algorithm, times dnssec.Times) uint16 {
		k, err := dnssec.Generate("\x06signed\x04test\x00", flags, a)
		for err == nil && keys[k.Tag()] != nil { // the test tells keys apart by their tags
			k, err = dnssec.Generate("\x06signed\x04test\x00", flags, a)
		}
		if err != nil {
			t.Fatal(err)
		}
		keys[k.Tag()] = asMiekg(k)
		all = append(all, dnssec.TimedKey{Key: k, Times: times})
		return k.Tag()
	}
	ksk := add(257, dnssec.ECDSAP256, dnssec.Times{})
	zsk := add(256, dnssec.ECDSAP256, dnssec.Times{})
	csk := add(257, dnssec.Ed25519, dnssec.Times{})
	add(256, dnssec.ECDSAP256, dnssec.Times{Activate: time.Unix(1, 0)})
	set, err := dnssec.NewKeys("\x06signed\x04test\x00", all...)
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	r.Publish(newSignedBy(t, set).state())
	whole := 0
	for size := wire.MinUDP; size <= 2000; size += 7 {
		over := udp
		over.Size = size
		w := r.newWorker(over)
		for _, q := range signedQuestions {
			request := signedRequest(t, q.name, q.typ, true)
			binary.BigEndian.PutUint16(request[len(request)-8:], 4096) // the client's size, in the OPT record
			out, client := make([]byte, 0, size), netip.MustParseAddr("192.0.2.99")
			response := w.answer(request, client, out)
			reply := new(dns.Msg)
			if err := reply.Unpack(response); err != nil || len(response) > size {
				t.Fatalf("%s, %d octets: %v", q.name, size, err)
			}
			sets, signers := map[dns.RR_Header][]dns.RR{}, map[dns.RR_Header][]uint16{}
			of := func(x dns.RR, typ uint16) dns.RR_Header { return dns.RR_Header{Name: x.Header().Name, Rrtype: typ} }
			records := slices.Concat(reply.Answer, reply.Ns, reply.Extra)
			for _, x := range records {
				if s, is := x.(*dns.RRSIG); is {
					signers[of(s, s.TypeCovered)] = append(signers[of(s, s.TypeCovered)], s.KeyTag)
				} else {
					sets[of(x, x.Header().Rrtype)] = append(sets[of(x, x.Header().Rrtype)], x)
				}
			}
			for what, tags := range signers {
				want := []uint16{zsk, csk}
				if what.Rrtype == dns.TypeDNSKEY {
					want = []uint16{ksk, csk}
				}
				slices.Sort(want)
				slices.Sort(tags)
				if !slices.Equal(tags, want) {
					t.Errorf("%s, %d octets: %v is signed by %v, want %v", q.name, size, what, tags, want)
				}
			}
			for _, x := range records {
				s, is := x.(*dns.RRSIG)
				if !is || q.typ == dns.TypeRRSIG {
					continue
				}
				whole++
				if err := s.Verify(keys[s.KeyTag], sets[of(s, s.TypeCovered)]); err != nil {
					t.Errorf("%s, %d octets: %v: %v", q.name, size, s, err)
				}
			}
			for what := range sets {
				if signers[what] == nil && what.Rrtype != dns.TypeOPT && q.typ != dns.TypeRRSIG &&
					!strings.HasSuffix(what.Name, "cut.signed.test.") {
					t.Errorf("%s, %d octets: %v has no signature", q.name, size, what)
				}
			}
			if size < 1990 {
				continue
			}
			for range 100 { // until all sets of three addresses are signed
				w.answer(request, client, out)
			}
			if n := testing.AllocsPerRun(100, func() { w.answer(request, client, out); w.Flush() }); n != 0 {
				t.Errorf("%s %s: %v allocations", q.name, dns.TypeToString[q.typ], n)
			}
		}
	}
	if whole < 1000 {
		t.Errorf("%d signatures were looked at", whole)
	}
}

var signedQuestions = []struct {
	name string
	typ  uint16
}{
	{"one.signed.test.", dns.TypeA},
	{"One.SIGNED.test.", dns.TypeAAAA},
	{"three.signed.test.", dns.TypeA},
	{"all.signed.test.", dns.TypeA},
	{"all.signed.test.", dns.TypeRRSIG},
	{"ns.signed.test.", dns.TypeA},
	{"ns.signed.test.", dns.TypeNSEC},
	{"signed.test.", dns.TypeSOA},
	{"signed.test.", dns.TypeNS},
	{"signed.test.", dns.TypeDNSKEY},
	{"mail.signed.test.", dns.TypeMX},
	{"nothing.at.signed.test.", dns.TypeA},
	{"x.wild.signed.test.", dns.TypeTXT},
	{"x.wild.signed.test.", dns.TypeA},
	{"wild.signed.test.", dns.TypeA},
	{"c.signed.test.", dns.TypeTXT},
	{"x.cut.signed.test.", dns.TypeA},
}

func signedRequest(t testing.TB, name string, typ uint16, do bool) []byte {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, typ)
	m.SetEdns0(1232, do)
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSignedAllocatesNothing: an answer with its signatures allocates nothing, once these are made.
func TestSignedAllocatesNothing(t *testing.T) {
	f, _ := newSigned(t)
	r, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	r.Publish(f.state())
	w := r.newWorker(udp)
	out, client := make([]byte, 0, wire.UDPSize), netip.MustParseAddr("192.0.2.99")
	for _, q := range signedQuestions {
		request := signedRequest(t, q.name, q.typ, true)
		for range 100 { // until all sets of three addresses are signed
			w.answer(request, client, out)
		}
		if n := testing.AllocsPerRun(100, func() { w.answer(request, client, out); w.Flush() }); n != 0 {
			t.Errorf("%s %s: %v allocations", q.name, dns.TypeToString[q.typ], n)
		}
	}
}

// TestSignedWithoutDO: a client that does not ask for signatures is answered as if the zone had none.
func TestSignedWithoutDO(t *testing.T) {
	f, _ := newSigned(t)
	r, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	r.Publish(f.state())
	w := r.newWorker(udp)
	for _, q := range signedQuestions {
		reply := new(dns.Msg)
		response := w.answer(signedRequest(t, q.name, q.typ, false), netip.MustParseAddr("192.0.2.99"),
			make([]byte, 0, wire.UDPSize))
		if err := reply.Unpack(response); err != nil {
			t.Fatal(err)
		}
		for _, section := range [][]dns.RR{reply.Answer, reply.Ns, reply.Extra} {
			for _, x := range section {
				if typ := x.Header().Rrtype; typ != q.typ && (typ == dns.TypeRRSIG || typ == dns.TypeNSEC) {
					t.Errorf("%s %s: it has %v", q.name, dns.TypeToString[q.typ], x)
				}
			}
		}
	}
}

// TestSignedFailover: in every state of health each answer has a valid signature, at once, although nothing is signed
// ahead of the verdict. When a worker may sign no more, the answer is an address that is signed.
func TestSignedFailover(t *testing.T) {
	f, key := newSigned(t)
	r, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := r.newWorker(udp)
	ask := func(name string) (addresses int) {
		t.Helper()
		reply := new(dns.Msg)
		response := w.answer(signedRequest(t, name, dns.TypeA, true), netip.MustParseAddr("192.0.2.99"),
			make([]byte, 0, wire.UDPSize))
		if err := reply.Unpack(response); err != nil {
			t.Fatal(err)
		}
		var set []dns.RR
		for _, x := range reply.Answer {
			if s, is := x.(*dns.RRSIG); is {
				if err := s.Verify(key, set); err != nil {
					t.Errorf("%s with %v down: %v\n%v", name, f.down, err, reply)
				}
				return len(set)
			}
			set = append(set, x)
		}
		t.Errorf("%s with %v down: no signature\n%v", name, f.down, reply)
		return 0
	}
	for state := range 16 {
		for i, e := range []string{"p/a", "p/b", "p/c", "p/d"} {
			f.down[e] = state>>i&1 == 1
		}
		r.Publish(f.state())
		for range 20 {
			ask("one.signed.test.")
			ask("three.signed.test.")
			ask("all.signed.test.")
		}
	}
	clear(f.down)
	f.apply(t, "{kind: Endpoint, name: p/e, addresses: [192.0.2.5]}")
	r.Publish(f.state())
	w.signing.made, w.signing.filled = 0, time.Now().Add(time.Hour) // it may sign nothing more
	if n := ask("all.signed.test."); n != 1 {
		t.Errorf("%d addresses of a set that may not be signed, want one", n)
	}
	w.signing.filled = time.Time{}
	if n := ask("all.signed.test."); n != 5 {
		t.Errorf("%d addresses of a set that may be signed, want 5", n)
	}
}

// TestSignedRoom: a set and its signature go in together or not at all, at every size of a response. No part of an
// answer comes without its proof unless the answer is truncated.
func TestSignedRoom(t *testing.T) {
	f, key := newSigned(t)
	r, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	r.Publish(f.state())
	for size := wire.MinUDP; size <= 900; size += 3 {
		over := udp
		over.Size = size
		w := r.newWorker(over)
		for _, q := range signedQuestions {
			reply := new(dns.Msg)
			response := w.answer(signedRequest(t, q.name, q.typ, true), netip.MustParseAddr("192.0.2.99"),
				make([]byte, 0, size))
			if len(response) > size {
				t.Fatalf("%s: %d octets do not fit into %d", q.name, len(response), size)
			}
			if err := reply.Unpack(response); err != nil {
				t.Fatalf("%s, %d octets: %v", q.name, size, err)
			}
			if q.typ == dns.TypeRRSIG || reply.Truncated && len(reply.Answer) == 0 {
				continue
			}
			for _, section := range [][]dns.RR{reply.Answer, reply.Ns, reply.Extra} {
				type name struct {
					owner string
					typ   uint16
				}
				sets, signed := map[name][]dns.RR{}, map[name]bool{}
				for _, x := range section {
					if n := (name{x.Header().Name, x.Header().Rrtype}); n.typ != dns.TypeRRSIG && n.typ != dns.TypeOPT {
						sets[n] = append(sets[n], x)
					}
				}
				for _, x := range section {
					if s, is := x.(*dns.RRSIG); is {
						n := name{s.Hdr.Name, s.TypeCovered}
						if signed[n] = true; s.Verify(key, sets[n]) != nil {
							t.Errorf("%s %s, %d octets: %v does not hold", q.name, dns.TypeToString[q.typ], size, n)
						}
					}
				}
				for n := range sets {
					if !signed[n] && n.owner != "cut.signed.test." && n.owner != "ns.cut.signed.test." {
						t.Errorf("%s %s, %d octets: %v has no signature", q.name, dns.TypeToString[q.typ], size, n)
					}
				}
			}
		}
	}
}

// TestSignedTurn: when an epoch begins, what was not prepared is signed when it is asked for.
func TestSignedTurn(t *testing.T) {
	f, key := newSigned(t)
	r, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	r.Publish(f.state())
	var signer *dnssec.Signer
	f.snapshot.Signed(func(_ rr.Name, s *dnssec.Signer) bool { signer = s; return true })
	before := signer.Now().Len()
	signer.Prepare(time.Now().Add(dnssec.EpochLength))
	if _, err := f.snapshot.Prepare("\x06signed\x04test\x00"); err != nil {
		t.Fatal(err)
	}
	if n := signer.Prepared().Len(); n != before {
		t.Errorf("%d signatures are prepared, and %d are in use", n, before)
	}
	for prepared := range 2 {
		if prepared == 1 { // none is prepared
			signer.Prepare(time.Now().Add(2 * dnssec.EpochLength))
		}
		signer.Turn()
		w := r.newWorker(udp)
		reply := new(dns.Msg)
		response := w.answer(signedRequest(t, "ns.signed.test.", dns.TypeA, true), netip.MustParseAddr("192.0.2.99"),
			make([]byte, 0, wire.UDPSize))
		if err := reply.Unpack(response); err != nil {
			t.Fatal(err)
		}
		inception, _ := signer.Now().Epoch.Times()
		s := reply.Answer[1].(*dns.RRSIG)
		if err := s.Verify(key, reply.Answer[:1]); err != nil || s.Inception != inception {
			t.Errorf("%v: %v, want inception %d", s, err, inception)
		}
	}
}

// TestSignedIsSmall: a response has as many octets as the oracle's, which compresses every name that can be compressed.
// RDATA that must not be compressed is opaque to it.
func TestSignedIsSmall(t *testing.T) {
	f, _ := newSigned(t)
	r, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	r.Publish(f.state())
	w := r.newWorker(udp)
	questions := append(slices.Clone(signedQuestions), []struct {
		name string
		typ  uint16
	}{
		{"cut.signed.test.", dns.TypeDS},
		{"mail.signed.test.", dns.TypeA},
		{"A.deep.name.below.mail.signed.test.", dns.TypeA},
		{"three.signed.test.", dns.TypeTXT},
		{"a.three.signed.test.", dns.TypeTXT},
		{"c.signed.test.", dns.TypeA},
	}...)
	for _, q := range questions {
		response := w.answer(signedRequest(t, q.name, q.typ, true), netip.MustParseAddr("192.0.2.99"),
			make([]byte, 0, wire.UDPSize))
		reply := new(dns.Msg)
		if err := reply.Unpack(response); err != nil {
			t.Fatal(err)
		}
		for _, section := range [][]dns.RR{reply.Answer, reply.Ns} {
			for i, x := range section {
				switch x.(type) {
				case *dns.RRSIG, *dns.NSEC:
					opaque := new(dns.RFC3597)
					if err := opaque.ToRFC3597(x); err != nil {
						t.Fatal(err)
					}
					section[i] = opaque
				}
			}
		}
		reply.Compress = true
		if oracle, err := reply.Pack(); err != nil || len(response) != len(oracle) {
			t.Errorf("%s %s: %d octets; the oracle makes %d of it: %v", q.name, dns.TypeToString[q.typ], len(response),
				len(oracle), err)
		}
	}
}
