//go:build linux

package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

var earlier struct {
	sync.Mutex
	built map[string]string // by commit, the binary
}

// BuiltFrom builds the binary from an earlier commit of this repository, once. If the checkout has no history, the test
// says so and skips, in CI as well.
func BuiltFrom(t testing.TB, commit string) string {
	t.Helper()
	earlier.Lock()
	defer earlier.Unlock()
	if path := earlier.built[commit]; path != "" {
		return path
	}
	top, err := exec.Command("git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		t.Skipf("there is no history here to build an earlier version from: %v", err)
	}
	root := strings.TrimSpace(string(top))
	dir := filepath.Join(workshop, "of-"+commit)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if exec.Command("git", "-C", root, "cat-file", "-e", commit+"^{commit}").Run() != nil {
		t.Skipf("commit %s is not here to build an earlier version from: the clone is shallow (git fetch --unshallow "+
			"brings it)", commit)
	}
	unpack := exec.Command("sh", "-c", `git -C "$1" archive "$2" | tar -x -C "$3"`, "sh", root, commit, dir)
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", unpack, err, out)
	}
	path := filepath.Join(dir, "leeward-"+commit)
	build := exec.Command("nice", "-n", "19", "go", "build", "-tags", "noembed", "-o", path, "leeward/cmd/leeward")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", build, err, out)
	}
	if earlier.built == nil {
		earlier.built = map[string]string{}
	}
	earlier.built[commit] = path
	return path
}
