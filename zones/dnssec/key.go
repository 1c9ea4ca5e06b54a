// Package dnssec signs RRsets and proves what does not exist (RFC 4033 to 4035, RFC 5155).
//
// A Key is a key pair of a zone. Keys are all that a zone has, each with its times. From these follows their Duty at a
// moment. A Signer signs one zone's RRsets with the keys whose duty that is. It finds signatures that exist by the
// content of the RRset (Identity), and makes those that are missing. A Chain is the names that a zone has by its
// configuration, in the order in which NSEC or NSEC3 records link them.
//
// Signatures do not depend on who makes them or when: ECDSA is deterministic (RFC 6979), as Ed25519 always is, and the
// times are those of an epoch of one day. So all servers with the same keys answer with the same octets.
//
// A server may hold no private key. What it needs of the keys is then handed to it (handout.go). Signatures come in
// chunks (chunk.go, received.go) from a process that has the keys, and notes what it signs (noted.go).
//
// canonical.go has the form that is signed, epoch.go the times, table.go the signatures that are made, bitmap.go and
// nsec3.go the RDATA of denial, keyfile.go and folder.go the files that BIND's tools read as well, roll.go how keys are
// rolled, check.go what would break the chain of trust.
package dnssec

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"strconv"

	"leeward/zones/rr"
)

// Algorithm is how a key signs (RFC 8624 section 3.1).
type Algorithm uint8

// The algorithms that Leeward supports. Signatures of both have SignatureSize octets.
const (
	ECDSAP256 Algorithm = 13 // ECDSA on curve P-256 with SHA-256 (RFC 6605)
	Ed25519   Algorithm = 15 // RFC 8080
)

// String returns the algorithm's mnemonic.
func (a Algorithm) String() string {
	switch a {
	case ECDSAP256:
		return "ECDSAP256SHA256"
	case Ed25519:
		return "ED25519"
	}
	return strconv.Itoa(int(a))
}

// SignatureSize is the number of octets in a signature.
const SignatureSize = 64

// The flags of a DNSKEY (RFC 4034 section 2.1.1, RFC 5011).
const (
	FlagZone   = 0x0100 // the key signs zones
	FlagEntry  = 0x0001 // the key is a secure entry point, which the parent's DS names
	FlagRevoke = 0x0080
	// FlagsCSK are the flags of a key that signs everything in a zone.
	FlagsCSK = FlagZone | FlagEntry
)

// DigestSHA256 and DigestSHA384 are digest types of DS records (RFC 4509, RFC 6605).
const (
	DigestSHA256 = 2
	DigestSHA384 = 4
)

// Key is a zone's key pair. It never changes.
type Key struct {
	origin    rr.Name
	flags     uint16
	algorithm Algorithm
	public    []byte        // as DNSKEY has it
	private   crypto.Signer // nil: the key cannot sign, and hand says where signatures come from
	hand      *Hand
}

// Generate makes a key.
func Generate(origin rr.Name, flags uint16, a Algorithm) (*Key, error) {
	switch a {
	case ECDSAP256:
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		return newKey(origin, flags, a, private)
	case Ed25519:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		return newKey(origin, flags, a, private)
	}
	return nil, unknown(a)
}

func unknown(a Algorithm) error {
	return fmt.Errorf("algorithm %d: not known here; the algorithms are 13 (ECDSAP256SHA256) and 15 (ED25519)", a)
}

func newKey(origin rr.Name, flags uint16, a Algorithm, private crypto.Signer) (*Key, error) {
	k := &Key{origin: origin, flags: flags, algorithm: a, private: private}
	switch public := private.Public().(type) {
	case *ecdsa.PublicKey:
		point, err := public.Bytes()
		if err != nil {
			return nil, err
		}
		k.public = point[1:] // without the octet that says uncompressed (RFC 6605 section 4)
	case ed25519.PublicKey:
		k.public = public
	}
	return k, nil
}

// Origin returns the zone that the key belongs to.
func (k *Key) Origin() rr.Name { return k.origin }

// Algorithm returns the key's algorithm.
func (k *Key) Algorithm() Algorithm { return k.algorithm }

// Flags returns the flags of the key's DNSKEY record.
func (k *Key) Flags() uint16 { return k.flags }

// DNSKEY returns the RDATA of the key's DNSKEY record, which is also that of its CDNSKEY record (RFC 7344 section 3.2).
func (k *Key) DNSKEY() []byte {
	data := binary.BigEndian.AppendUint16(nil, k.flags)
	return append(append(data, 3, byte(k.algorithm)), k.public...)
}

// IsEntry reports whether a DNSKEY, given by its RDATA, is of a key that the parent's DS may name.
func IsEntry(dnskey []byte) bool {
	return len(dnskey) > 4 && binary.BigEndian.Uint16(dnskey)&FlagEntry != 0
}

// Tag returns the key tag.
func (k *Key) Tag() uint16 { return Tag(k.DNSKEY()) }

// Tag returns the key tag of a DNSKEY, given by its RDATA (RFC 4034 appendix B).
func Tag(dnskey []byte) uint16 {
	var sum uint32
	for i, c := range dnskey {
		if i&1 == 0 {
			sum += uint32(c) << 8
		} else {
			sum += uint32(c)
		}
	}
	return uint16(sum + sum>>16)
}

// DS returns the RDATA of the key's DS record in the parent zone, which is also that of its CDS record.
func (k *Key) DS(digest uint8) ([]byte, error) { return DS(k.origin, k.DNSKEY(), digest) }

// DS returns the RDATA of the DS record for a DNSKEY (RFC 4034 section 5.1). It fails for an unknown digest type.
func DS(owner rr.Name, dnskey []byte, digest uint8) ([]byte, error) {
	if len(dnskey) < 4 {
		return nil, errors.New("not a DNSKEY")
	}
	data := binary.BigEndian.AppendUint16(nil, Tag(dnskey))
	data = append(data, dnskey[3], digest)
	all := append([]byte(owner), dnskey...)
	switch digest {
	case DigestSHA256:
		sum := sha256.Sum256(all)
		return append(data, sum[:]...), nil
	case DigestSHA384:
		sum := sha512.Sum384(all)
		return append(data, sum[:]...), nil
	}
	return nil, fmt.Errorf("digest type %d: not known here; 2 (SHA-256) and 4 (SHA-384) are", digest)
}

// sign signs input, which is in canonical form. The same input always gives the same signature.
func (k *Key) sign(input []byte) (s [SignatureSize]byte, err error) {
	if k.private == nil {
		return s, errors.New("the private part of the key is not here")
	}
	if k.algorithm == Ed25519 {
		signed, err := k.private.Sign(nil, input, crypto.Hash(0))
		copy(s[:], signed)
		return s, err
	}
	sum := sha256.Sum256(input)
	signed, err := k.private.Sign(nil, sum[:], crypto.SHA256) // without randomness, it is deterministic (RFC 6979)
	if err != nil {
		return s, err
	}
	var pair struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(signed, &pair); err != nil {
		return s, err
	}
	pair.R.FillBytes(s[:32])
	pair.S.FillBytes(s[32:])
	return s, nil
}

// verify reports whether the key of a DNSKEY, given by its RDATA, has signed input, which is in canonical form.
func verify(dnskey, input, signature []byte) bool {
	if len(dnskey) < 4 || dnskey[2] != 3 || len(signature) != SignatureSize {
		return false
	}
	public := dnskey[4:]
	switch Algorithm(dnskey[3]) {
	case ECDSAP256:
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append([]byte{4}, public...))
		if err != nil {
			return false
		}
		sum := sha256.Sum256(input)
		r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
		return ecdsa.Verify(key, sum[:], r, s)
	case Ed25519:
		return len(public) == ed25519.PublicKeySize && ed25519.Verify(public, input, signature)
	}
	return false
}
