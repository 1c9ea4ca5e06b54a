package tsig

import (
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"leeward/server/wire"
)

// Session is a request with a valid signature. It signs the replies. A nil Session, for a request without TSIG, signs
// nothing.
type Session struct {
	Key   *Key
	mac   []byte // of the request, then of the previous reply
	reply bool   // a reply was signed
}

// KeyName returns the name of the key that signed the request. For a nil Session it returns "".
func (s *Session) KeyName() string {
	if s == nil {
		return ""
	}
	return s.Key.Name
}

// Fault says what is wrong with a request's TSIG.
type Fault struct {
	Rcode uint16 // of the reply: wire.RcodeFormErr, or wire.RcodeNotAuth
	Code  uint16 // of the TSIG record: BadKey, BadSig, BadTime, BadTrunc; 0 where Rcode is FORMERR
	Why   string

	request *record
	key     *Key // signs the reply nevertheless; nil: none does
}

func (f *Fault) Error() string { return f.Why }

// Known reports whether the request was nevertheless made with a key of ours: only its time, or the length of its MAC,
// is wrong.
func (f *Fault) Known() bool { return f != nil && f.key != nil }

// Verify checks a request's TSIG. It returns (nil, nil) for an unsigned message, a Session if the TSIG is valid, and
// otherwise a Fault. It only reads the message.
func (r *Ring) Verify(msg []byte, now time.Time) (*Session, *Fault) {
	at, err := find(msg)
	if err != nil {
		return nil, &Fault{Rcode: wire.RcodeFormErr, Why: err.Error()}
	}
	if at == 0 {
		return nil, nil
	}
	rec, err := read(msg, at)
	if err != nil {
		return nil, &Fault{Rcode: wire.RcodeFormErr, Why: "TSIG: " + err.Error()}
	}
	var key *Key
	if r != nil {
		key = r.keys[rec.owner]
	}
	bad := func(code uint16, why string, signer *Key) (*Session, *Fault) {
		return nil, &Fault{Rcode: wire.RcodeNotAuth, Code: code, Why: why, request: rec, key: signer}
	}
	if key == nil || algorithms[key.Algorithm].wire != rec.algorithm {
		return bad(BadKey, fmt.Sprintf("no key %q of that algorithm", presentation(rec.owner)), nil)
	}
	whole := algorithms[key.Algorithm].size
	if len(rec.mac) > whole || len(rec.mac) < max(10, (whole+1)/2) { // RFC 8945 section 5.2.2.1
		if len(rec.mac) > 0 {
			return nil, &Fault{Rcode: wire.RcodeFormErr, Why: fmt.Sprintf("a MAC of %d octets", len(rec.mac))}
		}
		return bad(BadSig, "no MAC", nil)
	}
	mac := key.mac(unsigned(msg, at, rec.id), rec.variables())
	if !hmac.Equal(mac[:len(rec.mac)], rec.mac) {
		return bad(BadSig, fmt.Sprintf("the signature with key %q does not hold", key.Name), nil)
	}
	if err := rec.timely(now); err != nil {
		return bad(BadTime, err.Error(), key)
	}
	if len(rec.mac) < key.size {
		return bad(BadTrunc, fmt.Sprintf("a MAC of %d octets; key %q takes %d", len(rec.mac), key.Name, key.size), key)
	}
	return &Session{Key: key, mac: append([]byte(nil), rec.mac...)}, nil
}

// timely checks that the time of a message is the present, give or take its fudge.
func (r *record) timely(now time.Time) error {
	off := now.Unix() - int64(r.signed)
	if off > int64(r.fudge) || -off > int64(r.fudge) {
		return fmt.Errorf("signed %d s away from our clock; set the clocks", max(off, -off))
	}
	return nil
}

// Sign appends a TSIG record to a reply, which may grow in place, and returns the reply. The first reply is signed as
// the answer to the request, each later one as the continuation of the one before (RFC 8945 section 5.3.1).
func (s *Session) Sign(msg []byte, now time.Time) []byte {
	if s == nil {
		return msg
	}
	msg, s.mac = s.Key.sign(msg, prior(s.mac), s.reply, now, 0, nil)
	s.reply = true
	return msg
}

// Room returns the most octets that Sign adds to a message.
func (s *Session) Room() int {
	if s == nil {
		return 0
	}
	return s.Key.Room()
}

// Sign appends a TSIG record to the reply that says what is wrong (RFC 8945 section 5.3.2). It has a MAC if the key is
// known to be the requester's. With FORMERR there is no such record.
func (f *Fault) Sign(msg []byte, now time.Time) []byte {
	if f.request == nil {
		return msg
	}
	if f.key != nil {
		var other []byte
		at := now
		if f.Code == BadTime { // the requester's time, and ours beside it
			other = times(uint64(now.Unix()), 0)[:6]
			at = time.Unix(int64(f.request.signed), 0)
		}
		msg, _ = f.key.sign(msg, prior(f.request.mac), false, at, f.Code, other)
		return msg
	}
	r := record{
		owner: f.request.owner, algorithm: f.request.algorithm, signed: f.request.signed, fudge: f.request.fudge,
		id: binary.BigEndian.Uint16(msg), err: f.Code,
	}
	return r.appendTo(msg)
}

// Answers checks the answer to one request: a message, or a stream of them.
type Answers struct {
	key      *Key
	mac      []byte // of the request, then of the last signed message
	pending  []byte // unsigned messages since then, as they go into the next digest
	unsigned int    // how many
	first    bool   // nothing has come yet
}

// MaxUnsigned is how many messages of a stream may follow each other without a signature (RFC 8945 section 5.3.1).
const MaxUnsigned = 99

// maxPending bounds the memory of unsigned messages, in octets.
const maxPending = MaxUnsigned * (1 << 16)

// Request signs a request by appending to the message. It returns the Answers that check what comes back.
func (k *Key) Request(msg []byte, now time.Time) ([]byte, *Answers) {
	signed, mac := k.sign(msg, nil, false, now, 0, nil)
	return signed, &Answers{key: k, mac: mac, first: true}
}

// ErrUnsigned is the error for an answer without TSIG.
var ErrUnsigned = errors.New("the answer is not signed")

// Next checks the next message that came back. The first one must be signed, and later at least one in a hundred. It
// only reads the message.
func (a *Answers) Next(msg []byte, now time.Time) error {
	at, err := find(msg)
	if err != nil {
		return err
	}
	if at == 0 {
		if a.first {
			return ErrUnsigned
		}
		if a.unsigned++; a.unsigned > MaxUnsigned || len(a.pending)+len(msg) > maxPending {
			return fmt.Errorf("more than %d messages without a signature", MaxUnsigned)
		}
		a.pending = append(a.pending, msg...)
		return nil
	}
	r, err := read(msg, at)
	if err != nil {
		return fmt.Errorf("TSIG: %w", err)
	}
	if r.owner != a.key.wire || r.algorithm != algorithms[a.key.Algorithm].wire {
		return fmt.Errorf("signed with another key: %s", presentation(r.owner))
	}
	if r.err != 0 && len(r.mac) == 0 {
		return refusal(r.err)
	}
	variables := r.variables()
	if !a.first {
		variables = times(r.signed, r.fudge)
	}
	mac := a.key.mac(prior(a.mac), a.pending, unsigned(msg, at, r.id), variables)
	if len(r.mac) < a.key.size || len(r.mac) > len(mac) || !hmac.Equal(mac[:len(r.mac)], r.mac) {
		return errors.New("the signature of the answer does not hold")
	}
	if r.err != 0 {
		return refusal(r.err)
	}
	if err := r.timely(now); err != nil {
		return err
	}
	a.mac, a.pending, a.unsigned, a.first = append([]byte(nil), r.mac...), a.pending[:0], 0, false
	return nil
}

// End checks that the last message was signed.
func (a *Answers) End() error {
	if a.first || a.unsigned > 0 {
		return ErrUnsigned
	}
	return nil
}

// refusal returns the error in the other side's TSIG record.
func refusal(code uint16) error {
	switch code {
	case BadSig:
		return errors.New("the other side says BADSIG: the secrets are not the same")
	case BadKey:
		return errors.New("the other side says BADKEY: it has no key of that name and algorithm")
	case BadTime:
		return errors.New("the other side says BADTIME: the clocks are too far apart")
	case BadTrunc:
		return errors.New("the other side says BADTRUNC: it wants a longer MAC")
	}
	return fmt.Errorf("the other side says TSIG error %d", code)
}
