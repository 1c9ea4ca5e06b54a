//go:build linux

package integration

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
)

// TestKea: Kea's DDNS server, asked as Kea's DHCP servers ask it, keeps the names of leases in Leeward (RFC 4703): a
// lease that comes, is renewed with another address, and goes; a name that another client, or nobody's lease, has
// stays.
func TestKea(t *testing.T) {
	need(t, "kea-dhcp-ddns")
	u := startUpdated(t, 1)
	const reverse = "2.0.192.in-addr.arpa"
	leewardOK(t, fmt.Sprintf(`
kind: Zone
name: %s
nameservers: [ns1.example.test]
update: [{key: admin, names: ["**"], types: [PTR, DHCID]}]
`, reverse), "apply", "--etcd", u.etcd.client, "-f", "-")
	server := u.servers[0].dns
	until(t, time.Minute, "the reverse zone is served", func() error {
		_, err := soaOf(server, reverse)
		return err
	})

	dir := t.TempDir()
	port := loopbackPort(t)
	_, dnsPort, _ := net.SplitHostPort(server)
	domain := func(name string) string {
		return fmt.Sprintf(`{"ddns-domains": [{"name": "%s.", "key-name": "admin",
			"dns-servers": [{"ip-address": "127.0.0.1", "port": %s}]}]}`, name, dnsPort)
	}
	conf := filepath.Join(dir, "kea.conf")
	write(t, conf, fmt.Sprintf(`{"DhcpDdns": {
	"ip-address": "127.0.0.1", "port": %d, "dns-server-timeout": 20000,
	"tsig-keys": [{"name": "admin", "algorithm": "HMAC-SHA256", "secret": %q}],
	"forward-ddns": %s, "reverse-ddns": %s,
	"loggers": [{"name": "*", "severity": "INFO", "output_options": [{"output": "stdout", "flush": true}]}]
}}`, port, updateSecret, domain("example.test"), domain(reverse)))
	kea := startWith(t, nil, "kea", append(os.Environ(), "KEA_PIDFILE_DIR="+dir, "KEA_LOCKFILE_DIR="+dir),
		"kea-dhcp-ddns", "-c", conf)
	until(t, time.Minute, "Kea listens", func() error {
		if !strings.Contains(kea.out.String(), "DHCP_DDNS_STARTED") {
			return fmt.Errorf("%s", kea.out.tail(5))
		}
		return nil
	})
	c, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	// lease tells Kea of one, and waits until it says how that ended.
	const added, removed = 0, 1
	lease := func(what string, kind int, name, address string, client byte, outcome string) {
		t.Helper()
		before := strings.Count(kea.out.String(), outcome)
		id := "000001" + strings.Repeat(fmt.Sprintf("%02x", client), 32) // RFC 4701: identifier type, digest type, digest
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
		until(t, time.Minute, what+": Kea says "+outcome, func() error {
			if strings.Count(kea.out.String(), outcome) == before {
				return fmt.Errorf("%s", kea.out.tail(5))
			}
			return nil
		})
	}
	has := func(what, name string, qtype uint16, want string) {
		t.Helper()
		r, err := ask(nil, server, question{name: name, qtype: qtype})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(rdata(r), " "); got != want {
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
	for _, q := range []question{
		{name: "laptop.example.test", qtype: dns.TypeA},
		{name: "laptop.example.test", qtype: dns.TypeDHCID},
		{name: "21." + reverse, qtype: dns.TypePTR},
	} {
		if r, err := ask(nil, server, q); err != nil || r.Rcode != dns.RcodeNameError {
			t.Errorf("after the release: %v, %v", r, err)
		}
	}
}

// TestDHCPD: ISC dhcpd keeps the names of its leases in Leeward: a client that comes, renews, and goes; another client
// that says to have the same name gets an address and no name.
func TestDHCPD(t *testing.T) {
	need(t, "dhcpd", "busybox")
	y := newYard(t)
	here := y.host(t, "dhcpd", netip.MustParsePrefix("192.0.2.1/24"))
	clients := []*host{y.host(t, "first"), y.host(t, "second")}
	etcd := newMember(t, here, "one", "127.0.0.1", 2379, 2380, t.TempDir(), "one=http://127.0.0.1:2380")
	etcd.start(t)
	etcd.wait(t)
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
	if o := command(t, here, documents, binary, "apply", "--etcd", etcd.client, "-f", "-"); o.code != 0 {
		t.Fatal(o)
	}
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys")
	write(t, keys, fmt.Sprintf("key \"admin\" { algorithm hmac-sha256; secret %q; };\n", updateSecret))
	s := serverAt(here, "s", "127.0.0.1:53", "127.0.0.1:8053", "--listen", "127.0.0.1:53", "--etcd", etcd.client,
		"--tsig-key", keys)
	s.start(t)
	s.ready(t)
	conf, leases := filepath.Join(dir, "dhcpd.conf"), filepath.Join(dir, "leases")
	write(t, leases, "")
	write(t, conf, fmt.Sprintf(`
ddns-update-style standard; ddns-domainname "example.test"; ddns-rev-domainname "in-addr.arpa"; ddns-updates on;
ignore client-updates; authoritative; ping-check false; default-lease-time 600; max-lease-time 600;
key admin { algorithm hmac-sha256; secret %s; }
zone example.test. { primary 127.0.0.1; key admin; }
zone 2.0.192.in-addr.arpa. { primary 127.0.0.1; key admin; }
subnet 192.0.2.0 netmask 255.255.255.0 { range 192.0.2.100 192.0.2.110; }
`, updateSecret))
	dhcpd := start(t, here, "dhcpd", "dhcpd", "-4", "-f", "-d", "-cf", conf, "-lf", leases, "-pf", filepath.Join(dir, "pid"),
		"--no-pid", "cable")
	until(t, time.Minute, "dhcpd listens", func() error {
		if !strings.Contains(dhcpd.out.String(), "Server starting service") {
			return fmt.Errorf("%s", dhcpd.out.tail(5))
		}
		return nil
	})
	says := func(what, line string) {
		t.Helper()
		until(t, time.Minute, what, func() error {
			if !strings.Contains(dhcpd.out.String(), line) {
				return fmt.Errorf("%s", dhcpd.out.tail(8))
			}
			return nil
		})
	}
	script := filepath.Join(dir, "script") // sets the address, which renewing and releasing need
	write(t, script, "#!/bin/sh\n[ \"$1\" = bound ] && ip addr replace \"$ip/24\" dev \"$interface\"\nexit 0\n")
	if err := os.Chmod(script, 0o755); err != nil {
		t.Fatal(err)
	}
	lease := func(h *host) *process {
		return start(t, h, "udhcpc of "+h.name, "busybox", "udhcpc", "-f", "-i", "cable", "-R", "-s", script,
			"-x", "hostname:laptop", "-t", "50", "-T", "1", "-A", "1")
	}
	has := func(what, name string, qtype uint16, want string) {
		t.Helper()
		until(t, time.Minute, what, func() error {
			r, err := ask(here, s.dns, question{name: name, qtype: qtype})
			if err != nil {
				return err
			}
			if got := strings.Join(rdata(r), " "); got != want {
				return fmt.Errorf("%s %s is %q, want %q", name, dns.TypeToString[qtype], got, want)
			}
			return nil
		})
	}
	first := lease(clients[0])
	says("the name of a lease", "Added new forward map from laptop.example.test to 192.0.2.")
	r, err := ask(here, s.dns, question{name: "laptop.example.test", qtype: dns.TypeA})
	if err != nil || len(r.Answer) != 1 {
		t.Fatalf("%v, %v", r, err)
	}
	address := strings.Join(rdata(r), " ")
	reverse := address[strings.LastIndex(address, ".")+1:] + ".2.0.192.in-addr.arpa"
	has("the address's name", reverse, dns.TypePTR, "laptop.example.test.")
	first.signal(t, syscall.SIGUSR1) // renew
	until(t, time.Minute, "it is renewed", func() error {
		if strings.Count(dhcpd.out.String(), "DHCPACK on "+address) < 2 {
			return fmt.Errorf("%s", dhcpd.out.tail(5))
		}
		return nil
	})
	has("renewed", "laptop.example.test", dns.TypeA, address)
	lease(clients[1])
	says("another client of that name", "Forward map from laptop.example.test to 192.0.2.")
	has("the first one's", "laptop.example.test", dns.TypeA, address)
	first.signal(t, syscall.SIGTERM) // and release
	says("the release", "Removed forward map from laptop.example.test to "+address)
	has("released", "laptop.example.test", dns.TypeA, "")
	has("released", reverse, dns.TypePTR, "")
}
