//go:build linux

package integration

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
)

// masterFile is a zone as people have them.
const masterFile = `$ORIGIN example.test.
$TTL 300
@       IN SOA ns1 hostmaster ( 2026112301 3600 900 86400 30 )
        IN NS  ns1
        IN NS  ns2.elsewhere.invalid.
        IN MX  10 mail
ns1     IN A   192.0.2.53
mail    IN A   192.0.2.25
mail    IN AAAA 2001:db8::25
*.wild  IN TXT "wild"
alias   IN CNAME mail
sub     IN NS  ns.sub
ns.sub  IN A   192.0.2.99
a.b.deep IN A  192.0.2.77
`

// policyFile steers www of that zone: no monitor, so both endpoints are up.
const policyFile = `kind: Region
name: here
---
kind: Pool
name: www
region: here
---
kind: Endpoint
name: www/lb-1
addresses: [192.0.2.10, "2001:db8::10"]
---
kind: Endpoint
name: www/lb-2
addresses: [192.0.2.11]
---
kind: Policy
name: www.example.test
ttl: 20s
pick: all
answers: 8
rules: [{failover: [www]}]
`

// folder writes files into a new folder.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		write(t, filepath.Join(dir, name), text)
	}
	return dir
}

// write replaces a file as editors do: a new one renamed over it.
func write(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file+".new", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// TestFolderServed asks a server of a folder everything with dig, over UDP and TCP, IPv4 and IPv6.
func TestFolderServed(t *testing.T) {
	need(t, "dig")
	s := serve(t, "files", "--files", folder(t, map[string]string{"example.test.zone": masterFile, "www.yaml": policyFile}))
	_, port, _ := net.SplitHostPort(s.dns)
	servers := []string{"127.0.0.1"}
	if loopback6() {
		servers = append(servers, "::1")
	}
	for _, server := range servers {
		for _, transport := range []string{"+notcp", "+tcp"} {
			t.Run(server+transport, func(t *testing.T) {
				dig := func(args ...string) string {
					return must(t, nil, append([]string{"dig", "@" + server, "-p", port, transport, "+norecurse", "+time=5", "+tries=1"}, args...)...)
				}
				for _, c := range []struct {
					question string
					want     []string // +short
				}{
					{"example.test SOA", []string{"ns1.example.test. hostmaster.example.test. 2026112301 3600 900 86400 30"}},
					{"example.test NS", []string{"ns1.example.test.", "ns2.elsewhere.invalid."}},
					{"example.test MX", []string{"10 mail.example.test."}},
					{"mail.example.test AAAA", []string{"2001:db8::25"}},
					{"alias.example.test A", []string{"192.0.2.25", "mail.example.test."}},
					{"x.y.wild.example.test TXT", []string{`"wild"`}},
					{"www.example.test A", []string{"192.0.2.10", "192.0.2.11"}},
					{"www.example.test AAAA", []string{"2001:db8::10"}},
					{"WwW.eXaMpLe.TeSt AAAA", []string{"2001:db8::10"}},
				} {
					got := strings.Fields(strings.ReplaceAll(dig(append(strings.Fields(c.question), "+short")...), " ", "\x00"))
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

// TestFolderFollowed changes files below a running server; a broken one costs what is in it its newest version only.
func TestFolderFollowed(t *testing.T) {
	dir := folder(t, map[string]string{"example.test.zone": masterFile, "www.yaml": policyFile})
	s := serve(t, "files", "--files", dir)
	www := question{name: "www.example.test", qtype: dns.TypeA}
	expect(t, 10*time.Second, s.dns, www, "192.0.2.10", "192.0.2.11")

	write(t, filepath.Join(dir, "www.yaml"), strings.Replace(policyFile, "192.0.2.11", "192.0.2.12", 1))
	expect(t, 10*time.Second, s.dns, www, "192.0.2.10", "192.0.2.12")

	write(t, filepath.Join(dir, "www.yaml"), strings.Replace(policyFile, "failover: [www]", "failover: [nowhere]", 1))
	until(t, 10*time.Second, "the broken policy is a problem in status", func() error {
		var p statusPage
		if err := s.status(&p); err != nil {
			return err
		}
		for _, problem := range p.Problems {
			if problem.Resource == "policies/www.example.test" && strings.Contains(problem.Message, "nowhere") {
				return nil
			}
		}
		return fmt.Errorf("%+v", p.Problems)
	})
	if got, err := ask(nil, s.dns, www); err != nil || len(addresses(got)) != 2 {
		t.Errorf("with a broken policy the last good one must answer, not %v %v", got, err)
	}
	still(t, s.dns, question{name: "mail.example.test", qtype: dns.TypeA}, "192.0.2.25")

	write(t, filepath.Join(dir, "example.test.zone"), strings.Replace(masterFile, "192.0.2.25", "192.0.2.26", 1))
	expect(t, 10*time.Second, s.dns, question{name: "mail.example.test", qtype: dns.TypeA}, "192.0.2.26")
	write(t, filepath.Join(dir, "www.yaml"), policyFile)
	expect(t, 10*time.Second, s.dns, www, "192.0.2.10", "192.0.2.11")
}

// TestHangup holds what SIGHUP does: a folder is read again, and what an operator took out of it on purpose goes.
func TestHangup(t *testing.T) {
	dir := folder(t, map[string]string{"example.test.zone": masterFile, "www.yaml": policyFile})
	s := serve(t, "files", "--files", dir)
	www := question{name: "www.example.test", qtype: dns.TypeA}
	expect(t, 10*time.Second, s.dns, www, "192.0.2.10", "192.0.2.11")
	for _, file := range []string{"example.test.zone", "www.yaml"} {
		if err := os.Remove(filepath.Join(dir, file)); err != nil {
			t.Fatal(err)
		}
	}
	until(t, 10*time.Second, "the guard holds the removal back", func() error {
		var p statusPage
		if err := s.status(&p); err != nil {
			return err
		}
		if len(p.Held) == 0 {
			return fmt.Errorf("nothing is held: %+v", p)
		}
		return nil
	})
	still(t, s.dns, www, "192.0.2.10", "192.0.2.11")
	still(t, s.dns, question{name: "mail.example.test", qtype: dns.TypeA}, "192.0.2.25")
	s.process.signal(t, syscall.SIGHUP)
	expect(t, 10*time.Second, s.dns, www, "REFUSED")
}

// TestTerminate holds that SIGTERM ends a server with status 0, under load and without losing a query that it had
// received.
func TestTerminate(t *testing.T) {
	s := serve(t, "files", "--files", folder(t, map[string]string{"example.test.zone": masterFile}))
	answered := make(chan int)
	first := make(chan struct{})
	go func() {
		n := 0
		for {
			if _, err := ask(nil, s.dns, question{name: "mail.example.test", qtype: dns.TypeA, network: []string{"udp", "tcp"}[n%2]}); err != nil {
				answered <- n
				return
			}
			if n++; n == 100 {
				close(first)
			}
		}
	}()
	<-first
	if code := s.process.terminate(t); code != 0 {
		t.Errorf("SIGTERM: exit status %d, want 0\n%s", code, s.process.out.tail(20))
	}
	if n := <-answered; n < 100 {
		t.Errorf("%d answers", n)
	}
}

// TestUsage holds exit status 2 and a word on what to do for what cannot be started.
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
		o := leeward(t, "", c.args...)
		if o.code != c.code || !strings.Contains(o.stderr, c.want) {
			t.Errorf("leeward %v: want exit status %d and %q, got %v", c.args, c.code, c.want, o)
		}
	}
}

// TestPortTaken holds that a server that cannot have its port says so and ends.
func TestPortTaken(t *testing.T) {
	dir := folder(t, map[string]string{"example.test.zone": masterFile})
	s := serve(t, "first", "--files", dir)
	o := leeward(t, "", "serve", "--files", dir, "--id", "second", "--listen", s.dns, "--admin", "")
	if o.code != 1 || !strings.Contains(o.stderr, s.dns) {
		t.Errorf("want exit status 1 and the address in the error, got %v", o)
	}
	still(t, s.dns, question{name: "mail.example.test", qtype: dns.TypeA}, "192.0.2.25")
}

// TestGeoReplaced changes the geo database below a running server: the new one counts without a restart, and a broken
// one is refused with the old one kept.
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
	ireland := place{"198.51.100.0/24", "EU", "IE", "", 53.3, -6.3}
	america := place{"198.51.100.0/24", "NA", "US", "VA", 38.9, -77}
	writeCityDatabase(t, db, []place{ireland})
	s := serve(t, "geo", "--files", folder(t, map[string]string{"all.yaml": resources}), "--geodb", db)
	www := question{name: "www.example.test", qtype: dns.TypeA, client: netip.MustParsePrefix("198.51.100.0/24")}
	expect(t, 10*time.Second, s.dns, www, "192.0.2.1")
	writeCityDatabase(t, db+".new", []place{america})
	if err := os.Rename(db+".new", db); err != nil {
		t.Fatal(err)
	}
	expect(t, 20*time.Second, s.dns, www, "192.0.2.2")
	write(t, db, "this is not a database")
	until(t, 20*time.Second, "the broken database is told in status", func() error {
		_, body, err := s.get("/api/v1/status")
		if err != nil {
			return err
		}
		if !regexp.MustCompile(`"error":"[^"]*clients\.mmdb`).MatchString(body) {
			return fmt.Errorf("%s", body)
		}
		return nil
	})
	still(t, s.dns, www, "192.0.2.2")
}
