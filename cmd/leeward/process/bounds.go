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

// A process shares out its resources when it starts. A flood that uses up one share then leaves the others intact.

// descriptors is how many file descriptors each part that outsiders can occupy may open.
type descriptors struct {
	tcp       int // connections of DNS clients
	probes    int
	admin     int // connections of the admin interface
	transfers int // sockets to primaries and secondaries
}

// descriptorShares shares out limit file descriptors: half for probes, a quarter for TCP, a twelfth each for the admin
// interface and for transfers. No share is larger than the part's own limit. Before that it sets aside the listening
// sockets, and up to 64 for etcd, files and the resolver. A part cannot take another part's share.
func descriptorShares(limit uint64, sockets int) descriptors {
	limit -= min(uint64(sockets), limit/2)
	limit -= min(64, limit/4)
	share := func(part, most uint64) int { return int(max(4, min(limit/part, most))) }
	return descriptors{
		tcp: share(4, socket.DefaultConnections), probes: share(2, uint64(probe.DefaultConcurrency())),
		admin: share(12, mostAdmin), transfers: share(12, transfer.Sockets),
	}
}

// mostAdmin is how many connections the admin interface takes: enough for a few people, scrapers, and balancers that
// check health.
const mostAdmin = 128

// shares returns the shares of this server.
func (r *run) shares() descriptors {
	sockets := 1 // of the admin interface
	for range r.Listen {
		sockets += 2 * (runtime.NumCPU() + 1) // ":53" stands for two addresses
	}
	return descriptorShares(descriptorLimit(), sockets)
}

// BoundMemory makes the garbage collector work harder before the process reaches the memory limit of its control group,
// where the kernel would kill it. It returns the bound that it sets, in octets: nine tenths of the limit, since not all
// memory is heap. It returns 0 and does nothing if there is no limit, or if an operator has set GOMEMLIMIT.
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

// groupMemory returns the memory limit, in octets, of this process's control group (version 1 or 2) or the smallest
// limit of the groups around it. It returns 0 if it finds none. It looks for files below root.
func groupMemory(root string) int64 {
	groups, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil { // no /proc: a container's own group is where groups are mounted
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
				least = min(least, n) // "max" does not parse
			}
			if group == "/" {
				break
			}
		}
	}
	if least >= 1<<60 { // version 1 writes a huge number for no limit
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
