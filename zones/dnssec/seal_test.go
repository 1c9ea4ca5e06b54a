package dnssec

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"leeward/zones/rr"
)

func secretsOf(t testing.TB, first ...byte) *Secrets {
	t.Helper()
	var all [][]byte
	for _, b := range first {
		all = append(all, bytes.Repeat([]byte{b}, SecretSize))
	}
	s, err := NewSecrets(all...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSeal: what was sealed opens unchanged, under the same secret at the same place, and nowhere else. The sealed form
// has nothing of the private key in the clear.
func TestSeal(t *testing.T) {
	at := time.Date(2026, 11, 29, 2, 0, 0, 0, time.UTC)
	for _, a := range []Algorithm{ECDSAP256, Ed25519} {
		for _, flags := range []uint16{FlagZone, FlagsCSK} {
			made, err := Generate("\x07example\x04test\x00", flags, a)
			if err != nil {
				t.Fatal(err)
			}
			times := Times{Created: at, Publish: at.Add(time.Hour), SyncDelete: at.Add(2 * time.Hour)}
			key := TimedKey{made, times, RoleCSK}
			old, both := secretsOf(t, 1), secretsOf(t, 2, 1)
			value, err := old.Seal(&key)
			if err != nil {
				t.Fatal(err)
			}
			private, _ := made.secret()
			if bytes.Contains(value, private) || strings.Contains(string(value), "PrivateKey") {
				t.Fatalf("the key is in the clear: %s", value)
			}
			got, current, err := both.Open(made.Place(), value)
			if err != nil || current {
				t.Fatal("it does not open under a second line, or as if it were the first", err)
			}
			if !got.same(made) || got.Times != key.Times || got.Role != key.Role {
				t.Errorf("%+v became %+v", key, got)
			}
			if again, _ := both.Seal(&got); bytes.Equal(again, value) {
				t.Error("sealed twice, it is the same")
			} else if _, current, err := both.Open(made.Place(), again); err != nil || !current {
				t.Error("it is not sealed under the first line", err)
			}
			wrong := func(what, text string, s *Secrets, p Place, value []byte) {
				t.Helper()
				_, _, err := s.Open(p, value)
				if err == nil {
					t.Fatalf("%s: it opens", what)
				}
				if !strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), p.String()) {
					t.Errorf("%s: %v; want %q and the place", what, err, text)
				}
			}
			place := made.Place()
			wrong("another secret", "put the line of that secret back", secretsOf(t, 3), place, value)
			wrong("no secret", "no --key-secret-file is given", nil, place, value)
			if _, _, err := secretsOf(t, 3).Open(place, value); !errors.Is(err, ErrSecret) {
				t.Errorf("another secret: %v", err)
			}
			wrong("another zone", "sealed for another place", old, Place{"\x05other\x04test\x00", a, place.Tag}, value)
			wrong("another algorithm", "sealed for another place", old, Place{place.Origin, 8, place.Tag}, value)
			wrong("another tag", "sealed for another place", old, Place{place.Origin, a, place.Tag ^ 1}, value)
			wrong("nothing", "not that of a sealed key", old, place, nil)
			wrong("a private key", "not that of a sealed key", old, place, []byte("Private-key-format: v1.3"))
			var in sealed
			if err := json.Unmarshal(value, &in); err != nil {
				t.Fatal(err)
			}
			change := func(f func(*sealed)) []byte {
				out := in
				out.Sealed = bytes.Clone(in.Sealed)
				f(&out)
				text, err := json.Marshal(out)
				if err != nil {
					t.Fatal(err)
				}
				return text
			}
			for _, i := range []int{0, 11, 12, len(in.Sealed) - 1} {
				wrong("altered", "altered", old, place, change(func(s *sealed) { s.Sealed[i] ^= 1 }))
			}
			for _, n := range []int{0, 12} {
				wrong("cut short", "cut short", old, place, change(func(s *sealed) { s.Sealed = s.Sealed[:n] }))
			}
			last := len(in.Sealed) - 1
			wrong("cut by one", "altered", old, place, change(func(s *sealed) { s.Sealed = s.Sealed[:last] }))
			wrong("a newer format", "upgrade", old, place, change(func(s *sealed) { s.Format = 2 }))
			// Whoever has the secret can seal anything. Still, it must be a key of that place.
			forge := func(text string) []byte {
				return change(func(s *sealed) {
					s.Sealed = old.all[0].aead.Seal(s.Sealed[:12], s.Sealed[:12], []byte(text),
						additional(place.Origin, place.Algorithm, place.Tag))
				})
			}
			text, _ := key.Private()
			wrong("no flags", "no flags", old, place, forge(text))
			wrong("flags of no zone", "flags 1", old, place, forge(text+"Flags: 1\n"))
			wrong("another key", "what is sealed there is key", old, place, forge(func() string {
				other, _ := Generate(place.Origin, FlagsCSK, a)
				text, _ := (&TimedKey{Key: other}).Private()
				return text + "Flags: 257\n"
			}()))
			long := strings.Replace(text, "PrivateKey: ", "PrivateKey: AAAA", 1)
			wrong("a wrong size", "octets", old, place, forge(long+"Flags: 257\n"))
		}
	}
}

// TestPlace: a place has only one written form, which is read back.
func TestPlace(t *testing.T) {
	for _, text := range []string{"example.test/13-00001", "./15-65535", "0%2F26.2.0.192.in-addr.arpa/13-04711"} {
		if p, err := ParsePlace(text); err != nil || p.String() != text {
			t.Errorf("%s: %v, %v", text, p, err)
		}
	}
	for _, text := range []string{
		"", "example.test", "example.test/", "example.test/13", "example.test/13-1", "Example.test/13-00001",
		"example.test./13-00001", "example.test/13-65536", "example.test/13-00001/x", "/13-00001",
	} {
		if p, err := ParsePlace(text); err == nil {
			t.Errorf("%s is taken as %v", text, p)
		}
	}
}

// FuzzOpen: whatever the value, Open returns or fails with an error.
func FuzzOpen(f *testing.F) {
	s := secretsOf(f, 1)
	made, err := Generate("\x04test\x00", FlagsCSK, Ed25519)
	if err != nil {
		f.Fatal(err)
	}
	value, err := s.Seal(&TimedKey{Key: made})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(value)
	f.Add([]byte(`{"format":1,"secret":"","sealed":""}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		k, _, err := s.Open(made.Place(), in)
		if err == nil && !k.same(made) {
			t.Fatal("another key was opened")
		}
	})
}

// TestSealed: the keys of a zone are read as a whole, each bad one is named, and a copy does not change.
func TestSealed(t *testing.T) {
	s, all := secretsOf(t, 1), NewSealed()
	origin := rr.Name("\x07example\x04test\x00")
	if _, err := all.Read(origin, s); !errors.Is(err, ErrNoKey) {
		t.Errorf("without keys: %v", err)
	}
	var places []string
	for _, flags := range []uint16{FlagZone, FlagsCSK} {
		made, err := beside(nil, origin, flags, ECDSAP256)
		if err != nil {
			t.Fatal(err)
		}
		value, err := s.Seal(&TimedKey{Key: made})
		if err != nil {
			t.Fatal(err)
		}
		if at, ok := all.Put(made.Place().String(), value); !ok || at != origin {
			t.Fatal(at, ok)
		}
		places = append(places, made.Place().String())
	}
	if keys, err := all.Read(origin, s); err != nil || len(keys.All()) != 2 {
		t.Fatal(keys, err)
	}
	before, mark := all.Clone(), all.Mark(origin)
	all.Put(places[0], []byte("{}"))
	all.Put("example.test/nothing", []byte("{}"))
	if all.Mark(origin) == mark || before.Mark(origin) != mark {
		t.Error("a change does not show, or shows in a copy")
	}
	_, err := all.Read(origin, s)
	for _, bad := range []string{places[0], "example.test/nothing"} {
		if err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("bad ones: %v", err)
		}
	}
	all.Put("example.test/nothing", nil)
	all.Put(places[0], nil)
	if keys, err := all.Read(origin, s); err != nil || len(keys.All()) != 1 {
		t.Error(keys, err)
	}
	all.Put(places[1], nil)
	if len(all.Origins()) != 0 {
		t.Error(all.Origins())
	}
	if _, ok := all.Put("/13-00001", nil); ok {
		t.Error("the folder of no zone is taken")
	}
}

func TestNewSecrets(t *testing.T) {
	one := make([]byte, SecretSize)
	for _, all := range [][][]byte{nil, {one[1:]}, {one, one, one, one, one}} {
		if _, err := NewSecrets(all...); err == nil {
			t.Errorf("%d secrets are taken", len(all))
		}
	}
}

// plainly is AES-256-GCM and HKDF-SHA256 a second time, by RFC 5869's extract and expand of one block.
func plainly(t testing.TB, secret []byte, origin rr.Name, a Algorithm, tag uint16) (aead cipher.AEAD, with []byte) {
	t.Helper()
	mac := func(key, text []byte) []byte {
		m := hmac.New(sha256.New, key)
		m.Write(text)
		return m.Sum(nil)
	}
	extracted := mac(make([]byte, sha256.Size), secret)
	block, err := aes.NewCipher(mac(extracted, append([]byte("leeward: sealing keys of zones"), 1)))
	if err != nil {
		t.Fatal(err)
	}
	if aead, err = cipher.NewGCM(block); err != nil {
		t.Fatal(err)
	}
	return aead, append([]byte{
		'l', 'e', 'e', 'w', 'a', 'r', 'd', ' ', 'k', 'e', 'y', 0, byte(a), byte(tag >> 8),
		byte(tag),
	}, origin...)
}

// TestSealPlainly: whatever the secrets and their order, plain AES-GCM opens what is sealed with the first line, and
// what it seals opens under any line. With any bit changed, at another place, or under another line, it does not open.
func TestSealPlainly(t *testing.T) {
	made := map[Algorithm]*Key{}
	for _, a := range []Algorithm{ECDSAP256, Ed25519} {
		made[a] = key(t, "example.test", a)
	}
	rapid.Check(t, func(r *rapid.T) {
		a := rapid.SampledFrom([]Algorithm{ECDSAP256, Ed25519}).Draw(r, "algorithm")
		k := TimedKey{Key: made[a], Times: Times{Publish: day0}, Role: RoleCSK}
		lines := rapid.SliceOfNDistinct(rapid.SliceOfN(rapid.Byte(), SecretSize, SecretSize), 1, MostSecrets,
			func(b []byte) string { return string(b) }).Draw(r, "lines")
		s, err := NewSecrets(lines...)
		if err != nil {
			r.Fatal(err)
		}
		value, err := s.Seal(&k)
		if err != nil {
			r.Fatal(err)
		}
		var in sealed
		if err := json.Unmarshal(value, &in); err != nil {
			r.Fatal(err)
		}
		aead, with := plainly(t, lines[0], k.origin, a, k.Tag())
		text, err := aead.Open(nil, in.Sealed[:12], in.Sealed[12:], with)
		private, _ := k.Private()
		if err != nil || !strings.HasPrefix(string(text), private) {
			r.Fatalf("plain AES-GCM opens %q, %v", text, err)
		}

		// Under another line, sealed by plain AES-GCM.
		i := rapid.IntRange(0, len(lines)-1).Draw(r, "line")
		aead, with = plainly(t, lines[i], k.origin, a, k.Tag())
		nonce := rapid.SliceOfN(rapid.Byte(), 12, 12).Draw(r, "nonce")
		theirs := sealed{sealFormat, s.all[i].name, aead.Seal(bytes.Clone(nonce), nonce, text, with)}
		put := func(one sealed) []byte {
			text, err := json.Marshal(one)
			if err != nil {
				r.Fatal(err)
			}
			return text
		}
		got, current, err := s.Open(k.Place(), put(theirs))
		if err != nil || current != (i == 0) || !got.same(k.Key) || got.Times != k.Times || got.Role != k.Role {
			r.Fatalf("what plain AES-GCM has sealed is opened as %+v, %v", got, err)
		}

		changed := theirs
		changed.Sealed = bytes.Clone(theirs.Sealed)
		at := rapid.IntRange(0, len(changed.Sealed)-1).Draw(r, "at")
		changed.Sealed[at] ^= 1 << rapid.IntRange(0, 7).Draw(r, "bit")
		elsewhere := k.Place()
		elsewhere.Tag ^= 1 << rapid.IntRange(0, 15).Draw(r, "tag")
		others, err := NewSecrets(append([][]byte{bytes.Repeat([]byte{7}, SecretSize)}, lines[:i]...)...)
		if err != nil {
			r.Skip(err) // there is a fifth line
		}
		for what, open := range map[string]func() error{
			"changed":   func() error { _, _, err := s.Open(k.Place(), put(changed)); return err },
			"elsewhere": func() error { _, _, err := s.Open(elsewhere, put(theirs)); return err },
			"as a roll": func() error { _, _, err := s.OpenRoll(k.origin, put(theirs)); return err },
			"no line":   func() error { _, _, err := others.Open(k.Place(), put(theirs)); return err },
		} {
			if open() == nil {
				r.Fatalf("%s: it opens", what)
			}
		}
	})
}
