// Package folder is the resources that live in files: documents and master files in a folder, which is read whole once
// and then followed.
//
//	the system's notices, a poll ──▶ folder.go: when to look
//	                                     │
//	 scan.go: reads the files that are others than before; of one that cannot be read the last good version stays
//	                                     │
//	 kept.go: of each file, the digests of what was delivered      compare.go: what is said otherwise ──▶ zones.Batch
//
// Resources are not kept, as a file of a million records would be held twice. What a file takes while it is read is
// counted (room.go), so that one that is too large is refused and does not end the process.
package folder

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"leeward/zones"
)

// AcceptFile is the file in a folder whose touch accepts what the guard held back.
const AcceptFile = ".leeward-accept"

// Folder is a folder of documents and master files: *.yaml, *.yml, *.json and <origin>.zone, those in folders within it
// as well, and none whose name, or whose folder's, begins with a dot. Its methods may be called from several
// goroutines, Follow by one.
type Folder struct {
	dir  string
	log  *slog.Logger
	now  func() time.Time
	poll time.Duration // in case the system tells nothing (a network file system)
	calm time.Duration // without further news before the folder is read

	reload chan struct{}
	scan   scanner
}

// Open prepares to follow a folder. An error is one of the folder itself, never of a file in it. log may be nil.
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

// Expect is Open for a folder that need not be there yet: until it is, there is nothing new.
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

// Resume tells up to which revision a copy on disk is, so that revisions go on from there. Call it before Follow.
func (f *Folder) Resume(revision int64) { f.scan.revision = max(f.scan.revision, revision) }

// Pace has a function called before a large file is read, and what that returns once it is delivered. Call it before
// Follow.
func (f *Folder) Pace(begin func() (done func())) { f.scan.pace = begin }

// Reload reads all files again, whether they seem to have changed or not, and accepts what the guard held back. It
// returns at once; SIGHUP calls it.
func (f *Folder) Reload() {
	select {
	case f.reload <- struct{}{}:
	default: // one is due already
	}
}

// Follow delivers what is in the folder, then every change, until ctx ends; it returns ctx's error and no other. Both
// functions are called from the calling goroutine. A file that cannot be read keeps its last good resources in service;
// Condition's Err then says which and why, and so does a Change of a key that is no resource's.
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

// listen tells when the system says that something in the folder has changed and has been calm since. Several folders
// are listened to: the folder, those within it, those that its files are links into, and those that hold such links, so
// that swapping a link anywhere on the way (as Kubernetes does to change a ConfigMap as a whole) is seen.
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

// rewatch listens to the folders that matter now. What is not there is left to the poll.
func (f *Folder) rewatch(w *fsnotify.Watcher, watched map[string]bool) {
	want := folders(f.dir)
	for dir := range watched {
		if !want[dir] {
			_ = w.Remove(dir)
			delete(watched, dir)
		}
	}
	for dir := range want {
		// A folder that was removed and made again is another one: adding it once more does no harm where it is not.
		if w.Add(dir) == nil {
			watched[dir] = true
		}
	}
}

// folders returns the folders in which a change may change what is read: for the folder and for every file in it, those
// that hold the links on the way, and the one at its end.
func folders(dir string) map[string]bool {
	found := map[string]bool{}
	follow(dir, found)
	found[dir] = true
	list, _ := zones.ListFolder(os.DirFS(dir)) // what cannot be read cannot be listened to either
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
