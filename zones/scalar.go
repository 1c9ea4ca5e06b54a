package zones

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"leeward/health"
)

// Duration is a time.Duration whose text is "300s", "2m" or "1h30m".
type Duration = health.Duration

// Percent is a whole number of hundredths, "20%" or "-5%" in a document.
type Percent int

// String spells it as documents do.
func (p Percent) String() string { return strconv.Itoa(int(p)) + "%" }

// MarshalJSON writes the text form.
func (p Percent) MarshalJSON() ([]byte, error) { return json.Marshal(p.String()) }

// UnmarshalJSON reads the text form.
func (p *Percent) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		if digits, ok := strings.CutSuffix(s, "%"); ok {
			n, err := strconv.ParseInt(digits, 10, 32)
			if err == nil {
				*p = Percent(n)
				return nil
			}
			if errors.Is(err, strconv.ErrRange) {
				return fmt.Errorf("%s is too large a percentage", b)
			}
		}
	}
	return fmt.Errorf("a percentage is text such as \"20%%\", not %s", b)
}

// Share is a part of a pool: a share of weight ("50%") or a count of endpoints (2). The zero value demands nothing.
type Share struct {
	Percent Percent // 0 to 100
	Count   int
}

// IsZero reports whether nothing is demanded.
func (s Share) IsZero() bool { return s == Share{} }

// String spells it as documents do.
func (s Share) String() string {
	if s.Count > 0 {
		return strconv.Itoa(s.Count)
	}
	return s.Percent.String()
}

// MarshalJSON writes "50%" or 2.
func (s Share) MarshalJSON() ([]byte, error) {
	if s.Count > 0 {
		return json.Marshal(s.Count)
	}
	return s.Percent.MarshalJSON()
}

// UnmarshalJSON reads "50%" or 2.
func (s *Share) UnmarshalJSON(b []byte) error {
	var n int32
	if json.Unmarshal(b, &n) == nil {
		if n < 0 {
			return fmt.Errorf("a count of endpoints is 0 or more, not %d", n)
		}
		*s = Share{Count: int(n)}
		return nil
	}
	var p Percent
	if health.IsNumber(string(b)) && !bytes.ContainsAny(b, ".eE") {
		return fmt.Errorf("a count of endpoints is at most %d, not %s", math.MaxInt32, b)
	}
	if err := p.UnmarshalJSON(b); err != nil || p < 0 || p > 100 {
		return fmt.Errorf("minHealthy is a share of weight such as \"50%%\" (0%% to 100%%) or a count of endpoints "+
			"such as 2, not %s", b)
	}
	*s = Share{Percent: p}
	return nil
}
