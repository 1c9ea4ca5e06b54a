package screen

import (
	"fmt"
	"io"
	"strings"
	"time"

	"leeward/server/history"
)

// History writes events for people, the newest first, a row each. quiet says that votes are left out.
func History(w io.Writer, p *history.Page, now time.Time, quiet, colour bool) error {
	t := Table{Heads: []string{"TIME", "KIND", "WHAT"}}
	day := ""
	for i := range p.Events {
		e := &p.Events[i]
		at := e.Time.In(now.Location())
		if d := at.Format(time.DateOnly); d != day {
			day = d
			t.Add(Cell{Text: day, Colour: Grey}, Cell{}, Cell{})
		}
		kind := Cell{Text: string(e.Kind), Colour: colourOf(e)}
		text := e.Text
		if e.Revision != 0 {
			text += fmt.Sprintf(" (revision %d)", e.Revision)
		}
		t.Add(Cell{Text: at.Format("15:04:05"), Colour: Grey}, kind, Cell{Text: text})
	}
	if err := t.Write(w, colour); err != nil {
		return err
	}
	var notes []string
	switch {
	case len(p.Events) == 0:
		notes = append(notes, "Nothing of that is in the history.")
	case p.Next != 0:
		notes = append(notes, "There is more: add --limit, or narrow it by a TARGET, --since or --until.")
	}
	if quiet {
		notes = append(notes, "Votes are left out; --votes shows them.")
	}
	if !p.Since.IsZero() {
		reach := fmt.Sprintf("The history of %s reaches back to %s", p.Server,
			p.Since.In(now.Location()).Format("2006-01-02 15:04 MST"))
		if p.InMemory {
			reach += " and is in memory only; serve --state DIR keeps it"
		}
		notes = append(notes, reach+".")
	}
	if p.Problem != "" {
		notes = append(notes, "It is not kept on disk: "+p.Problem+".")
	}
	if p.Dropped > 0 {
		notes = append(notes, fmt.Sprintf("%d events came faster than they could be kept.", p.Dropped))
	}
	_, err := fmt.Fprintf(w, "\n%s\n", Printable(strings.Join(notes, " ")))
	return err
}

// colourOf returns the colour of an event: red for what went away, green for what came back.
func colourOf(e *history.Event) Colour {
	switch e.Kind {
	case history.Verdict, history.Vote:
		if e.Turn != nil && e.Turn.To == "down" {
			return Red
		}
		return Green
	case history.Failover:
		if strings.Contains(e.Text, " is back ") {
			return Green
		}
		return Red
	case history.Vantage, history.Problem, history.Parent:
		if e.Over {
			return Green
		}
		return Yellow
	case history.Source, history.Lost, history.Clock, history.Override, history.Drill:
		return Yellow
	}
	return Plain
}
