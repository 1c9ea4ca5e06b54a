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

// keyed is what came of looking for a zone's keys.
type keyed struct {
	keys *dnssec.Keys
	err  error
}

// Keyed notes the keys of a zone that is to be signed, or why there are none to be had. The next Update signs the zone.
// Keys that were there stay, whatever is wrong with their files later. Both keys and an error: they are used, and
// something is wrong all the same. An origin of "" is all zones that nobody has said anything of.
func (b *Builder) Keyed(origin string, k *dnssec.Keys, err error) {
	if k == nil {
		if k = b.keys[origin].keys; k != nil {
			err = fmt.Errorf("the keys that were read stay in use: %w", err)
		}
	}
	b.keys[origin] = keyed{k, err}
	b.rekeyed[origin] = true
}

// Kept notes signatures of a zone that an earlier process has made, before its key is noted.
func (b *Builder) Kept(origin string, k *dnssec.Kept) { b.kept[origin] = k }

// Turned notes that a zone's signatures are those of another epoch. The next Update gives it the serial of that, if the
// zone has secondaries.
func (b *Builder) Turned(origin string) { b.epochs[origin] = true }

// EachKeys calls with the keys of each zone that somebody has looked for, or with why there are none, for another
// Builder to be told by Keyed.
func (b *Builder) EachKeys(f func(origin string, k *dnssec.Keys, err error)) {
	for origin, k := range b.keys {
		f(origin, k.keys, k.err)
	}
}

// Signs reports whether any zone is signed.
func (b *Builder) Signs() bool { return len(b.signers) > 0 }

// DueKeys calls f with each origin whose keys have something else to do by now than when the zone was last built.
func (b *Builder) DueKeys(now time.Time, f func(origin string)) {
	for origin, at := range b.turns {
		if !now.Before(at) {
			f(origin)
		}
	}
}

// takeKeys marks the zones whose keys were found, and those whose keys have something else to do now.
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

// signerOf returns the signer of a zone that is to be signed; nil: the zone is served unsigned. usable: the zone can be
// served at all. One that was signed before this process began, as there are files of a key, is not served without
// signatures because these cannot be read: whoever validates would take the answers for forged.
//
// only: those of its keys that are used, by their DNSKEY; nil: all.
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

// keysOf returns what came of looking for a zone's keys.
func (u *update) keysOf(z *zones.Zone) keyed {
	k, looked := u.keys[z.Origin]
	if !looked {
		k = u.keys[""]
	}
	return k
}

// KeysAreFiles tells that nobody rolls keys here by a zone's settings, so that these have a problem.
func (b *Builder) KeysAreFiles() { b.keyFiles = true }

// doubt notes what is wrong with the signing of a zone.
func (u *update) doubt(z *zones.Zone, warning bool, err error) {
	if err != nil {
		u.problems[z.Key()] = zones.Problem{Key: z.Key(), Field: "dnssec", Warning: warning, Message: err.Error()}
	}
}

// keySets returns the edits that put what a signed zone has at its apex: DNSKEY, CDS and CDNSKEY (RFC 7344), and
// NSEC3PARAM where denial is by NSEC3. The keys that others sign the zone with too (RFC 8901) are among them.
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
