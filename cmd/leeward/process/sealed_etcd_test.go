//go:build !noembed

package process_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/cmd/leeward/process"
	"leeward/zones/dnssec"
	"leeward/zones/etcd"
	"leeward/zones/rr"
	"leeward/zones/vault"
)

const signedZone = `
kind: Zone
name: example.test
nameservers: [ns.example.net]
dnssec: {enabled: true}
---
kind: Record
name: example.test/www/A
data: [192.0.2.1]
`

// secretFile writes a file of secrets, each of one repeated octet.
func secretFile(t *testing.T, file string, octets ...byte) string {
	t.Helper()
	var text strings.Builder
	for _, b := range octets {
		text.WriteString(hex.EncodeToString(bytes.Repeat([]byte{b}, dnssec.SecretSize)) + "\n")
	}
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// vaultOf returns the keys in the cluster, as `leeward key` accesses them.
func vaultOf(t *testing.T, c *cluster, secrets string) *vault.Vault {
	t.Helper()
	s, _, err := process.KeySecretFile(secrets)
	if err != nil {
		t.Fatal(err)
	}
	e, err := etcd.Dial(etcd.Options{Endpoints: []string{c.etcd.URL()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return &vault.Vault{Etcd: e, Secrets: s}
}

// firstKeys puts the first keys of a zone into etcd, made at that time.
func firstKeys(
	t *testing.T, v *vault.Vault, origin rr.Name, a dnssec.Algorithm, split bool, since time.Time,
) []dnssec.TimedKey {
	t.Helper()
	first, err := dnssec.First(origin, a, split, since)
	if err != nil {
		t.Fatal(err)
	}
	held, _ := v.Read(t.Context(), origin)
	if err := v.Write(t.Context(), held, first); err != nil {
		t.Fatal(err)
	}
	return first
}

// signed asks for an RRset with its signatures, and returns the answer, sorted. If there is none, it returns "rcode N"
// and the Extended DNS Error.
func (p *member) signed(name string, typ uint16) string {
	m := new(dns.Msg).SetQuestion(name, typ)
	m.SetEdns0(4096, true)
	c := dns.Client{Net: "tcp", Timeout: 5 * time.Second}
	r, _, err := c.Exchange(m, p.DNS[0].String())
	if err != nil {
		return err.Error()
	}
	var all []string
	for _, record := range r.Answer {
		all = append(all, record.String())
	}
	slices.Sort(all)
	if len(all) == 0 {
		all = []string{fmt.Sprintf("rcode %d", r.Rcode)}
		for _, o := range r.IsEdns0().Option {
			if e, ok := o.(*dns.EDNS0_EDE); ok {
				all = append(all, fmt.Sprintf("EDE %d", e.InfoCode))
			}
		}
	}
	return strings.Join(all, "\n")
}

// awaitSigned waits until an answer has n records, including signatures, and returns it.
func (p *member) awaitSigned(name string, typ uint16, n int) (got string) {
	p.t.Helper()
	p.await(fmt.Sprintf("%d records of %s %s", n, name, dns.TypeToString[typ]), func() string {
		if got = p.signed(name, typ); len(strings.Split(got, "\n")) != n || !strings.Contains(got, "RRSIG") {
			return got
		}
		return ""
	})
	return got
}

// problem returns the status's problem of the zone, "" if there is none.
func (p *member) problem() string {
	for _, one := range p.status().Problems {
		if one.Resource == "zones/example.test" {
			return one.Message
		}
	}
	return ""
}

func (p *member) awaitProblem(text string) {
	p.t.Helper()
	p.await("the problem "+text, func() string {
		if got := p.problem(); text == "" && got != "" || !strings.Contains(got, text) {
			return "the problem is " + got
		}
		return ""
	})
}

func sealedSettings(t *testing.T, id string, c *cluster, secrets string) process.Settings {
	s := settings(id, c)
	s.KeySecrets, s.State = secrets, filepath.Join(t.TempDir(), id)
	return s
}

// Two servers get their keys from etcd, answer with the same octets, apply each change at once, and lose no key,
// whatever is damaged: in etcd, in the file of secrets, or on disk.
func TestSealedKeys(t *testing.T) {
	c := newCluster(t)
	folder := t.TempDir()
	secrets := secretFile(t, filepath.Join(folder, "both"), 1)
	v := vaultOf(t, c, secrets)
	origin := rr.Name("\x07example\x04test\x00")
	first, err := dnssec.First(origin, dnssec.ECDSAP256, true, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	held, err := v.Read(t.Context(), origin)
	if held == nil || err == nil {
		t.Fatal(held, err)
	}
	c.putAll(signedZone)
	sa, sb := sealedSettings(t, "a", c, secrets), sealedSettings(t, "b", c, secrets)
	a, b := serve(t, sa), serve(t, sb)
	for _, p := range []*member{a, b} {
		p.awaitProblem("leeward key generate example.test --etcd URL --key-secret-file FILE")
	}
	if err := v.Write(t.Context(), held, first); err != nil {
		t.Fatal(err)
	}
	same := func(what string, records int) {
		t.Helper()
		for _, q := range []struct {
			name string
			typ  uint16
			n    int
		}{
			{"example.test.", dns.TypeDNSKEY, records},
			{"www.example.test.", dns.TypeA, 2},
			{"example.test.", dns.TypeCDS, 2},
		} {
			one, other := a.awaitSigned(q.name, q.typ, q.n), b.awaitSigned(q.name, q.typ, q.n)
			if one != other {
				t.Fatalf("%s: two servers have other signatures:\n%s\n%s", what, one, other)
			}
		}
	}
	same("the first keys", 3)
	a.awaitProblem("")
	for _, kv := range c.keys("keys/") {
		if !strings.HasPrefix(kv, "keys/example.test/13-") {
			t.Error("etcd has", kv)
		}
	}

	// Two writers have read the same state. One of them gets an error.
	one, err := v.Read(t.Context(), origin)
	if err != nil {
		t.Fatal(err)
	}
	rolled, err := one.Keys.RollZSK(time.Now(), dnssec.Timing{TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Write(t.Context(), one, rolled); err != nil {
		t.Fatal(err)
	}
	if err := v.Write(t.Context(), one, rolled); err == nil || !strings.Contains(err.Error(), "somebody else") {
		t.Fatal(err)
	}
	same("another ZSK", 4)

	// A damaged value in etcd. The keys stay, and the status says which value it is.
	key := func(k *dnssec.Key) string { return "keys/" + k.Place().String() }
	value := func(name string) string {
		t.Helper()
		r, err := c.Get(t.Context(), etcd.DefaultPrefix+name)
		if err != nil || len(r.Kvs) != 1 {
			t.Fatal(r, err)
		}
		return string(r.Kvs[0].Value)
	}
	remove := func(name string) {
		t.Helper()
		if _, err := c.Delete(t.Context(), etcd.DefaultPrefix+name); err != nil {
			t.Fatal(err)
		}
	}
	name := key(first[0].Key)
	good := value(name)
	moved := value(key(first[1].Key))
	for _, bad := range []struct{ value, problem string }{
		{moved, "was sealed for another place"},
		{good[:len(good)/2], "its value is not that of a sealed key"},
		{"", "its value is not that of a sealed key"},
	} {
		c.put(name, bad.value)
		a.awaitProblem(bad.problem)
		b.awaitProblem("the keys that were read stay in use: key " + first[0].Place().String())
		same(bad.problem, 4)
	}
	remove(name)
	a.awaitProblem("is gone from etcd")
	same("a key is gone", 4)
	a.end()
	a = serve(t, sa) // what it had in use is on disk
	a.awaitProblem("is gone from etcd")
	same("a restart without the key in etcd", 4)
	c.put(name, good)
	a.awaitProblem("")

	// A key at the place of another zone signs nothing there.
	c.put("keys/other.test/13-00001", good)
	c.putAll(strings.ReplaceAll(signedZone, "example.test", "other.test"))
	a.await("no answer for the other zone", func() string {
		if got := a.signed("www.other.test.", dns.TypeA); got != "rcode 2\nEDE 24" {
			return got
		}
		return ""
	})

	// The file of secrets goes, is cut short, or is an old one. The keys in use stay, and the status says so.
	spoil := func(what string, do func(), problem string) {
		t.Helper()
		do()
		p := serve(t, sealedSettings(t, "c", c, secrets)) // it has nothing kept
		p.awaitProblem(problem)
		if got := p.signed("www.example.test.", dns.TypeA); got != "rcode 2\nEDE 24" {
			t.Errorf("%s, at the start: %s", what, got)
		}
		p.end()
	}
	text, err := os.ReadFile(secrets)
	if err != nil {
		t.Fatal(err)
	}
	spoil("lost", func() { os.Remove(secrets) }, "the keys in etcd cannot be opened: --key-secret-file: open")
	spoil("cut short", func() { os.WriteFile(secrets, text[:20], 0o600) }, "64 hexadecimal digits")
	spoil("old", func() { secretFile(t, secrets, 9) }, "put the line of that secret back")
	a.end()
	a = serve(t, sa)
	a.awaitProblem("put the line of that secret back")
	if got := a.signed("www.example.test.", dns.TypeA); got != "rcode 2\nEDE 24" {
		t.Errorf("without the secret, what is kept cannot be opened: %s", got)
	}
	secretFile(t, secrets, 9, 1)
	same("the line is back", 4)
	if err := os.Chmod(secrets, 0o644); err != nil {
		t.Fatal(err)
	}
	p := serve(t, sealedSettings(t, "d", c, secrets))
	p.awaitProblem("chmod 600")
	p.awaitSigned("www.example.test.", dns.TypeA, 2)
}

// Without etcd, a server starts with its last keys. With another etcd, it keeps them until that etcd is accepted.
func TestSealedKeysWithoutEtcd(t *testing.T) {
	c := newCluster(t)
	secrets := secretFile(t, filepath.Join(t.TempDir(), "secrets"), 1)
	v := vaultOf(t, c, secrets)
	origin := rr.Name("\x07example\x04test\x00")
	firstKeys(t, v, origin, dnssec.Ed25519, false, time.Now())
	c.putAll(signedZone)
	s := sealedSettings(t, "a", c, secrets)
	a := serve(t, s)
	want := a.awaitSigned("www.example.test.", dns.TypeA, 2)
	kept := filepath.Join(s.State, "keys.sealed")
	a.await("the kept keys", func() string {
		if _, err := os.Stat(kept); err != nil {
			return err.Error()
		}
		if _, err := os.Stat(filepath.Join(s.State, "last-good")); err != nil {
			return err.Error()
		}
		return ""
	})
	a.end()
	if info, err := os.Stat(kept); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
	c.etcd.Close()
	a = serve(t, s)
	if got := a.signed("www.example.test.", dns.TypeA); got != want {
		t.Errorf("after a restart without etcd: %s, want %s", got, want)
	}
	a.end()
	if err := os.WriteFile(kept, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	a = serve(t, s)
	if got := a.signed("www.example.test.", dns.TypeA); got != "rcode 2\nEDE 24" {
		t.Errorf("with neither etcd nor keys: %s", got)
	}
	a.awaitProblem("etcd has not delivered the zone's keys yet")
}
