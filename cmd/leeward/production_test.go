//go:build linux && !noembed

package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.yaml.in/yaml/v3"
)

// site is the etcd of three members that docs/production.md builds, on loopback.
type site struct {
	t   *testing.T
	dir string
}

// sh runs a script of the page as it is there, except for the addresses.
func (s *site) sh(script string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-e", "-c", script)
	cmd.Dir = s.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("%v\n%s\n%s", err, script, out)
	}
}

// as runs etcdctl as a user.
func (s *site) as(user string, args ...string) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "etcdctl", args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(),
		"ETCDCTL_API=3", "ETCDCTL_ENDPOINTS=https://127.88.1.2:2379",
		"ETCDCTL_CACERT=ca.pem", "ETCDCTL_CERT="+user+".pem", "ETCDCTL_KEY="+user+".key")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// flags returns the flags with which a verb reaches etcd as a user.
func (s *site) flags(user string) []string {
	return []string{
		"--etcd", "https://127.88.1.2:2379,https://127.88.2.2:2379", "--etcd-ca", filepath.Join(s.dir, "ca.pem"),
		"--etcd-cert", filepath.Join(s.dir, user+".pem"), "--etcd-key", filepath.Join(s.dir, user+".key"),
	}
}

// build runs sections 1 to 3 of the page.
func build(t *testing.T) *site {
	t.Helper()
	for _, program := range []string{"etcd", "etcdctl", "openssl"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	s := &site{t, t.TempDir()}
	scripts := map[string]string{}
	for _, b := range blocksOf(t, "../../docs/production.md") {
		if b.language == "sh" {
			scripts[b.section] = strings.ReplaceAll(b.text, "10.88.", "127.88.")
		}
	}
	// On loopback, members connect from 127.0.0.1.
	s.sh(strings.ReplaceAll(scripts["1. Certificates"], "IP:$2", "IP:$2,IP:127.0.0.1"))
	start := strings.ReplaceAll(scripts["2. etcd"], `\
    --heartbeat-interval 500 --election-timeout 5000`, "")
	for i, name := range []string{"etcd-eu", "etcd-us", "etcd-ap"} {
		mine := strings.NewReplacer(
			"--name etcd-eu --data-dir etcd-eu", "--name "+name+" --data-dir "+name, "etcd-eu.", name+".",
			"urls https://127.88.1.2", fmt.Sprintf("urls https://127.88.%d.2", i+1),
		).Replace(start)
		cmd := exec.Command("sh", "-c", "exec "+mine)
		cmd.Dir = s.dir
		var log bytes.Buffer
		cmd.Stdout, cmd.Stderr = &log, &log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			if t.Failed() {
				t.Logf("%s:\n%s", name, log.String()[max(0, log.Len()-2000):])
			}
		})
	}
	for limit := time.Now().Add(time.Minute); ; {
		err := s.as("root", "get", "/")
		if err == nil {
			break
		}
		if time.Now().After(limit) {
			t.Fatalf("etcd does not come up: %v", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	s.sh(scripts["3. Users and roles"])
	return s
}

// TestProductionRights: the roles of docs/production.md let each user do its work, and no more.
func TestProductionRights(t *testing.T) {
	s := build(t)
	for _, may := range []struct {
		user, key string
		write     bool
	}{
		{"ns-eu", "policies/www.example.test", false},
		{"ns-eu", "zones/example.test", false},
		{"ns-eu", "meta/accepted", false},
		{"ns-eu", "meta/cookie-secret", true},
		{"ns-eu", "records/example.test/a/A", true},
		{"probe-1", "records/example.test/a/A", false},
		{"probe-1", "meta/cookie-secret", false},
		{"probe-1", "reports/probe-1/www-eu", true},
		{"oncall", "policies/www.example.test", false},
		{"oncall", "overrides/region/eu", true},
		{"deploy", "policies/www.example.test", true},
	} {
		err := s.as(may.user, "put", "/leeward/"+may.key, "{}")
		if may.write != (err == nil) || err != nil && !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%s writes %s: %v", may.user, may.key, err)
		}
	}
	if err := s.as("root", "del", "/leeward/", "--prefix"); err != nil {
		t.Fatal(err)
	}
	if err := s.as("deploy", "put", "/elsewhere", "x"); err == nil {
		t.Error("deploy writes outside of the prefix")
	}

	// Each user does its work.
	resources := filepath.Join(s.dir, "site.yaml")
	write(t, resources, `
kind: Zone
name: example.test
nameservers: [ns1.example.test]
update: [{key: acme, names: ["_acme-challenge.**"], types: [TXT]}]
---
{kind: Record, name: example.test/ns1/A, data: [127.0.0.1]}
---
{kind: Region, name: eu}
---
{kind: Region, name: us}
---
{kind: Monitor, name: outside, external: {}}
---
{kind: Pool, name: www-eu, region: eu, monitor: outside}
---
{kind: Pool, name: www-us, region: us, monitor: outside}
---
{kind: Endpoint, name: www-eu/1, addresses: [127.0.0.1]}
---
{kind: Endpoint, name: www-us/1, addresses: [127.0.0.2]}
---
{kind: Policy, name: www.example.test, rules: [{failover: [www-eu, www-us]}]}
`)
	verb := func(user string, args ...string) {
		t.Helper()
		if status, out, errs := command(t, append(args, s.flags(user)...)...); status != 0 {
			t.Fatalf("%s: %v: status %d\n%s%s", user, args, status, out, errs)
		}
	}
	verb("deploy", "apply", "-f", resources)
	write(t, filepath.Join(s.dir, "tsig"), `key "acme" { algorithm hmac-sha256; secret "c2VjcmV0IG9mIGFjbWU="; };`)
	server := serve(t, append([]string{
		"serve", "--id", "ns-eu", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
		"--tsig-key", filepath.Join(s.dir, "tsig"),
	}, s.flags("ns-eu")...)...)
	probe := serve(t, append([]string{"probe", "--id", "probe-1", "--admin", "127.0.0.1:0"}, s.flags("probe-1")...)...)
	answers := func(address string) func() bool {
		return func() bool {
			records, _ := server.ask("www.example.test", dns.TypeA, "198.51.100.0/24")
			return len(records) == 1 && strings.HasSuffix(records[0], " "+address)
		}
	}
	server.await("it answers", answers("127.0.0.1"))
	for _, v := range []*service{server, probe} {
		v.awaitLog("reports are written to etcd")
	}
	verb("oncall", "drain", "region/eu", "--for", "1h")
	server.await("the drained region is out", answers("127.0.0.2"))
	verb("oncall", "restore", "region/eu")
	server.await("the region is back", answers("127.0.0.1"))

	update := new(dns.Msg).SetUpdate("example.test.")
	txt, err := dns.NewRR(`_acme-challenge.example.test. 60 IN TXT "token"`)
	if err != nil {
		t.Fatal(err)
	}
	update.Insert([]dns.RR{txt})
	update.SetTsig("acme.", dns.HmacSHA256, 300, time.Now().Unix())
	client := &dns.Client{TsigSecret: map[string]string{"acme.": "c2VjcmV0IG9mIGFjbWU="}, Timeout: 30 * time.Second}
	if answer, _, err := client.Exchange(update, server.dns); err != nil || answer.Rcode != dns.RcodeSuccess {
		t.Errorf("the update: %v, %v", answer, err)
	}
	server.await("the record is answered", func() bool {
		records, _ := server.ask("_acme-challenge.example.test", dns.TypeTXT, "198.51.100.0/24")
		return len(records) == 1
	})
	for _, v := range []*service{server, probe} {
		status, out, errs := command(t, "status", "--admin", v.admin)
		if status != 0 || strings.Contains(out, "denied") {
			t.Errorf("a status that a role of the page cannot complete: %d\n%s%s", status, out, errs)
		}
		if strings.Contains(v.logged(), "permission denied") {
			t.Errorf("something was denied:\n%s", v.logged())
		}
	}
	for _, user := range []string{"oncall", "deploy", "root"} {
		if _, out, errs := command(t, append(s.flags(user), "status")...); strings.Contains(out+errs, "denied") {
			t.Errorf("the status of %s is not complete:\n%s%s", user, out, errs)
		}
	}
	if err := s.as("root", "role", "revoke-permission", "leeward-oncall", "/leeward.servers/", "--prefix"); err != nil {
		t.Fatal(err)
	}
	const due = "the user needs a role that reads the prefix "
	_, out, _ := command(t, append(s.flags("oncall"), "status")...)
	if !strings.Contains(out, due+"/leeward.servers/") {
		t.Errorf("a status without that right does not say what is due:\n%s", out)
	}

	// Without any right, each verb says so, and does not wait for an etcd that has answered already.
	if err := s.as("root", "user", "revoke-role", "oncall", "leeward-oncall"); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"status", "explain www.example.test --client 198.51.100.7"} {
		status, out, errs := command(t, append(s.flags("oncall"), strings.Fields(line)...)...)
		if status != 1 || !strings.Contains(errs, due+"/leeward/") || strings.Contains(errs, "waiting") {
			t.Errorf("%s without a role: status %d\n%s%s", line, status, out, errs)
		}
	}
}

// TestCompose: Prometheus scrapes the servers that compose starts, with their token. Images have a tag and no registry,
// and the cluster's resources are valid.
func TestCompose(t *testing.T) {
	parse := func(file string, into any) string {
		t.Helper()
		text, err := os.ReadFile("../../deploy/compose/" + file)
		if err == nil {
			err = yaml.Unmarshal(text, into)
		}
		if err != nil {
			t.Fatal(file, err)
		}
		return string(text)
	}
	var compose struct {
		Services map[string]struct {
			Image       string
			Environment map[string]string
			Networks    map[string]struct {
				Address string `yaml:"ipv4_address"`
			}
		}
	}
	parse("compose.yaml", &compose)
	var prometheus struct {
		Scrape []struct {
			Authorization struct{ Credentials string }
			Static        []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	parse("prometheus.yaml", &prometheus)
	scrape := prometheus.Scrape[0]
	for name, s := range compose.Services {
		if image := regexp.MustCompile(`^\$\{[A-Z_]+:-(.*)\}$`).ReplaceAllString(s.Image, "$1"); image != "leeward" &&
			!regexp.MustCompile(`^[a-z0-9-]+(/[a-z0-9-]+)?:[a-z0-9.]+$`).MatchString(image) {
			t.Errorf("%s: the image is %s", name, image)
		}
		if s.Environment["LEEWARD_ID"] == "" {
			continue
		}
		target := s.Networks["world"].Address + s.Environment["LEEWARD_ADMIN"]
		if !slices.Contains(scrape.Static[0].Targets, target) {
			t.Errorf("Prometheus does not ask %s, which is %s", name, target)
		}
		if !strings.Contains(s.Environment["LEEWARD_ADMIN_TOKEN"], scrape.Authorization.Credentials) {
			t.Errorf("Prometheus has not the token of %s", name)
		}
	}
	if status, out, errs := command(t, "check", "-f", "../../deploy/compose/resources.yaml"); status != 0 {
		t.Errorf("resources.yaml: %s%s", out, errs)
	}
}

// TestAlertsNameMetrics: every metric that an alert names exists, and the file of alerts can be read.
func TestAlertsNameMetrics(t *testing.T) {
	text, err := os.ReadFile("../../deploy/observability/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	if err := yaml.Unmarshal(text, &rules); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "zone.yaml"), oneZone)
	server := serveFiles(t, dir, "--state", t.TempDir())
	response, err := http.Get(server.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var metrics bytes.Buffer
	if _, err := metrics.ReadFrom(response.Body); err != nil {
		t.Fatal(err)
	}
	admin, err := os.ReadFile("../../docs/admin.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			for _, name := range regexp.MustCompile(`leeward_[a-z_]+`).FindAllString(r.Expr, -1) {
				n++
				family := strings.TrimSuffix(name, "_bucket")
				// Metrics that exist only with etcd are checked by their line in admin.md.
				if !strings.Contains(metrics.String(), "# TYPE "+family+" ") &&
					!strings.Contains(string(admin), "`"+family) {
					t.Errorf("%s: there is no metric %s", r.Alert, name)
				}
			}
		}
	}
	if n < 10 {
		t.Errorf("only %d metrics are named", n)
	}
}
