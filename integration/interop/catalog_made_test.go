//go:build linux

package interop

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// TestCatalogIsTaken: BIND and Knot configure themselves from a catalog zone that Leeward makes of its zones. They have
// the first zones and an added one, lose a removed one, and get it back when it returns. The catalog's serial moves
// each time, and nothing is done by hand. (NSD reads catalog zones from 4.9 on, which Debian does not have yet.)
func TestCatalogIsTaken(t *testing.T) {
	lab.Need(t, "named", "knotd")
	dir := t.TempDir()
	keys := filepath.Join(dir, "xfer.key")
	lab.Write(t, keys, tsigKey)
	at := []string{fmt.Sprintf("127.0.0.1:%d", lab.LoopbackPort(t)), fmt.Sprintf("127.0.0.1:%d", lab.LoopbackPort(t))}
	var ports []string
	for _, a := range at {
		_, port, _ := net.SplitHostPort(a)
		ports = append(ports, port)
	}
	handed := fmt.Sprintf("transfer: {allow: [127.0.0.1 key xfer], notify: [%q, %q]",
		at[0]+" key xfer", at[1]+" key xfer")
	zone := func(origin string) string {
		return fmt.Sprintf("---\nkind: Zone\nname: %s\nnameservers: [ns.example.net]\n%s}\n"+
			"---\n{kind: Record, name: %[1]s/www/TXT, data: ['\"%[1]s\"']}\n", origin, handed)
	}
	files := lab.Folder(t, map[string]string{
		"catalog.yaml": fmt.Sprintf("kind: Zone\nname: catalog.ours\nrefresh: 1h\n"+
			"%s, members: ['*', a.test group gold]}\n", handed),
		"a.yaml": zone("a.test"),
		"b.yaml": zone("b.test"),
		"c.yaml": zone("c.test"),
	})
	s := lab.NewServer(t, "producer", "--files", files, "--tsig-key", keys)
	s.Start(t)
	s.Ready(t)
	_, here, _ := net.SplitHostPort(s.DNS)

	bind, knot := filepath.Join(dir, "bind"), filepath.Join(dir, "knot")
	for _, d := range []string{bind, knot} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	options := fmt.Sprintf(bindPeer, bind, ports[0])
	options = strings.Replace(options, "options {", fmt.Sprintf("options {\n\tcatalog-zones { zone \"catalog.ours\" "+
		"default-primaries { 127.0.0.1 port %s key xfer; } in-memory yes min-update-interval 1; };", here), 1)
	lab.Write(t, filepath.Join(bind, "named.conf"), tsigKey+options+fmt.Sprintf(
		"zone \"catalog.ours\" { type secondary; primaries { 127.0.0.1 port %s key xfer; }; "+
			"file \"catalog.db\"; notify no; };\n", here))
	lab.Write(t, filepath.Join(knot, "knot.conf"), fmt.Sprintf(knotPeer+`remote:
  - id: ours
    address: 127.0.0.1@%s
    key: xfer
acl:
  - id: ours
    address: 127.0.0.1
    key: xfer
    action: notify
database:
  storage: %[1]q
template:
  - id: plain
    storage: %[1]q
    master: ours
    acl: ours
  - id: gold
    storage: %[1]q
    master: ours
    acl: ours
zone:
  - domain: catalog.ours
    storage: %[1]q
    master: ours
    acl: ours
    catalog-role: interpret
    catalog-template: [ plain, gold ]
`, knot, ports[1], tsigSecret, here))
	lab.Start(t, nil, "bind", "named", "-g", "-n", "1", "-c", filepath.Join(bind, "named.conf"))
	lab.Start(t, nil, "knot", "knotd", "-c", filepath.Join(knot, "knot.conf"))

	serial := uint32(0)
	all := func(step, gone string) {
		t.Helper()
		lab.Until(t, 2*time.Minute, step, func() error {
			for _, server := range at {
				for _, origin := range []string{"a.test", "b.test", "c.test", "d.test"} {
					r, err := lab.Ask(nil, server, lab.Question{Name: "www." + origin, Qtype: dns.TypeTXT})
					if err != nil {
						return err
					}
					got, want := strings.Join(lab.RDATA(r), " "), fmt.Sprintf("%q", origin)
					if origin == gone {
						want = ""
					}
					if got != want || want == "" && r.Rcode != dns.RcodeRefused {
						return fmt.Errorf("%s at %s: %s %q, want %q", origin, server, dns.RcodeToString[r.Rcode], got,
							want)
					}
				}
			}
			return nil
		})
		soa, err := soaOf(s.DNS, "catalog.ours")
		if err != nil {
			t.Fatal(err)
		}
		if soa.Serial <= serial {
			t.Errorf("%s: the catalog's serial is %d, after %d", step, soa.Serial, serial)
		}
		serial = soa.Serial
	}
	all("the zones that were there", "d.test")
	lab.Write(t, filepath.Join(files, "d.yaml"), zone("d.test"))
	all("one is added", "")
	if err := os.Remove(filepath.Join(files, "b.yaml")); err != nil {
		t.Fatal(err)
	}
	lab.Until(t, time.Minute, "it is held back, as whatever goes by itself with what is in it", func() error {
		if out := lab.LeewardOK(t, "", "status", "--admin", "http://"+s.Admin); !strings.Contains(out, "b.test") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	lab.Write(t, filepath.Join(files, ".leeward-accept"), "")
	all("one is removed", "b.test")
	lab.Write(t, filepath.Join(files, "b.yaml"), zone("b.test"))
	all("and is back", "")

	for _, q := range []lab.Question{
		{Name: "catalog.ours", Qtype: dns.TypeNS},
		{Name: "version.catalog.ours", Qtype: dns.TypeTXT},
	} {
		if r, err := lab.Ask(nil, s.DNS, q); err != nil || r.Rcode != dns.RcodeRefused {
			t.Errorf("%v: %v, %v, want REFUSED", q, r, err)
		}
	}
	channel, err := new(dns.Transfer).In(new(dns.Msg).SetAxfr("catalog.ours."), s.DNS)
	if err != nil {
		t.Fatal(err)
	}
	for e := range channel {
		err = errors.Join(err, e.Error)
	}
	if err == nil {
		t.Error("the catalog is transferred without the key")
	}
}
