//go:build linux

package lab

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// group is a control group for memory, of version 1 or 2, whichever the machine has.
type group struct{ dir, mount string }

// newGroup makes one with so many MiB. It is removed when the test ends, after everything that runs in it.
func newGroup(t testing.TB, name string, mib int) *group {
	t.Helper()
	limit := strconv.Itoa(mib << 20)
	for _, c := range []struct{ mount, file, again string }{
		{
			"/sys/fs/cgroup/memory", "memory.limit_in_bytes",
			"mount -t tmpfs none /sys/fs/cgroup && mkdir /sys/fs/cgroup/memory && mount -t cgroup -o memory none " +
				"/sys/fs/cgroup/memory",
		},
		{"/sys/fs/cgroup", "memory.max", "mount -t cgroup2 none /sys/fs/cgroup"},
	} {
		dir := filepath.Join(c.mount, name)
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		if c.file == "memory.max" {
			os.WriteFile("/sys/fs/cgroup/cgroup.subtree_control", []byte("+memory"), 0) // it may be there already
		}
		if err := os.WriteFile(filepath.Join(dir, c.file), []byte(limit), 0); err != nil {
			os.Remove(dir)
			continue
		}
		t.Cleanup(func() {
			for range 50 { // until the kernel has let go of the processes
				if os.Remove(dir) == nil {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
		return &group{dir, c.again}
	}
	Missing(t, "no control group with a memory limit can be made here")
	return nil
}

// enter is a command that moves itself into the group and then becomes the command that follows it. "ip netns exec"
// hides the groups behind a /sys of its own, so enter mounts them again.
func (g *group) enter() []string {
	return []string{"sh", "-c", g.mount + ` && echo $$ > "$0"/cgroup.procs && exec "$@"`, g.dir}
}
