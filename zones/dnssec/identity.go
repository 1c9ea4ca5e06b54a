package dnssec

import (
	"crypto/rand"
	"encoding/binary"
	"math/bits"

	"leeward/zones/rr"
)

// Identity tells RRsets apart: by owner, type, original TTL and records, in whatever order. Two different sets have the
// same identity with a probability of 2^-128. Without the seed, nobody can raise it.
type Identity struct{ a, b uint64 }

// seed is random. Each Signer draws one.
type seed struct{ a, b uint64 }

func newSeed() seed {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	return seed{binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])}
}

// Begin begins the identity of a set. owner is in wire form and lower case; a wildcard is given as such.
func (s *Signer) Begin(owner []byte, typ rr.Type, ttl uint32) Identity {
	id := s.seed.hash(owner)
	x := uint64(typ)<<32 | uint64(ttl)
	return Identity{fold(id.a^x, odd1), fold(id.b^x, odd2)}
}

// Add adds a record. The order in which the records of a set are added does not matter.
func (s *Signer) Add(id *Identity, data []byte) {
	d := s.seed.hash(data)
	id.a += d.a
	id.b += d.b
}

// odd1 and odd2 are odd and have as many ones as zeros, like the constants of wyhash, whose way of mixing this is.
const (
	odd1 = 0xa0761d6478bd642f
	odd2 = 0xe7037ed1a0b428db
	odd3 = 0x8ebc6af09c88c6e3
)

// hash hashes octets twice.
func (s seed) hash(data []byte) Identity {
	n := uint64(len(data))
	a, b := s.a^n*odd3, s.b^n*odd1
	for ; len(data) >= 8; data = data[8:] {
		x := binary.LittleEndian.Uint64(data)
		a, b = fold(a^x, odd1), fold(b^x, odd2)
	}
	if len(data) > 0 {
		var rest [8]byte
		copy(rest[:], data)
		x := binary.LittleEndian.Uint64(rest[:])
		a, b = fold(a^x, odd2), fold(b^x, odd3)
	}
	return Identity{fold(a, odd3), fold(b, odd1)}
}

func fold(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low
}
