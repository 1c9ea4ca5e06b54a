//go:build linux

package conformance

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

// The peers are the name servers with which Leeward is compared, in the versions of Debian 12: BIND 9.18, NSD 4.6 and
// Knot 3.2. ours stands first in every list of four.
const (
	ours = iota
	bind
	nsd
	knot
	servers
)

var serverNames = [servers]string{"leeward", "bind", "nsd", "knot"}

// needPeers is Need for the three and their tools.
func needPeers(t testing.TB) { lab.Need(t, "named", "nsd", "knotd") }

// quartet is the four servers with the same zones, each on a loopback port of its own.
type quartet struct {
	addresses [servers]string
	processes [servers]*lab.Process
	ours      *lab.Server
	folder    string // of Leeward's documents, and of the zones of all
}

// stop ends the four.
func (q *quartet) stop() {
	for _, p := range q.processes {
		p.Kill()
	}
}

// startQuartet starts the four with zones, given as master files by origin (without the final dot), and waits until
// each of them answers for all with authority. The comparison is about what is valid for all, and so a zone that one of
// them refuses fails the test.
func startQuartet(t testing.TB, zones map[string]string) *quartet {
	t.Helper()
	dir := t.TempDir()
	files := filepath.Join(dir, "zones")
	for _, d := range []string{"zones", "bind", "nsd", "knot"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for origin, text := range zones {
		if err := os.WriteFile(filepath.Join(files, origin+".zone"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	q := &quartet{folder: files}
	q.ours = lab.NewServer(t, "peer", append([]string{"--files", files}, withoutRateLimit(t)...)...)
	q.addresses[ours] = q.ours.DNS
	for i := bind; i < servers; i++ {
		q.addresses[i] = fmt.Sprintf("127.0.0.1:%d", lab.LoopbackPort(t))
	}
	port := func(i int) string { _, p, _ := net.SplitHostPort(q.addresses[i]); return p }

	var conf strings.Builder
	fmt.Fprintf(&conf, `options {
	directory %q; pid-file none; session-keyfile none; lock-file none; managed-keys-directory %[1]q;
	listen-on port %[2]s { 127.0.0.1; }; listen-on-v6 { none; };
	server-id "bind"; recursion no; notify no; dnssec-validation no; allow-query { any; }; allow-transfer { none; }; empty-zones-enable no;
	minimal-responses yes; minimal-any yes;
	check-names primary ignore; check-integrity no; check-mx ignore; check-srv-cname ignore; check-mx-cname ignore; check-sibling no; check-wildcard no;
};
controls {};
`, filepath.Join(dir, "bind"), port(bind))
	for origin := range zones {
		fmt.Fprintf(&conf, "zone %q { type primary; file %q; };\n", origin, filepath.Join(files, origin+".zone"))
	}
	lab.Write(t, filepath.Join(dir, "named.conf"), conf.String())

	conf.Reset()
	fmt.Fprintf(&conf, `server:
	ip-address: 127.0.0.1@%s
	username: ""
	server-count: 1
	database: ""
	zonesdir: %q
	xfrdfile: %[3]q
	zonelistfile: %[4]q
	pidfile: %[5]q
	xfrdir: %[6]q
	minimal-responses: yes
	refuse-any: no
	rrl-ratelimit: 0
	rrl-whitelist-ratelimit: 0
	identity: "nsd"
	nsid: "ascii_nsd"
	answer-cookie: yes
remote-control:
	control-enable: no
`, port(nsd), files, filepath.Join(dir, "nsd", "xfrd"), filepath.Join(dir, "nsd", "zones"), filepath.Join(dir, "nsd", "pid"), filepath.Join(dir, "nsd"))
	for origin := range zones {
		fmt.Fprintf(&conf, "zone:\n\tname: %q\n\tzonefile: %q\n", origin, origin+".zone")
	}
	lab.Write(t, filepath.Join(dir, "nsd.conf"), conf.String())

	conf.Reset()
	fmt.Fprintf(&conf, `server:
  rundir: %q
  listen: 127.0.0.1@%s
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
  identity: "knot"
  nsid: "knot"
log:
  - target: stderr
    any: error
database:
  storage: %[1]q
template:
  - id: default
    storage: %[3]q
    journal-content: none
    zonefile-load: whole
    global-module: mod-cookies
zone:
`, filepath.Join(dir, "knot"), port(knot), files)
	for origin := range zones {
		fmt.Fprintf(&conf, "  - domain: %q\n    file: %q\n", origin, origin+".zone")
	}
	lab.Write(t, filepath.Join(dir, "knot.conf"), conf.String())

	q.ours.Start(t)
	q.processes[ours] = q.ours.Process
	q.processes[bind] = lab.Start(t, nil, "named", "named", "-g", "-n", "1", "-c", filepath.Join(dir, "named.conf"))
	q.processes[nsd] = lab.Start(t, nil, "nsd", "nsd", "-d", "-c", filepath.Join(dir, "nsd.conf"))
	q.processes[knot] = lab.Start(t, nil, "knotd", "knotd", "-c", filepath.Join(dir, "knot.conf"))
	for i := range servers {
		q.await(t, i, zones)
	}
	return q
}

// await waits until server i answers the SOA of every zone with authority.
func (q *quartet) await(t testing.TB, i int, zones map[string]string) {
	t.Helper()
	for origin := range zones {
		lab.Until(t, 60*time.Second, fmt.Sprintf("%s has loaded %s", serverNames[i], origin), func() error {
			if !q.processes[i].Alive() {
				t.Fatalf("%s has ended:\n%s", serverNames[i], q.processes[i].Out.Tail(30))
			}
			c, err := net.DialTimeout("udp", q.addresses[i], time.Second)
			if err != nil {
				return err
			}
			defer c.Close()
			m := new(dns.Msg)
			m.SetQuestion(dns.Fqdn(origin), dns.TypeSOA)
			r, err := lab.Exchange(c, m, time.Second)
			if err != nil {
				return err
			}
			if r.Rcode == dns.RcodeServerFailure && i != ours { // it is there, and could not be loaded
				t.Fatalf("%s refuses a zone:\n%s\n%s", serverNames[i], refusals(q.processes[i].Out.String()),
					zones[origin])
			}
			if r.Rcode != dns.RcodeSuccess || !r.Authoritative || len(r.Answer) != 1 {
				return fmt.Errorf("%s aa=%v, %d answers", dns.RcodeToString[r.Rcode], r.Authoritative, len(r.Answer))
			}
			return nil
		})
	}
}

// refusals are the lines of a server's log that say why a zone is not loaded.
func refusals(log string) string {
	var out []string
	for _, line := range strings.Split(log, "\n") {
		if l := strings.ToLower(line); strings.Contains(l, "not loaded") || strings.Contains(l, "error") ||
			strings.Contains(l, "/in: ") && !strings.Contains(l, "loaded serial") || strings.Contains(l, "failed") ||
			strings.Contains(l, ".zone:") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

// withoutRateLimit is the flag by which Leeward does not limit a test that asks as fast as it can.
func withoutRateLimit(t testing.TB) []string {
	t.Helper()
	if strings.Contains(lab.LeewardOK(t, "", "serve", "--help"), "--rrl ") {
		return []string{"--rrl", "0"}
	}
	return nil
}
