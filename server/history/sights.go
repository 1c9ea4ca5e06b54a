package history

import (
	"context"
	"time"
)

// What the server saw is kept in files of its own: it is much, it is asked for a day at most, and what happened is not
// to make room for it. Their bound in octets is that of all events.
const (
	sightsFolder = "sights"
	sightsAge    = 26 * time.Hour
)

// Gap is a time of which something is missing.
type Gap struct {
	From, Until time.Time // From is zero: all until then
	Why         string    // in a sentence
	Twice       bool      // nothing is missing, but the time was twice, as the clock was set back
}

// EachSight calls with every event of the kind Sighted that is kept, the oldest first, and with the gaps between them.
// The error is as that of Each.
func (j *Journal) EachSight(ctx context.Context, f func(*Event), gap func(Gap)) error {
	return j.gapped(ctx, &j.sights, f, gap)
}

// EachChange calls with every event that has changes of resources, the oldest first, and with the gaps between them,
// the time before the first included. The error is as that of Each.
func (j *Journal) EachChange(ctx context.Context, f func(*Event), gap func(Gap)) error {
	return j.gapped(ctx, &j.changes, f, gap)
}

func (j *Journal) gapped(ctx context.Context, b *book, f func(*Event), gap func(Gap)) error {
	var last Event
	return j.each(ctx, b, func(e *Event) {
		switch {
		case e.Number != last.Number+1 && last.Number == 0:
			gap(Gap{Until: e.Time, Why: "what is older has made room for what is newer"})
		case e.Number != last.Number+1:
			gap(Gap{From: last.Time, Until: e.Time, Why: "a part of the history cannot be read"})
		}
		if e.Missed != nil {
			gap(Gap{e.Missed.From, e.Missed.Until, e.Text, e.Kind == Clock})
		}
		last = *e
		f(e)
	})
}

// NotKept says that the history does not have everything of a time, and what it has.
type NotKept struct{ Message string }

func (e *NotKept) Error() string { return e.Message }
