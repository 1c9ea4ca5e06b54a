package history

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// told returns what a journal has, a line an event, the oldest first.
func told(t *testing.T, j *Journal) string {
	t.Helper()
	flush(t, j)
	p, err := j.Page(context.Background(), Query{Limit: MostEvents})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for i := range p.Events {
		lines = append(lines, p.Events[len(p.Events)-1-i].Text)
	}
	return strings.Join(lines, "\n")
}

// What happens again and again is kept some times, and then once an hour with its number and the last of it. What
// happens beside it is kept as ever.
func TestAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, end := begin(t, Options{})
		for i := range 100 { // 50 minutes
			j.Add(Event{Kind: Vantage, Again: "vantage/fra", Text: fmt.Sprint("fra turns ", i)}, nil)
			if i == 50 {
				j.Add(Event{Kind: Vantage, Again: "vantage/ams", Text: "ams turns"}, nil)
				j.Add(Event{Kind: Server, Text: "a server stops"}, nil)
			}
			time.Sleep(30 * time.Second)
		}
		few := "fra turns 0\nfra turns 1\nfra turns 2\nfra turns 3\nfra turns 4\nfra turns 5\nams turns\na server stops"
		if got := told(t, j); got != few {
			t.Errorf("within the hour: got\n%s\nwant\n%s", got, few)
		}
		time.Sleep(11 * time.Minute)
		few += "\nfra turns 99 (at 00:49:30 UTC, the last of 94 such events since 00:00:00 UTC that are not here one " +
			"by one)"
		if got := told(t, j); got != few {
			t.Errorf("after the hour: got\n%s\nwant\n%s", got, few)
		}
		time.Sleep(3 * time.Hour)
		if got := told(t, j); got != few {
			t.Errorf("hours later: got\n%s\nwant\n%s", got, few)
		}
		for i := range 7 {
			j.Add(Event{Kind: Vantage, Again: "vantage/fra", Text: fmt.Sprint("anew ", i)}, nil)
		}
		end()
		if got := told(t, j); !strings.HasSuffix(got, "anew 5\nanew 6 (at 04:01:00 UTC)") {
			t.Errorf("after the end: got\n%s", got)
		}
	})
}

// However many things happen again and again, a month of them does not fill a history of the default size, and what is
// remembered of them has a bound.
func TestAgainBounded(t *testing.T) {
	var a again
	now, octets, most := noon, 0, 0
	kept := func(e Event) { octets += len(e.Text) + 200 }
	for i := range 24 * 60 { // a day in minutes
		for k := range 90 {
			kind := []Kind{Vantage, Problem, Parent}[k%3]
			e := Event{Kind: kind, Again: fmt.Sprint(kind, (k+i/7)%500), Text: strings.Repeat("x", 100)}
			if a.take(&e, now) {
				kept(e)
			}
		}
		most = max(most, len(a.things))
		now = now.Add(time.Minute)
		a.end(now, false, kept)
	}
	if 30*octets > DefaultOctets || most > mostThings+3 {
		t.Errorf("a day of it has %d octets, and %d things are remembered at once", octets, most)
	}
}
