package document

import "leeward/zones"

// FieldChange is the change of one field. Was is empty if the field is new, Is if it has gone.
type FieldChange struct{ Path, Was, Is string }

// Fields returns what an edit changes, field by field as PrintDiff prints it, without secrets (zones.Edit.Hide). For a
// resource that is new or gone, it returns nothing.
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
