//go:build linux

package integration

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
)

// TestCatalogIsTaken: BIND and Knot configure themselves by a catalog zone that Leeward makes of its zones: they have
// those that were there, one that is added, not one that is removed, and have it when it is back. The catalog's serial
// moves each time, and nobody is told by hand. (NSD reads catalog zones from 4.9 on, which Debian does not have yet.)
func TestCatalogIsTaken(t *testing.T) {
	need(t, "named", "knotd")
	dir := t.TempDir()
	keys := filepath.Join(dir, "xfer.key")
	write(t, keys, tsigKey)
	at := []string{fmt.Sprintf("127.0.0.1:%d", loopbackPort(t)), fmt.Sprintf("127.0.0.1:%d", loopbackPort(t))}
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
	files := folder(t, map[string]string{
		"catalog.yaml": fmt.Sprintf("kind: Zone\nname: catalog.ours\nrefresh: 1h\n"+
			"%s, members: ['*', a.test group gold]}\n", handed),
		"a.yaml": zone("a.test"),
		"b.yaml": zone("b.test"),
		"c.yaml": zone("c.test"),
	})
	s := newServer(t, "producer", "--files", files, "--tsig-key", keys)
	s.start(t)
	s.ready(t)
	_, here, _ := net.SplitHostPort(s.dns)

	bind, knot := filepath.Join(dir, "bind"), filepath.Join(dir, "knot")
	for _, d := range []string{bind, knot} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	options := fmt.Sprintf(bindPeer, bind, ports[0])
	options = strings.Replace(options, "options {", fmt.Sprintf("options {\n\tcatalog-zones { zone \"catalog.ours\" "+
		"default-primaries { 127.0.0.1 port %s key xfer; } in-memory yes min-update-interval 1; };", here), 1)
	write(t, filepath.Join(bind, "named.conf"), tsigKey+options+fmt.Sprintf(
		"zone \"catalog.ours\" { type secondary; primaries { 127.0.0.1 port %s key xfer; }; "+
			"file \"catalog.db\"; notify no; };\n", here))
	write(t, filepath.Join(knot, "knot.conf"), fmt.Sprintf(knotPeer+`remote:
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
	start(t, nil, "bind", "named", "-g", "-n", "1", "-c", filepath.Join(bind, "named.conf"))
	start(t, nil, "knot", "knotd", "-c", filepath.Join(knot, "knot.conf"))

	serial := uint32(0)
	all := func(step, gone string) {
		t.Helper()
		until(t, 2*time.Minute, step, func() error {
			for _, server := range at {
				for _, origin := range []string{"a.test", "b.test", "c.test", "d.test"} {
					r, err := ask(nil, server, question{name: "www." + origin, qtype: dns.TypeTXT})
					if err != nil {
						return err
					}
					got, want := strings.Join(rdata(r), " "), fmt.Sprintf("%q", origin)
					if origin == gone {
						want = ""
					}
					if got != want || want == "" && r.Rcode != dns.RcodeRefused {
						return fmt.Errorf("%s at %s: %s %q, want %q", origin, server, dns.RcodeToString[r.Rcode], got, want)
					}
				}
			}
			return nil
		})
		soa, err := soaOf(s.dns, "catalog.ours")
		if err != nil {
			t.Fatal(err)
		}
		if soa.Serial <= serial {
			t.Errorf("%s: the catalog's serial is %d, after %d", step, soa.Serial, serial)
		}
		serial = soa.Serial
	}
	all("the zones that were there", "d.test")
	write(t, filepath.Join(files, "d.yaml"), zone("d.test"))
	all("one is added", "")
	if err := os.Remove(filepath.Join(files, "b.yaml")); err != nil {
		t.Fatal(err)
	}
	until(t, time.Minute, "it is held back, as whatever goes by itself with what is in it", func() error {
		if out := leewardOK(t, "", "status", "--admin", "http://"+s.admin); !strings.Contains(out, "b.test") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	write(t, filepath.Join(files, ".leeward-accept"), "")
	all("one is removed", "b.test")
	write(t, filepath.Join(files, "b.yaml"), zone("b.test"))
	all("and is back", "")

	for _, q := range []question{
		{name: "catalog.ours", qtype: dns.TypeNS},
		{name: "version.catalog.ours", qtype: dns.TypeTXT},
	} {
		if r, err := ask(nil, s.dns, q); err != nil || r.Rcode != dns.RcodeRefused {
			t.Errorf("%v: %v, %v, want REFUSED", q, r, err)
		}
	}
	channel, err := new(dns.Transfer).In(new(dns.Msg).SetAxfr("catalog.ours."), s.dns)
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
