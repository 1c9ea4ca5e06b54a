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

// heavy is the size of a file from which on its memory is given back to the system at once after reading: the collector
// would keep it for its next cycles, which a server at rest does not have.
const heavy = 8 << 20

// load reads one file, and returns the stamp of the version that it has read or refused.
func load(file string, log *slog.Logger) (*layer, stamp, error) {
	l, version, size, err := readFile(file)
	if size >= heavy {
		debug.FreeOSMemory()
	}
	if err != nil {
		return nil, version, err
	}
	l.source.Loaded = version.modified.UTC()
	log.Info("location database read", "file", file, "type", l.source.Type, "gives", l.source.Gives,
		"networks", l.source.Networks, "built", l.source.Built)
	return l, version, nil
}

func readFile(file string) (l *layer, version stamp, size int, err error) {
	data, version, err := read(file)
	if err != nil {
		return nil, version, len(data), err
	}
	l, err = readLayer(file, data)
	return l, version, len(data), err
}

// read reads a file whole, and makes sure that it was not written to meanwhile.
func read(file string) ([]byte, stamp, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, stamp{}, unreadable(file, err)
	}
	defer f.Close()
	status, err := f.Stat()
	if err != nil {
		return nil, stamp{}, unreadable(file, err)
	}
	before := stampOf(status)
	if !status.Mode().IsRegular() {
		return nil, before, fmt.Errorf("%s: not a file (%s); give the .mmdb file itself", file, status.Mode().Type())
	}
	data := make([]byte, status.Size())
	n, err := io.ReadFull(f, data)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, before, unreadable(file, err)
	}
	after, err := f.Stat()
	if err != nil {
		return nil, before, unreadable(file, err)
	}
	if n < len(data) || !stampOf(after).same(before) {
		return nil, before, fmt.Errorf("%s: %w", file, errWriting)
	}
	return data, before, nil
}

// errWriting is for a file that changed while it was read.
var errWriting = errors.New("being written to just now; it is read again when that has ended")

func unreadable(file string, err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: no such file; check the path, or put the database there", file)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: not readable (%w); give the user that runs this read access", file, err)
	}
	return fmt.Errorf("%s: not readable (%w)", file, err)
}
