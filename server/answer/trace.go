package answer

import (
	"slices"

	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

// trace records how a Worker makes a response. A nil trace records nothing, and costs a query one comparison at each of
// its few stations.
type trace struct {
	steps []step // one for the question's name, and one for each name that it leads to
}

// step is what was done about one name.
type step struct {
	name      []byte              // wire form, lower case
	found     snapshot.Answer     // what the zone has for it
	decisions []steer.Explanation // by its policy, one for each family that was tried; the last counts
	ending    ending
}

// ending is why the response ends at a name although that leads on.
type ending uint8

const (
	followed ending = iota // it does not end there, or the name leads nowhere
	loop                   // the name leads back to an earlier one
	tooMany                // the name is the last of maxChain links
)

// looked records what the zone has for the name that was looked up.
func (t *trace) looked(w *Worker, link int) {
	if t != nil {
		t.look(w, link) // the test above is compiled into the query path
	}
}

//go:noinline
func (t *trace) look(w *Worker, link int) {
	if link == 0 { // an answer that was too large is made again, with shorter names
		t.steps = t.steps[:0]
	}
	f := w.found
	f.Target = slices.Clone(f.Target)
	t.steps = append(t.steps, step{name: slices.Clone(w.name), found: f})
}

// decided records the explanation of the worker's decision. Whatever made the decision explains it.
func (t *trace) decided(w *Worker, view *steer.View) {
	if t != nil {
		t.decide(w, view)
	}
}

//go:noinline
func (t *trace) decide(w *Worker, view *steer.View) {
	s := &t.steps[len(t.steps)-1]
	s.decisions = append(s.decisions, w.found.Policy.Explain(view, &w.request))
}

// ended records why a name that leads on is not followed.
func (t *trace) ended(why ending) {
	if t != nil {
		t.steps[len(t.steps)-1].ending = why
	}
}
