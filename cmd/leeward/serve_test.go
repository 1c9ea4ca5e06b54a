package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// service is a verb that runs in this process until the test ends.
type service struct {
	t     *testing.T
	stop  context.CancelFunc
	done  chan int // exit status
	dns   string
	admin string

	mu  sync.Mutex
	log bytes.Buffer
}

func (s *service) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(b)
}

func (s *service) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// serve runs a verb that serves, and returns once it says where.
func serve(t *testing.T, args ...string) *service {
	t.Helper()
	return serveWith(t, nil, args...)
}

// serveFiles serves a folder, with an admin interface.
func serveFiles(t *testing.T, folder string, flags ...string) *service {
	t.Helper()
	args := []string{"serve", "--files", folder, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}
	return serve(t, append(args, flags...)...)
}

// serveWith is serve with environment variables.
func serveWith(t *testing.T, environment []string, args ...string) *service {
	t.Helper()
	s := &service{t: t, done: make(chan int, 1)}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go func() {
		s.done <- run(ctx, append(args, "--log-format", "json"), environment, strings.NewReader(""), io.Discard, s)
	}()
	t.Cleanup(func() { s.end() })
	s.await("it serves", func() bool {
		for line := range strings.Lines(s.logged()) {
			var entry struct {
				Msg   string
				DNS   []netip.AddrPort
				Admin string
			}
			if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "serving" {
				if len(entry.DNS) > 0 {
					s.dns = entry.DNS[0].String()
				}
				s.admin = "http://" + entry.Admin
				return true
			}
		}
		return false
	})
	return s
}

// end stops it as SIGTERM does, and returns the exit status.
func (s *service) end() int {
	s.stop()
	status := <-s.done
	s.done <- status
	return status
}

// await asks again and again until f holds.
func (s *service) await(what string, f func() bool) {
	s.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for !f() {
		select {
		case <-tick.C:
		case status := <-s.done:
			s.done <- status
			s.t.Fatalf("exit status %d before %s:\n%s", status, what, s.logged())
		case <-limit:
			s.t.Fatalf("%s: not within 30 s:\n%s", what, s.logged())
		}
	}
}

// awaitLog waits until its log has a text.
func (s *service) awaitLog(text string) {
	s.t.Helper()
	s.await("its log has "+text, func() bool { return strings.Contains(s.logged(), text) })
}

// ask sends a real query with a client's subnet and returns the answer's records and the ECS scope.
func (s *service) ask(name string, qtype uint16, subnet string) (records []string, scope int) {
	s.t.Helper()
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype)
	prefix := netip.MustParsePrefix(subnet)
	m.SetEdns0(1232, false)
	m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_SUBNET{
		Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: uint8(prefix.Bits()), Address: prefix.Addr().AsSlice(),
	})
	r, err := dns.Exchange(m, s.dns)
	if err != nil {
		s.t.Fatalf("%s: %v\n%s", name, err, s.logged())
	}
	for _, rr := range r.Answer {
		records = append(records, strings.Join(strings.Fields(rr.String()), " "))
	}
	if opt := r.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if e, ok := o.(*dns.EDNS0_SUBNET); ok {
				scope = int(e.SourceScope)
			}
		}
	}
	return records, scope
}

// command runs a verb that ends.
func command(t *testing.T, args ...string) (status int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	status = run(t.Context(), args, nil, strings.NewReader(""), &o, &e)
	return status, o.String(), e.String()
}

// lacksAny says whether a text lacks any of the parts.
func lacksAny(text string, parts ...string) bool {
	return slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) })
}

const oneZone = `kind: Zone
name: example.test
nameservers: [ns1.example.test]
hostmaster: hostmaster@example.test
---
kind: Region
name: eu-west
latitude: 53.3
longitude: -6.3
---
kind: Region
name: us-east
latitude: 39.0
longitude: -77.5
---
kind: Pool
name: www-eu
region: eu-west
---
kind: Pool
name: www-us
region: us-east
---
kind: Endpoint
name: www-eu/lb-1
addresses: [192.0.2.1]
---
kind: Endpoint
name: www-us/lb-1
addresses: [192.0.2.2]
---
kind: Policy
name: www.example.test
rules:
  - nearest: [www-us, www-eu]
`

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A folder is served, steered by the built-in table of countries, explained, and followed.
func TestServeFiles(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	write(t, filepath.Join(dir, "all.yaml"), oneZone)
	start := func() *service { return serveFiles(t, dir, "--id", "fra", "--state", state, "--rrl", "100") }
	s := start()
	s.await("ready", func() bool { return get(t, s.admin+"/readyz") == http.StatusOK })

	const europe, america = "193.0.6.0/24", "4.4.4.0/24"
	got, scope := s.ask("www.example.test", dns.TypeA, europe)
	if len(got) != 1 || !strings.HasSuffix(got[0], "IN A 192.0.2.1") || scope == 0 || scope > 24 {
		t.Errorf("Europe is answered %q with scope /%d", got, scope)
	}
	got, _ = s.ask("www.example.test", dns.TypeA, america)
	if len(got) != 1 || !strings.HasSuffix(got[0], "IN A 192.0.2.2") {
		t.Errorf("America is answered %q", got)
	}

	for _, ask := range []struct {
		args   []string
		status int
		says   string
	}{
		{nil, 0, "Both regions answer."},
		{[]string{"--exit-code"}, 0, "Both regions answer."},
		{[]string{"us-east"}, 0, "us-east answers."},
		{[]string{"www.example.test"}, 0, "www-us/lb-1"},
		{[]string{"nowhere"}, 2, `transferred or signed zone or steered name "nowhere"`},
		{[]string{"--watch", "--exit-code"}, 2, "leave out --exit-code"},
	} {
		status, out, errs := command(t, append([]string{"status", "--admin", s.admin}, ask.args...)...)
		if status != ask.status || !strings.Contains(out+errs, ask.says) {
			t.Errorf("status %q: %d, want %d with %q:\n%s%s", ask.args, status, ask.status, ask.says, out, errs)
		}
	}
	status, out, errs := command(t, "status", "-o", "wide", "--admin", s.admin)
	if status != 0 || lacksAny(out, "fra *", "www-eu/lb-1", "following") {
		t.Errorf("status: %d\n%s%s", status, out, errs)
	}
	status, out, errs = command(t, "explain", "www.example.test", "A", "--client", "193.0.6.7", "--admin", s.admin)
	if status != 0 || lacksAny(out, "192.0.2.1", "ECS scope", "NL") {
		t.Errorf("explain: %d\n%s%s", status, out, errs)
	}
	// Computed without the server, the explanation is the same.
	var there, aside map[string]any
	_, out, _ = command(t, "explain", "www.example.test", "--client", "193.0.6.7", "--admin", s.admin, "-o", "json")
	if err := json.Unmarshal([]byte(out), &there); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	status, out, errs = command(t, "explain", "www.example.test", "--client", "193.0.6.7", "--files", dir, "-o", "json")
	if err := json.Unmarshal([]byte(out), &aside); err != nil {
		t.Fatalf("%d %v\n%s%s", status, err, out, errs)
	}
	for _, field := range []string{"outcome", "pool", "region", "scope", "ttl"} {
		if there[field] != aside[field] || there[field] == nil {
			t.Errorf("explain: %s is %v from the server and %v from the folder", field, there[field], aside[field])
		}
	}

	write(t, filepath.Join(dir, "more.yaml"), "kind: Record\nname: example.test/new/TXT\ndata: ['\"here\"']\n")
	s.await("the new record is answered", func() bool {
		got, _ := s.ask("new.example.test", dns.TypeTXT, europe)
		return len(got) == 1 && strings.HasSuffix(got[0], `IN TXT "here"`)
	})

	if status := s.end(); status != 0 {
		t.Errorf("exit status %d\n%s", status, s.logged())
	}
	// A server serves what it has kept, although the folder has become unreadable in the meantime.
	write(t, filepath.Join(dir, "all.yaml"), "kind: [")
	again := start()
	again.await("answers from the kept copy", func() bool {
		got, _ := again.ask("www.example.test", dns.TypeA, europe)
		return len(got) == 1 && strings.HasSuffix(got[0], "IN A 192.0.2.1")
	})
}

// A master file cannot be read to its end. Without a good version of the zone the answer is SERVFAIL, with the reason
// for people, and never NXDOMAIN or a referral by the parent zone. A good version stays in service.
func TestServeNoZoneInPart(t *testing.T) {
	dir := t.TempDir()
	const head = "$TTL 300\n@ SOA ns1.example.test. h.example.test. 7 3600 900 1209600 30\n@ NS ns1.example.test.\n"
	parent, child := filepath.Join(dir, "example.test.zone"), filepath.Join(dir, "sub.example.test.zone")
	write(t, parent, head+"ns1 A 192.0.2.53\n")
	write(t, child, head+"www A 192.0.2.1\nwrong A 192.0.2.300\nlast A 192.0.2.3\n")
	s := serveFiles(t, dir, "--id", "fra")
	asked := func(name string) string {
		m := new(dns.Msg).SetQuestion(name, dns.TypeA)
		m.SetEdns0(1232, false)
		r, err := dns.Exchange(m, s.dns)
		if err != nil {
			t.Fatal(err)
		}
		said := dns.RcodeToString[r.Rcode]
		for _, o := range r.IsEdns0().Option {
			if e, ok := o.(*dns.EDNS0_EDE); ok {
				said += fmt.Sprintf(" EDE %d %s", e.InfoCode, e.ExtraText)
			}
		}
		return said
	}
	await := func(name, want string) {
		t.Helper()
		s.await(name+" is "+want, func() bool { return asked(name) == want })
	}
	await("ns1.example.test.", "NOERROR")
	for _, name := range []string{"www", "last", "nowhere"} {
		await(name+".sub.example.test.", "SERVFAIL EDE 24 the zone as it is configured cannot be used")
	}
	write(t, child, head+"www A 192.0.2.1\nlast A 192.0.2.3\n"+strings.Repeat("last A 192.0.2.3\n", 200)+
		"end A 192.0.2.4\n")
	await("end.sub.example.test.", "NOERROR")
	await("nowhere.sub.example.test.", "NXDOMAIN")
	write(t, child, head+"new A 192.0.2.1\nwrong A 192.0.2.300\n")
	s.await("the fault is in the status", func() bool {
		_, out, _ := command(t, "status", "--admin", s.admin)
		return strings.Contains(out, "192.0.2.300")
	})
	await("end.sub.example.test.", "NOERROR")
	await("new.sub.example.test.", "NXDOMAIN")
}

// One resource of an otherwise good zone cannot be read. Its name is SERVFAIL and not denied, the zone's other names
// are answered, and no part of the zone is transferred. Once there is a good version, it stays in service.
func TestServeWhatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "all.yaml")
	const head = "kind: Zone\nname: example.test\nnameservers: [ns.example.net]\n" +
		"transfer: {allow: [127.0.0.1]}\n---\n" +
		"{kind: Record, name: example.test/good/A, data: [192.0.2.1]}\n---\n"
	write(t, file, head+"{kind: Record, name: example.test/www/A, data: [192.0.2.300]}\n---\n"+
		"{kind: Policy, name: app.example.test, rules: none}\n")
	s := serveFiles(t, dir, "--id", "fra")
	asked := func(name string, qtype uint16) string {
		m := new(dns.Msg).SetQuestion(name, qtype)
		m.SetEdns0(1232, false)
		c := dns.Client{}
		if qtype == dns.TypeAXFR {
			c.Net = "tcp"
		}
		r, _, err := c.Exchange(m, s.dns)
		if err != nil {
			t.Fatal(err)
		}
		said := dns.RcodeToString[r.Rcode]
		if opt := r.IsEdns0(); opt != nil {
			for _, o := range opt.Option {
				if e, ok := o.(*dns.EDNS0_EDE); ok {
					said += fmt.Sprintf(" EDE %d", e.InfoCode)
				}
			}
		}
		return said
	}
	await := func(name string, qtype uint16, want string) {
		t.Helper()
		s.await(fmt.Sprint(name, qtype, " is ", want), func() bool { return asked(name, qtype) == want })
	}
	await("good.example.test.", dns.TypeA, "NOERROR")
	await("nowhere.example.test.", dns.TypeA, "NXDOMAIN")
	await("www.example.test.", dns.TypeA, "SERVFAIL EDE 24")
	await("www.example.test.", dns.TypeAAAA, "NOERROR")
	await("app.example.test.", dns.TypeMX, "SERVFAIL EDE 24")
	await("example.test.", dns.TypeAXFR, "SERVFAIL EDE 24")
	_, out, _ := command(t, "explain", "www.example.test", "--admin", s.admin, "--client", "192.0.2.1")
	if !strings.Contains(out, "cannot be read") {
		t.Error(out)
	}
	write(t, file, head+"{kind: Record, name: example.test/www/A, data: [192.0.2.30]}\n")
	await("www.example.test.", dns.TypeA, "NOERROR")
	await("app.example.test.", dns.TypeMX, "NXDOMAIN")
	await("example.test.", dns.TypeAXFR, "NOERROR")
	write(t, file, head+"{kind: Record, name: example.test/www/A, data: [192.0.2.300]}\n")
	s.await("the fault is in the status", func() bool {
		_, out, _ := command(t, "status", "--admin", s.admin)
		return strings.Contains(out, "192.0.2.300")
	})
	await("www.example.test.", dns.TypeA, "NOERROR")
	await("example.test.", dns.TypeAXFR, "NOERROR")
}

func get(t *testing.T, page string) int {
	t.Helper()
	r, err := http.Get(page)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	return r.StatusCode
}

func TestServeUsage(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		args  []string
		holds string
	}{
		{[]string{"serve"}, "--etcd URL,… or --files DIR"},
		{[]string{"serve", "--files", dir, "--etcd", "http://127.0.0.1:1"}, "exclude each other"},
		{[]string{"serve", "--files", dir, "--admin", "0.0.0.0:0"}, "not loopback"},
		{[]string{"serve", "--files", dir, "--admin", "8053"}, "127.0.0.1:8053"},
		{[]string{"serve", "--files", dir, "--rrl", "-1"}, "--rrl"},
		{[]string{"serve", "--files", dir, "--rrl-slip", "101"}, "--rrl-slip"},
		{[]string{"serve", "--files", dir, "--rrl-exempt", "192.0.2.0/33"}, "--rrl-exempt"},
		{[]string{"serve", "--files", dir, "--listen", "127.0.0.1"}, "--listen"},
		{[]string{"serve", "--files", dir, "--id", "a/b"}, "--id"},
		{[]string{"serve", "--files", dir, "--id", "fra\xff"}, "UTF-8"},
		{[]string{"serve", "--files", dir, "--admin-token", " "}, "--admin-token"},
		{[]string{"serve", "--files", dir, "--chaos", "id,authors"}, "--chaos"},
		{[]string{"serve", "--files", dir, "--log-level", "loud"}, "--log-level"},
		{[]string{"serve", "--files", dir, "--id", "a", "--id", "b"}, "given twice"},
		{[]string{"serve", "--files", dir, "--no-probe"}, "--no-probe with --files"},
		{
			[]string{"serve", "--etcd", "http://127.0.0.1:1", "--no-probe", "--probe-cert", dir, "--probe-key", dir},
			"no effect",
		},
		{[]string{"serve", "--files", dir, "--compact", "1h"}, "--compact has no effect"},
		{[]string{"serve", "--files", dir, "--etcd-user", "root"}, "--etcd-user has no effect"},
		{[]string{"serve", "--etcd", "http://127.0.0.1:1", "--etcd-insecure"}, "no https:"},
		{[]string{"serve", "--etcd", "http://127.0.0.1:1", "--etcd-password-file", dir}, "needs --etcd-user"},
		{[]string{"serve", "--files", dir, "--rrl", "0", "--rrl-slip", "3"}, "--rrl-slip has no effect"},
		{[]string{"serve", "--files", dir, "--rrl", "0", "--rrl-exempt", "192.0.2.0/24"}, "--rrl-exempt has no effect"},
		{[]string{"serve", "--files", dir, "--admin", "", "--admin-token", "x"}, "--admin-token has no effect"},
		{[]string{"probe", "--etcd", "http://127.0.0.1:1", "--region", "a", "--region", "b"}, "given twice"},
		{[]string{"probe", "--etcd", "http://127.0.0.1:1", "--admin-token", "x"}, "--admin-token has no effect"},
		{[]string{"explain", "www.example.test"}, "--client"},
		{[]string{"explain"}, "arg"},
		{[]string{"status", "--watch", "-o", "json"}, "--watch"},
		{[]string{"demo", "--fail", "mars"}, "eu-west"},
		{[]string{"demo", "--for", "1s"}, "--fail"},
	} {
		status, _, errs := command(t, c.args...)
		if status != 2 || !strings.Contains(errs, c.holds) {
			t.Errorf("leeward %s: exit status %d, %q; want 2 and %q", strings.Join(c.args, " "), status, errs, c.holds)
		}
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, args := range [][]string{
		{"serve", "--files", dir, "--listen", "127.0.0.1:0", "--admin", taken.Addr().String()},
		{"serve", "--files", filepath.Join(dir, "none"), "--listen", "127.0.0.1:0", "--admin", ""},
		{"serve", "--files", dir, "--listen", taken.Addr().String(), "--admin", ""},
		{"status", "--admin", "http://127.0.0.1:1"},
	} {
		if status, _, errs := command(t, args...); status != 1 || errs == "" {
			t.Errorf("leeward %s: exit status %d, %q; want 1", strings.Join(args, " "), status, errs)
		}
	}
}

// A folder for --state that cannot be written is reported before the first answer, but the server starts.
func TestStateThatCannotBeWritten(t *testing.T) {
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "zones"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(folder, "zones", "a.yaml"),
		"{kind: Zone, name: example.test, nameservers: [ns.example.net]}\n")
	write(t, filepath.Join(folder, "file"), "")
	s := serveFiles(t, filepath.Join(folder, "zones"), "--state", filepath.Join(folder, "file", "state"))
	lines := strings.Split(s.logged(), "\n")
	at := func(text string) int {
		return slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, text) })
	}
	failed, serving := at("the folder of --state cannot be written"), at(`"msg":"serving"`)
	if failed < 0 || failed > serving {
		t.Errorf("it is not said before it serves:\n%s", strings.Join(lines, "\n"))
	}
	status, out, errs := command(t, "status", "--admin", s.admin)
	if status != 0 || !strings.Contains(out, "the copy on disk is not kept") {
		t.Errorf("exit status %d:\n%s%s", status, out, errs)
	}
	s.await("it answers", func() bool {
		records, _ := s.ask("example.test.", dns.TypeNS, "192.0.2.0/24")
		return len(records) == 1
	})
}

// --chaos selects what the server says about itself to questions of class CH.
func TestServeChaos(t *testing.T) {
	for _, c := range []struct{ chaos, id, version string }{
		{"id,version", "fra-1", "leeward "},
		{"id", "fra-1", ""},
		{"", "", ""},
	} {
		s := serve(t, "serve", "--files", t.TempDir(), "--listen", "127.0.0.1:0", "--admin", "",
			"--id", "fra-1", "--chaos", c.chaos)
		for name, want := range map[string]string{"id.server.": c.id, "version.bind.": c.version} {
			m := new(dns.Msg).SetQuestion(name, dns.TypeTXT)
			m.Question[0].Qclass = dns.ClassCHAOS
			r, err := dns.Exchange(m, s.dns)
			switch {
			case err != nil:
				t.Fatal(err)
			case want == "" && r.Rcode != dns.RcodeRefused:
				t.Errorf("--chaos %q: %s is answered:\n%s", c.chaos, name, r)
			case want != "" && (len(r.Answer) != 1 || !strings.HasPrefix(r.Answer[0].(*dns.TXT).Txt[0], want)):
				t.Errorf("--chaos %q: %s is not %q:\n%s", c.chaos, name, want, r)
			}
		}
		s.end()
	}
}

// A shell or a unit file may have a server's own environment, which names both etcd and the admin interface. Verbs that
// ask then ask the server.
func TestEnvironmentOfAServer(t *testing.T) {
	env := []string{"LEEWARD_ETCD=http://127.0.0.1:1", "LEEWARD_ADMIN=127.0.0.1:2", "LEEWARD_ETCD_TIMEOUT=1s"}
	for _, args := range [][]string{{"status"}, {"explain", "www.example.test", "--client", "192.0.2.1"}} {
		var out, errs bytes.Buffer
		status := run(t.Context(), args, env, strings.NewReader(""), &out, &errs)
		if status != 1 || !strings.Contains(errs.String(), "nobody answers at http://127.0.0.1:2") {
			t.Errorf("leeward %s: exit status %d, %q", strings.Join(args, " "), status, errs.String())
		}
		errs.Reset()
		status = run(t.Context(), append(args, "--etcd", "http://127.0.0.1:3"), env, strings.NewReader(""), &out, &errs)
		if status != 1 || !strings.Contains(errs.String(), "http://127.0.0.1:3") {
			t.Errorf("leeward %s with --etcd: exit status %d, %q", strings.Join(args, " "), status, errs.String())
		}
	}
}
