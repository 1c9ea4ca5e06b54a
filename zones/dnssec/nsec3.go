package dnssec

import "crypto/sha1"

// HashSize is the number of octets in a hashed owner. NSEC3 has only one algorithm, SHA-1 (RFC 5155 section 11).
const HashSize = sha1.Size

// HashedLabel is the number of octets in the first label of an NSEC3's owner, without its length octet.
const HashedLabel = 32

// Hash returns the hash of a name in wire form and lower case, with no salt and no additional iterations (RFC 9276
// section 3.1).
func Hash(name []byte) [HashSize]byte { return sha1.Sum(name) }

// HashSalted returns the hash of a name in wire form and lower case, with a salt and additional iterations (RFC 5155
// section 5). Zones that others sign may use these.
func HashSalted(name, salt []byte, iterations int) [HashSize]byte {
	var room [2 * 255]byte // a name and a salt
	hash := sha1.Sum(append(append(room[:0], name...), salt...))
	for range iterations {
		hash = sha1.Sum(append(append(room[:0], hash[:]...), salt...))
	}
	return hash
}

// ParseHashed returns the hash that a label stands for. The label may be in upper or lower case. ok is false if it is
// none.
func ParseHashed(label []byte) (hash [HashSize]byte, ok bool) {
	if len(label) != HashedLabel {
		return hash, false
	}
	for i := range HashSize / 5 {
		x := uint64(0)
		for _, c := range label[8*i : 8*i+8] {
			switch {
			case c >= '0' && c <= '9':
				x = x<<5 | uint64(c-'0')
			case c|0x20 >= 'a' && c|0x20 <= 'v':
				x = x<<5 | uint64(c|0x20-'a'+10)
			default:
				return hash, false
			}
		}
		for n := range 5 {
			hash[5*i+n] = byte(x >> (32 - 8*n))
		}
	}
	return hash, true
}

// AppendHashed appends the first label of an NSEC3's owner: the hash in base32hex, lower case (RFC 5155 section 3).
func AppendHashed(dst, hash []byte) []byte {
	const digits = "0123456789abcdefghijklmnopqrstuv"
	dst = append(dst, HashedLabel)
	for ; len(hash) >= 5; hash = hash[5:] {
		x := uint64(hash[0])<<32 | uint64(hash[1])<<24 | uint64(hash[2])<<16 | uint64(hash[3])<<8 | uint64(hash[4])
		for shift := 35; shift >= 0; shift -= 5 {
			dst = append(dst, digits[x>>shift&31])
		}
	}
	return dst
}

// AppendNSEC3 appends the RDATA of an NSEC3 record up to its type bitmap: SHA-1, no opt-out, no additional iterations,
// no salt (RFC 5155 section 3.2).
func AppendNSEC3(dst, next []byte) []byte {
	return append(append(dst, 1, 0, 0, 0, 0, HashSize), next[:HashSize]...)
}

// NSEC3PARAM returns the RDATA of the NSEC3PARAM record that goes with AppendNSEC3 (RFC 5155 section 4).
func NSEC3PARAM() []byte { return []byte{1, 0, 0, 0, 0} }
