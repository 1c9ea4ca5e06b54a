package snapshot

import (
	"encoding/binary"
	"math/bits"
)

// Constants of wyhash (Wang Yi), whose way of mixing this is: odd numbers with as many ones as zeros.
const (
	mix1 = 0xa0761d6478bd642f
	mix2 = 0xe7037ed1a0b428db
)

// hash hashes a name in wire form under a seed, ignoring case, with one multiplication for each 8 octets. It reads the
// question's own octets: a lower-case copy that was just written could only be read back in the same pieces without a
// stall that takes longer than the hash.
//
// It does not have to withstand chosen input: the names in a table are the operator's, and clients only look names up.
func hash(seed uint64, name []byte) uint64 {
	n := len(name)
	h := seed ^ uint64(n)*mix2
	var last uint64
	switch {
	case n >= 8:
		for rest := name; len(rest) > 8; rest = rest[8:] {
			h = fold(h^lower8(binary.LittleEndian.Uint64(rest)), mix1)
		}
		last = binary.LittleEndian.Uint64(name[n-8:])
	case n >= 4: // two overlapping halves
		last = uint64(binary.LittleEndian.Uint32(name)) | uint64(binary.LittleEndian.Uint32(name[n-4:]))<<32
	case n > 0:
		last = uint64(name[0]) | uint64(name[n/2])<<8 | uint64(name[n-1])<<16
	}
	return fold(h^lower8(last), mix2)
}

func fold(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low
}

// is reports whether a name, in any case, equals a name in lower case.
func is(name, lower []byte) bool {
	n := len(name)
	if n != len(lower) {
		return false
	}
	if n < 8 {
		for i, c := range name {
			if c-'A' < 26 {
				c |= 0x20
			}
			if c != lower[i] {
				return false
			}
		}
		return true
	}
	differs := lower8(binary.LittleEndian.Uint64(name[n-8:])) ^ binary.LittleEndian.Uint64(lower[n-8:])
	for len(name) > 8 {
		differs |= lower8(binary.LittleEndian.Uint64(name)) ^ binary.LittleEndian.Uint64(lower)
		name, lower = name[8:], lower[8:]
	}
	return differs == 0
}

// lower8 turns eight octets to lower case at once. It finds those from 'A' to 'Z' by additions that carry into the top
// bit of each octet, and moves that bit to 0x20. Label lengths are below 64, and so are not letters.
func lower8(w uint64) uint64 {
	const every = 0x0101010101010101
	low := w &^ (0x80 * every)
	atLeastA := low + (0x80-'A')*every
	aboveZ := low + (0x80-'Z'-1)*every
	return w | (atLeastA&^aboveZ&^w&(0x80*every))>>2
}
