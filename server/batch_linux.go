package server

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	batchSize    = 64   // datagrams moved by one system call
	requestSize  = 4096 // octets: the largest request over UDP; a longer one is dropped
	drainBatches = 256  // batches that are still read after the stop: a bound on draining a full receive buffer
	receiveSpace = 4 << 20
)

// bindUDP opens the packet loops of one address.
func (s *Server) bindUDP(a netip.AddrPort) ([]packetLoop, error) {
	if s.options.Portable {
		return s.bindPlain(a)
	}
	var loops []packetLoop
	for range s.options.Workers {
		fd, err := batchSocket(a)
		if err != nil {
			return loops, err
		}
		loops = append(loops, &batchLoop{
			fd: fd, address: a, stopping: &s.last, worker: s.newWorker(udp), batch: newBatch(),
		})
	}
	return loops, nil
}

// batchLoop serves one SO_REUSEPORT socket from a thread of its own with recvmmsg and sendmmsg.
//
// The descriptor is a blocking one and is not given to the runtime's poller: waking a goroutine through epoll costs more
// than answering the query. The system calls are announced to the scheduler, so that a loop that waits holds up neither
// a stop of the world nor other goroutines; SO_RCVTIMEO bounds how long it can miss a stop that came without a wake-up.
type batchLoop struct {
	fd       int
	address  netip.AddrPort
	stopping *atomic.Bool
	worker   *worker
	batch    *batch
	lost     overflow
}

// batchSocket opens a blocking UDP socket for one loop.
func batchSocket(a netip.AddrPort) (fd int, err error) {
	family, level := unix.AF_INET, unix.IPPROTO_IP
	if a.Addr().Is6() {
		family, level = unix.AF_INET6, unix.IPPROTO_IPV6
	}
	fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
			fd = -1
		}
	}()
	set := func(what string, level, option, value int) {
		if err == nil {
			err = os.NewSyscallError("setsockopt "+what, unix.SetsockoptInt(fd, level, option, value))
		}
	}
	set("SO_REUSEPORT", unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	if family == unix.AF_INET6 {
		set("IPV6_V6ONLY", level, unix.IPV6_V6ONLY, 1)
	}
	if a.Addr().IsUnspecified() { // the answer must leave from the address that was asked
		if family == unix.AF_INET6 {
			set("IPV6_RECVPKTINFO", level, unix.IPV6_RECVPKTINFO, 1)
		} else {
			set("IP_PKTINFO", level, unix.IP_PKTINFO, 1)
		}
	}
	if err != nil {
		return fd, err
	}
	// What follows makes things better and is done without where the system refuses: no path MTU learnt from forged
	// ICMP may shrink or block answers, and a burst finds room.
	if family == unix.AF_INET6 {
		_ = unix.SetsockoptInt(fd, level, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_OMIT)
	} else {
		_ = unix.SetsockoptInt(fd, level, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_OMIT)
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveSpace) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveSpace)
	}
	second := unix.Timeval{Sec: 1}
	if err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &second); err != nil {
		return fd, os.NewSyscallError("setsockopt SO_RCVTIMEO", err)
	}
	if err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &second); err != nil {
		return fd, os.NewSyscallError("setsockopt SO_SNDTIMEO", err)
	}
	name, err := socketAddress(a)
	if err != nil {
		return fd, err
	}
	if err = unix.Bind(fd, name); err != nil {
		return fd, os.NewSyscallError("bind", err)
	}
	return fd, nil
}

func socketAddress(a netip.AddrPort) (unix.Sockaddr, error) {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}, nil
	}
	name := &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
	if zone := a.Addr().Zone(); zone != "" {
		i, err := net.InterfaceByName(zone)
		if err != nil {
			return nil, fmt.Errorf("interface %s: %w", zone, err)
		}
		name.ZoneId = uint32(i.Index)
	}
	return name, nil
}

// wake makes a blocked receive return: Linux wakes the readers of an unconnected socket although it then says ENOTCONN.
func (l *batchLoop) wake() { _ = unix.Shutdown(l.fd, unix.SHUT_RD) }

func (l *batchLoop) close() { l.lost.end(l.fd) }

func (l *batchLoop) overflows() uint64 { return l.lost.read(l.fd) }

func (l *batchLoop) run() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	b := l.batch
	left := drainBatches
	faults := 0
	for left > 0 {
		flags := unix.MSG_WAITFORONE
		if l.stopping.Load() { // answer what the kernel has already taken for us, and go
			flags = unix.MSG_DONTWAIT
			left--
		}
		n, errno := b.receive(l.fd, flags)
		switch {
		case errno == 0:
			faults = 0
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN:
			if flags == unix.MSG_DONTWAIT {
				return nil
			}
			continue
		case faults < 100 && (errno == unix.ENOMEM || errno == unix.ENOBUFS || errno == unix.ECONNREFUSED || errno == unix.ENETDOWN):
			faults++
			l.worker.tally[droppedReceive]++
			l.worker.flush()
			continue
		default:
			return fmt.Errorf("udp %s: %w", l.address, os.NewSyscallError("recvmmsg", errno))
		}
		l.worker.look()
		out := 0
		for i := range n {
			if l.answer(i, out) {
				out++
			}
		}
		l.worker.flush()
		if lost := b.send(l.fd, out); lost > 0 {
			l.worker.tally[droppedSend] += uint64(lost)
			l.worker.flush()
		}
	}
	return nil
}

// answer answers the i-th datagram received as the o-th to send, and reports whether there is anything to send.
func (l *batchLoop) answer(i, o int) bool {
	b, w := l.batch, l.worker
	in := &b.in[i]
	src := b.source(i)
	if !src.IsValid() || src.Port() == 0 { // woken up by the stop, or nobody to answer
		return false
	}
	if in.Hdr.Flags&unix.MSG_TRUNC != 0 {
		w.tally[droppedLong]++
		return false
	}
	response := w.answer(b.requests[i][:in.Len], src.Addr(), b.responses[o][:0])
	if w.special {
		if !w.server.special.datagram(b.requests[i][:in.Len], src, l.later(i, src)) {
			w.tally[droppedBusy]++
		}
		return false
	}
	if len(response) == 0 {
		return false
	}
	b.outVectors[o].SetLen(len(response))
	out := &b.out[o].Hdr
	out.Name = &b.names[i][0]
	out.Namelen = in.Hdr.Namelen
	out.Control = nil
	out.SetControllen(0)
	if in.Hdr.Controllen > 0 && in.Hdr.Flags&unix.MSG_CTRUNC == 0 {
		if n := replyFrom(b.controls[i][:]); n > 0 {
			out.Control = (*byte)(unsafe.Pointer(&b.controls[i][0]))
			out.SetControllen(n)
		}
	}
	return true
}

// later returns what sends a reply to the i-th datagram after the batch has moved on. The socket is open for as long as the
// server waits for those who may call it.
func (l *batchLoop) later(i int, src netip.AddrPort) func([]byte) error {
	b, in := l.batch, &l.batch.in[i]
	var to unix.Sockaddr = &unix.SockaddrInet4{Port: int(src.Port())}
	if *(*uint16)(unsafe.Pointer(&b.names[i])) == unix.AF_INET6 {
		name := (*unix.RawSockaddrInet6)(unsafe.Pointer(&b.names[i]))
		to = &unix.SockaddrInet6{Port: int(src.Port()), Addr: name.Addr, ZoneId: name.Scope_id}
	} else {
		to.(*unix.SockaddrInet4).Addr = src.Addr().As4()
	}
	var control []byte
	if in.Hdr.Controllen > 0 && in.Hdr.Flags&unix.MSG_CTRUNC == 0 {
		if n := replyFrom(b.controls[i][:]); n > 0 {
			control = append(control, unsafe.Slice((*byte)(unsafe.Pointer(&b.controls[i][0])), n)...)
		}
	}
	return func(message []byte) error {
		_, err := unix.SendmsgN(l.fd, message, control, to, 0)
		return os.NewSyscallError("sendmsg", err)
	}
}

// batch is the memory that the kernel reads and writes. It is one allocation that never moves.
type batch struct {
	in, out    [batchSize]unix.Mmsghdr
	inVectors  [batchSize]unix.Iovec
	outVectors [batchSize]unix.Iovec
	names      [batchSize][unix.SizeofSockaddrInet6]byte
	controls   [batchSize]control
	requests   [batchSize][requestSize]byte
	responses  [batchSize][MaxUDPSize]byte
	received   int // how many of in the last receive has used
}

// control holds one control message: PKTINFO of either family, aligned as the kernel wants it.
type control [8]uint64

func newBatch() *batch {
	b := &batch{received: batchSize}
	for i := range batchSize {
		b.inVectors[i].Base = &b.requests[i][0]
		b.inVectors[i].SetLen(requestSize)
		b.in[i].Hdr.Name = &b.names[i][0]
		b.in[i].Hdr.Iov = &b.inVectors[i]
		b.in[i].Hdr.SetIovlen(1)
		b.in[i].Hdr.Control = (*byte)(unsafe.Pointer(&b.controls[i][0]))
		b.outVectors[i].Base = &b.responses[i][0]
		b.out[i].Hdr.Iov = &b.outVectors[i]
		b.out[i].Hdr.SetIovlen(1)
	}
	return b
}

// receive waits for datagrams and returns how many there are.
func (b *batch) receive(fd, flags int) (int, unix.Errno) {
	for i := range b.received { // the kernel has written over these
		h := &b.in[i].Hdr
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(int(unsafe.Sizeof(control{})))
		h.Flags = 0
	}
	b.received = 0
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.in[0])), batchSize,
		uintptr(flags), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	b.received = int(n)
	return int(n), 0
}

// send sends the first n of out and returns how many the kernel would not take. Each call makes headway by one at least,
// so there are at most n of them and as many interrupted ones.
func (b *batch) send(fd, n int) (lost int) {
	interrupted := 0
	for at := 0; at < n; {
		sent, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.out[at])),
			uintptr(n-at), 0, 0, 0)
		switch {
		case errno == 0 && sent > 0:
			at += int(sent)
		case errno == unix.EINTR && interrupted < n:
			interrupted++
		default: // the error is that of the first: no route to it, a full queue, a firewall
			at++
			lost++
		}
	}
	return lost
}

// source returns whom the i-th datagram came from; invalid if the kernel named nobody.
func (b *batch) source(i int) netip.AddrPort {
	name := &b.names[i]
	port := uint16(name[2])<<8 | uint16(name[3]) // network byte order in both families
	switch n := b.in[i].Hdr.Namelen; {
	case n >= unix.SizeofSockaddrInet4 && *(*uint16)(unsafe.Pointer(name)) == unix.AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(name[4:8])), port)
	case n >= unix.SizeofSockaddrInet6 && *(*uint16)(unsafe.Pointer(name)) == unix.AF_INET6:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(name[8:24])).Unmap(), port)
	}
	return netip.AddrPort{}
}

// replyFrom turns the PKTINFO that came with a request into the one for its reply, in place: sent from the address that
// was asked. The interface is left to routing, except for a link-local address, which means nothing without it. It
// returns the length of the control message, 0 if there is none to send.
func replyFrom(c []uint64) int {
	h := (*unix.Cmsghdr)(unsafe.Pointer(&c[0]))
	body := unsafe.Add(unsafe.Pointer(&c[0]), unix.CmsgLen(0))
	switch {
	case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO:
		(*unix.Inet4Pktinfo)(body).Ifindex = 0
		return unix.CmsgSpace(unix.SizeofInet4Pktinfo)
	case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO:
		if p := (*unix.Inet6Pktinfo)(body); !netip.AddrFrom16(p.Addr).IsLinkLocalUnicast() {
			p.Ifindex = 0
		}
		return unix.CmsgSpace(unix.SizeofInet6Pktinfo)
	}
	return 0
}
