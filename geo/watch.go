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

// Watcher keeps a Table of files, and makes a new one when a file is replaced, by a rename or in place. Each file is
// judged by itself. One that is broken, missing or being written is refused, with the reason in the log and in Sources,
// and its last good version stays in service beside the newest versions of the others. A version that tells much less
// than the one before it is held back (Tells.less), since a publisher's mistake would take away most clients'
// locations. (Each file's own ranges are kept for that. With one file of locations, as is usual, they are the table's
// own and cost nothing.)
type Watcher struct {
	// Settle is how long a file must have stayed unchanged before it is read; 0: DefaultSettle. Poll is how often files
	// are looked at without a notice from the system; 0: DefaultPoll. Set both before Follow.
	Settle, Poll time.Duration

	log    *slog.Logger
	keep   string // folder for what is made of files; "": nothing is kept
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

// watched is one file. After NewWatcher only the goroutine of Follow uses it.
type watched struct {
	file    string
	kept    string     // file for what is made of it; "": nothing is kept
	good    *layer     // the last usable version; nil: none yet
	version disk.Stamp // of the version that was last read or refused
	seen    disk.Stamp // at the last look
	trouble error      // why version is not in service; nil: it is
	said    bool       // trouble has been logged
}

// NewWatcher reads the files; there may be none. It returns a working Watcher even with an error. The error names the
// files that cannot be used, which are not in service until they can. (The Watcher is nil only if the embedded table is
// damaged.) If no file has locations, the table has the embedded ones.
//
// What is made of files is kept in the folder keep, and used as long as a file stays the same; "": it is not kept.
// Follow writes it.
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

// Table returns the table in service.
func (w *Watcher) Table() *Table { return w.table.Load() }

// Sources returns the state of each file in the order given: what is in service, and why a newer version is not. If no
// file has locations, the embedded table comes first.
func (w *Watcher) Sources() []Source {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.sources)
}

// Reload makes Follow read all files again now, changed or not.
func (w *Watcher) Reload() {
	select {
	case w.reload <- struct{}{}:
	default: // one is already waiting
	}
}

// Follow follows the files until ctx ends. It calls changed, from its own goroutine, with each new table.
func (w *Watcher) Follow(ctx context.Context, changed func(*Table)) {
	// A notice only says that it may be worth looking. What counts is a file's stamp, which is also looked at in
	// intervals. So it does not matter which file of the folder a notice is about, whether the file is behind a
	// symbolic link that is exchanged, or whether notices are lost or do not exist.
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
			// Watch the folder, because after a rename a watch on the file would stay with the old one. Do it again and
			// again, because a folder may be replaced too; adding it twice does no harm.
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

// inspect finds the files with a new version. They are due if they had it at the last look already; otherwise it is
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

// take reads files and puts new versions in service. It returns again if one was being written.
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

// save keeps what has been made of files since the last time. If it fails, the next start takes longer.
func (w *Watcher) save() {
	for _, f := range w.files {
		if f.kept == "" || f.good == nil || f.good.kept {
			continue
		}
		f.good.kept = true // also if this fails: it is not tried again
		if err := f.good.keep(f.kept); err != nil {
			w.log.Warn("the copy of a location database cannot be kept; each start reads the database",
				"file", f.file, "err", err)
		}
	}
}

// read reads the file's newest version, and reports whether that is good.
func (f *watched) read(log *slog.Logger) bool {
	before := f.trouble
	l, version, err := load(f.file, f.kept, log)
	if err == nil && f.good != nil {
		if lost := l.source.less(f.good.source.Tells); lost != "" {
			err = fmt.Errorf("%s: held back, because it %s; to use it nevertheless, restart this server", f.file, lost)
		}
	}
	f.version, f.trouble = version, err
	if err == nil {
		f.good = l
	}
	f.said = err == nil || f.writing() || before != nil && before.Error() == err.Error()
	return err == nil
}

// complain logs a refusal, unless it was logged already or the file is still being written.
func (f *watched) complain(log *slog.Logger) {
	if f.said {
		return
	}
	f.said = true
	if f.good != nil {
		log.Warn("location database refused, the old one stays in service", "err", f.trouble, "built",
			f.good.source.Built)
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

// report updates what Sources returns.
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
		sources = append(table.sources[:1:1], sources...) // the embedded table's
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
