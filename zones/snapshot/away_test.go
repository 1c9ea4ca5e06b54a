package snapshot

import (
	"bytes"
	"slices"
	"testing"

	"leeward/zones"
	"leeward/zones/rr"
)

// aCDS and aCDNSKEY belong to no key here.
const (
	aCDS     = "1 13 2 abababababababababababababababababababababababababababababababab"
	aCDNSKEY = "257 3 15 AQID"
)

// TestCDSAwayFromTheApex: CDS and CDNSKEY of others are records like any other below the apex, whether they are given
// here, or by a primary over whose zone something is laid.
func TestCDSAwayFromTheApex(t *testing.T) {
	const owner = "_dsboot.x._signal.ns1"
	k := signedKey(t)
	given := []zones.Resource{
		&zones.Record{Origin: "example.test", Owner: owner, Type: "CDS", Data: []string{aCDS}},
		&zones.Record{Origin: "example.test", Owner: owner, Type: "CDNSKEY", Data: []string{aCDNSKEY}},
	}
	over := &zones.Record{Origin: "example.test", Owner: "over", Type: "TXT", Data: []string{`"x"`}}
	for _, nsec3 := range []bool{false, true} {
		here := newSignedZone(k, nsec3)
		here.apply(given...)
		primary := newSignedZone(signedKey(t), false)
		primary.apply(given...)
		all, err := records(primary.last.Zone(sealedApex))
		if err != nil {
			t.Fatal(err)
		}
		z := &zones.Zone{
			Origin: "example.test", DNSSEC: &zones.DNSSEC{Enabled: true, NSEC3: nsec3},
			Transfer: &zones.Transfer{Primaries: []string{"192.0.2.1"}},
		}
		signed, plain := newAnew(k), newAnew(k)
		signed.take(versionOf(t, NewEdition(sealedApex), nil, all), 1, []zones.Resource{z, over}, nil)
		z = &zones.Zone{Origin: "example.test", Transfer: z.Transfer}
		plain.take(versionOf(t, NewEdition(sealedApex), nil, all), 1, []zones.Resource{z, over}, nil)
		for what, s := range map[string]*Snapshot{
			"given here": here.last, "of a primary, signed here": signed.last, "of a primary, not signed": plain.last,
		} {
			for typ, want := range map[rr.Type]string{rr.TypeCDS: aCDS, rr.TypeCDNSKEY: aCDNSKEY} {
				data, err := rr.ParseData(typ, want, rr.Root)
				if err != nil {
					t.Fatal(err)
				}
				var a Answer
				s.Lookup(nameOf(t, owner+".example.test"), uint16(typ), classIN, &a)
				if a.Outcome != Positive || a.Answer.Count != 1 || !bytes.HasSuffix(a.Answer.Wire, data) {
					t.Errorf("%s: %s is answered as %d: %x", what, typ, a.Outcome, a.Answer.Wire)
				}
			}
			if what == "of a primary, not signed" {
				continue
			}
			at := s.zones[s.origins[sealedApex]]
			if missing := unsignedSets(s, at); len(missing) > 0 {
				t.Errorf("%s: not signed: %q", what, missing)
			}
			h, err := handedOf(s.Zone(sealedApex))
			if err != nil {
				t.Fatal(err)
			}
			if faults := h.faults(sealedApex, nsec3, k.DNSKEY()); len(faults) > 0 {
				t.Errorf("%s: %q", what, faults)
			}
			var l link
			next, after, exact := at.signing.chain.Find(at.key(nil, nameOf(t, owner+".example.test")))
			l.fill(at, s, next, after, nil)
			if !exact || !slices.Contains(l.types, rr.TypeCDS) || !slices.Contains(l.types, rr.TypeCDNSKEY) {
				t.Errorf("%s: the bitmap is %v (%v)", what, l.types, exact)
			}
		}
	}
}

func nameOf(t interface{ Fatal(...any) }, text string) []byte {
	n, err := rr.ParseName(text)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(n)
}
