//go:build linux

package interop

import (
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

// TestCatalogZones: Leeward takes its list of zones from the catalog zones of BIND and of Knot, which makes its own.
// Members come, and go with a change there. They are still there after a restart without the primaries.
func TestCatalogZones(t *testing.T) {
	lab.Need(t, "named", "knotd", "nsupdate")
	dir := t.TempDir()
	keys := filepath.Join(dir, "xfer.key")
	lab.Write(t, keys, tsigKey)
	at := []string{fmt.Sprintf("127.0.0.1:%d", lab.LoopbackPort(t)), fmt.Sprintf("127.0.0.1:%d", lab.LoopbackPort(t))}
	port := func(i int) string { _, p, _ := net.SplitHostPort(at[i]); return p }
	files, state := t.TempDir(), filepath.Join(dir, "state")
	text := eu + "---\n{kind: Policy, name: www.b0.test, rules: [{failover: [eu]}]}\n"
	for i, name := range []string{"bind", "knot"} {
		text += fmt.Sprintf("---\nkind: Zone\nname: catalog.%s\ntransfer: {primaries: [\"%s key xfer\"], catalog: "+
			"true}\n",
			name, at[i])
	}
	lab.Write(t, filepath.Join(files, "all.yaml"), text)
	s := lab.NewServer(t, "consumer", "--files", files, "--state", state, "--tsig-key", keys)
	_, told, _ := net.SplitHostPort(s.DNS)

	bind, knot := filepath.Join(dir, "bind"), filepath.Join(dir, "knot")
	for _, d := range []string{bind, knot} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	list, bindZones, knotZones := "version TXT \"2\"\n", "", ""
	for i := range 4 {
		b, k := fmt.Sprintf("b%d.test", i), fmt.Sprintf("k%d.test", i)
		lab.Write(t, filepath.Join(bind, b+".zone"), master(b, 1, 1, ""))
		lab.Write(t, filepath.Join(knot, k+".zone"), master(k, 1, 1, ""))
		list += fmt.Sprintf("label%d.zones PTR %s.\n", i, b)
		bindZones += fmt.Sprintf("zone %q { type primary; file \"%[1]s.zone\"; allow-transfer { key xfer; }; };\n", b)
		knotZones += fmt.Sprintf("  - domain: %s\n    storage: %q\n    file: %[1]s.zone\n    acl: all\n    "+
			"catalog-role: member\n    catalog-zone: catalog.knot\n", k, knot)
	}
	lab.Write(t, filepath.Join(bind, "catalog.zone"),
		"$ORIGIN catalog.bind.\n$TTL 60\n@ SOA . . 1 3600 5 86400 60\n@ NS invalid.\n"+list)
	lab.Write(t, filepath.Join(dir, "named.conf"), tsigKey+fmt.Sprintf(bindPeer+`zone "catalog.bind" {
	type primary; file "catalog.zone"; allow-transfer { key xfer; }; allow-update { key xfer; };
	notify explicit; also-notify { 127.0.0.1 port %[3]s key xfer; };
};
%[4]s`, bind, port(0), told, bindZones))
	lab.Write(t, filepath.Join(dir, "knot.conf"), fmt.Sprintf(knotPeer+`acl:
  - id: all
    address: 127.0.0.1
    key: xfer
    action: transfer
database:
  storage: %[1]q
zone:
  - domain: catalog.knot
    storage: %[1]q
    acl: all
    catalog-role: generate
%[4]s`, knot, port(1), tsigSecret, knotZones))
	primaries := []*lab.Process{
		lab.Start(t, nil, "named", "named", "-g", "-n", "1", "-c", filepath.Join(dir, "named.conf")),
		lab.Start(t, nil, "knotd", "knotd", "-c", filepath.Join(dir, "knot.conf")),
	}
	s.Start(t)
	s.Ready(t)
	has := func(name string, qtype uint16, rcode int, want string) error {
		r, err := lab.Ask(nil, s.DNS, lab.Question{Name: name, Qtype: qtype})
		if err != nil {
			return err
		}
		if got := strings.Join(lab.RDATA(r), " "); r.Rcode != rcode || got != want {
			return fmt.Errorf("%s: %s %q, want %s %q", name, dns.RcodeToString[r.Rcode], got, dns.RcodeToString[rcode],
				want)
		}
		return nil
	}
	all := func(step string, bindZones int) {
		t.Helper()
		lab.Until(t, 60*time.Second, step, func() error {
			for i := range 4 {
				rcode, want := dns.RcodeSuccess, `"theirs"`
				if i >= bindZones {
					rcode, want = dns.RcodeRefused, ""
				}
				if err := has(fmt.Sprintf("www.b%d.test", i), dns.TypeTXT, rcode, want); err != nil {
					return err
				}
				if err := has(fmt.Sprintf("www.k%d.test", i), dns.TypeTXT, 0, `"theirs"`); err != nil {
					return err
				}
			}
			return has("www.b0.test", dns.TypeA, 0, "198.51.100.10")
		})
	}
	all("the members of both are here, and policies laid over them", 4)
	for _, name := range []string{"catalog.bind", "catalog.knot", "version.catalog.bind"} {
		if err := has(name, dns.TypeTXT, dns.RcodeRefused, ""); err != nil {
			t.Error(err)
		}
	}
	update := func(commands string) {
		t.Helper()
		text := fmt.Sprintf("server 127.0.0.1 %s\nzone catalog.bind\n%s\nsend\n", port(0), commands)
		if o := lab.Command(t, nil, text, "nsupdate", "-k", keys); o.Code != 0 {
			t.Fatal(o)
		}
	}
	update("update delete label3.zones.catalog.bind PTR")
	all("one has left", 3)
	update("update add label3.zones.catalog.bind 60 PTR b3.test.")
	all("and is back", 4)
	for i := range 3 {
		update(fmt.Sprintf("update delete label%d.zones.catalog.bind PTR", i))
	}
	lab.Until(t, 30*time.Second, "what the catalog loses at once is held back", func() error {
		out := lab.LeewardOK(t, "", "status", "--admin", "http://"+s.Admin)
		if !strings.Contains(out, "zones/b2.test") && !strings.Contains(out, "Zone b2.test") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	if err := has("www.b2.test", dns.TypeTXT, 0, `"theirs"`); err != nil {
		t.Error(err)
	}
	update("update add label0.zones.catalog.bind 60 PTR b0.test.\nupdate add label1.zones.catalog.bind 60 PTR " +
		"b1.test.\n" +
		"update add label2.zones.catalog.bind 60 PTR b2.test.")
	all("the catalog is whole again", 4)
	for _, p := range primaries {
		p.Kill()
	}
	s.Process.Terminate(t)
	s.Start(t)
	s.Ready(t)
	all("a restart without the primaries", 4)
}
