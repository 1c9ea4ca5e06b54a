package socket

import (
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// overflow follows a socket's count of datagrams that found its receive buffer full. It asks the kernel only when
// somebody reads the count, because a control message with each datagram (SO_RXQ_OVFL) would make all of them slower.
type overflow struct {
	mu     sync.Mutex
	closed bool   // from then on the descriptor may belong to another file
	last   uint32 // as the kernel counts, modulo 2^32
	total  uint64
}

// SO_MEMINFO returns 32-bit numbers about a socket (linux/sock_diag.h).
const (
	memoryVars  = 9
	memoryDrops = 8 // the last of them
)

// read returns the count.
func (o *overflow) read(fd int) uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ask(fd)
	return o.total
}

func (o *overflow) ask(fd int) {
	if o.closed {
		return
	}
	var info [memoryVars]uint32
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 || size < memoryVars*4 {
		return // before Linux 4.12
	}
	drops := info[memoryDrops]
	o.total += uint64(drops - o.last)
	o.last = drops
}

// end closes the socket. The count then stays as it is.
func (o *overflow) end(fd int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ask(fd)
	o.closed = true
	_ = unix.Close(fd)
}
