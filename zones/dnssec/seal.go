package dnssec

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"leeward/zones/rr"
)

// A key that others store for us (etcd) is sealed: AES-256-GCM under a key that HKDF-SHA256 (RFC 5869) derives from a
// secret. Zone, algorithm and tag are additional data. So a value that is moved to another place does not open there.
// What is sealed is the text of the .private file, with flags and role.

// SecretSize is the number of octets in a secret.
const SecretSize = 32

// MostSecrets is how many secrets there may be at once: the current one, the next, the previous, and one more.
const MostSecrets = 4

// Secrets seal keys and open them: the first seals, and all open.
type Secrets struct{ all []secret }

// secret is one secret. Its name identifies it, and reveals nothing about it.
type secret struct {
	name string
	aead cipher.AEAD
}

// NewSecrets returns secrets of SecretSize octets each, one to MostSecrets.
func NewSecrets(all ...[]byte) (*Secrets, error) {
	if len(all) == 0 || len(all) > MostSecrets {
		return nil, fmt.Errorf("%d secrets of keys; give one to %d", len(all), MostSecrets)
	}
	s := &Secrets{}
	for _, b := range all {
		if len(b) != SecretSize {
			return nil, fmt.Errorf("a secret of keys has %d octets, and %d are needed", len(b), SecretSize)
		}
		key, err := hkdf.Key(sha256.New, b, nil, "leeward: sealing keys of zones", 32)
		if err != nil {
			return nil, err
		}
		name, err := hkdf.Key(sha256.New, b, nil, "leeward: name of a secret", 4)
		if err != nil {
			return nil, err
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, err
		}
		s.all = append(s.all, secret{hex.EncodeToString(name), aead})
	}
	return s, nil
}

// Mark returns a text that differs if the secrets do. It reveals nothing about them.
func (s *Secrets) Mark() string {
	if s == nil {
		return ""
	}
	var b strings.Builder
	for _, one := range s.all {
		b.WriteString(one.name + " ")
	}
	return b.String()
}

// sealed is a sealed key as it is stored.
type sealed struct {
	Format int    `json:"format"`
	Secret string `json:"secret"` // name of the secret
	Sealed []byte `json:"sealed"` // nonce and ciphertext
}

// sealFormat is the only format so far. Any other is from a newer Leeward.
const sealFormat = 1

// additional returns the additional data of a sealed key. A sealed roll has no tag.
func additional(origin rr.Name, a Algorithm, tag uint16) []byte {
	data := append([]byte("leeward key\x00"), byte(a))
	return append(binary.BigEndian.AppendUint16(data, tag), origin...)
}

// Seal seals a key under the first secret.
func (s *Secrets) Seal(k *TimedKey) ([]byte, error) {
	private, err := k.Private()
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf("%sFlags: %d\nRole: %s\n", private, k.flags, k.Role)
	return s.seal([]byte(text), additional(k.origin, k.algorithm, k.Tag()))
}

func (s *Secrets) seal(text, with []byte) ([]byte, error) {
	one := s.all[0]
	nonce := make([]byte, one.aead.NonceSize(), 512)
	_, _ = rand.Read(nonce) // it never fails
	return json.Marshal(sealed{sealFormat, one.name, one.aead.Seal(nonce, nonce, text, with)})
}

// SealRoll seals how far a zone's roll is, so that only a holder of the secret can move it.
func (s *Secrets) SealRoll(origin rr.Name, r *Roll) ([]byte, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	return s.seal(text, additional(origin, 0, 0))
}

// RollOf returns the place of a zone's roll, beside its keys.
func RollOf(origin rr.Name) string { return FolderOf(origin) + "roll" }

// OpenRoll opens what SealRoll has sealed. current says that it is sealed under the first secret.
func (s *Secrets) OpenRoll(origin rr.Name, value []byte) (r *Roll, current bool, err error) {
	text, current, err := s.open(value, additional(origin, 0, 0),
		"delete it in etcd, and begin the roll again if you still want it")
	if err == nil {
		r = &Roll{}
		err = json.Unmarshal(text, r)
	}
	if err != nil {
		return nil, false, fmt.Errorf("roll %s: %w", RollOf(origin), err)
	}
	return r, current, nil
}

// ErrSecret says that a key is sealed under a secret that is not among the ones given.
var ErrSecret = errors.New("there is no such secret")

// Open opens the key at a place. current says that it is sealed under the first secret. An error names the place, and
// says what to do.
func (s *Secrets) Open(p Place, value []byte) (k TimedKey, current bool, err error) {
	text, current, err := s.open(value, additional(p.Origin, p.Algorithm, p.Tag),
		"delete it in etcd and import the key from a copy (`leeward key import`)")
	if err == nil {
		k, err = unsealed(p, string(text))
	}
	if err != nil {
		err = fmt.Errorf("key %s: %w", p, err)
	}
	return k, current, err
}

// open opens a value. again says what to do if the value is damaged.
func (s *Secrets) open(value, with []byte, again string) (text []byte, current bool, err error) {
	var in sealed
	if err := json.Unmarshal(value, &in); err != nil || in.Format < 1 {
		return nil, false, fmt.Errorf("its value is not that of a sealed key; %s", again)
	}
	if in.Format != sealFormat {
		return nil, false, fmt.Errorf("its value has the format %d, which a newer Leeward has written; upgrade this "+
			"one", in.Format)
	}
	if s == nil {
		return nil, false, fmt.Errorf("%w: it is sealed, and no --key-secret-file is given; give the file that has "+
			"secret %s", ErrSecret, in.Secret)
	}
	for i, one := range s.all {
		if one.name != in.Secret {
			continue
		}
		size := one.aead.NonceSize()
		if len(in.Sealed) <= size {
			return nil, false, fmt.Errorf("its value is cut short; %s", again)
		}
		text, err := one.aead.Open(nil, in.Sealed[:size], in.Sealed[size:], with)
		if err != nil {
			return nil, false, fmt.Errorf("its value was altered, or was sealed for another place; %s", again)
		}
		return text, i == 0, nil
	}
	return nil, false, fmt.Errorf("%w: it is sealed under secret %s, and the --key-secret-file has %s; put the line "+
		"of that secret back", ErrSecret, in.Secret, strings.Join(strings.Fields(s.Mark()), ", "))
}

// unsealed reads the text of a key that was opened.
func unsealed(p Place, text string) (k TimedKey, err error) {
	values := fieldsOf(text)
	flags, err := strconv.ParseUint(values["Flags"], 10, 16)
	if err != nil {
		return k, errors.New("it has no flags")
	}
	if k, err = Parse(p.Origin, uint16(flags), text); err != nil {
		return k, err
	}
	for _, role := range []Role{RoleKSK, RoleZSK, RoleCSK} {
		if values["Role"] == role.String() {
			k.Role = role
		}
	}
	if k.algorithm != p.Algorithm || k.Tag() != p.Tag {
		return k, fmt.Errorf("what is sealed there is key %s", k.Place())
	}
	return k, nil
}

// Place is where a sealed key is stored among those of all zones: <origin>/<algorithm>-<tag>.
type Place struct {
	Origin    rr.Name
	Algorithm Algorithm
	Tag       uint16
}

// Place returns where the key is stored.
func (k *Key) Place() Place { return Place{k.origin, k.algorithm, k.Tag()} }

// FolderOf returns the prefix of the places of a zone's keys, with a slash at its end.
func FolderOf(origin rr.Name) string {
	return strings.ReplaceAll(rr.TrimDot(origin.String()), "/", "%2F") + "/"
}

// String returns the place as text.
func (p Place) String() string {
	return fmt.Sprintf("%s%d-%05d", FolderOf(p.Origin), p.Algorithm, p.Tag)
}

// MarshalText writes the place as text.
func (p Place) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads a place from text.
func (p *Place) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePlace(string(text))
	return err
}

// ParsePlace reads a place.
func ParsePlace(text string) (p Place, err error) {
	zone, key, _ := strings.Cut(text, "/")
	algorithm, tag, _ := strings.Cut(key, "-")
	a, wrong1 := strconv.ParseUint(algorithm, 10, 8)
	t, wrong2 := strconv.ParseUint(tag, 10, 16)
	origin, wrong3 := rr.ParseName(strings.ReplaceAll(zone, "%2F", "/"))
	p = Place{origin, Algorithm(a), uint16(t)}
	if errors.Join(wrong1, wrong2, wrong3) != nil || p.String() != text {
		return p, fmt.Errorf("%q is not the place of a key; it is <origin>/<algorithm>-<tag>, such as "+
			"example.test/13-04711", text)
	}
	return p, nil
}
