//go:build linux

package interop

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

const tsigKey = `key "xfer" {
	algorithm hmac-sha256;
	secret "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
};
`

const tsigSecret = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

// handedOn is a zone of secondaries, with a policy. Three of them are notified.
func handedOn(secondaries []string, names int) string {
	var b strings.Builder
	b.WriteString("kind: Zone\nname: example.test\nnameservers: [ns1.example.test]\ntransfer:\n  allow: [127.0.0.1 " +
		"key xfer]\n  notify:\n")
	for _, s := range secondaries {
		fmt.Fprintf(&b, "    - %q\n", s+" key xfer")
	}
	b.WriteString("---\n{kind: Record, name: example.test/ns1/A, data: [127.0.0.1]}\n")
	for i := range names {
		fmt.Fprintf(&b, "---\n{kind: Record, name: example.test/name-%d/TXT, data: ['\"%s\"']}\n", i,
			strings.Repeat("x", i%200))
	}
	return b.String()
}

// TestSecondaries: BIND, NSD and Knot transfer a zone from Leeward with TSIG, are notified when it changes, and
// transfer the difference.
func TestSecondaries(t *testing.T) {
	lab.Need(t, "named", "nsd", "knotd", "dig", "kdig")
	dir := t.TempDir()
	var secondaries []string
	for range 3 {
		secondaries = append(secondaries, fmt.Sprintf("127.0.0.1:%d", lab.LoopbackPort(t)))
	}
	files := lab.Folder(t, map[string]string{"zone.yaml": handedOn(secondaries, 2000), "policy.yaml": lab.PolicyFile})
	keys := filepath.Join(dir, "xfer.key")
	lab.Write(t, keys, tsigKey)
	primary := lab.Serve(t, "primary", "--files", files, "--tsig-key", keys)
	startSecondaries(t, dir, primary.DNS, secondaries, "xfer", "example.test")

	names := []string{"bind", "nsd", "knot"}
	has := func(server string, q lab.Question, want ...string) error {
		r, err := lab.Ask(nil, server, q)
		if err != nil {
			return err
		}
		if got := lab.RDATA(r); strings.Join(got, " ") != strings.Join(want, " ") {
			return fmt.Errorf("%s has %q, want %q", q, got, want)
		}
		return nil
	}
	for i, s := range secondaries {
		lab.Until(t, 60*time.Second, names[i]+" has the zone", func() error {
			return has(s, lab.Question{Name: "name-1999.example.test", Qtype: dns.TypeTXT, Network: "tcp"},
				strconv.Quote(strings.Repeat("x", 1999%200)))
		})
		if err := has(s, lab.Question{Name: "www.example.test", Qtype: dns.TypeA}, "192.0.2.10",
			"192.0.2.11"); err != nil {
			t.Errorf("%s: the policy: %v", names[i], err)
		}
	}

	before := served(t, primary, "ixfr", "ixfr")
	lab.Write(t, filepath.Join(files, "zone.yaml"), handedOn(secondaries, 2000)+
		"---\n{kind: Record, name: example.test/new/TXT, data: ['\"new\"']}\n")
	for i, s := range secondaries {
		lab.Until(t, 30*time.Second, names[i]+" has the change", func() error {
			return has(s, lab.Question{Name: "new.example.test", Qtype: dns.TypeTXT}, `"new"`)
		})
	}
	if n := served(t, primary, "ixfr", "ixfr") - before; n < 3 {
		t.Errorf("%v differences were sent, want one to each of the three", n)
	}
	lab.Until(t, 30*time.Second, "all have said that they were told", func() error {
		var s struct {
			Secondaries []struct {
				Server, Error string
				Pending       bool
			}
		}
		if err := primary.Status(&s); err != nil {
			return err
		}
		for _, x := range s.Secondaries {
			if x.Pending || x.Error != "" {
				return fmt.Errorf("%+v", x)
			}
		}
		if len(s.Secondaries) != 3 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})

	// Transfers by hand.
	_, port, _ := net.SplitHostPort(primary.DNS)
	if out := lab.Must(t, nil, "dig", "@127.0.0.1", "-p", port, "-k", keys, "example.test", "AXFR"); strings.Count(out,
		"\tTXT\t") != 2001 || strings.Contains(out, "failed") {
		t.Errorf("dig AXFR:\n%s", out)
	}
	if out := lab.Must(t, nil, "kdig", "@127.0.0.1", "-p", port, "-y", "hmac-sha256:xfer:"+tsigSecret, "example.test",
		"AXFR"); strings.Count(out, "\tTXT\t") != 2001 {
		t.Errorf("kdig AXFR:\n%s", out)
	}
	if o := lab.Command(t, nil, "", "dig", "@127.0.0.1", "-p", port, "example.test",
		"AXFR"); !strings.Contains(o.Stdout,
		"Transfer failed") {
		t.Errorf("without the key: %v", o)
	}
	lab.Write(t, keys, strings.ReplaceAll(tsigKey, "MDEy", "AAAA"))
	primary.Process.Signal(t, syscall.SIGHUP)
	lab.Until(t, 20*time.Second, "the key is another after SIGHUP", func() error {
		if o := lab.Command(t, nil, "", "dig", "@127.0.0.1", "-p", port, "-k", keys, "example.test",
			"AXFR"); strings.Count(o.Stdout, "\tTXT\t") != 2001 {
			return fmt.Errorf("%v", o)
		}
		return nil
	})
}

// served returns how many outgoing transfers of a type have had this result.
func served(t *testing.T, s *lab.Server, kind, result string) int {
	t.Helper()
	return int(s.Metric(t, "leeward_transfer_served_total", fmt.Sprintf("result=%q,type=%q", result, kind)))
}

// startSecondaries starts BIND, NSD and Knot as secondaries of zones, at those addresses. If key is "", there is no
// key.
func startSecondaries(t *testing.T, dir, primary string, at []string, key string, zones ...string) {
	t.Helper()
	for _, d := range []string{"bind", "nsd", "knot"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	_, from, _ := net.SplitHostPort(primary)
	port := func(i int) string { _, p, _ := net.SplitHostPort(at[i]); return p }
	bindKey, nsdKey, knotKey := "", "NOKEY", ""
	if key != "" {
		bindKey, nsdKey, knotKey = "key "+key, key, "    key: "+key+"\n"
	}
	home := func(i int) string { return filepath.Join(dir, []string{"bind", "nsd", "knot"}[i]) }
	bind := tsigKey + fmt.Sprintf(bindPeer, home(0), port(0))
	nsd := fmt.Sprintf(nsdPeer, port(1), home(1), tsigSecret)
	knot := fmt.Sprintf(knotPeer+`remote:
  - id: primary
    address: 127.0.0.1@%s
%sacl:
  - id: told
    address: 127.0.0.1
%[5]s    action: notify
  - id: taken
    address: 127.0.0.1
    action: transfer
database:
  storage: %[1]q
zone:
`, home(2), port(2), tsigSecret, from, knotKey)
	for _, zone := range zones {
		bind += fmt.Sprintf("zone %q { type secondary; primaries { 127.0.0.1 port %s %s; }; file \"%[1]s.db\"; "+
			"notify no; "+
			"allow-notify { %[4]s; }; allow-transfer { any; }; };\n", zone, from, bindKey, cmp.Or(bindKey, "127.0.0.1"))
		nsd += fmt.Sprintf("zone:\n\tname: %q\n\tzonefile: \"%[1]s.zone\"\n\trequest-xfr: 127.0.0.1@%s %s\n"+
			"\tallow-notify: 127.0.0.1 %[3]s\n\tprovide-xfr: 127.0.0.1 NOKEY\n", zone, from, nsdKey)
		knot += fmt.Sprintf("  - domain: %s\n    storage: %q\n    master: primary\n    acl: [told, taken]\n", zone,
			home(2))
	}
	for i, text := range []string{bind, nsd, knot} {
		lab.Write(t, filepath.Join(home(i), "conf"), text)
	}
	lab.Start(t, nil, "named", "named", "-g", "-n", "1", "-c", filepath.Join(home(0), "conf"))
	lab.Start(t, nil, "nsd", "nsd", "-d", "-c", filepath.Join(home(1), "conf"))
	lab.Start(t, nil, "knotd", "knotd", "-c", filepath.Join(home(2), "conf"))
}

// bindPeer begins BIND's configuration as a peer in transfers, as a format of its folder and its port. The zones
// follow.
const bindPeer = `options {
	directory %q; pid-file none; session-keyfile none; lock-file none; managed-keys-directory %[1]q;
	listen-on port %[2]s { 127.0.0.1; }; listen-on-v6 { none; };
	recursion no; dnssec-validation no; allow-query { any; }; empty-zones-enable no; minimal-responses yes;
	notify-delay 0; notify-rate 100; max-records-per-type 0; max-types-per-name 0;
};
controls {};
`

// nsdPeer and knotPeer begin the configurations of peers in transfers, as formats of their port, their folder and the
// secret of the key xfer, each in its own order. The zone follows.
const nsdPeer = `server:
	ip-address: 127.0.0.1@%s
	username: ""
	server-count: 1
	database: ""
	zonesdir: %q
	xfrdfile: "%[2]s/xfrd"
	zonelistfile: "%[2]s/zones"
	pidfile: "%[2]s/pid"
	xfrdir: %[2]q
	xfrd-reload-timeout: 0
remote-control:
	control-enable: no
key:
	name: "xfer"
	algorithm: hmac-sha256
	secret: %q
`

const knotPeer = `server:
  rundir: %q
  listen: 127.0.0.1@%s
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
log:
  - target: stderr
    any: info
key:
  - id: xfer
    algorithm: hmac-sha256
    secret: %q
`
