package socket

import (
	"encoding/binary"
	"math/bits"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	fewTogether  = 4             // with fewer requests, responses are not combined
	mostTogether = 60000         // octets in a message: less than an IPv4 datagram can have
	tableSize    = 2 * batchSize // a power of two
	tableSteps   = 4             // how far from its place in the table a message may be
)

// replies are the responses of a batch on their way out.
//
// Responses of one length to one socket leave as one message, which the kernel cuts up (UDP_SEGMENT, Linux 4.18). The
// receiver sees ordinary datagrams, but the kernel routes, filters and queues them as one. That saves much if many
// queries come from one socket: a proxy before this server, a forwarder, a load generator. A resolver takes another
// port for each query (RFC 5452); for it this costs one look into a table.
type replies struct {
	made  [batchSize]unix.Iovec // the responses
	of    [batchSize]uint8      // the message that a response is in
	count int                   // responses

	out      [batchSize]unix.Mmsghdr
	first    [batchSize]uint8      // the request whose sender a message goes to
	parts    [batchSize]uint8      // how many responses are in it
	lengths  [batchSize]uint16     // of each of them
	controls [batchSize]uint8      // octets of the control message with the address that it leaves from
	vectors  [batchSize]unix.Iovec // the responses by message
	messages int

	segments bool             // a message may have several
	table    [tableSize]uint8 // number of a message plus 1, by a hash of its receiver and its length
	noted    bool             // the table is not empty
	alone    unix.Mmsghdr
}

// canSegment reports whether the kernel can cut up messages of a socket.
func canSegment(fd int) bool { return unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_SEGMENT, 0) == nil }

func (r *replies) clear() {
	if r.noted {
		clear(r.table[:])
	}
	r.count, r.messages, r.noted = 0, 0, false
}

// put adds a response to the i-th received datagram. The response was made in the room that room returned.
func (b *batch) put(i int, response []byte) {
	r, n := &b.replies, b.replies.count
	r.made[n].Base = &response[0]
	r.made[n].SetLen(len(response))
	r.count++
	b.used += (len(response) + 63) &^ 63

	control := 0
	if in := &b.in[i].Hdr; b.wildcard && in.Controllen > 0 && in.Flags&unix.MSG_CTRUNC == 0 {
		control = replyFrom(b.controls[i][:])
	}
	m := r.messages
	if r.segments && b.received >= fewTogether {
		m = b.message(i, len(response), control)
	}
	r.of[n] = uint8(m)
	if m < r.messages {
		r.parts[m]++
		return
	}
	r.messages++
	r.first[m], r.parts[m], r.lengths[m], r.controls[m] = uint8(i), 1, uint16(len(response)), uint8(control)
	h := &r.out[m].Hdr
	h.Name, h.Namelen = &b.names[i][0], b.in[i].Hdr.Namelen
}

// message returns the message to which a response to the i-th datagram can be added. If there is none, it notes a new
// one and returns that.
func (b *batch) message(i, length, control int) int {
	r, name := &b.replies, &b.names[i]
	key := binary.NativeEndian.Uint64(name[:]) ^ bits.RotateLeft64(binary.NativeEndian.Uint64(name[16:]),
		32) ^ uint64(length)<<48
	at := int(key * 0x9e3779b97f4a7c15 >> (64 - (bits.Len(tableSize) - 1)))
	for range tableSteps {
		m := int(r.table[at]) - 1
		if m < 0 {
			r.table[at], r.noted = uint8(r.messages+1), true
			break
		}
		if b.beside(m, i, length, control) {
			return m
		}
		at = (at + 1) % tableSize
	}
	return r.messages
}

// beside reports whether a response to the i-th datagram can be in a message.
func (b *batch) beside(m, i, length, control int) bool {
	r, j := &b.replies, b.replies.first[m]
	if b.names[j] != b.names[i] || int(r.lengths[m]) != length || int(r.controls[m]) != control ||
		int(r.parts[m]+1)*length > mostTogether {
		return false
	}
	for k := range control / 8 { // the address that was asked
		if b.controls[j][k] != b.controls[i][k] {
			return false
		}
	}
	return true
}

// arrange makes the messages from the responses.
func (b *batch) arrange() {
	r := &b.replies
	var next [batchSize]uint8 // vector of a message
	at := 0
	for m := range r.messages {
		h, parts := &r.out[m].Hdr, int(r.parts[m])
		h.Iov = &r.vectors[at]
		h.SetIovlen(parts)
		next[m] = uint8(at)
		at += parts

		controls, size := &b.controls[r.first[m]], int(r.controls[m])
		if parts > 1 {
			c := (*unix.Cmsghdr)(unsafe.Pointer(&controls[size/8]))
			c.Level, c.Type = unix.SOL_UDP, unix.UDP_SEGMENT
			c.SetLen(unix.CmsgLen(2))
			*(*uint16)(unsafe.Add(unsafe.Pointer(c), unix.CmsgLen(0))) = r.lengths[m]
			size += unix.CmsgSpace(2)
		}
		h.Control = nil
		if size > 0 {
			h.Control = (*byte)(unsafe.Pointer(controls))
		}
		h.SetControllen(size)
	}
	for n := range r.count {
		m := r.of[n]
		r.vectors[next[m]] = r.made[n]
		next[m]++
	}
}

// send sends all responses and returns how many the kernel refused. Each system call gets at least one message out of
// the way, so there are at most as many calls as messages, plus those that were interrupted.
func (b *batch) send(fd int, seated bool) (lost int) {
	b.arrange()
	r := &b.replies
	interrupted := 0
	for at := 0; at < r.messages; {
		flags := 0
		if seated {
			flags = unix.MSG_DONTWAIT
		}
		sent, errno := mmsg(unix.SYS_SENDMMSG, fd, &r.out[at], r.messages-at, flags, seated)
		switch {
		case errno == 0 && sent > 0:
			at += sent
		case errno == unix.EAGAIN && seated: // while it waits for room, others get the P
			seated = false
		case errno == unix.EINTR && interrupted < r.messages:
			interrupted++
		default: // the error is about the first message: no route, a full queue, a firewall
			if r.parts[at] > 1 {
				lost += b.apart(fd, at, errno)
			} else {
				lost++
			}
			at++
		}
	}
	return lost
}

// apart sends the responses of a message that the kernel has refused one by one. If the kernel takes these, something
// on the way cannot cut messages up (IPsec, a device without checksums, a small MTU), and the loop makes no more such
// messages.
func (b *batch) apart(fd, m int, errno unix.Errno) (lost int) {
	r := &b.replies
	parts := unsafe.Slice(r.out[m].Hdr.Iov, r.parts[m])
	r.alone.Hdr = r.out[m].Hdr
	r.alone.Hdr.SetIovlen(1)
	r.alone.Hdr.SetControllen(int(r.controls[m]))
	if r.controls[m] == 0 {
		r.alone.Hdr.Control = nil
	}
	for k := range parts {
		r.alone.Hdr.Iov = &parts[k]
		if _, errno := mmsg(unix.SYS_SENDMMSG, fd, &r.alone, 1, 0, false); errno != 0 {
			lost++
		}
	}
	switch errno {
	case unix.EINVAL, unix.EIO, unix.EMSGSIZE, unix.EOPNOTSUPP:
		r.segments = r.segments && lost == len(parts)
	}
	return lost
}
