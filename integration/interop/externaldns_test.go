//go:build linux

package interop

import (
	"encoding/gob"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// wanted is one record in the form of external-dns' source "connector" (gob goes by the fields' names).
type wanted struct {
	DNSName    string
	Targets    []string
	RecordType string
	RecordTTL  int64
}

// cluster is what external-dns should bring into the zone. In place of a Kubernetes cluster, it is served for its
// source "connector".
type cluster struct {
	mu  sync.Mutex
	all []wanted
}

func (c *cluster) set(all ...wanted) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = all
}

// serve sends the records to every connection.
func (c *cluster) serve(t *testing.T, h *lab.Host, address string) {
	t.Helper()
	l := h.Listen(t, address)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.mu.Lock()
			gob.NewEncoder(conn).Encode(c.all)
			c.mu.Unlock()
			conn.Close()
		}
	}()
}

// TestExternalDNS: external-dns, with its registry of TXT records, lists the zone by AXFR and changes it by updates,
// both signed. The zone gets what external-dns wants, and loses what it no longer wants. With nothing to do, it does
// nothing.
func TestExternalDNS(t *testing.T) {
	lab.NeedRoot(t)
	bin := buildClients(t, "externaldns", "sigs.k8s.io/external-dns", func(dir string) {
		if err := os.Remove(filepath.Join(dir, "controller", "execute.go")); err != nil {
			// knows all sources and providers
			t.Fatal(err)
		}
		sources, err := filepath.Glob(filepath.Join(dir, "source", "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range sources {
			if b := filepath.Base(file); b == "source.go" || b == "connector.go" {
				continue
			}
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
	}, ".")
	x := lab.NewTree(t, "", "")
	c := &cluster{}
	c.serve(t, x.Judge, lab.TreeJudge+":7000")
	before := lab.Must(t, x.Etcd.Host, lab.Binary, "export", "--etcd", x.Etcd.Client, "example.test")

	run := func(t *testing.T) string {
		t.Helper()
		begin := time.Now()
		o := lab.Command(t, x.Judge, "", filepath.Join(bin, "externaldns"),
			"--source=connector", "--connector-source-server="+lab.TreeJudge+":7000",
			"--provider=rfc2136", "--rfc2136-host="+lab.TreeServers[0].A, "--rfc2136-port=53",
			"--rfc2136-zone=example.test",
			"--rfc2136-tsig-keyname=external-dns", "--rfc2136-tsig-secret="+lab.UpdateSecret,
			"--rfc2136-tsig-secret-alg=hmac-sha256", "--rfc2136-axfr",
			"--registry=txt", "--txt-owner-id=test", "--txt-prefix=owner-", "--domain-filter=example.test",
			"--managed-record-types=A", "--managed-record-types=AAAA", "--managed-record-types=CNAME",
			"--managed-record-types=TXT",
			"--policy=sync", "--once")
		if o.Code != 0 {
			t.Fatalf("external-dns: %v", o)
		}
		t.Logf("external-dns: %v", time.Since(begin).Round(time.Millisecond))
		return o.Stderr
	}
	// everywhere: whatever was sent to one server, all of them answer.
	everywhere := func(t *testing.T, name string, qtype uint16, want ...string) {
		t.Helper()
		for _, s := range x.Servers {
			lab.Until(t, 20*time.Second, s.Name+" answers "+name, func() error {
				m, err := lab.Ask(x.Judge, s.DNS, lab.Question{Name: name, Qtype: qtype})
				if err != nil {
					return err
				}
				if got := lab.VerdictOf(m); !slices.Equal(got, want) {
					return fmt.Errorf("%v, want %v", got, want)
				}
				return nil
			})
		}
	}
	serial := func(t *testing.T) uint32 {
		t.Helper()
		m, err := lab.Ask(x.Judge, x.Servers[0].DNS, lab.Question{Name: "example.test", Qtype: dns.TypeSOA})
		if err != nil || len(m.Answer) != 1 {
			t.Fatalf("%v, %v", m, err)
		}
		return m.Answer[0].(*dns.SOA).Serial
	}

	c.set(
		wanted{"web.example.test", []string{"192.0.2.101", "192.0.2.102"}, "A", 120},
		wanted{"web.example.test", []string{"2001:db8:1::101"}, "AAAA", 120},
		wanted{"shop.example.test", []string{"web.example.test"}, "CNAME", 300},
		wanted{"note.example.test", []string{"made-by-external-dns"}, "TXT", 300},
		// this name has a policy, which external-dns must not change
		wanted{"www.example.test", []string{"192.0.2.103"}, "A", 300},
	)
	run(t)
	everywhere(t, "web.example.test", dns.TypeA, "192.0.2.101", "192.0.2.102")
	everywhere(t, "web.example.test", dns.TypeAAAA, "2001:db8:1::101")
	everywhere(t, "shop.example.test", dns.TypeCNAME, "web.example.test.")
	everywhere(t, "note.example.test", dns.TypeTXT, `"made-by-external-dns"`)
	everywhere(t, "owner-a-web.example.test", dns.TypeTXT, `"heritage=external-dns,external-dns/owner=test"`)

	first := serial(t)
	if said := run(t); !strings.Contains(said, "All records are already up to date") {
		t.Errorf("the second run says %s", said)
	}
	if now := serial(t); now != first {
		t.Errorf("the second run has changed something: serial %d, before %d", now, first)
	}

	c.set(
		wanted{"web.example.test", []string{"192.0.2.102", "192.0.2.104"}, "A", 60},
		wanted{"shop.example.test", []string{"alias.example.test"}, "CNAME", 300},
	)
	run(t)
	everywhere(t, "web.example.test", dns.TypeA, "192.0.2.102", "192.0.2.104")
	everywhere(t, "web.example.test", dns.TypeAAAA, "NODATA")
	everywhere(t, "shop.example.test", dns.TypeCNAME, "alias.example.test.")
	everywhere(t, "note.example.test", dns.TypeTXT, "NXDOMAIN")

	// It sends 50 changes in one update, of three names each.
	for _, n := range []int{20, 60, 300, 0} {
		var all []wanted
		for i := range n {
			all = append(all, wanted{fmt.Sprintf("n%d.example.test", i), []string{"192.0.2.105"}, "A", 60})
		}
		c.set(all...)
		run(t)
		zone := lab.Must(t, x.Etcd.Host, lab.Binary, "export", "--etcd", x.Etcd.Client, "example.test")
		if got := strings.Count(zone, "192.0.2.105"); got != n {
			t.Errorf("%d of %d names are there", got, n)
		}
		if n == 0 && strings.Contains(zone, "heritage=external-dns") {
			t.Errorf("orphans are left:\n%s", zone)
		}
	}
	everywhere(t, "web.example.test", dns.TypeA, "NXDOMAIN")
	everywhere(t, "shop.example.test", dns.TypeCNAME, "NXDOMAIN")
	if after := lab.Must(t, x.Etcd.Host, lab.Binary, "export", "--etcd", x.Etcd.Client,
		"example.test"); withoutSOA(after) != withoutSOA(before) {
		t.Errorf("the zone is not what it was:\n%s\nbefore:\n%s", after, before)
	}
}

// withoutSOA is a master file but for its SOA, whose serial moves.
func withoutSOA(zone string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(zone, "\n"),
		func(l string) bool { return strings.Contains(l, "\tSOA\t") || strings.Contains(l, " SOA ") }), "\n")
}
