package wire

import (
	"encoding/binary"
	"net/netip"
)

// Glance returns the name of the question as it was sent and its type. It also returns the address of the client subnet
// if that is the first option of an OPT record right after the question, as in most requests. It is for preparing a
// request; Parse decides.
func Glance(msg []byte) (name []byte, qtype uint16, subnet netip.Addr) {
	at := HeaderSize
	for {
		if at >= len(msg) || at >= HeaderSize+MaxName || msg[at] > 63 {
			return nil, 0, subnet
		}
		if msg[at] == 0 {
			break
		}
		at += int(msg[at]) + 1
	}
	at++
	if at+4 > len(msg) {
		return nil, 0, subnet
	}
	name, qtype = msg[HeaderSize:at], binary.BigEndian.Uint16(msg[at:])
	const optHead, ecsHead = optSize + optionHeader, 4
	o := msg[at+4:]
	if len(o) < optHead+ecsHead || o[0] != 0 || binary.BigEndian.Uint16(o[1:]) != TypeOPT ||
		binary.BigEndian.Uint16(o[optSize:]) != optionECS {
		return name, qtype, subnet
	}
	end := optHead + int(binary.BigEndian.Uint16(o[optSize+2:]))
	if end < optHead+ecsHead || end > len(o) || end > optSize+int(binary.BigEndian.Uint16(o[optSize-2:])) ||
		binary.BigEndian.Uint32(msg[6:]) != 0 || binary.BigEndian.Uint16(msg[10:]) == 0 { // ANCOUNT, NSCOUNT; ARCOUNT
		return name, qtype, subnet
	}
	switch address := o[optHead+ecsHead : end]; o[optHead+1] {
	case 1:
		var x uint32
		for i := range min(4, len(address)) {
			x |= uint32(address[i]) << (24 - 8*i)
		}
		subnet = netip.AddrFrom4([4]byte{byte(x >> 24), byte(x >> 16), byte(x >> 8), byte(x)})
	case 2:
		var whole [16]byte
		for i := range min(16, len(address)) {
			whole[i] = address[i]
		}
		subnet = netip.AddrFrom16(whole)
	}
	return name, qtype, subnet
}
