// Package folder reads resources from a folder of documents and master files, and follows its changes.
//
//	notices of the system, a poll ──▶ folder.go   decides when to look
//	                                     │
//	                                  scan.go     reads what changed; a broken file keeps its last good version
//	                                     │
//	            kept.go, digests ──▶  compare.go  finds what the files now say differently ──▶ zones.Batch
//
// Of what it has delivered it keeps digests, not resources: otherwise a file of a million records would be in memory
// twice. room.go counts what a file takes while it is read, and refuses one that is too large before it ends the
// process.
package folder

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"leeward/zones"
	"leeward/zones/document"
)

// AcceptFile is the name of a file in the folder. Touching it accepts what the guard holds back.
const AcceptFile = ".leeward-accept"

// Folder is a folder of documents (*.yaml, *.yml, *.json) and master files (<origin>.zone). Folders within it count;
// names that begin with a dot do not, but for the root zone's file. Its methods may be called from several goroutines,
// Follow by one.
type Folder struct {
	dir  string
	log  *slog.Logger
	now  func() time.Time
	poll time.Duration // how often to look without a notice: network file systems give none
	calm time.Duration // how long notices must pause before the folder is read

	reload chan struct{}
	scan   scanner
}

// Open prepares to follow a folder. The error is about the folder itself, never about a file in it. log may be nil.
func Open(dir string, log *slog.Logger) (*Folder, error) {
	s, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("folder of resources: %w", err)
	}
	if !s.IsDir() {
		return nil, fmt.Errorf("%s is no folder; name the folder that the files are in", dir)
	}
	return Expect(dir, log)
}

// Expect is Open for a folder that need not exist yet.
func Expect(dir string, log *slog.Logger) (*Folder, error) {
	if log == nil {
		log = slog.Default()
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	return &Folder{
		dir: dir, log: log, now: time.Now, poll: 10 * time.Second, calm: 50 * time.Millisecond,
		reload: make(chan struct{}, 1),
		scan:   scanner{dir: dir, digests: newDigests(), memory: memoryNow, large: largeFile},
	}, nil
}

// Resume sets the revision of a copy on disk: later revisions count on from there. Call it before Follow.
func (f *Folder) Resume(revision int64) { f.scan.revision = max(f.scan.revision, revision) }

// Pace sets a function to call before a large file is read. What it returns is called when the file is delivered. Call
// Pace before Follow.
func (f *Folder) Pace(begin func() (done func())) { f.scan.pace = begin }

// Reload makes Follow read all files again, changed or not, and accepts what the guard holds back. It returns at once.
// SIGHUP calls it.
func (f *Folder) Reload() {
	select {
	case f.reload <- struct{}{}:
	default: // one is due already
	}
}

// Follow delivers what is in the folder, then every change, until ctx ends; it returns ctx's error and no other. It
// calls both functions from its own goroutine. A file that cannot be read keeps its last good resources in service. The
// Condition's Err says which file and why, and so does a Change whose key is that of no resource.
func (f *Folder) Follow(ctx context.Context, deliver func(zones.Batch), tell func(zones.Condition)) error {
	c := zones.Condition{State: zones.Syncing, Since: f.now(), Endpoint: f.dir}
	tell(c)
	news, stop := f.listen(ctx)
	defer stop()
	poll := time.NewTicker(f.poll)
	defer poll.Stop()
	f.scan.stopped = ctx.Err
	for again := false; ; {
		b, err := f.scan.read(again)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for _, name := range slices.Sorted(maps.Keys(f.scan.hidden)) {
			if f.scan.hidden[name] {
				f.log.Info("files: a file is left out", "file", name, "why", document.WhyHidden)
			}
		}
		if again {
			b.Accepted = b.Revision
		}
		if len(b.Changes) > 0 || b.Full || b.Accepted != 0 {
			f.log.Debug("files: read", "files", f.scan.work.files, "compared", f.scan.work.resources,
				"changes", len(b.Changes), "full", b.Full)
			deliver(b)
		}
		b = zones.Batch{}
		if f.scan.paced != nil {
			f.scan.paced()
			f.scan.paced = nil
		}
		next := zones.Condition{
			State: zones.Following, Since: c.Since, Err: err, Heard: c.Heard,
			Endpoint: f.dir, Revision: f.scan.revision,
		}
		if f.scan.gone {
			next.State = zones.CutOff
		} else {
			next.Heard = f.now()
		}
		if next.State != c.State || fmt.Sprint(next.Err) != fmt.Sprint(c.Err) {
			if next.State != c.State {
				next.Since = f.now()
			}
			if err != nil {
				f.log.Warn("files: "+string(next.State), "dir", f.dir, "revision", next.Revision, "err", err)
			} else {
				f.log.Info("files: "+string(next.State), "dir", f.dir, "revision", next.Revision)
			}
		}
		c = next
		tell(c)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-news:
			again = false
		case <-poll.C:
			again = false
		case <-f.reload:
			again = true
		}
	}
}

// listen returns a channel that tells when the system has noticed a change and no further one for a while. It watches
// the folder, the folders within it, those that its files link into, and those that hold such links. So it sees a link
// that is swapped anywhere on the way, which is how Kubernetes changes a ConfigMap.
func (f *Folder) listen(ctx context.Context) (<-chan struct{}, func()) {
	news := make(chan struct{}, 1)
	w, err := fsnotify.NewWatcher()
	if err != nil {
		f.log.Warn("files: changes are seen only every "+f.poll.String(), "dir", f.dir, "err", err)
		return news, func() {}
	}
	var done sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	done.Add(1)
	go func() {
		defer done.Done()
		watched := map[string]bool{}
		calm := time.NewTimer(0)
		defer calm.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case _, ok := <-w.Events:
				if !ok {
					return
				}
				calm.Reset(f.calm)
			case _, ok := <-w.Errors: // too many at once: something has changed
				if !ok {
					return
				}
				calm.Reset(f.calm)
			case <-calm.C:
				f.rewatch(w, watched)
				select {
				case news <- struct{}{}:
				default:
				}
			}
		}
	}()
	return news, func() {
		cancel()
		w.Close()
		done.Wait()
	}
}

// rewatch watches the folders that matter now. The poll finds those that do not exist yet.
func (f *Folder) rewatch(w *fsnotify.Watcher, watched map[string]bool) {
	want := folders(f.dir)
	for dir := range watched {
		if !want[dir] {
			_ = w.Remove(dir)
			delete(watched, dir)
		}
	}
	for dir := range want {
		// A folder that was removed and made again is another one. Adding a folder twice does no harm.
		if w.Add(dir) == nil {
			watched[dir] = true
		}
	}
}

// folders returns the folders in which a change matters: for the folder and each file in it, those that hold links on
// the way, and the one at the end.
func folders(dir string) map[string]bool {
	found := map[string]bool{}
	follow(dir, found)
	found[dir] = true
	list, _ := document.List(os.DirFS(dir)) // what cannot be read cannot be listened to either
	for _, inner := range list.Folders {
		path := filepath.Join(dir, filepath.FromSlash(inner))
		follow(path, found)
		found[path] = true
	}
	for _, name := range list.Files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if at, err := os.Lstat(path); err == nil && at.Mode()&os.ModeSymlink != 0 {
			follow(path, found)
		}
	}
	return found
}

// follow adds the folder of every link on the way to a path, and the folder that it ends in.
func follow(path string, found map[string]bool) {
	for range 40 { // as many links as Linux follows
		real, link := "/", ""
		rest := splitPath(path)
		for i, name := range rest {
			at := filepath.Join(real, name)
			target, err := os.Readlink(at)
			if err != nil {
				real = at
				continue
			}
			found[real] = true
			if !filepath.IsAbs(target) {
				target = filepath.Join(real, target)
			}
			link = filepath.Join(append([]string{target}, rest[i+1:]...)...)
			break
		}
		if link == "" {
			found[filepath.Dir(real)] = true
			return
		}
		path = link
	}
}
