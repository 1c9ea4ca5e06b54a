package dnssec

import (
	"encoding/hex"
	"slices"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"leeward/zones/rr"
)

// TestFits compares Fits with sets of keys, and with DS records that miekg/dns makes from them with all digest types.
func TestFits(t *testing.T) {
	origin := rr.Name("\x07example\x04test\x00")
	var keys []*dns.DNSKEY
	for _, a := range []uint8{dns.ECDSAP256SHA256, dns.ECDSAP256SHA256, dns.ED25519, dns.ED25519} {
		k := &dns.DNSKEY{
			Hdr:   dns.RR_Header{Name: "example.test.", Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET},
			Flags: 257, Protocol: 3, Algorithm: a,
		}
		if _, err := k.Generate(256); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	rapid.Check(t, func(t *rapid.T) {
		which := rapid.SliceOfDistinct(rapid.IntRange(0, len(keys)-1), rapid.ID[int])
		asked, given := which.Draw(t, "asked"), which.Draw(t, "given")
		var cdnskey, ds [][]byte
		for _, i := range asked {
			cdnskey = append(cdnskey, wire(t, keys[i].ToCDNSKEY()))
		}
		digests := rapid.SliceOfNDistinct(rapid.SampledFrom([]uint8{dns.SHA1, dns.SHA256, dns.SHA384}), 1, 3,
			rapid.ID[uint8])
		for _, i := range given {
			for _, digest := range digests.Draw(t, "digests") {
				ds = append(ds, wire(t, keys[i].ToDS(digest)))
			}
		}
		slices.Sort(asked)
		slices.Sort(given)
		if got, want := Fits(origin, cdnskey, ds), len(asked) > 0 && slices.Equal(asked, given); got != want {
			t.Fatalf("asked for keys %v, the parent has %v: fits is %v", asked, given, got)
		}
		if len(ds) > 0 {
			one := rapid.IntRange(0, len(ds)-1).Draw(t, "altered")
			ds[one] = slices.Clone(ds[one])
			ds[one][rapid.IntRange(0, 2).Draw(t, "octet")] ^= 1
			if Fits(origin, cdnskey, ds) {
				t.Fatal("an altered DS fits")
			}
		}
	})
	none := [][]byte{{0, 0, 3, 0, 0}}
	if !Fits(origin, none, nil) || Fits(origin, none, [][]byte{wire(t, keys[0].ToDS(dns.SHA256))}) {
		t.Error("who asks for no DS wants none")
	}
	for _, odd := range [][][]byte{{{}}, {{1, 2, 3}}, {nil}} {
		if Fits(origin, odd, odd) {
			t.Errorf("%v fits itself", odd)
		}
	}
}

// wire returns the RDATA of a record.
func wire(t interface{ Fatal(...any) }, r dns.RR) []byte {
	r.Header().Name = "."
	b := make([]byte, dns.Len(r)+16)
	end, err := dns.PackRR(r, b, 0, nil, false)
	if err != nil {
		t.Fatal(err, hex.EncodeToString(b))
	}
	return b[11:end]
}
