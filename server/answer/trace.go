package answer

import (
	"net/netip"
	"slices"
	"time"

	"leeward/server/wire"
	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

// Trace is how a response came about.
type Trace struct {
	Response []byte // as it would be sent over TCP
	Steps    []Step // a step for the question's name and for each name that it leads to
}

// Step is what was done for one name.
type Step struct {
	Name      []byte              // wire form, lower case
	Found     snapshot.Answer     // what the tree has for it
	Decisions []steer.Explanation // of its policy, where one steers: of each family that was tried; the last counts
	End       End                 // why the response ends here, although the name leads on
}

// End is why a chain of aliases is not followed any further.
type End uint8

// The ends.
const (
	Followed End = iota // it is, or leads nowhere
	Loop                // it leads back to a name that was there before
	TooMany             // it has as many links as are followed
)

// MaxLinks is how many aliases are followed for one response.
const MaxLinks = maxChain

// Explain answers a query as a Server that has published the state does, by the same code, and says how. Nothing is
// counted. The error is that of New.
func Explain(state State, query []byte, client netip.Addr, now func() time.Time) (*Trace, error) {
	r, err := New(Options{Now: now})
	if err != nil {
		return nil, err
	}
	r.Publish(state)
	w := r.Worker(r.Over(Transport{Name: "explain", Stream: true, Size: wire.MaxMessage}))
	w.trace = &Trace{}
	w.trace.Response, _ = w.Respond(query, client, false, make([]byte, 0, wire.MaxMessage))
	return w.trace, nil
}

// found notes what the tree has for the name that was looked up.
func (t *Trace) found(w *Worker, link int) {
	if link == 0 { // an answer that was too large is made again, with shorter names
		t.Steps = t.Steps[:0]
	}
	f := w.found
	f.Target = slices.Clone(f.Target)
	t.Steps = append(t.Steps, Step{Name: slices.Clone(w.name), Found: f})
}

// decided has the decision that the worker has made explained by who made it.
func (t *Trace) decided(w *Worker, view *steer.View) {
	s := &t.Steps[len(t.Steps)-1]
	s.Decisions = append(s.Decisions, w.found.Policy.Explain(view, &w.request))
}

// ended notes why a name that leads on is not followed.
func (t *Trace) ended(why End) { t.Steps[len(t.Steps)-1].End = why }
