package dnssec

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"leeward/zones/rr"
)

// A handout is what the signer of a zone tells servers without keys about the zone's keys: the public parts, and when
// each does what. The keys themselves sign it. A server that has one accepts the next only if a key signs it that is in
// the zone according to the first. So nobody else can take a zone's keys away from a running server. If keys are in
// etcd, a handout also says how far their roll is, because a server without keys must say what it does of the roll.
//
// A server that was away while all keys were rolled knows none of the present ones. So a handout carries earlier ones
// as links. A handout becomes a link if it had a key that the next one lacks; all its keys have signed it. The server
// goes along the links from the keys that it knows. In each it trusts what it would have trusted when that was handed
// out.

// handout is the JSON form. Body is what is signed.
type handout struct {
	Body       json.RawMessage `json:"keys"`
	Signatures [][]byte        `json:"signatures"` // by keys of Body, or of the previous handout
	Links      []handout       `json:"links,omitempty"`
}

// mostLinks is how many earlier handouts go with one. The last ones are kept: some years of rolls.
const mostLinks = 32

type handoutBody struct {
	Zone     string       `json:"zone"`
	Made     int64        `json:"made"` // Unix seconds; of two handouts, the later counts
	Revision int64        `json:"revision,omitempty"`
	Keys     []handoutKey `json:"keys"`
	Roll     *Roll        `json:"roll,omitempty"`
}

type handoutKey struct {
	DNSKEY []byte           `json:"dnskey"` // RDATA
	Role   string           `json:"role,omitempty"`
	Times  map[string]int64 `json:"times,omitempty"` // Unix seconds, by BIND's names
}

// handoutInput returns what is signed of a body. It cannot be taken for an RRset, see Key.mac.
func handoutInput(origin rr.Name, body []byte) []byte {
	input := append([]byte("leeward: keys of a zone\n"), origin...)
	return append(input, body...)
}

// HandedOut is the content of a handout.
type HandedOut struct {
	Keys *Keys
	Made time.Time
	// Revision is the revision of etcd at which the keys were so. Of two handouts that differ, the one with the later
	// revision counts, whatever the clocks say. 0: the keys are files.
	Revision int64
	Roll     *Roll // the roll of these keys; nil: there was none
}

// HandOut returns a handout of keys that have their private parts. before is the handout that it replaces, which must
// be readable by ReadHandOut with these keys; nil: there is none.
func HandOut(o HandedOut, before []byte) ([]byte, error) {
	k := o.Keys
	b := handoutBody{Zone: rr.TrimDot(k.origin.String()), Made: o.Made.Unix(), Revision: o.Revision, Roll: o.Roll}
	for i := range k.all {
		one := handoutKey{DNSKEY: k.all[i].DNSKEY(), Role: k.all[i].Role.String(), Times: map[string]int64{}}
		times := k.all[i].Times
		times.each(func(name string, at *time.Time) {
			// Never is included: without it, a key would at once do what it must not do yet.
			if !at.IsZero() {
				one.Times[name] = at.Unix()
			}
		})
		b.Keys = append(b.Keys, one)
	}
	body, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	h := handout{Body: body}
	for i := range k.all {
		signature, err := k.all[i].sign(handoutInput(k.origin, body))
		if err != nil {
			return nil, err
		}
		h.Signatures = append(h.Signatures, signature[:])
	}
	var last handout
	var had handoutBody
	if before == nil || json.Unmarshal(before, &last) != nil || json.Unmarshal(last.Body, &had) != nil {
		return json.Marshal(h)
	}
	h.Links = last.Links
	lacks := func(old handoutKey) bool {
		same := func(k handoutKey) bool { return bytes.Equal(k.DNSKEY, old.DNSKEY) }
		return !slices.ContainsFunc(b.Keys, same)
	}
	if slices.ContainsFunc(had.Keys, lacks) {
		h.Links = append(h.Links, handout{Body: last.Body, Signatures: last.Signatures})
	}
	h.Links = h.Links[max(0, len(h.Links)-mostLinks):]
	return json.Marshal(h)
}

// Hand is what a server without private keys has for a zone.
type Hand struct {
	Received *Received
	Kept     *Kept // what was in use before a restart; nil: nothing

	mu      sync.Mutex
	signers map[bool]*Signer // the zone's signers, which all users share, by whether denial is by NSEC3
	secret  []byte           // see Vouch
}

// Vouch gives the server's own secret, by which it recognises its files. Without one it keeps none.
func (h *Hand) Vouch(secret []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.secret = secret
}

// ReadHandOut reads a handout of a zone. It must be signed by one of the keys in had that is in the zone at that time,
// or by one that the handout's links lead to from there. If had is nil, one of its own keys must have signed it.
func ReadHandOut(origin rr.Name, data []byte, had *Keys, now time.Time, hand *Hand) (o HandedOut, err error) {
	var h handout
	if json.Unmarshal(data, &h) != nil {
		return o, errUnreadable
	}
	keys, b, err := h.keys(origin, hand)
	if err != nil {
		return o, err
	}
	signed := h.by(keys, func(*TimedKey) bool { return true })
	if trusted := had; trusted != nil {
		inZone := func(key *TimedKey) bool { return key.Times.Published(now) || trusted.At(now).Stays == key.Key }
		signed = h.by(trusted, inZone)
		for i := 0; i < len(h.Links) && !signed; i++ {
			link := &h.Links[i]
			if next, _, err := link.keys(origin, nil); err == nil && link.by(trusted, inZone) {
				trusted = next
				signed = h.by(trusted, inZone)
			}
		}
	}
	if !signed {
		return o, errors.New("the keys that were handed out are signed by none that the zone has")
	}
	keys.hand = hand
	return HandedOut{keys, time.Unix(b.Made, 0), b.Revision, b.Roll}, nil
}

var errUnreadable = errors.New("the keys that were handed out cannot be read")

// by reports whether one of the trusted keys has signed the handout.
func (h *handout) by(k *Keys, trusted func(*TimedKey) bool) bool {
	input := handoutInput(k.origin, h.Body)
	for i := range k.all {
		if !trusted(&k.all[i]) {
			continue
		}
		for _, signature := range h.Signatures {
			if verify(k.all[i].DNSKEY(), input, signature) {
				return true
			}
		}
	}
	return false
}

// keys returns the keys in the handout.
func (h *handout) keys(origin rr.Name, hand *Hand) (*Keys, *handoutBody, error) {
	var b handoutBody
	if json.Unmarshal(h.Body, &b) != nil {
		return nil, nil, errUnreadable
	}
	if b.Zone != rr.TrimDot(origin.String()) {
		return nil, nil, fmt.Errorf("the keys that were handed out are of %q", b.Zone)
	}
	var all []TimedKey
	for _, one := range b.Keys {
		key, err := publicKey(origin, one.DNSKEY)
		if err != nil {
			return nil, nil, err
		}
		key.hand = hand
		timed := TimedKey{Key: key}
		for _, r := range [...]Role{RoleByFlags, RoleKSK, RoleZSK, RoleCSK} {
			if r.String() == one.Role {
				timed.Role = r
			}
		}
		timed.Times.each(func(name string, at *time.Time) {
			if n, ok := one.Times[name]; ok {
				*at = time.Unix(n, 0).UTC()
			}
		})
		all = append(all, timed)
	}
	keys, err := NewKeys(origin, all...)
	return keys, &b, err
}

// Same reports whether two handouts say the same about a zone, whoever made them, and whenever.
func (o *HandedOut) Same(p *HandedOut) bool { return o.Keys.Equal(p.Keys) && o.Roll.Same(p.Roll) }

// Equal reports whether o has the same keys, with the same times and roles.
func (k *Keys) Equal(o *Keys) bool {
	return slices.EqualFunc(k.all, o.all, func(a, b TimedKey) bool {
		same := a.same(b.Key) && a.Role == b.Role
		var times [2][]int64
		for i, t := range [...]Times{a.Times, b.Times} {
			t.each(func(_ string, at *time.Time) {
				n := int64(0)
				if !at.IsZero() {
					n = at.Unix()
				}
				times[i] = append(times[i], n)
			})
		}
		return same && slices.Equal(times[0], times[1])
	})
}

// publicKey makes a key from the RDATA of its DNSKEY. It cannot sign.
func publicKey(origin rr.Name, dnskey []byte) (*Key, error) {
	if len(dnskey) < 4 || dnskey[2] != 3 {
		return nil, errors.New("a key that was handed out is no DNSKEY")
	}
	k := &Key{
		origin: origin, flags: binary.BigEndian.Uint16(dnskey), algorithm: Algorithm(dnskey[3]),
		public: bytes.Clone(dnskey[4:]),
	}
	switch k.algorithm {
	case ECDSAP256:
		if _, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append([]byte{4}, k.public...)); err != nil {
			return nil, errors.New("a key that was handed out is none of algorithm 13")
		}
	case Ed25519:
		if len(k.public) != ed25519.PublicKeySize {
			return nil, errors.New("a key that was handed out is none of algorithm 15")
		}
	default:
		return nil, unknown(k.algorithm)
	}
	return k, nil
}

// Hand returns what goes with keys that have no private parts, or nil for others.
func (k *Keys) Hand() *Hand { return k.hand }

// secretOf returns the secret by which a key without a private part vouches for files.
func (h *Hand) secretOf(k *Key) []byte {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	secret := h.secret
	h.mu.Unlock()
	if secret == nil {
		return nil
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(k.origin))
	mac.Write(k.DNSKEY())
	return mac.Sum(nil)
}

// shared returns the one signer that everybody shares for a zone without private keys, for what the keys do at a time.
// make makes a new one from the one before, which may be nil.
func (h *Hand) shared(k *Keys, nsec3 bool, now time.Time, make func(before *Signer) *Signer) *Signer {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.signers[nsec3]
	if s == nil || !k.At(now).same(s.duty) {
		if s == nil {
			s = h.signers[!nsec3]
		}
		if h.signers == nil {
			h.signers = map[bool]*Signer{}
		}
		s = make(s)
		h.signers[nsec3] = s
	}
	return s
}
