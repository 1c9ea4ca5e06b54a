package dnssec

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"

	"leeward/zones/rr"
)

// Signatures travel in chunks from the holder of a zone's keys to servers that hold none. A chunk has some of the
// signatures of one zone and epoch:
//
//	chunkMagic, origin (its length first: 2 octets), epoch (8), number of signatures (4)
//	Digest (16) and signature (64) of each, in ascending order
//	SHA-256 of all that (32)
//
// Numbers are little-endian. The last part shows whether a chunk is whole. It does not show who made it: a signature
// counts only after it was verified with the zone's DNSKEY.
const chunkMagic = "leeward signatures in a chunk 1\n"

// MostInChunk is the largest number of signatures in a chunk: 320 KiB of them. etcd takes values of up to 1.5 MiB.
const MostInChunk = 4096

// entrySize is how many octets a signature takes in a chunk.
const entrySize = len(Digest{}) + SignatureSize

// Digest is the first part of the SHA-256 of what is signed: the fields of the RRSIG, with key and times, and the
// RRset.
type Digest [16]byte

func digestOf(input []byte) Digest {
	sum := sha256.Sum256(input)
	return Digest(sum[:])
}

// Signed is a signature, and the digest of what it signs.
type Signed struct {
	Digest    Digest
	Signature [SignatureSize]byte
}

// AppendChunk appends a chunk with signatures of a zone and an epoch, at most MostInChunk. It sorts them in place.
func AppendChunk(dst []byte, origin rr.Name, epoch int64, all []Signed) []byte {
	slices.SortFunc(all, func(a, b Signed) int {
		return cmp.Or(bytes.Compare(a.Digest[:], b.Digest[:]), bytes.Compare(a.Signature[:], b.Signature[:]))
	})
	at := len(dst)
	dst = append(dst, chunkHead(origin, epoch)...)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(all)))
	for i := range all {
		dst = append(append(dst, all[i].Digest[:]...), all[i].Signature[:]...)
	}
	sum := sha256.Sum256(dst[at:])
	return append(dst, sum[:]...)
}

// chunkHead returns the first octets of a chunk of a zone and an epoch.
func chunkHead(origin rr.Name, epoch int64) []byte {
	head := binary.LittleEndian.AppendUint16([]byte(chunkMagic), uint16(len(origin)))
	return binary.LittleEndian.AppendUint64(append(head, origin...), uint64(epoch))
}

// The errors of chunks.
var (
	errChunkForeign = errors.New("it is no chunk of signatures of this zone and day")
	errChunkBroken  = errors.New("it is damaged or cut short")
	errChunkForged  = errors.New("a signature in it does not hold, so nothing of it is used")
)

// openChunk checks a chunk, and returns its signatures one after another.
func openChunk(value []byte, origin rr.Name, epoch int64) ([]byte, error) {
	body, ours := bytes.CutPrefix(value, chunkHead(origin, epoch))
	if !ours {
		return nil, errChunkForeign
	}
	if len(body) < 4+sha256.Size {
		return nil, errChunkBroken
	}
	whole := value[:len(value)-sha256.Size]
	sum := sha256.Sum256(whole)
	if !bytes.Equal(sum[:], value[len(whole):]) {
		return nil, errChunkBroken
	}
	n := binary.LittleEndian.Uint32(body)
	body = body[4 : len(body)-sha256.Size]
	if n > MostInChunk || int(n)*entrySize != len(body) {
		return nil, errChunkBroken
	}
	return body, nil
}
