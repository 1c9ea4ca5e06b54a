package history

import (
	"bytes"
	"context"
	"slices"
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
	err := j.each(ctx, &j.sights, func(leaves []leaf) []leaf {
		return slices.DeleteFunc(leaves, func(l leaf) bool { return l.oldest.After(at) })
	}, func(head, []byte) bool { return false }, func(h head, _ *Event) {
		if h.begins && !h.time.After(at) {
			from = h.number
		}
	})
	if err != nil {
		return err
	}
	after := false
	return j.gapped(ctx, &j.sights, func(leaves []leaf) []leaf {
		for len(leaves) > 1 && leaves[1].first <= from {
			leaves = leaves[1:]
		}
		return leaves
	}, func(h head, _ []byte) bool {
		if h.number < from || h.kind != Sighted {
			return false
		}
		later := h.time.After(at)
		next := later && !after
		after = after || later
		return !later || next || h.begins
	}, f, gap)
}

// EachChange calls f with the events since a time that have a change of a resource that is needed, the oldest first,
// and gap for the gaps between all events about resources, including the time before the first. It may call f with
// others, leave out gaps that end before that time, and say of one that does that it is longer. The errors are those of
// Each.
func (j *Journal) EachChange(
	ctx context.Context, since time.Time, needed func(at time.Time, resource string) bool, f func(*Event),
	gap func(Gap),
) error {
	before := func(l leaf) bool { return !l.newst.IsZero() && l.newst.Before(since) }
	return j.gapped(ctx, &j.changes, func(leaves []leaf) []leaf {
		for len(leaves) > 1 && before(leaves[0]) && before(leaves[1]) {
			leaves = leaves[1:] // the last one before that time shows whether something is missing after it
		}
		return leaves
	}, func(h head, text []byte) bool {
		return !h.time.Before(since) && (!eachResource(text, func(r string) bool { return !needed(h.time, r) }))
	}, f, gap)
}

// eachResource reports whether f is true for each resource that an event changes, without decoding the event. If it
// cannot find out, it returns false.
func eachResource(text []byte, f func(string) bool) bool {
	found := false
	for {
		// In an event's JSON this is the field, as a quotation mark within a text is escaped. If it is one of a
		// document, there is one more.
		_, rest, more := bytes.Cut(text, []byte(`"resource":"`))
		if !more {
			return found
		}
		name, _, whole := bytes.Cut(rest, []byte(`"`))
		if found = true; !whole || bytes.IndexByte(name, '\\') >= 0 || !f(string(name)) {
			return false
		}
		text = rest
	}
}

func (j *Journal) gapped(
	ctx context.Context, b *book, only func([]leaf) []leaf, want func(head, []byte) bool, f func(*Event),
	gap func(Gap),
) error {
	var last head
	return j.each(ctx, b, only, want, func(h head, e *Event) {
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
