//go:build linux

package interop

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// adopted is a primary of some make, whose zones Leeward adopts.
type adopted struct {
	name string
	home string   // its folder, with a master file a zone
	at   string   // address and port
	argv []string // to start it
	run  *lab.Process
	of   *testing.T // that it lives as long as
	mu   sync.Mutex // its zones are changed one by one

	// loaded makes it read what is new in a zone's file, and need not wait for that.
	loaded func(t *testing.T, zone string)
	past   []string // patterns in its folder, of what it must lose to forget the zones' past
}

// adoptees returns a primary of each of these makes, with some zones each, whose files must exist when it starts. Only
// that address may transfer them.
func adoptees(t *testing.T, dir, allow string, makes []string, zones func(i int) []string) []*adopted {
	t.Helper()
	var all []*adopted
	for i, name := range makes {
		p := &adopted{
			of: t, name: name, home: filepath.Join(dir, name),
			at: fmt.Sprintf("127.0.0.1:%d", lab.LoopbackPort(t)),
		}
		if err := os.Mkdir(p.home, 0o755); err != nil {
			t.Fatal(err)
		}
		conf := filepath.Join(p.home, name+".conf")
		_, port, _ := net.SplitHostPort(p.at)
		text := ""
		p.loaded = func(t *testing.T, _ string) { p.run.Signal(t, syscall.SIGHUP) }
		switch name {
		case "bind":
			text = fmt.Sprintf(bindPeer, p.home, port)
			for _, zone := range zones(i) {
				text += fmt.Sprintf("zone %q { type primary; file \"%[1]s.zone\"; ixfr-from-differences yes; "+
					"allow-transfer { %s; }; notify no; };\n", zone, allow)
			}
			p.argv, p.past = []string{"named", "-g", "-n", "1", "-c", conf}, []string{"*.jnl"}
		case "nsd":
			text = fmt.Sprintf(nsdPeer, port, p.home, tsigSecret)
			for _, zone := range zones(i) {
				text += fmt.Sprintf("zone:\n\tname: %q\n\tzonefile: \"%[1]s.zone\"\n\tprovide-xfr: %s NOKEY\n"+
					"\tstore-ixfr: yes\n\tcreate-ixfr: yes\n", zone, allow)
			}
			p.argv, p.past = []string{"nsd", "-d", "-c", conf}, []string{"*.ixfr*", "xfrd"}
		case "knot":
			text = fmt.Sprintf(knotPeer+"acl:\n  - id: all\n    address: %[4]s\n    action: transfer\n"+
				"database:\n  storage: %[1]q\nzone:\n", p.home, port, tsigSecret, allow)
			for _, zone := range zones(i) {
				text += fmt.Sprintf("  - domain: %s\n    storage: %q\n    file: %[1]s.zone\n    acl: all\n"+
					"    zonefile-load: difference\n    zonefile-sync: -1\n    semantic-checks: false\n", zone, p.home)
			}
			p.argv, p.past = []string{"knotd", "-c", conf}, []string{"journal", "timers"}
		default:
			conf = filepath.Join(p.home, "pdns.conf")
			text = fmt.Sprintf(`local-address=127.0.0.1
local-port=%s
allow-axfr-ips=%s
socket-dir=%s
cache-ttl=0
query-cache-ttl=0
negquery-cache-ttl=0
zone-cache-refresh-interval=0
dname-processing=yes
master=yes
daemon=no
guardian=no
`, port, allow, p.home)
			p.argv = []string{"pdns_server", "--config-dir=" + p.home}
			if name == "pdns" {
				text += fmt.Sprintf("launch=bind\nbind-config=%s/named.conf\n", p.home)
				list := ""
				for _, zone := range zones(i) {
					list += fmt.Sprintf("zone %q { type master; file \"%s/%[1]s.zone\"; };\n", zone, p.home)
				}
				lab.Write(t, filepath.Join(p.home, "named.conf"), list)
				p.loaded = func(t *testing.T, zone string) {
					lab.Must(t, nil, "pdns_control", "--socket-dir="+p.home, "bind-reload-now", zone)
				}
				break
			}
			base := filepath.Join(p.home, "zones.sqlite3")
			text += fmt.Sprintf("launch=gsqlite3\ngsqlite3-database=%s\n", base)
			schema, err := os.ReadFile("/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql")
			if err != nil {
				t.Fatal(err)
			}
			if o := lab.Command(t, nil, string(schema), "sqlite3", base); o.Code != 0 {
				t.Fatal(o)
			}
			p.loaded = func(t *testing.T, zone string) {
				lab.Must(t, nil, "pdnsutil", "--config-dir="+p.home, "load-zone", zone, p.file(zone))
			}
		}
		lab.Write(t, conf, text)
		all = append(all, p)
	}
	return all
}

func (p *adopted) file(zone string) string { return filepath.Join(p.home, zone+".zone") }

func (p *adopted) start() { p.run = lab.Start(p.of, nil, p.name, p.argv...) }

// has waits until the primary serves a serial of a zone.
func (p *adopted) has(t *testing.T, zone string, serial int) {
	t.Helper()
	lab.Until(t, 2*time.Minute, fmt.Sprintf("%s has serial %d of %s", p.name, serial, zone), func() error {
		soa, err := soaOf(p.at, zone)
		if err == nil && int(soa.Serial) != serial {
			err = fmt.Errorf("it has %d", soa.Serial)
		}
		return err
	})
}

// forget starts it again without its past, with the present files.
func (p *adopted) forget(t *testing.T) {
	t.Helper()
	p.run.Kill()
	for _, pattern := range p.past {
		found, err := filepath.Glob(filepath.Join(p.home, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	p.start()
}

// soaOf asks a server for a zone's SOA, for which it must have authority.
func soaOf(server, zone string) (*dns.SOA, error) {
	r, err := lab.Ask(nil, server, lab.Question{Name: zone, Qtype: dns.TypeSOA})
	if err != nil {
		return nil, err
	}
	if len(r.Answer) == 1 && r.Authoritative {
		if soa, ok := r.Answer[0].(*dns.SOA); ok {
			return soa, nil
		}
	}
	return nil, fmt.Errorf("%s at %s: %s", zone, server, strings.TrimSpace(r.String()))
}
