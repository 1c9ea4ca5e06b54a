//go:build linux

package lab

import (
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Binary is the path of the leeward that is tested.
var Binary string

// workshop is where builds of the tests stay: the binary, and variants of it. The next package finds them there, and go
// builds only what has changed.
var workshop string

// Main runs a package's tests, and ends the process: a package calls it from its TestMain.
//
// The packages of a checkout take turns. They use the same cores, they hold Leeward to times, and they share the
// workshop. go test may start several of them at once; all but one wait here, for as long as it takes.
func Main(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if flag.Lookup("test.list").Value.String() != "" {
		return m.Run()
	}
	if err := enter(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
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

// enter waits for this package's turn, and builds the binary.
func enter() error {
	root, err := checkout()
	if err != nil {
		return err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	sum := fnv.New64a()
	sum.Write([]byte(root))
	workshop = filepath.Join(cache, "leeward-lab", fmt.Sprintf("%s-%x", filepath.Base(root), sum.Sum64()))
	if err := os.MkdirAll(workshop, 0o755); err != nil {
		return err
	}
	if err := takeTurn(filepath.Join(workshop, "turn")); err != nil {
		return err
	}
	if Binary = os.Getenv("LEEWARD_TEST_BINARY"); Binary != "" {
		return nil
	}
	Binary = filepath.Join(workshop, "leeward")
	args := []string{"build"}
	if Race {
		Binary += "-race"
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "-o", Binary, "leeward/cmd/leeward")...)
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", build, err, out)
	}
	return nil
}

// takeTurn holds the lock until the process ends: its descriptor is never closed.
func takeTurn(file string) error {
	lock, err := syscall.Open(file, syscall.O_RDWR|syscall.O_CREAT|syscall.O_CLOEXEC, 0o644)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	err = syscall.Flock(lock, syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		fmt.Fprintf(os.Stderr, "another package of this checkout is being tested: waiting for its end (%s)\n", file)
		err = syscall.Flock(lock, syscall.LOCK_EX)
	}
	return err
}

// checkout finds the folder of go.mod, and reads the folders of all sources below it. So go test knows that a cached
// result belongs to another binary.
func checkout() (root string, err error) {
	root, err = os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; root = filepath.Dir(root) {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
		if root == filepath.Dir(root) {
			return "", errors.New("there is no go.mod above the tests")
		}
	}
	return root, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		return nil // a file that has just gone is not a source
	})
}

// Need skips the test, saying which part is missing. If CI=true promises that all parts are there, it fails the test.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			Missing(t, "the program %s is not installed", p)
		}
	}
}

// NeedRoot is Need for the rights to make network namespaces.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Missing(t, "network namespaces need root")
	}
}

// Missing skips the test because something is missing; in CI it fails the test.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format+" (with CI=true this is a failure)", args...)
	}
	t.Skipf(format, args...)
}
