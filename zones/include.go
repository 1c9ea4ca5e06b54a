package zones

import (
	"io/fs"
	"os"
	"path/filepath"
)

// Includes is a folder as $INCLUDE sees it: what is in it and below. A symbolic link that leads out of it is not followed.
type Includes string

// Open opens a file of the folder.
func (dir Includes) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	f, err := os.OpenInRoot(string(dir), filepath.FromSlash(name))
	if err != nil {
		return nil, err
	}
	return f, nil
}
