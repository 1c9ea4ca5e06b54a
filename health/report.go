// Package health turns what vantages say of endpoints into verdicts that are the same on every server.
//
// A vantage probes each address by itself; consecutive failures or successes turn its report (Tracker). Reports of all
// vantages lie on a Board, which judges how fresh each is and which vantages are blind, and gives one verdict a target
// by the monitor's quorum. The package is pure: it opens no socket and starts no goroutine, and time comes in as an
// argument.
package health

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// State is what a report or a verdict says.
type State uint8

// The states. Unknown is not down: a target of which nothing is known counts as up.
const (
	Unknown State = iota
	Up
	Down
)

func (s State) String() string { return [...]string{"unknown", "up", "down"}[s] }

// MarshalText writes "unknown", "up" or "down"; so does JSON.
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

// Target is one address of one endpoint: what is probed, reported on and judged. In a Report, no address at all (the
// zero Addr) stands for every address of the endpoint.
type Target struct {
	Endpoint string // "pool/endpoint"
	Address  netip.Addr
}

// Assignment is a target with all that probing and judging it needs.
type Assignment struct {
	Target
	Pool, Region string
	Monitor      *Monitor // never nil: a target without a monitor is not assigned
	Manner

	// Unjudged: there is no verdict on it yet. One failed probe is then enough where others of its pool are up.
	Unjudged bool
}

// Manner is how an endpoint is asked, beside what its monitor says. It is comparable.
type Manner struct {
	Host     string // asked for whatever the monitor says; empty: the monitor's host counts
	Hostname string // the endpoint's, without the final dot: asked for where nobody says otherwise; empty: it has none
	Headers  string // sent as well, as Headers.Lines gives them
}

// Lines returns headers as lines of a request, sorted by name, each with its line end.
func (h Headers) Lines() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(h)) {
		b.WriteString(name + ": " + h[name] + "\r\n")
	}
	return b.String()
}

// Report is what one vantage says of one target.
type Report struct {
	Vantage string
	Target
	State    State
	Sequence uint64    // grows with each change of any report of this vantage's run
	Time     time.Time // the vantage's clock, for people: freshness is judged by when a server saw the vantage move
	Reason   string    // why: "connection refused", "status 503", "timeout after 1s"; empty when up
	Latency  time.Duration
	Load     Load // as the probe's response, or an external reporter, told it

	// Detected is how long it took this process to find out, from the start of its last probe that found otherwise; 0
	// where there was none.
	Detected time.Duration

	// Held is until when the target is down although it has come up, as it turned down not long ago, by the vantage's
	// clock, for people; zero where it is not held. See Tracker.
	Held time.Time

	// ValidFor is how long the report holds from its receipt, where its reporter says so; 0: as long as its vantage
	// moves.
	ValidFor time.Duration
}
