package disk

import (
	"io/fs"
	"os"
	"time"
)

// Stamp tells versions of a file apart without reading it. The zero value stands for a file that cannot be looked at,
// such as one that does not exist.
type Stamp struct{ status fs.FileInfo }

// StampOf is the stamp of a file whose status is known, such as that of an open one.
func StampOf(status fs.FileInfo) Stamp { return Stamp{status} }

// Look returns the stamp of what is at a path now. It follows symbolic links, so that one which leads elsewhere now is
// another version.
func Look(path string) Stamp {
	status, err := os.Stat(path)
	if err != nil {
		return Stamp{}
	}
	return Stamp{status}
}

// Same reports whether both are of one version. Who may open a file counts: one that could not be used for its mode may
// be usable now.
func (s Stamp) Same(o Stamp) bool {
	if s.status == nil || o.status == nil {
		return s.status == nil && o.status == nil
	}
	return os.SameFile(s.status, o.status) && s.Size() == o.Size() && s.Time().Equal(o.Time()) &&
		s.status.Mode() == o.status.Mode()
}

// Size returns how many octets there are, 0 where there is no file.
func (s Stamp) Size() int64 {
	if s.status == nil {
		return 0
	}
	return s.status.Size()
}

// Time returns when it was written last, the zero time where there is no file.
func (s Stamp) Time() time.Time {
	if s.status == nil {
		return time.Time{}
	}
	return s.status.ModTime()
}
