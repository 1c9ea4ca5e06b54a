//go:build linux

package operate

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// TestFolderServed asks a server of a folder everything with dig, over UDP and TCP, IPv4 and IPv6.
func TestFolderServed(t *testing.T) {
	lab.Need(t, "dig")
	s := lab.Serve(t, "files", "--files", lab.Folder(t, map[string]string{
		"example.test.zone": lab.MasterFile,
		"www.yaml":          lab.PolicyFile,
	}))
	_, port, _ := net.SplitHostPort(s.DNS)
	servers := []string{"127.0.0.1"}
	if lab.Loopback6() {
		servers = append(servers, "::1")
	}
	for _, server := range servers {
		for _, transport := range []string{"+notcp", "+tcp"} {
			t.Run(server+transport, func(t *testing.T) {
				dig := func(args ...string) string {
					return lab.Must(t, nil, append([]string{
						"dig", "@" + server, "-p", port, transport, "+norecurse", "+time=5",
						"+tries=1",
					}, args...)...)
				}
				for _, c := range []struct {
					question string
					want     []string // +short
				}{
					{"example.test SOA", []string{"ns1.example.test. hostmaster.example.test. 2026112301 3600 900 " +
						"86400 30"}},
					{"example.test NS", []string{"ns1.example.test.", "ns2.elsewhere.invalid."}},
					{"example.test MX", []string{"10 mail.example.test."}},
					{"mail.example.test AAAA", []string{"2001:db8::25"}},
					{"alias.example.test A", []string{"192.0.2.25", "mail.example.test."}},
					{"x.y.wild.example.test TXT", []string{`"wild"`}},
					{"www.example.test A", []string{"192.0.2.10", "192.0.2.11"}},
					{"www.example.test AAAA", []string{"2001:db8::10"}},
					{"WwW.eXaMpLe.TeSt AAAA", []string{"2001:db8::10"}},
				} {
					got := strings.Fields(strings.ReplaceAll(dig(append(strings.Fields(c.question), "+short")...), " ",
						"\x00"))
					for i := range got {
						got[i] = strings.ReplaceAll(got[i], "\x00", " ")
					}
					slices.Sort(got)
					if !slices.Equal(got, c.want) {
						t.Errorf("dig %s is %q, want %q", c.question, got, c.want)
					}
				}
				for _, c := range []struct{ question, status, flags, sections string }{
					{"www.example.test A", "NOERROR", "qr aa", "ANSWER: 2"},
					{"www.example.test TXT", "NOERROR", "qr aa", "ANSWER: 0, AUTHORITY: 1"},
					{"nope.example.test A", "NXDOMAIN", "qr aa", "ANSWER: 0, AUTHORITY: 1"},
					{"b.deep.example.test A", "NOERROR", "qr aa", "ANSWER: 0, AUTHORITY: 1"},
					{"x.sub.example.test A", "NOERROR", "qr", "ANSWER: 0, AUTHORITY: 1, ADDITIONAL: 2"},
					{"other.invalid A", "REFUSED", "qr", "ANSWER: 0, AUTHORITY: 0"},
				} {
					got := dig(strings.Fields(c.question)...)
					for _, want := range []string{"status: " + c.status + ",", "flags: " + c.flags + ";", c.sections} {
						if !strings.Contains(got, want) {
							t.Errorf("dig %s: want %q in\n%s", c.question, want, got)
						}
					}
				}
			})
		}
	}
}

// TestFolderFollowed changes files of a running server. A broken file only keeps its own content from changing.
func TestFolderFollowed(t *testing.T) {
	dir := lab.Folder(t, map[string]string{"example.test.zone": lab.MasterFile, "www.yaml": lab.PolicyFile})
	s := lab.Serve(t, "files", "--files", dir)
	www := lab.Question{Name: "www.example.test", Qtype: dns.TypeA}
	lab.Expect(t, 10*time.Second, s.DNS, www, "192.0.2.10", "192.0.2.11")

	lab.Write(t, filepath.Join(dir, "www.yaml"), strings.Replace(lab.PolicyFile, "192.0.2.11", "192.0.2.12", 1))
	lab.Expect(t, 10*time.Second, s.DNS, www, "192.0.2.10", "192.0.2.12")

	lab.Write(t, filepath.Join(dir, "www.yaml"),
		strings.Replace(lab.PolicyFile, "failover: [www]", "failover: [nowhere]",
			1))
	lab.Until(t, 10*time.Second, "the broken policy is a problem in status", func() error {
		var p lab.StatusPage
		if err := s.Status(&p); err != nil {
			return err
		}
		for _, problem := range p.Problems {
			if problem.Resource == "policies/www.example.test" && strings.Contains(problem.Message, "nowhere") {
				return nil
			}
		}
		return fmt.Errorf("%+v", p.Problems)
	})
	if got, err := lab.Ask(nil, s.DNS, www); err != nil || len(lab.Addresses(got)) != 2 {
		t.Errorf("with a broken policy the last good one must answer, not %v %v", got, err)
	}
	lab.Still(t, s.DNS, lab.Question{Name: "mail.example.test", Qtype: dns.TypeA}, "192.0.2.25")

	lab.Write(t, filepath.Join(dir, "example.test.zone"),
		strings.Replace(lab.MasterFile, "192.0.2.25", "192.0.2.26", 1))
	lab.Expect(t, 10*time.Second, s.DNS, lab.Question{Name: "mail.example.test", Qtype: dns.TypeA}, "192.0.2.26")
	lab.Write(t, filepath.Join(dir, "www.yaml"), lab.PolicyFile)
	lab.Expect(t, 10*time.Second, s.DNS, www, "192.0.2.10", "192.0.2.11")
}

// TestHangup: at SIGHUP a server reads its folder again, and whatever an operator removed from it on purpose goes.
func TestHangup(t *testing.T) {
	dir := lab.Folder(t, map[string]string{"example.test.zone": lab.MasterFile, "www.yaml": lab.PolicyFile})
	s := lab.Serve(t, "files", "--files", dir)
	www := lab.Question{Name: "www.example.test", Qtype: dns.TypeA}
	lab.Expect(t, 10*time.Second, s.DNS, www, "192.0.2.10", "192.0.2.11")
	for _, file := range []string{"example.test.zone", "www.yaml"} {
		if err := os.Remove(filepath.Join(dir, file)); err != nil {
			t.Fatal(err)
		}
	}
	lab.Until(t, 10*time.Second, "the guard holds the removal back", func() error {
		var p lab.StatusPage
		if err := s.Status(&p); err != nil {
			return err
		}
		if len(p.Held) == 0 {
			return fmt.Errorf("nothing is held: %+v", p)
		}
		return nil
	})
	lab.Still(t, s.DNS, www, "192.0.2.10", "192.0.2.11")
	lab.Still(t, s.DNS, lab.Question{Name: "mail.example.test", Qtype: dns.TypeA}, "192.0.2.25")
	s.Process.Signal(t, syscall.SIGHUP)
	lab.Expect(t, 10*time.Second, s.DNS, www, "REFUSED")
}

// TestTerminate: SIGTERM ends a server with status 0, under load, and no query that it had received is lost.
func TestTerminate(t *testing.T) {
	s := lab.Serve(t, "files", "--files", lab.Folder(t, map[string]string{"example.test.zone": lab.MasterFile}))
	answered := make(chan int)
	first := make(chan struct{})
	go func() {
		n := 0
		for {
			if _, err := lab.Ask(nil, s.DNS, lab.Question{
				Name: "mail.example.test", Qtype: dns.TypeA,
				Network: []string{"udp", "tcp"}[n%2],
			}); err != nil {
				answered <- n
				return
			}
			if n++; n == 100 {
				close(first)
			}
		}
	}()
	<-first
	if code := s.Process.Terminate(t); code != 0 {
		t.Errorf("SIGTERM: exit status %d, want 0\n%s", code, s.Process.Out.Tail(20))
	}
	if n := <-answered; n < 100 {
		t.Errorf("%d answers", n)
	}
}

// TestUsage: what cannot be started exits with status 2, and says what to do.
func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"serve"}, 2, "--files"},
		{[]string{"serve", "--files", ".", "--etcd", "http://127.0.0.1:1"}, 2, "--etcd"},
		{[]string{"serve", "--no-such-flag"}, 2, "no-such-flag"},
		{[]string{"frobnicate"}, 2, "frobnicate"},
		{[]string{"explain"}, 2, "explain"},
		{[]string{"check", "-f", "/does/not/exist"}, 1, "/does/not/exist"},
		{[]string{"serve", "--files", "/does/not/exist"}, 1, "/does/not/exist"},
	} {
		o := lab.Leeward(t, "", c.args...)
		if o.Code != c.code || !strings.Contains(o.Stderr, c.want) {
			t.Errorf("leeward %v: want exit status %d and %q, got %v", c.args, c.code, c.want, o)
		}
	}
}

// TestPortTaken: a server that cannot have its port says so, and ends.
func TestPortTaken(t *testing.T) {
	dir := lab.Folder(t, map[string]string{"example.test.zone": lab.MasterFile})
	s := lab.Serve(t, "first", "--files", dir)
	o := lab.Leeward(t, "", "serve", "--files", dir, "--id", "second", "--listen", s.DNS, "--admin", "")
	if o.Code != 1 || !strings.Contains(o.Stderr, s.DNS) {
		t.Errorf("want exit status 1 and the address in the error, got %v", o)
	}
	lab.Still(t, s.DNS, lab.Question{Name: "mail.example.test", Qtype: dns.TypeA}, "192.0.2.25")
}

// TestGeoReplaced changes the geo database of a running server. The new one is used without a restart. A broken one is
// refused, and the old one stays.
func TestGeoReplaced(t *testing.T) {
	resources := `kind: Zone
name: example.test
nameservers: [ns1.example.test]
hostmaster: hostmaster@example.test
---
{kind: Record, name: example.test/ns1/A, data: [192.0.2.53]}
---
{kind: Region, name: eu}
---
{kind: Region, name: us}
---
{kind: Pool, name: eu, region: eu}
---
{kind: Pool, name: us, region: us}
---
{kind: Endpoint, name: eu/1, addresses: [192.0.2.1]}
---
{kind: Endpoint, name: us/1, addresses: [192.0.2.2]}
---
kind: Policy
name: www.example.test
rules:
  - {when: {countries: [IE]}, failover: [eu, us]}
  - {failover: [us, eu]}
`
	dir := t.TempDir()
	db := filepath.Join(dir, "clients.mmdb")
	ireland := lab.Place{Network: "198.51.100.0/24", Continent: "EU", Country: "IE", Latitude: 53.3, Longitude: -6.3}
	america := lab.Place{
		Network: "198.51.100.0/24", Continent: "NA", Country: "US", Subdivision: "VA", Latitude: 38.9,
		Longitude: -77,
	}
	lab.WriteCityDatabase(t, db, []lab.Place{ireland})
	s := lab.Serve(t, "geo", "--files", lab.Folder(t, map[string]string{"all.yaml": resources}), "--geodb", db)
	www := lab.Question{Name: "www.example.test", Qtype: dns.TypeA, Client: netip.MustParsePrefix("198.51.100.0/24")}
	lab.Expect(t, 10*time.Second, s.DNS, www, "192.0.2.1")
	lab.WriteCityDatabase(t, db+".new", []lab.Place{america})
	if err := os.Rename(db+".new", db); err != nil {
		t.Fatal(err)
	}
	lab.Expect(t, 20*time.Second, s.DNS, www, "192.0.2.2")
	lab.Write(t, db, "this is not a database")
	lab.Until(t, 20*time.Second, "the broken database is told in status", func() error {
		_, body, err := s.Get("/api/v1/status")
		if err != nil {
			return err
		}
		if !regexp.MustCompile(`"error":"[^"]*clients\.mmdb`).MatchString(body) {
			return fmt.Errorf("%s", body)
		}
		return nil
	})
	lab.Still(t, s.DNS, www, "192.0.2.2")
}
