package dnssec

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"leeward/zones/rr"
)

var day0 = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// ring is keys with names, for tables.
type ring struct {
	names map[string]string // by DNSKEY
	keys  *Keys
}

// fresh makes a key with an unused tag.
func fresh(t testing.TB, flags uint16, a Algorithm, tags map[uint16]bool) *Key {
	t.Helper()
	for {
		k, err := Generate(name(t, "example.test"), flags, a)
		if err != nil {
			t.Fatal(err)
		}
		if !tags[k.Tag()] {
			tags[k.Tag()] = true
			return k
		}
	}
}

// newRing reads lines of a name, flags, algorithm and times in days: "old 257 13 Publish=0 Activate=2 zsk".
func newRing(t testing.TB, lines string) ring {
	t.Helper()
	r, tags := ring{names: map[string]string{}}, map[uint16]bool{}
	var all []TimedKey
	for line := range strings.Lines(strings.TrimSpace(lines)) {
		f := strings.Fields(line)
		flags, _ := strconv.Atoi(f[1])
		algorithm, _ := strconv.Atoi(f[2])
		key := TimedKey{Key: fresh(t, uint16(flags), Algorithm(algorithm), tags)}
		for _, word := range f[3:] {
			what, value, timed := strings.Cut(word, "=")
			days, err := strconv.ParseFloat(value, 64)
			if !timed {
				key.Role = map[string]Role{"ksk": RoleKSK, "zsk": RoleZSK, "csk": RoleCSK}[word]
				continue
			}
			found := false
			key.Times.each(func(name string, at *time.Time) {
				if name == what {
					*at, found = day0.Add(time.Duration(days*24)*time.Hour), true
				}
			})
			if err != nil || !found {
				t.Fatalf("%s: %v", word, err)
			}
		}
		r.names[string(key.DNSKEY())] = f[0]
		all = append(all, key)
	}
	var err error
	if r.keys, err = NewKeys(name(t, "example.test"), all...); err != nil {
		t.Fatal(err)
	}
	return r
}

// tell formats a duty with the names of keys.
func (r ring) tell(d *Duty) string {
	list := func(all [][]byte) string {
		var names []string
		for _, k := range all {
			names = append(names, r.names[string(k)])
		}
		slices.Sort(names)
		return strings.Join(names, ",")
	}
	of := func(keys []*Key) (all [][]byte) {
		for _, k := range keys {
			all = append(all, k.DNSKEY())
		}
		return all
	}
	text := strings.TrimSpace(fmt.Sprintf("DNSKEY %s by %s; data by %s; CDS %s", list(d.DNSKEY), list(of(d.Entry)),
		list(of(d.Zone)), list(d.Synced)))
	if d.Stays != nil {
		text += "; stays " + r.names[string(d.Stays.DNSKEY())]
	}
	return text
}

// TestDuty: what keys do on each day, by their times.
func TestDuty(t *testing.T) {
	for _, c := range []struct{ what, keys, says string }{
		{"a key without times does all", "a 257 13", `
			0: DNSKEY a by a; data by a; CDS a`},
		{"KSK and ZSK", "k 257 13\nz 256 13", `
			0: DNSKEY k,z by k; data by z; CDS k`},
		{"a ZSK alone", "z 256 13", `
			0: DNSKEY z by z; data by z; CDS`},
		{"each algorithm signs all", "k 257 13\nz 256 13\nc 257 15", `
			0: DNSKEY c,k,z by c,k; data by c,z; CDS c,k`},
		{"BIND's roles", "a 257 13 csk\nb 257 13 ksk\nz 256 13 zsk Activate=1 Publish=0", `
			0: DNSKEY a,b,z by a,b; data by a; CDS a,b
			1: DNSKEY a,b,z by a,b; data by a; CDS a,b`},
		{"ZSK, published ahead", "k 257 13\nold 256 13 Inactive=2 Delete=4\nnew 256 13 Publish=1 Activate=2", `
			0: DNSKEY k,old by k; data by old; CDS k
			1: DNSKEY k,new,old by k; data by old; CDS k
			2: DNSKEY k,new,old by k; data by new; CDS k
			4: DNSKEY k,new by k; data by new; CDS k`},
		{"CSK", "old 257 13 Inactive=4 Delete=6 SyncDelete=3\nnew 257 13 Publish=1 Activate=1 SyncPublish=2", `
			0: DNSKEY old by old; data by old; CDS old
			1: DNSKEY new,old by new,old; data by old; CDS old
			2: DNSKEY new,old by new,old; data by old; CDS new,old
			3: DNSKEY new,old by new,old; data by old; CDS new
			4: DNSKEY new,old by new; data by new; CDS new
			6: DNSKEY new by new; data by new; CDS new`},
		{"algorithm: signatures first", "old 257 13 Inactive=5 Delete=4 SyncDelete=3\n" +
			"new 257 15 Activate=1 Publish=2 SyncPublish=3", `
			0: DNSKEY old by old; data by old; CDS old
			1: DNSKEY old by old; data by new,old; CDS old
			2: DNSKEY new,old by new,old; data by new,old; CDS old
			3: DNSKEY new,old by new,old; data by new,old; CDS new
			4: DNSKEY new by new; data by new,old; CDS new
			5: DNSKEY new by new; data by new; CDS new`},
		{"both sign where the old one goes at once", "old 256 13 Inactive=3 Delete=3\nnew 256 13 Activate=1\nk 257 13", `
			0: DNSKEY k,old by k; data by old; CDS k
			1: DNSKEY k,new,old by k; data by new,old; CDS k
			3: DNSKEY k,new by k; data by new; CDS k`},
		{"from CSK to KSK and ZSK", "c 257 13\nz 256 13 Publish=1 Activate=2", `
			0: DNSKEY c by c; data by c; CDS c
			1: DNSKEY c,z by c; data by c; CDS c
			2: DNSKEY c,z by c; data by z; CDS c`},
		{"published, and never to sign", "a 257 13\nb 257 13 Publish=0", `
			0: DNSKEY a,b by a; data by a; CDS a`},
		{"none is active yet", "a 257 13 Publish=2 Activate=3\nb 257 13 Activate=4", `
			0: DNSKEY a by a; data by a; CDS; stays a
			2: DNSKEY a by a; data by a; CDS; stays a
			3: DNSKEY a by a; data by a; CDS a`},
		{"none is active any more", "a 257 13 Inactive=1 Delete=5\nb 257 13 Inactive=2 Delete=4", `
			1: DNSKEY a,b by b; data by b; CDS b
			2: DNSKEY a,b by b; data by b; CDS; stays b
			4: DNSKEY a by a; data by a; CDS; stays a
			5: DNSKEY b by b; data by b; CDS; stays b`},
	} {
		r := newRing(t, c.keys)
		for line := range strings.Lines(strings.TrimSpace(c.says)) {
			day, want, _ := strings.Cut(strings.TrimSpace(line), ": ")
			n, err := strconv.Atoi(day)
			if err != nil {
				t.Fatal(err)
			}
			if got := r.tell(r.keys.At(day0.Add(time.Duration(n) * 24 * time.Hour))); got != want {
				t.Errorf("%s, day %d:\n%s, want\n%s", c.what, n, got, want)
			}
		}
	}
}

// TestDutyByLot: whatever the times, the zone is signed, keys that sign keys are published, and nothing changes between
// the moments that Next returns.
func TestDutyByLot(t *testing.T) {
	var keys []*Key
	tags := map[uint16]bool{}
	for _, flags := range []uint16{256, 257} {
		for _, a := range []Algorithm{ECDSAP256, Ed25519} {
			for range 2 {
				keys = append(keys, fresh(t, flags, a, tags))
			}
		}
	}
	hours := func(n int) time.Time { return day0.Add(time.Duration(n) * time.Hour) }
	rapid.Check(t, func(r *rapid.T) {
		var all []TimedKey
		for _, k := range rapid.SliceOfNDistinct(rapid.SampledFrom(keys), 1, 6, rapid.ID).Draw(r, "keys") {
			key := TimedKey{Key: k, Role: rapid.SampledFrom([]Role{0, 0, RoleKSK, RoleZSK, RoleCSK}).Draw(r, "role")}
			key.Times.each(func(name string, at *time.Time) {
				if n := rapid.IntRange(-3, 9).Draw(r, name); n >= 0 {
					*at = hours(n)
				}
			})
			all = append(all, key)
		}
		set, err := NewKeys(name(t, "example.test"), all...)
		if err != nil {
			r.Fatal(err)
		}
		slices.Reverse(all)
		again, _ := NewKeys(name(t, "example.test"), all...)
		for n := range 11 {
			d := set.At(hours(n))
			if !d.same(again.At(hours(n))) {
				r.Fatal("the order in which keys come counts")
			}
			for _, k := range d.Entry {
				if !slices.ContainsFunc(d.DNSKEY, func(b []byte) bool { return bytes.Equal(b, k.DNSKEY()) }) {
					r.Fatalf("hour %d: %d signs the keys and is not one of them", n, k.Tag())
				}
			}
			if len(d.Zone) == 0 || len(d.Entry) == 0 {
				r.Fatalf("hour %d: the zone is not signed", n)
			}
			next := set.Next(hours(n))
			if last := hours(n).Add(59 * time.Minute); !d.same(set.At(last)) || !next.IsZero() && next.Before(last) {
				r.Fatalf("hour %d: something changes within the hour", n)
			}
			if next.IsZero() != d.same(set.At(hours(99))) && next.IsZero() {
				r.Fatalf("hour %d: something changes, and nothing is said to", n)
			}
		}
	})
}

// TestSignaturesOfKeys: each set has a signature of each key that signs its type, and miekg/dns verifies it. When keys
// change what they do, a signer makes only the missing signatures.
func TestSignaturesOfKeys(t *testing.T) {
	r := newRing(t, "k 257 13\nz 256 13\nc 257 15 Activate=1")
	signer := NewSigner(r.keys, false, day0)
	sign := func(s *Signer, owner string, typ rr.Type, data string) (made bool) {
		t.Helper()
		x, err := dns.NewRR(fmt.Sprintf("%s 300 IN %s %s", owner, typ, data))
		if err != nil {
			t.Fatal(err)
		}
		set := Set{Owner: name(t, owner), Type: typ, TTL: 300, Data: [][]byte{rdata(t, x)}}
		id := s.Begin([]byte(set.Owner), typ, 300)
		s.Add(&id, set.Data[0])
		g := s.Now()
		_, had := g.AppendRRSIGs(nil, id, []byte(set.Owner), typ, 300)
		if err := g.Sign(id, set); err != nil || !g.Has(id, typ) {
			t.Fatal("it is not signed")
		}
		all, _ := g.AppendRRSIGs(nil, id, []byte(set.Owner), typ, 300)
		keys := s.Duty().Zone
		if typ == rr.TypeDNSKEY {
			keys = s.Duty().Entry
		}
		if len(all) != len(keys)*g.SignatureLength() {
			t.Fatalf("%d octets of signatures by %d keys", len(all), len(keys))
		}
		for i, k := range keys {
			one := all[i*g.SignatureLength():][:g.SignatureLength()]
			head := append([]byte("\x07example\x04test\x00\x00\x2e\x00\x01\x00\x00\x01\x2c"), 0, byte(len(one)))
			sig, _, err := dns.UnpackRR(append(head, one...), 0)
			if err != nil {
				t.Fatal(err)
			}
			sig.Header().Name = owner
			if err := sig.(*dns.RRSIG).Verify(oracle(k), []dns.RR{x}); err != nil {
				t.Errorf("%s %s by %d: %v", owner, typ, k.Tag(), err)
			}
		}
		return !had
	}
	dnskey := "257 3 13 " + base64.StdEncoding.EncodeToString(r.keys.All()[0].public)
	sign(signer, "www.example.test.", rr.TypeA, "192.0.2.1")
	sign(signer, "example.test.", rr.TypeDNSKEY, dnskey)
	if signer.With(r.keys, false, day0.Add(time.Hour)) != signer {
		t.Error("nothing has changed, and there is another signer")
	}
	before := signer.Now().Len()
	more := signer.With(r.keys, false, day0.Add(25*time.Hour))
	if more == signer || !sign(more, "www.example.test.", rr.TypeA, "192.0.2.1") {
		t.Error("a key that signs now has signed before")
	}
	if n := more.Now().Len(); n != before+1 {
		t.Errorf("%d signatures were made, and one was missing", n-before)
	}
	if sign(signer, "www.example.test.", rr.TypeA, "192.0.2.1") {
		t.Error("the signer from before has lost a signature")
	}
}

// TestTimesOfBIND: times come from what dnssec-keygen and dnssec-settime write, and go back in a form that these read.
// A .state file gives roles.
func TestTimesOfBIND(t *testing.T) {
	if _, err := exec.LookPath("dnssec-settime"); err != nil {
		t.Skip("there is no dnssec-settime")
	}
	folder := t.TempDir()
	run := func(args ...string) string {
		t.Helper()
		out, err := exec.Command(args[0], args[1:]...).Output()
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return strings.TrimSpace(string(out))
	}
	base := run("dnssec-keygen", "-q", "-K", folder, "-a", "ED25519", "-P", "20300101000000", "-A", "20300102000000",
		"-I", "20300103000000", "-D", "20300104000000", "-P", "sync", "20300105000000", "-D", "sync", "20300106000000",
		"example.test")
	want := func(k *TimedKey, days int, role Role) {
		t.Helper()
		got := ""
		k.Times.each(func(name string, at *time.Time) {
			if name != "Created" {
				got += at.UTC().Format("2/1/06 ")
			}
		})
		text := ""
		for i := range 6 {
			text += fmt.Sprintf("%d/1/30 ", days+i)
		}
		if got != text || k.Role != role {
			t.Errorf("times %s, role %q; want %s, %q", got, k.Role, text, role)
		}
	}
	file := filepath.Join(folder, base+".private")
	k, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	want(&k, 1, RoleByFlags)
	k.Times.each(func(_ string, at *time.Time) { *at = at.Add(24 * time.Hour) })
	if err := k.Write(folder); err != nil {
		t.Fatal(err)
	}
	out := run("dnssec-settime", "-u", "-K", folder, "-p", "all", base)
	if !strings.Contains(out, "Publish: 1893542400") ||
		!strings.Contains(out, "SYNC Delete: 1893974400") {
		t.Errorf("dnssec-settime reads\n%s", out)
	}
	run("dnssec-settime", "-s", "-K", folder, "-g", "OMNIPRESENT", base)
	state := filepath.Join(folder, base+".state")
	text, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	write(t, state, string(text)+"KSK: yes\nZSK: no\n")
	if k, err = Read(file); err != nil {
		t.Fatal(err)
	}
	want(&k, 2, RoleKSK)
}
