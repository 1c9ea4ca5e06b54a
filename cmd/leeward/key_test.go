package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"

	"leeward/zones/dnssec"
)

// TestKeyRetire: a KSK goes only when all servers of the parent have the DS of the one that takes its place, and key
// check says what a parent's DS will not hold for.
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
