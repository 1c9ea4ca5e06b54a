package process

import (
	"os"
	"path/filepath"
	"testing"

	"leeward/health/probe"
	"leeward/server/transfer"
)

// Whatever the limit is, the shares together leave room for the files that the server itself opens.
func TestDescriptorShares(t *testing.T) {
	for _, c := range []struct {
		limit   uint64
		sockets int
		want    descriptors
	}{
		{0, 0, descriptors{4, 4, 4, 4}},
		{64, 6, descriptors{11, 22, 4, 4}},
		{1024, 6, descriptors{238, 477, 79, 79}},
		{1 << 40, 6, descriptors{1024, probe.DefaultConcurrency(), 128, transfer.Sockets}},
	} {
		if got := descriptorShares(c.limit, c.sockets); got != c.want {
			t.Errorf("of %d: %+v, want %+v", c.limit, got, c.want)
		}
	}
	for limit := uint64(64); limit < 1<<17; limit += 1 + limit/50 {
		for _, sockets := range []int{3, 7, int(limit / 8)} {
			d := descriptorShares(limit, sockets)
			left := int(limit) - min(sockets, int(limit/2)) - d.tcp - d.probes - d.admin - d.transfers
			if left < 14 {
				t.Errorf("of %d with %d sockets: %+v leave %d", limit, sockets, d, left)
			}
		}
	}
}

func TestGroupMemory(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"none", nil, 0},
		{"version 2", map[string]string{
			"proc/self/cgroup": "0::/system.slice/leeward.service\n",
			"sys/fs/cgroup/system.slice/leeward.service/memory.max": "104857600\n",
		}, 100 << 20},
		{"version 2, around it", map[string]string{
			"proc/self/cgroup":                   "0::/a/b\n",
			"sys/fs/cgroup/a/b/memory.max":       "max\n",
			"sys/fs/cgroup/a/memory.max":         "2097152\n",
			"sys/fs/cgroup/elsewhere/memory.max": "1\n",
		}, 2 << 20},
		{"version 2, no /proc", map[string]string{"sys/fs/cgroup/memory.max": "4096\n"}, 4096},
		{"version 1, no /proc", map[string]string{"sys/fs/cgroup/memory/memory.limit_in_bytes": "4096\n"}, 4096},
		{
			"version 2, in a container",
			map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "4096\n"},
			4096,
		},
		{"version 2, none", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, 0},
		{"version 1", map[string]string{
			"proc/self/cgroup": "9:cpu:/x\n4:memory:/x\n0::/\n",
			"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "8192\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":   "9223372036854771712\n",
		}, 8192},
		{"version 1, none", map[string]string{
			"proc/self/cgroup":                           "4:cpu,memory:/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, 0},
	} {
		root := t.TempDir()
		for name, text := range c.files {
			path := filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := groupMemory(root); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
