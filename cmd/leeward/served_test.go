//go:build !noembed

package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leeward/cmd/leeward/embedded"
)

// A change that writes only marks of owners is served at once, as servers do not read them. --wait ends, and calls no
// server late.
func TestMarksAreNotWaitedFor(t *testing.T) {
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Minute)
	defer stop()
	etcd, err := embedded.Start(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	defer etcd.Close()
	p := &place{t: t, etcd: etcd.URL(), dir: t.TempDir()}
	p.write(oneZone)
	s := p.server("ns1")
	s.awaitLog("etcd: following")
	status, out, errs := command(t, "apply", "-f", filepath.Join(p.dir, "change.yaml"), "--owner", "team-a",
		"--wait=60s", "--etcd", etcd.URL())
	if status != 0 || !strings.Contains(out, "to team-a") || !strings.Contains(out, "is served by ns1") {
		t.Errorf("%d %s%s", status, out, errs)
	}
}
