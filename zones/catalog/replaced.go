package catalog

import "leeward/zones"

// Replaced is a resource before a batch changed it.
type Replaced struct {
	Resource zones.Resource // nil: it did not exist
	Revision int64          // of that version
}

// replacing keeps what batches replace, so that differences can be told. most bounds how many resources are kept; lacks
// says that there were more.
type replacing struct {
	was   map[zones.Key]Replaced // nil: nothing is kept
	most  int
	lacks bool
}

// Filled reports whether a first list of everything was taken in, be it an empty one: what comes after it is a change.
func (c *Catalog) Filled() bool { return c.filled }

// KeepReplaced makes the next batches keep what they replace, up to most resources, until TakeReplaced.
func (c *Catalog) KeepReplaced(most int) {
	c.replaced = replacing{was: make(map[zones.Key]Replaced), most: most}
}

// TakeReplaced returns what was kept since KeepReplaced, and ends that. If lacks is true, nothing is known about keys
// that are not in it; otherwise they have not changed. It can have resources that have not changed in the end;
// Delta.Keys tells which have.
func (c *Catalog) TakeReplaced() (was map[zones.Key]Replaced, lacks bool) {
	was, lacks = c.replaced.was, c.replaced.lacks
	c.replaced = replacing{}
	return was, lacks
}

// replaces notes that a key's effective version is about to be replaced, or removed if by is nil. A resource that only
// inherits other values is not a change of its own; its Defaults is.
func (x *index) replaces(key zones.Key, by zones.Resource) {
	if x.replaced.was == nil {
		return
	}
	if _, known := x.replaced.was[key]; known {
		return
	}
	r, revision := x.effective(key)
	switch {
	case r == nil && by == nil, r != nil && by != nil && zones.SameDocument(r, by):
	case len(x.replaced.was) >= x.replaced.most:
		x.replaced.lacks = true
	default:
		x.replaced.was[key] = Replaced{r, revision}
	}
}
