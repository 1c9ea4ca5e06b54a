//go:build unix

package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lockFolder locks the --state folder for this process until unlock is called, because two servers would overwrite each
// other's copies. When a process dies, its lock is released. If the folder cannot be written or locked, lockFolder
// returns no error: whoever writes there will report it.
func lockFolder(folder string) (unlock func(), err error) {
	if os.MkdirAll(folder, 0o750) != nil {
		return func() {}, nil
	}
	// Open it read-only: a file that is open for writing would keep an operator from remounting its file system
	// read-only.
	f, err := os.OpenFile(filepath.Join(folder, "lock"), os.O_CREATE|os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW,
		0o640)
	if errors.Is(err, syscall.ELOOP) {
		// Two folders would share one lock, or a file would be made wherever the link leads.
		return nil, fmt.Errorf("--state %s: its file lock is a symbolic link; remove it, and start again", folder)
	}
	if err != nil {
		return func() {}, nil
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		f.Close()
		return nil, fmt.Errorf("--state %s is in use by another leeward; give each server a folder of its own", folder)
	}
	return func() { f.Close() }, nil
}
