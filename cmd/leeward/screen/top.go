package screen

import (
	"fmt"
	"io"

	"leeward/server/answer"
)

// Top writes who asks most, and for which names.
func Top(w io.Writer, t *answer.Top, clients, names, colour bool) error {
	write := func(head string, l *answer.TopList) error {
		fmt.Fprintf(w, "%s: %s queries a second in the last minute. ", Printable(t.Server),
			perSecond(l.All.LastMinute, t.Windows[0]))
		if l.Others == (answer.TopCount{}) {
			fmt.Fprintln(w, "Nobody else asked in five minutes.")
		} else {
			fmt.Fprintf(w, "Nobody who is not listed had more than %s a second, and %s over five minutes.\n",
				perSecond(l.Others.LastMinute, t.Windows[0]), perSecond(l.Others.LastFiveMinutes, t.Windows[1]))
		}
		if n := l.Uncounted.LastFiveMinutes; n > 0 {
			fmt.Fprintf(w, "%d queries of five minutes are in no row.\n", n)
		}
		if len(l.Rows) == 0 {
			return nil
		}
		fmt.Fprintln(w)
		table := &Table{Heads: []string{head, "A SECOND (1 MIN)", "(5 MIN)", "SHARE (1 MIN)"}}
		for _, r := range l.Rows {
			table.Add(Cell{Printable(r.What), Bold},
				Cell{Text: between(r.AtLeast.LastMinute, r.AtMost.LastMinute, t.Windows[0])},
				Cell{Text: between(r.AtLeast.LastFiveMinutes, r.AtMost.LastFiveMinutes, t.Windows[1])},
				Cell{Text: share(r.AtLeast.LastMinute, l.All.LastMinute)})
		}
		return table.Write(w, colour)
	}
	if clients {
		if err := write("CLIENTS", &t.Clients); err != nil {
			return err
		}
	}
	if clients && names {
		fmt.Fprintln(w)
	}
	if names {
		return write("NAME", &t.Names)
	}
	return nil
}

// between spells a rate that has bounds.
func between(least, most uint64, seconds float64) string {
	low, high := perSecond(least, seconds), perSecond(most, seconds)
	if low == high {
		return low
	}
	return low + " to " + high
}
