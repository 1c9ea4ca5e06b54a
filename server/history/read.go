package history

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"time"

	"leeward/zones/disk"
)

// Query says which events to return.
type Query struct {
	Of    string    // a target, see Event.Of, with its kind or without, or a Kind; "": any
	But   Kind      // events of this kind are left out; "": none
	Since time.Time // this or later; zero: no limit
	Until time.Time // earlier than this; zero: no limit
	Limit int       // at most so many, 1 to MostEvents
	After uint64    // events older than the one with this number; 0: from the newest
}

// MostEvents is the most events of one page.
const MostEvents = 1000

// Page is a list of events, the newest first.
type Page struct {
	Server string `json:"server"` // whose history it is
	// Since is the time of the oldest event that is kept; zero: there is none.
	Since    time.Time `json:"since,omitzero"`
	InMemory bool      `json:"inMemory,omitempty"` // nothing is on disk; the history begins with the process
	Problem  string    `json:"problem,omitempty"`  // why it cannot be kept on disk now
	Dropped  uint64    `json:"dropped,omitempty"`  // events since the start that came too fast to be kept
	Events   []Event   `json:"events"`
	// Next is the value of After for the next page; 0: there is no other. A page may be short, even empty, although
	// others follow.
	Next uint64 `json:"next,omitempty"`
}

// ErrBusy says that the history cannot be read now because the disk does not answer.
var ErrBusy = errors.New("the disk of the history does not answer; try again later")

// busyAfter is how long a reader waits at the start until it is known where the files end.
const busyAfter = 5 * time.Second

// mostRead bounds what one query reads, in octets of events.
const mostRead = 8 << 20

// Page returns a page of events. The error is the context's, or ErrBusy.
func (j *Journal) Page(ctx context.Context, q Query) (*Page, error) {
	if q.Limit < 1 || q.Limit > MostEvents {
		q.Limit = MostEvents
	}
	p := &Page{Events: []Event{}, InMemory: j.Folder == "", Dropped: j.Dropped()}
	read := 0
	quick, word := plain(q.Of), []byte(strings.TrimPrefix(q.Of, "endpoint/"))
	err := j.backwards(ctx, q, p, func(line []byte) bool {
		if read += len(line); quick && !bytes.Contains(line, word) {
			return read < mostRead
		}
		// For most events the head shows that they are not wanted.
		h, text, err := readHead(line)
		switch {
		case err != nil, q.After != 0 && h.number >= q.After, q.But != "" && h.kind == q.But,
			h.time.Before(q.Since), !q.Until.IsZero() && !h.time.Before(q.Until):
			return read < mostRead
		}
		var e Event
		if json.Unmarshal(text, &e) == nil && e.about(q.Of) {
			p.Events = append(p.Events, e.shown())
		}
		return read < mostRead && len(p.Events) < q.Limit
	})
	return p, err
}

// plain reports whether a text stands unchanged in an event's JSON.
func plain(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' || r > '~' || strings.ContainsRune(`"\<>&`, r)
	})
}

// backwards calls f with the lines of events, from the newest to the oldest, until f returns false. Then it sets
// p.Next, so that the rest can be read later. It passes over files that have no events in the query's time.
func (j *Journal) backwards(ctx context.Context, q Query, p *Page, f func(line []byte) bool) error {
	recent, leaves, first, err := j.look(ctx, &j.book, p)
	if err != nil {
		return err
	}
	for i := len(recent) - 1; i >= 0; i-- {
		if n := first + uint64(i); q.After != 0 && n >= q.After {
			continue
		}
		if !f(trimmed(recent[i])) {
			if i > 0 || len(leaves) > 0 && leaves[0].first < first {
				p.Next = first + uint64(i)
			}
			return nil
		}
	}
	for i := len(leaves) - 1; i >= 0; i-- {
		l := &leaves[i]
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case l.first >= first, q.After != 0 && l.first >= q.After, l.newst.Before(q.Since),
			!q.Until.IsZero() && !l.oldest.Before(q.Until):
			continue
		}
		lines, err := j.book.lines(l)
		if err != nil {
			return err
		}
		for k := len(lines) - 1; k >= 0; k-- {
			h, _, err := readHead(lines[k])
			if err != nil || h.number >= first {
				continue // it is also in memory
			}
			if !f(lines[k]) {
				if k > 0 || i > 0 {
					p.Next = h.number
				}
				return nil
			}
		}
	}
	return nil
}

// look copies where everything is.
func (j *Journal) look(
	ctx context.Context, b *book, p *Page,
) (recent [][]byte, leaves []leaf, first uint64, err error) {
	if b.Folder != "" {
		limit := time.NewTimer(busyAfter)
		defer limit.Stop()
		select {
		case <-b.opened:
		case <-limit.C:
			return nil, nil, 0, ErrBusy
		case <-ctx.Done():
			return nil, nil, 0, context.Cause(ctx)
		}
	}
	b.seen.Lock()
	defer b.seen.Unlock()
	recent, leaves, first = slices.Clone(b.recent), slices.Clone(b.leaves), b.recentFirst
	if len(recent) == 0 {
		first = b.next
	}
	if b.failing != nil {
		p.Problem = b.failing.Error()
	}
	for _, l := range leaves {
		if p.Since.IsZero() || !l.oldest.IsZero() && l.oldest.Before(p.Since) {
			p.Since = l.oldest
		}
	}
	if p.Since.IsZero() && len(recent) > 0 {
		var e Event
		if readLine(trimmed(recent[0]), &e) == nil {
			p.Since = e.Time
		}
	}
	return recent, leaves, first, nil
}

// lines returns the lines of one file. The file may have been removed meanwhile.
func (b *book) lines(l *leaf) ([][]byte, error) {
	text, err := disk.Read(b.path(l.first), readMost)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("a part of the history cannot be read: %w", err)
	}
	var lines [][]byte
	for len(text) > 0 {
		end := bytes.IndexByte(text, '\n')
		if end < 0 {
			break // it is still being written
		}
		lines = append(lines, text[:end])
		text = text[end+1:]
	}
	return lines, nil
}

func trimmed(line []byte) []byte { return line[:len(line)-1] }

// Each calls f with every event that is kept, the oldest first, including what is never shown. The error is the
// context's, ErrBusy, or that of a file that cannot be read.
func (j *Journal) Each(ctx context.Context, f func(*Event)) error {
	return j.each(ctx, &j.book, nil, nil, func(_ head, e *Event) { f(e) })
}

// each calls f with the heads of all events of a book, the oldest first, and with the event if want says so of its head
// and its JSON, or if the event says that others are missing. A nil want means all. It passes over the files that only,
// which may be nil, leaves out.
func (j *Journal) each(
	ctx context.Context, b *book, only func([]leaf) []leaf, want func(head, []byte) bool, f func(head, *Event),
) error {
	recent, leaves, first, err := j.look(ctx, b, &Page{})
	if err != nil {
		return err
	}
	if only != nil {
		leaves = only(leaves)
	}
	one := func(line []byte, before uint64) {
		h, text, err := readHead(line)
		switch {
		case err != nil || h.number >= before:
			return
		case want != nil && !want(h, text) && !bytes.Contains(text, []byte(`"missed":`)):
			f(h, nil)
			return
		}
		var e Event
		if json.Unmarshal(text, &e) == nil {
			f(h, &e)
		}
	}
	for i := range leaves {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if leaves[i].first >= first {
			continue
		}
		lines, err := b.lines(&leaves[i])
		if err != nil {
			return err
		}
		for _, line := range lines {
			one(line, first)
		}
	}
	for _, line := range recent {
		one(trimmed(line), math.MaxUint64)
	}
	return nil
}
