//go:build linux

package conformance

import (
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// TestSignaled: a zone's CDS and CDNSKEY are in the zone of its name server (RFC 9615). delv validates them there, and
// the denial of all else beside them. ldns and BIND verify the transferred zone, and a second server has the same.
func TestSignaled(t *testing.T) {
	lab.Need(t, "delv", "ldns-verify-zone", "dnssec-verify")
	for what, set := range map[string]string{"NSEC": "{enabled: true}", "NSEC3": "{enabled: true, nsec3: true}"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir, keys := t.TempDir(), filepath.Join(t.TempDir(), "keys")
			lab.Write(t, filepath.Join(dir, "all.yaml"), `
kind: Zone
name: host.test
nameservers: [ns1.host.test]
transfer: {allow: [127.0.0.0/8]}
dnssec: `+set+`
---
kind: Record
name: host.test/ns1/A
data: [127.0.0.1]
---
kind: Zone
name: child.test
nameservers: [ns1.host.test]
dnssec: {enabled: true}
`)
			one := lab.Serve(t, "one", "--files", dir, "--keys", keys)
			const name = "_dsboot.child.test._signal.ns1.host.test."
			ask := func(at, name string, typ uint16) (data []string) {
				m := new(dns.Msg).SetQuestion(name, typ)
				reply, _, err := (&dns.Client{Timeout: 5 * time.Second}).Exchange(m, at)
				if err != nil {
					return nil
				}
				for _, r := range reply.Answer {
					data = append(data, strings.TrimPrefix(r.String(), r.Header().String()))
				}
				return data
			}
			same := func(at string) {
				t.Helper()
				for _, typ := range []uint16{dns.TypeCDS, dns.TypeCDNSKEY} {
					lab.Until(t, 30*time.Second, "the same at both names", func() error {
						if a, b := ask(at, "child.test.", typ), ask(at, name, typ); len(a) == 0 || !slices.Equal(a, b) {
							return errors.New(strings.Join(append(a, b...), " and "))
						}
						return nil
					})
				}
			}
			same(one.DNS)
			two := lab.Serve(t, "two", "--files", dir, "--keys", keys)
			same(two.DNS)

			judge := delvFrom(t, two.DNS, keysOf(t, keys)["host.test."])
			for _, typ := range []string{"CDS", "CDNSKEY"} {
				if out := judge(name, typ); !strings.Contains(out, "RRSIG "+typ) {
					t.Errorf("delv has no signature of %s:\n%s", typ, out)
				}
			}
			for _, q := range [][2]string{
				{name, "A"},
				{"_signal.ns1.host.test.", "CDS"},
				{"test._signal.ns1.host.test.", "CDNSKEY"},
				{"_dsboot.other.test._signal.ns1.host.test.", "CDS"},
				{"x." + name, "CDS"},
			} {
				if out := judge(q[0], q[1]); !strings.Contains(out, "negative response, fully validated") {
					t.Errorf("%s %s is there:\n%s", q[0], q[1], out)
				}
			}
			file := filepath.Join(t.TempDir(), "zone")
			text := transferred(t, one.DNS, "host.test.")
			if lab.Write(t, file, text); !strings.Contains(text, name) {
				t.Errorf("it is not handed on:\n%s", text)
			}
			for _, c := range [][]string{
				{"ldns-verify-zone", file}, {"dnssec-verify", "-z", "-o", "host.test.", file},
			} {
				if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
					t.Errorf("%s: %v\n%s", c[0], err, out)
				}
			}
			if a, b := sorted(text), sorted(transferred(t, two.DNS, "host.test.")); a != b {
				t.Errorf("the servers hand on\n%s\nand\n%s", a, b)
			}
		})
	}
}
