package zones

import (
	"encoding/json"
	"time"
)

// TTL is a time in a zone's records: a TTL, or one of the times of its SOA. Unlike for a Duration, 0 is a value like
// any other (RFC 2181 section 8). The zero TTL means that none is given.
type TTL struct {
	span time.Duration
	set  bool
}

// NewTTL returns a TTL of that time, which may be 0.
func NewTTL(span time.Duration) TTL { return TTL{span: span, set: true} }

// Seconds returns a TTL as it is on the wire.
func Seconds(n uint32) TTL { return NewTTL(time.Duration(n) * time.Second) }

// IsZero reports whether none has been given.
func (t TTL) IsZero() bool { return !t.set }

// Or returns the time, or def if none has been given.
func (t TTL) Or(def time.Duration) time.Duration {
	if !t.set {
		return def
	}
	return t.span
}

// Equal reports whether both are the same, or neither is given.
func (t TTL) Equal(u TTL) bool { return t == u }

// String returns it as documents write it: "300s", "0s"; "" if there is none.
func (t TTL) String() string {
	if !t.set {
		return ""
	}
	return Duration(t.span).String()
}

// MarshalJSON writes the text form.
func (t TTL) MarshalJSON() ([]byte, error) { return json.Marshal(t.String()) }

// UnmarshalJSON reads the text form.
func (t *TTL) UnmarshalJSON(b []byte) error {
	var d Duration
	if err := d.UnmarshalJSON(b); err != nil {
		return err
	}
	*t = NewTTL(d.Std())
	return nil
}

// Pack returns the TTL as a number: 0 if none has been given, otherwise one more than its nanoseconds.
func (t TTL) Pack() uint64 {
	if !t.set {
		return 0
	}
	return uint64(t.span) + 1
}

// UnpackTTL is the inverse of Pack.
func UnpackTTL(n uint64) TTL {
	if n == 0 {
		return TTL{}
	}
	return NewTTL(time.Duration(n - 1))
}
