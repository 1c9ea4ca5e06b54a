package zones

import (
	"fmt"
	"strings"

	"leeward/zones/rr"
)

// maxLabelName is the most octets that the name of a region, pool, endpoint, monitor or map can have.
const maxLabelName = 63

// simpleName checks the name of a region, pool, endpoint, monitor or map.
func simpleName(kind Kind, s string) error {
	alnum := func(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }
	what := strings.ToLower(string(kind))
	switch {
	case s == "":
		return fmt.Errorf("the name of the %s is empty", what)
	case len(s) > maxLabelName:
		return fmt.Errorf("%s name %q is longer than %d characters", what, s, maxLabelName)
	}
	for i := range len(s) {
		c := s[i]
		if alnum(c) || i > 0 && i < len(s)-1 && (c == '.' || c == '_' || c == '-') {
			continue
		}
		if 'A' <= c && c <= 'Z' {
			if lower := strings.ToLower(s); simpleName(kind, lower) == nil {
				return fmt.Errorf("%s name %q has upper case; write %s", what, s, lower)
			}
		}
		return fmt.Errorf("%s name %q: a name is made of a-z, 0-9 and, within it, of . _ and -", what, s)
	}
	return nil
}

// ParseName reads an origin or a policy's name. It must be in the form that names have here: lower case, without the
// final dot.
func ParseName(s string) (rr.Name, error) {
	n, err := rr.ParseName(s)
	if err != nil {
		return "", err
	}
	if written := NameText(n); written != s {
		return "", fmt.Errorf("%q is not how names are written here (lower case, no final dot); write %s", s, written)
	}
	return n, nil
}

// NameText returns a name as keys and documents spell origins and policies. A slash within a label (RFC 2317) is
// escaped, because slashes separate names in keys.
func NameText(n rr.Name) string {
	s := n.String()
	if strings.Contains(s, "/") {
		s = strings.ReplaceAll(s, "/", `\047`)
	}
	return s
}

// OwnerIn returns the owner of a name within an origin, as Record.Owner has it: "@" for the origin itself. The name
// must be under the origin.
func OwnerIn(n, origin rr.Name) string {
	if n == origin {
		return "@"
	}
	return NameText(n[:len(n)-len(origin)] + rr.Root)
}

// ownerName checks a record's owner, which is relative to its origin.
func ownerName(s string, origin rr.Name) (rr.Name, error) {
	if s == "" {
		return "", fmt.Errorf("the owner is empty; write @ for the apex")
	}
	n, err := rr.ParseRelative(s, origin)
	if err != nil {
		return "", err
	}
	if rr.Absolute(s) && !n.Under(origin) {
		return "", fmt.Errorf("owner %q is outside of its zone %s; owners are relative to it and have no final dot", s,
			origin)
	}
	if written := OwnerIn(n, origin); written != s {
		return "", fmt.Errorf("owner %q is not how owners are written here (relative to %s, lower case); write %s", s,
			origin, written)
	}
	return n, nil
}

// FullName returns the name of an owner within an origin, spelled like a policy's name.
func FullName(owner, origin string) string {
	switch {
	case owner == "@":
		return origin
	case origin == ".":
		return owner
	}
	return owner + "." + origin
}

// OwnerWithin returns the owner of a name in the zone of that origin, which must hold it. Both are spelled like origins
// and policies.
func OwnerWithin(name, origin string) string {
	switch {
	case name == origin:
		return "@"
	case origin == ".":
		return name
	}
	return strings.TrimSuffix(name, "."+origin)
}

// ParentName returns the name without its first label, "." for one with a single label, and "" for ".".
func ParentName(name string) string {
	if name == "." || name == "" {
		return ""
	}
	for i := 0; i < len(name); i++ {
		switch name[i] {
		case '\\':
			i++ // the next character belongs to the label; digits of \DDD are no dots anyway
		case '.':
			return name[i+1:]
		}
	}
	return "."
}

// Under reports whether the name is the origin or below it.
func Under(name, origin string) bool {
	for ; name != ""; name = ParentName(name) {
		if name == origin {
			return true
		}
	}
	return false
}

// Named returns an empty resource of that kind and name, or an error if the name is wrong.
func Named(kind Kind, name string) (Resource, error) {
	switch kind {
	case KindZone:
		if _, err := ParseName(name); err != nil {
			return nil, err
		}
		return &Zone{Origin: name}, nil
	case KindRecord:
		return namedRecord(name)
	case KindRegion:
		return &Region{Region: name}, simpleName(kind, name)
	case KindPool:
		return &Pool{Pool: name}, simpleName(kind, name)
	case KindEndpoint:
		pool, endpoint, ok := strings.Cut(name, "/")
		if !ok {
			return nil, fmt.Errorf("%q: an endpoint is named by its pool and itself, such as www-eu/lb-1", name)
		}
		if err := simpleName(KindPool, pool); err != nil {
			return nil, err
		}
		return &Endpoint{Pool: pool, Endpoint: endpoint}, simpleName(kind, endpoint)
	case KindMonitor:
		return &Monitor{Name: name}, simpleName(kind, name)
	case KindPolicy:
		if _, err := ParseName(name); err != nil {
			return nil, err
		}
		return &Policy{Name: name}, nil
	case KindMap:
		return &Map{Map: name}, simpleName(kind, name)
	case KindOverride:
		return namedOverride(name)
	case KindDefaults:
		return namedDefaults(name)
	}
	var kinds []string
	for _, k := range Kinds {
		kinds = append(kinds, string(k))
	}
	if near := Nearest(string(kind), kinds); near != "" {
		return nil, fmt.Errorf("there is no kind %q; did you mean %s?", kind, near)
	}
	return nil, fmt.Errorf("there is no kind %q; the kinds are %s", kind, strings.Join(kinds, ", "))
}

func namedRecord(name string) (Resource, error) {
	origin, rest, ok := strings.Cut(name, "/")
	last := strings.LastIndexByte(rest, '/')
	if !ok || last < 0 {
		return nil, fmt.Errorf("%q: a record is named by its zone, owner and type, such as example.test/@/MX", name)
	}
	owner, kind := rest[:last], rest[last+1:]
	zone, err := ParseName(origin)
	if err != nil {
		return nil, err
	}
	if _, err := ownerName(owner, zone); err != nil {
		return nil, err
	}
	t, err := rr.ParseType(kind)
	if err != nil {
		return nil, err
	}
	if t.String() != kind {
		return nil, fmt.Errorf("type %q is not how it is written here; write %s", kind, t)
	}
	return &Record{Origin: origin, Owner: owner, Type: kind}, nil
}

func namedOverride(name string) (Resource, error) {
	class, target, _ := strings.Cut(name, "/")
	var err error
	switch class {
	case "region":
		err = simpleName(KindRegion, target)
	case "pool":
		err = simpleName(KindPool, target)
	case "endpoint":
		_, err = Named(KindEndpoint, target)
	default:
		err = fmt.Errorf("%q: an override is named by its target: region/eu-west, pool/www-eu or endpoint/www-eu/lb-1",
			name)
	}
	return &Override{Target: name}, err
}
