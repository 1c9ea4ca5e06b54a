package screen

import (
	"fmt"
	"io"

	"leeward/server/answer"
)

// Explanation writes for people why a client gets an answer.
func Explanation(w io.Writer, e *answer.Explanation, colour bool) error {
	if e.At != nil {
		fmt.Fprintf(w, "At %s, on %s:\n\n", e.At.UTC().Format("2006-01-02 15:04:05 UTC"), Printable(e.Server))
	}
	for _, s := range e.Text {
		fmt.Fprintln(w, Printable(s))
	}
	fmt.Fprintln(w)
	for _, section := range []struct {
		title   string
		records []string
	}{{"answer", e.Answer}, {"authority", e.Authority}} {
		for _, r := range section.records {
			fmt.Fprintf(w, "%-10s %s\n", section.title, Paint(Printable(r), Green, colour))
		}
	}
	if len(e.Answer)+len(e.Authority) == 0 {
		fmt.Fprintf(w, "%-10s %s\n", "answer", Paint("none: "+e.Outcome, Yellow, colour))
	}
	for _, n := range e.Notes {
		for i, line := range Fold(n, 69) {
			title := ""
			if i == 0 {
				title = "note"
			}
			fmt.Fprintf(w, "%-10s %s\n", title, Printable(line))
		}
	}
	for _, v := range e.Inherited {
		fmt.Fprintf(w, "%-10s %s\n", "defaults", Printable(v))
	}
	for _, p := range e.Problems {
		fmt.Fprintf(w, "%-10s %s\n", "problem", Paint(Printable(p), Yellow, colour))
	}
	_, err := fmt.Fprintf(w, "%-10s /%d of %s\n%-10s %d\n", "ECS scope", e.Scope, e.Client, "revision", e.Revision)
	return err
}
