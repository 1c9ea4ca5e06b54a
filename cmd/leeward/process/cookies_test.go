//go:build !noembed

package process

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"leeward/cmd/leeward/embedded"
	"leeward/server/wire"
	"leeward/zones/etcd"
)

func TestCookieSecretFile(t *testing.T) {
	const one, two = "000102030405060708090a0b0c0d0e0f", "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"
	for _, c := range []struct {
		text string
		want int
		err  string
	}{
		{one, 1, ""},
		{"# made in November\n" + two + " # the newest\n\n" + one + "\n", 2, ""},
		{strings.Repeat(one+"\n", 4), 4, ""},
		{strings.Repeat(one+"\n", 5), 0, "5 cookie secrets"},
		{"", 0, "0 cookie secrets"},
		{one + "\n" + one[1:], 0, ":2: a cookie secret is 32 hexadecimal digits"},
		{one + "00", 0, ":1: a cookie secret"},
		{"secret: " + one, 0, ":1: a cookie secret"},
	} {
		file := filepath.Join(t.TempDir(), "secrets")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := CookieSecretFile(file)
		switch {
		case c.err == "" && (err != nil || len(got) != c.want):
			t.Errorf("%q: %d secrets, %v", c.text, len(got), err)
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%q: %v, want %q", c.text, err, c.err)
		case err != nil && strings.Contains(err.Error(), one[:8]):
			t.Errorf("the error repeats a secret: %v", err)
		case c.want == 2 && got[0] != wire.CookieSecret([]byte(strings.Repeat("\xff", 16))):
			t.Errorf("%q: the first is %x", c.text, got[0])
		}
	}
}

// Servers roll one secret in turn. At any moment each accepts the others' cookies, whoever has looked last.
func TestSharedCookieSecrets(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	member, err := embedded.Start(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	defer member.Close()
	c, err := etcd.Dial(etcd.Options{Endpoints: []string{member.URL()}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	type sharer struct {
		cookieSharing
		secrets []wire.CookieSecret
		changes int
	}
	var all []*sharer
	for range 3 {
		s := new(sharer)
		s.cookieSharing = cookieSharing{
			etcd: c.Within(cookieLimit), now: func() time.Time { return now }, log: slog.New(slog.DiscardHandler),
			use: func(secrets ...wire.CookieSecret) error {
				s.secrets = secrets
				s.changes++
				return nil
			},
		}
		all = append(all, s)
	}
	look := func(s *sharer) {
		t.Helper()
		if err := s.look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	agree := func() {
		t.Helper()
		for i, a := range all {
			for j, b := range all {
				if !slices.Contains(a.secrets, b.secrets[0]) {
					t.Errorf("%d does not accept what %d makes", i, j)
				}
			}
		}
	}
	for _, s := range all {
		look(s)
	}
	agree()
	first := all[0].secrets[0]
	for day := range 5 {
		now = now.Add(cookieRoll)
		for i := range all { // a different one rolls each day, and the others look later
			look(all[(i+day)%len(all)])
			agree()
		}
		for _, s := range all {
			look(s) // nothing is due
		}
	}
	for i, s := range all {
		// The first look of one of them finds nothing and writes. Each roll is a change for everybody.
		if s.changes != 6 || len(s.secrets) != 3 {
			t.Errorf("%d has seen %d changes and has %d secrets", i, s.changes, len(s.secrets))
		}
		if slices.Contains(s.secrets, first) {
			t.Errorf("%d still accepts a secret that is five days old", i)
		}
	}
	// A bad value stays, and so do the secrets in use. A deleted value is made anew.
	before := all[0].secrets
	if _, err := c.Client.Put(ctx, c.Key(etcd.CookieSecret), `{"next":"no"}`); err != nil {
		t.Fatal(err)
	}
	if err := all[0].look(t.Context()); err == nil || !strings.Contains(err.Error(), "delete it") ||
		!slices.Equal(all[0].secrets, before) {
		t.Errorf("a bad value: %v", err)
	}
	if _, err := c.Client.Delete(ctx, c.Key(etcd.CookieSecret)); err != nil {
		t.Fatal(err)
	}
	look(all[0])
	if slices.Equal(all[0].secrets, before) || len(all[0].secrets) != 3 {
		t.Error("a deleted secret is not made anew")
	}
	// Without etcd the secrets stay.
	before = all[1].secrets
	member.Close()
	if err := all[1].look(t.Context()); err == nil || !slices.Equal(all[1].secrets, before) {
		t.Errorf("without etcd: %v", err)
	}
}
