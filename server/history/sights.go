package history

import (
	"context"
	"time"
)

// What the server saw is kept in files of its own. There is much of it, it is asked for within a day, and it must not
// push out what happened. The files have the same bound in octets as all events.
const (
	sightsFolder = "sights"
	sightsAge    = 26 * time.Hour
)

// Gap is a time for which something is missing.
type Gap struct {
	From, Until time.Time // zero From: everything until then
	Why         string    // in one sentence
	Twice       bool      // nothing is missing, but this time came twice, as the clock was set back
}

// EachSight calls f with the events of the kind Sighted that say what was seen at a time: from the last event with
// Begins at or before that time, or from the oldest, up to the next event after it, and with later ones that have
// Begins. It includes events of the kind Lost. It calls gap for all gaps between them. The errors are those of Each.
func (j *Journal) EachSight(ctx context.Context, at time.Time, f func(*Event), gap func(Gap)) error {
	from := uint64(0)
	err := j.each(ctx, &j.sights, func(head) bool { return false }, func(h head, _ *Event) {
		if h.begins && !h.time.After(at) {
			from = h.number
		}
	})
	if err != nil {
		return err
	}
	after := false
	return j.gapped(ctx, &j.sights, func(h head) bool {
		if h.number < from || h.kind != Sighted {
			return false
		}
		later := h.time.After(at)
		next := later && !after
		after = after || later
		return !later || next || h.begins
	}, f, gap)
}

// EachChange calls f with every event since a time that has changes of resources, the oldest first, and gap for the
// gaps between all such events, including the time before the first. The errors are those of Each.
func (j *Journal) EachChange(ctx context.Context, since time.Time, f func(*Event), gap func(Gap)) error {
	return j.gapped(ctx, &j.changes, func(h head) bool { return !h.time.Before(since) }, f, gap)
}

func (j *Journal) gapped(
	ctx context.Context, b *book, want func(head) bool, f func(*Event), gap func(Gap),
) error {
	var last head
	return j.each(ctx, b, want, func(h head, e *Event) {
		switch {
		case h.number != last.number+1 && last.number == 0:
			gap(Gap{Until: h.time, Why: "what is older has made room for what is newer"})
		case h.number != last.number+1:
			gap(Gap{From: last.time, Until: h.time, Why: "a part of the history cannot be read"})
		}
		last = h
		if e == nil {
			return
		}
		if e.Missed != nil {
			gap(Gap{e.Missed.From, e.Missed.Until, e.Text, e.Kind == Clock})
		}
		f(e)
	})
}

// NotKept says that the history does not have everything about a time, and what it has.
type NotKept struct{ Message string }

func (e *NotKept) Error() string { return e.Message }
