package dnssec

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"leeward/zones/disk"
	"leeward/zones/rr"
)

// ErrNoKey says that a folder has no key for a zone.
var ErrNoKey = errors.New("there is no key of the zone")

// Folder is the content of a folder of key files. It is listed once for all zones.
type Folder struct {
	path  string
	files map[rr.Name][]string // names of private files, in order
	marks map[rr.Name]string   // how the zone's files look from outside
	times map[rr.Name]time.Time
	open  map[rr.Name]string // which private file everybody may open, and what to do
}

// List lists a folder. A missing folder counts as empty.
func List(path string) (*Folder, error) {
	f := &Folder{path, map[rr.Name][]string{}, map[rr.Name]string{}, map[rr.Name]time.Time{}, map[rr.Name]string{}}
	entries, err := os.ReadDir(path) // sorted by name
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		name := e.Name()
		origin, ok := originOf(name)
		if !ok {
			continue
		}
		private := strings.HasSuffix(name, ".private")
		if private {
			f.files[origin] = append(f.files[origin], name)
		}
		info, err := e.Info()
		if err == nil && e.Type()&fs.ModeSymlink != 0 {
			info, err = os.Stat(filepath.Join(path, name)) // what it leads to is what changes
		}
		if err != nil {
			continue
		}
		f.marks[origin] += fmt.Sprintf("%s %d %s %s\n", name, info.Size(), info.Mode(),
			info.ModTime().Format(time.RFC3339Nano))
		if info.ModTime().After(f.times[origin]) {
			f.times[origin] = info.ModTime()
		}
		if private && f.open[origin] == "" {
			f.open[origin] = disk.Exposed(filepath.Join(path, name), info.Mode())
		}
	}
	return f, nil
}

// originOf returns, from the name of a key file, the zone that the key belongs to.
func originOf(name string) (rr.Name, bool) {
	at := strings.LastIndexByte(name, '+') - len("+013")
	if !strings.HasPrefix(name, "K") || at < 1 || name[at] != '+' {
		return "", false
	}
	origin, err := rr.ParseName(strings.ReplaceAll(name[1:at], "%2F", "/"))
	return origin, err == nil
}

// Origins returns the zones that have keys, in order.
func (f *Folder) Origins() (all []rr.Name) {
	for origin := range f.files {
		all = append(all, origin)
	}
	slices.Sort(all)
	return all
}

// Mark returns a text that changes when the zone's key files do.
func (f *Folder) Mark(origin rr.Name) string { return f.marks[origin] }

// Told returns a zone's keys in the form that others are told. Of several folders, the one whose files changed last
// counts.
func (f *Folder) Told(origin rr.Name, k *Keys) HandedOut {
	return HandedOut{Keys: k, Made: f.times[origin]}
}

// Doubt returns what is wrong with a zone's key files although they can be read, or nil.
func (f *Folder) Doubt(origin rr.Name) error {
	if f.open[origin] == "" {
		return nil
	}
	return errors.New(f.open[origin])
}

// Read reads the keys of a zone. The error wraps ErrNoKey if there is none.
func (f *Folder) Read(origin rr.Name) (*Keys, error) {
	var all []TimedKey
	for _, name := range f.files[origin] {
		file := filepath.Join(f.path, name)
		k, err := Read(file)
		if err != nil {
			return nil, err
		}
		switch {
		case k.origin != origin:
			return nil, fmt.Errorf("%s is a key of %s", file, k.origin)
		case !strings.EqualFold(k.FileName()+".private", name): // a change would be written to other files
			return nil, fmt.Errorf("%s is key %d, whose files are %s.private and .key: give them these names, or take "+
				"them away", file, k.Tag(), k.FileName())
		}
		all = append(all, k)
	}
	keys, err := NewKeys(origin, all...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	return keys, nil
}

// ReadFolder reads the keys of one zone from a folder.
func ReadFolder(path string, origin rr.Name) (*Keys, error) {
	f, err := List(path)
	if err != nil {
		return nil, err
	}
	return f.Read(origin)
}
