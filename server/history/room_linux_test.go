package history

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"leeward/zones/disk"
)

// On a small disk, a history leaves room for what a restart needs, and drops its oldest files for that. At rest it has
// no open file, so the disk can be made read-only.
func TestHistoryLeavesRoom(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root mounts disks")
	}
	for _, size := range []int64{256 << 10, 8 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			mount := t.TempDir()
			if err := syscall.Mount("history", mount, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
				t.Skip("this machine mounts nothing:", err)
			}
			t.Cleanup(func() {
				if err := syscall.Unmount(mount, 0); err != nil {
					t.Error("after the end:", err)
				}
			})
			folder := filepath.Join(mount, "history")
			j, end := begin(t, Options{Folder: folder})
			for i := range 16 << 10 {
				j.Add(Event{Kind: Verdict, Text: fmt.Sprint(i, strings.Repeat("x", 500))}, nil)
				if i%1000 == 0 {
					flush(t, j)
				}
			}
			flush(t, j)
			free, all, err := disk.Space(folder)
			if err != nil || all != size || free < size/2 {
				t.Errorf("%d of %d octets are free (%v)", free, all, err)
			}
			if free > size*9/10 && size > 1<<20 {
				t.Errorf("%d of %d octets are free: nothing is kept", free, all)
			}
			for limit := time.Now().Add(10 * time.Second); ; {
				err := syscall.Mount("history", mount, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, "")
				if err == nil {
					break
				}
				if time.Now().After(limit) {
					t.Fatal("the disk cannot be made read-only:", err)
				}
				time.Sleep(10 * time.Millisecond)
			}
			end()
		})
	}
}
