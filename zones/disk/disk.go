// Package disk reads files that may be anything, and writes files that must never be incomplete.
//
// A path that an operator names, or that lies in a folder of theirs, can be a FIFO, a device or a file of a terabyte.
// Opening or reading one of those can take for ever, and a signal does not end it. So nothing here waits: a path that
// is not a regular file is an error that says what it is, and reading is bounded.
//
// A written file replaces the old one as a whole. After a crash or a power cut at any moment, the old file or the new
// one is there, never a part of one.
package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ErrNotRegular is in the error of a path that exists but is not a regular file.
var ErrNotRegular = errors.New("not a regular file")

// ErrTooLarge is in the error of a file that has more octets than the reader allows.
var ErrTooLarge = errors.New("too large")

// Open opens a regular file, or a symbolic link to one, for reading. It never waits for a writer. The error wraps
// ErrNotRegular, and says what is there, for anything else; otherwise it is that of os.Open.
func Open(path string) (*os.File, error) { return open(path, os.Stat, os.OpenFile) }

// OpenIn is Open of a path within a folder. Neither the path nor a symbolic link on its way can leave the folder.
func OpenIn(root *os.Root, path string) (*os.File, error) {
	return open(path, root.Stat, root.OpenFile)
}

func open(
	path string, stat func(string) (fs.FileInfo, error), openFile func(string, int, fs.FileMode) (*os.File, error),
) (*os.File, error) {
	// The look before spares a device the side effects of being opened. The look after is the one that counts: the
	// path can have changed in between, and O_NONBLOCK keeps even that from waiting.
	status, err := stat(path)
	if err != nil {
		if failed, is := err.(*fs.PathError); is {
			failed.Op = "open" // the name of the system call helps nobody
		}
		return nil, err
	}
	if err := regular(path, status.Mode()); err != nil {
		return nil, err
	}
	f, err := openFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	status, err = f.Stat()
	if err == nil {
		err = regular(path, status.Mode())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	// Some files below /proc claim to be regular and empty, but block, such as /proc/kmsg. They support deadlines.
	if status.Size() == 0 {
		_ = f.SetReadDeadline(time.Now().Add(patience))
	}
	return f, nil
}

// patience is how long to wait for a file that only claims to be regular.
const patience = time.Second

// regular returns an error if a path with this mode is not a regular file.
func regular(path string, mode fs.FileMode) error {
	what := ""
	switch {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		what = "a folder"
	case mode&fs.ModeNamedPipe != 0:
		what = "a FIFO"
	case mode&fs.ModeSocket != 0:
		what = "a socket"
	case mode&fs.ModeDevice != 0:
		what = "a device"
	default:
		what = "of an unknown type"
	}
	return &fs.PathError{Op: "open", Path: path, Err: fmt.Errorf("%w: it is %s; give a file", ErrNotRegular, what)}
}

// Exposed returns a text for people if everybody on the host may open a file: that, and what to do. Otherwise it
// returns "".
func Exposed(path string, mode fs.FileMode) string {
	if mode.Perm()&0o007 == 0 {
		return ""
	}
	return fmt.Sprintf("everybody on this host may open %s (mode %#o): chmod 600 %s", path, mode.Perm(), path)
}

// Read returns the content of a regular file. If that is more than largest octets, the error wraps ErrTooLarge, and at
// most largest octets have been read. Other errors are those of Open.
func Read(path string, largest int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// The size is only a hint: files below /proc say 0, and a file can grow while it is read.
	status, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if status.Size() > largest {
		return nil, tooLarge(path, largest)
	}
	b, err := io.ReadAll(io.LimitReader(f, largest+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > largest {
		return nil, tooLarge(path, largest)
	}
	return b, nil
}

func tooLarge(path string, largest int64) error {
	return &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("%w: more than %d octets", ErrTooLarge, largest)}
}

// leftover is the age from which a temporary file of an earlier write counts as left behind by a crash.
const leftover = time.Hour

// Write puts a file at path, with the permissions perm and the content that write writes. If there is no folder, it
// makes one. It writes the file beside the old one, syncs it, renames it over the old one, and syncs the folder. If any
// of that fails, the old file is as it was and no temporary file stays. write may set the file's times; it must not
// close it. A symbolic link at path is replaced, not followed.
func Write(path string, perm fs.FileMode, write func(f *os.File) error) error {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	file := filepath.Base(path)
	clear(folder, file)
	f, err := os.CreateTemp(folder, "."+file+".*.new")
	if err != nil {
		return naming(path, "", err)
	}
	if err = write(f); err == nil {
		err = f.Chmod(perm)
	}
	if err == nil {
		err = f.Sync()
	}
	if failed := f.Close(); err == nil {
		err = failed
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(naming(path, f.Name(), err), os.Remove(f.Name()))
	}
	// This makes the rename survive a power cut. Some file systems cannot sync a folder; the file is whole even then.
	if d, err := os.Open(folder); err == nil {
		_ = d.Sync()
		d.Close()
	}
	return nil
}

// naming replaces the temporary file's name in an error by that of the file that is written. People know that one, and
// a caller that tries again can tell by the text whether the error is the same. temporary "" stands for any.
func naming(path, temporary string, err error) error {
	var failed *fs.PathError
	if errors.As(err, &failed) && (temporary == "" || failed.Path == temporary) {
		failed.Path = path
	}
	return err
}

// listed is when folders with very many files were last searched for files that crashes have left. Otherwise a folder
// with a file for each of 10,000 zones would be listed 10,000 times while they are written.
var listed sync.Map // folder → time.Time

const (
	manyFiles  = 1000
	listsAfter = time.Minute // in a folder with this many files
)

// clear removes temporary files that crashed writes of the same file have left.
func clear(folder, file string) {
	if last, ok := listed.Load(folder); ok && time.Since(last.(time.Time)) < listsAfter {
		return
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return
	}
	if len(entries) > manyFiles {
		listed.Store(folder, time.Now())
	} else {
		listed.Delete(folder)
	}
	for _, e := range entries {
		rest, is := strings.CutPrefix(e.Name(), "."+file+".")
		if !is || !strings.HasSuffix(rest, ".new") || !e.Type().IsRegular() {
			continue
		}
		if status, err := e.Info(); err == nil && time.Since(status.ModTime()) > leftover {
			_ = os.Remove(filepath.Join(folder, e.Name()))
		}
	}
}
