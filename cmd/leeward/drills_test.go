//go:build !noembed

package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"leeward/cmd/leeward/embedded"
)

// Of drills that begin at the same moment only one runs, as two at once could leave a name without endpoints. The
// others say which one runs. A drill of an endpoint, which has no ramp, starts as well.
func TestDrillsAtOnce(t *testing.T) {
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Minute)
	defer stop()
	etcd, err := embedded.Start(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	defer etcd.Close()
	p := &place{t: t, etcd: etcd.URL(), dir: t.TempDir()}
	p.write(`{kind: Zone, name: example.test, nameservers: [ns.example.net]}
---
{kind: Region, name: eu, latitude: 53, longitude: -6}
---
{kind: Region, name: us, latitude: 39, longitude: -77}
---
{kind: Pool, name: www-eu, region: eu}
---
{kind: Pool, name: www-us, region: us}
---
{kind: Endpoint, name: www-eu/a, addresses: [192.0.2.1]}
---
{kind: Endpoint, name: www-eu/b, addresses: [192.0.2.2]}
---
{kind: Endpoint, name: www-us/a, addresses: [198.51.100.1]}
---
{kind: Policy, name: www.example.test, ttl: 1s, rules: [{nearest: [www-eu, www-us]}]}
`)
	s := p.server("ns1")
	drill := func(ctx context.Context, target string, more ...string) (int, string) {
		var out bytes.Buffer
		args := append([]string{"drill", target, "--for", "10s", "--etcd", etcd.URL()}, more...)
		return run(ctx, args, []string{"USER=tester"}, strings.NewReader(""), &out, &out), out.String()
	}
	s.await("a drill of an endpoint could start", func() bool {
		status, text := drill(ctx, "endpoint/www-eu/a", "--dry-run")
		t.Logf("%d %s", status, text)
		return status == 0
	})

	type result struct {
		target, text string
		status       int
	}
	targets := []string{"region/eu", "region/us", "pool/www-us"}
	ended := make(chan result, len(targets))
	running, callOff := context.WithCancel(ctx)
	defer callOff()
	for _, target := range targets {
		go func() {
			status, text := drill(running, target)
			ended <- result{target, text, status}
		}()
	}
	for i := range targets {
		r := <-ended
		if i == len(targets)-1 {
			if !strings.Contains(r.text, "it was called off at the terminal") &&
				!strings.Contains(r.text, "the drill is written") {
				t.Errorf("the one that runs, of %s: %d\n%s", r.target, r.status, r.text)
			}
		} else if r.status == 0 || !strings.Contains(r.text, "there is a drill of ") {
			t.Errorf("of %s, beside another: %d\n%s", r.target, r.status, r.text)
		}
		if i == len(targets)-2 {
			callOff()
		}
	}
}
