package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"leeward/zones"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
	"leeward/zones/steer"
)

// keyed is the result of looking for a zone's keys.
type keyed struct {
	keys *dnssec.Keys
	err  error
}

// Keyed notes the keys of a zone that is to be signed, or why there are none. The next Update signs the zone. Keys stay
// in use whatever is later wrong with their files. If there are both keys and an error, the keys are used although
// something is wrong. An origin of "" stands for all zones that nobody has said anything about.
func (b *Builder) Keyed(origin string, k *dnssec.Keys, err error) {
	if k == nil {
		if k = b.keys[origin].keys; k != nil {
			err = fmt.Errorf("the keys that were read stay in use: %w", err)
		}
	}
	b.keys[origin] = keyed{k, err}
	b.rekeyed[origin] = true
}

// Kept notes the signatures of a zone that an earlier process made. It must be called before Keyed.
func (b *Builder) Kept(origin string, k *dnssec.Kept) { b.kept[origin] = k }

// Turned notes that a zone has switched to the signatures of another epoch. If the zone has secondaries, the next
// Update gives it the serial of that epoch.
func (b *Builder) Turned(origin string) { b.epochs[origin] = true }

// EachKeys calls f with the keys of each zone that somebody has looked for, or with why there are none. Another Builder
// is told them by Keyed.
func (b *Builder) EachKeys(f func(origin string, k *dnssec.Keys, err error)) {
	for origin, k := range b.keys {
		f(origin, k.keys, k.err)
	}
}

// Signs reports whether any zone is signed.
func (b *Builder) Signs() bool { return len(b.signers) > 0 }

// DueKeys calls f with each origin whose keys by now do something else than when the zone was last built.
func (b *Builder) DueKeys(now time.Time, f func(origin string)) {
	for origin, at := range b.turns {
		if !now.Before(at) {
			f(origin)
		}
	}
}

// takeKeys marks the zones whose keys were found, and those whose keys now do something else.
func (u *update) takeKeys() {
	u.DueKeys(u.now(), func(origin string) { u.rekeyed[origin] = true })
	for origin := range u.rekeyed {
		delete(u.turns, origin)
		if z, ok := u.catalog.Get(zones.KeyOf(zones.KindZone, origin)).(*zones.Zone); ok && z.Signed() {
			u.zones[origin] = true
		}
	}
	clear(u.rekeyed)
	for origin := range u.epochs {
		if z, ok := u.catalog.Get(zones.KeyOf(zones.KindZone, origin)).(*zones.Zone); ok && u.turned(z) != 0 {
			u.touched = append(u.touched, origin)
		}
	}
	clear(u.epochs)
}

// signerOf returns the signer of a zone that is to be signed, or nil if the zone is served unsigned. usable says that
// the zone can be served at all. A zone that has key files was signed before this process began. If they cannot be
// read, it is not served without signatures: validators would take the answers for forged.
//
// only are the keys that may be used, by their DNSKEY; nil: all.
func (u *update) signerOf(z *zones.Zone, nsec3 bool, only [][]byte) (signer *dnssec.Signer, usable bool) {
	delete(u.problems, z.Key())
	delete(u.turns, z.Origin)
	if l := u.lacking[z.Origin]; l.keys {
		delete(u.lacking, z.Origin)
	}
	if !z.Signed() {
		u.unsigned[z.Origin] = true
		delete(u.signers, z.Origin)
		delete(u.lacking, z.Origin)
		return nil, true
	}
	k := u.keysOf(z)
	if only != nil && k.keys != nil {
		k.keys = k.keys.Among(only)
	}
	switch err := k.err; {
	case k.keys != nil:
		delete(u.unsigned, z.Origin)
		if signer = u.signers[z.Origin]; signer == nil {
			signer = dnssec.NewSigner(k.keys, nsec3, u.now())
			signer.Recall(u.kept[z.Origin])
			delete(u.kept, z.Origin)
		} else {
			signer = signer.With(k.keys, nsec3, u.now())
		}
		u.signers[z.Origin] = signer
		if next := k.keys.Next(u.now()); !next.IsZero() {
			u.turns[z.Origin] = next
		}
		if err != nil {
			u.doubt(z, true, err)
		} else if stays := signer.Duty().Stays; stays != nil {
			u.doubt(z, true, fmt.Errorf("no key is active by its times, so %s signs; `leeward key list %s` shows them",
				stays.FileName(), z.Origin))
		} else if u.keyFiles && (z.DNSSEC.Roll != nil || len(z.DNSSEC.Parent) > 0) {
			u.doubt(z, true, errors.New("roll and parent do nothing here, as this server's keys are files, and only "+
				"keys in etcd roll by themselves; run `leeward key roll`, or take them out"))
		} else if a := dnssec.Algorithm(z.DNSSEC.Algorithm); u.keyFiles && a != 0 && !k.keys.By(a, u.now()) {
			u.doubt(z, true, fmt.Errorf("the zone's keys are files, and not of algorithm %s as dnssec.algorithm says: "+
				"run `leeward key roll %s --algorithm %d`, as only keys in etcd roll by themselves", a, z.Origin, a))
		}
		return signer, true
	case u.edge:
		u.lacking[z.Origin] = lack{keys: true}
		u.doubt(z, false, errors.New("the zone is not served, as its keys and signatures have not come; look after "+
			"`leeward sign`"))
		return nil, false
	case err == nil: // nobody has looked yet
		return nil, true
	case errors.Is(err, dnssec.ErrNoKey), u.unsigned[z.Origin]:
		u.doubt(z, false, fmt.Errorf("the zone is served unsigned: %w", err))
		return nil, true
	}
	u.doubt(z, false, fmt.Errorf("the zone is not served, as it cannot be signed: %w", k.err))
	return nil, false
}

// keysOf returns the result of looking for a zone's keys.
func (u *update) keysOf(z *zones.Zone) keyed {
	k, looked := u.keys[z.Origin]
	if !looked {
		k = u.keys[""]
	}
	return k
}

// KeysAreFiles says that nobody rolls keys here by a zone's settings, so such settings are a problem.
func (b *Builder) KeysAreFiles() { b.keyFiles = true }

// doubt notes what is wrong with the signing of a zone.
func (u *update) doubt(z *zones.Zone, warning bool, err error) {
	if err != nil {
		u.problems[z.Key()] = zones.Problem{Key: z.Key(), Field: "dnssec", Warning: warning, Message: err.Error()}
	}
}

// keySets returns the edits that put at the apex what a signed zone has there: DNSKEY, CDS and CDNSKEY (RFC 7344), and
// NSEC3PARAM if denial is by NSEC3. They include the keys of others who also sign the zone (RFC 8901).
func keySets(z *zones.Zone, apex rr.Name, signer *dnssec.Signer) (edits []edit) {
	ttl := steer.Seconds(z.TTL.Or(zones.DefaultTTL))
	put := func(typ rr.Type, all [][]byte) {
		if len(all) == 0 {
			return
		}
		edits = append(edits, edit{name: apex, kind: putSet, typ: typ, set: func(dst []byte) ([]byte, int) {
			for _, data := range all {
				dst = appendRecord(dst, typ, ttl, data)
			}
			return dst, len(all)
		}})
	}
	published, synced := signer.Duty().DNSKEY, signer.Duty().Synced
	for _, text := range z.DNSSEC.Foreign {
		data, err := rr.ParseData(rr.TypeDNSKEY, text, rr.Root)
		if err != nil || slices.ContainsFunc(published, func(own []byte) bool { return bytes.Equal(own, data) }) {
			continue
		}
		published = append(published[:len(published):len(published)], data)
		if dnssec.IsEntry(data) {
			synced = append(synced[:len(synced):len(synced)], data)
		}
	}
	put(rr.TypeDNSKEY, published)
	if z.DNSSEC.Withdraw { // RFC 8078 section 4
		put(rr.TypeCDS, [][]byte{{0, 0, 0, 0, 0}})
		put(rr.TypeCDNSKEY, [][]byte{{0, 0, 3, 0, 0}})
	} else {
		var cds [][]byte
		for _, data := range synced {
			if ds, err := dnssec.DS(apex, data, dnssec.DigestSHA256); err == nil {
				cds = append(cds, ds)
			}
		}
		put(rr.TypeCDS, cds)
		put(rr.TypeCDNSKEY, synced)
	}
	if signer.NSEC3() {
		put(rr.TypeNSEC3PARAM, [][]byte{dnssec.NSEC3PARAM()})
	}
	return edits
}
