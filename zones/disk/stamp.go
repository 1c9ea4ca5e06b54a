package disk

import (
	"io/fs"
	"os"
	"time"
)

// Stamp tells versions of a file apart without reading it. The zero value stands for a file that cannot be looked at,
// such as one that does not exist.
type Stamp struct{ status fs.FileInfo }

// StampOf returns the stamp of a file whose status is known, such as an open one.
func StampOf(status fs.FileInfo) Stamp { return Stamp{status} }

// Look returns the stamp of the file that is at a path now. It follows symbolic links, so a link that leads elsewhere
// now counts as another version.
func Look(path string) Stamp {
	status, err := os.Stat(path)
	if err != nil {
		return Stamp{}
	}
	return Stamp{status}
}

// Same reports whether both stamps are of one version. A file's permissions count: a file that could not be read
// because of its mode may be readable now.
func (s Stamp) Same(o Stamp) bool {
	if s.status == nil || o.status == nil {
		return s.status == nil && o.status == nil
	}
	return os.SameFile(s.status, o.status) && s.Size() == o.Size() && s.Time().Equal(o.Time()) &&
		s.status.Mode() == o.status.Mode()
}

// Size returns the size in octets, or 0 if there is no file.
func (s Stamp) Size() int64 {
	if s.status == nil {
		return 0
	}
	return s.status.Size()
}

// Time returns when the file was last written, or the zero time if there is no file.
func (s Stamp) Time() time.Time {
	if s.status == nil {
		return time.Time{}
	}
	return s.status.ModTime()
}
