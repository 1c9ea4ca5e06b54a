package control

import (
	"os"
	"path/filepath"
	"testing"

	"leeward/health/probe"
)

func TestDescriptorShares(t *testing.T) {
	for _, c := range []struct {
		limit       uint64
		tcp, probes int
	}{
		{0, 4, 4}, {64, 16, 32}, {200, 50, 100}, {1 << 40, 1024, probe.DefaultConcurrency()},
	} {
		if tcp, probes := descriptorShares(c.limit, 1024); tcp != c.tcp || probes != c.probes {
			t.Errorf("of %d: %d connections and %d probes, want %d and %d", c.limit, tcp, probes, c.tcp, c.probes)
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
		{"version 2", map[string]string{"proc/self/cgroup": "0::/system.slice/leeward.service\n", "sys/fs/cgroup/system.slice/leeward.service/memory.max": "104857600\n"}, 100 << 20},
		{"version 2, around it", map[string]string{
			"proc/self/cgroup":                   "0::/a/b\n",
			"sys/fs/cgroup/a/b/memory.max":       "max\n",
			"sys/fs/cgroup/a/memory.max":         "2097152\n",
			"sys/fs/cgroup/elsewhere/memory.max": "1\n",
		}, 2 << 20},
		{"version 2, in a container", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "4096\n"}, 4096},
		{"version 2, none", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, 0},
		{"version 1", map[string]string{
			"proc/self/cgroup": "9:cpu:/x\n4:memory:/x\n0::/\n",
			"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "8192\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":   "9223372036854771712\n",
		}, 8192},
		{"version 1, none", map[string]string{"proc/self/cgroup": "4:cpu,memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 0},
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
