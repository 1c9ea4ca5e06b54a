package history

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What the server saw is on no page and outlives what happened; where some of it is missing, that is told, and between
// which times.
func TestSights(t *testing.T) {
	c := &clock{now: noon}
	o := Options{Folder: filepath.Join(t.TempDir(), "history"), Octets: 4 << 20, Now: c.Now}
	j := Open(o)
	for _, b := range []*book{&j.book, &j.changes, &j.sights} {
		b.open()
	}
	told := func() (sights int, gaps []string) {
		t.Helper()
		if err := j.EachSight(context.Background(), func(e *Event) {
			if e.Kind == Sighted {
				sights++
			}
		}, func(g Gap) {
			from := "the beginning"
			if !g.From.IsZero() {
				from = g.From.Sub(noon).String()
			}
			gaps = append(gaps, fmt.Sprintf("%s to %s, twice %v: %s", from, g.Until.Sub(noon), g.Twice, g.Why))
		}); err != nil {
			t.Fatal(err)
		}
		return sights, gaps
	}
	at := func(s int) time.Time { return noon.Add(time.Duration(s) * time.Second) }
	see := func(s, octets int) {
		j.add(Event{Kind: Sighted, Time: at(s), Sight: []byte(`"` + strings.Repeat("x", octets) + `"`)})
	}
	see(1, 10)
	see(2, 10)
	j.add(Event{Kind: Verdict, Time: at(2), Text: "something happened"})
	if got := all(t, j, Query{}); len(got) != 1 || got[0].Text != "something happened" {
		t.Errorf("a page has %v", got)
	}
	if n, gaps := told(); n != 2 || gaps != nil {
		t.Errorf("%d sights, gaps %q", n, gaps)
	}
	see(3, readMost) // too large to be kept whole
	j.sights.next++  // one that cannot be read
	see(5, 10)
	see(1, 10) // the clock was set back
	if n, gaps := told(); n != 5 || strings.Join(gaps, "\n") != `3s to 3s, twice false:  (too large to be kept whole)
3s to 5s, twice false: a part of the history cannot be read
1s to 5s, twice true: the clock was set back by 4s: it was `+at(5).UTC().Format(time.RFC3339) {
		t.Errorf("%d sights, gaps\n%s", n, strings.Join(gaps, "\n"))
	}
	for s := range 100 {
		see(10+s, 100_000)
	}
	n, gaps := told()
	if n > 60 || n < 20 || len(gaps) != 1 || !strings.HasPrefix(gaps[0], "the beginning to ") {
		t.Errorf("%d sights, gaps %q", n, gaps)
	}
}
