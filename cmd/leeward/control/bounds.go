package control

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	"leeward/health/probe"
)

// What a process may have is shared out at its start, so that a flood that uses up one thing leaves what others need.

// descriptorShares says how many TCP connections of clients and how many probes there may be at once, of so many file
// descriptors: a quarter of them for the former and half for the latter, up to what these have anyhow. The rest is for sockets
// that listen, etcd, the admin interface, files and what is resolved: they go on while clients take all that they can get.
func descriptorShares(limit uint64, connections int) (tcp, probes int) {
	share := func(part uint64, most int) int { return int(max(4, min(part, uint64(most)))) }
	return share(limit/4, connections), share(limit/2, probe.DefaultConcurrency())
}

// BoundMemory has the garbage collector work harder before the process meets the memory limit of its control group, which
// would kill it, and returns the bound that it has set: nine tenths of the limit, as not all memory is the heap's. 0: there
// is none, or an operator has set GOMEMLIMIT and knows better.
func BoundMemory(getenv func(string) string) int64 {
	if getenv("GOMEMLIMIT") != "" {
		return 0
	}
	limit := groupMemory("/")
	if limit == 0 {
		return 0
	}
	bound := limit / 10 * 9
	debug.SetMemoryLimit(bound)
	return bound
}

// groupMemory returns the memory limit of the control group that this process is in, or the least of those of the groups
// around it, of version 2 or 1; 0: there is none that can be read. Files are looked for below root.
func groupMemory(root string) int64 {
	groups, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return 0
	}
	least := int64(math.MaxInt64)
	for line := range strings.Lines(string(groups)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		var mount, file string
		switch {
		case parts[1] == "":
			mount, file = "sys/fs/cgroup", "memory.max"
		case containsWord(parts[1], "memory"):
			mount, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		default:
			continue
		}
		for group := filepath.Clean("/" + parts[2]); ; group = filepath.Dir(group) {
			text, err := os.ReadFile(filepath.Join(root, mount, group, file))
			if n, bad := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64); err == nil && bad == nil && n > 0 {
				least = min(least, n) // "max" is no number
			}
			if group == "/" {
				break
			}
		}
	}
	if least >= 1<<60 { // version 1 has all that there could be for none
		return 0
	}
	return least
}

func containsWord(list, word string) bool {
	for w := range strings.SplitSeq(list, ",") {
		if w == word {
			return true
		}
	}
	return false
}
