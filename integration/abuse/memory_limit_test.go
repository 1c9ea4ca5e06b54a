//go:build linux

package abuse

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// hosts is a master file of n hosts, whose addresses begin with the octet first.
func hosts(n, first int) string {
	var b strings.Builder
	b.WriteString("$TTL 300\n@ IN SOA ns1 h 7 3600 900 1209600 30\n@ IN NS ns1\nns1 IN A 192.0.2.53\n")
	for i := range n {
		fmt.Fprintf(&b, "a-host-with-a-rather-long-name-%d IN A %d.%d.%d.%d\n", i, first, i>>16, i>>8&255, i&255)
	}
	return b.String()
}

// replace swaps a file for another version in one step, as a careful deployment does.
func replace(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// TestMemoryLimit: a file does not fit into a server's memory limit. The server says so, keeps the file's former
// content in service, stays within the limit, accepts a version that fits, and ends when it is told to, even while it
// reads.
func TestMemoryLimit(t *testing.T) {
	if lab.Race {
		t.Skip("the race detector takes several times the memory")
	}
	dir := lab.Folder(t, map[string]string{"example.test.zone": hosts(20_000, 10)})
	file := filepath.Join(dir, "example.test.zone")
	s := lab.NewServer(t, "limited", "--files", dir, "--state", filepath.Join(t.TempDir(), "state"))
	const limit = 64 // MiB
	s.Within = []string{"env", fmt.Sprintf("GOMEMLIMIT=%dMiB", limit)}
	s.Start(t)
	s.Ready(t)
	host := lab.Question{Name: "a-host-with-a-rather-long-name-300.example.test", Qtype: dns.TypeA}
	lab.Expect(t, 30*time.Second, s.DNS, host, "10.0.1.44")

	replace(t, file, hosts(200_000, 11))
	told := func() string { return lab.LeewardOK(t, "", "status", "--admin", "http://"+s.Admin) }
	lab.Until(t, time.Minute, "the status says that the file does not fit", func() error {
		// A table breaks text into lines.
		if got := strings.Join(strings.Fields(told()), " "); !strings.Contains(got, "does not fit into memory") {
			return fmt.Errorf("it says: %s", got)
		}
		return nil
	})
	lab.Still(t, s.DNS, host, "10.0.1.44")
	if _, peak := lab.RSS(t, s.Process); peak > 2*limit {
		t.Errorf("it has taken %.0f MiB of %d", peak, limit)
	}

	replace(t, file, hosts(20_000, 12))
	lab.Expect(t, 30*time.Second, s.DNS, host, "12.0.1.44")
	lab.Until(t, 30*time.Second, "the problem is over", func() error {
		if got := told(); strings.Contains(got, "does not fit") {
			return fmt.Errorf("it says: %s", got)
		}
		return nil
	})

	replace(t, file, hosts(200_000, 13))
	if code := s.Process.Terminate(t); code != 0 {
		t.Errorf("SIGTERM: exit status %d, want 0\n%s", code, s.Process.Out.Tail(20))
	}
}
