package document

import (
	"io/fs"
	"os"
	"path/filepath"

	"leeward/zones/disk"
)

// Includes is a folder for $INCLUDE: files in it and below. A symbolic link that leads out of it is not followed.
type Includes string

// Open opens a regular file of the folder. It never waits.
func (dir Includes) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	root, err := os.OpenRoot(string(dir))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return disk.OpenIn(root, filepath.FromSlash(name))
}
