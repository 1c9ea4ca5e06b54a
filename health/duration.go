package health

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration that is text in JSON, such as "300s", "2m" or "1h30m".
type Duration time.Duration

// Std returns the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String returns the duration as documents have it: "5m" and "1h", not "5m0s" and "1h0m0s".
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Or returns d, or def if d is zero.
func (d Duration) Or(def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return time.Duration(d)
}

// MarshalJSON writes the text form.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON reads the text form. It refuses a bare number, which has no unit.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("a duration is text with a unit, such as \"30s\", not %s", b)
	}
	v, err := time.ParseDuration(s)
	if days, is := strings.CutSuffix(s, "d"); is {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		v = time.Duration(n) * 24 * time.Hour
	}
	switch {
	case err == nil && v >= 0:
		*d = Duration(v)
		return nil
	case err == nil:
		return fmt.Errorf("%q is negative; a duration is 0s or more", s)
	case spelt.MatchString(s):
		return fmt.Errorf("%q is %w", s, ErrTooLong)
	}
	return fmt.Errorf("%q is not a duration; write it as \"30s\", \"5m\", \"1h30m\" or \"90d\"", s)
}

// ErrTooLong is in the error of a duration that is spelt as it should be.
var ErrTooLong = errors.New("longer than any duration can be")

// spelt is how durations are written. What is so, and is not read, is too long.
var spelt = regexp.MustCompile(`^([0-9]+d|(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$`)
