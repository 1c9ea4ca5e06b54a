// Package bench finds the load at which a DNS server breaks.
//
//	answers/s │           ╭───── the server's limit
//	          │         ╭─╯
//	          │      ╭──╯ ◀ knee: the highest load that holds
//	          │   ╭──╯
//	          │╭──╯
//	          └──────────────────── queries/s
//
// The load is an open loop: queries leave when they are due, by a Poisson process, whether or not earlier ones have
// been answered, as they would from a million resolvers that know nothing of each other. A client that waited for
// answers would slow down together with a slow server, and hide how slow it is.
//
// The load doubles until answers are lost or late, and then closes in on the knee from both sides. A load that fails is
// tried once more before it counts.
//
// questions.go reads what to ask, message.go writes it as bytes, load.go sends the load of one step and counts what
// comes back, target.go says what may be loaded, print.go and plot.go show the result.
package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"time"
)

// Settings say what to send, where to, and when the server counts as broken.
type Settings struct {
	Server    netip.AddrPort
	Questions []Question     // at least one
	Clients   []netip.Prefix // whose addresses the queries carry by EDNS Client Subnet; none: no such option
	Cookies   bool           // ask for a server cookie first and send it along, as resolvers do

	From, Most float64       // queries a second, of the first step and at most
	Step       time.Duration // how long each load lasts
	Timeout    time.Duration // a query without an answer for so long is lost; at most 4 s
	Late       time.Duration // an answer that took longer is late
	// the share of queries that may be lost, late or wrong in a step that holds: 0.005 is half a percent
	Allow float64

	Sockets int    // source ports, by which a server with several sockets spreads clients
	Seed    uint64 // of everything that is random

	Tell func(Step) // called after each step; may be nil
}

// Defaults of the command line.
const (
	DefaultFrom    = 1000
	DefaultMost    = 2_000_000
	DefaultStep    = 3 * time.Second
	DefaultTimeout = time.Second
	DefaultLate    = 100 * time.Millisecond
	DefaultAllow   = 0.005
	DefaultSockets = 32
)

// near is how close the highest load that held and the lowest that broke must be to end the search: within 5 %.
const near = 1.05

// Step is the result of one load. Counts are of queries.
type Step struct {
	Asked    float64 `json:"asked"`    // queries a second
	Seconds  float64 `json:"seconds"`  // for which they were sent
	Sent     uint64  `json:"sent"`     // handed to the system
	Answered uint64  `json:"answered"` // in time or late
	Lost     uint64  `json:"lost"`     // not answered within the timeout, or not taken by the system
	Late     uint64  `json:"late"`     // answered, but later than allowed
	Wrong    uint64  `json:"wrong"`    // answered with another question, SERVFAIL, REFUSED, or no DNS message at all
	Cut      uint64  `json:"truncated"`

	Rcodes map[string]uint64 `json:"rcodes"`

	// Times from sending to the answer, in seconds, of those answered.
	P50  float64 `json:"p50Seconds"`
	P99  float64 `json:"p99Seconds"`
	P999 float64 `json:"p999Seconds"`
	Max  float64 `json:"maxSeconds"`

	// Behind says that this machine could not send as fast as asked, so that the step says nothing about the server.
	Behind bool `json:"clientBehind"`
	Held   bool `json:"held"`
}

// Bad is the share of queries that were lost, late or wrong.
func (s Step) Bad() float64 {
	if s.Sent == 0 {
		return 1
	}
	return float64(s.Lost+s.Late+s.Wrong) / float64(s.Sent)
}

// Result is a whole run.
type Result struct {
	Server    string  `json:"server"`
	Questions int     `json:"questions"`
	Cookie    bool    `json:"cookie"` // the server gave one, and queries had it
	Steps     []Step  `json:"steps"`
	Knee      float64 `json:"knee"`             // the highest load that held, queries a second; 0 if none did
	AtLeast   bool    `json:"atLeast"`          // something other than the server ended the climb
	Breaks    float64 `json:"breaks,omitempty"` // the lowest that did not; 0 if none broke
	Why       string  `json:"why"`              // how it ended
}

// Run loads the server until it breaks, the load is Most, or this machine can send no faster. It fails if the server
// does not answer at all, or if the context ends, and also returns what it has measured until then.
func Run(ctx context.Context, s Settings) (*Result, error) {
	r := &Result{Server: s.Server.String(), Questions: len(s.Questions)}
	first, err := greet(ctx, s)
	if err != nil {
		return r, err
	}
	r.Cookie = len(first) > 0
	queries := prepare(s, first)
	return r, r.climb(ctx, s, func(rate float64, seed uint64) (Step, error) {
		return load(ctx, s, queries, rate,
			seed)
	})
}

// climb measures one load after another until it has found the knee.
func (r *Result) climb(ctx context.Context, s Settings, measure func(rate float64, seed uint64) (Step, error)) error {
	rate, again := math.Min(s.From, s.Most), false
	for round := uint64(0); ; round++ {
		step, err := measure(rate, s.Seed+round)
		if err != nil {
			return err
		}
		step.Held = !step.Behind && step.Bad() <= s.Allow
		r.Steps = append(r.Steps, step)
		if s.Tell != nil {
			s.Tell(step)
		}
		if !step.Held {
			if err := settle(ctx, s); err != nil {
				return err
			}
			if again = !again; again { // once may be chance
				continue
			}
			r.Breaks = rate
		} else {
			r.Knee, again = rate, false
		}
		if rate, r.Why = next(s, r, step); r.Why != "" {
			return nil
		}
	}
}

// next chooses the load after the last step, or says why there is none.
func next(s Settings, r *Result, last Step) (rate float64, why string) {
	switch {
	case r.Breaks == 0 && r.Knee >= s.Most:
		r.AtLeast = true
		return 0, fmt.Sprintf("it held %.0f queries a second, the most that was allowed; allow more with --most",
			s.Most)
	case r.Breaks == 0:
		return math.Min(2*r.Knee, s.Most), ""
	case r.Knee == 0 && r.Breaks > 10:
		return r.Breaks / 4, ""
	case r.Knee == 0:
		return 0, fmt.Sprintf("not even %.0f queries a second held: %s", r.Breaks, complaint(last))
	case r.Breaks/r.Knee <= near:
		s := broken(r)
		r.AtLeast = s.Behind
		return 0, fmt.Sprintf("at %.0f queries a second %s", r.Breaks, complaint(s))
	}
	return math.Sqrt(r.Knee * r.Breaks), ""
}

// broken returns the step at the lowest load that broke.
func broken(r *Result) (s Step) {
	for _, step := range r.Steps {
		if step.Asked == r.Breaks && !step.Held {
			s = step
		}
	}
	return s
}

// complaint says what was wrong with most queries of a step.
func complaint(s Step) string {
	share := func(n uint64) string { return fmt.Sprintf("%.3g %%", 100*float64(n)/float64(max(s.Sent, 1))) }
	switch {
	case s.Behind:
		return "this machine could not send as fast; the server may hold more: run bench on another machine, or on " +
			"several"
	case s.Lost >= s.Late && s.Lost >= s.Wrong:
		return share(s.Lost) + " were not answered"
	case s.Late >= s.Wrong:
		return share(s.Late) + " were answered late"
	}
	return share(s.Wrong) + " were answered wrongly"
}

// settle waits until the server answers a single query in time, so that the next step does not find this one's backlog.
func settle(ctx context.Context, s Settings) error {
	for range 30 {
		start := time.Now()
		if _, err := greet(ctx, s); err == nil && time.Since(start) < s.Late+s.Timeout/2 {
			return ctx.Err()
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return errors.New("after the load the server does not answer even a single query; see its log")
}
