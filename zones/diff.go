package zones

import (
	"bytes"
	"slices"
	"strings"
)

// Edit is one resource's change: Old is nil for a new one, New for a deleted one.
type Edit struct {
	Key      Key
	Old, New Resource
}

// Diff returns the edits that lead from old to new, and how many resources stay as they are. What old has and new lacks
// is a deletion. The order of the edits never leaves a dangling reference: first new and changed resources in the order
// of Kinds, then deletions in the reverse order. Keys of one kind are sorted.
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

// Same reports whether two resources have the same key, the same document and the same inherited values.
func Same(a, b Resource) bool {
	if a == b { // the same version, as of nearly every policy that is written to the copy on disk
		return true
	}
	if x, y := inheritance(a), inheritance(b); x != nil && y != nil && x.Inherited|y.Inherited != 0 {
		return *x == *y && SameDocument(a, b) && SameDocument(WrittenOut(a), WrittenOut(b))
	}
	return SameDocument(a, b)
}

// SameDocument reports whether two resources have the same key and the same document, whatever they inherit.
func SameDocument(a, b Resource) bool {
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
