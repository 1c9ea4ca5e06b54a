package document

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"leeward/zones"
)

// PrintDiff prints edits for people: a line for each resource, followed by a line for each field that changed. colour
// is for terminals.
func PrintDiff(w io.Writer, edits []zones.Edit, unchanged int, colour bool) error {
	var b bytes.Buffer
	line := func(code int, format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		if colour && code > 0 {
			text = fmt.Sprintf("\x1b[%dm%s\x1b[0m", code, text)
		}
		b.WriteString(text + "\n")
	}
	const red, green, yellow = 31, 32, 33
	added, changed, deleted := 0, 0, 0
	for _, e := range edits {
		switch {
		case e.Old == nil:
			added++
			line(green, "+ %s", e.Key)
		case e.New == nil:
			deleted++
			line(red, "- %s", e.Key)
		default:
			changed++
			line(yellow, "~ %s", e.Key)
			was, err := bodyOf(e.Old)
			if err != nil {
				return err
			}
			is, err := bodyOf(e.New)
			if err != nil {
				return err
			}
			for _, c := range compare("", was, is) {
				switch {
				case c.was == "":
					line(green, "    + %s: %s", c.path, c.is)
				case c.is == "":
					line(red, "    - %s: %s", c.path, c.was)
				default:
					line(0, "      %s: %s → %s", c.path, c.was, c.is)
				}
			}
		}
	}
	line(0, "%d added, %d changed, %d deleted, %d unchanged", added, changed, deleted, unchanged)
	_, err := w.Write(b.Bytes())
	return err
}

// change is the change of one field. was is empty if the field is new, is if it has gone.
type change struct{ path, was, is string }

// compare lists the differences between two trees, as deep as they have the same shape.
func compare(at string, was, is *node) []change {
	if was == nil {
		return []change{{path: at, is: shown(is)}}
	}
	if is == nil {
		return []change{{path: at, was: shown(was)}}
	}
	var changes []change
	switch {
	case was.shape == shapeObject && is.shape == shapeObject:
		sub := func(name string) string { return strings.TrimPrefix(at+"."+name, ".") }
		for i := range was.fields {
			f := &was.fields[i]
			changes = append(changes, compare(sub(f.name), &f.value, is.get(f.name))...)
		}
		for i := range is.fields {
			if f := &is.fields[i]; was.get(f.name) == nil {
				changes = append(changes, compare(sub(f.name), nil, &f.value)...)
			}
		}
	case was.shape == shapeList && is.shape == shapeList:
		if scalars(was) && scalars(is) { // a short list of words is easiest to read as a whole
			if a, b := shown(was), shown(is); a != b {
				return []change{{at, a, b}}
			}
			return nil
		}
		for i := range max(len(was.items), len(is.items)) {
			var a, b *node
			if i < len(was.items) {
				a = &was.items[i]
			}
			if i < len(is.items) {
				b = &is.items[i]
			}
			changes = append(changes, compare(zones.Item(at, i), a, b)...)
		}
	default:
		if a, b := shown(was), shown(is); a != b {
			return []change{{at, a, b}}
		}
	}
	return changes
}

func scalars(n *node) bool {
	return !slices.ContainsFunc(n.items, func(i node) bool { return i.shape == shapeList || i.shape == shapeObject })
}

// shown writes a value as compact YAML on one line.
func shown(n *node) string {
	var parts []string
	switch n.shape {
	case shapeList:
		for i := range n.items {
			parts = append(parts, shown(&n.items[i]))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case shapeObject:
		for i := range n.fields {
			parts = append(parts, n.fields[i].name+": "+shown(&n.fields[i].value))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case shapeText:
		if n.text == "" || strings.ContainsAny(n.text, " ,:[]{}\"\n") {
			return string(appendQuoted(nil, n.text))
		}
	}
	return n.text
}
