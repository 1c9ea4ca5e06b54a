//go:build linux

package operate

import (
	"strings"
	"testing"
	"time"

	"leeward/integration/lab"
)

// TestExplainAt asks for answers from before a drain, a change and a restart, and gets what explain said at that time.
// For a time without a running server, it says that none ran.
func TestExplainAt(t *testing.T) {
	m, state := lab.Filled(t), t.TempDir()
	s := lab.Serve(t, "one", "--etcd", m.Client, "--state", state)
	lab.Expect(t, 10*time.Second, s.DNS, lab.WWW, "192.0.2.1")
	ask := func(more ...string) lab.Outcome {
		return lab.Leeward(t, "", append([]string{
			"explain", "--admin", "http://" + s.Admin, "www.example.test", "--client", "198.51.100.7",
		}, more...)...)
	}
	type moment struct {
		at   string
		said string
	}
	var moments []moment
	note := func() {
		t.Helper()
		o := ask()
		if o.Code != 0 {
			t.Fatal(o)
		}
		moments = append(moments, moment{time.Now().UTC().Format(time.RFC3339Nano), o.Stdout})
	}
	note()
	lab.LeewardOK(t, "", "drain", "--etcd", m.Client, "region/eu", "--reason", "maintenance")
	lab.Expect(t, 10*time.Second, s.DNS, lab.WWW, "192.0.2.2")
	note()
	m.Put(t, "endpoints/www-us/lb-1", `{"addresses":["192.0.2.22"]}`)
	lab.Expect(t, 10*time.Second, s.DNS, lab.WWW, "192.0.2.22")
	note()
	if code := s.Process.Terminate(t); code != 0 {
		t.Fatalf("SIGTERM: exit status %d", code)
	}
	out := time.Now().UTC().Format(time.RFC3339Nano)
	m.Put(t, "endpoints/www-us/lb-1", `{"addresses":["192.0.2.23"]}`)
	s = lab.Serve(t, "one", "--etcd", m.Client, "--state", state)
	lab.Expect(t, 20*time.Second, s.DNS, lab.WWW, "192.0.2.23")
	lab.LeewardOK(t, "", "restore", "--etcd", m.Client, "region/eu")
	lab.Expect(t, 10*time.Second, s.DNS, lab.WWW, "192.0.2.1")
	note()
	for _, then := range moments {
		o := ask("--at", then.at)
		if _, text, _ := strings.Cut(o.Stdout, ":\n\n"); o.Code != 0 || text != then.said {
			t.Errorf("at %s it said\n%s\nand now that was\n%s", then.at, then.said, o)
		}
	}
	if o := ask("--at", out); o.Code != 1 || !strings.Contains(o.Stderr, "did not run") {
		t.Errorf("no server ran at %s, but: %v", out, o)
	}
	if o := ask("--at", "25h"); o.Code != 2 || !strings.Contains(o.Stderr, "last 24 h") {
		t.Errorf("more than a day ago: %v", o)
	}
}
