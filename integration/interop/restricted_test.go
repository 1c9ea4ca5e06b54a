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

// TestRestricted: primaries transfer their zones to Leeward's address only, and secondaries accept NOTIFY from it only,
// as is their default: BIND and PowerDNS, as both. Leeward listens on an address that the kernel would not choose, and
// sends from it. The zones' REFRESH is an hour, so that a change arrives by NOTIFY or not at all.
func TestRestricted(t *testing.T) {
	lab.Need(t, "named", "pdns_server")
	const here = "127.0.2.1"
	dir := t.TempDir()
	makes := []string{"bind", "pdns"}
	primaries := adoptees(t, dir, here, makes, func(i int) []string { return []string{makes[i] + ".test"} })
	port := lab.LoopbackPort(t)
	s := lab.ServerAt(nil, "restricted", fmt.Sprintf("%s:%d", here, port),
		fmt.Sprintf("127.0.0.1:%d", lab.LoopbackPort(t)))

	bind := fmt.Sprintf("127.0.0.1:%d", lab.LoopbackPort(t))
	pdns := fmt.Sprintf("127.0.0.1:%d", lab.LoopbackPort(t))
	_, bindPort, _ := net.SplitHostPort(bind)
	_, pdnsPort, _ := net.SplitHostPort(pdns)
	behind := filepath.Join(dir, "behind")
	if err := os.Mkdir(behind, 0o755); err != nil {
		t.Fatal(err)
	}
	conf, list := fmt.Sprintf(bindPeer, behind, bindPort), ""
	var documents strings.Builder
	for i, p := range primaries {
		zone := makes[i] + ".test"
		lab.Write(t, p.file(zone), master(zone, 1, 10, ""))
		p.start()
		p.has(t, zone, 1)
		conf += fmt.Sprintf("zone %q { type secondary; primaries { %s port %d; }; file \"%[1]s.db\"; notify no; };\n",
			zone, here, port)
		list += fmt.Sprintf("zone %q { type slave; file \"%s/%[1]s.pdns\"; masters { %[3]s:%[4]d; }; };\n",
			zone, behind, here, port)
		fmt.Fprintf(&documents, "---\nkind: Zone\nname: %s\n"+
			"transfer: {primaries: [%q], allow: [127.0.0.0/8], notify: [%q, %q]}\n", zone, p.at, bind, pdns)
	}
	s.Argv = append(s.Argv, "--listen", s.DNS, "--files",
		lab.Folder(t, map[string]string{"all.yaml": documents.String()}))
	s.Start(t)
	s.Ready(t)
	lab.Write(t, filepath.Join(behind, "named.conf"), conf)
	lab.Write(t, filepath.Join(behind, "zones.conf"), list)
	lab.Write(t, filepath.Join(behind, "pdns.conf"), fmt.Sprintf(`launch=bind
bind-config=%[1]s/zones.conf
local-address=127.0.0.1
local-port=%[2]s
socket-dir=%[1]s
cache-ttl=0
query-cache-ttl=0
negquery-cache-ttl=0
zone-cache-refresh-interval=0
slave=yes
xfr-cycle-interval=1
daemon=no
guardian=no
`, behind, pdnsPort))
	lab.Start(t, nil, "bind behind", "named", "-g", "-n", "1", "-c", filepath.Join(behind, "named.conf"))
	lab.Start(t, nil, "pdns behind", "pdns_server", "--config-dir="+behind)

	same := func(zone string) {
		t.Helper()
		for _, server := range []string{bind, pdns} {
			lab.Until(t, 2*time.Minute, zone+" is the same at "+server, func() error {
				want, err := soaOf(s.DNS, zone)
				if err != nil {
					return err
				}
				got, err := soaOf(server, zone)
				if err == nil && got.Serial != want.Serial {
					err = fmt.Errorf("it has serial %d, and Leeward %d", got.Serial, want.Serial)
				}
				return err
			})
		}
	}
	for i, p := range primaries {
		zone := makes[i] + ".test"
		stands(t, s, zone, 1)
		same(zone)
		p.load(t, zone, &alteration{names: 20}, 2)
		if r, err := dns.Exchange(new(dns.Msg).SetNotify(zone+"."), s.DNS); err != nil || r.Rcode != dns.RcodeSuccess {
			t.Fatalf("NOTIFY: %v, %v", r, err)
		}
		stands(t, s, zone, 2)
		same(zone)
	}
}
