package snapshot

import (
	"errors"
	"fmt"

	"leeward/zones"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
	"leeward/zones/steer"
)

// keyed is what came of looking for a zone's key.
type keyed struct {
	key *dnssec.Key
	err error
}

// Keyed notes the key of a zone that is to be signed, or why there is none to be had. The next Update signs the zone.
// A key that was there stays, whatever is wrong with its files later.
func (b *Builder) Keyed(origin string, k *dnssec.Key, err error) {
	if k == nil && b.keys[origin].key != nil {
		return
	}
	b.keys[origin] = keyed{k, err}
	b.rekeyed[origin] = true
}

// Signs reports whether any zone is signed.
func (b *Builder) Signs() bool { return len(b.signers) > 0 }

// takeKeys marks the zones whose keys were found.
func (u *update) takeKeys() {
	for origin := range u.rekeyed {
		if z, ok := u.catalog.Get(zones.KeyOf(zones.KindZone, origin)).(*zones.Zone); ok && z.Signed() {
			u.zones[origin] = true
		}
	}
	clear(u.rekeyed)
}

// signerOf returns the signer of a zone that is to be signed; nil: the zone is served unsigned. usable: the zone can be
// served at all. One that was signed before this process began, as there are files of a key, is not served without
// signatures because these cannot be read: whoever validates would take the answers for forged.
func (u *update) signerOf(z *zones.Zone) (signer *dnssec.Signer, usable bool) {
	key := z.Key()
	delete(u.problems, key)
	if !z.Signed() {
		u.unsigned[z.Origin] = true
		delete(u.signers, z.Origin)
		return nil, true
	}
	switch k := u.keys[z.Origin]; {
	case k.key != nil:
		delete(u.unsigned, z.Origin)
		signer = u.signers[z.Origin]
		if signer == nil || signer.Key() != k.key || signer.NSEC3() != z.DNSSEC.NSEC3 {
			signer = dnssec.NewSigner(k.key, z.DNSSEC.NSEC3, u.now())
			u.signers[z.Origin] = signer
		}
		return signer, true
	case k.err == nil: // nobody has looked yet
		return nil, true
	case errors.Is(k.err, dnssec.ErrNoKey), u.unsigned[z.Origin]:
		u.problems[key] = zones.Problem{
			Key: key, Field: "dnssec", Message: fmt.Sprintf("the zone is served unsigned: %v", k.err),
		}
		return nil, true
	default:
		u.problems[key] = zones.Problem{
			Key: key, Field: "dnssec",
			Message: fmt.Sprintf("the zone is not served, as it cannot be signed: %v", k.err),
		}
		return nil, false
	}
}

// keySets returns the edits that put what a signed zone has at its apex: DNSKEY, CDS and CDNSKEY (RFC 7344), and
// NSEC3PARAM where denial is by NSEC3.
func keySets(z *zones.Zone, apex rr.Name, signer *dnssec.Signer) []edit {
	ttl := steer.Seconds(z.TTL.Or(zones.DefaultTTL))
	put := func(typ rr.Type, data []byte) edit {
		return edit{name: apex, kind: putSet, typ: typ, set: func(dst []byte) ([]byte, int) {
			return appendRecord(dst, typ, ttl, data), 1
		}}
	}
	k := signer.Key()
	edits := []edit{put(rr.TypeDNSKEY, k.DNSKEY()), put(rr.TypeCDNSKEY, k.DNSKEY())}
	if ds, err := k.DS(dnssec.DigestSHA256); err == nil {
		edits = append(edits, put(rr.TypeCDS, ds))
	}
	if signer.NSEC3() {
		edits = append(edits, put(rr.TypeNSEC3PARAM, dnssec.NSEC3PARAM()))
	}
	return edits
}

// madeBySigning reports whether records of the type are made where a zone is signed, at its apex.
func madeBySigning(t rr.Type) bool {
	return t == rr.TypeDNSKEY || t == rr.TypeCDS || t == rr.TypeCDNSKEY || t == rr.TypeNSEC3PARAM
}
