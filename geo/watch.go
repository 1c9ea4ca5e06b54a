package geo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"

	"leeward/zones/disk"
)

// Watcher keeps a Table of files and makes a new one when a file is replaced, by a rename or in place. Each file is
// taken by itself: one that is broken, missing or being written is refused, with the reason in the log and in Sources,
// and its last good version stays in service beside the newest of the others. One that tells much less than the version
// before it is held back (Tells.less): a mistake of its maker's would take the location of most clients away. (For that
// each file's own ranges are kept; with one file of locations, as is usual, these are the table's own and cost
// nothing.)
type Watcher struct {
	// Settle is how long a file must have stayed unchanged before it is read; DefaultSettle if zero. Poll is how often
	// files are looked at without a notice from the system; DefaultPoll if zero. Both are set before Follow.
	Settle, Poll time.Duration

	log    *slog.Logger
	keep   string // the folder for what is made of files; "": none
	files  []*watched
	reload chan struct{}
	table  atomic.Pointer[Table]

	mu      sync.Mutex
	sources []Source
}

// Defaults of a Watcher.
const (
	DefaultSettle = 500 * time.Millisecond
	DefaultPoll   = 30 * time.Second
)

// watched is one file. Only the goroutine of Follow uses it, after NewWatcher.
type watched struct {
	file    string
	kept    string     // where what is made of it is kept; "": nowhere
	good    *layer     // the last that could be used; nil: none yet
	version disk.Stamp // that was read or refused last
	seen    disk.Stamp // when last looked at
	trouble error      // why version is not in service
	said    bool       // trouble is in the log
}

// NewWatcher reads the files, none perhaps. The Watcher that it returns works even with an error, which names the files
// that cannot be used: nothing of them is in service until they can. (It is nil only if the embedded table is damaged.)
// Where no file tells locations the table has the embedded ones.
//
// What is made of files is kept in the folder keep, "" for none, and taken from there while a file is the same; Follow
// writes it.
func NewWatcher(files []string, keep string, log *slog.Logger) (*Watcher, error) {
	w := &Watcher{log: log, keep: keep, reload: make(chan struct{}, 1)}
	var problems []error
	for _, file := range files {
		f := &watched{file: file}
		if keep != "" {
			f.kept = keptFile(keep, file)
		}
		f.read(log)
		f.complain(log)
		f.seen = f.version
		if f.trouble != nil {
			problems = append(problems, f.trouble)
		}
		w.files = append(w.files, f)
	}
	if err := w.join(); err != nil {
		return nil, err
	}
	return w, errors.Join(problems...)
}

// Table returns the table that is in service.
func (w *Watcher) Table() *Table { return w.table.Load() }

// Sources returns the state of each file in the order given: what is in service, and why a newer version is not.
// Without files it is the embedded table's.
func (w *Watcher) Sources() []Source {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.sources)
}

// Reload has Follow read all files again now, changed or not.
func (w *Watcher) Reload() {
	select {
	case w.reload <- struct{}{}:
	default: // one is on its way
	}
}

// Follow follows the files until ctx ends, and calls changed from its own goroutine with each new table.
func (w *Watcher) Follow(ctx context.Context, changed func(*Table)) {
	// Notices are a quick way to know that it may be worth looking, no more: what counts is a file's stamp, at
	// intervals. So it does not matter which file of the directory a notice is about, whether the file is behind a
	// symbolic link that is exchanged, or whether notices get lost or do not exist.
	var events <-chan fsnotify.Event
	var failures <-chan error
	notices, err := fsnotify.NewWatcher()
	if err != nil {
		w.log.Warn("location databases: no notices of changes from the system; looking at intervals only", "err", err,
			"every", w.poll())
	} else {
		defer notices.Close()
		events, failures = notices.Events, notices.Errors
	}
	subscribe := func() {
		if notices == nil {
			return
		}
		for _, f := range w.files {
			// The directory, because a rename in it leaves a watch on the file with the old one. Again and again,
			// because a directory may be replaced too; adding it twice is nothing.
			if err := notices.Add(filepath.Dir(f.file)); err != nil {
				w.log.Debug("location database: no notices of changes", "file", f.file, "err", err)
			}
		}
	}
	subscribe()
	if w.keep != "" {
		w.save()
		var used []string
		for _, f := range w.files {
			used = append(used, f.kept)
		}
		clearKept(w.keep, used)
	}

	poll := time.NewTicker(w.poll())
	defer poll.Stop()
	settle := time.NewTimer(0) // at once: a file may have changed between NewWatcher and now
	defer settle.Stop()
	settling := true
	look := func() {
		if !settling {
			settling = true
			settle.Reset(w.settle())
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case _, open := <-events:
			if !open {
				events = nil
			}
			look()
		case err, open := <-failures:
			if !open {
				failures = nil
			} else {
				w.log.Debug("location databases: notices of changes", "err", err)
			}
			look()
		case <-poll.C:
			subscribe()
			look()
		case <-settle.C:
			settling = false
			again, due := w.inspect()
			again = w.take(due, changed) || again
			if again {
				look()
			}
		case <-w.reload:
			w.take(w.files, changed)
		}
	}
}

// inspect finds the files with a new version. Those that have had it since the last look are due; for the others it is
// worth looking again.
func (w *Watcher) inspect() (again bool, due []*watched) {
	for _, f := range w.files {
		now := disk.Look(f.file)
		switch {
		case now.Same(f.version) && !f.writing():
		case now.Same(f.seen):
			due = append(due, f)
		default:
			again = true
		}
		f.seen = now
	}
	return again, due
}

// take reads files and puts what is new in service. It is worth looking again if one was being written.
func (w *Watcher) take(files []*watched, changed func(*Table)) (again bool) {
	better := false
	for _, f := range files {
		better = f.read(w.log) || better
		again = again || f.writing()
	}
	if better {
		if err := w.join(); err != nil {
			w.log.Error("location databases: not joined, the old table stays", "err", err)
			better = false
		}
	} else if len(files) > 0 {
		w.report(w.Table())
	}
	for _, f := range files {
		f.complain(w.log)
	}
	if better {
		changed(w.Table())
		w.save()
	}
	return again
}

// save keeps what has been made of files since the last time. A failure costs no more than time at the next start.
func (w *Watcher) save() {
	for _, f := range w.files {
		if f.kept == "" || f.good == nil || f.good.kept {
			continue
		}
		f.good.kept = true // or is not to be tried again
		if err := f.good.keep(f.kept); err != nil {
			w.log.Warn("what is made of a location database cannot be kept; each start takes it from the database", "file", f.file,
				"err", err)
		}
	}
}

// read reads the file's newest version; it reports whether that is good.
func (f *watched) read(log *slog.Logger) bool {
	before := f.trouble
	l, version, err := load(f.file, f.kept, log)
	if err == nil && f.good != nil {
		if lost := l.source.less(f.good.source.Tells); lost != "" {
			err = fmt.Errorf("%s: held back, as it %s; to have it all the same, restart this server", f.file, lost)
		}
	}
	f.version, f.trouble = version, err
	if err == nil {
		f.good = l
	}
	f.said = err == nil || f.writing() || before != nil && before.Error() == err.Error()
	return err == nil
}

// complain warns of a refusal unless it is known already, or is not one yet.
func (f *watched) complain(log *slog.Logger) {
	if f.said {
		return
	}
	f.said = true
	if f.good != nil {
		log.Warn("location database refused, the old one stays in service", "err", f.trouble, "built", f.good.source.Built)
	} else {
		log.Warn("location database refused", "err", f.trouble)
	}
}

// writing reports whether the file was being written when it was read.
func (f *watched) writing() bool { return errors.Is(f.trouble, errWriting) }

// join makes the table of all files' good versions.
func (w *Watcher) join() error {
	var layers []*layer
	for _, f := range w.files {
		if f.good != nil {
			layers = append(layers, f.good)
		}
	}
	table, err := complement(layers)
	if err != nil {
		return err
	}
	w.table.Store(table)
	w.report(table)
	return nil
}

// report renews what Sources returns.
func (w *Watcher) report(table *Table) {
	var sources []Source
	located := false
	for _, f := range w.files {
		s := Source{File: f.file}
		if f.good != nil {
			s = f.good.source
			located = located || f.good.places != nil
		}
		if f.trouble != nil {
			s.Error = f.trouble.Error()
		}
		sources = append(sources, s)
	}
	if !located {
		sources = append(table.sources[:1:1], sources...) // the embedded one
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sources = sources
}

func (w *Watcher) settle() time.Duration {
	if w.Settle > 0 {
		return w.Settle
	}
	return DefaultSettle
}

func (w *Watcher) poll() time.Duration {
	if w.Poll > 0 {
		return w.Poll
	}
	return DefaultPoll
}
