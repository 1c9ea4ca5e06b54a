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

// hash is a name's hash under a seed: a multiplication for each 8 octets. It is for names that the operator has put there; what
// others ask for is only looked up by it.
func hash(seed uint64, name []byte) uint64 {
	h := seed ^ uint64(len(name))*mix2
	for len(name) > 8 {
		h = fold(h^binary.LittleEndian.Uint64(name), mix1)
		name = name[8:]
	}
	var last uint64
	switch n := len(name); {
	case n == 8:
		last = binary.LittleEndian.Uint64(name)
	case n >= 4: // two halves that overlap
		last = uint64(binary.LittleEndian.Uint32(name)) | uint64(binary.LittleEndian.Uint32(name[n-4:]))<<32
	case n > 0:
		last = uint64(name[0]) | uint64(name[n/2])<<8 | uint64(name[n-1])<<16
	}
	return fold(h^last, mix2)
}

func fold(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low
}
