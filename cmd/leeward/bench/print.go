package bench

import (
	"fmt"
	"io"
	"strings"

	"leeward/cmd/leeward/screen"
)

// Heading is the first line of the table that shows a run while it goes on. Step.Row is each further line.
const Heading = "    ASKED  ANSWERED     LOST     LATE    WRONG       P50       P99     P99.9"

// Row returns the line of a step: queries a second, shares of those sent, and times.
func (s Step) Row() string {
	share := func(n uint64) string {
		if n == 0 || s.Sent == 0 {
			return "-"
		}
		return fmt.Sprintf("%.2f %%", 100*float64(n)/float64(s.Sent))
	}
	row := fmt.Sprintf("%9.0f %9.0f %8s %8s %8s %9s %9s %9s", s.Asked, float64(s.Answered)/max(s.Seconds, 1e-9),
		share(s.Lost), share(s.Late), share(s.Wrong), took(s.P50), took(s.P99), took(s.P999))
	switch {
	case s.Behind:
		row += "  client too slow"
	case !s.Held:
		row += "  broken"
	}
	return row
}

// took spells a time; 0 means that no query was answered.
func took(seconds float64) string {
	if seconds == 0 {
		return "-"
	}
	return screen.Took(seconds)
}

// Print says how the run ended, after the table.
func (r *Result) Print(w io.Writer, _ bool) error {
	var b strings.Builder
	switch {
	case r.Knee > 0 && r.AtLeast:
		fmt.Fprintf(&b, "no knee up to %.0f queries a second: %s\n", r.Knee, r.Why)
	case r.Knee > 0:
		fmt.Fprintf(&b, "knee: %.0f queries a second; %s\n", r.Knee, r.Why)
	default:
		fmt.Fprintf(&b, "no knee: %s\n", r.Why)
	}
	if hint := r.hint(); hint != "" {
		fmt.Fprintf(&b, "%s\n", hint)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// hint says what may explain the result other than the server's speed.
func (r *Result) hint() string {
	var answered, cut, refused, failed uint64
	for _, s := range r.Steps {
		answered += s.Answered
		cut += s.Cut
		refused += s.Rcodes["REFUSED"]
		failed += s.Rcodes["SERVFAIL"]
	}
	switch {
	case answered == 0:
		return ""
	case refused*10 > answered:
		return "Many answers were REFUSED: the names are in no zone of the server. Ask for names of its zones, with " +
			"--names or --zone."
	case failed*10 > answered:
		return "Many answers were SERVFAIL: the server may not be ready; see leeward status."
	case cut*10 > answered:
		return "Many answers were truncated: the server limits the rate of responses to one network, and this is the " +
			"limit's knee.\nTo find the server's own, start it with --rrl 0, or exempt this machine with --rrl-exempt."
	case !r.Cookie && r.Breaks > 0 && r.Breaks < 2*DefaultFrom:
		return "The server gave no cookie and broke early: it may limit the rate of responses to one network."
	}
	return ""
}
