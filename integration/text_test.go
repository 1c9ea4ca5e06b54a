//go:build linux

package integration

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// documents are the small world again, as a person writes it.
const documents = `# a comment
kind: Zone
name: example.test
nameservers: [ns1.example.test]
hostmaster: hostmaster@example.test
---
{kind: Record, name: example.test/ns1/A, data: [192.0.2.53]}
---
{kind: Region, name: eu}
---
kind: Pool
name: www-eu
region: eu
---
kind: Endpoint
name: www-eu/lb-1
addresses: [192.0.2.1]
---
kind: Policy
name: www.example.test
ttl: 20s
rules:
  - failover: [www-eu]
`

// TestApply holds the way of a change: a dry run, a diff, what is refused and why, prune, and that what is put comes
// back.
func TestApply(t *testing.T) {
	m := startEtcd(t)
	etcd := []string{"--etcd", m.client}
	with := func(verb string, args ...string) []string { return append(append([]string{verb}, etcd...), args...) }
	stored := func() string { return m.ctl(t, "", "get", "--prefix", "--keys-only", "/leeward/").stdout }

	if out := leewardOK(t, documents, with("apply", "-f", "-", "--dry-run")...); !strings.Contains(out, "www.example.test") {
		t.Errorf("the dry run does not say what it would do:\n%s", out)
	}
	if got := stored(); got != "" {
		t.Fatalf("a dry run wrote %s", got)
	}
	leewardOK(t, documents, with("apply", "-f", "-")...)
	for _, key := range []string{"zones/example.test", "records/example.test/ns1/A", "regions/eu", "pools/www-eu", "endpoints/www-eu/lb-1", "policies/www.example.test"} {
		if !strings.Contains(stored(), "/leeward/"+key+"\n") {
			t.Errorf("%s is not in etcd:\n%s", key, stored())
		}
	}
	s := serve(t, "one", "--etcd", m.client)
	expect(t, 10*time.Second, s.dns, www, "192.0.2.1")

	for _, bad := range []struct{ documents, says string }{
		{"kind: Pool\nname: p\nregion: atlantis\n", "atlantis"},
		{"kind: Pool\nname: p\nregion: eu\ncolour: red\n", "standard input:4"},
		{"kind: Endpoint\nname: www-eu/lb-2\naddresses: [192.0.2.1]\n", "192.0.2.1"},
		{"kind: Policy\nname: www.elsewhere.invalid\nrules: [{failover: [www-eu]}]\n", "zone"},
		{"kind: Record\nname: example.test/@/CNAME\ndata: [a.example.test.]\n", "CNAME"},
		{"kind: Zone\nname: x.test\nnameservers: [ns.example.net]\ndnssec: {enabled: true}\n", "dnssec"},
	} {
		before := stored()
		o := leeward(t, bad.documents, with("apply", "-f", "-")...)
		if o.code != 1 || !strings.Contains(o.stderr+o.stdout, bad.says) {
			t.Errorf("apply of %q: want exit status 1 and %q, got %v", bad.documents, bad.says, o)
		}
		if stored() != before {
			t.Errorf("apply of %q wrote something", bad.documents)
		}
	}

	// What get prints is what apply takes.
	for _, format := range []string{"yaml", "json"} {
		all := leewardOK(t, "", with("get", "-o", format)...)
		if o := leeward(t, all, with("apply", "-f", "-", "--dry-run", "--prune")...); o.code != 0 || strings.Contains(o.stdout, "\n+") || strings.Contains(o.stdout, "\n-") {
			t.Errorf("get -o %s given back to apply changes something: %v\n%s", format, o, all)
		}
	}

	without := documents[:strings.Index(documents, "---\nkind: Policy")]
	leewardOK(t, without, with("apply", "-f", "-")...)
	expect(t, 10*time.Second, s.dns, www, "192.0.2.1") // not named is not deleted
	for _, least := range []string{"", "# nothing\n", without} {
		if o := leeward(t, least, with("apply", "-f", "-", "--prune")...); o.code != 1 {
			t.Errorf("apply --prune of %q takes a policy that is answering: %v", least, o)
		}
	}
	expect(t, 10*time.Second, s.dns, www, "192.0.2.1")
	leewardOK(t, without, with("apply", "-f", "-", "--prune", "--force")...)
	expect(t, 10*time.Second, s.dns, www, "NXDOMAIN")
	leewardOK(t, documents, with("apply", "-f", "-")...)
	expect(t, 10*time.Second, s.dns, www, "192.0.2.1")

	if o := leeward(t, "", with("delete", "endpoint", "www-eu/lb-1")...); o.code != 1 || !strings.Contains(o.stderr+o.stdout, "www.example.test") {
		t.Errorf("deleting a policy's last endpoint must be refused with its name: %v", o)
	}
	leewardOK(t, "", with("delete", "policy", "www.example.test")...)
	expect(t, 10*time.Second, s.dns, www, "NXDOMAIN")
}

// TestAppliersDoNotLoseChanges lets two appliers write at once, each its own records, again and again: all are there in
// the end.
func TestAppliersDoNotLoseChanges(t *testing.T) {
	m := startEtcd(t)
	leewardOK(t, documents, "apply", "--etcd", m.client, "-f", "-")
	var wg sync.WaitGroup
	for _, who := range []string{"a", "b"} {
		wg.Go(func() {
			for i := range 5 {
				record := "kind: Record\nname: example.test/" + who + string(rune('0'+i)) + "/A\ndata: [192.0.2.99]\n"
				if o := leeward(t, record, "apply", "--etcd", m.client, "-f", "-"); o.code != 0 {
					t.Errorf("applier %s: %v", who, o)
				}
			}
		})
	}
	wg.Wait()
	got := m.ctl(t, "", "get", "--prefix", "--keys-only", "/leeward/records/").stdout
	if n := strings.Count(got, "/A\n"); n != 11 {
		t.Errorf("%d records are in etcd, want 11:\n%s", n, got)
	}
}

// TestCheck reads a folder offline: fine ones pass, and each fault is told with file, line and what to do.
func TestCheck(t *testing.T) {
	dir := folder(t, map[string]string{"all.yaml": documents})
	leewardOK(t, "", "check", "-f", dir)
	leewardOK(t, "", "check", "-f", folder(t, map[string]string{"example.test.zone": masterFile, "www.yaml": policyFile}))
	write(t, filepath.Join(dir, "more.yaml"), "kind: Pool\nname: p\nregion: atlantis\n---\nkind: Endpoint\nname: www-eu/lb-2\naddresses: [192.0.2.300]\n")
	o := leeward(t, "", "check", "-f", dir)
	said := o.stdout + o.stderr
	for _, want := range []string{"more.yaml:3", "atlantis", "more.yaml:7", "192.0.2.300"} {
		if !strings.Contains(said, want) {
			t.Errorf("check does not say %q: %v", want, o)
		}
	}
	if o.code != 1 {
		t.Errorf("exit status %d, want 1", o.code)
	}
}

// TestImportExport takes a master file in and gets it out again: the same from the second time on, and served.
func TestImportExport(t *testing.T) {
	m := startEtcd(t)
	s := newServer(t, "one", "--etcd", m.client)
	file := filepath.Join(t.TempDir(), "example.test.zone")
	write(t, file, masterFile)
	leewardOK(t, "", "import", "--etcd", m.client, "example.test", file)
	first := leewardOK(t, "", "export", "--etcd", m.client, "example.test")
	for _, want := range []string{"192.0.2.25", "2001:db8::25", `"wild"`, "192.0.2.77"} {
		if !strings.Contains(first, want) {
			t.Errorf("the export lacks %s:\n%s", want, first)
		}
	}
	if err := os.WriteFile(file, []byte(first), 0o644); err != nil {
		t.Fatal(err)
	}
	leewardOK(t, "", "import", "--etcd", m.client, "example.test", file)
	if second := leewardOK(t, "", "export", "--etcd", m.client, "example.test"); second != first {
		t.Errorf("import of an export changes it:\n%s\nbecomes\n%s", first, second)
	}
	s.start(t)
	s.ready(t)
	expect(t, 10*time.Second, s.dns, question{name: "alias.example.test", qtype: 1}, "192.0.2.25", "mail.example.test.")
}
