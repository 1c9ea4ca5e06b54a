package history

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// What goes wrong again and again must not push out the rest of the history. So events with Again are kept one by one
// only up to a number in an hour: mostAgain about one thing, and mostOfKind of one kind. Of those beyond, the last one
// is kept at the end of the hour, and says how many there were. With mostThings at a time, all of it together stays
// below what a history of the default size holds in a month.
const (
	againSpan  = time.Hour
	mostAgain  = 6
	mostOfKind = 40
	mostThings = 60
)

// again counts what happens again. It belongs to the writer.
type again struct {
	things map[string]*times // by Event.Again, and by kind
}

// times is how often something has happened within its hour.
type times struct {
	began  time.Time
	kept   int
	passed int   // events that were not kept one by one
	last   Event // of these
}

// take counts an event with Again, and reports whether it is kept by itself.
func (a *again) take(e *Event, now time.Time) bool {
	one, kind := e.Again, string(e.Kind)
	all := a.of(kind, now)
	if a.things[one] == nil && (all.kept >= mostOfKind || len(a.things) >= mostThings) {
		all.pass(e)
		return false
	}
	t := a.of(one, now)
	if t.kept >= mostAgain || all.kept >= mostOfKind {
		t.pass(e)
		return false
	}
	t.kept++
	all.kept++
	return true
}

func (a *again) of(name string, now time.Time) *times {
	t := a.things[name]
	if t == nil {
		if a.things == nil {
			a.things = map[string]*times{}
		}
		t = &times{began: now}
		a.things[name] = t
	}
	return t
}

func (t *times) pass(e *Event) {
	t.passed++
	t.last = *e
}

// end calls f with the events to keep of each hour that has ended, or of all hours.
func (a *again) end(now time.Time, all bool, f func(Event)) {
	for _, name := range slices.Sorted(maps.Keys(a.things)) {
		t := a.things[name]
		if age := now.Sub(t.began); !all && age >= 0 && age < againSpan {
			continue
		}
		if t.passed == 0 {
			delete(a.things, name)
			continue
		}
		e := t.last
		if t.passed > 1 {
			e.Text = fmt.Sprintf("%s (at %s, the last of %d such events since %s that are not here one by one)",
				cut(e.Text), stamp(e.Time), t.passed, stamp(t.began))
		} else {
			e.Text = fmt.Sprintf("%s (at %s)", cut(e.Text), stamp(e.Time))
		}
		e.Time = now // events are in the order of their times
		*t = times{began: now, kept: 1}
		f(e)
	}
}

func stamp(t time.Time) string { return t.UTC().Format("15:04:05 UTC") }
