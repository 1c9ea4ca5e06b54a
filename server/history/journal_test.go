package history

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// clock is a clock that only the test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// begin runs a journal until the end of the test, or until end is called.
func begin(t testing.TB, o Options) (j *Journal, end func()) {
	t.Helper()
	j = Open(o)
	go j.Run()
	end = func() { j.Close(); <-j.done }
	t.Cleanup(end)
	return j, end
}

// keep adds an event and writes it.
func (b *book) keep(e Event) {
	b.add(e)
	b.settle()
}

func flush(t testing.TB, j *Journal) {
	t.Helper()
	if !j.Flush(time.Minute) {
		t.Fatal("the events are not kept within a minute")
	}
}

// all reads everything in pages of so many events, and checks what pages promise.
func all(t testing.TB, j *Journal, q Query) (events []Event) {
	t.Helper()
	for {
		p, err := j.Page(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		if q.Limit > 0 && len(p.Events) > q.Limit {
			t.Fatalf("a page of %d has %d", q.Limit, len(p.Events))
		}
		events = append(events, p.Events...)
		if p.Next == 0 {
			return events
		}
		if q.After != 0 && p.Next >= q.After {
			t.Fatalf("the page after %d says next: %d", q.After, p.Next)
		}
		q.After = p.Next
	}
}

func texts(events []Event) (all []string) {
	for _, e := range events {
		all = append(all, e.Text)
	}
	return all
}

// An event survives a restart, even if nothing was closed, and numbers go on from it.
func TestRestart(t *testing.T) {
	c := &clock{now: noon}
	o := Options{Folder: filepath.Join(t.TempDir(), "history"), Now: c.Now}
	j, _ := begin(t, o) // never closed before the others, as after SIGKILL
	j.Add(Event{Kind: Server, Text: "one"}, nil)
	j.Add(Event{Kind: Changed, Text: "two"}, func(e *Event) { e.Changes = []Change{{Resource: "pools/a", Is: []byte(`{}`)}} })
	flush(t, j)
	k, _ := begin(t, o)
	k.Add(Event{Kind: Server, Text: "three"}, nil)
	flush(t, k)
	got := all(t, k, Query{})
	if want := []string{"three", "two", "one"}; !slices.Equal(texts(got), want) {
		t.Fatalf("after a restart: %q, want %q", texts(got), want)
	}
	for i, e := range got {
		if e.Number != uint64(3-i) {
			t.Errorf("%q has the number %d", e.Text, e.Number)
		}
	}
	if len(got[1].Changes) != 1 || got[1].Changes[0].Is != nil {
		t.Errorf("what is only kept is shown: %+v", got[1].Changes)
	}
	inner := 0
	if err := k.Each(context.Background(), func(e *Event) {
		if len(e.Changes) > 0 && string(e.Changes[0].Is) == "{}" {
			inner++
		}
	}); err != nil || inner != 1 {
		t.Errorf("what is only kept is not there: %d, %v", inner, err)
	}
}

// Wherever the last file is cut off, and whatever is at its end, all whole events are there, and the page says that
// they are all.
func TestTorn(t *testing.T) {
	c := &clock{now: noon}
	whole := filepath.Join(t.TempDir(), "history")
	j, end := begin(t, Options{Folder: whole, Now: c.Now})
	for i := range 2 {
		j.Add(Event{Kind: Server, Text: fmt.Sprintf("event %d", i)}, nil)
	}
	end()
	_ = j
	text, err := os.ReadFile(filepath.Join(whole, leafName(1)))
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(text) + 1 {
		for _, tail := range []string{"", "\x00\x00\x00\x00", "00000000 {}\n"} {
			folder := filepath.Join(t.TempDir(), "history")
			if err := os.MkdirAll(folder, 0o750); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(folder, leafName(1))
			if err := os.WriteFile(path, append(text[:cut:cut], tail...), 0o600); err != nil {
				t.Fatal(err)
			}
			var said bytes.Buffer
			k := Open(Options{Folder: folder, Now: c.Now, Log: slog.New(slog.NewTextHandler(&said, nil))})
			k.book.open()
			k.book.keep(Event{Kind: Server, Text: "new", Time: noon})
			k.book.close()
			want := bytes.Count(text[:cut], []byte("\n"))
			got := texts(all(t, k, Query{}))
			if len(got) != want+1 || got[0] != "new" {
				t.Fatalf("cut at %d with %q behind it: %q, want %d and the new one", cut, tail, got, want)
			}
			torn := cut < len(text) && text[cut-min(cut, 1)] != '\n' && cut > 0 || tail != ""
			if torn != strings.Contains(said.String(), "cut off") {
				t.Errorf("cut at %d with %q behind it: the log says %q", cut, tail, said.String())
			}
			// A later start finds only whole events.
			again := Open(Options{Folder: folder, Now: c.Now})
			again.book.open()
			if got := texts(all(t, again, Query{})); len(got) != want+1 {
				t.Fatalf("cut at %d with %q behind it: later there are %q", cut, tail, got)
			}
		}
	}
}

// A line in the middle that has been damaged is skipped.
func TestSpoilt(t *testing.T) {
	c := &clock{now: noon}
	o := Options{Folder: filepath.Join(t.TempDir(), "history"), Now: c.Now}
	j, end := begin(t, o)
	for i := range 3 {
		j.Add(Event{Kind: Server, Text: fmt.Sprintf("event %d", i)}, nil)
	}
	end()
	_ = j
	path := filepath.Join(o.Folder, leafName(1))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(text, []byte("event 1"), []byte("event 7"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	k, _ := begin(t, o)
	flush(t, k)
	if got := texts(all(t, k, Query{})); !slices.Equal(got, []string{"event 2", "event 0"}) {
		t.Errorf("there are %q", got)
	}
}

// The files stay within their bounds of octets and days, and the newest events stay.
func TestBounds(t *testing.T) {
	c := &clock{now: noon}
	o := Options{Folder: filepath.Join(t.TempDir(), "history"), Octets: 4 << 20, Age: 24 * time.Hour, Now: c.Now}
	j, _ := begin(t, o)
	long := strings.Repeat("x", 900)
	octets := func() (all int64) {
		entries, err := os.ReadDir(o.Folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			i, err := e.Info()
			if err != nil {
				t.Fatal(err)
			}
			all += i.Size()
		}
		return all
	}
	for i := range 10_000 {
		c.pass(time.Second)
		j.Add(Event{Kind: Server, Text: fmt.Sprint(i, long)}, nil)
		if i%1000 == 0 {
			flush(t, j)
			if n := octets(); n > o.Octets {
				t.Fatalf("%d octets are kept, of %d", n, o.Octets)
			}
		}
	}
	flush(t, j)
	got := all(t, j, Query{Limit: 100})
	if len(got) < 2000 || !strings.HasPrefix(got[0].Text, "9999") {
		t.Fatalf("%d events are left, the newest %.9q", len(got), got[0].Text)
	}
	for i := range got {
		if want := fmt.Sprint(9_999-i, long); got[i].Text != want {
			t.Fatalf("event %d is %.9q, want %.9q", i, got[i].Text, want)
		}
	}
	c.pass(48 * time.Hour)
	for range 3000 {
		j.Add(Event{Kind: Server, Text: long}, nil)
	}
	flush(t, j)
	p, err := j.Page(context.Background(), Query{Limit: 1})
	if err != nil || c.now.Sub(p.Since) > 48*time.Hour+10_000*time.Second {
		t.Errorf("it reaches back to %v, %v", p.Since, err)
	}
}

// Without a folder, everything is in memory and bounded, and the page says so.
func TestInMemory(t *testing.T) {
	j, _ := begin(t, Options{})
	for i := range 10_000 {
		j.Add(Event{Kind: Server, Text: fmt.Sprint(i, strings.Repeat("x", 900))}, nil)
		if i%1000 == 999 {
			flush(t, j)
		}
	}
	p, err := j.Page(context.Background(), Query{Limit: 10})
	if err != nil || !p.InMemory || len(p.Events) != 10 || !strings.HasPrefix(p.Events[0].Text, "9999") {
		t.Errorf("%+v, %v", p, err)
	}
	if j.book.recentOctets > mostRecent {
		t.Errorf("%d octets are in memory", j.book.recentOctets)
	}
}

// A disk that accepts no write is reported once, and what happens meanwhile stays in memory. When the disk accepts
// writes again, it gets a line that says what is missing.
func TestFullDisk(t *testing.T) {
	var said bytes.Buffer
	c := &clock{now: noon}
	folder := filepath.Join(t.TempDir(), "history")
	if err := os.WriteFile(folder, nil, 0o600); err != nil { // a file where the folder should be
		t.Fatal(err)
	}
	o := Options{Folder: folder, Now: c.Now, Log: slog.New(slog.NewTextHandler(&said, nil))}
	j := Open(o)
	j.book.open()
	for i := range 5 {
		j.book.keep(Event{Kind: Server, Text: fmt.Sprint(i), Time: c.now})
		c.pass(time.Minute)
	}
	if n := strings.Count(said.String(), "level=ERROR"); n != 1 {
		t.Errorf("it is told %d times: %s", n, &said)
	}
	p, err := j.Page(context.Background(), Query{})
	if err != nil || p.Problem == "" || len(p.Events) != 5 {
		t.Fatalf("%+v, %v", p, err)
	}
	if err := os.Remove(folder); err != nil {
		t.Fatal(err)
	}
	j.book.keep(Event{Kind: Server, Text: "again", Time: c.now})
	if got := texts(all(t, j, Query{})); !slices.Equal(got, []string{"again", "4", "3", "2", "1", "0"}) {
		t.Errorf("in memory: %q", got)
	}
	later := Open(o)
	later.book.open()
	got := all(t, later, Query{})
	if len(got) != 2 || got[0].Text != "again" || got[1].Kind != Lost || got[1].Missed.Events != 5 {
		t.Errorf("on disk: %+v", got)
	}
}

// hanging is a disk that hangs from its first write on, until release is called.
func hanging(t *testing.T) (o Options, hangs <-chan struct{}, release func()) {
	begun, end := make(chan struct{}), make(chan struct{})
	var once sync.Once
	o = Options{Folder: filepath.Join(t.TempDir(), "history"), Now: func() time.Time { // every write asks for the time
		once.Do(func() { close(begun); <-end })
		return noon
	}}
	return o, begun, sync.OnceFunc(func() { close(end) })
}

// Adding never waits, not even for a disk that hangs. Events that do not fit are counted, and reported once there is
// room. Readers get what is in memory.
func TestNobodyWaits(t *testing.T) {
	o, hangs, release := hanging(t)
	j := Open(o)
	go j.Run()
	t.Cleanup(func() { release(); j.Close(); <-j.done })
	j.Add(Event{Kind: Server, Text: "the first", Time: noon}, nil)
	<-hangs
	const more = 500
	for i := range mostWaiting + more {
		j.Add(Event{Kind: Verdict, Text: fmt.Sprint(i), Time: noon}, nil)
	}
	if n := j.Dropped(); n < more || n > more+partEvents {
		t.Errorf("%d are dropped", n)
	}
	if got := all(t, j, Query{}); len(got) != 1 || got[0].Text != "the first" {
		t.Errorf("while the disk hangs a page has %+v", got)
	}
	if j.Flush(time.Millisecond) {
		t.Error("all is said to be kept although the disk hangs")
	}
	dropped := j.Dropped()
	release()
	flush(t, j)
	got := all(t, j, Query{Of: "lost"})
	if len(got) != 1 || got[0].Missed.Events != dropped || got[0].Missed.Changes {
		t.Errorf("what is lost: %+v", got)
	}
}

// A reader waits until the ends of the files are known, and gives up with its request.
func TestReadBeforeOpen(t *testing.T) {
	o, _, release := hanging(t)
	release()
	j := Open(o)
	ctx, stop := context.WithCancelCause(context.Background())
	stop(fmt.Errorf("gone"))
	if _, err := j.Page(ctx, Query{}); err == nil {
		t.Error("a page is there although no file has been looked at")
	}
	j.book.open()
	if _, err := j.Page(context.Background(), Query{}); err != nil {
		t.Error(err)
	}
}

// The head of a line agrees with its JSON, whatever the event has.
func TestHeads(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		j := Open(Options{})
		j.book.next = rapid.Uint64Range(1, 1<<63).Draw(r, "number")
		kinds := rapid.OneOf(rapid.SampledFrom([]string{string(Verdict), string(Sighted)}), rapid.String())
		e := Event{
			Kind: Kind(kinds.Draw(r, "kind")),
			Time: time.UnixMicro(rapid.Int64Range(0, 1<<52).Draw(r, "time")), Begins: rapid.Bool().Draw(r, "begins"),
			Text: rapid.String().Draw(r, "text"), Of: rapid.SliceOfN(rapid.String(), 0, 2).Draw(r, "of"),
		}
		j.book.put(e)
		line := trimmed(j.book.recent[0])
		var want Event
		if err := readLine(line, &want); err != nil {
			r.Fatal(err)
		}
		h, text, err := readHead(line)
		if err != nil || h != (head{want.Number, want.Time, want.Kind, want.Begins}) {
			r.Errorf("%s\nbegins with %+v (%v), and JSON has %+v", line, h, err, want)
		}
		if _, quick := headOf(text); !quick && (want.Kind == Verdict || want.Kind == Sighted) {
			r.Errorf("%s\nis not read the quick way", line)
		}
		for cut := range text { // nothing else is mistaken for a head
			if h, ok := headOf(text[:cut]); ok && (h.number != want.Number || !h.time.Equal(want.Time)) {
				r.Errorf("%s\nbegins with %+v", text[:cut], h)
			}
		}
	})
}

// Events that come together are written at once. The result is the same as if each were written alone: the same lines
// in files that are equally full, and the same count of what the disk did not take.
func TestWrittenTogether(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			r.Fatal(err)
		}
		defer os.RemoveAll(dir)
		var books [2]*book
		clocks := [2]*clock{{now: noon}, {now: noon}}
		for i := range books {
			folder := filepath.Join(dir, fmt.Sprint(i))
			books[i] = &Open(Options{Folder: folder, Octets: 4000, Now: clocks[i].Now}).book
			books[i].open()
		}
		for range rapid.IntRange(1, 8).Draw(r, "turns") {
			if rapid.IntRange(0, 2).Draw(r, "disk") == 0 { // it takes nothing, or takes writes again
				for i := range books {
					folder, away := books[i].Folder, books[i].Folder+".away"
					books[i].rest()
					if os.Rename(folder, away) == nil {
						err = os.WriteFile(folder, nil, 0o600)
					} else if err = os.Remove(folder); err == nil {
						err = os.Rename(away, folder)
					}
					if err != nil && !os.IsNotExist(err) {
						r.Fatal(err)
					}
				}
			}
			for range rapid.IntRange(1, 20).Draw(r, "events") {
				kind := rapid.SampledFrom([]Kind{Verdict, Changed}).Draw(r, "kind")
				text := strings.Repeat("x", rapid.IntRange(0, 900).Draw(r, "length"))
				books[0].keep(Event{Kind: kind, Text: text, Time: clocks[0].now})
				books[1].add(Event{Kind: kind, Text: text, Time: clocks[1].now})
			}
			books[1].settle()
			for i := range clocks {
				clocks[i].pass(time.Minute)
			}
		}
		if books[0].unkept != books[1].unkept {
			r.Errorf("not kept: %+v, alone %+v", books[1].unkept, books[0].unkept)
		}
		var texts [2]string
		for i, b := range books {
			b.close()
			for k := range b.leaves {
				text, err := os.ReadFile(b.path(b.leaves[k].first))
				if err != nil && !os.IsNotExist(err) && b.failing == nil {
					r.Fatal(err)
				}
				if int64(len(text)) != b.leaves[k].octets && b.failing == nil {
					r.Errorf("%s has %d octets, of %d", leafName(b.leaves[k].first), len(text), b.leaves[k].octets)
				}
				texts[i] += fmt.Sprintf("%d:\n%s", b.leaves[k].first, text)
			}
		}
		if texts[0] != texts[1] {
			r.Errorf("together:\n%s\nalone:\n%s", texts[1], texts[0])
		}
	})
}

// While the disk hangs, what waits is bounded in size, too, but a single event always has room. A line says what was
// dropped, between what came before and what came after.
func TestWhatWaitsIsBounded(t *testing.T) {
	o, hangs, release := hanging(t)
	j := Open(o)
	go j.Run()
	t.Cleanup(func() { release(); j.Close(); <-j.done })
	j.Add(Event{Kind: Verdict, Text: "the first", Time: noon}, nil)
	<-hangs
	const each = mostHeld / 4
	for i := range 10 {
		j.Add(Event{Kind: Verdict, Holds: each, Text: fmt.Sprint("large ", i), Time: noon}, nil)
	}
	if n := j.Dropped(); n != 6 {
		t.Errorf("%d are dropped of 10, and there is room for 4", n)
	}
	j.Add(Event{Kind: Sighted, Sight: []byte(`{}`), Time: noon}, nil)
	j.Add(Event{Kind: Verdict, Text: "after", Time: noon}, nil)
	release()
	flush(t, j)
	j.Add(Event{Kind: Verdict, Holds: 2 * mostHeld, Text: "very large", Time: noon}, nil)
	flush(t, j)
	var got []string
	for _, e := range all(t, j, Query{}) {
		got = append(got, string(e.Kind)+" "+e.Text)
	}
	want := []string{
		"verdict very large", "verdict after", "lost 6 events are not here: they came faster than they could be kept",
		"verdict large 3", "verdict large 2", "verdict large 1", "verdict large 0",
		"verdict the first",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	var sights []Kind
	err := j.EachSight(context.Background(), time.Now().Add(time.Hour), func(e *Event) {
		sights = append(sights, e.Kind)
	}, func(Gap) {})
	if err != nil || !slices.Equal(sights, []Kind{Lost, Sighted}) {
		t.Errorf("of sights: %q, %v", sights, err)
	}
}

// A clock that was set back is reported, and the order stays.
func TestClockSetBack(t *testing.T) {
	c := &clock{now: noon}
	j, _ := begin(t, Options{Folder: filepath.Join(t.TempDir(), "history"), Now: c.Now})
	j.Add(Event{Kind: Server, Text: "before"}, nil)
	c.pass(-time.Hour)
	j.Add(Event{Kind: Server, Text: "after"}, nil)
	flush(t, j)
	got := all(t, j, Query{})
	if len(got) != 3 || got[0].Text != "after" || got[1].Kind != Clock || got[2].Text != "before" {
		t.Fatalf("%+v", got)
	}
	if !strings.Contains(got[1].Text, "1h0m0s") || !got[1].Missed.Until.Equal(noon) {
		t.Errorf("%+v", got[1])
	}
	if got := all(t, j, Query{Since: noon.Add(-30 * time.Minute)}); len(got) != 1 || got[0].Text != "before" {
		t.Errorf("since half an hour before noon: %q", texts(got))
	}
}

// Texts from outside come back as they were, except for their length.
func TestHostile(t *testing.T) {
	j, _ := begin(t, Options{Folder: filepath.Join(t.TempDir(), "history")})
	hostile := []string{
		"\x00\x1b[2J\r\n00000000 {}\n", strings.Repeat("a", 255), `"}],"number":1`, "<script>", strings.Repeat("ü", 1<<20),
		"\u2028", "00000000 ",
	}
	for _, s := range hostile {
		j.Add(Event{Kind: Verdict, Of: []string{"endpoint/" + cut(s)}, Text: s, Turn: &Turn{Why: s}}, nil)
	}
	j.Add(Event{Kind: Changed, Inner: bytes.Repeat([]byte("1"), readMost)}, nil)
	flush(t, j)
	got := all(t, j, Query{})
	if len(got) != len(hostile)+1 || !strings.Contains(got[0].Text, "too large") {
		t.Fatalf("%d events, the last %.80q", len(got), got[0].Text)
	}
	for i, s := range hostile {
		e := got[len(hostile)-i]
		if e.Text != cut(s) || len(e.Text) > mostText+3 || e.Turn.Why != cut(s) {
			t.Errorf("%.40q came back as %.40q", s, e.Text)
		}
		if found := all(t, j, Query{Of: cut(s)}); len(found) != 1 {
			t.Errorf("%.40q is found %d times", s, len(found))
		}
	}
}

// Pages have exactly what a plain filter of all events gives, for any query, in memory, on disk, or both.
func TestPages(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		c := &clock{now: noon}
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			r.Fatal(err)
		}
		o := Options{Now: c.Now, Octets: 1 << 30}
		if rapid.Bool().Draw(r, "disk") {
			o.Folder = dir
		}
		j := Open(o)
		j.book.open()
		var plain []Event
		has := []string{"pool/a", "pool/b", "region/a", "endpoint/a/b", "name/x<y"}
		targets := []string{"a", "pool/a", "pool/b", "region/a", "x<y", "endpoint/a/b", "verdict", ""}
		for range rapid.IntRange(0, 60).Draw(r, "events") {
			c.pass(time.Duration(rapid.IntRange(0, 90).Draw(r, "passed")) * time.Second)
			e := Event{
				Time: c.now, Kind: rapid.SampledFrom([]Kind{Verdict, Changed, Vote}).Draw(r, "kind"),
				Of:   []string{rapid.SampledFrom(has).Draw(r, "of")},
				Text: fmt.Sprint(len(plain)),
			}
			plain = append(plain, e)
			if j.book.add(e); rapid.Bool().Draw(r, "written") {
				j.book.settle()
			}
			if o.Folder != "" && rapid.IntRange(0, 29).Draw(r, "restart") == 0 {
				j.book.close()
				j = Open(o)
				j.book.open()
			}
		}
		q := Query{
			Of: rapid.SampledFrom(targets).Draw(r, "target"), Limit: rapid.IntRange(1, 10).Draw(r, "limit"),
		}
		if rapid.Bool().Draw(r, "but?") {
			q.But = rapid.SampledFrom([]Kind{Verdict, Vote}).Draw(r, "but")
		}
		if rapid.Bool().Draw(r, "since?") {
			q.Since = noon.Add(time.Duration(rapid.IntRange(0, 3000).Draw(r, "since")) * time.Second)
		}
		if rapid.Bool().Draw(r, "until?") {
			q.Until = noon.Add(time.Duration(rapid.IntRange(0, 3000).Draw(r, "until")) * time.Second)
		}
		var want []string
		for i := len(plain) - 1; i >= 0; i-- {
			e := plain[i]
			about := q.Of == "" || string(e.Kind) == q.Of
			_, name, _ := strings.Cut(e.Of[0], "/")
			about = about || e.Of[0] == q.Of || name == q.Of
			about = about && (q.But == "" || e.Kind != q.But)
			if about && !e.Time.Before(q.Since) && (q.Until.IsZero() || e.Time.Before(q.Until)) {
				want = append(want, e.Text)
			}
		}
		if got := texts(all(t, j, q)); !slices.Equal(got, want) {
			r.Fatalf("%+v: %q, want %q", q, got, want)
		}
	})
}
