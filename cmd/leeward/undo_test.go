//go:build !noembed

package main

import (
	"context"
	"encoding/json"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"leeward/cmd/leeward/embedded"
	"leeward/server/history"
)

// place is an etcd with servers that keep a history.
type place struct {
	t    *testing.T
	etcd string
	dir  string
}

func (p *place) server(id string) *service {
	return serve(p.t, "serve", "--etcd", p.etcd, "--id", id, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
		"--state", filepath.Join(p.dir, id))
}

// write applies a document, and returns the revision.
func (p *place) write(text string) string {
	p.t.Helper()
	file := filepath.Join(p.dir, "change.yaml")
	write(p.t, file, text)
	status, out, errs := command(p.t, "apply", "-f", file, "--etcd", p.etcd)
	found := regexp.MustCompile(`Done, revision (\d+)`).FindStringSubmatch(out)
	if status != 0 || found == nil {
		p.t.Fatalf("apply: %d %s%s", status, out, errs)
	}
	return found[1]
}

// knows waits until the server's history reaches that revision.
func (p *place) knows(s *service, revision string) {
	p.t.Helper()
	s.await("the history has revision "+revision, func() bool {
		status, out, _ := command(p.t, "diff", "0", "--admin", s.admin, "-o", "json")
		var r history.Revisions
		var want int64
		return status == 0 && json.Unmarshal([]byte(out), &r) == nil &&
			json.Unmarshal([]byte(revision), &want) == nil && r.Newest >= want
	})
}

func (p *place) undo(s *service, revision string, more ...string) (status int, text string) {
	p.t.Helper()
	args := append([]string{"undo", revision, "--etcd", p.etcd, "--admin", s.admin}, more...)
	status, out, errs := command(p.t, args...)
	return status, out + errs
}

func (p *place) has(kind, name, text string) {
	p.t.Helper()
	status, out, errs := command(p.t, "get", kind, name, "-o", "yaml", "--etcd", p.etcd)
	if text == "" && status == 0 || text != "" && (status != 0 || !strings.Contains(out, text)) {
		p.t.Errorf("get %s %s: %d %s%s, want %q", kind, name, status, out, errs, text)
	}
}

// The history of any server can undo a change, even if that server was down at the time, or has restarted since.
// Resources that have changed again are left alone. The history has no secrets.
func TestUndo(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	etcd, err := embedded.Start(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	p := &place{t: t, etcd: etcd.URL(), dir: t.TempDir()}
	first := p.write(oneZone + `---
kind: Monitor
name: web
http: {path: /a, headers: {Authorization: s3cret}}
`)
	one, two := p.server("one"), p.server("two")
	for _, s := range []*service{one, two} {
		s.awaitLog("etcd: following")
	}
	ttl := p.write("kind: Policy\nname: www.example.test\nttl: 77s\nrules: [{nearest: [www-us, www-eu]}]\n")
	p.knows(one, ttl)
	if status, out, errs := command(t, "diff", first, ttl, "--admin", one.admin); status != 0 ||
		!strings.Contains(out, "~ Policy www.example.test") || !strings.Contains(out, "ttl: 1m17s") || errs != "" {
		t.Errorf("diff: %d %s%s", status, out, errs)
	}
	if status, text := p.undo(one, ttl); status == 0 || !strings.Contains(text, "add --yes") {
		t.Errorf("undo without anybody to ask: %d %s", status, text)
	}
	if status, text := p.undo(one, ttl, "--dry-run"); status != 0 || !strings.Contains(text, "- ttl: 1m17s") {
		t.Errorf("undo --dry-run: %d %s", status, text)
	}
	p.has("policy", "www.example.test", "ttl: 1m17s")

	// A resource that has changed since is left alone.
	again := p.write("kind: Policy\nname: www.example.test\nttl: 78s\nrules: [{nearest: [www-us, www-eu]}]\n")
	p.knows(one, again)
	if status, text := p.undo(one, ttl, "--yes"); status == 0 ||
		!strings.Contains(text, "was changed since, at revision "+again) {
		t.Errorf("undo of what was changed since: %d %s", status, text)
	}
	p.has("policy", "www.example.test", "ttl: 1m18s")
	if status, text := p.undo(one, again, "--yes"); status != 0 || !strings.Contains(text, "Done") {
		t.Errorf("undo: %d %s", status, text)
	}
	p.has("policy", "www.example.test", "ttl: 1m17s")

	// A client that never got etcd's answer asks again. The change is undone already, and the history may have seen
	// that.
	if status, text := p.undo(one, again, "--yes"); status != 0 || !strings.Contains(text, "Nothing to do") {
		t.Errorf("undo of what is undone: %d %s", status, text)
	}

	// One server is down while a pool is added. A secret stays, although a field beside it is undone.
	one.end()
	pool := p.write("kind: Pool\nname: www-ap\nregion: eu-west\n")
	path := p.write("kind: Monitor\nname: web\nhttp: {path: /b, headers: {Authorization: s3cret}}\n")
	p.knows(two, path)
	two.end() // the server that saw it has gone for good
	one = p.server("one")
	p.knows(one, path)
	if status, text := p.undo(one, pool, "--yes"); status != 0 {
		t.Errorf("undo of what was added while it was down: %d %s", status, text)
	}
	p.has("pool", "www-ap", "")
	if status, text := p.undo(one, pool, "--yes"); status != 0 || !strings.Contains(text, "Nothing to do") {
		t.Errorf("undo of a pool that is gone again: %d %s", status, text)
	}
	if status, text := p.undo(one, path, "--yes"); status != 0 || strings.Contains(text, "(hidden") {
		t.Errorf("undo beside a secret: %d %s", status, text)
	}
	p.has("monitor", "web", "path: /a")
	p.has("monitor", "web", "Authorization: s3cret")
	if status, text := p.undo(one, path, "--yes"); status != 0 || !strings.Contains(text, "Nothing to do") {
		t.Errorf("undo beside a secret, again: %d %s", status, text)
	}

	// A secret itself cannot be undone. It is on no disk, and in no answer.
	secret := p.write("kind: Monitor\nname: web\nhttp: {path: /a, headers: {Authorization: s4cret}}\n")
	p.knows(one, secret)
	if status, text := p.undo(one, secret, "--yes"); status == 0 || !strings.Contains(text, "keeps no secrets") ||
		strings.Contains(text, "s3cret") {
		t.Errorf("undo of a secret: %d %s", status, text)
	}
	p.has("monitor", "web", "s4cret")
	if status, text := p.undo(one, "1", "--yes"); status == 0 || !strings.Contains(text, "begins with revision") {
		t.Errorf("undo of what the history does not have: %d %s", status, text)
	}
	_, out, _ := command(t, "diff", "0", "--admin", one.admin, "-o", "json")
	if strings.Contains(out, "cret") {
		t.Errorf("a secret is told: %s", out)
	}
}
