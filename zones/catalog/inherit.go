package catalog

import (
	"strings"

	"leeward/zones"
)

// Defaults are applied here: what is in service has the values of its kind's Defaults in it, and so has each version
// that waits. When a Defaults comes, changes or goes, all of its kind is made anew:
//
//	document ──▶ inherit ──▶ valid?  ──▶ cross checks, as any version
//	   Defaults ────┘            └─ no ──▶ the version in service stays, and its problem says why
//
// A Defaults that names what is not there is not taken into service, even if there was none before: all of its kind
// would name it in vain.

// inherit returns the version that a document stands for, with the values of its Defaults. wrong says why the Defaults
// cannot be applied to it.
func (c *Catalog) inherit(r zones.Resource) (merged zones.Resource, wrong zones.Problems) {
	return inherit(r, c.defaultsOf(r.Key().Kind()))
}

// defaultsOf returns the Defaults of a kind that is in service, or nil.
func (c *Catalog) defaultsOf(kind zones.Kind) *zones.Defaults {
	if s := c.slots[zones.KindDefaults][zones.KeyOf(zones.KindDefaults, string(kind))]; s != nil {
		return s.resource.(*zones.Defaults)
	}
	return nil
}

func inherit(r zones.Resource, d *zones.Defaults) (merged zones.Resource, wrong zones.Problems) {
	merged = zones.Inherit(r, d)
	names := zones.Inherited(merged)
	if len(names) == 0 {
		return merged, nil
	}
	for _, p := range zones.ValidateFields(merged) {
		p.Message += "; from " + d.Key().String() + " it has " + strings.Join(names, ", ") + ": give a value of its own"
		wrong = append(wrong, p)
	}
	return merged, wrong
}

// uninherited says why the Defaults of a resource's kind cannot be applied to the version in service.
func (c *Catalog) uninherited(r zones.Resource) zones.Problems {
	if !mayInherit(r) {
		return nil
	}
	_, wrong := c.inherit(r)
	return wrong
}

// mayInherit reports whether a resource's kind can have a Defaults. It is called for every resource, and there may be a
// million.
func mayInherit(r zones.Resource) bool {
	switch r.(type) {
	case *zones.Pool, *zones.Monitor, *zones.Policy:
		return true
	}
	return false
}

// stageInherited is stage for a document that may inherit.
func (c *Catalog) stageInherited(key zones.Key, document zones.Resource, revision int64) {
	merged, wrong := c.inherit(document)
	v := &version{resource: merged, written: document, revision: revision}
	if wrong != nil {
		if effective, _ := c.effective(key); effective != nil {
			v.resource, v.problems = nil, wrong
		} else {
			v.resource = zones.Written(document) // it is valid by itself; cross says what it lacks
		}
	}
	c.wait(key, v)
	c.consider(key)
}

// reinherit makes all resources of a kind again after its Defaults has changed.
func (c *Catalog) reinherit(kind zones.Kind) {
	for key, v := range c.waiting {
		if key.Kind() != kind || v.resource == nil && v.written == nil {
			continue
		}
		again := *v
		if again.written == nil {
			again.written = zones.Written(v.resource)
		}
		if again.resource, again.problems = c.inherit(again.written); again.problems != nil {
			again.resource = nil
		}
		c.wait(key, &again)
		c.dirty[key] = struct{}{}
	}
	for key, s := range c.slots[kind] {
		c.dirty[key] = struct{}{}
		if c.waiting[key] != nil {
			continue
		}
		if merged, wrong := c.inherit(s.resource); wrong == nil && !zones.Same(merged, s.resource) {
			c.wait(key, &version{resource: merged, written: zones.Written(merged), revision: s.revision})
		}
	}
}

// pinned returns what the copy on disk should have for a resource in service. If the resource does not have the values
// that its Defaults gives, they are written out.
func pinned(r zones.Resource, d *zones.Defaults) zones.Resource {
	if !mayInherit(r) {
		return r
	}
	if merged, wrong := inherit(r, d); wrong == nil && zones.Same(merged, r) {
		return r
	}
	return zones.WrittenOut(r)
}
