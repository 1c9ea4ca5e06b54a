package zones

import (
	"fmt"
	"time"
)

// Validate checks a resource by itself, its name included. Package document has done this for everything that it reads.
func Validate(r Resource) Problems {
	key := r.Key()
	_, err := Named(key.Kind(), key.Name())
	if err != nil {
		return Problems{{Key: key, Message: err.Error()}}
	}
	found := ValidateFields(r)
	for i := range found {
		found[i].Key = key
	}
	return found
}

// ValidateFields is Validate for a resource whose name is known to be good. The problems have no key.
func ValidateFields(r Resource) Problems {
	var f faults
	f.validate(r)
	return f.found
}

func (f *faults) validate(r Resource) {
	switch r := r.(type) {
	case *Zone:
		f.zone(r)
	case *Record:
		f.record(r)
	case *Region:
		f.region(r)
	case *Pool:
		f.pool(r)
	case *Endpoint:
		f.endpoint(r)
	case *Monitor:
		f.monitor(r)
	case *Policy:
		f.policy(r)
	case *Map:
		f.mapping(r)
	case *Override:
		f.override(r)
	case *Defaults:
		f.defaults(r)
	}
}

// faults collects what is wrong with one resource.
type faults struct{ found Problems }

// add notes a fault of the field.
func (f *faults) add(field, format string, args ...any) {
	f.found.Add(Problem{Field: field, Message: fmt.Sprintf(format, args...)})
}

// maxNames is the most that a list of rules, shifts or regions can have.
const maxNames = 1000

// maxRamp is the longest ramp.
const maxRamp = 24 * time.Hour

// Item is the path of a list's item.
func Item(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }
