// Package bench finds the load at which a DNS server of one's own breaks.
//
// The load is open-loop: queries leave when they are due, by a Poisson process of the asked rate, whether or not the
// ones before have been answered, as they do from a million resolvers that know nothing of each other. So a server that
// falls behind is seen to, where a client that waits for answers would slow down with it. The load climbs by doubling
// until answers are lost or late, and then closes in on the knee from both sides. A step that fails is asked for once
// more before it is believed.
//
// questions.go reads what is asked, message.go writes it as bytes, load.go sends one step's load and counts what comes
// back, target.go says what may be loaded, and print.go and plot.go show the result.
package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"time"
)

// Settings say what is sent, where to, and when it counts as broken.
type Settings struct {
	Server    netip.AddrPort
	Questions []Question     // at least one
	Clients   []netip.Prefix // whose addresses the queries carry by EDNS Client Subnet; none: no such option
	Cookies   bool           // ask for a server cookie first and send it along, as resolvers do

	From, Most float64       // queries a second: the first step's, and what is never gone beyond
	Step       time.Duration // how long each load lasts
	Timeout    time.Duration // without an answer for so long, a query is lost; at most 4 s
	Late       time.Duration // an answer that took longer is late
	Allow      float64       // the share of queries that may be lost, late or wrong in a step that holds: 0.005 is half a percent

	Sockets int    // source ports: a server with several sockets spreads clients by these
	Seed    uint64 // of all that is drawn

	Tell func(Step) // is told of each step when it has ended; may be nil
}

// Defaults of what the command line leaves out.
const (
	DefaultFrom    = 1000
	DefaultMost    = 2_000_000
	DefaultStep    = 3 * time.Second
	DefaultTimeout = time.Second
	DefaultLate    = 100 * time.Millisecond
	DefaultAllow   = 0.005
	DefaultSockets = 32
)

// near is how close the highest load that held and the lowest that broke come to each other: within 5 %.
const near = 1.05

// Step is what one load came to. Counts are of queries.
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

	// Behind says that this machine could not send as fast as asked: what was seen tells of the client, not of the
	// server.
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
	AtLeast   bool    `json:"atLeast"`          // what ended the climb was not the server
	Breaks    float64 `json:"breaks,omitempty"` // the lowest that did not; 0 if none broke
	Why       string  `json:"why"`              // how it ended
}

// Run loads the server until it breaks, the load is the most that is allowed, or this machine can send no faster. It
// fails if the server answers nothing at all, or the context ends; what was measured until then is returned as well.
func Run(ctx context.Context, s Settings) (*Result, error) {
	r := &Result{Server: s.Server.String(), Questions: len(s.Questions)}
	first, err := greet(ctx, s)
	if err != nil {
		return r, err
	}
	r.Cookie = len(first) > 0
	queries := prepare(s, first)
	return r, r.climb(ctx, s, func(rate float64, seed uint64) (Step, error) { return load(ctx, s, queries, rate, seed) })
}

// climb measures one load after the other until the knee is found.
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
			if again = !again; again { // once may be the weather
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
		return 0, fmt.Sprintf("it held the most that was allowed, %.0f queries a second; allow more with --most", s.Most)
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
		return "this machine could not send as fast: the server may hold more; ask from another machine, or from several"
	case s.Lost >= s.Late && s.Lost >= s.Wrong:
		return share(s.Lost) + " were not answered"
	case s.Late >= s.Wrong:
		return share(s.Late) + " were answered late"
	}
	return share(s.Wrong) + " were answered wrongly"
}

// settle waits until the server answers a single query in time again, so that one step's backlog is not the next one's.
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
	return errors.New("the server no longer answers even a single query after the load; look at its log")
}
