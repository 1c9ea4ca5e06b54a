// Package drill rehearses an outage: it drains a target for a while, watches what that does, calls it off where it does
// harm, and reports.
//
// A drill cannot outlive whoever runs it. Its override has an end from the start, which servers go by without anybody's
// word; it lives on a lease, so that etcd takes it away when this process is gone; and every server gives it up by
// itself where it does harm, or where etcd is silent (control/drills.go).
package drill

import (
	"time"

	"leeward/cmd/leeward/control"
)

// Outcome is how a drill ended.
type Outcome string

// The outcomes.
const (
	Running     Outcome = "running"               // it has not ended, or whoever ran it was gone before it did
	Succeeded   Outcome = "succeeded"             // the others carried the target's clients until the end
	Failed      Outcome = "failed"                // something broke meanwhile
	Interrupted Outcome = "interrupted"           // it was called off, or could not be watched any more
	Unfit       Outcome = "capacity check failed" // it did not start, as the others could not have carried it
)

// Report is what there is to say of one drill.
type Report struct {
	ID      string    `json:"id"` // when it was written, in UTC: its name in the history
	Target  string    `json:"target"`
	Reason  string    `json:"reason,omitempty"`
	By      string    `json:"by"`
	From    time.Time `json:"from"`
	Until   time.Time `json:"until"` // as planned
	Ended   time.Time `json:"ended,omitzero"`
	Ramp    float64   `json:"rampSeconds"` // that the target takes to lose its clients, and to get them back
	Outcome Outcome   `json:"outcome"`
	Why     string    `json:"why,omitempty"`

	Preflight *control.Forecast `json:"preflight,omitempty"` // what was foretold; nil: nothing could be
	Doubts    []string          `json:"doubts,omitempty"`    // what was wrong before, and --force went over
	Events    []Event           `json:"events"`
	Course    Course            `json:"course"`
}

// Event is something that happened, in order.
type Event struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// Seconds is when it happened, counted from the drill's begin.
func (r *Report) Seconds(at time.Time) float64 { return at.Sub(r.From).Seconds() }

func (r *Report) event(at time.Time, text string) {
	r.Events = append(r.Events, Event{at.UTC().Round(time.Millisecond), text})
}

// Settled returns the outcome as who reads it later is to take it: a drill that runs on paper after its end was
// interrupted, as nobody was there to say how it ended.
func (r *Report) Settled(now time.Time) Outcome {
	if r.Outcome == Running && now.After(r.Until.Add(time.Minute)) {
		return Interrupted
	}
	return r.Outcome
}
