package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// syntaxError is a document that cannot be read at all.
type syntaxError struct {
	line int
	what string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("line %d: %s", e.line, e.what) }

// parseJSON reads one JSON value (RFC 8259) with the lines of all its parts, and returns the text after it.
//
// json.Decoder tells the offset of each token, and could be used for this. But it takes five times as long (7.5 µs
// instead of 1.5 µs for a Record, which is 6 s more at a start with a million records), and it says "invalid character"
// where a person wants to read that text needs double quotes. FuzzParseJSON compares this reader with it.
func parseJSON(text []byte, line int) (root node, rest []byte, end int, err error) {
	p := jsonText{text: text, line: line}
	p.blank()
	defer caught(&err)
	root = p.value(0)
	p.blank()
	return root, p.text, p.line, nil
}

// jsonText is the rest of a text. Its methods panic with a fault, which caught catches.
type jsonText struct {
	text []byte
	line int
	held *meter
}

// fault is an error that ends the reading of a JSON text.
type fault struct{ error }

// caught returns the fault that a function panics with as its error. It is to be deferred.
func caught(err *error) {
	switch f := recover().(type) {
	case nil:
	case fault:
		*err = f.error
	default:
		panic(f)
	}
}

func (p *jsonText) fail(format string, args ...any) {
	panic(fault{&syntaxError{p.line, fmt.Sprintf(format, args...)}})
}

// jsonPlace is where a value of a file begins. If list is set, its items are documents, and it is the value of those.
type jsonPlace struct {
	jsonText
	list  bool
	depth int // of the value, or of the items
}

// lookJSON looks through the values of a file, and returns their places. It holds one document at a time. With an error
// it returns the places before it.
func lookJSON(text []byte, held *meter) (places []jsonPlace, err error) {
	p := jsonText{text, 1, held}
	defer caught(&err)
	for p.blank(); len(p.text) > 0; p.blank() {
		at := p.look()
		held.must(placeCost)
		places = append(places, at)
	}
	return places, nil
}

// look goes over one value.
func (p *jsonText) look() jsonPlace {
	at, mark := jsonPlace{jsonText: *p}, p.held.mark()
	defer p.held.release(mark)
	ignore := func(*node) error { return nil }
	switch p.text[0] {
	case '[':
		at.list, at.depth = true, 1
		p.items(at.depth, ignore)
	case '{':
		n, items := node{shape: shapeObject}, jsonPlace{list: true, depth: 2}
		p.object(func(f field) {
			if p.next('[') && f.name == itemsField && items.text == nil {
				items.jsonText = *p
				f.value.shape = shapeList
				p.items(items.depth, ignore)
			} else {
				f.value = p.value(1)
			}
			n.fields = append(n.fields, f)
		})
		if n.listed() != nil {
			return items
		}
	default:
		p.value(0)
	}
	return at
}

// read calls each with the documents that are at a place.
func (at jsonPlace) read(each func(*node) error) (err error) {
	defer caught(&err)
	if at.list {
		at.items(at.depth, each)
		return nil
	}
	root := at.value(at.depth)
	return each(&root)
}

// items calls each with the items of a list, of which it holds one at a time.
func (p *jsonText) items(depth int, each func(*node) error) {
	mark := p.held.mark()
	p.members(']', func() {
		item := p.value(depth)
		if err := each(&item); err != nil {
			panic(fault{err})
		}
		p.held.release(mark)
	})
}

// next reports whether such a character is next.
func (p *jsonText) next(c byte) bool { return len(p.text) > 0 && p.text[0] == c }

func (p *jsonText) blank() {
	for len(p.text) > 0 {
		switch p.text[0] {
		case '\n':
			p.line++
		case ' ', '\t', '\r':
		default:
			return
		}
		p.text = p.text[1:]
	}
}

func (p *jsonText) value(depth int) node {
	if len(p.text) == 0 {
		p.fail("the text ends where a value should be")
	}
	if depth > maxDepth {
		p.fail("nested more than %d deep", maxDepth)
	}
	p.held.must(nodeCost)
	n := node{line: p.line}
	switch c := p.text[0]; {
	case c == '{':
		n.shape = shapeObject
		p.object(func(f field) {
			f.value = p.value(depth + 1)
			n.fields = append(n.fields, f)
		})
	case c == '[':
		n.shape = shapeList
		p.members(']', func() { n.items = append(n.items, p.value(depth+1)) })
	case c == '"':
		n.shape, n.text = shapeText, p.quoted()
	case c == '-' || '0' <= c && c <= '9':
		n.shape, n.text = shapeNumber, p.word()
		if !json.Valid([]byte(n.text)) {
			p.fail("%s is not a number", n.text)
		}
	default:
		switch n.text = p.word(); n.text {
		case "true", "false":
			n.shape = shapeBool
		case "null":
			n.shape = shapeNull
		case "":
			p.fail("a value should be here, not %s", p.here())
		default:
			p.fail("%s is not a value; text stands in double quotes", n.text)
		}
	}
	return n
}

// object calls each with the name of each field, when its value is next.
func (p *jsonText) object(each func(field)) {
	p.members('}', func() {
		if !p.next('"') {
			p.fail("a field's name in double quotes should be here, not %s", p.here())
		}
		f := field{line: p.line, name: p.quoted()}
		p.blank()
		if !p.next(':') {
			p.fail("\":\" should follow the name %q, not %s", f.name, p.here())
		}
		p.text = p.text[1:]
		p.blank()
		each(f)
	})
}

// members reads what is between brackets, separated by commas.
func (p *jsonText) members(closing byte, each func()) {
	p.text = p.text[1:]
	p.blank()
	for first := true; ; first = false {
		if len(p.text) == 0 {
			p.fail("the text ends before the closing %q", closing)
		}
		if p.text[0] == closing {
			p.text = p.text[1:]
			return
		}
		if !first {
			if p.text[0] != ',' {
				p.fail("a comma or %q should be here, not %s", closing, p.here())
			}
			p.text = p.text[1:]
			p.blank()
		}
		each()
		p.blank()
	}
}

func (p *jsonText) quoted() string {
	escaped := false
	for i := 1; i < len(p.text); i++ {
		switch c := p.text[i]; {
		case c == '\\':
			escaped = true
			i++
		case c == '"':
			raw := p.text[:i+1]
			p.held.must(len(raw))
			p.text = p.text[i+1:]
			if !utf8.Valid(raw) {
				p.fail("text that is not UTF-8")
			}
			if !escaped {
				return string(raw[1:i])
			}
			var s string
			if err := json.Unmarshal(raw, &s); err != nil {
				p.fail("%s: %v", raw, errors.Unwrap(err))
			}
			return s
		case c < ' ':
			p.fail("a control character within quotes; write it with a backslash")
		}
	}
	p.fail("a quote is left open")
	return ""
}

// word takes the characters that numbers and literals consist of.
func (p *jsonText) word() string {
	i := 0
	for i < len(p.text) && (p.text[i] == '-' || p.text[i] == '+' || p.text[i] == '.' || p.text[i] == '_' ||
		'0' <= p.text[i] && p.text[i] <= '9' || 'a' <= p.text[i]|0x20 && p.text[i]|0x20 <= 'z') {
		i++
	}
	w := string(p.text[:i])
	p.text = p.text[i:]
	return w
}

// here shows the text at the place of an error.
func (p *jsonText) here() string {
	if len(p.text) == 0 {
		return "the end of the text"
	}
	r, _ := utf8.DecodeRune(p.text)
	return fmt.Sprintf("%q", r)
}

// appendJSON writes a node as JSON on one line.
func appendJSON(dst []byte, n *node) []byte {
	switch n.shape {
	case shapeNull:
		return append(dst, "null"...)
	case shapeText:
		return appendQuoted(dst, n.text)
	case shapeNumber:
		if !json.Valid([]byte(n.text)) { // YAML has more ways to write numbers
			return appendQuoted(dst, n.text)
		}
		return append(dst, n.text...)
	case shapeBool:
		return append(dst, strings.ToLower(n.text)...)
	case shapeList:
		dst = append(dst, '[')
		for i := range n.items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, &n.items[i])
		}
		return append(dst, ']')
	default:
		dst = append(dst, '{')
		for i := range n.fields {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendQuoted(dst, n.fields[i].name), ':')
			dst = appendJSON(dst, &n.fields[i].value)
		}
		return append(dst, '}')
	}
}

// appendQuoted writes a text in quotes. It leaves <, > and & as they are, because people read the values, not browsers.
func appendQuoted(dst []byte, s string) []byte {
	b := bytes.NewBuffer(dst)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a text can always be encoded
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
