package catalog

import (
	"maps"
	"slices"
	"strings"

	"leeward/zones"
)

// If the only version of a Record or Policy cannot be read, it is known to exist, but not what it says. To answer as if
// it did not exist would be a lie that caches keep, so whoever serves the zone has to know of it.

// Missed reports whether there is a Record or Policy of that key, and no version of it that can be read, nor has there
// been one.
func (c *Catalog) Missed(key zones.Key) bool {
	_, is := c.missed[missedIn(key)][key]
	return is
}

// MissedRecords returns the keys of the Records of an origin that are Missed, sorted.
func (c *Catalog) MissedRecords(origin string) []zones.Key {
	if len(c.missed) == 0 || origin == "" {
		return nil
	}
	return slices.Sorted(maps.Keys(c.missed[origin]))
}

// MissedPolicies returns the keys of the Policies that are Missed, sorted.
func (c *Catalog) MissedPolicies() []zones.Key { return slices.Sorted(maps.Keys(c.missed[""])) }

// missedIn is the origin that missed has a key under.
func missedIn(key zones.Key) string {
	origin, _, _, _ := splitRecord(key)
	return origin
}

// miss finds out whether a key is Missed, after a version of it has come or gone.
func (x *index) miss(key zones.Key) {
	v := x.waiting[key]
	if v == nil && len(x.missed) == 0 || !strings.HasPrefix(string(key), "records/") &&
		!strings.HasPrefix(string(key), "policies/") {
		return
	}
	is := false
	if v != nil && v.resource == nil {
		effective, _ := x.effective(key)
		_, err := zones.Named(key.Kind(), key.Name())
		is = effective == nil && err == nil // a name that cannot be is nobody's to ask for
	}
	origin := strings.Clone(missedIn(key))
	_, was := x.missed[origin][key]
	switch {
	case is == was:
		return
	case is && x.missed[origin] == nil:
		x.missed[origin] = map[zones.Key]struct{}{key: {}}
	case is:
		x.missed[origin][key] = struct{}{}
	default:
		if delete(x.missed[origin], key); len(x.missed[origin]) == 0 {
			delete(x.missed, origin)
		}
	}
	x.turned = append(x.turned, key)
}

// markTurned notes what has come to be Missed, or ceased to, as changed.
func (c *Catalog) markTurned() {
	for _, key := range c.turned {
		c.mark(key)
	}
	c.turned = nil
}
