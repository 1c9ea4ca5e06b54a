package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"

	"leeward/zones/dnssec"
)

// TestKeyRetire: a KSK goes only when all servers of the parent have the DS of its successor. key check says what does
// not match a parent's DS.
func TestKeyRetire(t *testing.T) {
	folder := t.TempDir()
	command := func(args ...string) (int, string) {
		t.Helper()
		var out, errs bytes.Buffer
		args = append([]string{"key"}, append(args, "--keys", folder)...)
		status := run(t.Context(), args, nil, strings.NewReader(""), &out, &errs)
		return status, out.String() + errs.String()
	}
	wants := func(status int, text string, args ...string) {
		t.Helper()
		if got, out := command(args...); got != status || !strings.Contains(out, text) {
			t.Fatalf("key %q: exit status %d, want %d with %q\n%s", args, got, status, text, out)
		}
	}
	var parents [2]atomic.Pointer[[]dns.RR]
	var addresses []string
	for i := range parents {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			m := new(dns.Msg).SetReply(q)
			m.Authoritative = true
			if all := parents[i].Load(); all != nil && q.Question[0].Qtype == dns.TypeDS {
				m.Answer = *all
			}
			_ = w.WriteMsg(m)
		})}
		done := make(chan struct{})
		go func() { defer close(done); _ = s.ActivateAndServe() }()
		t.Cleanup(func() { l.Close(); <-done })
		addresses = append(addresses, l.Addr().String())
	}
	at := func(args ...string) []string { return append(args, "--parent", strings.Join(addresses, ",")) }
	tags := func() (all []*dnssec.Key) {
		keys, err := dnssec.ReadFolder(folder, "\x07example\x04test\x00")
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range keys.All() {
			all = append(all, k.Key)
		}
		return all
	}
	have := func(parent int, keys ...*dnssec.Key) {
		var all []dns.RR
		for _, k := range keys {
			ds, err := k.DS(dnssec.DigestSHA256)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, &dns.DS{
				Hdr:    dns.RR_Header{Name: "example.test.", Rrtype: dns.TypeDS, Class: dns.ClassINET, Ttl: 60},
				KeyTag: k.Tag(), Algorithm: uint8(k.Algorithm()), DigestType: ds[3], Digest: hex.EncodeToString(ds[4:]),
			})
		}
		parents[parent].Store(&all)
	}
	wants(0, "written", "generate", "example.test")
	old := tags()[0]
	wants(1, "no DS on all", at("check", "example.test")...)
	have(0, old)
	have(1, old)
	wants(0, "all is well", at("check", "example.test")...)
	wants(0, "SyncPublish", "roll", "example.test", "--role", "csk", "--ttl", "1h", "--delay", "0s")
	fresh := tags()[0]
	if fresh == old || fresh.Tag() == old.Tag() {
		fresh = tags()[1]
	}
	retire := at("retire", "example.test", fmt.Sprint(old.Tag()), "--ttl", "1h")
	wants(1, "of which the parent has a DS", retire...)
	have(0, old, fresh)
	wants(1, "have other DS records", retire...)
	have(1, fresh, old)
	wants(0, "Inactive", retire...)
	wants(0, "all is well", at("check", "example.test", "--ttl", "1h", "--delay", "0s")...)
	have(0, old)
	have(1, old)
	wants(1, "no key that the parent has a DS of signs DNSKEY from then on", at("check", "example.test")...)
	wants(1, "does not have the DNSKEY of key", "check", "example.test", "--server", addresses[0])
}

// TestKeyFilesThatEverybodyMayOpen: every verb that reads a private key from a file warns if everybody on the host may
// open that file.
func TestKeyFilesThatEverybodyMayOpen(t *testing.T) {
	folder, away := t.TempDir(), t.TempDir()
	k, err := dnssec.Generate("\x07example\x04test\x00", dnssec.FlagsCSK, dnssec.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	other, err := dnssec.Generate("\x05other\x04test\x00", dnssec.FlagsCSK, dnssec.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	timed, elsewhere := dnssec.TimedKey{Key: k}, dnssec.TimedKey{Key: other}
	if err := elsewhere.Write(away); err != nil {
		t.Fatal(err)
	}
	from := filepath.Join(away, other.FileName()+".private")
	for _, args := range [][]string{
		{"list"},
		{"ds", "example.test"},
		{"check", "example.test"},
		{"export", "example.test"},
		{"generate", "example.test"},
		{"roll", "example.test", "--role", "zsk"},
		{"retire", "example.test", fmt.Sprint(k.Tag())},
		{"import", "other.test", from},
	} {
		for mode, want := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o644: true} {
			if err := errors.Join(os.RemoveAll(folder), os.Mkdir(folder, 0o700), timed.Write(folder)); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(folder, k.FileName()+".private")
			if args[0] == "import" {
				file = from
			}
			if err := os.Chmod(file, mode); err != nil {
				t.Fatal(err)
			}
			var out, errs bytes.Buffer
			whole := append([]string{"key", "--keys", folder}, args...)
			run(t.Context(), whole, nil, strings.NewReader(""), &out, &errs)
			says := fmt.Sprintf("everybody on this host may open %s (mode %#o): chmod 600 %s", file, mode, file)
			if n := strings.Count(errs.String(), says); (n == 1) != want || n > 1 {
				t.Errorf("key %q, mode %#o: said %d times\n%s%s", args, mode, n, out.String(), errs.String())
			}
		}
	}
}
