package history

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Changes of resources are kept a second time, in files of their own, so that a night of flapping verdicts does not
// push them out. They have the same bound in octets as all events, but no bound in age.
const changesFolder = "changes"

// Revisions are the changes between two revisions.
type Revisions struct {
	Server string `json:"server"`
	// Oldest is the first revision whose change the history would have, or 0 if it has none. Changes before that are
	// not known.
	Oldest  int64     `json:"oldest"`
	Newest  int64     `json:"newest"`
	Changes []Revised `json:"changes"` // in their order
	// Gaps say where changes are missing, in one sentence each.
	Gaps []string `json:"gaps,omitempty"`
}

// Revised is the change of one resource at one revision.
type Revised struct {
	Revision int64     `json:"revision"`
	Time     time.Time `json:"time"`
	Resource string    `json:"resource"`       // its key
	From     int64     `json:"from,omitempty"` // the revision of the version before
	// The versions as etcd has them, without secrets. Was is missing if the resource is new, and Is if it is gone.
	Was json.RawMessage `json:"was,omitempty"`
	Is  json.RawMessage `json:"is,omitempty"`
}

// MostRevised is how many changes one call returns at most.
const MostRevised = 20_000

// aboutResources reports whether an event goes into the files of changes.
func (e *Event) aboutResources() bool {
	return len(e.Changes) > 0 || e.Anew || e.Missed != nil && e.Missed.Changes
}

// Changes returns what changed after one revision, up to another; to 0 is the newest. Both belong to the history of the
// source that is followed now. If an operator has accepted another history, as of a restored etcd, it looks only at
// changes since then, as earlier revisions cannot be compared.
func (j *Journal) Changes(ctx context.Context, from, to int64) (*Revisions, error) {
	type version struct {
		resource string
		revision int64
	}
	out := &Revisions{Changes: []Revised{}}
	seen := map[version]bool{}
	more := 0
	err := j.each(ctx, &j.changes, nil, nil, func(_ head, e *Event) {
		if e.Anew {
			*out, more = Revisions{Changes: []Revised{}}, 0
			clear(seen)
		}
		first := out.Oldest == 0
		if first && e.Missed != nil && e.Missed.Events == 0 && e.Missed.Changes {
			out.Oldest = e.Revision + 1 // everything was read: this is where the history begins
		} else if e.Missed != nil && e.Missed.Changes && (e.Revision == 0 || e.Revision > from) {
			out.Gaps = append(out.Gaps, fmt.Sprintf("up to %s: %s", e.Time.Format(time.RFC3339), e.Text))
		}
		for i := range e.Changes {
			c := &e.Changes[i]
			v := version{c.Resource, c.Revision}
			if out.Newest = max(out.Newest, c.Revision); out.Oldest == 0 {
				out.Oldest = c.Revision
			}
			// A start from an older copy on disk notices changes again that are known already.
			if seen[v] || c.Revision <= from || to != 0 && c.Revision > to {
				continue
			}
			if seen[v] = true; len(out.Changes) >= MostRevised {
				more++
				continue
			}
			out.Changes = append(out.Changes, Revised{c.Revision, e.Time, c.Resource, c.From, c.Was, c.Is})
		}
	})
	if err == nil && more > 0 {
		err = fmt.Errorf("%d changes are between these revisions, more than %d: ask for fewer revisions",
			more+len(out.Changes), MostRevised)
	}
	return out, err
}
