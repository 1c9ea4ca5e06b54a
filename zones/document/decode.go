package document

import (
	"errors"
	"reflect"
	"slices"
	"strings"

	"leeward/zones"
	"leeward/zones/rr"
)

// Decode reads an etcd value: the JSON of a document without kind and name, which the key has. It is as strict as
// reading documents, and makes all checks that need only the resource itself. The error is Problems, with the lines of
// the value.
func Decode(key zones.Key, value []byte) (zones.Resource, error) {
	empty, err := zones.Named(key.Kind(), key.Name())
	if err != nil {
		if key.Kind() == "" {
			err = errors.New("this key is none of Leeward's; delete it")
		}
		return nil, zones.Problems{{Key: key, Message: err.Error(), Code: zones.CodeSyntax}}
	}
	if len(strings.TrimSpace(string(value))) == 0 {
		return nil, zones.Problems{{
			Key: key, Message: "the value is empty; put JSON such as {}, or delete the key",
			Code: zones.CodeSyntax,
		}}
	}
	root, rest, line, err := parseJSON(value, 1)
	if err == nil && len(rest) > 0 {
		err = &syntaxError{line, "there is more after the end of the JSON; a key holds one resource"}
	}
	if err != nil {
		p := zones.Problem{Key: key, Message: "not JSON: " + err.Error(), Code: zones.CodeSyntax}
		return nil, zones.Problems{p.Brief()}
	}
	for i := range root.fields {
		if f := &root.fields[i]; f.name == eachField {
			return nil, zones.Problems{{
				Key: key, Field: f.name, Position: zones.Position{Line: f.line}, Code: zones.CodeSyntax,
				Message: "a key holds one resource; leeward apply writes the keys of a document with each",
			}}
		} else if f.name == "kind" || f.name == "name" {
			return nil, zones.Problems{{
				Key: key, Field: f.name, Position: zones.Position{Line: f.line}, Code: zones.CodeSyntax,
				Message: "the key says kind and name; leave them out of the value, or write the document with " +
					"leeward apply",
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
func read(r zones.Resource, n *node) zones.Problems {
	var f filler
	into := r
	if d, is := r.(*zones.Defaults); is {
		into, n = d.Values, f.inheritable(d, n)
	}
	f.fill(n, reflect.ValueOf(into).Elem())
	for i := range n.fields {
		zones.NoteGiven(into, n.fields[i].name)
	}
	trim(r)
	if len(f.found) == 0 {
		f.found = zones.ValidateFields(r)
	}
	for i := range f.found {
		if p := &f.found[i]; p.Line == 0 {
			p.Line = n.LineOf(p.Field)
		}
	}
	return f.found
}

// inheritable returns the node without the fields that a Defaults cannot give, and reports those.
func (f *filler) inheritable(d *zones.Defaults, n *node) *node {
	known := zones.Inheritable(d.For)
	kept := *n
	kept.fields = slices.DeleteFunc(slices.Clone(n.fields), func(field field) bool {
		if slices.Contains(known, field.name) {
			return false
		}
		f.within("."+field.name, func() {
			f.here(field.line, "a Defaults for %s cannot give it; it gives %s", d.For, strings.Join(known, ", "))
		})
		return true
	})
	return &kept
}

// trim removes the final dots of names of hosts, which master files and others write.
func trim(r zones.Resource) {
	switch r := r.(type) {
	case *zones.Zone:
		for i := range r.Nameservers {
			r.Nameservers[i] = rr.TrimDot(r.Nameservers[i])
		}
		r.Primary = rr.TrimDot(r.Primary)
	case *zones.Endpoint:
		r.Hostname = rr.TrimDot(r.Hostname)
	}
}
