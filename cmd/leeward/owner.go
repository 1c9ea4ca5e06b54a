package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"leeward/cmd/leeward/process"
	"leeward/zones"
	"leeward/zones/store"
)

// importer is to whom belongs what is imported, unless that says otherwise.
const importer = "import"

var ownerName = regexp.MustCompile(`^[a-z0-9]([a-z0-9._/-]{0,61}[a-z0-9])?$`)

// checkOwner checks what --owner says.
func checkOwner(owner string, given bool) error {
	switch {
	case !given:
		return nil
	case owner == process.UpdateOwner:
		return misused("--owner %s: what belongs to it is what dynamic updates have made; take another name", owner)
	case !ownerName.MatchString(owner):
		return misused("--owner %q: write 1 to 63 of a-z, 0-9, '.', '_', '/' and '-', such as team-a", owner)
	}
	return nil
}

// claim is what an applier makes its own.
type claim struct {
	base   *store.Listing
	owner  string
	marks  map[zones.Key]string // what is to belong to the owner, and does not yet
	others map[zones.Key]string // what is changed and belongs to somebody else: the owner it has
	nobody int                  // how many that are there belong to nobody yet
}

func newClaim(base *store.Listing, owner string) *claim {
	return &claim{base: base, owner: owner, marks: map[zones.Key]string{}, others: map[zones.Key]string{}}
}

// absent claims a resource that may not be there yet.
func (c *claim) absent(k zones.Key) {
	if c.owner != "" && k.Kind() != zones.KindOverride {
		c.marks[k] = c.owner
	}
}

// there settles whose a resource is that is there. What belongs to somebody else and says the same stays theirs.
func (c *claim) there(was zones.Change, now zones.Resource) {
	k := was.Key
	whose := c.base.Owners[k]
	switch {
	case whose == c.owner:
		delete(c.marks, k)
	case whose == "":
		if c.marks[k] != "" {
			c.nobody++
		}
	case was.Err == nil && zones.Same(was.Resource, now):
		delete(c.marks, k)
	default:
		c.others[k] = whose
	}
}

// allow refuses to change what is somebody else's, unless it is forced. Who has no name changes it, is told, and it
// stays theirs.
func (c *claim) allow(inv *invocation, force bool) error {
	if c == nil {
		return nil
	}
	for _, k := range slices.Sorted(maps.Keys(c.others)) {
		switch {
		case c.owner == "":
			fmt.Fprintf(inv.told, "%s belongs to %s, and still will: %s may change it back\n", k, c.others[k], c.others[k])
		case force:
			fmt.Fprintf(inv.told, "%s belonged to %s, and is taken over\n", k, c.others[k])
		default:
			fmt.Fprintf(inv.told, "%s belongs to %s\n", k, c.others[k])
		}
	}
	if c.owner == "" || force || len(c.others) == 0 {
		return nil
	}
	return fmt.Errorf("nothing was written: %s would change that %s; leave it out, or take it over with --force",
		count(len(c.others), "resource"), belongs(len(c.others)))
}

func belongs(n int) string {
	if n == 1 {
		return "belongs to another owner"
	}
	return "belong to other owners"
}

// size is how many resources change hands, or are new in them.
func (c *claim) size() int {
	if c == nil {
		return 0
	}
	return len(c.marks)
}
