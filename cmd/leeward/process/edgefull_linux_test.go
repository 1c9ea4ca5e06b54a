//go:build !noembed

package process_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/miekg/dns"
)

// TestEdgeOnAFullDisk: a server without keys starts with a full disk. It answers, and once there is room it keeps all
// that a restart needs.
func TestEdgeOnAFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root mounts disks")
	}
	t.Parallel()
	state := t.TempDir()
	if err := syscall.Mount("state", state, "tmpfs", 0, "size=4m"); err != nil {
		t.Skip("this machine mounts nothing:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(state, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	filler := filepath.Join(state, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if f.Close(); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	c := newCluster(t)
	near := listen(t, "127.1.0.1:0")
	c.putAll(signedResources(near, nil))
	folder, key := keyFolder(t, "example.test")
	signer(t, c, "sign-1", folder)
	a := serve(t, edge("a", c, state))
	a.holds([]*dns.DNSKEY{key})
	there := func() map[string]int {
		all := map[string]int{}
		for _, what := range []string{"secret", "keys/*", "*-*"} {
			files, err := filepath.Glob(filepath.Join(state, "signatures", what))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				if info, err := os.Stat(file); err == nil && info.Size() > 0 {
					all[what]++
				}
			}
		}
		return all
	}
	if all := there(); len(all) > 0 {
		t.Fatalf("on a full disk there are %v", all)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	a.await("all is kept", func() string {
		if all := there(); len(all) < 3 {
			return fmt.Sprint(all)
		}
		return ""
	})
}
