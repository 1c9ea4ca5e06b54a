package socket

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"leeward/server/answer"
	"leeward/server/wire"
)

const (
	batchSize    = 64 // datagrams moved by one system call
	responseSize = (wire.UDPSize + 63) &^ 63
	drainBatches = 256 // most batches to read after the stop, so that draining a full receive buffer ends
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
			fd: fd, address: a, server: s, worker: s.answers.Worker(s.udp),
			batch: newBatch(a.Addr().IsUnspecified(), canSegment(fd)),
		})
	}
	return loops, nil
}

// batchLoop serves one SO_REUSEPORT socket with recvmmsg and sendmmsg.
//
// The descriptor is blocking and is not given to the runtime's poller: waking a goroutine through epoll costs more than
// answering the query. While queries come, the system calls are not announced to the scheduler either (seated): the
// loop keeps its P while it waits. If the scheduler needs the P, to stop the world or because the loop has had it for
// 10 ms, it interrupts the loop with a signal. Because of SO_RCVTIMEO the kernel does not restart the interrupted call.
// After a second interruption without a query in between, the loop waits with an announced call, like any other
// goroutine, until the next query comes.
type batchLoop struct {
	fd      int
	address netip.AddrPort
	server  *Server
	seated  bool
	worker  *answer.Worker
	batch   *batch
	lost    overflow
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
	// The following options are optional; the system may refuse them. A path MTU learnt from forged ICMP must not
	// shrink or block answers, and a burst should find room.
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

// wake makes a blocked receive return. Linux wakes the readers of an unconnected socket, although shutdown itself fails
// with ENOTCONN.
func (l *batchLoop) wake() { _ = unix.Shutdown(l.fd, unix.SHUT_RD) }

func (l *batchLoop) close() { l.lost.end(l.fd) }

func (l *batchLoop) overflows() uint64 { return l.lost.read(l.fd) }

func (l *batchLoop) sit() {
	if !l.seated {
		l.seated = l.server.seats.take()
	}
}

func (l *batchLoop) stand() {
	if l.seated {
		l.seated = false
		l.server.seats.give()
	}
}

func (l *batchLoop) run() error {
	defer l.stand()
	b, w := l.batch, l.worker
	left := drainBatches
	faults := 0
	asked := false // since the last interruption
	for left > 0 {
		flags := unix.MSG_WAITFORONE
		if l.server.last.Load() { // answer what the kernel has already received, and end
			flags = unix.MSG_DONTWAIT
			left--
		}
		n, errno := b.receive(l.fd, flags, l.seated)
		switch {
		case errno == 0:
			faults = 0
		case errno == unix.EINTR && asked:
			// from the next function call on the scheduler may take the P, for as long as it wants
			asked = false
			continue
		case errno == unix.EINTR:
			l.stand()
			continue
		case errno == unix.EAGAIN:
			if flags == unix.MSG_DONTWAIT {
				return nil
			}
			l.stand()
			continue
		case faults < 100 && (errno == unix.ENOMEM || errno == unix.ENOBUFS || errno == unix.ECONNREFUSED ||
			errno == unix.ENETDOWN):
			faults++
			w.Lost(answer.Receive, 1)
			w.Flush()
			continue
		default:
			return fmt.Errorf("udp %s: %w", l.address, os.NewSyscallError("recvmmsg", errno))
		}
		l.sit()
		asked = true
		w.Look()
		for b.next < n {
			l.answers(n)
		}
		w.Flush()
		if lost := b.send(l.fd, l.seated); lost > 0 {
			w.Lost(answer.Send, lost)
			w.Flush()
		}
	}
	return nil
}

// answers answers the received datagrams from the next one on. A panic costs only that response: the next call goes on
// behind it.
func (l *batchLoop) answers(n int) {
	b := l.batch
	defer func() {
		if fault := recover(); fault != nil {
			i := b.next
			b.next++
			l.worker.Fault(fault, b.requests[i][:min(int(b.in[i].Len), requestSize)], b.source(i).Addr())
		}
	}()
	if b.next == 0 {
		l.worker.Ahead(n, b.request)
	}
	for ; b.next < n; b.next++ {
		l.answer(b.next)
	}
}

// answer answers the i-th datagram received, if there is anything to send.
func (l *batchLoop) answer(i int) {
	b, w := l.batch, l.worker
	in := &b.in[i]
	src := b.source(i)
	if !src.IsValid() || src.Port() == 0 { // woken by the stop, or there is no sender to answer
		return
	}
	request, cut := b.requests[i][:in.Len], in.Hdr.Flags&unix.MSG_TRUNC != 0
	response, kind := w.Respond(request, src.Addr(), cut, b.room())
	if kind == answer.Query {
		w.Tap(request, response, src)
	}
	switch {
	case kind != answer.Query:
		x := w.Later(request, src)
		x.Write = l.later(i, src)
		if !l.server.later.datagram(x) {
			w.Lost(answer.Busy, 1)
		}
	case len(response) > 0:
		b.put(i, response)
	}
}

// later returns a function that sends a reply to the i-th datagram after the batch has moved on. The server waits for
// all exchanges that may call it before it closes the socket.
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
//
// Requests do not lie at multiples of 4096, because their first lines would compete for the same few places of a cache.
// Responses lie close together, each beginning at the next cache line.
type batch struct {
	in        [batchSize]unix.Mmsghdr
	vectors   [batchSize]unix.Iovec
	names     [batchSize][unix.SizeofSockaddrInet6]byte
	controls  [batchSize]control
	requests  [batchSize][requestSize + 64]byte
	responses [batchSize * responseSize]byte
	replies   replies

	wildcard bool // the kernel says to which address a request was sent
	received int  // how many of in the last receive has used
	next     int  // index in in of the next datagram to answer
	used     int  // octets of responses
}

// control holds control messages, aligned as the kernel requires: PKTINFO of either family, then UDP_SEGMENT.
type control [8]uint64

func newBatch(wildcard, segments bool) *batch {
	b := &batch{received: batchSize, wildcard: wildcard, replies: replies{segments: segments}}
	for i := range batchSize {
		b.vectors[i].Base = &b.requests[i][0]
		b.vectors[i].SetLen(requestSize)
		b.in[i].Hdr.Name = &b.names[i][0]
		b.in[i].Hdr.Iov = &b.vectors[i]
		b.in[i].Hdr.SetIovlen(1)
		if wildcard {
			b.in[i].Hdr.Control = (*byte)(unsafe.Pointer(&b.controls[i][0]))
		}
	}
	return b
}

// request returns the i-th received datagram, or the part of it that fitted, and its sender.
func (b *batch) request(i int) ([]byte, netip.Addr) {
	return b.requests[i][:min(int(b.in[i].Len), requestSize)], b.source(i).Addr()
}

// room returns where the next response goes.
func (b *batch) room() []byte { return b.responses[b.used : b.used : b.used+responseSize] }

// receive waits for datagrams and returns their number. All responses to the previous ones must have been sent.
func (b *batch) receive(fd, flags int, seated bool) (int, unix.Errno) {
	for i := range b.received { // the kernel has written over these
		h := &b.in[i].Hdr
		h.Namelen = unix.SizeofSockaddrInet6
		if b.wildcard {
			h.SetControllen(int(unsafe.Sizeof(control{})))
		}
		h.Flags = 0
	}
	b.received, b.next, b.used = 0, 0, 0
	b.replies.clear()
	n, errno := mmsg(unix.SYS_RECVMMSG, fd, &b.in[0], batchSize, flags, seated)
	if errno != 0 {
		return 0, errno
	}
	b.received = n
	return n, 0
}

// mmsg is recvmmsg and sendmmsg. A call that is not announced to the scheduler keeps the P.
func mmsg(call uintptr, fd int, first *unix.Mmsghdr, n, flags int, seated bool) (int, unix.Errno) {
	var done uintptr
	var errno unix.Errno
	if seated {
		done, _, errno = unix.RawSyscall6(call, uintptr(fd), uintptr(unsafe.Pointer(first)), uintptr(n), uintptr(flags),
			0, 0)
	} else {
		done, _, errno = unix.Syscall6(call, uintptr(fd), uintptr(unsafe.Pointer(first)), uintptr(n), uintptr(flags), 0,
			0)
	}
	return int(done), errno
}

// source returns the sender of the i-th datagram. It is invalid if the kernel named none.
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

// replyFrom turns the PKTINFO of a request into that of its reply, in place, so that the reply leaves from the address
// to which the request was sent. Routing chooses the interface, except for a link-local address, which is meaningless
// without one. It returns the length of the control message, 0 if there is none to send.
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
