package resolve

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"leeward/zones/disk"
)

// File is the name of the file of the last answers in the folder.
const File = "resolved.json"

// largest is the largest such file that is read, in octets. At some hundred for each name, no real one is that large.
const largest = 256 << 20

// load reads the last answers from a folder. It returns (nil, nil) if there is no file.
func load(folder string) ([]Answer, error) {
	file := filepath.Join(folder, File)
	b, err := disk.Read(file, largest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var answers []Answer
	if err := json.Unmarshal(b, &answers); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for i := range answers {
		answers[i].Addresses = slices.Concat(usable(answers[i].of(0)), usable(answers[i].of(1)))
	}
	return slices.DeleteFunc(answers, func(a Answer) bool { return len(a.Addresses) == 0 }), nil
}

func (r *Resolver) unsaved() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dirty
}

// save writes the last answers if they have changed.
func (r *Resolver) save() {
	r.mu.Lock()
	var answers []Answer
	for _, e := range r.names {
		if len(e.answer.Addresses) > 0 {
			answers = append(answers, e.answer)
		}
	}
	dirty := r.dirty
	r.dirty = false
	r.mu.Unlock()
	if r.o.State == "" || !dirty {
		return
	}
	slices.SortFunc(answers, func(a, b Answer) int { return strings.Compare(a.Hostname, b.Hostname) })
	err := write(filepath.Join(r.o.State, File), answers)
	failing := ""
	if err != nil {
		failing = err.Error()
		r.mu.Lock()
		r.dirty = true // the disk may have room later, and no name needs to change for it
		r.mu.Unlock()
	}
	if err != nil && failing != r.failing {
		r.o.Log.Error("resolved names are not kept on disk", "err", err)
	} else if err == nil && r.failing != "" {
		r.o.Log.Info("resolved names are kept on disk again")
	}
	r.failing = failing
}

// pace returns how long after the last attempt to save the next one is.
func (r *Resolver) pace() time.Duration {
	if r.failing != "" {
		return saveAgain
	}
	return saveEvery
}

func write(file string, answers []Answer) error {
	b, err := json.Marshal(answers)
	if err != nil {
		return err
	}
	return disk.Write(file, 0o600, func(f *os.File) error { _, err := f.Write(append(b, '\n')); return err })
}
