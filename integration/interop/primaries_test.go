//go:build linux

package interop

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// elsewhere is a zone on its own primary, with our own records on top.
func elsewhere(zone, primary, notify string) string {
	return fmt.Sprintf(`---
kind: Zone
name: %[1]s
transfer: {primaries: ["%[2]s key xfer"], allow: [127.0.0.1 key xfer], notify: [%[3]s]}
---
{kind: Policy, name: www.%[1]s, ttl: 20s, rules: [{failover: [eu]}]}
---
{kind: Record, name: %[1]s/ours/TXT, data: ['"ours"']}
`, zone, primary, notify)
}

const eu = `
{kind: Region, name: eu}
---
{kind: Pool, name: eu, region: eu}
---
{kind: Endpoint, name: eu/a, addresses: [198.51.100.10]}
`

// master is a primary's zone with that many names.
func master(zone string, serial, names int, more string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `$ORIGIN %s.
$TTL 300
@ SOA ns hostmaster %d 3600 5 86400 60
@ NS ns
ns A 127.0.0.1
www A 192.0.2.80
www TXT "theirs"
%s`, zone, serial, more)
	for i := range names {
		fmt.Fprintf(&b, "name-%d TXT \"%s\"\n", i, strings.Repeat("x", i%200))
	}
	return b.String()
}

// startPrimaries starts BIND, NSD and Knot as the primaries of bind.test, nsd.test and knot.test, which notify the
// server at that address of changes. It returns how to end them.
func startPrimaries(t *testing.T, dir, tell string, at []string, names int) (processes []*lab.Process) {
	t.Helper()
	port := func(i int) string { _, p, _ := net.SplitHostPort(at[i]); return p }
	_, told, _ := net.SplitHostPort(tell)
	for _, d := range []string{"bind", "nsd", "knot"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
		lab.Write(t, filepath.Join(dir, d, d+".test.zone"), master(d+".test", 1, names, ""))
	}
	home := filepath.Join(dir, "bind")
	lab.Write(t, filepath.Join(dir, "named.conf"), tsigKey+fmt.Sprintf(bindPeer+`zone "bind.test" {
	type primary; file "bind.test.zone"; allow-transfer { key xfer; }; allow-update { key xfer; };
	notify explicit; also-notify { 127.0.0.1 port %[3]s key xfer; };
};
`, home, port(0), told))
	home = filepath.Join(dir, "nsd")
	lab.Write(t, filepath.Join(dir, "nsd.conf"), fmt.Sprintf(nsdPeer+`zone:
	name: "nsd.test"
	zonefile: "nsd.test.zone"
	provide-xfr: 127.0.0.1 xfer
	notify: 127.0.0.1@%s xfer
`, port(1), home, tsigSecret, told))
	home = filepath.Join(dir, "knot")
	lab.Write(t, filepath.Join(dir, "knot.conf"), fmt.Sprintf(knotPeer+`remote:
  - id: leeward
    address: 127.0.0.1@%s
    key: xfer
acl:
  - id: all
    address: 127.0.0.1
    key: xfer
    action: [transfer, update]
database:
  storage: %[1]q
zone:
  - domain: knot.test
    storage: %[1]q
    file: knot.test.zone
    notify: leeward
    acl: all
`, home, port(2), tsigSecret, told))
	return []*lab.Process{
		lab.Start(t, nil, "named", "named", "-g", "-n", "1", "-c", filepath.Join(dir, "named.conf")),
		lab.Start(t, nil, "nsd", "nsd", "-d", "-c", filepath.Join(dir, "nsd.conf")),
		lab.Start(t, nil, "knotd", "knotd", "-c", filepath.Join(dir, "knot.conf")),
	}
}

// received returns how many incoming transfers of a type have had this result.
func received(t *testing.T, s *lab.Server, kind, result string) int {
	t.Helper()
	return int(s.Metric(t, "leeward_transfer_received_total", fmt.Sprintf("result=%q,type=%q", result, kind)))
}

// TestPrimaries: Leeward is a secondary of BIND, NSD and Knot with TSIG, with policies on top of their zones. It
// transfers the zones, hears of changes and takes the differences, and passes them on. It goes on when the primaries
// are gone, and starts again without them.
func TestPrimaries(t *testing.T) {
	lab.Need(t, "named", "nsd", "knotd", "nsupdate", "dig")
	const names = 2000
	dir := t.TempDir()
	keys := filepath.Join(dir, "xfer.key")
	lab.Write(t, keys, tsigKey)
	var at []string
	for range 3 {
		at = append(at, fmt.Sprintf("127.0.0.1:%d", lab.LoopbackPort(t)))
	}
	zones := []string{"bind.test", "nsd.test", "knot.test"}
	next := lab.NewServer(t, "next", "--tsig-key", keys) // a secondary of Leeward, which is one itself
	files, state := t.TempDir(), filepath.Join(dir, "state")
	text := eu
	for i, zone := range zones {
		text += elsewhere(zone, at[i], fmt.Sprintf("%q", next.DNS+" key xfer"))
	}
	lab.Write(t, filepath.Join(files, "all.yaml"), text)
	lab.LeewardOK(t, "", "check", "-f", files)
	s := lab.NewServer(t, "secondary", "--files", files, "--state", state, "--tsig-key", keys)
	primaries := startPrimaries(t, dir, s.DNS, at, names)
	for i, zone := range zones {
		lab.Until(t, 60*time.Second, zone+" is served by its primary", func() error {
			r, err := lab.Ask(nil, at[i], lab.Question{Name: zone, Qtype: dns.TypeSOA})
			if err == nil && (r.Rcode != 0 || !r.Authoritative) {
				err = fmt.Errorf("%v", r)
			}
			return err
		})
	}
	s.Start(t)
	s.Ready(t)

	has := func(server, name string, qtype uint16, want ...string) error {
		r, err := lab.Ask(nil, server, lab.Question{Name: name, Qtype: qtype})
		if err != nil {
			return err
		}
		if got := lab.RDATA(r); !slices.Equal(got, want) {
			return fmt.Errorf("%s %s: %s %q, want %q", name, dns.TypeToString[qtype], dns.RcodeToString[r.Rcode], got,
				want)
		}
		return nil
	}
	check := func(server string, more ...string) {
		t.Helper()
		for _, zone := range zones {
			for _, err := range []error{
				has(server, fmt.Sprintf("name-%d.%s", names-1, zone), dns.TypeTXT,
					strconv.Quote(strings.Repeat("x", (names-1)%200))),
				has(server, "www."+zone, dns.TypeA, "198.51.100.10"),
				has(server, "www."+zone, dns.TypeTXT, `"theirs"`),
				has(server, "ours."+zone, dns.TypeTXT, `"ours"`),
				has(server, zone, dns.TypeNS, "ns."+zone+"."),
			} {
				if err != nil {
					t.Error(err)
				}
			}
			for _, text := range more {
				if err := has(server, "new."+zone, dns.TypeTXT, strconv.Quote(text)); err != nil {
					t.Error(err)
				}
			}
		}
	}
	check(s.DNS)

	// Passed on to another Leeward, whose primary's SOA is what this one makes of it.
	nextText := ""
	for _, zone := range zones {
		nextText += fmt.Sprintf("---\nkind: Zone\nname: %s\ntransfer: {primaries: [\"%s key xfer\"]}\n", zone, s.DNS)
	}
	nextFiles := lab.Folder(t, map[string]string{"all.yaml": nextText})
	next.Argv = append(next.Argv, "--files", nextFiles)
	next.Start(t)
	next.Ready(t)
	check(next.DNS)

	// A change at each: NOTIFY, then the differences.
	updates := func(i int, commands string) {
		host, port, _ := net.SplitHostPort(at[i])
		o := lab.Command(t, nil, fmt.Sprintf("server %s %s\nzone %s\n%s\nsend\n", host, port, zones[i], commands),
			"nsupdate",
			"-k", keys)
		if o.Code != 0 {
			t.Fatalf("nsupdate of %s: %v", zones[i], o)
		}
	}
	updates(0, "update add new.bind.test 300 TXT new")
	updates(2, "update add new.knot.test 300 TXT new")
	lab.Write(t, filepath.Join(dir, "nsd", "nsd.test.zone"), master("nsd.test", 2, names, "new TXT \"new\"\n"))
	primaries[1].Signal(t, syscall.SIGHUP)
	for _, server := range []string{s.DNS, next.DNS} {
		for _, zone := range zones {
			lab.Until(t, 60*time.Second, zone+" has changed at "+server,
				func() error { return has(server, "new."+zone, dns.TypeTXT, `"new"`) })
		}
		check(server, "new")
	}
	if n := received(t, s, "ixfr", "ok"); n < 2 {
		t.Errorf("%d differences came in, want those of BIND and Knot at least", n)
	}
	if n := received(t, next, "ixfr", "ok"); n < 3 {
		t.Errorf("the next one was sent %d differences, want one of each zone", n)
	}

	// What is laid over moves the serial as well, and is passed on.
	lab.Write(t, filepath.Join(files, "all.yaml"), strings.ReplaceAll(text, "198.51.100.10", "198.51.100.11")+
		"---\n{kind: Policy, name: added.bind.test, rules: [{failover: [eu]}]}\n")
	lab.Until(t, 30*time.Second, "a new policy is handed on",
		func() error { return has(next.DNS, "added.bind.test", dns.TypeA, "198.51.100.11") })
	lab.Write(t, filepath.Join(files, "all.yaml"), text)
	lab.Until(t, 30*time.Second, "and gone again", func() error { return has(next.DNS, "added.bind.test", dns.TypeA) })

	// A NOTIFY from a host that is not the primary has no effect. Updates belong to the primary.
	notify := new(dns.Msg).SetNotify("bind.test.")
	if r, err := dns.Exchange(notify, s.DNS); err != nil || r.Rcode != dns.RcodeSuccess {
		t.Errorf("NOTIFY without the key, from the primary's address: %v, %v", r, err)
	}
	stranger := &dns.Client{Dialer: &net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 0, 5, 1)}}}
	if r, _, err := stranger.Exchange(notify, s.DNS); err != nil || r.Rcode != dns.RcodeRefused {
		t.Errorf("NOTIFY without the key: %v, %v", r, err)
	}
	_, port, _ := net.SplitHostPort(s.DNS)
	if o := lab.Command(t, nil,
		fmt.Sprintf("server 127.0.0.1 %s\nzone bind.test\nupdate add x.bind.test 300 TXT x\nsend\n", port), "nsupdate",
		"-k",
		keys); !strings.Contains(o.Stderr, "REFUSED") {
		t.Errorf("an update: %v", o)
	}

	// Without the primaries, and started again without them.
	for _, p := range primaries {
		p.Kill()
	}
	check(s.DNS, "new")
	s.Process.Terminate(t)
	s.Start(t)
	s.Ready(t)
	check(s.DNS, "new")
	var status struct {
		Following []struct {
			Zone, State, Error string
			Serial             uint32
			Expires            time.Time
		}
	}
	lab.Until(t, 30*time.Second, "the status says that the primaries are gone", func() error {
		if err := s.Status(&status); err != nil {
			return err
		}
		for _, z := range status.Following {
			if z.State != "failing" || z.Error == "" || z.Serial < 2 || time.Until(z.Expires) < 23*time.Hour {
				return fmt.Errorf("%+v", z)
			}
		}
		if len(status.Following) != 3 {
			return fmt.Errorf("%+v", status)
		}
		return nil
	})
	if out := lab.LeewardOK(t, "", "status", "--admin", "http://"+s.Admin); strings.Count(out, "failing") != 3 {
		t.Errorf("status:\n%s", out)
	}
	if out := lab.LeewardOK(t, "", "explain", "www.bind.test", "--client", "192.0.2.1", "--admin", "http://"+
		s.Admin); !strings.Contains(out, "lives on another primary, which has serial") {
		t.Errorf("explain:\n%s", out)
	}

	// Nothing was ever transferred. The server says so, and makes up no answer.
	bare := lab.NewServer(t, "bare", "--files", files, "--tsig-key", keys)
	bare.Start(t)
	bare.Ready(t)
	m := new(dns.Msg).SetQuestion("www.bind.test.", dns.TypeA)
	m.SetEdns0(1232, false)
	r, err := dns.Exchange(m, bare.DNS)
	if err != nil || r.Rcode != dns.RcodeServerFailure || r.Authoritative {
		t.Fatalf("%v, %v", r, err)
	}
	if o := r.IsEdns0().Option; len(o) != 1 || o[0].(*dns.EDNS0_EDE).InfoCode != dns.ExtendedErrorCodeNotReady {
		t.Errorf("%v", r)
	}
}
