//go:build linux

package conformance

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// TestSignedTransfer transfers signed zones, with NSEC and with NSEC3. Two other implementations verify each zone as a
// whole. NSD and Knot serve the zones as secondaries, and the validator judges their answers. Then they follow a
// change.
func TestSignedTransfer(t *testing.T) {
	lab.Need(t, "ldns-verify-zone", "dnssec-verify", "nsd", "knotd")
	const allow = "\ntransfer: {allow: [127.0.0.0/8]}"
	settings := [2]string{"{enabled: true}" + allow, "{enabled: true, nsec3: true}" + allow}
	dir, keys := t.TempDir(), filepath.Join(t.TempDir(), "keys")
	writeSigned(t, dir, settings, nil, "")
	s := lab.Serve(t, "signed", "--files", dir, "--keys", keys)
	origins := []string{"example.test.", "other.test.", "child.example.test."}
	lab.Until(t, 20*time.Second, "all zones are signed", func() error {
		for _, origin := range origins {
			if err := isSigned(s.DNS, origin); err != nil {
				return err
			}
		}
		return nil
	})
	v := &validator{keys: keysOf(t, keys), now: time.Now()}
	verify := func() {
		t.Helper()
		for _, origin := range origins {
			file := filepath.Join(t.TempDir(), "zone")
			lab.Write(t, file, transferred(t, s.DNS, origin))
			for _, c := range [][]string{{"ldns-verify-zone", file}, {"dnssec-verify", "-z", "-o", origin, file}} {
				if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
					t.Errorf("%s of %s: %v\n%s", c[0], origin, err, out)
				}
			}
		}
	}
	verify()
	if t.Failed() {
		return
	}

	secondaries := startSecondaries(t, s.DNS, origins)
	// NSD and Knot have their own ways with questions for types of denial. NSD 4.6 has its own way with a wildcard that
	// a DNAME leads to, or that has nothing itself.
	types := []uint16{
		dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeMX, dns.TypeNS, dns.TypeSOA, dns.TypeDNSKEY, dns.TypeSRV,
	}
	r := rand.New(rand.NewPCG(1, 2))
	judge := func() {
		t.Helper()
		for _, at := range secondaries {
			var names []string
			for _, name := range signedNames(r) {
				if !strings.HasSuffix("."+name, ".d.example.test.") && !strings.Contains(name, "starry") {
					names = append(names, name)
				}
			}
			askSigned(t, at, v, names, types, nil)
		}
	}
	judge()
	if t.Failed() {
		return
	}
	have := entire(t, s.DNS, origins[0])
	writeSigned(t, dir, settings, []string{"endpoint/dual/a"},
		"---\nkind: Record\nname: example.test/mark/TXT\ndata: ['\"new\"']\n")
	for _, at := range append(secondaries, s.DNS) {
		lab.Expect(t, 30*time.Second, at, lab.Question{Name: "mark.example.test", Qtype: dns.TypeTXT}, `"new"`)
	}
	verify()
	judge()
	if n := s.Metric(t, "leeward_transfer_served_total", `result="ixfr",type="ixfr"`); int(n) < len(secondaries) {
		t.Errorf("%v differences were sent, want one to each of %d", n, len(secondaries))
	}
	got, want := followed(t, s.DNS, origins[0], have), entire(t, s.DNS, origins[0])
	if a, b := sorted(strings.Join(got, "\n")), sorted(strings.Join(want, "\n")); a != b {
		t.Errorf("the differences lead to\n%s\nand the zone is\n%s", a, b)
	}
}

// isSigned returns nil once a server has signatures of a zone's SOA.
func isSigned(server, origin string) error {
	m := new(dns.Msg)
	m.SetQuestion(origin, dns.TypeSOA)
	m.SetEdns0(4096, true)
	reply, _, err := (&dns.Client{Timeout: 2 * time.Second}).Exchange(m, server)
	if err == nil && len(reply.Answer) < 2 {
		err = fmt.Errorf("%s is not signed yet", origin)
	}
	return err
}

// transferred returns the transfer of a zone as a master file.
func transferred(t *testing.T, server, origin string) string {
	t.Helper()
	m := new(dns.Msg)
	m.SetAxfr(origin)
	ch, err := patient().In(m, server)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	soas := 0
	for e := range ch {
		if e.Error != nil {
			t.Fatal(e.Error)
		}
		for _, rr := range e.RR {
			if rr.Header().Rrtype == dns.TypeSOA {
				if soas++; soas == 2 {
					continue
				}
			}
			fmt.Fprintln(&b, rr)
		}
	}
	if soas != 2 {
		t.Fatalf("a transfer with %d SOA records", soas)
	}
	return b.String()
}

// patient transfers from a server that may get little of the processor.
func patient() *dns.Transfer {
	const limit = 20 * time.Second
	return &dns.Transfer{DialTimeout: limit, ReadTimeout: limit, WriteTimeout: limit}
}

// startSecondaries starts NSD and Knot as secondaries of a server, and waits until they have all zones.
func startSecondaries(t *testing.T, primary string, origins []string) (addresses []string) {
	t.Helper()
	host, port, _ := net.SplitHostPort(primary)
	for _, kind := range []string{"nsd", "knotd"} {
		dir, own := t.TempDir(), lab.LoopbackPort(t)
		var conf strings.Builder
		file := filepath.Join(dir, kind+".conf")
		if kind == "nsd" {
			fmt.Fprintf(&conf, "server:\n\tip-address: 127.0.0.1\n\tport: %d\n\tusername: \"\"\n\tserver-count: 1\n"+
				"\tdatabase: \"\"\n\tzonesdir: %q\n\txfrdfile: %q\n\tzonelistfile: %q\n\tpidfile: %q\n\txfrdir: %q\n"+
				"\trrl-ratelimit: 0\nremote-control:\n\tcontrol-enable: no\n", own, dir, filepath.Join(dir, "xfrd"),
				filepath.Join(dir, "list"), filepath.Join(dir, "pid"), dir)
			for _, origin := range origins {
				fmt.Fprintf(&conf, "zone:\n\tname: %q\n\tzonefile: %q\n\trequest-xfr: %s@%s NOKEY\n"+
					"\tmin-refresh-time: 1\n\tmax-refresh-time: 2\n", origin, origin+"zone", host, port)
			}
			lab.Write(t, file, conf.String())
			lab.Start(t, nil, kind, kind, "-d", "-c", file)
		} else {
			fmt.Fprintf(&conf, "server:\n  listen: 127.0.0.1@%d\n  rundir: %q\ndatabase:\n  storage: %q\n"+
				"remote:\n  - id: primary\n    address: %s@%s\ntemplate:\n  - id: default\n    storage: %q\n"+
				"    master: primary\n    refresh-max-interval: 2\nzone:\n", own, dir, filepath.Join(dir, "db"), host,
				port, dir)
			for _, origin := range origins {
				fmt.Fprintf(&conf, "  - domain: %s\n", origin)
			}
			lab.Write(t, file, conf.String())
			lab.Start(t, nil, kind, kind, "-c", file)
		}
		at := fmt.Sprintf("127.0.0.1:%d", own)
		lab.Until(t, 30*time.Second, kind+" has all zones", func() error {
			for _, origin := range origins {
				if err := isSigned(at, origin); err != nil {
					return err
				}
			}
			return nil
		})
		addresses = append(addresses, at)
	}
	return addresses
}
