package disk

import "syscall"

// Space returns how many octets of the file system that a path is on an ordinary process may still use, and how many it
// has in all.
func Space(path string) (free, size int64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return 0, 0, err
	}
	return int64(s.Bavail) * s.Bsize, int64(s.Blocks) * s.Bsize, nil
}
