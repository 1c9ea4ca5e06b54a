package answer

import (
	"bytes"
	"encoding/binary"
	"fmt"
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

// sealedDocuments is a signed zone without policies. %s are settings of signing.
const sealedDocuments = `{kind: Zone, name: signed.test, nameservers: [ns.signed.test], dnssec: {enabled: true%s}}
---
{kind: Record, name: signed.test/ns/A, data: [192.0.2.53]}
---
{kind: Record, name: "signed.test/*.wild/TXT", data: ['"x"']}
---
{kind: Record, name: signed.test/mail/MX, data: [10 ns, 20 mail]}
---
{kind: Record, name: signed.test/a.b.c/TXT, data: ['"deep"']}
---
{kind: Record, name: signed.test/cut/NS, data: [ns.cut]}
---
{kind: Record, name: signed.test/ns.cut/A, data: [192.0.2.54]}
---
{kind: Record, name: signed.test/secure/NS, data: [ns]}
---
{kind: Record, name: signed.test/secure/DS, data: [
  1 13 2 abababababababababababababababababababababababababababababababab]}
---
{kind: Record, name: signed.test/c/CNAME, data: [x.wild]}
---
{kind: Record, name: signed.test/d/DNAME, data: [wild]}
---
{kind: Record, name: "signed.test/*.cn/CNAME", data: [x.wild]}
---
{kind: Record, name: "signed.test/*.nx/CNAME", data: [nothing.at.all]}
---
{kind: Record, name: "signed.test/*.mx/CNAME", data: [mail]}
---
{kind: Record, name: "signed.test/*.apex/CNAME", data: ["@"]}
---
{kind: Record, name: "signed.test/*.below/CNAME", data: [q.cut]}
---
{kind: Record, name: "signed.test/*.secured/CNAME", data: [q.secure]}
---
{kind: Record, name: "signed.test/*.twice/CNAME", data: [x.mx]}
---
{kind: Record, name: "signed.test/*.through/CNAME", data: [mx.d]}
`

// newSealed returns a server that signs a zone, and one that has the zone from there. With more, each set has a second,
// larger signature by a key that nobody knows.
func newSealed(t testing.TB, settings string, more bool) (primary, sealed *fixture) {
	t.Helper()
	k, err := dnssec.Generate("\x06signed\x04test\x00", dnssec.FlagsCSK, dnssec.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	primary = &fixture{catalog: catalog.New(time.Now), builder: snapshot.NewBuilder(time.Now), revision: 1}
	primary.builder.Keyed("signed.test", dnssec.Alone(k), nil)
	primary.apply(t, strings.Replace(sealedDocuments, "%s", settings, 1))
	e := snapshot.NewEdition(k.Origin())
	err = primary.snapshot.Zone(k.Origin()).Each(func(name []byte, typ rr.Type, count int, wire []byte) bool {
		for range count {
			data := cutData(&wire)
			r := rr.Record{Owner: rr.Name(name), Type: typ, Class: 1, TTL: 300, Data: bytes.Clone(data)}
			put := e.Add
			if typ == rr.TypeSOA {
				put = e.SetSOA
			}
			if typ == rr.TypeNSEC || typ == rr.TypeNSEC3 || typ == rr.TypeRRSIG {
				r.TTL = 30
			}
			if err := put(r); err != nil {
				t.Fatal(err)
			}
			if more && typ == rr.TypeRRSIG {
				r.Data = append(bytes.Clone(data), make([]byte, 100)...)
				r.Data[2] = 8
				if err := e.Add(r); err != nil {
					t.Fatal(err)
				}
			}
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	v, err := e.Finish()
	if err != nil {
		t.Fatal(err)
	}
	sealed = &fixture{catalog: catalog.New(time.Now), builder: snapshot.NewBuilder(time.Now), revision: 1}
	sealed.builder.Transferred("signed.test", snapshot.Transferred{Version: v})
	sealed.apply(t, "{kind: Zone, name: signed.test, transfer: {primaries: [192.0.2.1]}}")
	return primary, sealed
}

var sealedNames = strings.Fields(`@ ns mail wild *.wild x.wild q.x.wild a.b.c b.c c q.c cut ns.cut q.cut secure
	q.secure d x.d q.x.d nothing nothing.at.all MAIL C`)

// TestSealed: a server answers for a zone that its primary signs just as the primary does, octet by octet, at every
// size, and without allocation.
func TestSealed(t *testing.T) {
	for _, settings := range []string{"", ", nsec3: true"} {
		primary, sealed := newSealed(t, settings, false)
		var both [2]*Responder
		for i, f := range []*fixture{primary, sealed} {
			r, err := New(Options{Seed: func() uint64 { return 1 }})
			if err != nil {
				t.Fatal(err)
			}
			r.Publish(f.state())
			both[i] = r
		}
		for size := wire.MinUDP; size <= 1300; size += 97 {
			over := udp
			over.Size = size
			a, b := both[0].newWorker(over), both[1].newWorker(over)
			for _, owner := range sealedNames {
				name := strings.TrimPrefix(owner+".signed.test.", "@.")
				for _, typ := range []uint16{
					dns.TypeA, dns.TypeTXT, dns.TypeMX, dns.TypeNS, dns.TypeDS, dns.TypeSOA, dns.TypeDNSKEY,
					dns.TypeNSEC, dns.TypeNSEC3, dns.TypeRRSIG, dns.TypeANY, dns.TypeCNAME,
				} {
					for _, do := range []bool{true, false} {
						request := signedRequest(t, name, typ, do)
						binary.BigEndian.PutUint16(request[len(request)-8:], 4096)
						client := netip.MustParseAddr("192.0.2.99")
						want := a.answer(request, client, make([]byte, 0, size))
						got := b.answer(request, client, make([]byte, 0, size))
						if s, p := reply(t, got), reply(t, want); s != p {
							t.Fatalf("%s %s, %d octets, DO %v:\n%s\nand the primary says\n%s", name,
								dns.TypeToString[typ], size, do, s, p)
						}
						out := make([]byte, 0, size)
						if n := testing.AllocsPerRun(5, func() { b.answer(request, client, out); b.Flush() }); n != 0 {
							t.Errorf("%s %s: %v allocations", name, dns.TypeToString[typ], n)
						}
					}
				}
			}
		}
	}
}

// reply prints a response. It leaves out the TTLs of signatures by themselves: they are the primary's, and a server
// that signs has none.
func reply(t *testing.T, response []byte) string {
	t.Helper()
	m := new(dns.Msg)
	if err := m.Unpack(response); err != nil {
		t.Fatalf("%v: %x", err, response)
	}
	if m.Question[0].Qtype == dns.TypeRRSIG {
		for _, r := range m.Answer {
			r.Header().Ttl = 0
		}
	}
	return m.String()
}

// TestSealedByMany: a set comes with all of its signatures, whatever their sizes, or is left out if they do not fit.
func TestSealedByMany(t *testing.T) {
	_, sealed := newSealed(t, "", true)
	r, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	r.Publish(sealed.state())
	whole := 0
	for size := wire.MinUDP; size <= 1500; size += 13 {
		over := udp
		over.Size = size
		w := r.newWorker(over)
		for _, owner := range sealedNames {
			request := signedRequest(t, strings.TrimPrefix(owner+".signed.test.", "@."), dns.TypeMX, true)
			binary.BigEndian.PutUint16(request[len(request)-8:], 4096)
			response := w.answer(request, netip.MustParseAddr("192.0.2.99"), make([]byte, 0, size))
			m := new(dns.Msg)
			if err := m.Unpack(response); err != nil || len(response) > size {
				t.Fatalf("%s, %d octets: %v", owner, size, err)
			}
			for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
				signatures := map[string]int{}
				for _, x := range section {
					if s, is := x.(*dns.RRSIG); is {
						signatures[s.Hdr.Name+dns.TypeToString[s.TypeCovered]]++
						if len(s.Signature) < 100 && s.Algorithm == 8 {
							t.Fatalf("%s: cut short: %v", owner, s)
						}
						whole++
					}
				}
				for of, n := range signatures {
					if n != 2 {
						t.Fatalf("%s, %d octets: %s has %d signatures:\n%v", owner, size, of, n, m)
					}
				}
			}
		}
	}
	if whole == 0 {
		t.Error("no signature was answered")
	}
}

// sealedWorkers returns a worker of a primary that signs, and one of a server that passes on what the primary has
// signed.
func sealedWorkers(t *testing.T, settings string, over Transport) (all []*Worker) {
	primary, sealed := newSealed(t, settings, false)
	for _, f := range []*fixture{primary, sealed} {
		r, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		r.Publish(f.state())
		all = append(all, r.newWorker(over))
	}
	return all
}

// TestProofsOnce: if two names of a chain need the same record of denial, the message has it once.
func TestProofsOnce(t *testing.T) {
	for _, w := range sealedWorkers(t, ", nsec3: true", udp) {
		for i := range 400 { // their hashes fall anywhere, so sometimes beside the target's
			name := fmt.Sprintf("q%d.%s.signed.test.", i/2, []string{"cn", "nx"}[i%2])
			response := w.answer(signedRequest(t, name, dns.TypeTXT, true), netip.MustParseAddr("192.0.2.99"),
				make([]byte, 0, wire.UDPSize))
			m := new(dns.Msg)
			if err := m.Unpack(response); err != nil {
				t.Fatal(err)
			}
			seen := map[string]bool{}
			for _, x := range m.Ns {
				if seen[x.String()] {
					t.Fatalf("%s: twice: %v\n%v", name, x, m)
				}
				seen[x.String()] = true
			}
		}
	}
}

// TestExpansionsAreDenied: for each name that a wildcard has answered, there is a proof that the name itself does not
// exist, whatever the chain ends in and whatever stands beside it.
func TestExpansionsAreDenied(t *testing.T) {
	for _, settings := range []string{"", ", nsec3: true"} {
		for _, w := range sealedWorkers(t, settings, tcp) {
			expanded := 0
			for _, wild := range strings.Fields("wild cn nx mx apex below secured twice through") {
				for typ := range uint16(64) {
					name := "q.y." + wild + ".signed.test."
					response := w.answer(signedRequest(t, name, typ, true), netip.MustParseAddr("192.0.2.99"),
						make([]byte, 0, wire.MaxMessage))
					m := new(dns.Msg)
					if err := m.Unpack(response); err != nil {
						t.Fatal(err)
					}
					for _, x := range m.Answer {
						s, is := x.(*dns.RRSIG)
						if !is || int(s.Labels) >= dns.CountLabel(s.Hdr.Name) {
							continue
						}
						expanded++
						closer, _ := dns.PrevLabel(s.Hdr.Name, int(s.Labels)+1)
						if !slices.ContainsFunc(m.Ns, func(x dns.RR) bool { return covers(x, s.Hdr.Name[closer:]) }) {
							t.Errorf("%s: that %s does not exist is not proven:\n%v", name, s.Hdr.Name[closer:], m)
						}
					}
				}
			}
			if expanded < 8*64 {
				t.Errorf("wildcards answered %d times", expanded)
			}
		}
	}
}

// TestNSECAtAlias: a CNAME may have an NSEC beside it, so a query for NSEC gets that. In a zone with NSEC3 there is
// none. A denial would prove nothing, as its bitmap has CNAME, so the CNAME is the answer.
func TestNSECAtAlias(t *testing.T) {
	for settings, want := range map[string]uint16{"": dns.TypeNSEC, ", nsec3: true": dns.TypeCNAME} {
		for _, w := range sealedWorkers(t, settings, tcp) {
			for _, name := range []string{"c.signed.test.", "q.cn.signed.test."} {
				m := new(dns.Msg)
				if err := m.Unpack(w.answer(signedRequest(t, name, dns.TypeNSEC, true),
					netip.MustParseAddr("192.0.2.99"), make([]byte, 0, wire.MaxMessage))); err != nil {
					t.Fatal(err)
				}
				if len(m.Answer) == 0 || m.Answer[0].Header().Rrtype != want {
					t.Errorf("NSEC of %s with %q:\n%v", name, settings, m)
				}
			}
		}
	}
}

// covers reports whether a record of denial says that a name does not exist.
func covers(x dns.RR, name string) bool {
	switch x := x.(type) {
	case *dns.NSEC3:
		return x.Cover(name)
	case *dns.NSEC:
		order := func(name string) []string {
			labels := dns.SplitDomainName(name)
			slices.Reverse(labels)
			return labels
		}
		owner, next, name := order(x.Hdr.Name), order(x.NextDomain), order(name)
		return slices.Compare(owner, name) < 0 && (slices.Compare(name, next) < 0 || len(next) == 2)
	}
	return false
}
