//go:build unix

package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lockFolder makes the --state folder this process's, until unlock: two servers would write over each other's copies. A
// process that dies leaves nothing locked. Where the folder cannot be written, or locked, that is told by who writes to
// it.
func lockFolder(folder string) (unlock func(), err error) {
	if os.MkdirAll(folder, 0o750) != nil {
		return func() {}, nil
	}
	// Read-only, as a file that is open for writing keeps an operator from remounting its file system read-only.
	f, err := os.OpenFile(filepath.Join(folder, "lock"), os.O_CREATE|os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0o640)
	if errors.Is(err, syscall.ELOOP) {
		// Two folders would have one lock, or a file would be made wherever the link leads.
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
