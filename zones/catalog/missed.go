package catalog

import (
	"maps"
	"slices"
	"strings"

	"leeward/zones"
)

// If the only version of a Record or Policy cannot be read, the catalog knows that it exists, but not what it says. An
// answer as if it did not exist would be false, and caches would keep it, so the zone's servers have to know.

// Missed reports whether there is a Record or Policy of that key, but no version of it that can be read, now or before.
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

// missedIn returns the origin under which missed has a key.
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
		is = effective == nil && err == nil // nobody can ask for a name that is not valid
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

// markTurned marks the keys as changed that have become Missed, or no longer are.
func (c *Catalog) markTurned() {
	for _, key := range c.turned {
		c.mark(key)
	}
	c.turned = nil
}
