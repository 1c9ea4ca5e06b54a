// Package house checks the tree as a whole: which room may import which, and what a stranger finds in each room.
package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// vague are names that say nothing about a file or a room.
var vague = regexp.MustCompile(`^(utils?|helpers?|common|misc|managers?|types|shared|base)$`)

// folder is what is known about the files of one folder.
type folder struct {
	doc     bool // a file has a comment on the package
	inLab   bool // one imports integration/lab
	ownMain bool // one has a TestMain
}

// TestTree: each room says what it is, no name says nothing, and test rooms that use the lab take turns.
func TestTree(t *testing.T) {
	folders := map[string]*folder{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && (name == "testdata" || name == "clients" || strings.HasPrefix(name, ".") && name != ".."):
			return fs.SkipDir
		case vague.MatchString(strings.TrimSuffix(strings.TrimSuffix(name, ".go"), "_test")):
			t.Errorf("%s: a name that says what is in it is missing", path)
		case strings.HasSuffix(name, ".go"):
			dir := filepath.Dir(path)
			if folders[dir] == nil {
				folders[dir] = &folder{}
			}
			return folders[dir].read(path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(folders) < 30 {
		t.Fatalf("%d folders with Go files: too few to be the house", len(folders))
	}
	for dir, f := range folders {
		if !f.doc {
			t.Errorf("%s: no file says what the package is for", dir)
		}
		if f.inLab && !f.ownMain {
			t.Errorf("%s stands on the lab: its TestMain calls lab.Main", dir)
		}
	}
}

func (f *folder) read(path string) error {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
	if err != nil {
		return err
	}
	f.doc = f.doc || file.Doc != nil
	for _, i := range file.Imports {
		if name, _ := strconv.Unquote(i.Path.Value); name == module+"/integration/lab" {
			f.inLab = true
		}
	}
	for _, d := range file.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "TestMain" {
			f.ownMain = true
		}
	}
	return nil
}
