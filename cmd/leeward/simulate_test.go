//go:build !noembed

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"leeward/cmd/leeward/control"
	"leeward/cmd/leeward/embedded"
)

const simulated = `
kind: Zone
name: example.test
nameservers: [ns1.example.net]
hostmaster: hostmaster@example.test
---
{kind: Region, name: eu-west, latitude: 53, longitude: -6}
---
{kind: Region, name: us-east, latitude: 39, longitude: -77}
---
{kind: Monitor, name: web, tcp: {port: 443}}
---
{kind: Pool, name: www-eu, region: eu-west, monitor: web, capacity: {target: 800, max: 1000}}
---
{kind: Pool, name: www-us, region: us-east, monitor: web, capacity: {target: 800, max: 1000}}
---
{kind: Endpoint, name: www-eu/lb-1, addresses: [192.0.2.1]}
---
{kind: Endpoint, name: www-us/lb-1, addresses: [192.0.2.2]}
---
kind: Policy
name: www.example.test
ttl: 30s
spill: true
rules: [{nearest: [www-eu, www-us]}]
`

// simulation is an etcd with resources, and with a server that reports who asks.
type simulation struct {
	t      *testing.T
	etcd   string
	client *clientv3.Client
}

func newSimulation(t *testing.T) *simulation {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	etcd, err := embedded.Start(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{etcd.URL()}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	s := &simulation{t, etcd.URL(), client}
	if code, out := s.run(simulated, "apply", "-f", "-"); code != 0 {
		t.Fatal(out)
	}
	return s
}

// run runs a verb.
func (s *simulation) run(in string, args ...string) (int, string) {
	var out bytes.Buffer
	environment := []string{"LEEWARD_ETCD=" + s.etcd, "LEEWARD_LOG_LEVEL=error"}
	code := run(s.t.Context(), args, environment, strings.NewReader(in), &out, &out)
	return code, out.String()
}

func (s *simulation) put(key, format string, args ...any) {
	s.t.Helper()
	if _, err := s.client.Put(s.t.Context(), "/leeward/"+key, fmt.Sprintf(format, args...)); err != nil {
		s.t.Fatal(err)
	}
}

// lives writes what a live server writes: its heartbeat, the load of its pools, and who asks.
func (s *simulation) lives(eu, us float64) {
	now := time.Now().UTC().Format(time.RFC3339Nano)
	for pool, load := range map[string]float64{"www-eu": eu, "www-us": us} {
		s.put("reports/a/"+pool, `{"sequence":5,"time":%q,"endpoints":{"lb-1":{"*":{"state":"up"}}},"load":{"carried":%g,"offered":%g}}`, now, load, load)
	}
	s.put("vantages/a/server", `{"id":"a","asked":{"seconds":300,"queries":3000,"orders":[
		{"policy":"www.example.test","rule":1,"pools":["www-eu","www-us"],"queries":2000,"samples":2000},
		{"policy":"www.example.test","rule":1,"pools":["www-us","www-eu"],"queries":1000,"samples":1000}]}}`)
	s.put("vantages/a", `{"sequence":9,"time":%q,"every":"2s","stale":"60s"}`, now)
}

func TestSimulate(t *testing.T) {
	s := newSimulation(t)
	code, out := s.run("", "simulate", "--down", "region/eu-west")
	if code != 0 || !strings.Contains(out, "No server reports which clients ask") {
		t.Errorf("without servers: %d\n%s", code, out)
	}
	s.lives(500, 200)
	const smallUS = "kind: Pool\nname: www-us\nregion: us-east\nmonitor: web\ncapacity: {target: 150, max: 300}\n"
	policy := strings.TrimPrefix(simulated[strings.LastIndex(simulated, "---"):], "---\n")
	inAnHour := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	scheduled := strings.ReplaceAll(policy, "spill: true",
		fmt.Sprintf("schedule: [{from: %s, weights: {www-us: 0%%}}]", inAnHour))
	for _, c := range []struct {
		args []string
		in   string
		code int
		eu   float64
		us   float64
	}{
		{args: []string{"--down", "region/eu-west"}, eu: 0, us: 700},
		{args: []string{"--down", "endpoint/www-eu/lb-1"}, eu: 0, us: 700},
		{args: []string{"--surge", "eu-west=2x"}, eu: 800, us: 400},
		{args: []string{"--surge", "eu-west=3"}, eu: 850, us: 850},
		{args: []string{"--down", "pool/www-us", "--surge", "us-east=3x"}, code: 1, eu: 1100, us: 0},
		{args: []string{"-f", "-"}, in: smallUS, eu: 550, us: 150},
		{args: []string{"--at", "+2h", "-f", "-"}, in: scheduled, eu: 700, us: 0},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			code, out := s.run(c.in, append([]string{"simulate", "-o", "json"}, c.args...)...)
			var f control.Forecast
			if err := json.Unmarshal([]byte(out), &f); err != nil || code != c.code {
				t.Fatalf("exit %d, %v:\n%s", code, err, out)
			}
			for pool, want := range map[string]float64{"www-eu": c.eu, "www-us": c.us} {
				for _, p := range f.Pools {
					if p.Pool == pool && math.Abs(p.Then-want) > 20 {
						t.Errorf("%s carries %.0f then, want %.0f\n%s", pool, p.Then, want, out)
					}
				}
			}
			if len(f.Pools) != 2 || !slices.Equal(f.Servers, []string{"a"}) || f.Queries != 10 {
				t.Errorf("%s", out)
			}
			_, table := s.run(c.in, append([]string{"simulate"}, c.args...)...)
			for line := range strings.Lines(table) {
				if len([]rune(line)) > 81 {
					t.Errorf("wider than 80 columns: %s", line)
				}
			}
			over := strings.Contains(table, "Over its max: www-eu (1,100 of 1,000).")
			if !strings.Contains(table, "POOL    REGION   LOAD  THEN") || (code == 1) != over {
				t.Error(table)
			}
		})
	}
	simulate := func(flags string) (int, string) {
		return s.run("", append([]string{"simulate"}, strings.Fields(flags)...)...)
	}
	for _, wrong := range []string{
		"",
		"--surge eu",
		"--surge eu-west=-1x",
		"--surge eu-west=2x,eu-west=3x",
		"--down eu-west",
		"--at noon",
		"--down region/eu-west -o yaml",
	} {
		if code, out := simulate(wrong); code != 2 {
			t.Errorf("simulate %s: exit %d\n%s", wrong, code, out)
		}
	}
	for wrong, want := range map[string]string{
		"--down region/eu-wst": "there is no region eu-wst",
		"--surge nowhere=2x":   "there is no region nowhere",
		"--down pool/x":        "there is no pool x",
	} {
		if code, out := simulate(wrong); code != 1 || !strings.Contains(out, want) {
			t.Errorf("simulate %s: exit %d\n%s", wrong, code, out)
		}
	}
}

// A change that would bring a pool above its max is shown, and made only if somebody insists.
func TestPreview(t *testing.T) {
	s := newSimulation(t)
	s.lives(700, 400)
	const broken = "www-us (1,100 of 1,000) would be above its max"
	code, out := s.run("", "drain", "region/eu-west", "--dry-run")
	if code != 1 || !strings.Contains(out, broken) || !strings.Contains(out, "POOL    REGION   LOAD  THEN") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if _, out := s.run("", "get", "overrides"); !strings.Contains(out, "no such resources") {
		t.Errorf("it is written:\n%s", out)
	}
	if code, out := s.run("", "drain", "region/eu-west", "--force", "-o", "json"); code != 0 || !strings.Contains(out, `"forecast": {`) {
		t.Errorf("exit %d\n%s", code, out)
	}
	// A pool that is over its max already, and gets no more, is no reason to refuse.
	s.lives(0, 1100)
	code, out = s.run("", "drain", "endpoint/www-eu/lb-1")
	if code != 0 || !strings.Contains(out, "Over its max: www-us (1,100 of 1,000)") {
		t.Errorf("exit %d\n%s", code, out)
	}
	s.lives(700, 400)
	for _, target := range []string{"region/eu-west", "endpoint/www-eu/lb-1"} {
		if code, out := s.run("", "restore", target); code != 0 {
			t.Fatal(out)
		}
	}
	smaller := "kind: Pool\nname: www-us\nregion: us-east\nmonitor: web\ncapacity: {target: 300, max: 350}\n---\n" +
		"kind: Pool\nname: www-eu\nregion: eu-west\nmonitor: web\ncapacity: {target: 500, max: 600}\n"
	code, out = s.run(smaller, "apply", "-f", "-", "--dry-run", "--simulate")
	if code != 1 || lacksAny(out, "would be above its max", "POOL    REGION   LOAD  THEN") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if code, out := s.run(smaller, "apply", "-f", "-", "--dry-run"); code != 0 || strings.Contains(out, "THEN") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if code, out := s.run(strings.ReplaceAll(smaller, "350", "3500"), "apply", "-f", "-", "--simulate", "--force", "-o", "json"); code != 0 || !strings.Contains(out, `"forecast": {`) {
		t.Errorf("exit %d\n%s", code, out)
	}
}
