package document

import (
	"strconv"
	"strings"
)

// node is one value of a document, whether it was YAML or JSON, with the line that it stands on.
type node struct {
	shape  shape
	line   int
	text   string  // of a scalar: its value, without quotes
	items  []node  // of a list
	fields []field // of an object, in the order of the document
}

// field is one entry of an object.
type field struct {
	name  string
	line  int
	value node
}

// shape is what kind of value a node is.
type shape uint8

const (
	shapeNull shape = iota
	shapeText
	shapeNumber
	shapeBool
	shapeList
	shapeObject
)

func (s shape) String() string {
	return [...]string{"nothing", "text", "a number", "true or false", "a list", "an object"}[s]
}

// maxDepth is how deep documents may nest. Resources need only a few levels.
const maxDepth = 32

// get returns the field's value, or nil.
func (n *node) get(name string) *node {
	for i := range n.fields {
		if n.fields[i].name == name {
			return &n.fields[i].value
		}
	}
	return nil
}

const itemsField = "items"

// listed returns the items of a List whose items are documents as they stand; nil: it is something else.
func (n *node) listed() *node {
	kind, items := n.get("kind"), n.get(itemsField)
	if items == nil || items.shape != shapeList || kind != nil && kind.text != "List" || n.get(eachField) != nil {
		return nil
	}
	return items
}

// LineOf returns the line of the value at a path such as "rules[0].failover[1]" or "bias.www-us", or of the nearest
// value above it that exists.
func (n *node) LineOf(path string) int {
	at, line := n, n.line
	for path != "" {
		var next *node
		rest := path
		switch at.shape {
		case shapeObject:
			// Names can have dots in them, as keys of maps do, so take the longest that fits.
			longest := -1
			for i := range at.fields {
				f := &at.fields[i]
				after, ok := strings.CutPrefix(path, f.name)
				if ok && len(f.name) > longest && (after == "" || after[0] == '.' || after[0] == '[') {
					next, rest, longest = &f.value, after, len(f.name)
					line = f.line
				}
			}
		case shapeList:
			if digits, after, ok := strings.Cut(strings.TrimPrefix(path, "["), "]"); ok && path[0] == '[' {
				if i, err := strconv.Atoi(digits); err == nil && i >= 0 && i < len(at.items) {
					next, rest = &at.items[i], after
					line = next.line
				}
			}
		}
		if next == nil {
			return line
		}
		at, path = next, strings.TrimPrefix(rest, ".")
	}
	return line
}
