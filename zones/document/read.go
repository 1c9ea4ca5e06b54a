// Package document reads and writes resources as text: documents (YAML, JSON), values of etcd, and master files.
//
//	YAML ──┐                     ┌── zones.ValidateFields
//	JSON ──┴─▶ node ──▶ filler ──┴─▶ zones.Resource ──▶ node ──▶ YAML, JSON, differences for people
//	master file ──▶ rr.RR ──────────▶ zones.Resource ──▶ rr.Set ──▶ master file
//
// All ways in are equally strict and end in the same checks of the model. A node knows the line that it stands on, so
// each Problem says where it is.
package document

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"

	"leeward/zones"
)

// maxFile is the largest size of a file of documents, in octets.
const maxFile = 256 << 20

// Read reads a file of documents: YAML, several separated by "---", or JSON, where a file may also have several values,
// an array of them, or an object with "items". It reads documents with each once for each item. It returns the
// documents that are valid by themselves, and the problems of the others, with their keys where these are known.
func Read(file string, r io.Reader) ([]zones.Document, zones.Problems) {
	return ReadThrough(file, r, func(*zones.Document) (bool, error) { return true, nil }, nil)
}

// ReadThrough is Read for callers that need few of a file's documents, so that not all are in memory at once. keep is
// called with each document that is valid by itself, which it may lighten, and says whether to return it. take, unless
// nil, is called with how many octets more the reading holds beside them, or fewer: of a document, or of a List of
// YAML, which is read as a whole. An error of either ends the reading and is among the problems.
func ReadThrough(
	file string, r io.Reader, keep func(*zones.Document) (bool, error), take func(octets int) error,
) ([]zones.Document, zones.Problems) {
	set := documentSet{file: file, keep: keep, held: newMeter(take)}
	err := parseDocuments(file, r, set.held, func(root *node) error {
		set.add(root)
		return set.full
	})
	var syntax *syntaxError
	switch {
	case errors.As(err, &syntax):
		set.fail(syntax.line, "", "cannot be read: %s", syntax.what)
	case err != nil && err != set.full && err != set.held.err():
		return nil, zones.Problems{{Position: zones.Position{File: file}, Message: err.Error(), Code: zones.CodeSyntax}}
	case err != nil:
		set.problems = append(set.problems, zones.Problem{
			Position: zones.Position{File: file}, Message: err.Error(),
			Code: zones.CodeSyntax,
		})
	}
	return set.docs, set.problems
}

// bounded reads up to maxFile octets.
type bounded struct {
	io.Reader
	read int
	err  error // why reading ended, unless at the end
}

func (b *bounded) Read(p []byte) (n int, err error) {
	n, err = b.Reader.Read(p)
	if b.read += n; b.read > maxFile {
		n, err = 0, fmt.Errorf("more than %d MiB; split it", maxFile>>20)
	}
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

// size returns the size of what is read, if that is a file; else 0.
func (b *bounded) size() int {
	if f, is := b.Reader.(fs.File); is {
		if about, err := f.Stat(); err == nil {
			return int(min(about.Size(), maxFile))
		}
	}
	return 0
}

// parseDocuments calls each with the documents until it returns an error. It tells JSON from YAML: all JSON is YAML,
// but the reader for JSON has clearer errors and allows tabs. YAML is read piece by piece.
func parseDocuments(file string, r io.Reader, held *meter, each func(*node) error) error {
	b := &bounded{Reader: r}
	in := bufio.NewReader(b)
	if start, _ := in.Peek(3); string(start) == "\xef\xbb\xbf" {
		_, _ = in.Discard(3)
	}
	isJSON, begins := path.Ext(file) == ".json", bytes.Buffer{}
	for !isJSON { // white space before the first character that counts
		c, err := in.ReadByte()
		if err != nil {
			break
		}
		begins.WriteByte(c)
		if bytes.IndexByte([]byte(" \t\r\n"), c) >= 0 {
			continue
		}
		if c != '{' && c != '[' {
			break
		}
		return parseEither(io.MultiReader(&begins, in), b, false, held, each)
	}
	if isJSON {
		return parseEither(in, b, true, held, each)
	}
	return parseYAMLOf(io.MultiReader(&begins, in), b, held, each)
}

// parseYAMLOf parses YAML that is read through b, whose error is clearer than the parser's.
func parseYAMLOf(r io.Reader, b *bounded, held *meter, each func(*node) error) error {
	err := parseYAML(r, held, each)
	if b.err != nil {
		return b.err
	}
	return err
}

// parseEither parses what looks like JSON. If it is not, it may still be YAML that begins with a flow mapping. The text
// is held as a whole, and of its documents one at a time.
func parseEither(r io.Reader, b *bounded, isJSON bool, held *meter, each func(*node) error) error {
	size := b.size()
	if err := held.add(size); err != nil {
		return err
	}
	text := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead))
	if _, err := text.ReadFrom(r); err != nil {
		return err
	}
	places, err := lookJSON(text.Bytes(), held)
	var syntax *syntaxError
	switch {
	case errors.As(err, &syntax) && !isJSON:
		return parseYAML(text, held, each)
	case err != nil && syntax == nil:
		return err
	}
	for _, at := range places {
		mark := held.mark()
		if err := at.read(each); err != nil {
			return err
		}
		held.release(mark)
	}
	return err
}

// documentSet collects the documents of a file.
type documentSet struct {
	file     string
	keep     func(*zones.Document) (bool, error)
	held     *meter
	full     error // the error of keep or of held, or errTooMuch
	made     int   // octets of copies
	docs     []zones.Document
	problems zones.Problems
}

func (s *documentSet) add(n *node) {
	switch {
	case s.full != nil:
		return
	case n.shape == shapeList:
		for i := range n.items {
			s.add(&n.items[i])
		}
		return
	case n.shape != shapeObject:
		s.fail(n.line, "", "a document is an object with kind and name, not %s", n.shape)
		return
	}
	kind, name := n.get("kind"), n.get("name")
	for i := range n.fields {
		if f := &n.fields[i]; f.name == eachField {
			s.addEach(n, f.line, &f.value)
			return
		}
	}
	if items := n.listed(); items != nil {
		s.add(items)
		return
	}
	begun := map[string]int{} // by line
	for _, f := range n.fields {
		if f.name != "kind" && f.name != "name" {
			continue
		}
		if before, twice := begun[f.name]; twice {
			s.fail(f.line, f.name, "it is there already at line %d; is a line with --- missing before this document?",
				before)
			return
		}
		begun[f.name] = f.line
	}
	switch {
	case kind == nil:
		s.fail(n.line, "kind", "there is none; a document begins with kind: and name:")
		return
	case kind.shape != shapeText:
		s.fail(kind.line, "kind", "a kind is text such as Pool, not %s", kind.shape)
		return
	case name == nil:
		s.fail(n.line, "name", "there is none; a document begins with kind: and name:")
		return
	case name.shape == shapeNumber || name.shape == shapeBool:
		s.fail(name.line, "name", "text should be here, not %s; write it in quotes: %q", name.shape, name.text)
		return
	case name.shape != shapeText:
		s.fail(name.line, "name", "a name is text, not %s", name.shape)
		return
	}
	empty, err := zones.Named(zones.Kind(kind.text), name.text)
	if err != nil {
		if !slices.Contains(zones.Kinds[:], zones.Kind(kind.text)) {
			s.fail(kind.line, "kind", "%v", err)
			return
		}
		s.fail(name.line, "name", "%v", err)
		return
	}
	body := &node{shape: shapeObject, line: n.line}
	for i := range n.fields {
		if v := &n.fields[i].value; v != kind && v != name {
			body.fields = append(body.fields, n.fields[i])
		}
	}
	at := zones.Position{File: s.file, Line: n.line}
	problems := read(empty, body)
	for i := range problems {
		problems[i].File, problems[i].Key = s.file, empty.Key()
	}
	s.found(problems...)
	if len(problems) == 0 {
		d := zones.Document{Resource: empty, Position: at, Lines: body}
		var kept bool
		if kept, s.full = s.keep(&d); kept {
			s.docs = append(s.docs, d)
		}
	}
}

func (s *documentSet) fail(line int, field, format string, args ...any) {
	s.found(zones.Problem{
		Position: zones.Position{File: s.file, Line: line}, Field: field, Message: fmt.Sprintf(format, args...),
		Code: zones.CodeSyntax,
	}.Brief())
}

// found notes problems, which stay in memory.
func (s *documentSet) found(problems ...zones.Problem) {
	s.problems = append(s.problems, problems...)
	if err := s.held.stay(len(problems) * problemCost); s.full == nil {
		s.full = err
	}
}
