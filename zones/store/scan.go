package store

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"leeward/zones"
)

// scanner reads a folder again and again and says what has changed.
type scanner struct {
	dir      string
	files    map[string]*file
	have     map[zones.Key]zones.Resource // as delivered
	troubled map[zones.Key]string         // keys delivered with an error, and what it said
	revision int64
	accept   time.Time // of AcceptFile when last seen
	gone     bool      // the folder itself cannot be read
	started  bool
	whole    bool // everything there is has been delivered
}

// file is what one file has brought.
type file struct {
	prints   map[string]print // of the file and of those it includes
	docs     []zones.Document // the last good ones
	problems zones.Problems   // of the newest version
	spoiled  bool             // the newest version could not be read as a whole: docs are of an older one
	unread   bool             // no version could be
}

// print tells two versions of a file apart without reading them.
type print struct {
	size int64
	time time.Time
	file os.FileInfo // for os.SameFile
}

func (p print) same(q print) bool {
	return p.size == q.size && p.time.Equal(q.time) && (p.file == nil) == (q.file == nil) && (p.file == nil || os.SameFile(p.file, q.file))
}

func printOf(path string) print {
	s, err := os.Stat(path)
	if err != nil {
		return print{size: -1}
	}
	return print{s.Size(), s.ModTime(), s}
}

// readable reports whether a file of that name is read.
func readable(name string) bool {
	return !strings.HasPrefix(name, ".") && slices.Contains([]string{".yaml", ".yml", ".json", ".zone"}, filepath.Ext(name))
}

func splitPath(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == filepath.Separator })
}

// read returns what has changed since the last call, everything the first time that all can be read; again reads files that seem the same
// too. The error says what is wrong with the folder or with files in it; what is returned beside it is good.
func (s *scanner) read(again bool) (zones.Batch, error) {
	entries, err := os.ReadDir(s.dir)
	if s.gone = err != nil; s.gone {
		return zones.Batch{Revision: s.revision, Full: false}, fmt.Errorf("folder of resources: %w; what was read before stays in service", err)
	}
	newest := printOf(s.dir).time
	files := map[string]*file{}
	for _, e := range entries {
		if !readable(e.Name()) {
			continue
		}
		path := filepath.Join(s.dir, e.Name())
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			continue
		}
		f := s.files[e.Name()]
		if f == nil || again || f.changed() {
			f = s.load(e.Name(), f)
		}
		files[e.Name()] = f
		for _, p := range f.prints {
			if p.time.After(newest) {
				newest = p.time
			}
		}
	}
	s.files = files
	b, problems := s.compare()
	accept := printOf(filepath.Join(s.dir, AcceptFile)).time
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
		// The first time, it accepts what went away before it was touched; else it was touched for what is held now.
		b.Accepted = accept.Unix()
		if s.started {
			b.Accepted = s.revision
		}
		s.accept = accept
	}
	s.started = true
	return b, problems.Err()
}

// changed reports whether the file, or one that it includes, is another than when it was read.
func (f *file) changed() bool {
	for path, p := range f.prints {
		if !p.same(printOf(path)) {
			return true
		}
	}
	return false
}

// load reads a file. Of one that cannot be read as a whole, the last good version stays.
func (s *scanner) load(name string, before *file) *file {
	path := filepath.Join(s.dir, name)
	f := &file{prints: map[string]print{path: printOf(path)}}
	text, err := os.Open(path)
	if err == nil {
		defer text.Close()
		if filepath.Ext(name) == ".zone" {
			f.docs, f.problems = zones.ReadMasterFile(name, strings.TrimSuffix(name, ".zone"), text, recorder{os.DirFS(s.dir), s.dir, f.prints})
		} else {
			f.docs, f.problems = zones.ReadDocuments(name, text)
		}
	} else {
		f.problems = zones.Problems{{Position: zones.Position{File: name}, Message: err.Error(), Code: zones.CodeSyntax}}
	}
	// A problem without a key says that the file holds something of which nothing is known: to take the rest would
	// drop whatever that was.
	for _, p := range f.problems.Errors() {
		f.spoiled = f.spoiled || p.Key == ""
	}
	f.unread = f.spoiled && (before == nil || before.unread)
	if f.spoiled && !f.unread {
		f.docs = before.docs
		f.problems = append(f.problems, keyed(before.problems)...)
	}
	return f
}

// keyed returns the problems of which it is known what they are about.
func keyed(ps zones.Problems) zones.Problems {
	return slices.DeleteFunc(slices.Clone(ps), func(p zones.Problem) bool { return p.Key == "" })
}

// recorder notes which files a master file includes.
type recorder struct {
	fs.FS
	dir    string
	prints map[string]print
}

func (r recorder) Open(name string) (fs.File, error) {
	path := filepath.Join(r.dir, filepath.FromSlash(name))
	r.prints[path] = printOf(path)
	return r.FS.Open(name)
}

// compare brings all files' documents together and returns how they differ from what was delivered.
func (s *scanner) compare() (zones.Batch, zones.Problems) {
	var docs []zones.Document
	var problems zones.Problems
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		docs, problems = append(docs, s.files[name].docs...), append(problems, s.files[name].problems...)
	}
	docs, wrong := zones.Merge(docs)
	problems = append(problems, wrong...)

	// As long as a file has not been read at all, what there is beside it is not everything: what a copy on disk has
	// brought must not go.
	b := zones.Batch{Full: !s.whole}
	for _, f := range s.files {
		b.Full = b.Full && !f.unread
	}
	s.whole = s.whole || b.Full
	have := make(map[zones.Key]zones.Resource, len(docs))
	for _, d := range docs {
		have[d.Resource.Key()] = d.Resource
	}
	troubled := map[zones.Key]string{}
	for _, p := range problems.Errors() {
		k := p.Key
		if k == "" || have[k] != nil { // the file's, or of the second of two documents: the first is in service
			k = zones.Key("files/" + p.File)
		}
		if troubled[k] != "" {
			troubled[k] += "; "
		}
		troubled[k] += p.String()
	}
	for k := range troubled {
		// What cannot be read now keeps its last good version.
		if was := s.have[k]; was != nil && have[k] == nil {
			have[k] = was
		}
	}
	for k, r := range have {
		was := s.have[k]
		switch {
		case troubled[k] != "":
			if troubled[k] != s.troubled[k] || b.Full {
				b.Changes = append(b.Changes, zones.Change{Key: k, Err: errors.New(troubled[k])})
			}
		case b.Full, was == nil, s.troubled[k] != "", was != r && !zones.Same(was, r):
			b.Changes = append(b.Changes, zones.Change{Key: k, Resource: r})
		default:
			have[k] = was
		}
	}
	for k, text := range troubled {
		if have[k] == nil && (text != s.troubled[k] || b.Full) {
			b.Changes = append(b.Changes, zones.Change{Key: k, Err: errors.New(text)})
		}
	}
	for k := range s.have {
		if have[k] == nil && !b.Full {
			b.Changes = append(b.Changes, zones.Change{Key: k})
		}
	}
	for k := range s.troubled {
		if troubled[k] == "" && have[k] == nil && s.have[k] == nil && !b.Full {
			b.Changes = append(b.Changes, zones.Change{Key: k})
		}
	}
	slices.SortFunc(b.Changes, func(a, b zones.Change) int { return strings.Compare(string(a.Key), string(b.Key)) })
	s.have, s.troubled = have, troubled
	return b, problems
}
