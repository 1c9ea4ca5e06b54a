package process

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leeward/server/answer"
	"leeward/server/history"
)

// HistoryBounds limit the history kept below Settings.State. Zero values stand for the defaults.
type HistoryBounds struct {
	Octets int64
	Age    time.Duration
}

// openHistory opens the journal of what happens here, and begins it.
func (r *run) openHistory() {
	folder := ""
	if r.State != "" {
		folder = filepath.Join(r.State, "history")
	} else {
		r.Log.Info("the history is kept in memory only, and ends with this process: give --state DIR to keep it")
	}
	r.history = history.Open(history.Options{
		Folder: folder, Octets: r.History.Octets, Age: r.History.Age, Log: r.Log, Now: time.Now,
	})
	r.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "leeward_history_dropped_total",
		Help: "Events that are not in the history because they came faster than it could keep them.",
	}, func() float64 { return float64(r.history.Dropped()) }))
	text := fmt.Sprintf("%s started (leeward %s)", r.ID, r.Version)
	if r.Region != "" {
		text += " in " + r.Region
	}
	of := []string{"server/" + r.ID}
	if r.Region != "" {
		of = append(of, "region/"+r.Region)
	}
	r.history.Add(history.Event{Kind: history.Server, Of: of, Text: text}, nil)
}

// past returns a page of the history.
func (r *run) past(ctx context.Context, q history.Query) (*history.Page, error) {
	p, err := r.history.Page(ctx, q)
	if err == nil {
		p.Server = r.ID
	}
	return p, err
}

// revised returns what changed between two revisions.
func (r *run) revised(ctx context.Context, from, to int64) (*history.Revisions, error) {
	c, err := r.history.Changes(ctx, from, to)
	if err == nil {
		c.Server = r.ID
	}
	return c, err
}

// explainAt says why a client got its answer at a time in the past. Only one explanation is made at a time, since each
// reads up to a day's history.
func (r *run) explainAt(
	ctx context.Context, at time.Time, name, qtype, client string,
) (*answer.Explanation, error) {
	if !r.recalling.TryLock() {
		return nil, errors.New("another answer of the past is being worked out; try again in a second")
	}
	defer r.recalling.Unlock()
	ctx, stop := context.WithTimeoutCause(ctx, recallLimit, errors.New("the history is too long to be read in time"))
	defer stop()
	e, err := r.loop.ExplainAt(ctx, r.history, at, name, qtype, client)
	if e != nil {
		e.Server = r.ID
	}
	return e, err
}

// recallLimit is how long reading may take.
const recallLimit = 25 * time.Second
