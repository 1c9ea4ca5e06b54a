//go:build unix

package geo

import "syscall"

// buffer returns size (at least 1) octets of zeroed memory from the system, and a function that gives it back. On the
// heap, a database of 66 MB would double the garbage that the collector allows (measured: a peak of 208 MB instead of
// 143 MB), and stay there until a collection that an idle server does not run.
func buffer(size int) (data []byte, release func(), err error) {
	data, err = syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return nil, nil, err
	}
	return data, func() { _ = syscall.Munmap(data) }, nil
}
