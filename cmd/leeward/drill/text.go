package drill

import (
	"fmt"
	"io"
	"strings"
	"time"

	"leeward/cmd/leeward/screen"
)

// Text writes the report for people, with sentences folded to 80 columns.
func (r *Report) Text(w io.Writer, now time.Time) error {
	fmt.Fprintln(w, strings.Join(screen.Fold(r.Headline(now), 78), "\n"))
	fmt.Fprintln(w)
	facts := &screen.Table{}
	for _, f := range r.Facts() {
		facts.AddTexts(f[0], f[1])
	}
	if err := facts.Write(w, false); err != nil {
		return err
	}
	if rows := r.Rows(); len(rows) > 0 {
		fmt.Fprintln(w)
		pools := &screen.Table{Heads: []string{
			"POOL", "BEFORE", "FORETOLD", "AT MOST", "TARGET", "MAX",
			"ENDPOINTS LOST",
		}}
		for _, row := range rows {
			name := row.Pool
			if row.Away {
				name += " (out)"
			}
			pools.AddTexts(name, row.Before, row.Foretold, row.Most, row.Target, row.Max, row.Lost)
		}
		if err := pools.Write(w, false); err != nil {
			return err
		}
	}
	if len(r.Events) > 0 {
		fmt.Fprintln(w)
	}
	for _, e := range r.Events {
		fmt.Fprintf(w, "%+8.1f s  %s\n", r.Seconds(e.At), strings.Join(screen.Fold(e.Text, 66), "\n            "))
	}
	return nil
}
