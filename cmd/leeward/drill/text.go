package drill

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Text writes the report for a terminal, 80 columns wide where names allow.
func (r *Report) Text(w io.Writer, now time.Time) error {
	var b strings.Builder
	fmt.Fprintln(&b, folded(r.Headline(now), 78))
	fmt.Fprintln(&b)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, f := range r.Facts() {
		fmt.Fprintf(t, "%s\t%s\n", f[0], f[1])
	}
	t.Flush()
	if rows := r.Rows(); len(rows) > 0 {
		fmt.Fprintln(&b)
		t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "POOL\tBEFORE\tFORETOLD\tAT MOST\tTARGET\tMAX\tENDPOINTS LOST")
		for _, row := range rows {
			name := row.Pool
			if row.Away {
				name += " (out)"
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", name, row.Before, row.Foretold, row.Most, row.Target, row.Max, row.Lost)
		}
		t.Flush()
	}
	if len(r.Events) > 0 {
		fmt.Fprintln(&b)
		for _, e := range r.Events {
			fmt.Fprintf(&b, "%+8.1f s  %s\n", r.Seconds(e.At), strings.ReplaceAll(folded(e.Text, 66), "\n", "\n            "))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// folded breaks a text into lines of that many columns.
func folded(text string, columns int) string {
	var b strings.Builder
	at := 0
	for i, word := range strings.Fields(text) {
		switch n := len([]rune(word)); {
		case i == 0:
			at = n
		case at+1+n > columns:
			b.WriteByte('\n')
			at = n
		default:
			b.WriteByte(' ')
			at += 1 + n
		}
		b.WriteString(word)
	}
	return b.String()
}
