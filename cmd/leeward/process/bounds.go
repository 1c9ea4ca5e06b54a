package process

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"leeward/health/probe"
	"leeward/server/socket"
	"leeward/server/transfer"
)

// What a process may have is shared out at its start, so that a flood that uses up one thing leaves what others need.

// descriptors are the shares of those who outsiders can have open files.
type descriptors struct {
	tcp       int // connections of DNS clients
	probes    int
	admin     int // connections of the admin interface
	transfers int // sockets to primaries and secondaries
}

// descriptorShares shares out so many file descriptors: half for probes, a quarter for TCP, a twelfth each for the
// admin interface and for transfers, up to what each has anyhow. Kept back before are the sockets that listen, and up
// to 64 for etcd, files and the resolver. Nobody has more than its share, so nobody is without its own while others
// take all that they can get.
func descriptorShares(limit uint64, sockets int) descriptors {
	limit -= min(uint64(sockets), limit/2)
	limit -= min(64, limit/4)
	share := func(part, most uint64) int { return int(max(4, min(limit/part, most))) }
	return descriptors{
		tcp: share(4, socket.DefaultConnections), probes: share(2, uint64(probe.DefaultConcurrency())),
		admin: share(12, mostAdmin), transfers: share(12, transfer.Sockets),
	}
}

// mostAdmin is how many connections the admin interface takes: a few people, scrapers, balancers that look after
// health.
const mostAdmin = 128

// shares are those of this server.
func (r *run) shares() descriptors {
	sockets := 1 // of the admin interface
	for range r.Listen {
		sockets += 2 * (runtime.NumCPU() + 1) // ":53" is two addresses
	}
	return descriptorShares(descriptorLimit(), sockets)
}

// BoundMemory has the garbage collector work harder before the process meets the memory limit of its control group,
// which would kill it, and returns the bound that it has set: nine tenths of the limit, as not all memory is the
// heap's. 0: there is none, or an operator has set GOMEMLIMIT and knows better.
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

// groupMemory returns the memory limit of the control group that this process is in, or the least of those of the
// groups around it, of version 2 or 1; 0: there is none that can be read. Files are looked for below root.
func groupMemory(root string) int64 {
	groups, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil { // no /proc: in a container, the group's own files are where groups are mounted
		groups = []byte("0::/\n1:memory:/\n")
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
