package dnssec

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"leeward/zones/rr"
)

// Times of signatures. All that is signed in an epoch has the same, so that all servers make the same signatures. A
// signature is 3 hours old when its epoch begins, for clocks that are slow, and 27 when it ends; it then still holds
// for 13 days less 3 hours.
const (
	EpochLength = 24 * time.Hour
	Backdated   = 3 * time.Hour
	Validity    = 14 * 24 * time.Hour // from inception to expiration
)

// Epoch is the number of a day in which a zone is signed with the same times. Each zone's days begin at a time of its
// own, so that a server with many zones does not sign all at once.
type Epoch struct {
	Number int64
	start  int64 // Unix seconds
}

// EpochAt returns the epoch of a zone at a time.
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

// Before returns the epoch before.
func (e Epoch) Before() Epoch { return Epoch{e.Number - 1, e.start - int64(EpochLength/time.Second)} }

// Next returns the epoch after.
func (e Epoch) Next() Epoch { return Epoch{e.Number + 1, e.start + int64(EpochLength/time.Second)} }

// numbered returns the zone's epoch of that number.
func (e Epoch) numbered(n int64) Epoch {
	return Epoch{n, e.start + (n-e.Number)*int64(EpochLength/time.Second)}
}

// Start returns when the epoch begins.
func (e Epoch) Start() time.Time { return time.Unix(e.start, 0) }

// Expires returns when its signatures expire.
func (e Epoch) Expires() time.Time { return e.Start().Add(Validity - Backdated) }

// Times returns the inception and the expiration of its signatures, in seconds as RRSIG has them (RFC 4034 section
// 3.1.5).
func (e Epoch) Times() (inception, expiration uint32) {
	from := e.start - int64(Backdated/time.Second)
	return uint32(from), uint32(from + int64(Validity/time.Second))
}
