// Package health turns what vantages report about endpoints into verdicts that are the same on every server.
//
//	probes ─▶ Tracker ─▶ Report ─▶ Board ─┬─▶ Verdict, one a target
//	                     Measure ──▶      └─▶ Pressure, one a pool
//
// A vantage probes each address by itself, and runs of failures or successes turn its report (Tracker). A Board holds
// the reports of all vantages. It judges which are fresh and which vantages are blind, and gives one verdict for each
// target by the monitor's quorum. In the same way it condenses what vantages measure of pools' loads (Estimator,
// Measure). The package is pure: it opens no socket and starts no goroutine, and time is an argument.
package health

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// State is the content of a report or a verdict.
type State uint8

// The states. Unknown is not down: a target about which nothing is known counts as up.
const (
	Unknown State = iota
	Up
	Down
)

func (s State) String() string { return [...]string{"unknown", "up", "down"}[s] }

// MarshalText writes "unknown", "up" or "down". JSON uses it too.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (s *State) UnmarshalText(text []byte) error {
	for _, state := range [...]State{Unknown, Up, Down} {
		if string(text) == state.String() {
			*s = state
			return nil
		}
	}
	return fmt.Errorf("%q is not a state; write up, down or unknown", text)
}

// Target is one address of one endpoint: what is probed, reported on and judged. In a Report, the zero Addr stands for
// every address of the endpoint.
type Target struct {
	Endpoint string // "pool/endpoint"
	Address  netip.Addr
}

// Assignment is a target with everything that probing and judging it needs.
type Assignment struct {
	Target
	Pool, Region string
	Monitor      *Monitor // never nil: a target without a monitor is not assigned
	Manner

	// Unjudged says that there is no verdict on the target yet. One failed probe is then enough to report it down,
	// if others of its pool are up.
	Unjudged bool
}

// Manner is what an endpoint adds to its monitor's check. It is comparable.
type Manner struct {
	Host     string // goes before the monitor's host; empty: the monitor's counts
	Hostname string // the endpoint's, without the final dot: used if nobody names a host; empty: it has none
	Headers  string // additional headers, in the form of Headers.Lines
}

// Lines returns headers as lines of a request, sorted by name, each with its line end.
func (h Headers) Lines() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(h)) {
		b.WriteString(name + ": " + h[name] + "\r\n")
	}
	return b.String()
}

// Report is what one vantage says about one target.
type Report struct {
	Vantage string
	Target
	State    State
	Sequence uint64    // grows with each change of any report in this vantage's run
	Time     time.Time // by the vantage's clock, for people: freshness goes by when a server saw the vantage move
	Reason   string    // such as "connection refused", "status 503", "timeout after 1s"; empty if up
	Latency  time.Duration
	Load     Load // from the probe's response, or from an external reporter

	// Detected is how long this process took to find out: from the start of its last probe that found otherwise. It is
	// 0 if there was none.
	Detected time.Duration

	// Held is the time until which the target stays down although it has come up, because it turned down not long ago.
	// It is by the vantage's clock, for people; zero: it is not held. See Tracker.
	Held time.Time

	// ValidFor is how long the report stays fresh after its receipt, if its reporter says so; 0: as long as its vantage
	// moves.
	ValidFor time.Duration
}
