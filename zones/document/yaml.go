package document

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxAliased is how many nodes the aliases of one file may expand to, as a few lines of YAML can expand to more than
// fits into memory.
const maxAliased = 10_000

// parseYAML calls each with the documents of a YAML stream until it returns an error or a document cannot be read.
// Aliases are expanded. Merge keys and tags are refused, because the same document in JSON could not have them.
func parseYAML(r io.Reader, each func(*node) error) error {
	seen := &octets{r: r}
	decoder := yaml.NewDecoder(seen)
	t := yamlTree{}
	for {
		var doc yaml.Node
		switch err := decoder.Decode(&doc); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return seen.where(yamlError(err))
		}
		if len(doc.Content) != 1 || doc.Content[0].Kind == yaml.ScalarNode && doc.Content[0].ShortTag() == "!!null" {
			continue // nothing between two "---"
		}
		root, err := t.node(doc.Content[0], 0, false)
		if err == nil {
			err = each(&root)
		}
		if err != nil {
			return err
		}
	}
}

// yamlError takes the line out of the text of an error of the yaml package.
func yamlError(err error) *syntaxError {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		if digits, what, ok := strings.Cut(rest, ": "); ok {
			if line, err := strconv.Atoi(digits); err == nil {
				if strings.HasSuffix(what, "cannot start any token") {
					what += "; indent by spaces, not tabs, and put text in quotes that begins with @, ` or %"
				}
				return &syntaxError{line, what}
			}
		}
	}
	return &syntaxError{0, text}
}

// yamlTree converts the yaml package's nodes into ours.
type yamlTree struct {
	aliased int
}

func (t *yamlTree) node(y *yaml.Node, depth int, aliased bool) (node, error) {
	fail := func(format string, args ...any) (node, error) {
		return node{}, &syntaxError{y.Line, fmt.Sprintf(format, args...)}
	}
	if aliased {
		if t.aliased++; t.aliased > maxAliased {
			return fail("aliases stand for more than %d values; write them out", maxAliased)
		}
	}
	if depth > maxDepth {
		return fail("nested more than %d deep", maxDepth)
	}
	n := node{line: y.Line, text: y.Value}
	if y.Style&yaml.TaggedStyle != 0 && y.ShortTag() != "!!str" {
		return fail("tag %s is not supported; take it out", y.Tag)
	}
	switch y.Kind {
	case yaml.AliasNode:
		inner, err := t.node(y.Alias, depth+1, true)
		inner.line = y.Line
		return inner, err
	case yaml.SequenceNode:
		n.shape = shapeList
		for _, item := range y.Content {
			v, err := t.node(item, depth+1, aliased)
			if err != nil {
				return node{}, err
			}
			n.items = append(n.items, v)
		}
	case yaml.MappingNode:
		n.shape = shapeObject
		for i := 0; i+1 < len(y.Content); i += 2 {
			name, v := y.Content[i], y.Content[i+1]
			if name.Kind != yaml.ScalarNode {
				return fail("a field's name is text")
			}
			if name.ShortTag() == "!!merge" {
				return node{}, &syntaxError{name.Line, `merge keys ("<<") are not supported; write the fields out`}
			}
			value, err := t.node(v, depth+1, aliased)
			if err != nil {
				return node{}, err
			}
			n.fields = append(n.fields, field{name.Value, name.Line, value})
		}
	case yaml.ScalarNode:
		switch y.ShortTag() {
		case "!!null":
			n.shape = shapeNull
		case "!!bool":
			n.shape = shapeBool
		case "!!int", "!!float":
			n.shape = shapeNumber
		default: // text, and a time, which is text in JSON
			n.shape = shapeText
		}
	default:
		return fail("not a value")
	}
	return n, nil
}

// yamlNode converts a node back. Lists of scalars are on one line.
func yamlNode(n *node) *yaml.Node {
	y := &yaml.Node{Kind: yaml.ScalarNode, Value: n.text}
	switch n.shape {
	case shapeNull:
		y.Tag = "!!null"
	case shapeBool:
		y.Tag = "!!bool"
	case shapeNumber: // !!int or !!float, depending on the text
	case shapeText:
		y.Tag = "!!str"
		if strings.Contains(n.text, "\n") {
			y.Style = yaml.DoubleQuotedStyle
		}
	case shapeList:
		y.Kind, y.Tag = yaml.SequenceNode, "!!seq"
		if flat(n) {
			y.Style = yaml.FlowStyle
		}
		for i := range n.items {
			y.Content = append(y.Content, yamlNode(&n.items[i]))
		}
	case shapeObject:
		y.Kind, y.Tag = yaml.MappingNode, "!!map"
		if len(n.fields) == 0 || numbers(n) {
			y.Style = yaml.FlowStyle
		}
		for i := range n.fields {
			f := &n.fields[i]
			y.Content = append(y.Content, yamlNode(&node{shape: shapeText, text: f.name}), yamlNode(&f.value))
		}
	}
	return y
}

// flat reports whether a list reads well on one line.
func flat(n *node) bool {
	width := 0
	for i := range n.items {
		item := &n.items[i]
		if item.shape == shapeList || item.shape == shapeObject && !numbers(item) {
			return false
		}
		width += len(item.text) + 2
		for _, f := range item.fields {
			width += len(f.name) + len(f.value.text) + 4
		}
	}
	return width <= 100
}

// numbers reports whether an object has only numbers, such as weights by name.
func numbers(n *node) bool {
	for i := range n.fields {
		if n.fields[i].value.shape != shapeNumber {
			return false
		}
	}
	return n.shape == shapeObject
}
