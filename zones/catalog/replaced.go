package catalog

import "leeward/zones"

// Replaced is a resource as it was before a batch changed it.
type Replaced struct {
	Resource zones.Resource // nil: it was not there
	Revision int64          // of that version
}

// replacing keeps what a batch replaces, for whoever tells the differences. most bounds how much is kept: a batch that
// replaces more says so by Lacks.
type replacing struct {
	was   map[zones.Key]Replaced // nil: nothing is kept
	most  int
	lacks bool
}

// KeepReplaced has the next batches keep what they replace, of most resources at most, until TakeReplaced.
func (c *Catalog) KeepReplaced(most int) {
	c.replaced = replacing{was: make(map[zones.Key]Replaced), most: most}
}

// TakeReplaced returns what was kept since KeepReplaced, and keeps no more. Of keys that are not in it nothing is known
// where lacks is true; otherwise they have not changed. It also has some that have not changed in the end: Delta.Keys
// tells which have.
func (c *Catalog) TakeReplaced() (was map[zones.Key]Replaced, lacks bool) {
	was, lacks = c.replaced.was, c.replaced.lacks
	c.replaced = replacing{}
	return was, lacks
}

// replaces notes that a key's effective version is about to be another one; nil: to be gone. One that only inherits
// other values is no change of its own: that of the Defaults is.
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
