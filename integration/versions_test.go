//go:build linux

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var earlier struct {
	sync.Mutex
	built map[string]string // by commit, the binary
}

// builtFrom builds the binary from an earlier commit of this repository, once. A checkout need not have its history:
// where that is not there the test says so and is skipped, in CI as well.
func builtFrom(t testing.TB, commit string) string {
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
	dir := filepath.Join(filepath.Dir(binary), "of-"+commit)
	if os.Getenv("LEEWARD_TEST_BINARY") != "" {
		dir = filepath.Join(os.TempDir(), "leeward-of-"+commit)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if exec.Command("git", "-C", root, "cat-file", "-e", commit+"^{commit}").Run() != nil {
		t.Skipf("commit %s is not here to build an earlier version from: the clone is shallow (git fetch --unshallow brings it)", commit)
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

// refusing is what excuses SERVFAIL and REFUSED of a server are noted under.
func refusing(server string) string { return server + " refusing" }

// versionWords are about servers of other versions.
func versionWords() []word {
	become := func(program func(x *scenario) string) func(*scenario, []string) error {
		return func(x *scenario, a []string) error {
			all, err := x.regionsOf(a[0])
			for _, r := range all {
				path := program(x)
				x.mu.Lock()
				x.losses[r.name] = append(x.losses[r.name], window{from: time.Now()})
				x.mu.Unlock()
				if err := x.signal(r.server.process, syscall.SIGTERM); err != nil {
					return err
				}
				select {
				case <-r.server.process.gone:
				case <-time.After(20 * time.Second):
					return fmt.Errorf("server %s still runs", r.name)
				}
				if code := r.server.process.cmd.ProcessState.ExitCode(); code != 0 {
					return fmt.Errorf("server %s has ended with %d", r.name, code)
				}
				// Earlier versions say SERVFAIL for a moment when they start. Resolvers ask the others then.
				x.mu.Lock()
				x.losses[refusing(r.name)] = append(x.losses[refusing(r.name)], window{time.Now(), time.Now().Add(10 * time.Second)})
				x.mu.Unlock()
				r.server.argv[0] = path
				x.marks[r.name] = 0
				r.server.start(x.t)
			}
			return err
		}
	}
	return []word{
		{pattern: "server R is upgraded", means: "it is told to end (SIGTERM), has to with 0, and starts as what is tested; queries to it need not be answered until `R answers`, and SERVFAIL is excused for 10 s: what asks through a resolver must not notice", do: become(func(*scenario) string { return binary })},
		{pattern: "server R is downgraded", means: "the same, back to the version of the setting `servers are of`", do: become(func(x *scenario) string { return builtFrom(x.t, x.story.plan.version) })},
	}
}
