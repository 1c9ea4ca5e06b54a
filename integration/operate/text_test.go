//go:build linux

package operate

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"leeward/integration/lab"
)

// documents are the small world again, in the form that a person writes.
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

// TestApply follows a change: a dry run, a diff, what is refused and why, prune, and reading back what was put.
func TestApply(t *testing.T) {
	m := lab.StartEtcd(t)
	etcd := []string{"--etcd", m.Client}
	with := func(verb string, args ...string) []string { return append(append([]string{verb}, etcd...), args...) }
	stored := func() string { return m.Ctl(t, "", "get", "--prefix", "--keys-only", "/leeward/").Stdout }

	if out := lab.LeewardOK(t, documents, with("apply", "-f", "-", "--dry-run")...); !strings.Contains(out,
		"www.example.test") {
		t.Errorf("the dry run does not say what it would do:\n%s", out)
	}
	if got := stored(); got != "" {
		t.Fatalf("a dry run wrote %s", got)
	}
	lab.LeewardOK(t, documents, with("apply", "-f", "-")...)
	for _, key := range []string{
		"zones/example.test", "records/example.test/ns1/A", "regions/eu", "pools/www-eu",
		"endpoints/www-eu/lb-1", "policies/www.example.test",
	} {
		if !strings.Contains(stored(), "/leeward/"+key+"\n") {
			t.Errorf("%s is not in etcd:\n%s", key, stored())
		}
	}
	s := lab.Serve(t, "one", "--etcd", m.Client)
	lab.Expect(t, 10*time.Second, s.DNS, lab.WWW, "192.0.2.1")

	for _, bad := range []struct{ documents, says string }{
		{"kind: Pool\nname: p\nregion: atlantis\n", "atlantis"},
		{"kind: Pool\nname: p\nregion: eu\ncolour: red\n", "standard input:4"},
		{"kind: Endpoint\nname: www-eu/lb-2\naddresses: [192.0.2.1]\n", "192.0.2.1"},
		{"kind: Policy\nname: www.elsewhere.invalid\nrules: [{failover: [www-eu]}]\n", "zone"},
		{"kind: Record\nname: example.test/@/CNAME\ndata: [a.example.test.]\n", "CNAME"},
		{"kind: Zone\nname: x.test\nnameservers: [ns.example.net]\ndnssec: {nsec3: true}\n", "dnssec"},
	} {
		before := stored()
		o := lab.Leeward(t, bad.documents, with("apply", "-f", "-")...)
		if o.Code != 1 || !strings.Contains(o.Stderr+o.Stdout, bad.says) {
			t.Errorf("apply of %q: want exit status 1 and %q, got %v", bad.documents, bad.says, o)
		}
		if stored() != before {
			t.Errorf("apply of %q wrote something", bad.documents)
		}
	}

	// apply accepts what get prints.
	for _, format := range []string{"yaml", "json"} {
		all := lab.LeewardOK(t, "", with("get", "-o", format)...)
		if o := lab.Leeward(t, all, with("apply", "-f", "-", "--dry-run", "--prune")...); o.Code != 0 ||
			strings.Contains(o.Stdout, "\n+") || strings.Contains(o.Stdout, "\n-") {
			t.Errorf("get -o %s given back to apply changes something: %v\n%s", format, o, all)
		}
	}

	without := documents[:strings.Index(documents, "---\nkind: Policy")]
	lab.LeewardOK(t, without, with("apply", "-f", "-")...)
	lab.Expect(t, 10*time.Second, s.DNS, lab.WWW, "192.0.2.1") // a resource that is not named is not deleted
	for _, least := range []string{"", "# nothing\n", without} {
		if o := lab.Leeward(t, least, with("apply", "-f", "-", "--prune")...); o.Code != 1 {
			t.Errorf("apply --prune of %q takes a policy that is answering: %v", least, o)
		}
	}
	lab.Expect(t, 10*time.Second, s.DNS, lab.WWW, "192.0.2.1")
	lab.LeewardOK(t, without, with("apply", "-f", "-", "--prune", "--force")...)
	lab.Expect(t, 10*time.Second, s.DNS, lab.WWW, "NXDOMAIN")
	lab.LeewardOK(t, documents, with("apply", "-f", "-")...)
	lab.Expect(t, 10*time.Second, s.DNS, lab.WWW, "192.0.2.1")

	if o := lab.Leeward(t, "", with("delete", "endpoint", "www-eu/lb-1")...); o.Code != 1 ||
		!strings.Contains(o.Stderr+o.Stdout, "www.example.test") {
		t.Errorf("deleting a policy's last endpoint must be refused with its name: %v", o)
	}
	lab.LeewardOK(t, "", with("delete", "policy", "www.example.test")...)
	lab.Expect(t, 10*time.Second, s.DNS, lab.WWW, "NXDOMAIN")
}

// TestAppliersDoNotLoseChanges lets two appliers write at once, each its own records, again and again. In the end all
// are there.
func TestAppliersDoNotLoseChanges(t *testing.T) {
	m := lab.StartEtcd(t)
	lab.LeewardOK(t, documents, "apply", "--etcd", m.Client, "-f", "-")
	var wg sync.WaitGroup
	for _, who := range []string{"a", "b"} {
		wg.Go(func() {
			for i := range 5 {
				record := "kind: Record\nname: example.test/" + who + string(rune('0'+i)) + "/A\ndata: [192.0.2.99]\n"
				if o := lab.Leeward(t, record, "apply", "--etcd", m.Client, "-f", "-"); o.Code != 0 {
					t.Errorf("applier %s: %v", who, o)
				}
			}
		})
	}
	wg.Wait()
	got := m.Ctl(t, "", "get", "--prefix", "--keys-only", "/leeward/records/").Stdout
	if n := strings.Count(got, "/A\n"); n != 11 {
		t.Errorf("%d records are in etcd, want 11:\n%s", n, got)
	}
}

// TestCheck reads folders offline. Valid ones pass, and each fault is reported with file, line and what to do.
func TestCheck(t *testing.T) {
	dir := lab.Folder(t, map[string]string{"all.yaml": documents})
	lab.LeewardOK(t, "", "check", "-f", dir)
	lab.LeewardOK(t, "", "check", "-f", lab.Folder(t, map[string]string{
		"example.test.zone": lab.MasterFile,
		"www.yaml":          lab.PolicyFile,
	}))
	lab.Write(t, filepath.Join(dir, "more.yaml"),
		"kind: Pool\nname: p\nregion: atlantis\n---\nkind: Endpoint\nname: www-eu/lb-2\naddresses: [192.0.2.300]\n")
	o := lab.Leeward(t, "", "check", "-f", dir)
	said := o.Stdout + o.Stderr
	for _, want := range []string{"more.yaml:3", "atlantis", "more.yaml:7", "192.0.2.300"} {
		if !strings.Contains(said, want) {
			t.Errorf("check does not say %q: %v", want, o)
		}
	}
	if o.Code != 1 {
		t.Errorf("exit status %d, want 1", o.Code)
	}
}

// TestImportExport imports a master file and exports it again. From the second time on it is the same, and it is
// served.
func TestImportExport(t *testing.T) {
	m := lab.StartEtcd(t)
	s := lab.NewServer(t, "one", "--etcd", m.Client)
	file := filepath.Join(t.TempDir(), "example.test.zone")
	lab.Write(t, file, lab.MasterFile)
	lab.LeewardOK(t, "", "import", "--etcd", m.Client, "example.test", file)
	first := lab.LeewardOK(t, "", "export", "--etcd", m.Client, "example.test")
	for _, want := range []string{"192.0.2.25", "2001:db8::25", `"wild"`, "192.0.2.77"} {
		if !strings.Contains(first, want) {
			t.Errorf("the export lacks %s:\n%s", want, first)
		}
	}
	if err := os.WriteFile(file, []byte(first), 0o644); err != nil {
		t.Fatal(err)
	}
	lab.LeewardOK(t, "", "import", "--etcd", m.Client, "example.test", file)
	if second := lab.LeewardOK(t, "", "export", "--etcd", m.Client, "example.test"); second != first {
		t.Errorf("import of an export changes it:\n%s\nbecomes\n%s", first, second)
	}
	s.Start(t)
	s.Ready(t)
	lab.Expect(t, 10*time.Second, s.DNS, lab.Question{Name: "alias.example.test", Qtype: 1}, "192.0.2.25",
		"mail.example.test.")
}
