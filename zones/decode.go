package zones

import (
	"errors"
	"reflect"
	"strings"

	"leeward/zones/rr"
)

// Decode reads an etcd value: the JSON of a document without kind and name, which the key says. It is as strict as for
// documents, and checks all that can be said of a resource by itself. The error is Problems; their lines are those of
// the value.
func Decode(key Key, value []byte) (Resource, error) {
	empty, err := named(key.Kind(), key.Name())
	if err != nil {
		if key.Kind() == "" {
			err = errors.New("this key is none of Leeward's; delete it")
		}
		return nil, Problems{{Key: key, Message: err.Error(), Code: CodeSyntax}}
	}
	if len(strings.TrimSpace(string(value))) == 0 {
		return nil, Problems{{Key: key, Message: "the value is empty; put JSON such as {}, or delete the key", Code: CodeSyntax}}
	}
	root, rest, line, err := parseJSON(value, 1)
	if err == nil && len(rest) > 0 {
		err = &syntaxError{line, "there is more after the end of the JSON; a key holds one resource"}
	}
	if err != nil {
		return nil, Problems{{Key: key, Message: "not JSON: " + err.Error(), Code: CodeSyntax}}
	}
	for i := range root.fields {
		if f := &root.fields[i]; f.name == eachField {
			return nil, Problems{{
				Key: key, Field: f.name, Position: Position{Line: f.line}, Code: CodeSyntax,
				Message: "a key holds one resource; leeward apply writes the keys of a document with each",
			}}
		} else if f.name == "kind" || f.name == "name" {
			return nil, Problems{{
				Key: key, Field: f.name, Position: Position{Line: f.line}, Code: CodeSyntax,
				Message: "the key says kind and name; leave them out of the value, or write the document with leeward apply",
			}}
		}
	}
	if problems := read(empty, &root); len(problems) > 0 {
		for i := range problems {
			problems[i].Key = key
		}
		return nil, problems
	}
	return empty, nil
}

// read fills the resource from the node and checks it by itself.
func read(r Resource, n *node) Problems {
	var f faults
	f.fill(n, reflect.ValueOf(r).Elem())
	trim(r)
	if len(f.found) == 0 {
		f.validate(r)
	}
	for i := range f.found {
		if p := &f.found[i]; p.Line == 0 {
			p.Line = n.lineOf(p.Field)
		}
	}
	return f.found
}

// trim takes the final dots off names that are written with one elsewhere: of hosts, as in master files.
func trim(r Resource) {
	switch r := r.(type) {
	case *Zone:
		for i := range r.Nameservers {
			r.Nameservers[i] = rr.TrimDot(r.Nameservers[i])
		}
		r.Primary = rr.TrimDot(r.Primary)
	case *Endpoint:
		r.Hostname = rr.TrimDot(r.Hostname)
	}
}

// Validate checks what can be said of a resource by itself, its name included: what Decode and ReadDocuments have
// checked already.
func Validate(r Resource) Problems {
	key := r.Key()
	var f faults
	if _, err := named(key.Kind(), key.Name()); err != nil {
		f.add("", "%v", err)
	} else {
		f.validate(r)
	}
	for i := range f.found {
		f.found[i].Key = key
	}
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
	}
}

// Encode writes what Decode reads: the resource without kind and name, on one line, fields in a fixed order.
func Encode(r Resource) ([]byte, error) { return marshal(r) }
