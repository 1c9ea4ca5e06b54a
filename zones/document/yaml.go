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
// Aliases are expanded. Merge keys and tags are refused, because the same document in JSON could not have them. The
// yaml package makes a tree of each document; the items of a List are taken out of it one at a time.
func parseYAML(r io.Reader, held *meter, each func(*node) error) error {
	seen := &octets{r: r}
	decoder := yaml.NewDecoder(&yamlWeight{r: seen, held: held})
	t := yamlTree{held: held}
	for {
		var doc yaml.Node
		mark := held.mark()
		_ = held.add(2 * yamlCost) // the document, and its value; what is wrong is asked below
		switch err := decoder.Decode(&doc); {
		case held.err() != nil:
			return held.err()
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return seen.where(yamlError(err))
		}
		if len(doc.Content) != 1 || doc.Content[0].Kind == yaml.ScalarNode && doc.Content[0].ShortTag() == "!!null" {
			continue // nothing between two "---"
		}
		if err := t.documents(doc.Content[0], each); err != nil {
			return err
		}
		held.release(mark)
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
	held    *meter
}

// documents calls each with a document, or with the items of a List or of a list.
func (t *yamlTree) documents(y *yaml.Node, each func(*node) error) error {
	if y.Kind == yaml.SequenceNode && y.Style&yaml.TaggedStyle == 0 {
		return t.items(y, 1, each)
	}
	if items := yamlItems(y); items != nil {
		content, aliased := items.Content, t.aliased
		items.Content = nil
		around, err := t.node(y, 0, false)
		if err != nil {
			return err
		}
		if items.Content = content; around.listed() != nil {
			return t.items(items, 2, each)
		}
		t.aliased = aliased
	}
	root, err := t.node(y, 0, false)
	if err != nil {
		return err
	}
	return each(&root)
}

// yamlItems returns the list in the first field with the name of a List's; nil: there is none.
func yamlItems(y *yaml.Node) *yaml.Node {
	for i := 0; y.Kind == yaml.MappingNode && i+1 < len(y.Content); i += 2 {
		if y.Content[i].Value == itemsField && y.Content[i].Kind == yaml.ScalarNode {
			if items := y.Content[i+1]; items.Kind == yaml.SequenceNode {
				return items
			}
			return nil
		}
	}
	return nil
}

// yamlDone is in the place of an item that is done. Nothing but the list has that place.
var yamlDone = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}

// items calls each with the items of a list, and lets go of those that are done.
func (t *yamlTree) items(list *yaml.Node, depth int, each func(*node) error) error {
	for i, item := range list.Content {
		mark := t.held.mark()
		v, err := t.node(item, depth, false)
		if err != nil {
			return err
		}
		if err := each(&v); err != nil {
			return err
		}
		list.Content[i] = &yamlDone
		t.held.release(mark)
	}
	return nil
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
	if err := t.held.add(nodeCost); err != nil {
		return node{}, err
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
