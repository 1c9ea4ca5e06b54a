//go:build !noembed

package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"leeward/cmd/leeward/embedded"
	"leeward/zones/dnssec"
	"leeward/zones/etcd"
	"leeward/zones/rr"
)

const (
	one   = rr.Name("\x03one\x04test\x00")
	other = rr.Name("\x05other\x04test\x00")
	third = rr.Name("\x05third\x04test\x00")
)

var start = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// newVault returns a vault in an etcd of its own.
func newVault(t *testing.T) *Vault {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	e, err := embedded.Start(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	c, err := etcd.Dial(etcd.Options{Endpoints: []string{e.URL()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &Vault{c, secrets(t, 1)}
}

// secrets returns secrets, each of one repeated octet.
func secrets(t *testing.T, octets ...byte) *dnssec.Secrets {
	t.Helper()
	var all [][]byte
	for _, b := range octets {
		all = append(all, bytes.Repeat([]byte{b}, dnssec.SecretSize))
	}
	s, err := dnssec.NewSecrets(all...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// under returns a vault in the same etcd with other secrets.
func under(v *Vault, s *dnssec.Secrets) *Vault { return &Vault{v.Etcd, s} }

// first writes the first keys of a zone.
func first(t *testing.T, v *Vault, origin rr.Name) []dnssec.TimedKey {
	t.Helper()
	h, err := v.Read(t.Context(), origin)
	if !errors.Is(err, dnssec.ErrNoKey) || h == nil {
		t.Fatal(h, err)
	}
	all, err := dnssec.First(origin, dnssec.ECDSAP256, true, start)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Write(t.Context(), h, all); err != nil {
		t.Fatal(err)
	}
	return all
}

func read(t *testing.T, v *Vault, origin rr.Name) *Held {
	t.Helper()
	h, err := v.Read(t.Context(), origin)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// stored returns all values below keys/.
func stored(t *testing.T, v *Vault) map[string]string {
	t.Helper()
	all := map[string]string{}
	if _, err := v.Etcd.Read(t.Context(), 0, []etcd.Range{etcd.Folder(etcd.Keys)}, func(kv etcd.KV) {
		all[kv.Name] = string(kv.Value)
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

func put(t *testing.T, v *Vault, name, value string) {
	t.Helper()
	if _, err := v.Etcd.Begin().Put(name, []byte(value), 0).Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestWrite: a write that relies on an outdated state writes nothing, whatever has changed meanwhile.
func TestWrite(t *testing.T) {
	v := newVault(t)
	keys := first(t, v, one)
	first(t, v, other)
	extra, err := dnssec.Generate(one, dnssec.FlagZone, dnssec.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what      string
		meanwhile func(h *Held) error
	}{
		{"another key of the zone", func(h *Held) error {
			return v.Write(t.Context(), h, []dnssec.TimedKey{{Key: extra}})
		}},
		{"other times of a key", func(h *Held) error {
			k := keys[0]
			k.Times.Publish = start
			return v.Write(t.Context(), h, []dnssec.TimedKey{k})
		}},
		{"a key less", func(h *Held) error { return v.Write(t.Context(), h, nil, extra) }},
		{"a roll", func(h *Held) error {
			return v.Carry(t.Context(), h, &dnssec.Roll{Kind: dnssec.RollsZSK}, nil)
		}},
		{"no roll", func(h *Held) error { return v.Carry(t.Context(), h, nil, nil) }},
	} {
		what := c.what
		h := read(t, v, one)
		if err := c.meanwhile(read(t, v, one)); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		before := stored(t, v)
		changed := keys[0]
		changed.Times.Delete = start.Add(time.Hour)
		for how, write := range map[string]func() error{
			"write":  func() error { return v.Write(t.Context(), h, []dnssec.TimedKey{changed}) },
			"remove": func() error { return v.Write(t.Context(), h, nil, keys[0].Key) },
			"carry":  func() error { return v.Carry(t.Context(), h, &dnssec.Roll{Kind: dnssec.RollsEntry}, nil) },
			"stop":   func() error { return v.Carry(t.Context(), h, nil, []dnssec.TimedKey{changed}) },
		} {
			if err := write(); !errors.Is(err, ErrChanged) {
				t.Errorf("%s meanwhile, then %s: %v", what, how, err)
			}
		}
		if after := stored(t, v); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("%s: something was written", what)
		}
	}
	h := read(t, v, one)
	first(t, v, third) // nobody else is concerned
	k, _ := dnssec.Generate(other, dnssec.FlagsCSK, dnssec.Ed25519)
	if err := v.Write(t.Context(), h, []dnssec.TimedKey{{Key: k}}); err == nil || !strings.Contains(err.Error(),
		"is none of") {
		t.Errorf("a key of another zone: %v", err)
	}
	if err := v.Write(t.Context(), h, keys[:1]); err != nil {
		t.Errorf("after a change of another zone: %v", err)
	}
}

// TestBegin: there is one roll at a time. Its keys and its state are written together.
func TestBegin(t *testing.T) {
	v := newVault(t)
	first(t, v, one)
	h := read(t, v, one)
	changed, err := v.Begin(t.Context(), h, dnssec.RollsZSK, 0, start)
	if err != nil || len(changed) == 0 {
		t.Fatal(changed, err)
	}
	if _, err := v.Begin(t.Context(), h, dnssec.RollsZSK, 0, start); !errors.Is(err, ErrChanged) {
		t.Errorf("a second one from the same reading: %v", err)
	}
	h = read(t, v, one)
	if h.Roll.Over() || len(h.Keys.All()) != 3 {
		t.Errorf("%v, %d keys", h.Roll, len(h.Keys.All()))
	}
	if _, err := v.Begin(t.Context(), h, dnssec.RollsEntry, 0, start); err == nil || !strings.Contains(err.Error(),
		"under way") {
		t.Errorf("a second one: %v", err)
	}
	if err := v.Stop(t.Context(), h, start); err != nil {
		t.Fatal(err)
	}
	if h = read(t, v, one); !h.Roll.Over() || len(h.Keys.All()) != 3 {
		t.Errorf("given up: %v, %d keys", h.Roll, len(h.Keys.All()))
	}
}

// TestResealHalfDone: sealing anew may end anywhere, or meet a key that does not open. What has been sealed anew opens,
// and so does the rest. The next time does what is left.
func TestResealHalfDone(t *testing.T) {
	v := newVault(t)
	origins := []rr.Name{one, other, third}
	for _, origin := range origins {
		first(t, v, origin)
	}
	if _, err := v.Begin(t.Context(), read(t, v, third), dnssec.RollsZSK, 0, start); err != nil {
		t.Fatal(err)
	}
	spoilt := etcd.Keys + read(t, v, other).Keys.All()[1].Place().String()
	good := stored(t, v)[spoilt]
	next := under(v, secrets(t, 2, 1))
	opens := func(what string, octets []byte, want ...rr.Name) {
		t.Helper()
		for _, origin := range origins {
			_, err := under(v, secrets(t, octets...)).Read(t.Context(), origin)
			if want := slices.Contains(want, origin); want != (err == nil) {
				t.Errorf("%s: with the secrets %d the keys of %s open: %v, %v", what, octets, origin, !want, err)
			}
		}
	}
	reseal := func(origin rr.Name, want int) {
		t.Helper()
		done, err := next.Reseal(t.Context(), origin)
		if err != nil || len(done) != want {
			t.Errorf("%s: %q, %v; want %d", origin, done, err, want)
		}
	}

	// It is ended after the first zone.
	reseal(one, 2)
	ended, stop := context.WithCancel(t.Context())
	stop()
	if _, err := next.Reseal(ended, other); err == nil {
		t.Error("it goes on after its end")
	}
	opens("ended", []byte{1}, other, third)
	opens("ended", []byte{2}, one)
	opens("ended", []byte{2, 1}, origins...)
	opens("ended", []byte{1, 2}, origins...)

	// A key of the second zone does not open. Nothing of that zone is sealed anew, but the other zones are.
	for _, bad := range []string{good[:len(good)/2], "", stored(t, v)[etcd.Keys+dnssec.RollOf(third)]} {
		put(t, v, spoilt, bad)
		before := stored(t, v)
		if _, err := next.Reseal(t.Context(), other); err == nil || !strings.Contains(err.Error(),
			strings.TrimPrefix(spoilt, etcd.Keys)) {
			t.Errorf("a key that does not open: %v", err)
		}
		if fmt.Sprint(stored(t, v)) != fmt.Sprint(before) {
			t.Error("of a zone with a key that does not open something is written")
		}
	}
	put(t, v, spoilt, good)
	reseal(third, 4) // three keys, and the roll
	opens("but one", []byte{2}, one, third)
	reseal(one, 0)
	reseal(other, 2)
	reseal(other, 0)
	reseal(third, 0)
	opens("all", []byte{2}, origins...)
	opens("all", []byte{1})

	// Only the roll is old.
	h := read(t, under(v, secrets(t, 2)), third)
	if err := under(v, secrets(t, 1, 2)).Carry(t.Context(), read(t, next, third), h.Roll, nil); err != nil {
		t.Fatal(err)
	}
	reseal(third, 1)
	opens("the roll too", []byte{2}, origins...)
}

// TestResealBesideWriters: writers and those who seal anew at the same time lose no change of each other.
func TestResealBesideWriters(t *testing.T) {
	v := newVault(t)
	keys := first(t, v, one)
	done := make(chan struct{})
	var all sync.WaitGroup
	for _, order := range [][]byte{{1, 2}, {2, 1}} {
		all.Go(func() {
			for r := under(v, secrets(t, order...)); ; {
				if _, err := r.Reseal(t.Context(), one); err != nil && !errors.Is(err, ErrChanged) {
					t.Error(err)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	w := under(v, secrets(t, 2, 1))
	for n := range 40 {
		for {
			h := read(t, w, one)
			k := keys[n%2]
			k.Times.Publish = start.Add(time.Duration(n) * time.Hour)
			if err := w.Write(t.Context(), h, []dnssec.TimedKey{k}); err == nil {
				break
			} else if !errors.Is(err, ErrChanged) {
				t.Error(err)
				break
			}
		}
		want := start.Add(time.Duration(n) * time.Hour)
		if !slices.ContainsFunc(read(t, w, one).Keys.All(), func(k dnssec.TimedKey) bool {
			return k.Times.Publish.Equal(want)
		}) {
			t.Fatal("a change that was written is lost")
		}
	}
	close(done)
	all.Wait()
}
