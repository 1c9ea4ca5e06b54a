package document

import "leeward/zones"

// FieldChange is one field's change: Was is empty where it is new, Is where it is gone.
type FieldChange struct{ Path, Was, Is string }

// Fields returns what an edit changes, field by field as PrintDiff prints it, without secrets (zones.Edit.Hide). It
// returns nothing for a resource that is new or gone.
func Fields(e zones.Edit) []FieldChange {
	old, new := e.Hide()
	if old == nil || new == nil {
		return nil
	}
	was, err := bodyOf(old)
	if err != nil {
		return nil
	}
	is, err := bodyOf(new)
	if err != nil {
		return nil
	}
	var all []FieldChange
	for _, c := range compare("", was, is) {
		all = append(all, FieldChange{c.path, c.was, c.is})
	}
	return all
}
