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

// importer is the owner of what is imported, unless --owner names another.
const importer = "import"

var ownerName = regexp.MustCompile(`^[a-z0-9]([a-z0-9._/-]{0,61}[a-z0-9])?$`)

// checkOwner checks what --owner says.
func checkOwner(owner string, given bool) error {
	switch {
	case !given:
		return nil
	case owner == process.UpdateOwner:
		return misused("--owner %s is the owner of what dynamic updates make; take another name", owner)
	case !ownerName.MatchString(owner):
		return misused("--owner %q: write 1 to 63 of a-z, 0-9, '.', '_', '/' and '-', such as team-a", owner)
	}
	return nil
}

// claim is what a change makes an owner's.
type claim struct {
	base   *store.Listing
	owner  string
	marks  map[zones.Key]string // what becomes the owner's
	others map[zones.Key]string // what changes although it is somebody else's: whose
	nobody int                  // how many of marks exist and had no owner
}

func newClaim(base *store.Listing, owner string) *claim {
	return &claim{base: base, owner: owner, marks: map[zones.Key]string{}, others: map[zones.Key]string{}}
}

// absent claims a resource that may not exist yet.
func (c *claim) absent(k zones.Key) {
	if c.owner != "" && k.Kind() != zones.KindOverride {
		c.marks[k] = c.owner
	}
}

// there corrects the claim on a resource that exists. What is somebody else's and does not change stays theirs.
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

// allow refuses to change what is somebody else's, unless force takes it over. A change without an owner is allowed; it
// prints a warning, and the resource stays theirs.
func (c *claim) allow(inv *invocation, force bool) error {
	if c == nil {
		return nil
	}
	for _, k := range slices.Sorted(maps.Keys(c.others)) {
		switch {
		case c.owner == "":
			fmt.Fprintf(inv.told, "%s still belongs to %s: %s may change it back\n", k, c.others[k], c.others[k])
		case force:
			fmt.Fprintf(inv.told, "%s is taken over from %s\n", k, c.others[k])
		default:
			fmt.Fprintf(inv.told, "%s belongs to %s\n", k, c.others[k])
		}
	}
	if c.owner == "" || force || len(c.others) == 0 {
		return nil
	}
	return fmt.Errorf("nothing was written: it would change %s that %s; leave out what is theirs, or take it over "+
		"with --force",
		count(len(c.others), "resource"), belongs(len(c.others)))
}

func belongs(n int) string {
	if n == 1 {
		return "belongs to another owner"
	}
	return "belong to other owners"
}

// size is how many resources become the owner's.
func (c *claim) size() int {
	if c == nil {
		return 0
	}
	return len(c.marks)
}
