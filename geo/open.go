package geo

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime/debug"
)

// Open reads location and ASN databases and joins them, in their order, to one table. Where none of them knows locations
// (there are no files, or only ASN databases), locations are the embedded table's. The error names each file that cannot
// be used, says why, and what to do.
func Open(files []string, log *slog.Logger) (*Table, error) {
	var layers []*layer
	var problems []error
	for _, file := range files {
		l, _, err := load(file, log)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		layers = append(layers, l)
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return complement(layers)
}

// complement joins the layers, with the embedded table where they have no locations.
func complement(layers []*layer) (*Table, error) {
	for _, l := range layers {
		if l.places != nil {
			return join(layers)
		}
	}
	countries, err := embedded()
	if err != nil {
		return nil, err
	}
	return join(append([]*layer{countries}, layers...))
}

// largest is the size up to which a file is read, in bytes.
const largest = 2 << 30

// heavy is the size of a file from which on what reading it has left on the heap is given back to the system at once.
const heavy = 8 << 20

// load reads one file, and returns the stamp of the version that it has read or refused.
func load(file string, log *slog.Logger) (*layer, stamp, error) {
	l, version, err := read(file)
	if version.status != nil && version.status.Size() >= heavy {
		debug.FreeOSMemory()
	}
	if err != nil {
		return nil, version, fmt.Errorf("%s: %w", file, err)
	}
	l.source.File, l.source.Loaded = file, version.modified.UTC()
	log.Info("location database read", "file", file, "type", l.source.Type, "gives", l.source.Gives,
		"networks", l.source.Networks, "built", l.source.Built)
	return l, version, nil
}

// read reads a file whole, makes sure that it was not written to meanwhile, and takes out of it what is needed.
func read(file string) (*layer, stamp, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, stamp{}, unreadable(err)
	}
	defer f.Close()
	status, err := f.Stat()
	if err != nil {
		return nil, stamp{}, unreadable(err)
	}
	version := stampOf(status)
	switch size := status.Size(); {
	case !status.Mode().IsRegular():
		return nil, version, errors.New("not a file; give the .mmdb file itself")
	case size == 0:
		return nil, version, errEmpty
	case size > largest:
		return nil, version, fmt.Errorf("%d MiB is more than a location database may have (%d MiB); give another file",
			size>>20, largest>>20)
	}
	data, release, err := buffer(int(status.Size()))
	if err != nil {
		return nil, version, fmt.Errorf("no memory for %d MiB: %w", status.Size()>>20, err)
	}
	defer release()
	if _, err := io.ReadFull(f, data); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, version, errWriting
	} else if err != nil {
		return nil, version, unreadable(err)
	}
	if after, err := f.Stat(); err != nil {
		return nil, version, unreadable(err)
	} else if !stampOf(after).same(version) {
		return nil, version, errWriting
	}
	l, err := readLayer(data)
	return l, version, err
}

// errEmpty is for a file of 0 bytes.
var errEmpty = errors.New("the file is empty; put a complete .mmdb file there")

// errWriting is for a file that changed while it was read.
var errWriting = errors.New("being written to just now; it is read again when that has ended")

// unreadable says what to do about a file that the system does not let us read.
func unreadable(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("no such file; check the path, or put the database there")
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("not readable (%w); give the user that runs this leave to read it", err)
	}
	return fmt.Errorf("not readable (%w)", err)
}
