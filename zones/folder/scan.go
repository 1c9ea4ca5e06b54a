package folder

import (
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"leeward/zones"
	"leeward/zones/disk"
	"leeward/zones/document"
)

// scanner reads a folder again and again and returns what has changed. It reads and compares only the files that have
// changed, so a small file beside one of a million records costs what a small file costs.
type scanner struct {
	dir      string
	digests  digests
	files    map[string]*file
	numbers  map[string]uint32    // of files, given out once
	names    []string             // files by their numbers
	homes    homes                // which files a key is in
	zones    map[zones.Key]uint64 // digests of Zones as delivered, each merged from a master file and a document
	apart    map[zones.Key]uint64 // digests of what stays in service although no file says so now
	troubled map[zones.Key]string // keys delivered with an error, and its text
	problems zones.Problems       // of all files as they are now
	revision int64
	accept   time.Time // of AcceptFile when last seen
	gone     bool      // the folder itself cannot be read
	started  bool
	whole    bool // everything there is has been delivered

	large  int64                   // size in octets from which on a file counts as much
	memory func(exact bool) memory // what the process has; nil: there is no limit
	pace   func() (done func())    // called before a large file is read; nil: not wanted
	paced  func()                  // to be called once it is delivered; nil: nothing to call

	hidden map[string]bool // files that are left out for their names; true: new in the last read

	stopped func() error // returns an error when reading must end at once; nil: never

	work work // of the last read
}

// work is what a read had to do.
type work struct {
	files     int // read
	resources int // compared, Zones aside
}

// file is what one file has brought.
type file struct {
	stamps   map[string]disk.Stamp // of the file and of those it includes
	number   uint32
	kept     kept             // the last good resources, but for Zones
	zones    []zones.Document // the last good Zones
	problems zones.Problems   // of the newest version
	known    zones.Problems   // of the version that is kept: those that name a key
	spoiled  bool             // the newest version could not be read whole: an older one is kept
	unread   bool             // no version was ever read whole
	wants    int64            // octets needed at least to read the newest version, if memory was too short
	partial  []string         // if unread: the origins that the file has more of than could be read

	// What the version just read says differently, until it is delivered; then nil. Where each stands is in kept.
	brought []zones.Resource
	order   []brought // index of that, sorted by hash; nil: to be made
}

// document returns what the version just read has of a key; nil if it has nothing, or was delivered.
func (s *scanner) document(f *file, hash uint64) zones.Resource {
	if f.order == nil {
		f.order = s.digests.index(f.brought)
	}
	i, found := slices.BinarySearchFunc(f.order, hash, func(b brought, hash uint64) int {
		return cmp.Compare(b.hash, hash)
	})
	if !found {
		return nil
	}
	return f.brought[f.order[i].at]
}

func splitPath(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == filepath.Separator })
}

// read returns what has changed since the last call; the first time that all files can be read, it returns everything.
// With again set it reads files that seem unchanged too. The error says what is wrong with the folder or its files; the
// batch beside it is good.
func (s *scanner) read(again bool) (zones.Batch, error) {
	s.work = work{}
	list, err := document.List(os.DirFS(s.dir))
	if s.gone = err != nil; s.gone {
		return zones.Batch{Revision: s.revision},
			fmt.Errorf("folder of resources %s: %w; what was read before stays in service", s.dir, err)
	}
	var newest time.Time
	for _, dir := range list.Folders {
		newest = later(newest, disk.Look(s.path(dir)).Time())
	}
	files := map[string]*file{}
	for _, name := range list.Files {
		if err := s.stop(); err != nil {
			return zones.Batch{}, err
		}
		f := s.files[name]
		if f == nil || again || s.changed(f) {
			f = s.load(name, f, !s.whole)
		}
		files[name] = f
		for _, p := range f.stamps {
			newest = later(newest, p.Time())
		}
	}
	if err := s.stop(); err != nil { // the last file may be cut short
		return zones.Batch{}, err
	}
	hidden := make(map[string]bool, len(list.Hidden))
	for _, name := range list.Hidden {
		_, known := s.hidden[name]
		hidden[name] = !known
	}
	s.hidden = hidden
	s.closed(list.Problems, files)
	b := s.compare(files)
	accept := disk.Look(filepath.Join(s.dir, AcceptFile)).Time()
	touched := accept.After(s.accept)
	switch {
	case !s.started:
		s.revision = max(s.revision, newest.Unix(), accept.Unix())
	case len(b.Changes) > 0, b.Full, touched, again:
		s.revision = max(s.revision+1, newest.Unix(), accept.Unix())
	}
	b.Revision = s.revision
	for i := range b.Changes {
		b.Changes[i].Revision = s.revision
	}
	if touched {
		// At the start it accepts what went away before the touch; later, what is held back now.
		b.Accepted = accept.Unix()
		if s.started {
			b.Accepted = s.revision
		}
		s.accept = accept
	}
	s.started = true
	return b, s.problems.Err()
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// path returns the full path of a file or folder, given its path within the folder.
func (s *scanner) path(name string) string { return filepath.Join(s.dir, filepath.FromSlash(name)) }

// closed keeps the last good version of files in folders that cannot be read. Each such folder counts as a broken file.
func (s *scanner) closed(problems zones.Problems, files map[string]*file) {
	for _, p := range problems {
		for name, f := range s.files {
			if strings.HasPrefix(name, p.File+"/") {
				files[name] = f
			}
		}
		f := s.files[p.File]
		if f == nil || f.problems.Error() != p.String() {
			f = &file{number: s.number(p.File), problems: zones.Problems{p}, spoiled: true, unread: true}
		}
		files[p.File] = f
	}
}

// changed reports whether the file, or one that it includes, has changed since it was read, or whether there is room
// now for what did not fit then.
func (s *scanner) changed(f *file) bool {
	for path, p := range f.stamps {
		if !p.Same(disk.Look(path)) {
			return true
		}
	}
	return f.wants > 0 && s.fits(f.wants)
}

// load reads a file. If that fails, the last good version stays. It holds only the documents that differ from before,
// so that a change does not put the whole file into memory a second time; with all set it holds every one.
func (s *scanner) load(name string, before *file, all bool) *file {
	s.work.files++
	path := s.path(name)
	f := &file{stamps: map[string]disk.Stamp{path: disk.Look(path)}, number: s.number(name)}
	if s.pace != nil && s.paced == nil && f.stamps[path].Size() >= s.large {
		s.paced = s.pace()
	}
	var last *kept
	if before != nil && !before.unread && !all {
		last = &before.kept
	}
	origin, master := strings.CutSuffix(filepath.Base(path), ".zone")
	room := s.roomFor(f.stamps[path].Size(), last)
	k := s.digests.keep("", nil)
	room.begin()
	err := room.fits()
	if err != nil {
		// There is no room even to see what is new in it.
	} else if master {
		prefix := string(zones.KeyOf(zones.KindRecord, origin+"/"))
		f.zones, f.problems, err = document.MasterReader{
			File: name, Origin: origin,
			Folder: recorder{document.Includes(filepath.Dir(path)), filepath.Dir(path), f.stamps, s.stop},

			Open:  func() (io.ReadCloser, error) { return s.open(path) },
			Begin: func() { k, f.brought = s.digests.keep(prefix, last), nil; room.begin() },
			Keep: func(d zones.Document) bool {
				differs := k.add(d)
				if differs {
					f.hold(d)
				}
				return differs
			},
			Hold: room.hold,
		}.Read()
	} else {
		k, err = s.documents(f, name, last, room)
	}
	if err != nil {
		at := zones.Position{File: name}
		f.problems = zones.Problems{{Position: at, Message: err.Error(), Code: zones.CodeSyntax}}
	}
	// A problem without a key means that something in the file is unknown; taking the rest would drop whatever that
	// was. A zone is served whole or not at all.
	for _, p := range f.problems.Errors() {
		f.spoiled = f.spoiled || p.Key == "" || master
	}
	f.wants = room.wants()
	switch f.unread = f.spoiled && (before == nil || before.unread); {
	case f.unread && master:
		// Of a part of a zone nothing is remembered.
		f.partial, f.zones, f.brought, k = []string{origin}, nil, nil, s.digests.keep("", nil)
	case f.unread:
		f.partial = f.origins()
	}
	if f.spoiled && !f.unread {
		f.kept, f.zones, f.brought = before.kept, before.zones, nil
		f.known = before.known
		f.problems = append(f.problems, f.known...)
		return f
	}
	f.known = keyed(f.problems)
	f.kept = k.done()
	return f
}

// documents reads a file of documents.
func (s *scanner) documents(f *file, name string, last *kept, room *room) (*keeper, error) {
	var docs []zones.Document
	read := func(last *kept) (*keeper, error) {
		text, err := s.open(s.path(name))
		if err != nil {
			return s.digests.keep("", nil), err
		}
		defer text.Close()
		k := s.digests.keep("", last)
		room.begin()
		docs, f.problems = document.ReadThrough(name, text, func(d *zones.Document) (bool, error) {
			if last != nil && !k.add(*d) {
				return false, nil
			}
			if _, is := d.Resource.(*zones.Zone); !is {
				d.Lines = nil // as large as the resource, and only Zones are merged, so that their fields can conflict
			}
			return true, room.hold(*d)
		}, room.parse)
		return k, nil
	}
	k, err := read(last)
	if err == nil && last != nil && k.twice() { // only a whole reading tells which one is the first
		k, err = read(nil)
		last = nil
	}
	if err != nil {
		return k, err
	}
	if last == nil {
		var twice zones.Problems
		docs, twice = zones.Merge(docs)
		f.problems = append(f.problems, twice...)
		k = s.digests.keep("", nil)
		for _, d := range docs {
			k.add(d)
		}
	}
	for _, d := range docs {
		f.hold(d)
	}
	return k, nil
}

// hold takes a document of the version that is being read.
func (f *file) hold(d zones.Document) {
	if _, ok := d.Resource.(*zones.Zone); ok {
		f.zones = append(f.zones, d)
	} else {
		f.brought = append(f.brought, d.Resource)
	}
}

// origins returns, sorted, the origins of all Zones and Records that have been read of a file.
func (f *file) origins() []string {
	found := map[string]bool{}
	for _, d := range f.zones {
		found[d.Resource.(*zones.Zone).Origin] = true
	}
	for _, r := range f.brought {
		if r, ok := r.(*zones.Record); ok {
			found[r.Origin] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// number returns the file's number in homes.
func (s *scanner) number(name string) uint32 {
	n, known := s.numbers[name]
	if !known {
		if s.numbers == nil {
			s.numbers = map[string]uint32{}
		}
		n = uint32(len(s.names))
		s.numbers[name], s.names = n, append(s.names, name)
	}
	return n
}

// keyed returns the problems that name a key.
func keyed(ps zones.Problems) zones.Problems {
	return slices.DeleteFunc(slices.Clone(ps), func(p zones.Problem) bool { return p.Key == "" })
}

// recorder notes which files a master file includes.
type recorder struct {
	fs.FS
	dir    string
	stamps map[string]disk.Stamp
	stop   func() error
}

func (r recorder) Open(name string) (fs.File, error) {
	path := filepath.Join(r.dir, filepath.FromSlash(name))
	r.stamps[path] = disk.Look(path)
	f, err := r.FS.Open(name)
	if err != nil {
		return nil, err
	}
	return stoppable{f, r.stop}, nil
}

// stop returns why reading must end; nil: go on.
func (s *scanner) stop() error {
	if s.stopped == nil {
		return nil
	}
	return s.stopped()
}

// open opens a file whose reading ends when the scanner must: a process that is told to end does not read a million
// records first.
func (s *scanner) open(path string) (io.ReadCloser, error) {
	f, err := disk.Open(path)
	if err != nil {
		return nil, err
	}
	return stoppable{f, s.stop}, nil
}

// stoppable is a file whose reads fail once reading must end.
type stoppable struct {
	fs.File
	stop func() error
}

func (f stoppable) Read(p []byte) (int, error) {
	if err := f.stop(); err != nil {
		return 0, err
	}
	return f.File.Read(p)
}
