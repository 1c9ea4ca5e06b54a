package house

import (
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// longest is how many columns a line of Go code may have. A tab counts as tabWidth.
const (
	longest  = 120
	tabWidth = 4
)

// root is the module's folder.
const root = "../.."

// longLines returns the numbers of the lines that are too long. Lines with a raw string do not count: struct tags,
// golden texts and documents cannot be broken.
func longLines(source []byte) (numbers []int) {
	raw := map[int]bool{}
	file := token.NewFileSet().AddFile("", -1, len(source))
	var s scanner.Scanner
	s.Init(file, source, nil, scanner.ScanComments)
	for {
		at, kind, text := s.Scan()
		if kind == token.EOF {
			break
		}
		if kind == token.STRING && text[0] == '`' {
			first := file.Line(at)
			for n := range 1 + strings.Count(text, "\n") {
				raw[first+n] = true
			}
		}
	}
	n := 0
	for line := range strings.Lines(string(source)) {
		n++
		columns := utf8.RuneCountInString(strings.TrimRight(line, "\n")) + (tabWidth-1)*strings.Count(line, "\t")
		if columns > longest && !raw[n] && !strings.HasPrefix(line, "//go:") {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// TestLines holds the whole tree to lines that fit beside each other on a screen.
func TestLines(t *testing.T) {
	folders := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		folders[filepath.Dir(path)] = true
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, n := range longLines(source) {
			t.Errorf("%s:%d has more than %d columns (a tab is %d): break it", path[len(root)+1:], n, longest, tabWidth)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(folders) < len(rooms) {
		t.Fatalf("%d folders with Go files were found: too few to be the house", len(folders))
	}
}

// TestLinesFindsLongOnes holds the test above: what it counts and what it leaves alone.
func TestLinesFindsLongOnes(t *testing.T) {
	x := strings.Repeat("x", longest-4)
	for source, want := range map[string]int{
		"package p\n\n// " + x + "y\n":             0,
		"package p\n\n// " + x + "yy\n":            1,
		"package p\n\n//\t" + x + "\n":             1,
		"package p\n\n// " + x + "ü\n":             0,
		"package p\n\nvar _ = \"" + x + "\"\n":     1,
		"package p\n\nvar _ = `\n" + x + x + "`":   0,
		"package p\n\nvar _ = `" + x + x + "`\n":   0,
		"package p\n\n//go:generate " + x + x + "": 0,
	} {
		if got := len(longLines([]byte(source))); got != want {
			t.Errorf("%q has %d long lines, want %d", source, got, want)
		}
	}
}
