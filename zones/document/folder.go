package document

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"leeward/zones"
)

// Folder lists the files to read in a folder and those within it: documents (*.yaml, *.yml, *.json) and master files
// (<origin>.zone). Files and folders whose names begin with a dot are left out, but for the root zone's file. Symbolic
// links are followed.
type Folder struct {
	Files    []string       // paths below the folder, with slashes, sorted
	Hidden   []string       // the same of files that would be among them, but for the dot that their names begin with
	Folders  []string       // the same of the folders, "." first
	Problems zones.Problems // folders that cannot be read; the file of each is the folder's path
}

// List looks through a folder. It returns an error only if the folder itself cannot be read.
func List(folder fs.FS) (Folder, error) {
	var l Folder
	err := l.list(folder, ".", nil)
	slices.Sort(l.Files)
	return l, err
}

// list lists one folder; within are the folders that it is in.
func (l *Folder) list(folder fs.FS, dir string, within []fs.FileInfo) error {
	here, err := fs.Stat(folder, dir)
	if err == nil && slices.ContainsFunc(within, func(above fs.FileInfo) bool { return os.SameFile(above, here) }) {
		err = fmt.Errorf("a link back to a folder that it is in; take it out")
	}
	var entries []fs.DirEntry
	if err == nil {
		entries, err = fs.ReadDir(folder, dir)
	}
	if err != nil {
		return err
	}
	l.Folders = append(l.Folders, dir)
	within = append(slices.Clip(within), here)
	for _, entry := range entries {
		name := path.Join(dir, entry.Name())
		hidden := strings.HasPrefix(entry.Name(), ".") && entry.Name() != RootFile
		if hidden && (entry.IsDir() || strings.HasPrefix(entry.Name(), ".#") || !readable(name)) { // .#: Emacs locks it
			continue
		}
		isDir := entry.IsDir()
		if entry.Type()&fs.ModeSymlink != 0 {
			at, err := fs.Stat(folder, name)
			isDir = err == nil && at.IsDir()
		}
		switch {
		case hidden && isDir:
		case hidden:
			l.Hidden = append(l.Hidden, name)
		case isDir:
			if err := l.list(folder, name, within); err != nil {
				l.Problems = append(l.Problems, zones.Problem{
					Position: zones.Position{File: name},
					Message:  err.Error(), Code: zones.CodeSyntax,
				})
			}
		case readable(name):
			l.Files = append(l.Files, name)
		}
	}
	return nil
}

// RootFile is the name of the root zone's master file: <origin>.zone, as for others.
const RootFile = "..zone"

// WhyHidden says why a file of Hidden is left out, and what to do.
const WhyHidden = "its name begins with a dot, so it is left out; rename it, or move it elsewhere (the root zone's " +
	"file is " + RootFile + ")"

// readable reports whether files with such a name are read.
func readable(name string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json", ".zone"}, path.Ext(name))
}

// ReadFolder reads the files that List finds, in the order of their paths, and merges them. name is put before the
// paths in positions. open opens a file, and includes opens what $INCLUDE names, in or below the folder of its master
// file.
func ReadFolder(name string, folder fs.FS, open func(path string) (fs.File, error),
	includes func(dir string) fs.FS,
) ([]zones.Document, zones.Problems) {
	list, err := List(folder)
	if err != nil {
		return nil, zones.Problems{{Position: zones.Position{File: name}, Message: err.Error(), Code: zones.CodeSyntax}}
	}
	var docs []zones.Document
	problems := list.Problems
	for i := range problems {
		problems[i].File = path.Join(name, problems[i].File)
	}
	for _, file := range list.Hidden {
		problems = append(problems, zones.Problem{
			Position: zones.Position{File: path.Join(name, file)}, Message: WhyHidden, Warning: true,
		})
	}
	for _, file := range list.Files {
		shown := path.Join(name, file)
		r, err := open(file)
		if err != nil {
			problems = append(problems, zones.Problem{
				Position: zones.Position{File: shown}, Message: err.Error(),
				Code: zones.CodeSyntax,
			})
			continue
		}
		var some []zones.Document
		var wrong zones.Problems
		if origin, master := strings.CutSuffix(path.Base(file), ".zone"); master {
			some, wrong = ReadMaster(shown, origin, r, includes(path.Dir(file)))
		} else {
			some, wrong = Read(shown, r)
		}
		r.Close()
		docs, problems = append(docs, some...), append(problems, wrong...)
	}
	docs, wrong := zones.Merge(docs)
	return docs, append(problems, wrong...)
}
