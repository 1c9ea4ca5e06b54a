package dnssec

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/zones/rr"
)

// parent is a parent zone that follows CDS by BIND's dnssec-cds, which believes only what a key in the DS has signed.
type parent struct {
	t      *testing.T
	folder string
	ds     [][]byte
}

// apex writes the keys and CDS of a zone, with their signatures, as a master file. The signatures have times of the
// real clock, because dnssec-cds uses that.
func (p *parent) apex(keys *Keys, at time.Time) string {
	p.t.Helper()
	s := &Signer{origin: keys.origin, keys: keys, duty: keys.At(at), seed: newSeed()}
	g := s.generation(EpochAt(keys.origin, time.Now()), nil)
	var b strings.Builder
	put := func(typ rr.Type, data [][]byte) {
		set, id := Set{Owner: keys.origin, Type: typ, TTL: 300, Data: data}, s.Begin([]byte(keys.origin), typ, 300)
		for _, d := range data {
			s.Add(&id, d)
			text, err := rr.FormatData(typ, d)
			if err != nil {
				p.t.Fatal(err)
			}
			fmt.Fprintf(&b, "example.test. 300 IN %s %s\n", typ, text)
		}
		if err := g.Sign(id, set); err != nil {
			p.t.Fatal(err)
		}
		all, made := g.AppendRRSIGs(nil, id, []byte(keys.origin), typ, 300)
		if !made {
			p.t.Fatalf("%s has no signature", typ)
		}
		for one := range slices.Chunk(all, g.SignatureLength()) {
			text, err := rr.FormatData(rr.TypeRRSIG, one)
			if err != nil {
				p.t.Fatal(err)
			}
			fmt.Fprintf(&b, "example.test. 300 IN RRSIG %s\n", text)
		}
	}
	put(rr.TypeDNSKEY, s.duty.DNSKEY)
	var cds [][]byte
	for _, k := range s.duty.Synced {
		ds, err := DS(keys.origin, k, DigestSHA256)
		if err != nil {
			p.t.Fatal(err)
		}
		cds = append(cds, ds)
	}
	put(rr.TypeCDS, cds)
	put(rr.TypeCDNSKEY, s.duty.Synced)
	return b.String()
}

// follow lets the parent do what CDS asks for.
func (p *parent) follow(keys *Keys, at time.Time) {
	p.t.Helper()
	dsset := ""
	for _, d := range p.ds {
		text, err := rr.FormatData(rr.TypeDS, d)
		if err != nil {
			p.t.Fatal(err)
		}
		dsset += "example.test. 300 IN DS " + text + "\n"
	}
	file, child := filepath.Join(p.folder, "dsset"), filepath.Join(p.folder, "child")
	write(p.t, file, dsset)
	write(p.t, child, p.apex(keys, at))
	if err := os.Chtimes(file, time.Time{}, time.Now().Add(-72*time.Hour)); err != nil { // or signatures are too old
		p.t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command("dnssec-cds", "-a", "SHA-256", "-s", "-259200", "-d", file, "-f", child, "example.test")
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		p.t.Fatalf("after %v: dnssec-cds: %v: %s\nDS\n%sat the apex\n%s", at.Sub(day0), err, &said, dsset,
			p.apex(keys, at))
	}
	p.ds = nil
	for line := range strings.Lines(string(out)) {
		x, err := dns.NewRR(line)
		if err != nil {
			p.t.Fatalf("%q: %v", line, err)
		}
		if ds, is := x.(*dns.DS); is {
			digest, _ := hex.DecodeString(ds.Digest)
			head := []byte{byte(ds.KeyTag >> 8), byte(ds.KeyTag), ds.Algorithm, ds.DigestType}
			p.ds = append(p.ds, append(head, digest...))
		}
	}
}

// TestRollWithBINDsParent: a clock rolls a KSK, a CSK and an algorithm, with a parent that only follows CDS by BIND's
// dnssec-cds. At each step the chain holds for everything that resolvers may have, from every DS that exists.
func TestRollWithBINDsParent(t *testing.T) {
	if _, err := exec.LookPath("dnssec-cds"); err != nil {
		t.Skip("there is no dnssec-cds")
	}
	times := Timing{TTL: time.Hour, Parent: 2 * time.Hour, Delay: 10 * time.Minute}
	for _, c := range []struct {
		what  string
		split bool
		roll  func(*Keys) ([]TimedKey, error)
	}{
		{"KSK", true, func(k *Keys) ([]TimedKey, error) { return k.RollEntry(day0, times) }},
		{"CSK", false, func(k *Keys) ([]TimedKey, error) { return k.RollEntry(day0, times) }},
		{"algorithm", false, func(k *Keys) ([]TimedKey, error) { return k.RollAlgorithm(Ed25519, day0, times) }},
		{"algorithm of KSK and ZSK", true, func(k *Keys) ([]TimedKey, error) {
			return k.RollAlgorithm(Ed25519, day0, times)
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			first, err := First(name(t, "example.test"), ECDSAP256, c.split, day0)
			if err != nil {
				t.Fatal(err)
			}
			keys, err := NewKeys(name(t, "example.test"), first...)
			if err != nil {
				t.Fatal(err)
			}
			p := &parent{t: t, folder: t.TempDir(), ds: dsOf(t, keys, day0)}
			old, now := p.ds[0], day0
			step := func(changed []TimedKey, err error) {
				t.Helper()
				before := keys
				if err == nil {
					keys, err = keys.Merge(changed)
				}
				if err != nil {
					t.Fatal(err)
				}
				if wrong := keys.Check(before, now, times); len(wrong) > 0 {
					t.Fatalf("%q", wrong)
				}
				for { // the parent looks every half hour
					if wrong := keys.Trusted(p.ds, now); len(wrong) > 0 {
						t.Fatalf("%q", wrong)
					}
					p.follow(keys, now)
					if keys.Next(now).IsZero() {
						break
					}
					now = now.Add(30 * time.Minute)
				}
				now = now.Add(times.Parent)
			}
			step(c.roll(keys))
			if len(p.ds) != 2 {
				t.Fatalf("the parent has %d DS records, want the old one and the new one", len(p.ds))
			}
			tag := uint16(old[0])<<8 | uint16(old[1])
			for more := true; more; {
				var changed []TimedKey
				changed, more, err = keys.Retire(tag, p.ds, now, times)
				step(changed, err)
			}
			if len(p.ds) != 1 || bytes.Equal(p.ds[0], old) {
				t.Fatalf("in the end the parent has %x", p.ds)
			}
			if d := keys.At(now); len(d.Entry) != 1 || len(d.Zone) != 1 || !d.Entry[0].In(p.ds) {
				t.Error("in the end old keys sign")
			}
		})
	}
}

// TestFilesOfPowerDNS: we read what pdnsutil prints as a key, with the same tag.
func TestFilesOfPowerDNS(t *testing.T) {
	if _, err := exec.LookPath("pdnsutil"); err != nil {
		t.Skip("there is no pdnsutil")
	}
	folder := t.TempDir()
	at := func(file string) string { return filepath.Join(folder, file) }
	write(t, at("pdns.conf"), "launch=bind\nbind-config="+at("named.conf")+"\nbind-dnssec-db="+at("keys.db")+"\n")
	write(t, at("named.conf"), "")
	run := func(args ...string) string {
		t.Helper()
		var said bytes.Buffer
		cmd := exec.Command("pdnsutil", append([]string{"--config-dir=" + folder}, args...)...)
		cmd.Stderr = &said
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("pdnsutil %q: %v: %s%s", args, err, out, &said)
		}
		return string(out)
	}
	run("create-bind-db", at("keys.db"))
	write(t, at("named.conf"), `zone "example.test" { type master; file "`+at("zone")+`"; };`)
	write(t, at("zone"), "@ 60 IN SOA a. b. 1 2 3 4 5\n@ 60 IN NS a.\n")
	for i, algorithm := range []string{"ecdsa256", "ed25519"} {
		id := fmt.Sprint(i + 1)
		run("add-zone-key", "example.test", "ksk", "active", "published", algorithm)
		k, err := Parse(name(t, "example.test"), FlagsCSK, run("export-zone-key", "example.test", id))
		if err != nil {
			t.Fatal(err)
		}
		x, err := dns.NewRR(run("export-zone-dnskey", "example.test", id))
		if err != nil || !bytes.Equal(rdata(t, x), k.DNSKEY()) {
			t.Errorf("%s: here it is %x, and there %v, %v", algorithm, k.DNSKEY(), x, err)
		}
		if !k.Times.Published(time.Now()) || !k.Times.Active(time.Now()) {
			t.Errorf("%s: without times it is not in force", algorithm)
		}
	}
}
