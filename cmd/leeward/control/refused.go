package control

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"leeward/health"
	"leeward/server/admin"
	"leeward/server/history"
	"leeward/zones"
	"leeward/zones/catalog"
)

// This file records in the history which vantages are not believed, and which resources are refused. These events may
// recur again and again, so all have Event.Again.

// settles is how long a vantage must have been blind, or sighted again, before the history has it. When several
// addresses fail, the vantage that finds out first contradicts the others for a moment.
const settles = 5 * time.Second

// standing is the standing of a vantage that differs from the one in the history.
type standing struct {
	told, is health.Belief
	since    time.Time // when it began to differ
}

// stood notes that a vantage's standing has changed.
func (l *Loop) stood(vantage string, from, to health.Belief) {
	h := &l.happened
	s, differs := h.standings[vantage]
	if !differs {
		s = standing{told: from, since: l.o.Now()}
	}
	s.is = to
	h.standings[vantage] = s
	l.placed(vantage)
}

// placed remembers the region of a vantage for when it has left.
func (l *Loop) placed(vantage string) {
	if beat := l.fleet.beats[vantage]; beat != nil {
		l.happened.placed[vantage] = beat.Region
	} else if vantage == l.o.Own {
		l.happened.placed[vantage] = l.o.Region
	}
}

// settled reports whether it is time to record a standing.
func (s standing) settled(now time.Time) bool {
	sees := func(s health.Belief) bool { return s == health.Sighted || s.IsBlind() }
	return !sees(s.told) && !s.is.IsBlind() || !sees(s.is) || !now.Before(s.since.Add(settles))
}

// tellVantages reports which vantages turned blind, fell silent, came or went.
func (l *Loop) tellVantages(now time.Time) {
	h := &l.happened
	names := make([]string, 0, len(h.standings))
	for name, s := range h.standings {
		switch {
		case s.is == s.told, s.told == health.Absent && s.is == health.Sighted && !h.met:
			delete(h.standings, name) // it is as before, or was there when this process started
			if s.is == health.Absent {
				delete(h.placed, name)
			}
		case s.settled(now):
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for i, name := range names {
		s := h.standings[name]
		delete(h.standings, name)
		e := history.Event{
			Kind: history.Vantage, Of: []string{"vantage/" + name}, Again: "vantage/" + name,
			Over: s.is == health.Sighted,
			Text: name + " " + stands(s.told, s.is),
		}
		if region := h.placed[name]; region != "" {
			e.Of = append(e.Of, "region/"+region)
		}
		if s.is == health.Absent {
			delete(h.placed, name)
		}
		switch {
		case i < mostTold:
			l.tell(e, nil)
		case i == len(names)-1:
			l.tell(history.Event{
				Kind: history.Vantage, Again: "vantages",
				Text: fmt.Sprintf("%d more vantages at the same time; the last: %s", len(names)-mostTold, e.Text),
			}, nil)
		}
	}
	h.met = l.fleet.synced
}

// tellUnwatched reports that no vantage reports on some addresses, or that all addresses have reports again. before is
// that of logUnwatched.
func (l *Loop) tellUnwatched(before int) {
	e := history.Event{Kind: history.Vantage, Of: []string{"unwatched"}, Again: "unwatched"}
	switch n := l.board.Unwatched(); {
	case n > 0 && before == 0:
		e.Text = fmt.Sprintf("no vantage reports %d addresses, although there was time to find out; "+
			"their last verdicts stand, and all vantages probe them", n)
		if n == 1 {
			e.Text = "no vantage reports one address, although there was time to find out; " +
				"its last verdict stands, and all vantages probe it"
		}
	case n == 0 && before > 0:
		e.Text, e.Over = "vantages report all addresses again", true
	default:
		return
	}
	l.tell(e, nil)
}

// stands says how a vantage stands now, and stood before.
func stands(was, is health.Belief) string {
	const alone = "it alone sees most of unrelated endpoints down"
	text := ""
	switch is {
	case health.Sighted:
		switch {
		case was == health.Absent:
			return "has joined: its votes count"
		case was.IsBlind():
			return "sees again: its votes count"
		}
		return "is heard again: its votes count"
	case health.Silent:
		if was == health.Absent {
			return "is silent: nothing new has been heard of it"
		}
		return "has fallen silent: its votes are not fresh"
	case health.Absent:
		return "has left, and has taken back its votes"
	case health.Blind:
		text = "is blind: " + alone + ", so it abstains"
	case health.BlindToIPv4:
		text = "is blind to IPv4: " + alone + " there, so it abstains there"
	case health.BlindToIPv6:
		text = "is blind to IPv6: " + alone + " there, so it abstains there"
	}
	if was == health.Silent {
		text = "is heard again, and " + text
	}
	return text
}

// earliest returns when the next standing will be recorded, or the zero time if none is waiting.
func (h *happenings) earliest() (at time.Time) {
	for _, s := range h.standings {
		if due := s.since.Add(settles); at.IsZero() || due.Before(at) {
			at = due
		}
	}
	return at
}

// subjectOf names what has a problem: a resource or, if the file does not say which, the file.
func subjectOf(p *zones.Problem) string {
	if p.Key == "" {
		return "file/" + p.File
	}
	return string(p.Key)
}

// tellProblems reports which resources have new problems, and which have none any more.
func (l *Loop) tellProblems(found, before zones.Problems) {
	if !l.tells() || len(found) == 0 && len(before) == 0 {
		return
	}
	wrong := make(map[string]int, len(l.wrong)) // problems by subject
	for i := range l.wrong {
		wrong[subjectOf(&l.wrong[i])]++
	}
	var events []history.Event
	told := map[string]bool{}
	for i := range found {
		p := &found[i]
		name := subjectOf(p)
		if told[name] {
			continue
		}
		told[name] = true
		e := l.problemEvent(p)
		e.Revision = p.Revision
		stays := map[string]string{
			admin.InServiceNewest: "this version is in service nevertheless, as far as it can be served",
			admin.InServiceOlder:  "the last good version stays in service",
			admin.InServiceNone:   "nothing of it is in service",
		}[l.inService(p)]
		if p.Key.Kind() == "" {
			stays = "what was in service of it stays"
		}
		e.Text = worded(p) + "; " + stays
		if n := wrong[name]; n > 1 {
			e.Text += fmt.Sprintf(" (%d problems in all)", n)
		}
		events = append(events, e)
	}
	bad := len(events)
	for i := range before {
		p := &before[i]
		name := subjectOf(p)
		if told[name] || wrong[name] > 0 {
			continue
		}
		told[name] = true
		e := l.problemEvent(p)
		e.Over = true
		e.Text = p.Key.String() + " has no problem any more"
		switch {
		case p.Key == "":
			e.Text = p.File + " has no problem any more"
		case p.Key.Kind() == "":
			e.Text = p.Key.Name() + " has no problem any more"
		case l.catalog.VersionOf(p.Key) == 0:
			e.Text += ": it is gone"
		}
		events = append(events, e)
	}
	l.tellMany(events[:bad], "have problems")
	l.tellMany(events[bad:], "have no problem any more")
}

// worded returns a problem as it is printed. A message about a file says already what it is about.
func worded(p *zones.Problem) string {
	said := strings.Contains(p.Message, p.Key.String()+": ")
	if p.Key != "" && (said || p.Key.Kind() == "" && strings.HasPrefix(p.Message, p.Key.Name())) {
		return p.Message
	}
	return p.String()
}

// problemEvent returns an event about what has a problem.
func (l *Loop) problemEvent(p *zones.Problem) history.Event {
	name := subjectOf(p)
	e := history.Event{Kind: history.Problem, Again: "problem/" + name, Of: []string{name}}
	if p.Key.Kind() != "" {
		e.Of = l.targetsOf(p.Key)
	}
	return e
}

// targetsOf returns the targets that a resource is about.
func (l *Loop) targetsOf(key zones.Key) []string {
	regions := map[string]string{}
	if pool, of := poolOf(zones.Edit{Key: key}); of {
		if p, is := l.catalog.Get(zones.KeyOf(zones.KindPool, pool)).(*zones.Pool); is {
			regions[pool] = p.Region
		}
	}
	return targetsOf(zones.Edit{Key: key}, regions)
}

// tellMany reports events about resources one by one, or all in one if there are more than mostTold.
func (l *Loop) tellMany(events []history.Event, what string) {
	if len(events) <= mostTold {
		for _, e := range events {
			l.tell(e, nil)
		}
		return
	}
	e := history.Event{
		Kind: history.Problem, Again: "problems " + what, Over: events[0].Over,
		Text: fmt.Sprintf("%d resources %s; the first: %s", len(events), what, events[0].Text),
	}
	var names []string // with their kinds and without
	for i := range events[:min(len(events), mostNamed)] {
		target := events[i].Of[0]
		_, name, _ := strings.Cut(target, "/")
		names = append(names, target, name)
	}
	l.tell(e, func(e *history.Event) {
		if b, err := json.Marshal(names); err == nil {
			e.Inner = b
		}
	})
}

// mostNamed is how many resources an event about many is found under.
const mostNamed = 1000

// tellHeld reports that the guard has begun to hold something back, or that it holds back nothing any more. The
// arguments are those of logHeld.
func (l *Loop) tellHeld(first *catalog.Held, before int) {
	if !l.tells() {
		return
	}
	switch {
	case first != nil && l.held > 0:
		text := "a removal is held back until leeward accept"
		if l.held > 1 {
			text = fmt.Sprintf("%d removals are held back until leeward accept; one", l.held)
		}
		l.tell(history.Event{
			Kind: history.Problem, Of: append(l.targetsOf(first.Key), "held"), Again: "held", Revision: first.Revision,
			Text: fmt.Sprintf("%s: %s: %s", text, first.Key, first.Why),
		}, nil)
	case l.held == 0 && before > 0:
		l.tell(history.Event{
			Kind: history.Problem, Of: []string{"held"}, Again: "held", Over: true,
			Text: "nothing is held back any more",
		}, nil)
	}
}
