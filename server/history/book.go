package history

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"leeward/zones/disk"
)

// A history on disk is a sequence of files (leaves). Each is named after the number of its first event, and only ever
// appended to. Each line is an event: the CRC-32C of its JSON in hexadecimal, a space, the JSON. If the last line is
// incomplete, after a power cut or a kill in the middle of a write, the next start removes it and what follows it. When
// all files together are too large, the oldest is removed.

// leafOctets is the size from which on the next event begins a new file. readMost is how much of one file is read at
// most.
const (
	leafOctets = 1 << 20
	readMost   = 16 << 20
	leafSuffix = ".events"
)

// syncEvery is how often written lines are synced, and so how much a power cut can lose. A kill loses nothing that was
// written.
const syncEvery = time.Second

// A history is worth less than what a restart needs. So it leaves this much of a disk free, or a share of a small one.
const (
	spareOctets = 64 << 20
	spareShare  = 10
	spareSmall  = 2 // the share of a disk that is smaller than all of that
)

// diskRetry is the time between attempts after a failed write.
const diskRetry = 10 * time.Second

// spaceEvery is how often the disk is asked for its free space. It is asked sooner if writes have used half of what was
// left.
const spaceEvery = time.Second

// leaf is one file.
type leaf struct {
	first         uint64 // number of its first event
	octets        int64
	oldest, newst time.Time // of its events; zero: none of them can be read
}

// entry is an event on its way to the disk.
type entry struct {
	number  uint64
	time    time.Time
	changes bool // it is about changes of resources
	line    []byte
}

// book is what is kept. One goroutine writes: what it adds is in memory at once, and on disk after settle. Others read
// what seen guards; the writer changes that with the lock held, and never waits for a disk meanwhile: a disk that hangs
// holds up the writer alone.
type book struct {
	Options
	opened chan struct{} // closed by open; nil: nobody waits for that

	seen        sync.Mutex // guards what follows, up to recentFirst
	next        uint64
	leaves      []leaf   // on disk, by first; the last is written to
	failing     error    // why the last write failed; nil: it did not
	recent      [][]byte // the newest events, encoded, by number
	recentFirst uint64   // number of the first of them

	newest  time.Time // time of the newest event
	file    *os.File  // of the last leaf; nil: none is open
	unsynct bool
	retry   time.Time // when the disk is tried again
	unkept  Missed    // what is in memory only since the disk failed
	pending []entry   // what is added and not settled
	text    []byte    // what is written at once, used again

	asked time.Time // when the disk was last asked for its space
	left  int64     // how much may be written before it is asked again

	recentOctets int
}

// change changes what others read.
func (b *book) change(f func()) {
	b.seen.Lock()
	defer b.seen.Unlock()
	f()
}

// lost returns an event that says what is missing.
func lost(m Missed, why string) Event {
	what := "events are"
	if m.Events == 1 {
		what = "event is"
	}
	return Event{
		Kind: Lost, Time: m.Until, Missed: &m,
		Text: fmt.Sprintf("%d %s not here: %s", m.Events, what, why),
	}
}

// open finds out where the files end.
func (b *book) open() {
	leaves, next := b.find()
	b.change(func() { b.leaves, b.next = leaves, next })
	if b.opened != nil {
		close(b.opened)
	}
}

func (b *book) find() (leaves []leaf, next uint64) {
	next = 1
	if b.Folder == "" {
		return nil, next
	}
	entries, err := os.ReadDir(b.Folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.fail(err)
		return nil, next
	}
	for _, entry := range entries {
		name, is := strings.CutSuffix(entry.Name(), leafSuffix)
		first, err := strconv.ParseUint(name, 10, 64)
		if !is || err != nil || first == 0 || entry.Name() != leafName(first) {
			continue
		}
		leaves = append(leaves, leaf{first: first})
	}
	slices.SortFunc(leaves, func(x, y leaf) int { return cmp.Compare(x.first, y.first) })
	for i := range leaves {
		next = max(next, b.scan(&leaves[i], i == len(leaves)-1))
	}
	return leaves, next
}

// scan reads the beginning and the end of a file, and returns the number after its last event. It removes an incomplete
// end of the last file.
func (b *book) scan(l *leaf, last bool) (next uint64) {
	path := b.path(l.first)
	text, err := disk.Read(path, readMost)
	if err != nil {
		b.Log.Warn("a part of the history cannot be read", "err", err)
		return l.first
	}
	l.octets = int64(len(text))
	next = l.first
	whole, bad := 0, 0
	for at := 0; at < len(text); {
		end := bytes.IndexByte(text[at:], '\n')
		if end < 0 {
			break
		}
		if h, _, err := readHead(text[at : at+end]); err != nil {
			bad++
		} else {
			whole = at + end + 1
			next = max(next, h.number+1)
			l.saw(h.time)
			b.newest = h.time
		}
		at += end + 1
	}
	if torn := len(text) - whole; torn > 0 && last {
		b.Log.Warn("the history ends in the middle of an event, as after a power cut: what cannot be read is cut off",
			"file", path, "octets", torn)
		if err := os.Truncate(path, int64(whole)); err != nil {
			b.Log.Warn("what is cut off of the history stays", "err", err)
		} else {
			l.octets = int64(whole)
		}
	} else if bad > 0 {
		b.Log.Warn("a part of the history cannot be read: its lines are passed over", "file", path, "lines", bad)
	}
	return next
}

func (l *leaf) saw(t time.Time) {
	if l.oldest.IsZero() || t.Before(l.oldest) {
		l.oldest = t
	}
	if t.After(l.newst) {
		l.newst = t
	}
}

func leafName(first uint64) string { return fmt.Sprintf("%020d%s", first, leafSuffix) }

func (b *book) path(first uint64) string { return filepath.Join(b.Folder, leafName(first)) }

// setBack is how much earlier than the event before an event may be without meaning that the clock was set back.
const setBack = time.Second

// add keeps one event.
func (b *book) add(e Event) {
	if by := b.newest.Sub(e.Time); by > setBack && e.Kind != Lost {
		b.put(Event{
			Kind: Clock, Time: e.Time,
			Text: fmt.Sprintf("the clock was set back by %s: it was %s",
				by.Round(time.Second), b.newest.UTC().Format(time.RFC3339)),
			Missed: &Missed{From: e.Time, Until: b.newest},
		})
	}
	b.put(e)
}

func (b *book) put(e Event) {
	e.bound()
	e.Number, e.Time = b.next, e.Time.UTC().Round(time.Microsecond)
	text, err := json.Marshal(&e)
	if err != nil || len(text) > readMost/4 {
		e.Changes, e.Inner, e.Sight = nil, nil, nil
		e.Text = cut(e.Text + " (too large to be kept whole)")
		e.Missed = &Missed{Events: 1, From: e.Time, Until: e.Time, Changes: e.Kind == Changed}
		if text, err = json.Marshal(&e); err != nil {
			return // text, times and numbers can always be encoded
		}
	}
	b.newest = e.Time
	line := lineOf(text)
	b.change(func() {
		if b.next++; len(b.recent) == 0 {
			b.recentFirst = e.Number
		}
		b.recent = append(b.recent, line)
	})
	b.recentOctets += len(line)
	if b.Folder != "" {
		changes := e.Kind == Changed || e.Kind == Override || e.Kind == Drill
		b.pending = append(b.pending, entry{e.Number, e.Time, changes, line})
	}
}

// forget lets the oldest events in memory go, once newer ones are on disk.
func (b *book) forget() {
	b.change(func() {
		for b.recentOctets > mostRecent && len(b.recent) > 1 {
			b.recentOctets -= len(b.recent[0])
			b.recent[0] = nil
			b.recent = b.recent[1:]
			b.recentFirst++
		}
	})
}

// settle writes what was added, with one write for each file. What cannot be written stays in memory, and is counted.
func (b *book) settle() {
	for rest := b.pending; len(rest) > 0; {
		n := b.write(rest)
		if n == 0 {
			for i := range rest {
				if b.unkept.Events == 0 {
					b.unkept.From = rest[i].time
				}
				b.unkept.Events, b.unkept.Until = b.unkept.Events+1, rest[i].time
				b.unkept.Changes = b.unkept.Changes || rest[i].changes
			}
			break
		}
		rest = rest[n:]
	}
	clear(b.pending)
	b.pending = b.pending[:0]
	b.forget()
}

// write appends events to the last file, as many as fit, and returns how many.
func (b *book) write(events []entry) int {
	now := b.Now()
	if b.failing != nil && now.Before(b.retry) && b.retry.Sub(now) <= diskRetry {
		return 0
	}
	// First say what was not kept, if there is room for that now.
	again := b.failing != nil
	b.text = b.text[:0]
	if again {
		b.text = append(b.text, b.unwritten(events[0].number)...)
	}
	n, err := 0, b.turnLeaf(events[0].number)
	if err == nil {
		room := b.leafFull() - b.leaves[len(b.leaves)-1].octets
		for n < len(events) && (n == 0 || int64(len(b.text)) < room) {
			b.text = append(b.text, events[n].line...)
			n++
		}
		err = b.room(int64(len(b.text)))
	}
	if err == nil {
		err = b.append(b.text)
	}
	defer func() {
		if cap(b.text) > 2*leafOctets {
			b.text = nil
		}
	}()
	if err != nil {
		b.fail(err)
		return 0
	}
	b.change(func() {
		l := &b.leaves[len(b.leaves)-1]
		for i := range n {
			l.saw(events[i].time)
		}
		if l.octets += int64(len(b.text)); again {
			b.failing = nil
		}
	})
	if again {
		b.Log.Info("the history is kept on disk again", "events that are not", b.unkept.Events)
		b.unkept = Missed{}
	}
	return n
}

// unwritten returns the line that says what was not kept on disk. It comes before the first event that is kept again,
// and has the number of the last event that was not.
func (b *book) unwritten(first uint64) []byte {
	if b.unkept.Events == 0 {
		return nil
	}
	e := lost(b.unkept, "the disk took nothing")
	e.Number = first - 1
	text, err := json.Marshal(&e)
	if err != nil {
		return nil
	}
	return lineOf(text)
}

// append writes text to the last file, completely or not at all.
func (b *book) append(text []byte) error {
	if _, err := b.file.Write(text); err != nil { // a part of it may be there
		return errors.Join(err, b.file.Truncate(b.leaves[len(b.leaves)-1].octets))
	}
	b.left -= int64(len(text))
	b.unsynct = true
	return nil
}

// room returns an error if the disk has no room for so many octets and for what others need. It removes the oldest
// files first.
func (b *book) room(octets int64) error {
	if time.Since(b.asked) < spaceEvery && octets <= b.left {
		return nil
	}
	for {
		free, size, err := disk.Space(b.Folder)
		if err != nil { // the free space is not known
			return nil
		}
		spare := min(spareOctets, size/spareShare)
		if size < 2*spareOctets {
			spare = size / spareSmall
		}
		if free-octets >= spare {
			b.asked, b.left = time.Now(), octets+(free-octets-spare)/2
			return nil
		}
		b.asked = time.Time{}
		if len(b.leaves) < 2 || !b.drop() {
			return fmt.Errorf("%s: %d octets of the disk are free, and the history leaves %d to what a restart needs",
				b.Folder, free, spare)
		}
	}
}

// leafFull is the size from which on the next event begins a new file.
func (b *book) leafFull() int64 { return min(leafOctets, b.Octets/4+1) }

// turnLeaf makes sure that an open file has room. A new file is named after the event that it begins with.
func (b *book) turnLeaf(first uint64) error {
	if n := len(b.leaves); b.file != nil && b.leaves[n-1].octets < b.leafFull() {
		return nil
	}
	b.sync()
	b.rest()
	b.shed()
	n := len(b.leaves)
	if n == 0 || b.leaves[n-1].octets >= b.leafFull() {
		if err := os.MkdirAll(b.Folder, 0o750); err != nil {
			return err
		}
		b.change(func() { b.leaves = append(b.leaves, leaf{first: first}) })
	}
	l := &b.leaves[len(b.leaves)-1]
	path := b.path(l.first)
	if status, err := os.Lstat(path); err == nil && !status.Mode().IsRegular() {
		return &fs.PathError{Op: "open", Path: path, Err: disk.ErrNotRegular}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	b.file = f
	return nil
}

// shed removes the oldest files while all together are too large, or while they have only events that are too old. The
// newest file stays.
func (b *book) shed() {
	all := int64(0)
	for i := range b.leaves {
		all += b.leaves[i].octets
	}
	for len(b.leaves) > 1 {
		l := &b.leaves[0]
		if all+leafOctets <= max(b.Octets, 2*leafOctets) && (l.newst.IsZero() || b.Now().Sub(l.newst) <= b.Age) {
			return
		}
		all -= l.octets
		b.drop()
	}
}

// drop removes the oldest file, and reports whether that worked. In either case the book no longer knows it.
func (b *book) drop() bool {
	err := os.Remove(b.path(b.leaves[0].first))
	b.change(func() { b.leaves = b.leaves[1:] })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.Log.Warn("an old part of the history cannot be removed", "err", err)
		return false
	}
	return true
}

func (b *book) fail(err error) {
	if b.failing == nil {
		b.Log.Error("the history is not kept on disk; it goes on in memory", "err", err)
	}
	b.change(func() { b.failing = err })
	b.retry = b.Now().Add(diskRetry)
	b.rest()
}

// sync syncs the last file, which may have been closed.
func (b *book) sync() {
	if !b.unsynct {
		return
	}
	b.unsynct = false
	f, err := os.Open(b.path(b.leaves[len(b.leaves)-1].first))
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil {
		b.fail(err)
	}
}

// rest closes the file until there is more to write, because a disk with a file open for writing cannot be made
// read-only.
func (b *book) rest() {
	if b.file != nil {
		b.file.Close()
		b.file = nil
	}
}

func (b *book) close() {
	b.settle()
	b.sync()
	b.rest()
}
