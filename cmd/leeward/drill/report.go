// Package drill rehearses an outage: it drains a target for a while, watches what that does, ends at once if it does
// harm, and reports.
//
//	clients of ┃────╮                    ╭────
//	the target ┃     ╲                  ╱
//	           ┃      ╰────────────────╯
//	           ┗━━━━┷━━━━┷━━━━━━━━━━━┷━━━━┷━━━━▶ time
//	            begins  out         back  ends
//	                └ramp┘           └ramp┘
//
// A drill cannot outlive the process that runs it. Its override has an end from the start, which servers keep without
// being told. It is on a lease, so that etcd deletes it when this process is gone. And every server gives it up by
// itself if it does harm, or if etcd is silent (control/drills.go).
package drill

import (
	"time"

	"leeward/cmd/leeward/control"
)

// Outcome is how a drill ended.
type Outcome string

// The outcomes.
const (
	Running     Outcome = "running"               // it has not ended, or the process that ran it died before
	Succeeded   Outcome = "succeeded"             // other pools carried the target's clients until the end
	Failed      Outcome = "failed"                // something broke
	Interrupted Outcome = "interrupted"           // it was called off, or could no longer be watched
	Unfit       Outcome = "capacity check failed" // it did not start: other pools could not have carried the clients
)

// Report is the report of one drill.
type Report struct {
	ID      string    `json:"id"` // the time when it was written, in UTC: its key in the history
	Target  string    `json:"target"`
	Reason  string    `json:"reason,omitempty"`
	By      string    `json:"by"`
	From    time.Time `json:"from"`
	Until   time.Time `json:"until"` // as planned
	Ended   time.Time `json:"ended,omitzero"`
	Ramp    float64   `json:"rampSeconds"` // in which the target loses its clients, and gets them back
	Outcome Outcome   `json:"outcome"`
	Why     string    `json:"why,omitempty"`

	Preflight *control.Forecast `json:"preflight,omitempty"` // the forecast; nil: there could be none
	Doubts    []string          `json:"doubts,omitempty"`    // what was wrong before, and was overridden by --force
	Events    []Event           `json:"events"`
	Course    Course            `json:"course"`
}

// Event is something that happened. Events are in order of time.
type Event struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// Seconds returns a time as seconds since the drill began.
func (r *Report) Seconds(at time.Time) float64 { return at.Sub(r.From).Seconds() }

func (r *Report) event(at time.Time, text string) {
	r.Events = append(r.Events, Event{at.UTC().Round(time.Millisecond), text})
}

// Settled returns the outcome for somebody who reads it later. A drill that still says that it runs after its end was
// interrupted: nobody was there to write how it ended.
func (r *Report) Settled(now time.Time) Outcome {
	if r.Outcome == Running && now.After(r.Until.Add(time.Minute)) {
		return Interrupted
	}
	return r.Outcome
}
