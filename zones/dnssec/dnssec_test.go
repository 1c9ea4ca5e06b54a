package dnssec

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"leeward/zones/rr"
)

func name(t testing.TB, s string) rr.Name {
	t.Helper()
	n, err := rr.ParseName(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func key(t testing.TB, origin string, a Algorithm) *Key {
	t.Helper()
	k, err := Generate(name(t, origin), FlagsCSK, a)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// oracle returns the key in the form of miekg/dns.
func oracle(k *Key) *dns.DNSKEY {
	return &dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: dotted(k.origin), Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 300},
		Flags: k.flags, Protocol: 3, Algorithm: uint8(k.algorithm),
		PublicKey: base64.StdEncoding.EncodeToString(k.public),
	}
}

// TestDeterministic: the standard library's ECDSA without randomness is that of RFC 6979. Its appendix A.2.5 has this
// key, message and signature.
func TestDeterministic(t *testing.T) {
	secret, _ := hex.DecodeString("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721")
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), secret)
	if err != nil {
		t.Fatal(err)
	}
	k, err := newKey(name(t, "example.test"), FlagsCSK, ECDSAP256, private)
	if err != nil {
		t.Fatal(err)
	}
	s, err := k.sign([]byte("sample"))
	if err != nil {
		t.Fatal(err)
	}
	const want = "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716" +
		"f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
	if got := hex.EncodeToString(s[:]); got != want {
		t.Errorf("the signature is %s, and RFC 6979 has %s", got, want)
	}
}

// TestExampleOfRFC6605: key, DS and signature of RFC 6605 section 6.1.
func TestExampleOfRFC6605(t *testing.T) {
	const private = "Private-key-format: v1.2\nAlgorithm: 13 (ECDSAP256SHA256)\n" +
		"PrivateKey: GU6SnQ/Ou+xC5RumuIUIuJZteXT2z0O/ok1s38Et6mQ=\n"
	k, err := Parse(name(t, "example.net"), FlagsCSK, private)
	if err != nil {
		t.Fatal(err)
	}
	if k.Tag() != 55648 {
		t.Errorf("the tag is %d, want 55648", k.Tag())
	}
	ds, err := k.DS(DigestSHA256)
	if want := "b4c8c1fe2e7477127b27115656ad6256f424625bf5c1e2770ce6d6e37df61d17"; err != nil ||
		hex.EncodeToString(ds[4:]) != want {
		t.Errorf("the DS is %x, %v; want %s", ds, err, want)
	}
	set, _ := dns.NewRR("www.example.net. 3600 IN A 192.0.2.1")
	sig, err := dns.NewRR("www.example.net. 3600 IN RRSIG A 13 3 3600 20100909100439 20100812100439 55648 " +
		"example.net. qx6wLYqmh+l9oCKTN6qIc+bw6ya+KJ8oMz0YP107epXAyGmt+3SNruPFKG7tZoLBLlUzGGus7ZwmwWep666VCw==")
	if err != nil {
		t.Fatal(err)
	}
	s := Set{Owner: name(t, "www.example.net"), Type: rr.TypeA, Data: [][]byte{rdata(t, set)}}
	if err := Verify(s, rdata(t, sig), k.DNSKEY()); err != nil {
		t.Error(err)
	}
}

// rdata returns a record's RDATA, uncompressed.
func rdata(t testing.TB, r dns.RR) []byte {
	t.Helper()
	b := make([]byte, dns.MaxMsgSize)
	end, err := dns.PackRR(r, b, 0, nil, false)
	if err != nil {
		t.Fatalf("%v: %v", r, err)
	}
	from, err := dns.PackDomainName(r.Header().Name, make([]byte, 256), 0, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	return b[from+10 : end]
}

// records draws a set with letters of both cases, names, many values and repetitions.
func records(r *rapid.T, owner string) []dns.RR {
	label := rapid.StringMatching(`[a-bA-B]{1,2}`)
	host := rapid.Custom(func(r *rapid.T) string { return label.Draw(r, "label") + ".Example.TEST." })
	forms := map[string]func() string{
		"A":     func() string { return fmt.Sprintf("192.0.2.%d", rapid.IntRange(0, 255).Draw(r, "octet")) },
		"AAAA":  func() string { return fmt.Sprintf("2001:db8::%x", rapid.IntRange(0, 255).Draw(r, "group")) },
		"NS":    func() string { return host.Draw(r, "host") },
		"CNAME": func() string { return host.Draw(r, "host") },
		"DNAME": func() string { return host.Draw(r, "host") },
		"PTR":   func() string { return host.Draw(r, "host") },
		"MX": func() string {
			return fmt.Sprintf("%d %s", rapid.IntRange(0, 2).Draw(r, "pref"), host.Draw(r, "host"))
		},
		"SRV":        func() string { return fmt.Sprintf("1 2 3 %s", host.Draw(r, "host")) },
		"NAPTR":      func() string { return fmt.Sprintf(`1 2 "u" "Sip" "" %s`, host.Draw(r, "host")) },
		"RP":         func() string { return host.Draw(r, "mail") + " " + host.Draw(r, "text") },
		"AFSDB":      func() string { return "1 " + host.Draw(r, "host") },
		"KX":         func() string { return "1 " + host.Draw(r, "host") },
		"SOA":        func() string { return host.Draw(r, "m") + " " + host.Draw(r, "r") + " 1 2 3 4 5" },
		"TXT":        func() string { return fmt.Sprintf("%q", rapid.StringMatching(`[A-Za-b]{0,3}`).Draw(r, "text")) },
		"HINFO":      func() string { return `"Cpu" "Os"` },
		"SVCB":       func() string { return "1 " + host.Draw(r, "host") }, // its target keeps its case
		"DS":         func() string { return "1 13 2 " + strings.Repeat("ab", 32) },
		"NSEC":       func() string { return host.Draw(r, "next") + " A NS SOA TXT RRSIG NSEC DNSKEY CAA TYPE65280" },
		"TYPE65280":  func() string { return `\# 3 41FF` + fmt.Sprintf("%02x", rapid.IntRange(0, 255).Draw(r, "octet")) },
		"CAA":        func() string { return `0 issue "CA.test"` },
		"NSEC3PARAM": func() string { return "1 0 0 -" },
	}
	types := make([]string, 0, len(forms))
	for typ := range forms {
		types = append(types, typ)
	}
	slices.Sort(types)
	typ := rapid.SampledFrom(types).Draw(r, "type")
	n := rapid.IntRange(1, 5).Draw(r, "records")
	if typ == "CNAME" || typ == "SOA" || typ == "DNAME" {
		n = 1
	}
	var set []dns.RR
	for range n {
		text := fmt.Sprintf("%s %d IN %s %s", owner, 300, typ, forms[typ]())
		x, err := dns.NewRR(text)
		if err != nil {
			r.Fatalf("%s: %v", text, err)
		}
		set = append(set, x)
	}
	return set
}

// TestSignAgainstMiekg: miekg/dns verifies what is signed here, and the other way round. Both make the same octets of
// the canonical form, and so the same signatures.
func TestSignAgainstMiekg(t *testing.T) {
	keys := []*Key{key(t, "example.test", ECDSAP256), key(t, "example.test", Ed25519)}
	rapid.Check(t, func(r *rapid.T) {
		k := rapid.SampledFrom(keys).Draw(r, "key")
		owner := rapid.SampledFrom([]string{
			"Example.test.", "www.EXAMPLE.test.", "*.example.test.", "*.a.example.test.",
			"a.*.example.test.",
		}).Draw(r, "owner")
		set := records(r, owner)
		seen := map[string]bool{}
		var unique []dns.RR // miekg signs repetitions
		s := Set{Owner: name(t, owner), Type: rr.Type(set[0].Header().Rrtype), TTL: 300}
		for _, x := range set {
			d := rdata(t, x)
			s.Data = append(s.Data, d)
			if f := rr.Folded(s.Type, d); !seen[f] {
				seen[f] = true
				unique = append(unique, x)
			}
		}
		now := time.Unix(rapid.Int64Range(1_700_000_000, 1_900_000_000).Draw(r, "now"), 0)
		signer := NewSigner(Alone(k), false, now)
		g, id := signer.Now(), signer.Begin([]byte(s.Owner), s.Type, s.TTL)
		if err := g.Sign(id, s); err != nil {
			t.Fatal(err)
		}
		ours, _ := g.AppendRRSIGs(nil, id, []byte(s.Owner), s.Type, s.TTL)
		signature := ours[len(ours)-SignatureSize:]
		if err := Verify(s, ours, k.DNSKEY()); err != nil {
			r.Fatalf("ours by us: %v", err)
		}

		inception, expiration := EpochAt(k.origin, now).Times()
		theirs := &dns.RRSIG{
			Algorithm: uint8(k.algorithm), KeyTag: k.Tag(), SignerName: dotted(k.origin),
			Inception: inception, Expiration: expiration,
		}
		if err := theirs.Sign(private(k), unique); err != nil {
			r.Fatal(err)
		}
		if err := Verify(s, rdata(t, theirs), k.DNSKEY()); err != nil {
			r.Fatalf("theirs by us: %v", err)
		}
		parsed := *theirs
		parsed.Signature = base64.StdEncoding.EncodeToString(signature)
		if err := parsed.Verify(oracle(k), unique); err != nil {
			r.Fatalf("ours by them: %v", err)
		}
		if head := len(ours) - SignatureSize; !bytes.Equal(ours[:head], rdata(t, theirs)[:head]) {
			r.Fatalf("RRSIG begins with\n%x\nand theirs with\n%x", ours[:head], rdata(t, theirs)[:head])
		}
		if expanded := "x.y." + strings.TrimPrefix(owner, "*."); strings.HasPrefix(owner, "*.") {
			s.Owner = name(t, expanded)
			if err := Verify(s, ours, k.DNSKEY()); err != nil {
				r.Fatalf("expanded: %v", err)
			}
		}
		flip := rapid.IntRange(0, len(ours)-1).Draw(r, "flip")
		if flip >= signatureHead && flip < len(ours)-SignatureSize {
			flip = 0 // the signer's name: a letter's case does not count
		}
		forged := slices.Clone(ours)
		forged[flip] ^= 1 << rapid.IntRange(0, 7).Draw(r, "bit")
		if Verify(s, forged, k.DNSKEY()) == nil {
			r.Fatalf("a signature with octet %d altered holds", flip)
		}
	})
}

// private returns a crypto.Signer for miekg/dns.
func private(k *Key) crypto.Signer { return k.private }

// TestKeyAgainstMiekg: tag, DS, and files.
func TestKeyAgainstMiekg(t *testing.T) {
	for i := range 40 {
		k := key(t, []string{"example.test", "a/b.test", ".", `x\.y.test`}[i%4], []Algorithm{13, 15}[i/4%2])
		o := oracle(k)
		if k.Tag() != o.KeyTag() {
			t.Errorf("tag %d, want %d", k.Tag(), o.KeyTag())
		}
		for _, digest := range []uint8{DigestSHA256, DigestSHA384} {
			ds, err := k.DS(digest)
			if err != nil || !bytes.Equal(ds, rdata(t, o.ToDS(digest))) {
				t.Errorf("DS %x, %v; want %v", ds, err, o.ToDS(digest))
			}
		}
		folder := t.TempDir()
		if err := (&TimedKey{Key: k}).Write(folder); err != nil {
			t.Fatal(err)
		}
		keys, err := ReadFolder(folder, k.origin)
		if err != nil {
			t.Fatal(err)
		}
		again := keys.All()[0]
		if !bytes.Equal(again.DNSKEY(), k.DNSKEY()) || again.origin != k.origin {
			t.Errorf("%s comes back as another key", k.FileName())
		}
		theirs, err := o.NewPrivateKey(privateText(t, folder, k))
		if err != nil {
			t.Errorf("miekg/dns cannot read the private key: %v", err)
		} else if !theirs.(interface{ Public() crypto.PublicKey }).Public().(interface {
			Equal(crypto.PublicKey) bool
		}).Equal(k.private.Public()) {
			t.Error("miekg/dns reads another private key")
		}
	}
}

// TestHashAgainstMiekg: NSEC3 hashes, as labels.
func TestHashAgainstMiekg(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		text := rapid.StringMatching(`([a-z0-9*-]{1,10}\.){1,5}`).Draw(r, "name")
		h := Hash([]byte(name(t, text)))
		got := AppendHashed(nil, h[:])
		want := strings.ToLower(dns.HashName(text, dns.SHA1, 0, ""))
		if string(got[1:]) != want || got[0] != HashedLabel {
			r.Fatalf("%s: %s, want %s", text, got[1:], want)
		}
	})
}

// TestTypesAgainstMiekg: bitmaps of any types.
func TestTypesAgainstMiekg(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		types := rapid.SliceOf(rapid.OneOf(rapid.Uint16Range(1, 70), rapid.Uint16Range(240, 520), rapid.Uint16())).
			Draw(r, "types")
		n := &dns.NSEC{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeNSEC, Class: 1}, NextDomain: "."}
		n.TypeBitMap = slices.Clone(types)
		slices.Sort(n.TypeBitMap)
		n.TypeBitMap = slices.Compact(n.TypeBitMap)
		var ours []rr.Type
		for _, x := range types {
			ours = append(ours, rr.Type(x))
		}
		if got, want := AppendTypes([]byte{0}, ours), rdata(t, n); !bytes.Equal(got, want) {
			r.Fatalf("%v: %x, want %x", n.TypeBitMap, got, want)
		}
	})
}

// TestEpoch: the times of RRSIGs at any moment.
func TestEpoch(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		origin := name(t, rapid.StringMatching(`[a-z]{1,9}\.test`).Draw(r, "origin"))
		at := rapid.Int64Range(0, 1<<33).Draw(r, "time")
		e := EpochAt(origin, time.Unix(at, 0))
		inception, expiration := e.Times()
		age, left := int32(uint32(at)-inception), int32(expiration-uint32(at))
		if age < 3*3600 || age >= 27*3600 || expiration-inception != 14*86400 || left <= 0 {
			r.Fatalf("%d: from %d to %d", at, inception, expiration)
		}
		next := EpochAt(origin, time.Unix(at, 0).Add(EpochLength))
		if next != e.Next() || !e.Start().Add(EpochLength).Equal(next.Start()) {
			r.Fatalf("after %+v comes %+v, and a day later it is %+v", e, e.Next(), next)
		}
	})
}

// TestIdentity: the order of records does not matter, and everything else does.
func TestIdentity(t *testing.T) {
	s := NewSigner(Alone(key(t, "example.test", Ed25519)), false, time.Unix(1_800_000_000, 0))
	of := func(owner string, typ rr.Type, ttl uint32, data ...string) Identity {
		id := s.Begin([]byte(owner), typ, ttl)
		for _, d := range data {
			s.Add(&id, []byte(d))
		}
		return id
	}
	if of("a", 1, 2, "x", "y", "z") != of("a", 1, 2, "z", "x", "y") {
		t.Error("the order of records counts")
	}
	all := map[Identity]string{}
	add := func(what string, id Identity) {
		if other, there := all[id]; there {
			t.Errorf("%s and %s are the same", what, other)
		}
		all[id] = what
	}
	add("none", of("a", 1, 2))
	for i := range 2000 {
		text := strings.Repeat("\x00", i%19) + fmt.Sprint(i)
		add("owner "+text, of(text, 1, 2, "x"))
		add("data "+text, of("a", 1, 2, text))
		add("two "+text, of("a", 1, 2, "x", text))
		add("type "+text, of("a", rr.Type(i+10), 2, "x"))
		add("ttl "+text, of("a", 1, uint32(i+10), "x"))
		add("zeros "+text, of("b", 1, 2, strings.Repeat("\x00", i)))
	}
}
