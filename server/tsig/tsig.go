// Package tsig signs DNS messages with a shared secret and checks such signatures (RFC 8945), on the messages' bytes.
//
// Keys come from files in BIND's form (ReadFiles) and make a Ring. A server calls Ring.Verify with each request. If
// that returns a Session, the Session signs the replies, one or a stream of them. If it returns a Fault, the Fault
// makes the reply that says what was wrong. A requester signs with Key.Request, and gives each message that comes back
// to the Answers that this returned. Secrets are compared in constant time.
package tsig

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"hash"
	"time"

	"leeward/server/wire"
)

// Fudge is the largest difference between the clocks of both sides.
const Fudge = 300 * time.Second

// The errors in a TSIG record (RFC 8945 section 3), beside wire.RcodeNotAuth in the header.
const (
	BadSig   uint16 = 16
	BadKey   uint16 = 17
	BadTime  uint16 = 18
	BadTrunc uint16 = 22
)

// Algorithm is how a MAC is made.
type Algorithm uint8

// The algorithms. HMAC-MD5 and HMAC-SHA1 are refused: RFC 8945 section 6 advises against them.
const (
	SHA256 Algorithm = iota
	SHA384
	SHA512
)

var algorithms = [...]struct {
	name, wire string
	size       int // of a whole MAC, octets
	new        func() hash.Hash
}{
	SHA256: {"hmac-sha256", "\x0bhmac-sha256\x00", sha256.Size, sha256.New},
	SHA384: {"hmac-sha384", "\x0bhmac-sha384\x00", sha512.Size384, sha512.New384},
	SHA512: {"hmac-sha512", "\x0bhmac-sha512\x00", sha512.Size, sha512.New},
}

func (a Algorithm) String() string { return algorithms[a].name }

// Key is a secret that two sides share, and its name. It does not change.
type Key struct {
	Name      string // lower case, without the final dot
	Algorithm Algorithm
	size      int    // of MACs made and taken, octets
	wire      string // Name in wire form
	secret    []byte
}

// NewKey makes a key. The name is in presentation form without escapes.
func NewKey(name string, algorithm Algorithm, secret []byte) (*Key, error) {
	owner, err := wireName(name)
	if err != nil {
		return nil, err
	}
	if int(algorithm) >= len(algorithms) {
		return nil, fmt.Errorf("key %q: no such algorithm", name)
	}
	if len(secret) == 0 {
		return nil, fmt.Errorf("key %q: the secret is empty", name)
	}
	return &Key{
		Name: presentation(owner), Algorithm: algorithm, size: algorithms[algorithm].size, wire: owner,
		secret: append([]byte(nil), secret...),
	}, nil
}

// Ring has the keys of a server, by name. It does not change. A nil Ring has no keys.
type Ring struct{ keys map[string]*Key } // by the name's wire form

// NewRing makes a ring. A name that is there twice is an error.
func NewRing(keys ...*Key) (*Ring, error) {
	r := &Ring{keys: make(map[string]*Key, len(keys))}
	for _, k := range keys {
		if r.keys[k.wire] != nil {
			return nil, fmt.Errorf("key %q is there twice; take one out", k.Name)
		}
		r.keys[k.wire] = k
	}
	return r, nil
}

// Key returns the key of a name, in lower case without the final dot, or nil if there is none.
func (r *Ring) Key(name string) *Key {
	owner, err := wireName(name)
	if r == nil || err != nil {
		return nil
	}
	return r.keys[owner]
}

// Len returns how many keys there are.
func (r *Ring) Len() int {
	if r == nil {
		return 0
	}
	return len(r.keys)
}

// mac makes a whole MAC over the parts.
func (k *Key) mac(parts ...[]byte) []byte {
	h := hmac.New(algorithms[k.Algorithm].new, k.secret)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// prior returns the MAC of the previous message as it goes into the next digest (RFC 8945 section 4.3.1); nothing if
// there is none.
func prior(mac []byte) []byte {
	if mac == nil {
		return nil
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(mac))), mac...)
}

// times returns Time Signed and Fudge (RFC 8945 section 4.3.3).
func times(signed uint64, fudge uint16) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(signed>>32))
	b = binary.BigEndian.AppendUint32(b, uint32(signed))
	return binary.BigEndian.AppendUint16(b, fudge)
}

// variables returns the fields of the record itself that are signed (RFC 8945 section 4.3.3).
func (r *record) variables() []byte {
	b := append([]byte(nil), r.owner...)
	b = binary.BigEndian.AppendUint16(b, wire.ClassANY)
	b = binary.BigEndian.AppendUint32(b, 0) // TTL
	b = append(b, r.algorithm...)
	b = append(b, times(r.signed, r.fudge)...)
	b = binary.BigEndian.AppendUint16(b, r.err)
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.other)))
	return append(b, r.other...)
}

// appendTo appends the record to a message and counts it in the header.
func (r *record) appendTo(msg []byte) []byte {
	msg = append(msg, r.owner...)
	msg = binary.BigEndian.AppendUint16(msg, wire.TypeTSIG)
	msg = binary.BigEndian.AppendUint16(msg, wire.ClassANY)
	msg = binary.BigEndian.AppendUint32(msg, 0)
	msg = binary.BigEndian.AppendUint16(msg, uint16(len(r.algorithm)+16+len(r.mac)+len(r.other)))
	msg = append(msg, r.algorithm...)
	msg = append(msg, times(r.signed, r.fudge)...)
	msg = binary.BigEndian.AppendUint16(msg, uint16(len(r.mac)))
	msg = append(msg, r.mac...)
	msg = binary.BigEndian.AppendUint16(msg, r.id)
	msg = binary.BigEndian.AppendUint16(msg, r.err)
	msg = binary.BigEndian.AppendUint16(msg, uint16(len(r.other)))
	msg = append(msg, r.other...)
	binary.BigEndian.PutUint16(msg[10:], binary.BigEndian.Uint16(msg[10:])+1)
	return msg
}

// sign appends a TSIG record, and returns the MAC too. before goes into the digest ahead of the message. With stream,
// only the times of the variables go in.
func (k *Key) sign(msg, before []byte, stream bool, now time.Time, code uint16, other []byte) (signed, mac []byte) {
	r := record{
		owner: k.wire, algorithm: algorithms[k.Algorithm].wire, signed: uint64(now.Unix()),
		fudge: uint16(Fudge / time.Second),
		id:    binary.BigEndian.Uint16(msg), err: code, other: other,
	}
	variables := r.variables()
	if stream {
		variables = times(r.signed, r.fudge)
	}
	r.mac = k.mac(before, msg, variables)[:k.size]
	return r.appendTo(msg), r.mac
}

// Room returns the most octets that signing adds to a message.
func (k *Key) Room() int {
	return len(k.wire) + 10 + len(algorithms[k.Algorithm].wire) + 16 + k.size + 6
}
