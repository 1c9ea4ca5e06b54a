package geo

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/oschwald/maxminddb-golang/v2/mmdbdata"

	"leeward/zones/disk"
)

// Open reads location and ASN databases and joins them, in their order, into one table. If none of them has locations
// (there are no files, or only ASN databases), the locations are those of the embedded table. The error names each file
// that cannot be used, and says why and what to do.
func Open(files []string, log *slog.Logger) (*Table, error) {
	var layers []*layer
	var problems []error
	for _, file := range files {
		l, _, err := load(file, "", log)
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

// complement joins the layers, together with the embedded table if none of them has locations.
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

// largest is the size of the largest file that is read, in octets.
const largest = 2 << 30

// heavy is the size of a file, in octets, from which on the memory that reading took is given back to the system at
// once.
const heavy = 8 << 20

// load reads one file. It returns the stamp of the version that it has read or refused. kept is the file of what was
// made of it before, which is used if it is for the same version; "": nothing is kept.
func load(file, kept string, log *slog.Logger) (*layer, disk.Stamp, error) {
	l, version, err := read(file, kept, log)
	if version.Size() >= heavy && (l == nil || !l.kept) {
		debug.FreeOSMemory()
	}
	if err != nil {
		return nil, version, fmt.Errorf("%s: %w", file, err)
	}
	l.source.File, l.source.Loaded = file, version.Time().UTC()
	log.Info("location database read", "file", file, "type", l.source.Type, "gives", l.source.Gives,
		"networks", l.source.Networks, "built", l.source.Built, "kept", l.kept)
	return l, version, nil
}

// read reads a file whole, checks that it was not written to meanwhile, and extracts what is needed.
func read(file, kept string, log *slog.Logger) (*layer, disk.Stamp, error) {
	f, err := disk.Open(file) // it never blocks, as opening a FIFO would
	if err != nil {
		return nil, disk.Stamp{}, unreadable(err)
	}
	defer f.Close()
	status, err := f.Stat()
	if err != nil {
		return nil, disk.Stamp{}, unreadable(err)
	}
	version := disk.StampOf(status)
	size := status.Size()
	switch {
	case size == 0:
		return nil, version, errEmpty
	case size > largest:
		return nil, version, fmt.Errorf("%d MiB is more than a location database may have (%d MiB); give another file",
			size>>20, largest>>20)
	}
	if err := promising(f, size); err != nil {
		return nil, version, err
	}
	var of [sha256.Size]byte
	if kept != "" {
		l, err := readAgain(f, kept, &of, log)
		if err == nil && l != nil {
			err = unchanged(f, version)
		}
		if l != nil || err != nil {
			return l, version, err
		}
	}
	data, release, err := buffer(int(size))
	if err != nil {
		return nil, version, fmt.Errorf("no memory for %d MiB: %w", size>>20, err)
	}
	defer release()
	if err := fill(data, f); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, version, errWriting
	} else if err != nil {
		return nil, version, unreadable(err)
	}
	if err := unchanged(f, version); err != nil {
		return nil, version, err
	}
	l, err := readLayer(data)
	if err == nil && kept != "" {
		if l.of = sha256.Sum256(data); l.of != of {
			return nil, version, errWriting
		}
	}
	return l, version, err
}

// unchanged returns an error if a file was written to since that version.
func unchanged(f *os.File, version disk.Stamp) error {
	after, err := f.Stat()
	if err != nil {
		return unreadable(err)
	}
	if !disk.StampOf(after).Same(version) {
		return errWriting
	}
	return nil
}

// readAgain returns what was made of a database before, and sets its digest. It returns (nil, nil) if nothing is kept
// for this version. It leaves the file at its beginning.
func readAgain(f io.ReadSeeker, kept string, of *[sha256.Size]byte, log *slog.Logger) (*layer, error) {
	digest := sha256.New()
	if _, err := io.Copy(digest, f); err != nil {
		return nil, unreadable(err)
	}
	digest.Sum(of[:0])
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, unreadable(err)
	}
	l, err := readKept(kept, *of)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errOther) {
			log.Warn("the kept copy of a location database cannot be used; it is made again", "file", kept, "err", err)
		}
		return nil, nil // it is only a copy
	}
	l.kept = true
	return l, nil
}

// promising reads a file's first octets, and its metadata at the end, before memory is taken for all of it. So anything
// that is not a database, or has been cut short, is refused whatever its size.
func promising(f io.ReaderAt, size int64) error {
	head := make([]byte, min(size, 4))
	if _, err := f.ReadAt(head, 0); err != nil {
		return unreadable(err)
	}
	if err := packed(head); err != nil {
		return err
	}
	end := make([]byte, min(size, metadataEnd))
	if _, err := f.ReadAt(end, size-int64(len(end))); err != nil {
		return unreadable(err)
	}
	at := bytes.LastIndex(end, metadataMarker)
	if at < 0 {
		return foreign(errors.New("its last 128 KiB have no metadata"))
	}
	nodes, bits, err := treeSize(end[at+len(metadataMarker):])
	if err != nil {
		return foreign(err)
	}
	room := uint64(size) - uint64(len(end)-at)
	if bits > 0 && nodes > room*4/bits { // a node is two records
		return foreign(fmt.Errorf("its metadata tell of %d nodes of %d bits, for which it is too small", nodes, 2*bits))
	}
	return nil
}

// metadataMarker begins the metadata of a database in the MaxMind DB format. It is within the last 128 KiB.
var metadataMarker = []byte("\xab\xcd\xefMaxMind.com")

const metadataEnd = 128 << 10

// treeSize returns, from a database's metadata, the number of nodes in the search tree, and the number of bits in each
// of a node's two records.
func treeSize(metadata []byte) (nodes, bits uint64, err error) {
	fields, err := mmdbdata.NewDecoder(metadata, 0).Cursor().Map()
	if err != nil {
		return 0, 0, err
	}
	var next mmdbdata.Cursor
	for {
		name, value, more := fields.Next(next)
		if !more {
			return nodes, bits, fields.Err()
		}
		switch string(name) {
		case "node_count":
			nodes, next, err = value.ReadUint()
		case "record_size":
			bits, next, err = value.ReadUint()
		default:
			next, err = value.Skip()
		}
		if err != nil {
			return 0, 0, err
		}
	}
}

// fill reads all of data, which must be zero. It does not write zeros, so that a hole in a sparse file takes no memory.
func fill(data []byte, r io.Reader) error {
	var zero [64 << 10]byte
	part := make([]byte, len(zero))
	for len(data) > 0 {
		n := min(len(data), len(part))
		if _, err := io.ReadFull(r, part[:n]); err != nil {
			return err
		}
		if !bytes.Equal(part[:n], zero[:n]) {
			copy(data, part[:n])
		}
		data = data[n:]
	}
	return nil
}

// errEmpty is the error for a file of 0 octets.
var errEmpty = errors.New("the file is empty; put a complete .mmdb file there")

// errWriting is the error for a file that changed while it was read.
var errWriting = errors.New("being written to just now; it is read again when that has ended")

// unreadable says what to do about a file that the system does not let us read.
func unreadable(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	switch {
	case errors.Is(err, disk.ErrNotRegular):
		return fmt.Errorf("%w, the .mmdb file itself", err)
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("no such file; check the path, or put the database there")
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("not readable (%w); give the user that runs this leave to read it", err)
	}
	return fmt.Errorf("not readable (%w)", err)
}
