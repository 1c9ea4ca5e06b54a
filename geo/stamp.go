package geo

import (
	"io/fs"
	"os"
	"time"
)

// stamp tells versions of a file apart without reading it.
type stamp struct {
	status   fs.FileInfo // nil: there is no file
	modified time.Time
}

func stampOf(status fs.FileInfo) stamp { return stamp{status, status.ModTime()} }

// stampFile returns the stamp that the file has now, the zero stamp if there is none.
func stampFile(file string) stamp {
	status, err := os.Stat(file)
	if err != nil {
		return stamp{}
	}
	return stampOf(status)
}

// same reports whether both are of one version of a file.
func (s stamp) same(other stamp) bool {
	if s.status == nil || other.status == nil {
		return s.status == nil && other.status == nil
	}
	return os.SameFile(s.status, other.status) && s.status.Size() == other.status.Size() && s.modified.Equal(other.modified)
}
