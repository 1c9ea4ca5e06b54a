package geo

import (
	"encoding/binary"
	"net/netip"
)

// Inner returns the IPv4 address embedded in an IPv6 address, and the bit at which it begins: in 6to4 (2002::/16, RFC
// 3056), of a Teredo client (2001::/32, RFC 4380, with its bits inverted), under NAT64's well-known prefix
// (64:ff9b::/96, RFC 6052), and IPv4-mapped (::ffff:0:0/96, RFC 4291). A host with such an address is where the IPv4
// address is. Any other address, and an IPv4 address, is returned unchanged, with bit 0.
//
// A prefix of n bits of the inner address corresponds to one of at + n bits of the address itself.
func Inner(a netip.Addr) (inner netip.Addr, at int) {
	if a.Is4() {
		return a, 0
	}
	b := a.As16()
	if v4, at := inner4(binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])); at > 0 {
		return addr4(v4), int(at)
	}
	return a, 0
}

// inner4 is Inner on numbers. at is 0 if there is no embedded address.
func inner4(upper, lower uint64) (v4 uint32, at uint8) {
	switch upper >> 48 {
	case 0x2002:
		return uint32(upper >> 16), 16
	case 0x2001:
		if upper>>32 == 0x20010000 {
			return ^uint32(lower), 96
		}
	case 0x0064:
		if upper == 0x0064_ff9b<<32 && lower>>32 == 0 {
			return uint32(lower), 96
		}
	case 0:
		if upper == 0 && lower>>32 == 0xffff {
			return uint32(lower), 96
		}
	}
	return 0, 0
}

// apart returns how long a prefix of an address without an embedded one must be to exclude all addresses that have one.
func apart(upper, lower uint64) (bits uint8) {
	for _, within := range [...][2]uint64{{0x2002 << 48}, {0x2001 << 48}, {0x0064_ff9b << 32}, {0, 0xffff << 32}} {
		bits = max(bits, shared128(upper^within[0], lower^within[1])+1)
	}
	return bits
}

// Scope returns the length of the shortest prefix of addr whose addresses are all located within first to last, the
// range that Locate or ASNOf has found. It is Span, of the embedded address if addr has one.
func Scope(addr, first, last netip.Addr) int {
	inner, at := Inner(addr)
	bits := at + Span(inner, first, last)
	if at == 0 && addr.Is6() {
		b := addr.As16()
		bits = max(bits, int(apart(binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]))))
	}
	return bits
}
