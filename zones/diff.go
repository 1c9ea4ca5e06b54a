package zones

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Edit is one resource's change: Old is nil for a new one, New for a deleted one.
type Edit struct {
	Key      Key
	Old, New Resource
}

// Diff returns what leads from old to new and how many resources stay as they are. The edits are in an order that never
// leaves a dangling reference: new and changed ones in the order of Kinds, then deletions in the reverse order; keys of
// one kind are sorted. What old has and new lacks is a deletion.
func Diff(old, new []Resource) (edits []Edit, unchanged int) {
	before := make(map[Key]Resource, len(old))
	for _, r := range old {
		before[r.Key()] = r
	}
	for _, r := range new {
		key := r.Key()
		was := before[key]
		delete(before, key)
		if was != nil && Same(was, r) {
			unchanged++
			continue
		}
		edits = append(edits, Edit{Key: key, Old: was, New: r})
	}
	for key, r := range before {
		edits = append(edits, Edit{Key: key, Old: r})
	}
	slices.SortFunc(edits, func(a, b Edit) int {
		if (a.New == nil) != (b.New == nil) {
			if a.New == nil {
				return 1
			}
			return -1
		}
		order := slices.Index(Kinds[:], a.Key.Kind()) - slices.Index(Kinds[:], b.Key.Kind())
		if a.New == nil {
			order = -order
		}
		if order != 0 {
			return order
		}
		return strings.Compare(string(a.Key), string(b.Key))
	})
	return edits, unchanged
}

// Same reports whether two resources have the same key and say the same.
func Same(a, b Resource) bool {
	if a.Key() != b.Key() {
		return false
	}
	if a, ok := a.(*Record); ok { // there are many of these
		b := b.(*Record)
		return a.TTL == b.TTL && slices.Equal(a.Data, b.Data)
	}
	if a, ok := a.(*Zone); ok {
		b := b.(*Zone)
		if (a.Serial == nil) != (b.Serial == nil) || a.Serial != nil && *a.Serial != *b.Serial {
			return false
		}
	}
	x, errX := Encode(a)
	y, errY := Encode(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// PrintDiff prints edits for people: a line for each resource, and for a changed one a line for each field that
// changed. colour is for terminals.
func PrintDiff(w io.Writer, edits []Edit, unchanged int, colour bool) error {
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

// change is one field's: was is empty where it is new, is where it has gone.
type change struct{ path, was, is string }

// compare lists what differs between two trees, as deep as they have the same shape.
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
		if scalars(was) && scalars(is) { // short lists of words are seen best as a whole
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
			changes = append(changes, compare(item(at, i), a, b)...)
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

// shown writes a value as short as YAML on one line.
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
