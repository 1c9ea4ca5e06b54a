package dnssec

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"leeward/zones/rr"
)

// Any server may carry a roll on. Each looks again and again, and a write is refused if another server has written
// meanwhile. No single clock decides. A server says by its own clock that it does a step, and later that the next one
// is due; a roll moves when all servers say so. A server that saw a wait begin also measures it, so that setting the
// clock does not shorten it.

// Word is what a server says about the roll of a zone.
type Word struct {
	Step  string    `json:"step"`          // the step that it does
	Since time.Time `json:"since"`         // when, by its clock, it first did so in this process
	Due   string    `json:"due,omitempty"` // the wait after which, as it finds, the next step may begin
	// Not is until when, by its clock, the present wait had not begun, if that is later than the roll says.
	Not time.Time `json:"not,omitzero"`
}

// Said is one server of the zone, and what it says.
type Said struct {
	Server string
	Word   *Word         // nil: it says nothing
	Silent time.Duration // time since it was last heard from; 0: it is alive
}

// LongSilent is for how long a silent server holds a roll up. It may be cut off from etcd, and still answer as before.
const LongSilent = 24 * time.Hour

// ahead is how far in the future a step may begin before the clock that wrote it counts as wrong.
const ahead = 5 * time.Minute

// stamp identifies the step, and wait the wait.
func (r *Roll) stamp() string { return fmt.Sprintf("%s %s %d", r.Kind, r.Step, r.Began.Unix()) }

func (r *Roll) wait() string { return fmt.Sprintf("%d %d", r.Held.Unix(), max(0, r.Seen.Unix())) }

// Witness is what a server has seen of rolls since it started.
type Witness struct{ zones map[rr.Name]*sight }

type sight struct {
	step  string
	since time.Time
	enter time.Duration // when it began to do that step, if it answered otherwise before
	late  bool          // it did
	past  time.Time     // the beginning of that step was past by this server's clock, whatever it says now
	wait  string
	begun time.Duration // when that wait was first seen
	first bool          // the wait was there when the roll was first seen, so its length is not known
	not   time.Time     // the last look at which, by this server's clock, the wait of that step had not begun
	of    string        // that step
}

// Word returns what this server says about a roll; k are the zone's keys of the same moment. does says that the server
// answers as these keys require now. elapsed is time that setting a clock does not change.
func (w *Witness) Word(origin rr.Name, r *Roll, does bool, now time.Time, elapsed, ttl time.Duration) *Word {
	if w.zones == nil {
		w.zones = map[rr.Name]*sight{}
	}
	s := w.zones[origin]
	if s == nil {
		s = &sight{wait: r.wait(), begun: elapsed, first: true}
		w.zones[origin] = s
	}
	if r.wait() != s.wait {
		s.wait, s.begun, s.first = r.wait(), elapsed, false
	}
	if !r.rests() {
		s.not, s.of = now, r.stamp()
	}
	if early := now.Before(r.Began) && s.past.Before(r.Began); early || !does {
		s.step, s.late = "", s.late || early
		return nil
	}
	if s.step != r.stamp() {
		s.late = s.late || s.step != ""
		s.step, s.since, s.past, s.enter = r.stamp(), now, later(s.past, r.Began), elapsed
	}
	word := &Word{Step: s.step, Since: s.since.UTC().Truncate(time.Second)}
	from, rest := r.Rest(ttl)
	if r.rests() && s.of == r.stamp() && s.not.After(from.Add(time.Second)) {
		word.Not = s.not.UTC().Truncate(time.Second)
	}
	if r.Due(now, ttl) && (s.first || elapsed-s.begun >= rest) && (!s.late || elapsed-s.enter >= rest) {
		word.Due = s.wait
	}
	return word
}

// later returns the later of two times. A step that a slow clock has begun again may begin before others that are
// already past, and those stay past.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Lacks notes that this server still answers by a zone's earlier keys. Once it no longer does, a wait that others have
// begun counts as over for this server only after it has waited as long itself.
func (w *Witness) Lacks(origin rr.Name) {
	if w.zones == nil {
		w.zones = map[rr.Name]*sight{}
	}
	s := w.zones[origin]
	if s == nil {
		s = &sight{}
		w.zones[origin] = s
	}
	s.step, s.late = "", true
}

// Passed returns a zone's keys as this server must see them at the present state of the roll. What the server has said
// that it does, it goes on doing.
func (w *Witness) Passed(k *Keys, r *Roll) *Keys {
	at := r.Passed
	if s := w.zones[k.origin]; s != nil && s.past.After(at) {
		at = s.past
	}
	return k.Passed(at)
}

// Mark returns a text that changes when the result of Passed does.
func (w *Witness) Mark(origin rr.Name) string {
	if s := w.zones[origin]; s != nil {
		return s.past.String()
	}
	return ""
}

// Forget forgets a zone that no longer has a roll.
func (w *Witness) Forget(origin rr.Name) { delete(w.zones, origin) }

// ParentDS is what one server of the parent has as a zone's DS.
type ParentDS struct {
	Server string
	DS     [][]byte // RDATA
	TTL    int      // seconds
}

// Carried is the result of looking at a roll.
type Carried struct {
	Write   bool // Roll and Changed must be written
	Roll    *Roll
	Changed []TimedKey // keys of the next step
	Waits   string     // who or what holds the roll up; "": nothing that anybody could mend
}

// Carry finds out whether a roll can go on. parent asks all servers of the parent.
func (r *Roll) Carry(k *Keys, now time.Time, ttl time.Duration, fleet []Said, parent func() ([]ParentDS, error),
) (c Carried, err error) {
	holds := func(s Said) bool { return s.Word != nil && s.Word.Step == r.stamp() }
	if r.Began.After(now.Add(ahead)) && !slices.ContainsFunc(fleet, holds) {
		if c.Roll, c.Changed, err = r.Again(k, now, ttl); err != nil { // this clock is behind, or nobody can tell
			c.Waits = fmt.Sprintf("the step begins at %s, and no clock is there yet: check that all run an NTP client",
				r.Began.UTC().Format(time.RFC3339))
			return c, nil
		}
		c.Write = true
		return c, nil
	}
	for _, at := range []time.Time{r.Began, r.Held, r.Seen} {
		if now.Before(at) {
			c.Waits = fmt.Sprintf("the clock of this server is behind: %s, when others have seen %s; run an NTP client",
				now.UTC().Format(time.RFC3339), at.UTC().Format(time.RFC3339))
			return c, nil
		}
	}
	next := *r
	next.TTL = max(r.TTL, int(ttl/time.Second))
	c.Roll = &next
	var lack []string
	held := now
	for _, s := range fleet {
		switch {
		case s.Silent >= LongSilent:
		case s.Silent > 0:
			lack = append(lack, fmt.Sprintf("server %s has not been heard of for %v (it is waited for a day)", s.Server,
				s.Silent.Round(time.Second)))
		case !holds(s):
			lack = append(lack, fmt.Sprintf("server %s does not have the keys of this step in use: see its status and "+
				"clock", s.Server))
		case s.Word.Since.After(held):
			held = s.Word.Since
		}
	}
	if len(lack) > 0 {
		c.Waits = strings.Join(lack, ", ")
		return c, nil
	}
	if r.Held.IsZero() {
		next.Held, next.Passed, c.Write = held.UTC().Truncate(time.Second), later(r.Passed, r.Began), true
		return c, nil
	}
	// A slow clock may have written that the wait began earlier than it did. Servers that were there know better. They
	// must say so before all of them have restarted.
	if from, _ := r.Rest(ttl); r.rests() {
		for _, s := range fleet {
			if holds(s) && s.Word.Not.After(from) {
				from, c.Write = s.Word.Not, true
			}
		}
		if c.Write {
			if next.Held = from; r.Asks() {
				next.Held, next.Seen = r.Held, from
			}
			return c, nil
		}
	}
	due := func(s Said) bool { return s.Silent >= LongSilent || s.Word.Due == r.wait() }
	rested := !slices.ContainsFunc(fleet, func(s Said) bool { return !due(s) }) && r.Due(now, ttl)
	var ds [][][]byte
	if r.Asks() { // also while it rests: if a parent takes its DS back, the wait begins again
		all, err := parent()
		if err != nil && !r.Seen.IsZero() && !rested {
			return c, nil
		}
		if err != nil {
			return c, err
		}
		for _, one := range all {
			if !r.Granted(k, one.DS) {
				lack = append(lack, one.Server)
			}
			ds, next.DSTTL = append(ds, one.DS), max(next.DSTTL, one.TTL)
		}
		if len(lack) > 0 || len(all) == 0 {
			what := "does not have the new DS yet"
			if _, s := r.at(); s.asked == oldGone {
				what = "has the old DS still"
			}
			c.Waits = fmt.Sprintf("the parent %s (%s)", what, strings.Join(lack, ", "))
			next.Seen, c.Write = time.Time{}, !r.Seen.IsZero()
			return c, nil
		}
		if r.Seen.IsZero() {
			next.Seen, c.Write = now.UTC().Truncate(time.Second), true
			return c, nil
		}
	}
	if !rested {
		return c, nil
	}
	moved, changed, err := r.Move(k, now, ttl, ds...)
	if err == nil {
		c.Write, c.Roll, c.Changed = true, moved, changed
	}
	return c, err
}
