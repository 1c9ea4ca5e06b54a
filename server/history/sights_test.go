package history

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// What the server saw is on no page, and stays longer than events. If some of it is missing, the gap and its times are
// reported.
func TestSights(t *testing.T) {
	c := &clock{now: noon}
	o := Options{Folder: filepath.Join(t.TempDir(), "history"), Octets: 4 << 20, Now: c.Now}
	j := Open(o)
	for _, b := range []*book{&j.book, &j.changes, &j.sights} {
		b.open()
	}
	told := func() (sights int, gaps []string) {
		t.Helper()
		if err := j.EachSight(context.Background(), noon.Add(time.Hour), func(e *Event) {
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
	j.sights.forget()
	n, gaps := told()
	if n > 60 || n < 20 || len(gaps) != 1 || !strings.HasPrefix(gaps[0], "the beginning to ") {
		t.Errorf("%d sights, gaps %q", n, gaps)
	}
}

// For a time, the journal gives everything that a reader needs: from the last sight that begins before it to the next
// one after it, then later beginnings, with the same gaps.
func TestSightsOfATime(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		j := Open(Options{Now: func() time.Time { return noon }})
		j.sights.open()
		var plain []Event
		now := noon
		for i := range rapid.IntRange(1, 40).Draw(r, "events") {
			now = now.Add(time.Duration(rapid.IntRange(0, 3).Draw(r, "passed")) * time.Second)
			e := Event{Kind: Sighted, Time: now, Text: fmt.Sprint(i)}
			e.Begins = rapid.IntRange(0, 5).Draw(r, "begins") == 0
			if rapid.IntRange(0, 9).Draw(r, "lost") == 0 {
				e = lost(Missed{Events: 1, From: now, Until: now}, e.Text)
			}
			j.sights.add(e)
			plain = append(plain, e)
		}
		at := noon.Add(time.Duration(rapid.IntRange(-1, 60).Draw(r, "at")) * time.Second)
		from := 0
		for i := range plain {
			if plain[i].Begins && !plain[i].Time.After(at) {
				from = i
			}
		}
		var want, got []string
		gaps, after := 0, false
		for i, e := range plain {
			later := e.Time.After(at)
			switch {
			case e.Kind == Lost:
				gaps++
				want = append(want, e.Text)
			case i >= from && (!later || !after || e.Begins):
				want = append(want, e.Text)
			}
			after = after || later && e.Kind == Sighted
		}
		if err := j.EachSight(context.Background(), at, func(e *Event) { got = append(got, e.Text) }, func(g Gap) {
			gaps--
		}); err != nil || gaps != 0 || !slices.Equal(got, want) {
			r.Errorf("at %v: %q, want %q; %d gaps too few, %v", at.Sub(noon), got, want, gaps, err)
		}
	})
}

// BenchmarkSights asks what was seen at a time, on a day whose files are full and in which everything was written every
// ten minutes. It asks the same of a history in which nothing says where a reader can begin.
func BenchmarkSights(b *testing.B) {
	for _, marked := range []bool{true, false} {
		b.Run(fmt.Sprintf("marked=%v", marked), func(b *testing.B) {
			now := noon
			folder := filepath.Join(b.TempDir(), "history")
			j := Open(Options{Folder: folder, Now: func() time.Time { return now }})
			sight := []byte(`"` + strings.Repeat("x", 700) + `"`)
			for i := range 80_000 {
				now = now.Add(time.Second)
				j.sights.keep(Event{Kind: Sighted, Time: now, Sight: sight, Begins: marked && i%600 == 0})
			}
			j.sights.close()
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				err := j.EachSight(context.Background(), now.Add(-time.Hour), func(*Event) { n++ }, func(Gap) {})
				if err != nil || n == 0 {
					b.Fatal(n, err)
				}
			}
		})
	}
}

// Of several files of changes, only those since the time are read, and only what is needed of them. What is older is no
// gap.
func TestEachChange(t *testing.T) {
	j := Open(Options{Folder: filepath.Join(t.TempDir(), "history"), Now: func() time.Time { return noon }})
	j.changes.open()
	const changes = 300
	value := []byte(`"` + strings.Repeat("x", leafOctets/100) + `"`)
	at := func(i int) time.Time { return noon.Add(time.Duration(i) * time.Second) }
	keys := []string{"pools/a", "pools/b", `pools/"c`}
	for i := range changes {
		e := Event{Kind: Changed, Time: at(i), Changes: []Change{{Resource: keys[i%3], Is: value}}}
		if i%30 == 0 { // one event is about both
			e.Changes = append(e.Changes, Change{Resource: "pools/b", Is: value})
		}
		j.changes.keep(e)
	}
	j.changes.close()
	if n := len(j.changes.leaves); n < 4 {
		t.Fatalf("there are %d files", n)
	}
	for _, since := range []int{-1, 0, 1, 99, 100, 101, 150, 299, 300, 400} {
		var got, want []string
		err := j.EachChange(context.Background(), at(since), func(when time.Time, resource string) bool {
			if when.Before(at(since)) {
				t.Errorf("since %d: %s is asked for of %s", since, resource, when)
			}
			return resource == "pools/b"
		}, func(e *Event) {
			got = append(got, fmt.Sprint(e.Time.Sub(noon), len(e.Changes)))
		}, func(g Gap) {
			if g.Until.After(at(max(since, 0))) {
				t.Errorf("since %d: a gap from %s until %s: %s", since, g.From, g.Until, g.Why)
			}
		})
		for i := max(since, 0); i < changes; i++ {
			switch { // a name that must be decoded occurs, too
			case i%30 == 0:
				want = append(want, fmt.Sprint(at(i).Sub(noon), 2))
			case i%3 > 0:
				want = append(want, fmt.Sprint(at(i).Sub(noon), 1))
			}
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("since %d: %v\n got %v\nwant %v", since, err, got, want)
		}
	}
}
