//go:build linux

package integration

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// binary is the path of the leeward binary that TestMain built.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "leeward-integration-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if given := os.Getenv("LEEWARD_TEST_BINARY"); given != "" {
		binary = given
	} else {
		binary = filepath.Join(dir, "leeward")
		args := []string{"build", "-o", binary}
		if race {
			args = append(args, "-race")
		}
		build := exec.Command("go", append(args, "leeward/cmd/leeward")...)
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%v: %v\n%s", build, err, out)
			return 1
		}
	}
	// Servers of these tests must not see settings of whoever runs them.
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "LEEWARD_") {
			os.Unsetenv(name)
		}
	}
	sweepNamespaces()
	return m.Run()
}

// need skips the test, saying which part is missing, or fails it where CI=true promises that all parts are there.
func need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing(t, "the program %s is not installed", p)
		}
	}
}

// needRoot is need for the rights to make network namespaces.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "network namespaces need root")
	}
}

func missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format+" (with CI=true this is a failure)", args...)
	}
	t.Skipf(format, args...)
}
