package health

import (
	"fmt"
	"time"
)

// Verdict is what all servers conclude about one target from the same reports, and why.
type Verdict struct {
	State State
	Since time.Time // when this server's Judge saw the state turn; zero: it never has
	Up    int       // votes that counted as up
	Down  int       // votes that counted as down
	Fresh int       // vantages with a fresh report on the target, including Unknown and blind ones
	Votes []Vote    // each vantage's report, by vantage
	Why   string    // the agreement in one line

	Chosen []string // the vantages that should probe it, by name
}

// Vote is one vantage's report on a target, and whether it counts.
type Vote struct {
	Vantage string
	State   State
	Fresh   bool
	Blind   bool          // the vantage abstains
	Counted bool          // it is one of the votes that made the verdict
	Reason  string        // in the vantage's words
	Held    time.Time     // until when it is held down, by the vantage's clock; zero: it is not
	Age     time.Duration // since this server last saw the vantage move, at the time of the last Judge
	Latency time.Duration
	Load    Load
}

// VantageStatus is what a Board knows about one vantage.
type VantageStatus struct {
	Vantage      string
	Fresh        bool
	Own          bool     // never goes stale
	Blind        bool     // to at least one family
	BlindTo      []string // the families, if it also votes on another
	Sequence     uint64
	Heard        time.Time // when this server last saw it move
	Reports      int       // number of targets that it reports on
	Up, Down     int       // of these
	Shared       int       // assigned targets on which another vantage votes too
	Contradicted int       // of the shared ones, those that it calls down and most others call up
}

// why says in one line how the votes made the verdict.
func (q Quorum) why(up, down int, stale bool) string {
	switch {
	case up+down == 0:
		return "no vantage has said anything yet: counts as up"
	case stale:
		return fmt.Sprintf("no fresh vote: the last ones stand, %d up, %d down, quorum %s", up, down, q)
	}
	return fmt.Sprintf("%d up, %d down, quorum %s", up, down, q)
}
