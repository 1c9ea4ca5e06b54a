package zones

import (
	"fmt"
	"strings"

	"leeward/health"
	"leeward/zones/rr"
)

// doubts are warnings about one resource that need no other resource.
type doubts struct{ Problems }

func (x *doubts) warn(field, format string, args ...any) {
	x.Problems = append(x.Problems, Problem{
		Field: field, Warning: true, Message: fmt.Sprintf(format, args...),
		Alike: format,
	})
}

// Doubts warns of values that are most likely mistakes, without looking at other resources. Nearly all resources give
// no warning.
func Doubts(r Resource) Problems {
	if d, is := r.(*Defaults); is {
		r = d.Values
	}
	var x doubts
	x.spans(r)
	switch r := r.(type) {
	case *Record:
		x.strings(r)
		x.dots(r)
	case *Monitor:
		x.monitor(&r.Monitor)
	case *Policy:
		x.places(r)
	}
	return x.Problems
}

// CutString is the warning about data that are not served as written.
const CutString = "a string of more than 255 octets (RFC 1035 3.3) is served as several, one after the other"

// strings warns of data that are served as several strings.
func (x *doubts) strings(r *Record) {
	for i, text := range r.Data {
		if len(text) <= 255 { // nearly all are
			continue
		}
		if t, err := rr.ParseType(r.Type); err == nil && rr.HasLongString(t, text) {
			x.warn(Item("data", i), CutString)
		}
	}
}

// MissingDot is the warning about a name that is relative and most likely should not be.
const MissingDot = "%s ends in the zone's own name and has no final dot, " +
	"so the origin is appended once more; write %[1]s."

// dots warns of names that contain the zone's name twice. Owners are always relative.
func (x *doubts) dots(r *Record) {
	if rr.EndsIn(r.Owner, r.Origin) {
		x.warn("", "owner %s ends in the zone's own name, and owners are relative to it: "+
			"it stands for %[1]s.%s.; leave %[2]s out", r.Owner, r.Origin)
	}
	for i, text := range r.Data {
		if len(text) <= len(r.Origin) { // too short to contain it
			continue
		}
		if t, err := rr.ParseType(r.Type); err == nil {
			if name := rr.Dotless(t, text, r.Origin); name != "" {
				x.warn(Item("data", i), MissingDot, name)
			}
		}
	}
}

// places warns of places in a policy that do not exist. They are accepted all the same, because an operator's own
// location database can have any code.
func (x *doubts) places(p *Policy) {
	for i, rule := range p.Rules {
		if rule.When == nil {
			continue
		}
		at := Item("rules", i) + ".when."
		for k, code := range rule.When.Countries {
			if !codeIn(countries, code) {
				x.warn(Item(at+"countries", k), "no country has the code %s: ISO 3166-1 leaves it to its users, "+
					"so it matches nobody unless a location database of your own has it", code)
			}
		}
		for k, code := range rule.When.Subdivisions {
			if country, part, ok := strings.Cut(code, "-"); ok && !knownSubdivision(country, part) {
				x.warn(Item(at+"subdivisions", k), "ISO 3166-2 has no %s, "+
					"so it matches nobody unless the location database has it; check the code", code)
			}
		}
	}
}

// monitor warns of settings for probes in a monitor that makes none.
func (x *doubts) monitor(m *health.Monitor) {
	if m.External == nil {
		return
	}
	for _, f := range []struct {
		field string
		set   bool
	}{
		{"interval", m.Interval != 0},
		{"timeout", m.Timeout != 0},
		{"fall", m.Fall != 0},
		{"rise", m.Rise != 0},
		{"hold", m.Hold != nil},
		{"vantages", m.Vantages != 0},
	} {
		if f.set {
			x.warn(f.field,
				"it is about probes, and nobody probes for an external check; it has no effect, take it out")
		}
	}
}
