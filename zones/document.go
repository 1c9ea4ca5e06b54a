package zones

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
)

// Document is a resource and where it was read.
type Document struct {
	Resource Resource
	Position
	tree   *node // its fields, for the lines of problems found later; nil if they are not known
	master bool  // a Zone that a master file has brought
}

// maxFile is the most that one file of documents can have, in octets.
const maxFile = 256 << 20

// Documents wraps resources that no file has brought, such as those in etcd.
func Documents(rs ...Resource) []Document {
	docs := make([]Document, len(rs))
	for i, r := range rs {
		docs[i].Resource = r
	}
	return docs
}

// Resources takes the documents' resources out.
func Resources(docs []Document) []Resource {
	rs := make([]Resource, len(docs))
	for i, d := range docs {
		rs[i] = d.Resource
	}
	return rs
}

// ReadDocuments reads a file of documents: YAML, several parted by "---", or JSON, where a file may also hold several
// values, an array of them, or an object with "items". It returns those that are good by themselves, and what is wrong
// with the others; their keys are in the problems, where they are known.
func ReadDocuments(file string, r io.Reader) ([]Document, Problems) {
	text, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("more than %d MiB; split it", maxFile>>20)
	}
	if err != nil {
		return nil, Problems{{Position: Position{File: file}, Message: err.Error(), Code: CodeSyntax}}
	}
	set := documentSet{file: file}
	roots, err := parseDocuments(file, text)
	for i := range roots {
		set.add(&roots[i])
	}
	var syntax *syntaxError
	if errors.As(err, &syntax) {
		set.problems = append(set.problems, Problem{
			Position: Position{file, syntax.line}, Message: "cannot be read: " + syntax.what, Code: CodeSyntax,
		})
	}
	return set.docs, set.problems
}

// parseDocuments tells JSON from YAML. All JSON is YAML, but JSON's own reader has clearer errors and takes tabs.
func parseDocuments(file string, text []byte) ([]node, error) {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	start := bytes.TrimLeft(text, " \t\r\n")
	isJSON := path.Ext(file) == ".json"
	if isJSON || len(start) > 0 && (start[0] == '{' || start[0] == '[') {
		var roots []node
		rest, line := text, 1
		for len(bytes.TrimLeft(rest, " \t\r\n")) > 0 {
			var root node
			var err error
			if root, rest, line, err = parseJSON(rest, line); err != nil {
				if isJSON {
					return roots, err
				}
				return parseYAML(bytes.NewReader(text))
			}
			roots = append(roots, root)
		}
		return roots, nil
	}
	return parseYAML(bytes.NewReader(text))
}

// documentSet collects the documents of a file.
type documentSet struct {
	file     string
	docs     []Document
	problems Problems
}

func (s *documentSet) add(n *node) {
	switch {
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
	if items := n.get("items"); items != nil && items.shape == shapeList && (kind == nil || kind.text == "List") {
		s.add(items)
		return
	}
	begun := map[string]int{} // lines
	for _, f := range n.fields {
		if f.name != "kind" && f.name != "name" {
			continue
		}
		if before, twice := begun[f.name]; twice {
			s.fail(f.line, f.name, "it is there already at line %d; is a line with --- missing before this document?", before)
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
	empty, err := named(Kind(kind.text), name.text)
	if err != nil {
		if !slices.Contains(Kinds[:], Kind(kind.text)) {
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
	at := Position{s.file, n.line}
	problems := read(empty, body)
	for i := range problems {
		problems[i].File, problems[i].Key = s.file, empty.Key()
	}
	s.problems = append(s.problems, problems...)
	if len(problems) == 0 {
		s.docs = append(s.docs, Document{Resource: empty, Position: at, tree: body})
	}
}

func (s *documentSet) fail(line int, field, format string, args ...any) {
	s.problems = append(s.problems, Problem{
		Position: Position{s.file, line}, Field: field, Message: fmt.Sprintf(format, args...), Code: CodeSyntax,
	})
}

// Merge brings documents of one key together: the Zone of a master file with a Zone document, which only adds to it.
// Any other key that is there twice is a problem of the later document, which is left out. Order is kept.
func Merge(docs []Document) ([]Document, Problems) {
	first := make(map[Key]int, len(docs))
	merged := make([]Document, 0, len(docs))
	var problems Problems
	for _, d := range docs {
		key := d.Resource.Key()
		at, twice := first[key]
		if !twice {
			first[key] = len(merged)
			merged = append(merged, d)
			continue
		}
		before := merged[at]
		if a, b, ok := masterFirst(before, d); ok {
			zone, wrong := mergeZone(a, b)
			merged[at].Resource, merged[at].master = zone, true
			problems = append(problems, wrong...)
			continue
		}
		problems = append(problems, Problem{
			Position: d.Position, Key: key, Code: CodeConflict,
			Message: "it is there already" + atPosition(before.Position) + "; take one out",
		})
	}
	return merged, problems
}

func atPosition(p Position) string {
	if p.File == "" {
		return ""
	}
	return " at " + p.String()
}

// masterFirst returns the two documents, a master file's Zone first, if that is what they are.
func masterFirst(a, b Document) (master, other Document, ok bool) {
	if b.master {
		a, b = b, a
	}
	_, isZone := a.Resource.(*Zone)
	return a, b, isZone && a.master && !b.master
}

// mergeZone adds to a master file's zone what the document has beyond it. What both say, the master file says.
func mergeZone(master, doc Document) (*Zone, Problems) {
	z, more := *master.Resource.(*Zone), doc.Resource.(*Zone)
	var problems Problems
	differs := func(field, file, doc2 string) {
		problems = append(problems, Problem{
			Position: Position{doc.File, doc.line(field)}, Key: z.Key(), Field: field, Warning: true,
			Message: fmt.Sprintf("the master file says %s, which counts; take %s out here or change it there", file, doc2),
		})
	}
	for _, ns := range more.Nameservers {
		if !slices.Contains(z.Nameservers, ns) {
			z.Nameservers = append(slices.Clip(z.Nameservers), ns)
		}
	}
	text := func(field string, have *string, add string) {
		switch {
		case *have == "":
			*have = add
		case add != "" && add != *have:
			differs(field, *have, add)
		}
	}
	span := func(field string, have *TTL, add TTL) {
		switch {
		case have.IsZero():
			*have = add
		case !add.IsZero() && add != *have:
			differs(field, have.String(), add.String())
		}
	}
	if more.Hostmaster != "" && more.RName() != z.RName() {
		differs("hostmaster", z.Hostmaster, more.Hostmaster)
	}
	text("primary", &z.Primary, more.Primary)
	span("ttl", &z.TTL, more.TTL)
	span("soaTTL", &z.SOATTL, more.SOATTL)
	span("negativeTTL", &z.NegativeTTL, more.NegativeTTL)
	span("refresh", &z.Refresh, more.Refresh)
	span("retry", &z.Retry, more.Retry)
	span("expire", &z.Expire, more.Expire)
	if z.DNSSEC == nil {
		z.DNSSEC = more.DNSSEC
	}
	if z.SerialOffset == 0 {
		z.SerialOffset = more.SerialOffset
	}
	z.Transfer, z.Update, z.Order = more.Transfer, more.Update, more.Order
	return &z, problems
}

// line returns the line of a field, as near as it is known.
func (d Document) line(field string) int {
	if d.tree == nil || field == "" {
		return d.Line
	}
	return d.tree.lineOf(field)
}
