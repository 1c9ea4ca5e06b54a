package process

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leeward/zones"
	"leeward/zones/dnssec"
)

// TestKeyring: what the loop is told about keys while their files come, change, go and get damaged.
func TestKeyring(t *testing.T) {
	folder := t.TempDir()
	var heard []string
	k := newKeyring(&Settings{Keys: folder, Log: slog.New(slog.DiscardHandler)},
		func(origin string, keys *dnssec.Keys, err error) {
			text := origin
			if keys != nil {
				text += fmt.Sprintf(" has %d", len(keys.All()))
			}
			if err != nil {
				text += ": " + err.Error()
			}
			heard = append(heard, text)
		})
	k.makes = false
	look := func(what string, right bool, want ...string) {
		t.Helper()
		heard = nil
		f, err := dnssec.List(folder)
		if err != nil {
			t.Fatal(err)
		}
		if got := k.find(f, "example.test", k.makes); got != right {
			t.Errorf("%s: it is right: %v", what, got)
		}
		if len(heard) != len(want) {
			t.Fatalf("%s: heard %q, want %q", what, heard, want)
		}
		for i, text := range want {
			if !strings.Contains(heard[i], text) {
				t.Errorf("%s: heard %q, want %q", what, heard[i], text)
			}
		}
	}
	put := func(times dnssec.Times) *dnssec.TimedKey {
		t.Helper()
		made, err := dnssec.Generate("\x07example\x04test\x00", dnssec.FlagsCSK, dnssec.Ed25519)
		if err != nil {
			t.Fatal(err)
		}
		key := &dnssec.TimedKey{Key: made, Times: times}
		if err := key.Write(folder); err != nil {
			t.Fatal(err)
		}
		return key
	}
	file := func(key *dnssec.TimedKey) string { return filepath.Join(folder, key.FileName()+".private") }
	look("no key", false, "leeward key generate example.test")
	look("still none", false)
	first := put(dnssec.Times{})
	look("a key", true, "has 1")
	look("the same", true)
	second := put(dnssec.Times{Publish: time.Now().Add(time.Hour)})
	for second.Tag() == first.Tag() { // two keys with the same tag would be refused
		_ = os.Remove(file(second))
		second = put(dnssec.Times{Publish: time.Now().Add(time.Hour)})
	}
	look("another", true, "has 2")
	text, err := os.ReadFile(file(second))
	if err != nil {
		t.Fatal(err)
	}
	spoil := func(text string) {
		t.Helper()
		if err := os.WriteFile(file(second), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	spoil(string(text[:20]))
	look("cut short", false, file(second))
	look("cut short still", false)
	spoil(string(text))
	look("whole again", true, "has 2")
	if err := os.Remove(file(second)); err != nil {
		t.Fatal(err)
	}
	look("one that is not in the zone is gone", true, "has 1")
	put(dnssec.Times{Publish: time.Now().Add(time.Hour)})
	if err := os.Remove(file(first)); err != nil {
		t.Fatal(err)
	}
	look("one that is in the zone is gone", false, "put them back")
	if err := first.Write(folder); err != nil {
		t.Fatal(err)
	}
	look("it is there again", true, "has 2")
}

// TestFirstKey: a key that a server makes for a zone without one has the algorithm that the zone asks for.
func TestFirstKey(t *testing.T) {
	for asked, want := range map[int]dnssec.Algorithm{0: dnssec.ECDSAP256, 13: dnssec.ECDSAP256, 15: dnssec.Ed25519} {
		var got *dnssec.Keys
		k := newKeyring(&Settings{Keys: t.TempDir(), Log: slog.New(slog.DiscardHandler)},
			func(_ string, keys *dnssec.Keys, err error) {
				if got = keys; err != nil {
					t.Error(err)
				}
			})
		k.want([]*zones.Zone{{Origin: "example.test", DNSSEC: &zones.DNSSEC{Enabled: true, Algorithm: asked}}})
		if !k.once() || got == nil || !got.By(want, time.Now()) {
			t.Errorf("asked for %d: %v", asked, got)
		}
	}
}

// TestKeylessForAWhile: a server that starts waits for keys while zones want some that it makes, until it has looked
// for them once, and never where no zone is to be signed.
func TestKeylessForAWhile(t *testing.T) {
	k := newKeyring(&Settings{Keys: t.TempDir(), Log: slog.New(slog.DiscardHandler)},
		func(string, *dnssec.Keys, error) {})
	r := &run{keyring: k}
	for _, all := range [][]*zones.Zone{nil, {}} {
		if k.want(all); r.keyless() {
			t.Error("it waits for keys although no zone is to be signed")
		}
	}
	k.want([]*zones.Zone{{Origin: "example.test", DNSSEC: &zones.DNSSEC{Enabled: true}}})
	if !r.keyless() {
		t.Error("it does not wait for the key of a zone")
	}
	k.makes = false
	if r.keyless() {
		t.Error("it waits for a key that it does not make")
	}
	k.makes = true
	served := 0
	k.settle = func(context.Context) {
		if served++; !r.keyless() || k.known["example.test"].keys == nil {
			t.Error("it has not waited until the key is made and served")
		}
	}
	go k.run(t.Context())
	<-k.settled
	if r.keyless() || served != 1 {
		t.Errorf("it waits for keys that are in service, or looked %d times whether they are", served)
	}
}
