package dnssec

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"leeward/zones/rr"
)

// The times of signatures. All signatures of an epoch have the same times, so that all servers make the same
// signatures. A signature is 3 hours old when its epoch begins, for clocks that are slow, and 27 hours old when it
// ends. It is then valid for another 13 days less 3 hours.
const (
	EpochLength = 24 * time.Hour
	Backdated   = 3 * time.Hour
	Validity    = 14 * 24 * time.Hour // from inception to expiration
)

// Epoch is a numbered day on which a zone is signed with the same times. Each zone's days begin at a time of its own,
// so that a server with many zones does not sign them all at once.
type Epoch struct {
	Number int64
	start  int64 // Unix seconds
}

// EpochAt returns the epoch that a zone is in at the given time.
func EpochAt(origin rr.Name, at time.Time) Epoch {
	const length = int64(EpochLength / time.Second)
	sum := sha256.Sum256([]byte(origin))
	offset := int64(binary.BigEndian.Uint32(sum[:]) % uint32(length))
	since := at.Unix() - offset
	number := since / length
	if since%length < 0 {
		number--
	}
	return Epoch{Number: number, start: number*length + offset}
}

// Before returns the previous epoch.
func (e Epoch) Before() Epoch { return Epoch{e.Number - 1, e.start - int64(EpochLength/time.Second)} }

// Next returns the next epoch.
func (e Epoch) Next() Epoch { return Epoch{e.Number + 1, e.start + int64(EpochLength/time.Second)} }

// numbered returns the epoch of the same zone with the given number.
func (e Epoch) numbered(n int64) Epoch {
	return Epoch{n, e.start + (n-e.Number)*int64(EpochLength/time.Second)}
}

// fits reports whether signatures of the epoch with the number n are to be used in this epoch rather than those of
// another: the last up to now or, as a clock may be behind, the first after it.
func (e Epoch) fits(n, than int64) bool {
	if late := n > e.Number; late == (than > e.Number) {
		return n > than != late
	}
	return n <= e.Number
}

// Start returns when the epoch begins.
func (e Epoch) Start() time.Time { return time.Unix(e.start, 0) }

// Expires returns when the signatures of the epoch expire.
func (e Epoch) Expires() time.Time { return e.Start().Add(Validity - Backdated) }

// Times returns the inception and the expiration of the signatures, in seconds as in an RRSIG (RFC 4034 section 3.1.5).
func (e Epoch) Times() (inception, expiration uint32) {
	from := e.start - int64(Backdated/time.Second)
	return uint32(from), uint32(from + int64(Validity/time.Second))
}
