package vantage

import (
	"encoding/json"
	"slices"
	"time"

	"leeward/health"
)

// Event is what Follow has learnt, one key of etcd at a time: what a vantage reports on a pool, that it has moved, that
// it is gone, or that its value cannot be read.
type Event struct {
	Key      string // such as "reports/fra/www-eu", "vantages/fra" or "vantages/fra/server"; "": the event is of no key
	Revision int64  // etcd's revision of the key, or of its removal
	Vantage  string

	Withdrawn []string        // endpoints on which earlier reports no longer hold, to be taken back before Reports
	Reports   []health.Report // all that the key says now
	Heartbeat *Heartbeat      // the vantage has moved
	Measure   *health.Measure // what it says of the pool's load
	Unsaid    string          // the pool of whose load it says nothing any more; "": none
	Server    json.RawMessage // what the vantage, a server, says of itself
	Listed    bool            // it was read in a list, not seen to happen: when it was written nobody knows
	Removed   bool            // the key is gone from etcd
	Gone      bool            // and with it the last of the vantage's keys

	// Problem is what is wrong with the key's newest value and what to do; empty: it reads well, or is gone. What
	// cannot be used of a value leaves its last good version standing.
	Problem string

	// Synced: all that etcd holds has been delivered, after the start and after each time the watch was lost.
	Synced bool
}

// Apply writes the event into the board, as received at that time. What comes from a list makes nobody fresh who went
// stale.
func (e *Event) Apply(b *health.Board, now time.Time) {
	if e.Listed && !e.lasts() && !e.Gone {
		now = b.Since(now, e.Vantage)
	}
	e.ApplyAt(b, now)
}

// ApplyAt writes the event into the board as of that time, whatever else is known of the vantage.
func (e *Event) ApplyAt(b *health.Board, now time.Time) {
	if e.Gone {
		b.Withdraw(e.Vantage)
		return
	}
	if len(e.Withdrawn) > 0 {
		b.Withdraw(e.Vantage, e.Withdrawn...)
	}
	b.Report(now, e.Reports...)
	switch {
	case e.Measure != nil:
		b.Measure(*e.Measure)
	case e.Unsaid != "":
		b.Unmeasure(e.Vantage, e.Unsaid)
	}
	if h := e.Heartbeat; h != nil {
		b.Place(e.Vantage, h.Region)
		b.Pace(e.Vantage, h.Every.Std())
		b.Heartbeat(now, e.Vantage, h.Sequence, h.Stale.Std())
	}
	if !e.Listed && (e.Heartbeat != nil || len(e.Reports) > 0) {
		b.Seen(e.Vantage)
	}
}

// lasts reports whether the event's reports say themselves how long they hold from their receipt.
func (e *Event) lasts() bool {
	return slices.ContainsFunc(e.Reports, func(r health.Report) bool { return r.ValidFor > 0 })
}
