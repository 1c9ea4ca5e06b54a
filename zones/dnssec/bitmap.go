package dnssec

import (
	"slices"

	"leeward/zones/rr"
)

// AppendTypes appends a type bitmap (RFC 4034 section 4.1.2) to dst. It sorts types, which may have duplicates.
func AppendTypes(dst []byte, types []rr.Type) []byte {
	slices.Sort(types)
	for len(types) > 0 {
		window := types[0] >> 8
		var bits [32]byte
		last := 0
		for len(types) > 0 && types[0]>>8 == window {
			low := types[0] & 0xff
			bits[low>>3] |= 0x80 >> (low & 7)
			last, types = int(low>>3), types[1:]
		}
		dst = append(dst, byte(window), byte(last+1))
		dst = append(dst, bits[:last+1]...)
	}
	return dst
}
