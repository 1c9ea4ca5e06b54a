//go:build !noembed

package main

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// promtool runs Debian's promtool in deploy/observability.
func promtool(t *testing.T, input []byte, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("promtool is missing: .ci/run installs it with Debian's prometheus")
		}
		t.Skip("promtool is not installed: apt-get install prometheus")
	}
	c := exec.CommandContext(t.Context(), path, args...)
	c.Dir, c.Stdin = "../../deploy/observability", bytes.NewReader(input)
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestAlertsFire(t *testing.T) {
	promtool(t, nil, "check", "config", "prometheus.yaml")
	promtool(t, nil, "test", "rules", "alerts_test.yaml")
}

// TestMetricsAreWellFormed checks the metrics of a server that has answered against Prometheus's rules for metrics.
func TestMetricsAreWellFormed(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/zone.yaml", `{kind: Zone, name: example.test, nameservers: [ns1.example.test], dnssec: {enabled: true}}
---
{kind: Record, name: example.test/ns1/A, data: [192.0.2.1]}
---
{kind: Region, name: eu}
---
{kind: Monitor, name: m, interval: 500ms, timeout: 200ms, fall: 1, tcp: {port: 1}}
---
{kind: Pool, name: www-eu, region: eu, monitor: m}
---
{kind: Endpoint, name: www-eu/a, addresses: [127.0.0.1]}
---
{kind: Policy, name: www.example.test, rules: [{failover: [www-eu]}]}
`)
	server := serveFiles(t, dir,
		"--state", t.TempDir(), "--dnstap", t.TempDir()+"/tap", "--count-countries",
		"--metrics-detail")
	var metrics bytes.Buffer
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) { // until there is a verdict
		response, err := http.Get(server.admin + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		metrics.Reset()
		_, err = metrics.ReadFrom(response.Body)
		response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		missing := ""
		for _, want := range []string{
			"leeward_endpoint_up{",
			"leeward_dns_policy_answers_total{",
			"leeward_dnstap_open ",
			"leeward_dnssec_zone_expiry_seconds{",
		} {
			if !strings.Contains(metrics.String(), "\n"+want) {
				missing = want
			}
		}
		if missing == "" {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("there is no %s within a minute", missing)
		}
	}
	promtool(t, metrics.Bytes(), "check", "metrics")
}

// TestRunbooks: each alert has a severity, a runbook that exists, and a case in which it fires.
func TestRunbooks(t *testing.T) {
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert               string
				Labels, Annotations map[string]string
			}
		}
	}
	text, err := os.ReadFile("../../deploy/observability/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &rules); err != nil {
		t.Fatal(err)
	}
	cases, err := os.ReadFile("../../deploy/observability/alerts_test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			n++
			page, anchor, _ := strings.Cut(r.Annotations["runbook"], "#")
			text, err := os.ReadFile("../../" + page)
			if err != nil || !anchors(string(text))[anchor] {
				t.Errorf("%s: there is no runbook %q (%v)", r.Alert, r.Annotations["runbook"], err)
			}
			if s := r.Labels["severity"]; s != "page" && s != "ticket" {
				t.Errorf("%s: severity %q", r.Alert, s)
			}
			if !strings.Contains(string(cases), "alertname: "+r.Alert+"\n") {
				t.Errorf("%s: alerts_test.yaml has no case in which it fires", r.Alert)
			}
		}
	}
	if n < 12 {
		t.Errorf("only %d alerts", n)
	}
}
