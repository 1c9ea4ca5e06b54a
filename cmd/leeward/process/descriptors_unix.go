//go:build unix

package process

import "syscall"

// descriptorLimit returns how many files this process may have open.
func descriptorLimit() uint64 {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 1 << 20
	}
	return uint64(l.Cur)
}
