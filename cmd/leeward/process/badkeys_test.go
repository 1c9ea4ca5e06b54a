package process

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"leeward/zones"
	"leeward/zones/dnssec"
	"leeward/zones/etcd"
	"leeward/zones/rr"
)

// The keys of example.test, and the secrets that open them, damaged in every way. Each damage meets two servers: one
// that starts, and one that has the keys in use. Keys in use stay, with a problem. A server that starts does not serve
// the zone unsigned.
//
// If says is "", what is there can be used. If also is not "", it is used, with that problem.

const badOrigin = rr.Name("\x07example\x04test\x00")

// badPlace is where the keys are. It is intact until a test damages it.
type badPlace struct {
	t       *testing.T
	folder  string // of key files, or of the file of secrets
	key     *dnssec.TimedKey
	secrets string // the file
	sealed  map[string][]byte
}

func (p *badPlace) check(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// path returns the path of one of the key's two files.
func (p *badPlace) path(ending string) string {
	return filepath.Join(p.folder, p.key.FileName()+ending)
}

// edit changes the text of a file.
func (p *badPlace) edit(path string, change func(text string) string) {
	p.t.Helper()
	text, err := os.ReadFile(path)
	p.check(err)
	p.check(os.WriteFile(path, []byte(change(string(text))), 0o600))
}

// replaced returns a change of a file's text, which must have old.
func (p *badPlace) replaced(old, by string) func(string) string {
	return func(text string) string {
		if !strings.Contains(text, old) {
			p.t.Fatalf("there is no %q in %q", old, text)
		}
		return strings.Replace(text, old, by, 1)
	}
}

// instead replaces a file by something else.
func (p *badPlace) instead(path string, make func(path string) error) {
	p.t.Helper()
	p.check(os.Remove(path))
	p.check(make(path))
}

func folderAt(path string) error { return os.Mkdir(path, 0o700) }
func fifoAt(path string) error   { return syscall.Mkfifo(path, 0o600) }

func half(text string) string { return text[:len(text)/2] }
func none(string) string      { return "" }

func badKey(t *testing.T, origin rr.Name, flags uint16) *dnssec.TimedKey {
	t.Helper()
	made, err := dnssec.Generate(origin, flags, dnssec.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	return &dnssec.TimedKey{Key: made}
}

type badInput struct {
	what  string
	spoil func(p *badPlace)
	says  string // why the keys cannot be used
	also  string // a problem of keys that can be used
}

var badFiles = []badInput{
	{"nothing", func(*badPlace) {}, "", ""},
	// what the files say
	{"the private key is short", func(p *badPlace) {
		p.edit(p.path(".private"), p.replaced("PrivateKey: ", "PrivateKey: AAAA\nX: "))
	}, "the private key has 3 octets", ""},
	{"the private key is long", func(p *badPlace) {
		p.edit(p.path(".private"), p.replaced("PrivateKey: ", "PrivateKey: AAAA"))
	}, "the private key has 35 octets", ""},
	{"the algorithm is not known", func(p *badPlace) {
		p.edit(p.path(".private"), p.replaced("Algorithm: 13", "Algorithm: 8"))
	}, "algorithm 8: not known here", ""},
	{"the algorithm is another", func(p *badPlace) {
		p.edit(p.path(".private"), p.replaced("Algorithm: 13", "Algorithm: 15"))
	}, "does not belong to", ""},
	{"the .key is of another zone", func(p *badPlace) {
		p.edit(p.path(".key"), p.replaced("\nexample.", "\nother."))
	}, "is a key of other.test", ""},
	{"the .key is of another key", func(p *badPlace) {
		p.edit(p.path(".key"), func(string) string { return badKey(p.t, badOrigin, dnssec.FlagsCSK).Public() })
	}, "does not belong to", ""},
	{"the flags are of no zone", func(p *badPlace) {
		p.edit(p.path(".key"), p.replaced("DNSKEY 257", "DNSKEY 1"))
	}, "flags 1: not those of a key that signs zones", ""},
	{"the flags are of a revoked key", func(p *badPlace) {
		p.edit(p.path(".key"), p.replaced("DNSKEY 257", "DNSKEY 385"))
	}, "flags 385", ""},
	{"the flags are another key's", func(p *badPlace) { // the DS would be of another key
		p.edit(p.path(".key"), p.replaced("DNSKEY 257", "DNSKEY 256"))
	}, "give them these names", ""},
	{"a time is none", func(p *badPlace) {
		p.edit(p.path(".private"), func(text string) string { return text + "Inactive: 20261301000000\n" })
	}, "is not a time", ""},
	// what the files are
	{"the .private is cut short", func(p *badPlace) { p.edit(p.path(".private"), half) }, ".private: ", ""},
	{"the .private is empty", func(p *badPlace) { p.edit(p.path(".private"), none) }, "Private-key-format", ""},
	{"the .key is empty", func(p *badPlace) { p.edit(p.path(".key"), none) }, "there is no DNSKEY record", ""},
	{"the .key is cut short", func(p *badPlace) { p.edit(p.path(".key"), half) }, ".key: ", ""},
	{"the .key is lost", func(p *badPlace) { p.check(os.Remove(p.path(".key"))) }, "has a .key beside it", ""},
	{"the .private is a folder", func(p *badPlace) {
		p.instead(p.path(".private"), folderAt)
	}, "it is a folder", ""},
	{"the .private is a FIFO", func(p *badPlace) { p.instead(p.path(".private"), fifoAt) }, "it is a FIFO", ""},
	{"the .private is huge", func(p *badPlace) {
		p.check(os.Truncate(p.path(".private"), 1<<30))
	}, "too large", ""},
	{"the .private leads nowhere", func(p *badPlace) {
		p.instead(p.path(".private"), func(path string) error { return os.Symlink("/nowhere", path) })
	}, "no such file", ""},
	{"the files have another key's names", func(p *badPlace) {
		for _, ending := range []string{".key", ".private"} {
			p.check(os.Rename(p.path(ending), filepath.Join(p.folder, "Kexample.test.+013+00001"+ending)))
		}
	}, "give them these names", ""},
	{"the files are there twice", func(p *badPlace) {
		for _, ending := range []string{".key", ".private"} {
			p.check(os.Link(p.path(ending), filepath.Join(p.folder, "Kexample.test.+013+00001"+ending)))
		}
	}, "give them these names", ""},
	{"the folder is a file", func(p *badPlace) {
		p.check(os.RemoveAll(p.folder))
		p.check(os.WriteFile(p.folder, nil, 0o600))
	}, "the folder of keys cannot be read", ""},
	{"everybody may read the .private", func(p *badPlace) {
		p.check(os.Chmod(p.path(".private"), 0o644))
	}, "", "(mode 0644): chmod 600"},
	{"a key of no use lies beside", func(p *badPlace) { // of another zone, by its name
		p.check(os.WriteFile(filepath.Join(p.folder, "Kother.test.+013+00001.private"), nil, 0o600))
	}, "", ""},
}

// edited changes the sealed value of the key.
func edited(change func(one map[string]any, sealed []byte) []byte) func(p *badPlace) {
	return func(p *badPlace) {
		p.t.Helper()
		place := p.key.Place().String()
		var one map[string]any
		p.check(json.Unmarshal(p.sealed[place], &one))
		var held struct{ Sealed []byte }
		p.check(json.Unmarshal(p.sealed[place], &held))
		one["sealed"] = change(one, held.Sealed)
		text, err := json.Marshal(one)
		p.check(err)
		p.sealed[place] = text
	}
}

// at puts a value at the place of the key.
func at(value string) func(p *badPlace) {
	return func(p *badPlace) { p.sealed[p.key.Place().String()] = []byte(value) }
}

// moved puts the sealed value of another key at the place of the key.
func moved(origin rr.Name) func(p *badPlace) {
	return func(p *badPlace) {
		p.t.Helper()
		s, _, err := KeySecretFile(p.secrets)
		p.check(err)
		value, err := s.Seal(badKey(p.t, origin, dnssec.FlagsCSK))
		p.check(err)
		p.sealed[p.key.Place().String()] = value
	}
}

// secretLine returns a line of the file of secrets.
func secretLine(b byte) string {
	return hex.EncodeToString(bytes.Repeat([]byte{b}, dnssec.SecretSize)) + "\n"
}

// lines replaces the text of the file of secrets.
func lines(text string) func(p *badPlace) {
	return func(p *badPlace) { p.t.Helper(); p.edit(p.secrets, func(string) string { return text }) }
}

var badSealed = []badInput{
	{"nothing", func(*badPlace) {}, "", ""},
	// what etcd has
	{"one octet is altered", edited(func(_ map[string]any, sealed []byte) []byte {
		sealed[20] ^= 1
		return sealed
	}), "was altered, or was sealed for another place", ""},
	{"the last octet is missing", edited(func(_ map[string]any, sealed []byte) []byte {
		return sealed[:len(sealed)-1]
	}), "was altered", ""},
	{"all but the nonce is missing", edited(func(_ map[string]any, sealed []byte) []byte {
		return sealed[:12]
	}), "cut short", ""},
	{"the value is cut short", func(p *badPlace) {
		place := p.key.Place().String()
		p.sealed[place] = p.sealed[place][:len(p.sealed[place])/2]
	}, "its value is not that of a sealed key", ""},
	{"the value is empty", at(""), "its value is not that of a sealed key", ""},
	{"the value is a key in the clear", func(p *badPlace) {
		text, err := p.key.Private()
		p.check(err)
		p.sealed[p.key.Place().String()] = []byte(text)
	}, "its value is not that of a sealed key", ""},
	{"the format is a newer one", edited(func(one map[string]any, sealed []byte) []byte {
		one["format"] = 2
		return sealed
	}), "upgrade this one", ""},
	{"the key is another zone's", moved("\x05other\x04test\x00"), "was sealed for another place", ""},
	{"the key is another one of the zone", moved(badOrigin), "was sealed for another place", ""},
	{"the place is none of a key", func(p *badPlace) {
		p.sealed["example.test/13-1"] = p.sealed[p.key.Place().String()]
	}, "is not the place of a key", ""},
	{
		"a roll is none", func(p *badPlace) { p.sealed["example.test/roll"] = []byte("{}") }, "",
		"roll example.test/roll: its value is not that of a sealed key",
	},
	// what opens it
	{"the secrets are lost", func(p *badPlace) { p.check(os.Remove(p.secrets)) }, "no such file", ""},
	{"the secrets are empty", lines(""), "has 0 key secrets; give one to 4", ""},
	{"the secrets are cut short", func(p *badPlace) { p.edit(p.secrets, half) }, "64 hexadecimal digits", ""},
	{"the secret is no number", lines(strings.Repeat("x", 64)), "64 hexadecimal digits", ""},
	{"the secrets are old", lines(secretLine(9)), "put the line of that secret back", ""},
	{
		"the secrets are five", lines(secretLine(1) + secretLine(2) + secretLine(3) + secretLine(4) + secretLine(5)),
		"has 5 key secrets; give one to 4", "",
	},
	{"the secrets are a folder", func(p *badPlace) { p.instead(p.secrets, folderAt) }, "it is a folder", ""},
	{"the secrets are a FIFO", func(p *badPlace) { p.instead(p.secrets, fifoAt) }, "it is a FIFO", ""},
	{"the secrets are huge", func(p *badPlace) { p.check(os.Truncate(p.secrets, 1<<30)) }, "too large", ""},
	{"the secret is not the first", lines(secretLine(9) + secretLine(1)), "", ""},
	{
		"the secrets have another system's line ends", lines("# ours\r\n" + strings.TrimSpace(secretLine(1)) + "\r\n"),
		"", "",
	},
	{
		"everybody may read the secrets", func(p *badPlace) { p.check(os.Chmod(p.secrets, 0o604)) }, "",
		"(mode 0604): chmod 600",
	},
}

// badServer is a server's keyring, and what its loop knows.
type badServer struct {
	ring *keyring
	keys *dnssec.Keys
	err  error // of the zone, or of all zones
}

func newBadServer(s *Settings) *badServer {
	b := &badServer{}
	s.Log = slog.New(slog.DiscardHandler)
	own := false
	b.ring = newKeyring(s, func(origin string, keys *dnssec.Keys, err error) {
		if own = own || origin != ""; own && origin == "" {
			return // what is said of all is not of those of which something else is
		}
		if b.err = err; keys != nil {
			b.keys = keys
		}
	})
	b.ring.makes = false
	b.ring.want([]*zones.Zone{{Origin: "example.test", DNSSEC: &zones.DNSSEC{Enabled: true}}})
	return b
}

// judge says what is wrong with what the loop was told.
func (b *badServer) judge(one badInput, begins bool) error {
	switch {
	case b.keys == nil != (begins && one.says != ""):
		return fmt.Errorf("it has keys: %v; %v", b.keys != nil, b.err)
	case one.says+one.also == "" && b.err != nil:
		return fmt.Errorf("it is told of: %w", b.err)
	case one.says+one.also != "" && (b.err == nil || !strings.Contains(b.err.Error(), one.says+one.also)):
		return fmt.Errorf("it says %v; want %q", b.err, one.says+one.also)
	case begins && one.says != "" && errors.Is(b.err, dnssec.ErrNoKey):
		return fmt.Errorf("it would be served unsigned: %w", b.err)
	}
	return nil
}

// mended is the place after damage and repair.
var mended = badInput{what: "mended"}

func TestBadKeyFiles(t *testing.T) {
	for _, one := range badFiles {
		t.Run(one.what, func(t *testing.T) {
			p := &badPlace{t: t, folder: filepath.Join(t.TempDir(), "keys"), key: badKey(t, badOrigin, dnssec.FlagsCSK)}
			p.check(p.key.Write(p.folder))
			b := newBadServer(&Settings{Keys: p.folder})
			b.ring.start()
			if b.keys == nil || b.err != nil {
				t.Fatal("whole, it is not used", b.err)
			}
			one.spoil(p)
			for range 2 { // a problem stays
				b.ring.once()
				if err := b.judge(one, false); err != nil {
					t.Error("in use:", err)
				}
			}
			fresh := newBadServer(&Settings{Keys: p.folder})
			fresh.ring.start()
			if err := fresh.judge(one, true); err != nil {
				t.Error("at the start:", err)
			}
			fresh.ring.once()
			if err := fresh.judge(one, true); err != nil {
				t.Error("then:", err)
			}
			p.check(os.RemoveAll(p.folder))
			p.check(p.key.Write(p.folder))
			for _, b := range []*badServer{b, fresh} {
				b.ring.once()
				if err := b.judge(mended, true); err != nil {
					t.Error("mended:", err)
				}
			}
		})
	}
}

func TestBadSealedKeys(t *testing.T) {
	for _, one := range badSealed {
		t.Run(one.what, func(t *testing.T) {
			p := &badPlace{t: t, folder: t.TempDir(), key: badKey(t, badOrigin, dnssec.FlagsCSK)}
			p.secrets = filepath.Join(p.folder, "secrets")
			whole := func() {
				t.Helper()
				p.check(os.RemoveAll(p.secrets))
				p.check(os.WriteFile(p.secrets, []byte(secretLine(1)), 0o600))
				s, _, err := KeySecretFile(p.secrets)
				p.check(err)
				value, err := s.Seal(p.key)
				p.check(err)
				p.sealed = map[string][]byte{p.key.Place().String(): value}
			}
			server := func() *badServer {
				return newBadServer(&Settings{Etcd: &etcd.Options{}, KeySecrets: p.secrets})
			}
			look := func(b *badServer) {
				b.ring.take(&zones.Batch{Full: true, Sealed: p.sealed})
				b.ring.once()
			}
			whole()
			b := server()
			b.ring.start()
			if look(b); b.keys == nil || b.err != nil {
				t.Fatal("whole, it is not used", b.err)
			}
			one.spoil(p)
			for range 2 {
				look(b)
				if err := b.judge(one, false); err != nil {
					t.Error("in use:", err)
				}
			}
			fresh := server()
			if fresh.ring.start(); fresh.keys != nil || fresh.err == nil {
				t.Error("before etcd has told it would be served unsigned")
			}
			look(fresh)
			if err := fresh.judge(one, true); err != nil {
				t.Error("at the start:", err)
			}
			whole()
			for _, b := range []*badServer{b, fresh} {
				look(b)
				if err := b.judge(mended, true); err != nil {
					t.Error("mended:", err)
				}
			}
		})
	}
}

// TestBadKeptKeys: if the file of the keys that were in use is damaged in any way, it is not used, and there is a
// problem. etcd still has the keys.
func TestBadKeptKeys(t *testing.T) {
	folder := t.TempDir()
	p := &badPlace{t: t, folder: folder, key: badKey(t, badOrigin, dnssec.FlagsCSK)}
	p.secrets = filepath.Join(folder, "secrets")
	p.check(os.WriteFile(p.secrets, []byte(secretLine(1)), 0o600))
	secrets, _, err := KeySecretFile(p.secrets)
	p.check(err)
	value, err := secrets.Seal(p.key)
	p.check(err)
	p.sealed = map[string][]byte{p.key.Place().String(): value}
	path := filepath.Join(folder, "keys.sealed")
	server := func() *badServer {
		return newBadServer(&Settings{Etcd: &etcd.Options{}, KeySecrets: p.secrets, State: folder})
	}
	first := server()
	first.ring.start()
	first.ring.take(&zones.Batch{Full: true, Sealed: p.sealed})
	first.ring.once()
	whole, err := os.ReadFile(path)
	p.check(err)
	for _, one := range []struct {
		what  string
		spoil func(path string) error
		used  bool
	}{
		{"nothing", func(string) error { return nil }, true},
		{"lost", os.Remove, false},
		{"empty", func(path string) error { return os.Truncate(path, 0) }, false},
		{"cut short", func(path string) error { return os.Truncate(path, int64(len(whole)/2)) }, false},
		{"huge", func(path string) error { return os.Truncate(path, 1<<30) }, false},
		{"of a newer version", func(path string) error {
			return os.WriteFile(path, bytes.Replace(whole, []byte(`"format":1`), []byte(`"format":2`), 1), 0o600)
		}, false},
		{"a folder", func(path string) error { return errors.Join(os.Remove(path), folderAt(path)) }, false},
		{"a FIFO", func(path string) error { return errors.Join(os.Remove(path), fifoAt(path)) }, false},
	} {
		p.check(os.RemoveAll(path))
		p.check(os.WriteFile(path, whole, 0o600))
		p.check(one.spoil(path))
		b := server()
		b.ring.start()
		b.ring.once()
		if used := b.keys != nil; used != one.used || !used && (b.err == nil || errors.Is(b.err, dnssec.ErrNoKey)) {
			t.Errorf("%s: it is used: %v, %v", one.what, used, b.err)
		}
		b.ring.take(&zones.Batch{Full: true, Sealed: p.sealed})
		if b.ring.once(); b.keys == nil || b.err != nil {
			t.Errorf("%s: with etcd: %v", one.what, b.err)
		}
	}
}

// TestNoKeyIsMade: if the disk has no room for a key, the zone has a problem, no file is left, and a key is made once
// there is room.
func TestNoKeyIsMade(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(folder+".full", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b := newBadServer(&Settings{Keys: filepath.Join(folder+".full", "keys")})
	b.ring.makes = true
	for range 2 {
		if b.ring.once() || b.keys != nil || b.err == nil {
			t.Fatal("a key is made where none can be", b.err)
		}
	}
	b = newBadServer(&Settings{Keys: folder})
	b.ring.makes = true
	if !b.ring.once() || b.keys == nil || b.err != nil {
		t.Fatal(b.err)
	}
	if info, err := os.Stat(filepath.Join(folder, b.keys.All()[0].FileName()+".private")); err != nil ||
		info.Mode().Perm() != 0o600 {
		t.Error(info, err)
	}
}

// TestKeysByAWrongClock: a server starts with a clock that is a day off. The zone still has keys that sign, although a
// key was rolled yesterday and another will be tomorrow, and no file is touched. Once the clock is right, all is as it
// was.
func TestKeysByAWrongClock(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	day := 24 * time.Hour
	folder := t.TempDir()
	var second *dnssec.TimedKey
	for _, times := range []dnssec.Times{
		{
			Publish: now.Add(-9 * day), Activate: now.Add(-8 * day), Inactive: now.Add(-day / 2),
			Delete: now.Add(day / 2),
		},
		{Publish: now.Add(-day), Activate: now.Add(-day / 2)},
		{Publish: now.Add(day / 2), Activate: now.Add(2 * day)},
	} {
		key := badKey(t, badOrigin, dnssec.FlagsCSK)
		if key.Times = times; key.Write(folder) != nil {
			t.Fatal("no key is written")
		}
		if times.Activate.Equal(now.Add(-day / 2)) {
			second = key
		}
	}
	before, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, off := range []time.Duration{0, -day, day, 0} {
		at := now.Add(off)
		b := newBadServer(&Settings{Keys: folder, Clock: func() time.Time { return at }})
		b.ring.makes = true
		b.ring.start()
		b.ring.once()
		if b.keys == nil || b.err != nil {
			t.Fatalf("off by %v: %v", off, b.err)
		}
		d := b.keys.At(at)
		published := func(k *dnssec.Key) bool {
			for _, one := range d.DNSKEY {
				if bytes.Equal(one, k.DNSKEY()) {
					return true
				}
			}
			return false
		}
		if len(d.Zone) == 0 || !published(d.Zone[0]) || len(d.Entry) == 0 || !published(d.Entry[0]) {
			t.Errorf("off by %v: the zone is not signed by a key that it has", off)
		}
		if off == 0 && d.Zone[0].Tag() != second.Tag() {
			t.Error("by the right clock another key signs than the one whose time it is")
		}
		if after, err := os.ReadDir(folder); err != nil || len(after) != len(before) {
			t.Errorf("off by %v: %d files were there, and %d are", off, len(before), len(after))
		}
	}
}
