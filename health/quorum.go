package health

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// Quorum says how many of the votes on a target must be down for its verdict to be down. In JSON it is "majority",
// "any", "all" or a number. The zero value is majority.
type Quorum int

// The named quorums. A positive Quorum is a number of vantages.
const (
	Majority Quorum = 0  // more than half of the votes
	Any      Quorum = -1 // one vote
	All      Quorum = -2 // every vote
)

// Down reports whether the verdict is down if so many of the votes are down. It is not down without votes. A quorum of
// more vantages than have voted is met if all that have voted say down.
func (q Quorum) Down(down, votes int) bool {
	switch {
	case votes == 0 || down == 0:
		return false
	case q == Majority:
		return 2*down > votes
	case q == Any:
		return true
	case q == All:
		return down == votes
	default:
		return down >= min(int(q), votes)
	}
}

// String returns the quorum as documents have it.
func (q Quorum) String() string {
	switch q {
	case Majority:
		return "majority"
	case Any:
		return "any"
	case All:
		return "all"
	}
	return strconv.Itoa(int(q))
}

// IsZero reports whether the quorum is the default, which documents leave out.
func (q Quorum) IsZero() bool { return q == Majority }

// MarshalJSON writes a name as text and a number as a number.
func (q Quorum) MarshalJSON() ([]byte, error) {
	if q > 0 {
		return []byte(q.String()), nil
	}
	return json.Marshal(q.String())
}

// UnmarshalJSON reads "majority", "any", "all" or a number of 1 or more.
func (q *Quorum) UnmarshalJSON(b []byte) error {
	var n int
	if json.Unmarshal(b, &n) == nil && string(b) != "null" {
		if n < 1 {
			return fmt.Errorf("a quorum is at least 1 vantage, not %d; write majority, any, all or a number", n)
		}
		*q = Quorum(n)
		return nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err == nil {
		for _, named := range [...]Quorum{Majority, Any, All} {
			if s == named.String() {
				*q = named
				return nil
			}
		}
	}
	return fmt.Errorf("%s is not a quorum; write majority, any, all or a number of vantages such as 2", b)
}
