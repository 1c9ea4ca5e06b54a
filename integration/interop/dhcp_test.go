//go:build linux

package interop

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// TestKea: Kea's DDNS server, asked as Kea's DHCP servers ask it, keeps the names of leases in Leeward (RFC 4703). A
// lease comes, is renewed with another address, and goes. A name of another client, or of no lease, stays.
func TestKea(t *testing.T) {
	lab.Need(t, "kea-dhcp-ddns")
	u := startUpdated(t, 1)
	const reverse = "2.0.192.in-addr.arpa"
	lab.LeewardOK(t, fmt.Sprintf(`
kind: Zone
name: %s
nameservers: [ns1.example.test]
update: [{key: admin, names: ["**"], types: [PTR, DHCID]}]
`, reverse), "apply", "--etcd", u.etcd.Client, "-f", "-")
	server := u.servers[0].DNS
	lab.Until(t, time.Minute, "the reverse zone is served", func() error {
		_, err := soaOf(server, reverse)
		return err
	})

	dir := t.TempDir()
	port := lab.LoopbackPort(t)
	_, dnsPort, _ := net.SplitHostPort(server)
	domain := func(name string) string {
		return fmt.Sprintf(`{"ddns-domains": [{"name": "%s.", "key-name": "admin",
			"dns-servers": [{"ip-address": "127.0.0.1", "port": %s}]}]}`, name, dnsPort)
	}
	conf := filepath.Join(dir, "kea.conf")
	lab.Write(t, conf, fmt.Sprintf(`{"DhcpDdns": {
	"ip-address": "127.0.0.1", "port": %d, "dns-server-timeout": 20000,
	"tsig-keys": [{"name": "admin", "algorithm": "HMAC-SHA256", "secret": %q}],
	"forward-ddns": %s, "reverse-ddns": %s,
	"loggers": [{"name": "*", "severity": "INFO", "output_options": [{"output": "stdout", "flush": true}]}]
}}`, port, lab.UpdateSecret, domain("example.test"), domain(reverse)))
	kea := lab.StartWith(t, nil, "kea", append(os.Environ(), "KEA_PIDFILE_DIR="+dir, "KEA_LOCKFILE_DIR="+dir),
		"kea-dhcp-ddns", "-c", conf)
	lab.Until(t, time.Minute, "Kea listens", func() error {
		if !strings.Contains(kea.Out.String(), "DHCP_DDNS_STARTED") {
			return fmt.Errorf("%s", kea.Out.Tail(5))
		}
		return nil
	})
	c, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	// lease tells Kea about a lease, and waits until Kea says how that ended.
	const added, removed = 0, 1
	lease := func(what string, kind int, name, address string, client byte, outcome string) {
		t.Helper()
		before := strings.Count(kea.Out.String(), outcome)
		// RFC 4701: identifier type, digest type, digest
		id := "000001" + strings.Repeat(fmt.Sprintf("%02x", client), 32)
		text, err := json.Marshal(map[string]any{
			"change-type": kind, "forward-change": true, "reverse-change": true, "fqdn": name + ".example.test.",
			"ip-address": address, "dhcid": id, "lease-expires-on": "20400101000000", "lease-length": 1800,
			"use-conflict-resolution": true,
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(append([]byte{byte(len(text) >> 8), byte(len(text))}, text...)); err != nil {
			t.Fatal(err)
		}
		lab.Until(t, time.Minute, what+": Kea says "+outcome, func() error {
			if strings.Count(kea.Out.String(), outcome) == before {
				return fmt.Errorf("%s", kea.Out.Tail(5))
			}
			return nil
		})
	}
	has := func(what, name string, qtype uint16, want string) {
		t.Helper()
		r, err := lab.Ask(nil, server, lab.Question{Name: name, Qtype: qtype})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(lab.RDATA(r), " "); got != want {
			t.Errorf("%s: %s %s is %q, want %q", what, name, dns.TypeToString[qtype], got, want)
		}
	}
	lease("a lease", added, "laptop", "192.0.2.20", 1, "DHCP_DDNS_ADD_SUCCEEDED")
	has("a lease", "laptop.example.test", dns.TypeA, "192.0.2.20")
	has("a lease", "20."+reverse, dns.TypePTR, "laptop.example.test.")
	lease("renewed", added, "laptop", "192.0.2.20", 1, "DHCP_DDNS_ADD_SUCCEEDED")
	has("renewed", "laptop.example.test", dns.TypeA, "192.0.2.20")
	lease("another address", added, "laptop", "192.0.2.21", 1, "DHCP_DDNS_ADD_SUCCEEDED")
	has("another address", "laptop.example.test", dns.TypeA, "192.0.2.21")
	lease("another client", added, "laptop", "192.0.2.22", 2, "DHCP_DDNS_ADD_FAILED")
	has("another client", "laptop.example.test", dns.TypeA, "192.0.2.21")
	lease("a name that is no lease's", added, "www", "192.0.2.23", 1, "DHCP_DDNS_ADD_FAILED")
	has("a name that is no lease's", "www.example.test", dns.TypeA, "192.0.2.10")
	lease("another client's release", removed, "laptop", "192.0.2.21", 2, "DHCP_DDNS_REMOVE_FAILED")
	has("another client's release", "laptop.example.test", dns.TypeA, "192.0.2.21")
	lease("the release", removed, "laptop", "192.0.2.21", 1, "DHCP_DDNS_REMOVE_SUCCEEDED")
	for _, q := range []lab.Question{
		{Name: "laptop.example.test", Qtype: dns.TypeA},
		{Name: "laptop.example.test", Qtype: dns.TypeDHCID},
		{Name: "21." + reverse, Qtype: dns.TypePTR},
	} {
		if r, err := lab.Ask(nil, server, q); err != nil || r.Rcode != dns.RcodeNameError {
			t.Errorf("after the release: %v, %v", r, err)
		}
	}
}

// TestDHCPD: ISC dhcpd keeps the names of its leases in Leeward. A client comes, renews, and goes. Another client that
// claims the same name gets an address and no name.
func TestDHCPD(t *testing.T) {
	lab.Need(t, "dhcpd", "busybox")
	y := lab.NewYard(t)
	here := y.Host(t, "dhcpd", netip.MustParsePrefix("192.0.2.1/24"))
	clients := []*lab.Host{y.Host(t, "first"), y.Host(t, "second")}
	etcd := lab.NewMember(t, here, "one", "127.0.0.1", 2379, 2380, t.TempDir(), "one=http://127.0.0.1:2380")
	etcd.Start(t)
	etcd.Wait(t)
	const documents = `
kind: Zone
name: example.test
nameservers: [ns1.example.test]
update: [{key: admin, names: ["**"], types: [A, DHCID, TXT]}]
---
kind: Zone
name: 2.0.192.in-addr.arpa
nameservers: [ns1.example.test]
update: [{key: admin, names: ["**"], types: [PTR, DHCID]}]
---
{kind: Record, name: example.test/ns1/A, data: [192.0.2.1]}
`
	if o := lab.Command(t, here, documents, lab.Binary, "apply", "--etcd", etcd.Client, "-f", "-"); o.Code != 0 {
		t.Fatal(o)
	}
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys")
	lab.Write(t, keys, fmt.Sprintf("key \"admin\" { algorithm hmac-sha256; secret %q; };\n", lab.UpdateSecret))
	s := lab.ServerAt(here, "s", "127.0.0.1:53", "127.0.0.1:8053", "--listen", "127.0.0.1:53", "--etcd", etcd.Client,
		"--tsig-key", keys)
	s.Start(t)
	s.Ready(t)
	conf, leases := filepath.Join(dir, "dhcpd.conf"), filepath.Join(dir, "leases")
	lab.Write(t, leases, "")
	lab.Write(t, conf, fmt.Sprintf(`
ddns-update-style standard; ddns-domainname "example.test"; ddns-rev-domainname "in-addr.arpa"; ddns-updates on;
ignore client-updates; authoritative; ping-check false; default-lease-time 600; max-lease-time 600;
key admin { algorithm hmac-sha256; secret %s; }
zone example.test. { primary 127.0.0.1; key admin; }
zone 2.0.192.in-addr.arpa. { primary 127.0.0.1; key admin; }
subnet 192.0.2.0 netmask 255.255.255.0 { range 192.0.2.100 192.0.2.110; }
`, lab.UpdateSecret))
	dhcpd := lab.Start(t, here, "dhcpd", "dhcpd", "-4", "-f", "-d", "-cf", conf, "-lf", leases, "-pf",
		filepath.Join(dir, "pid"),
		"--no-pid", "cable")
	lab.Until(t, time.Minute, "dhcpd listens", func() error {
		if !strings.Contains(dhcpd.Out.String(), "Server starting service") {
			return fmt.Errorf("%s", dhcpd.Out.Tail(5))
		}
		return nil
	})
	says := func(what, line string) {
		t.Helper()
		lab.Until(t, time.Minute, what, func() error {
			if !strings.Contains(dhcpd.Out.String(), line) {
				return fmt.Errorf("%s", dhcpd.Out.Tail(8))
			}
			return nil
		})
	}
	script := filepath.Join(dir, "script") // sets the address, which renewing and releasing need
	lab.Write(t, script, "#!/bin/sh\n[ \"$1\" = bound ] && ip addr replace \"$ip/24\" dev \"$interface\"\nexit 0\n")
	if err := os.Chmod(script, 0o755); err != nil {
		t.Fatal(err)
	}
	lease := func(h *lab.Host) *lab.Process {
		return lab.Start(t, h, "udhcpc of "+h.Name, "busybox", "udhcpc", "-f", "-i", "cable", "-R", "-s", script,
			"-x", "hostname:laptop", "-t", "50", "-T", "1", "-A", "1")
	}
	has := func(what, name string, qtype uint16, want string) {
		t.Helper()
		lab.Until(t, time.Minute, what, func() error {
			r, err := lab.Ask(here, s.DNS, lab.Question{Name: name, Qtype: qtype})
			if err != nil {
				return err
			}
			if got := strings.Join(lab.RDATA(r), " "); got != want {
				return fmt.Errorf("%s %s is %q, want %q", name, dns.TypeToString[qtype], got, want)
			}
			return nil
		})
	}
	first := lease(clients[0])
	says("the name of a lease", "Added new forward map from laptop.example.test to 192.0.2.")
	r, err := lab.Ask(here, s.DNS, lab.Question{Name: "laptop.example.test", Qtype: dns.TypeA})
	if err != nil || len(r.Answer) != 1 {
		t.Fatalf("%v, %v", r, err)
	}
	address := strings.Join(lab.RDATA(r), " ")
	reverse := address[strings.LastIndex(address, ".")+1:] + ".2.0.192.in-addr.arpa"
	has("the address's name", reverse, dns.TypePTR, "laptop.example.test.")
	var asked time.Time
	lab.Until(t, time.Minute, "it is renewed", func() error {
		if time.Since(asked) > time.Second { // udhcpc forgets a signal that comes before it has set its address
			first.Signal(t, syscall.SIGUSR1)
			asked = time.Now()
		}
		if strings.Count(dhcpd.Out.String(), "DHCPACK on "+address) < 2 {
			return fmt.Errorf("%s", dhcpd.Out.Tail(5))
		}
		return nil
	})
	has("renewed", "laptop.example.test", dns.TypeA, address)
	lease(clients[1])
	says("another client of that name", "Forward map from laptop.example.test to 192.0.2.")
	has("the first one's", "laptop.example.test", dns.TypeA, address)
	first.Signal(t, syscall.SIGTERM) // and release
	says("the release", "Removed forward map from laptop.example.test to "+address)
	has("released", "laptop.example.test", dns.TypeA, "")
	has("released", reverse, dns.TypePTR, "")
}
