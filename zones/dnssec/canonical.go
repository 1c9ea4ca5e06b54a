package dnssec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"leeward/zones/rr"
)

const classIN = 1

// signatureHead is the number of octets before the signer's name in the RDATA of an RRSIG (RFC 4034 section 3.1).
const signatureHead = 18

// LeastRRSIG is the smallest number of octets in the RDATA of an RRSIG.
const LeastRRSIG = signatureHead + 1

// Set is an RRset that is to be signed.
type Set struct {
	Owner rr.Name // a wildcard is given as such
	Type  rr.Type
	TTL   uint32 // the original TTL, in seconds
	Data  [][]byte
}

// Labels returns the number of labels that the signature of an owner counts. It counts neither the root nor a wildcard
// label (RFC 4034 section 3.1.3).
func Labels(owner []byte) (n uint8) {
	for at := 0; at < len(owner) && owner[at] != 0; at += int(owner[at]) + 1 {
		if at > 0 || owner[0] != 1 || owner[1] != '*' {
			n++
		}
	}
	return n
}

// appendSet appends the canonical form of an RRset (RFC 4034 section 6): names in lower case where RFC 4034 section 6.2
// and RFC 6840 section 5.1 say so, the original TTL, records in order, each once.
func appendSet(dst []byte, s *Set) []byte {
	all := make([][]byte, 0, len(s.Data))
	for _, d := range s.Data {
		if rr.Folds(s.Type) {
			d = []byte(rr.Folded(s.Type, d))
		}
		all = append(all, d)
	}
	slices.SortFunc(all, bytes.Compare)
	for _, d := range slices.CompactFunc(all, bytes.Equal) {
		dst = append(dst, s.Owner...)
		dst = binary.BigEndian.AppendUint16(dst, uint16(s.Type))
		dst = binary.BigEndian.AppendUint16(dst, classIN)
		dst = binary.BigEndian.AppendUint32(dst, s.TTL)
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(d)))
		dst = append(dst, d...)
	}
	return dst
}

// head returns the RDATA of an RRSIG without its signature. What depends on the set is filled in by fill.
func (k *Key) head(inception, expiration uint32) []byte {
	b := make([]byte, signatureHead, signatureHead+len(k.origin))
	b[2] = byte(k.algorithm)
	binary.BigEndian.PutUint32(b[8:], expiration)
	binary.BigEndian.PutUint32(b[12:], inception)
	binary.BigEndian.PutUint16(b[16:], k.Tag())
	return append(b, k.origin...)
}

// fill sets what an RRSIG says about its set.
func fill(head []byte, typ rr.Type, labels uint8, ttl uint32) {
	binary.BigEndian.PutUint16(head, uint16(typ))
	head[3] = labels
	binary.BigEndian.PutUint32(head[4:], ttl)
}

var errSignature = errors.New("the signature does not hold")

// Verify returns nil if rrsig is a signature of the set by the key in dnskey; both are RDATA. It ignores the times of
// the RRSIG and the TTL of the set. The owner of the set may be an expansion of the signed wildcard (RFC 4035 section
// 5.3.2).
func Verify(s Set, rrsig, dnskey []byte) error {
	if len(rrsig) < signatureHead || len(dnskey) < 4 {
		return errSignature
	}
	signer, signature, err := rr.CutName(rrsig[signatureHead:])
	if err != nil || !s.Owner.Under(signer) || rrsig[2] != dnskey[3] ||
		binary.BigEndian.Uint16(rrsig) != uint16(s.Type) || binary.BigEndian.Uint16(rrsig[16:]) != Tag(dnskey) ||
		binary.BigEndian.Uint16(dnskey)&FlagZone == 0 {
		return errSignature
	}
	have := int(Labels([]byte(s.Owner)))
	if int(rrsig[3]) > have {
		return errSignature
	}
	if int(rrsig[3]) < have {
		for range s.Owner.Labels() - int(rrsig[3]) {
			s.Owner = s.Owner.Parent()
		}
		s.Owner = "\x01*" + s.Owner
	}
	s.TTL = binary.BigEndian.Uint32(rrsig[4:])
	input := append(append([]byte(nil), rrsig[:signatureHead]...), signer...)
	if !verify(dnskey, appendSet(input, &s), signature) {
		return errSignature
	}
	return nil
}
