package vantage

import (
	"encoding/json"
	"slices"
	"time"

	"leeward/health"
)

// Event is what Follow learns from one key of etcd: a report on a pool, a heartbeat, that the key is gone, or that its
// value cannot be read.
type Event struct {
	Key      string // such as "reports/fra/www-eu", "vantages/fra" or "vantages/fra/server"; "": the event is of no key
	Revision int64  // etcd's revision of the key, or of its removal
	Vantage  string

	Withdrawn []string        // endpoints whose earlier reports are to be taken back, before Reports
	Reports   []health.Report // all that the key says now
	Heartbeat *Heartbeat      // a new heartbeat of the vantage
	Measure   *health.Measure // what it says of the pool's load
	Unsaid    string          // the pool whose load it no longer tells; "": none
	Server    json.RawMessage // what the vantage, a server, says of itself
	Listed    bool            // it comes from a list: nobody knows when it was written
	Removed   bool            // the key is gone from etcd
	Gone      bool            // so are all other keys of the vantage

	// Problem says what is wrong with the key's newest value and what to do; empty: nothing is, or the key is gone. A
	// part that cannot be used leaves its last good version in place.
	Problem string

	// Synced says that all that etcd holds has been delivered: after the start, and each time the watch was lost.
	Synced bool
}

// Apply writes the event into the board, as received at that time. What comes from a list makes nobody fresh who went
// stale.
func (e *Event) Apply(b *health.Board, now time.Time) {
	if !e.Listed || e.lasts() || e.Gone {
		e.ApplyAt(b, now)
		return
	}
	at := b.Since(now, e.Vantage)
	if e.Heartbeat != nil {
		at = b.Dated(now, at, e.Vantage, e.Heartbeat.Time)
	}
	e.ApplyAt(b, at)
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
		b.Began(e.Vantage, h.Run)
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
