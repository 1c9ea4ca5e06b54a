//go:build !noembed

package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	grafana "github.com/grafana/grafana-foundation-sdk/go/dashboard"
	source "github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
	"github.com/miekg/dns"

	"leeward/cmd/leeward/embedded"
)

var drawDashboard = flag.Bool("draw-dashboard", false, "write deploy/observability/dashboard.json anew")

const dashboardFile = "../../deploy/observability/dashboard.json"

// panel is one picture of the dashboard.
type panel struct {
	title, about string
	unit         string
	stat         bool // one number, not lines over time
	bad          int  // a number is red from here on; 0: no number is bad
	queries      [][2]string
}

// row is a row of the dashboard, with its subject.
type row struct {
	title  string
	panels []panel
}

// The dashboard's rows, in the order of the questions of somebody who was woken.
var dashboard = []row{
	{"Now", []panel{
		{
			"Servers that answer Prometheus", "Servers whose metrics were read at the last scrape.",
			"none", true, 0,
			[][2]string{
				{"servers", `sum(up{job="leeward"})`},
			},
		},
		{
			"Servers that follow their source", "The others answer from the last resources that they knew.",
			"none", true, 0,
			[][2]string{
				{"servers", `sum(leeward_source_state{state="following"})`},
			},
		},
		{"Addresses down", "By the verdict of all vantages.", "none", true, 1, [][2]string{
			{"addresses", `sum(max by (region) (leeward_verdict_down))`},
		}},
		{
			"Answers that failed open",
			"In five minutes: a name had no healthy endpoint, and was answered as if all were healthy.",
			"none", true, 1,
			[][2]string{
				{"answers", `sum(increase(leeward_dns_fail_open_total[5m]))`},
			},
		},
		{"Problems and held removals", "leeward status says which, and what to do.", "none", true, 1, [][2]string{
			{"problems", `max(leeward_problems)`},
			{"held", `max(leeward_held_changes)`},
		}},
	}},
	{"Where clients went", []panel{
		{"Answers by pool", "Share of all answers of pools.", "percentunit", false, 0, [][2]string{
			{"{{pool}}", `leeward:pool_share:rate5m`},
		}},
		{
			"Load of pools", "Load of endpoints that are up, and their target, in the unit of their capacity.",
			"short", false, 0,
			[][2]string{
				{"{{pool}}", `max by (pool) (leeward_pool_load)`},
				{"{{pool}} target", `max by (pool) (leeward_pool_capacity{kind="target"})`},
			},
		},
		{
			"Share of its clients that a pool keeps",
			"Below 1 a pool passes clients on, because it has no capacity for them.",
			"percentunit", false, 0,
			[][2]string{
				{"{{pool}}", `min by (pool) (leeward_pool_keep)`},
			},
		},
		{"Answers that failed open", "A second.", "ops", false, 0, [][2]string{
			{"{{instance}}", `rate(leeward_dns_fail_open_total[5m])`},
		}},
	}},
	{"Queries", []panel{
		{"Queries by server", "A second.", "ops", false, 0, [][2]string{{"{{instance}}", `leeward:queries:rate5m`}}},
		{
			"Responses by code", "A second.",
			"ops", false, 0,
			[][2]string{{"{{rcode}}", `leeward:responses:rate5m > 0`}},
		},
		{"Not answered", "Dropped, truncated, or limited, a second.", "ops", false, 0, [][2]string{
			{"dropped: {{reason}}", `sum by (reason) (rate(leeward_dns_dropped_total[5m]))`},
			{"truncated", `sum(rate(leeward_dns_truncated_total[5m]))`},
			{"limited: {{action}}", `sum by (action) (rate(leeward_rrl_responses_total[5m]))`},
		}},
		{"TCP connections", "Open now.", "none", false, 0, [][2]string{{"{{instance}}", `leeward_tcp_connections`}}},
	}},
	{"Health", []panel{
		{"Addresses down by region", "Of all that are probed.", "percentunit", false, 0, [][2]string{
			{"{{region}}", `leeward:targets_down:ratio`},
		}},
		{
			"How long failovers took", "In the last hour, 99 % were faster: to detect, to agree, to publish.",
			"s", false, 0,
			[][2]string{
				{"{{phase}}", `leeward:failover_seconds:p99`},
			},
		},
		{"Probes", "A second, by result.", "ops", false, 0, [][2]string{
			{"{{check}} {{result}}", `sum by (check, result) (rate(leeward_probe_total[5m]))`},
		}},
		{"How long probes take", "99 % were faster.", "s", false, 0, [][2]string{
			{
				"{{instance}}",
				`histogram_quantile(0.99, sum by (le, instance) (rate(leeward_probe_duration_seconds_bucket[5m])))`,
			},
		}},
		{"Verdicts that stand on old votes", "And addresses that nobody probes.", "none", false, 0, [][2]string{
			{"old votes", `max(leeward_verdicts_stale)`},
			{"nobody probes", `max(leeward_targets_unwatched)`},
		}},
	}},
	{"Configuration", []panel{
		{
			"Revision in the answers", "The same on all servers, except for a moment after a change.",
			"none", false, 0,
			[][2]string{
				{"{{instance}}", `leeward_snapshot_revision`},
			},
		},
		{"Age of the answers", "Since they were last known to be the newest.", "s", false, 0, [][2]string{
			{"{{instance}}", `leeward_snapshot_age_seconds`},
		}},
		{"Watch lag", "Since etcd's watches last said something.", "s", false, 0, [][2]string{
			{"{{instance}} {{watch}}", `leeward_watch_lag_seconds`},
		}},
		{"etcd's database", "Of its quota; at the quota etcd takes no writes.", "percentunit", false, 0, [][2]string{
			{"in use", `max(leeward_etcd_database_used_bytes / leeward_etcd_quota_bytes)`},
			{"size", `max(leeward_etcd_database_bytes / leeward_etcd_quota_bytes)`},
		}},
		{"From a change to the answers", "99 % were faster.", "s", false, 0, [][2]string{
			{
				"{{instance}}",
				`histogram_quantile(0.99, sum by (le, instance) (rate(leeward_publish_seconds_bucket[1h])))`,
			},
		}},
		{"Clocks", "Difference to the others' clocks.", "s", false, 0, [][2]string{
			{"{{instance}}", `leeward_clock_offset_seconds`},
		}},
	}},
	{"Signed zones", []panel{
		{
			"Until signatures expire", "The first of any zone. Leeward's own are valid for at least 12 days.",
			"s", false, 0,
			[][2]string{{"{{signer}}", `min by (signer) (leeward_dnssec_expiry_seconds)`}},
		},
		{"Signed zones by state", "Look at zones that are late, near or expired.", "none", false, 0, [][2]string{
			{"{{state}}", `max by (state) (leeward_dnssec_zones)`},
		}},
		{"Keys by what they do", "As leeward key list says it.", "none", false, 0, [][2]string{
			{"{{state}}", `max by (state) (leeward_dnssec_keys) > 0`},
		}},
		{"Signatures", "Held now, and made in five minutes.", "none", false, 0, [][2]string{
			{"{{instance}} held", `leeward_dnssec_signatures`},
			{"{{instance}} made", `increase(leeward_dnssec_signatures_made_total[5m])`},
			{"missing", `max(leeward_dnssec_signatures_missing)`},
		}},
		{"Zones that expire first", "The ten nearest.", "s", false, 0, [][2]string{
			{"{{zone}}", `bottomk(10, min by (zone) (leeward_dnssec_zone_expiry_seconds))`},
		}},
		{
			"Signers (leeward sign)", "How far in advance signatures are written. It should be at least a day.",
			"s", false, 0,
			[][2]string{{"{{instance}}", `leeward_sign_ahead_seconds`}},
		},
		{
			"Edges without keys", "Age of signatures in use, and how long a change has waited for new ones.",
			"s", false, 0,
			[][2]string{
				{"{{instance}} age", `leeward_edge_signatures_age_seconds`},
				{"{{instance}} waits", `leeward_edge_waiting_seconds`},
			},
		},
	}},
	{"In detail (serve --metrics-detail)", []panel{
		{"Endpoints that are down", "By address.", "none", false, 0, [][2]string{
			{"{{endpoint}} {{address}}", `min by (endpoint, address) (leeward_endpoint_up) == 0`},
		}},
		{"Answers by policy", "The ten that answer most, a second.", "ops", false, 0, [][2]string{
			{"{{policy}}", `topk(10, sum by (policy) (rate(leeward_dns_policy_answers_total[5m])))`},
		}},
		{"Queries by type", "A second.", "ops", false, 0, [][2]string{
			{"{{type}}", `sum by (type) (rate(leeward_dns_type_queries_total[5m]))`},
		}},
	}},
}

// drawnDashboard is the dashboard in the form that Grafana 10 and newer imports.
func drawnDashboard(t *testing.T) []byte {
	type object = map[string]any
	source := object{"type": "prometheus", "uid": "${source}"}
	var panels []object
	y, id := 0, 0
	next := func() int { id++; return id }
	for _, r := range dashboard {
		panels = append(panels, object{
			"id": next(), "type": "row", "title": r.title, "collapsed": false, "panels": []object{},
			"gridPos": object{"x": 0, "y": y, "w": 24, "h": 1},
		})
		y++
		x, high := 0, 0
		for _, p := range r.panels {
			w, h, kind := 8, 8, "timeseries"
			options := object{
				"legend": object{
					"calcs": []string{}, "displayMode": "list", "placement": "bottom", "showLegend": true,
				},
				"tooltip": object{"mode": "multi", "sort": "desc"},
			}
			defaults := object{"unit": p.unit, "min": 0}
			if p.stat {
				w, h, kind = 24/len(r.panels), 4, "stat"
				options = object{
					"colorMode": "value", "graphMode": "area", "justifyMode": "auto", "textMode": "auto",
					"orientation": "auto", "wideLayout": true, "showPercentChange": false,
					"percentChangeColorMode": "standard",
					"reduceOptions":          object{"calcs": []string{"lastNotNull"}, "fields": "", "values": false},
				}
				steps := []object{{"color": "green", "value": nil}}
				if p.bad > 0 {
					steps = append(steps, object{"color": "red", "value": p.bad})
				}
				defaults["thresholds"] = object{"mode": "absolute", "steps": steps}
			}
			if x+w > 24 {
				x, y = 0, y+high
			}
			var targets []object
			for i, q := range p.queries {
				targets = append(targets, object{
					"refId": string(rune('A' + i)), "expr": q[1], "legendFormat": q[0], "datasource": source,
					"editorMode": "code", "range": true,
				})
			}
			panels = append(panels, object{
				"id": next(), "type": kind, "title": p.title, "description": p.about, "datasource": source,
				"gridPos": object{"x": x, "y": y, "w": w, "h": h}, "targets": targets, "options": options,
				"fieldConfig": object{"defaults": defaults, "overrides": []object{}},
			})
			x, high = x+w, h
		}
		y += high
	}
	text, err := json.MarshalIndent(object{
		"uid": "leeward", "title": "Leeward", "tags": []string{"dns", "leeward"}, "schemaVersion": 39, "version": 1,
		"editable": true, "timezone": "utc", "refresh": "30s", "graphTooltip": 1,
		"time":   object{"from": "now-6h", "to": "now"},
		"panels": panels, "annotations": object{"list": []object{}},
		"templating": object{"list": []object{
			{"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
		}},
	}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return append(text, '\n')
}

// The dashboard is made from its panels: go test ./cmd/leeward -run TestDashboardIsDrawn -draw-dashboard
func TestDashboardIsDrawn(t *testing.T) {
	want := drawnDashboard(t)
	if *drawDashboard {
		if err := os.WriteFile(dashboardFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(dashboardFile); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what its panels say (%v): go test ./cmd/leeward -run TestDashboardIsDrawn -draw-dashboard",
			dashboardFile, err)
	}
}

// Grafana ignores what it does not know, and then shows another picture than was meant. Its own library must know each
// field of the dashboard, its panels and its queries. A test with one field too many in each object shows that the
// library looks everywhere.
func TestDashboardIsKnown(t *testing.T) {
	runtime := cog.NewRuntime() // of the whole process
	runtime.RegisterPanelcfgVariant(stat.VariantConfig())
	runtime.RegisterPanelcfgVariant(timeseries.VariantConfig())
	runtime.RegisterDataqueryVariant(source.VariantConfig())
	read := func(v any) error {
		t.Helper()
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		//lint:ignore SA1019 the file is of the schema that all of Grafana's versions in use read
		var d grafana.Dashboard
		var raw struct {
			Panels []struct{ FieldConfig json.RawMessage } // the library is not strict about these by itself
		}
		all := []error{d.UnmarshalJSONStrict(text), d.Validate(), json.Unmarshal(text, &raw)}
		for i := range raw.Panels {
			if text := raw.Panels[i].FieldConfig; text != nil {
				all = append(all, new(grafana.FieldConfigSource).UnmarshalJSONStrict(text))
			}
		}
		for _, err := range all {
			// An empty list of errors means that there are none.
			if found := cog.BuildErrors(nil); err != nil && (!errors.As(err, &found) || len(found) > 0) {
				return err
			}
		}
		return nil
	}
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var whole any
	if err := json.Unmarshal(text, &whole); err != nil {
		t.Fatal(err)
	}
	if err := read(whole); err != nil {
		t.Fatalf("Grafana does not know all of %s: %v", dashboardFile, err)
	}
	objects := 0
	var spoil func(at string, v any)
	spoil = func(at string, v any) {
		switch v := v.(type) {
		case []any:
			for i := range v {
				spoil(fmt.Sprintf("%s[%d]", at, i), v[i])
			}
		case map[string]any:
			objects++
			v["oops"] = 1
			if read(whole) == nil {
				t.Errorf("a field too much in %s is not found", at)
			}
			delete(v, "oops")
			for _, name := range slices.Sorted(maps.Keys(v)) {
				spoil(at+"."+name, v[name])
			}
		}
	}
	spoil("", whole)
	if objects < 100 {
		t.Errorf("%d objects were tried", objects)
	}
}

// prometheus runs Debian's Prometheus with the scrape configuration and rules of deploy/observability, which read these
// servers once a second. It returns its address.
func prometheus(t *testing.T, servers ...*service) string {
	t.Helper()
	path, err := exec.LookPath("prometheus")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("prometheus is missing: .ci/run installs it")
		}
		t.Skip("prometheus is not installed: apt-get install prometheus")
	}
	dir := t.TempDir()
	var targets []string
	for _, s := range servers {
		targets = append(targets, strings.TrimPrefix(s.admin, "http://"))
	}
	for _, name := range []string{"prometheus.yaml", "alerts.yaml", "recording.yaml"} {
		text, err := os.ReadFile("../../deploy/observability/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for was, is := range map[string]string{
			"127.0.0.1:8053":       strings.Join(targets, `", "`),
			"scrape_interval: 15s": "scrape_interval: 1s\n  evaluation_interval: 1s",
		} {
			if name == "prometheus.yaml" && !bytes.Contains(text, []byte(was)) {
				t.Fatalf("%s has no %q", name, was)
			}
			text = bytes.ReplaceAll(text, []byte(was), []byte(is))
		}
		write(t, filepath.Join(dir, name), string(text))
	}
	for range 5 { // another process may take the port before it is bound
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		at := l.Addr().String()
		l.Close()
		ctx, stop := context.WithCancel(context.Background())
		var out bytes.Buffer
		c := exec.CommandContext(ctx, path, "--config.file", filepath.Join(dir, "prometheus.yaml"),
			"--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", at)
		c.Stdout, c.Stderr = &out, &out
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { _ = c.Wait(); close(ended) }()
		t.Cleanup(func() { stop(); <-ended })
		for up := false; !up; {
			select {
			case <-ended:
				t.Logf("prometheus ended:\n%s", out.String())
				up = true
				at = ""
			case <-time.After(50 * time.Millisecond):
				r, err := http.Get("http://" + at + "/-/ready")
				if err == nil {
					r.Body.Close()
					up = r.StatusCode == http.StatusOK
				}
			}
		}
		if at != "" {
			return "http://" + at
		}
	}
	t.Fatal("prometheus does not start")
	return ""
}

// TestDashboardHasData plays an outage on a server that a real Prometheus scrapes, with the configuration and the rules
// that we hand out. No panel is empty, all rules are evaluated, and the right alert fires.
func TestDashboardHasData(t *testing.T) {
	if _, err := exec.LookPath("prometheus"); err != nil && os.Getenv("CI") == "" {
		t.Skip("prometheus is not installed: apt-get install prometheus")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	etcd, err := embedded.Start(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	endpoint := func() (*httptest.Server, string) {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Endpoint-Load-Metrics", "TEXT named_metrics.requests=50")
		}))
		t.Cleanup(s.Close)
		return s, s.URL[strings.LastIndex(s.URL, ":")+1:]
	}
	_, stays := endpoint()
	goes, port := endpoint()
	var out bytes.Buffer
	resources := fmt.Sprintf(`
{kind: Zone, name: example.test, nameservers: [ns1.example.net]}
---
{kind: Zone, name: signed.test, nameservers: [ns1.example.net], dnssec: {enabled: true}}
---
{kind: Region, name: eu}
---
{kind: Region, name: us}
---
kind: Monitor
name: eu
http: {port: %s}
interval: 500ms
timeout: 400ms
fall: 1
rise: 1
load: named_metrics.requests
---
{kind: Monitor, name: us, http: {port: %s}, interval: 500ms, timeout: 400ms, fall: 1, rise: 1}
---
{kind: Pool, name: www-eu, region: eu, monitor: eu, capacity: {target: 80, max: 100}}
---
{kind: Pool, name: www-us, region: us, monitor: us}
---
{kind: Endpoint, name: www-eu/a, addresses: [127.0.0.1]}
---
{kind: Endpoint, name: www-us/a, addresses: [127.0.0.1]}
---
{kind: Policy, name: www.example.test, spill: true, rules: [{failover: [www-eu, www-us]}]}
---
{kind: Policy, name: us.example.test, rules: [{failover: [www-us]}]}
`, stays, port)
	if code := run(ctx, []string{"apply", "-f", "-"}, []string{"LEEWARD_ETCD=" + etcd.URL()},
		strings.NewReader(resources), &out, &out); code != 0 {
		t.Fatal(out.String())
	}
	keys := t.TempDir()
	if code := run(ctx, []string{"key", "generate", "signed.test", "--keys", keys}, nil, nil, &out, &out); code != 0 {
		t.Fatal(out.String())
	}
	server := serve(t, "serve", "--etcd", etcd.URL(), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
		"--keys", keys, "--state", t.TempDir(), "--metrics-detail", "--region", "eu")
	signer := serve(t, "sign", "--etcd", etcd.URL(), "--admin", "127.0.0.1:0", "--keys", keys, "--id", "signer")
	edge := serve(t, "serve", "--etcd", etcd.URL(), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
		"--signatures", "etcd", "--state", t.TempDir(), "--no-probe", "--id", "edge")
	at := prometheus(t, server, signer, edge)
	until := func(what string, done func() error) {
		t.Helper()
		var err error
		for end := time.Now().Add(90 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			if err = done(); err == nil {
				return
			}
		}
		t.Fatalf("%s: %v", what, err)
	}
	get := func(path string, to any) error {
		r, err := http.Get(at + path)
		if err != nil {
			return err
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(text, to)
		}
		return err
	}
	values := func(expr string) (n int, err error) {
		var a struct {
			Status, Error string
			Data          struct{ Result []struct{ Value [2]any } }
		}
		if err := get("/api/v1/query?query="+url.QueryEscape(expr), &a); err != nil || a.Status != "success" {
			return 0, cmp.Or(err, fmt.Errorf("%s", a.Error))
		}
		for _, r := range a.Data.Result {
			if v, ok := r.Value[1].(string); ok && v != "NaN" {
				n++
			}
		}
		return n, nil
	}
	ask := func() {
		for _, name := range []string{"www.example.test.", "us.example.test."} {
			m := new(dns.Msg)
			m.SetQuestion(name, dns.TypeA)
			_, _ = dns.Exchange(m, server.dns)
		}
	}
	has := func(expr string) func() error {
		return func() error {
			ask()
			if n, err := values(expr); err != nil || n == 0 {
				return cmp.Or(err, fmt.Errorf("%s has no value", expr))
			}
			return nil
		}
	}
	until("the endpoints are up and clients ask",
		has(`sum(leeward_endpoint_up) == 2 and sum(leeward:queries:rate5m) > 0`))
	goes.Close()
	until("the outage shows", has(`sum(leeward_endpoint_up) == 1 and sum(leeward_dns_fail_open_total) > 0`))
	panels := 0
	for _, r := range dashboard {
		for _, p := range r.panels {
			panels++
			for _, q := range p.queries {
				until(r.title+": "+p.title, has(q[1]))
			}
		}
	}
	if panels < 20 {
		t.Errorf("the dashboard has %d panels", panels)
	}
	type rules struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Type, Health, State, LastError string }
			}
		}
	}
	until("all rules are worked out, and LeewardFailOpen fires", func() error {
		ask()
		var all rules
		if err := get("/api/v1/rules", &all); err != nil {
			return err
		}
		n, fires := 0, false
		for _, g := range all.Data.Groups {
			for _, r := range g.Rules {
				if r.Health != "ok" {
					return fmt.Errorf("%s: %s %s", r.Name, r.Health, r.LastError)
				}
				n++
				fires = fires || r.Name == "LeewardFailOpen" && r.State == "firing"
			}
		}
		if n < 18 || !fires {
			return fmt.Errorf("%d rules; LeewardFailOpen fires: %v", n, fires)
		}
		return nil
	})
	// Each recording rule has a series, so that users' own dashboards that name it are not empty.
	text, err := os.ReadFile("../../deploy/observability/recording.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`record: (\S+)`).FindAllStringSubmatch(string(text), -1) {
		until(m[1], has(m[1]))
	}
}
