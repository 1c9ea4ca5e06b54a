package zones

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"leeward/health"
)

// A Defaults gives fields to all resources of a kind that leave them out:
//
//	Defaults Pool: monitor: web ──┐
//	Pool www-eu:   region: eu   ──┴─▶ Pool www-eu: region: eu, monitor: web (inherited)
//
// A field that a Defaults can give has the tag inherit in the model. Only single values have it: with a list or an
// object, it would not be clear whether a document adds to it or replaces it.
//
// What package catalog has in service has the values filled in. A resource still knows which values are not its own. So
// Encode, and everything that writes, shows and compares documents, gives the document as it was written.

// Defaults gives the values that documents of one kind leave out. Its name is the kind. A value in a document always
// wins.
type Defaults struct {
	For    Kind     `json:"-"`
	Values Resource `json:"-"` // of that kind and without a name; only fields that may be inherited are set
}

// Key returns the key, such as "defaults/Pool".
func (d *Defaults) Key() Key { return KeyOf(KindDefaults, string(d.For)) }

// Inheritance says where the inheritable fields of a resource come from: a bit for each, in the order of the model.
type Inheritance struct {
	Zeroed    uint16 // the document gives them, and gives the zero value, such as spill: false
	Inherited uint16 // the document leaves them out, and the kind's Defaults gives the value
}

// heir is a field that may be inherited.
type heir struct {
	name  string
	index []int
	bit   uint16
}

// heirs are the fields of each kind that may be inherited.
var heirs = sync.OnceValue(func() map[Kind][]heir {
	all := map[Kind][]heir{}
	for kind, model := range map[Kind]Resource{KindPool: &Pool{}, KindMonitor: &Monitor{}, KindPolicy: &Policy{}} {
		for _, sf := range reflect.VisibleFields(reflect.TypeOf(model).Elem()) {
			if sf.Tag.Get("inherit") != "" {
				name, _, _ := strings.Cut(sf.Tag.Get("json"), ",")
				all[kind] = append(all[kind], heir{name, sf.Index, 1 << len(all[kind])})
			}
		}
	}
	return all
})

// KindsWithDefaults returns the kinds that a Defaults can be for.
func KindsWithDefaults() []Kind { return slices.Sorted(maps.Keys(heirs())) }

// Inheritable returns the names of the fields that a Defaults of the kind can give, in the order of the model.
func Inheritable(kind Kind) []string {
	var names []string
	for _, h := range heirs()[kind] {
		names = append(names, h.name)
	}
	return names
}

// inheritance returns the resource's inheritance, or nil if its kind has none.
func inheritance(r Resource) *Inheritance {
	switch r := r.(type) {
	case *Pool:
		return &r.Inheritance
	case *Monitor:
		return &r.Inheritance
	case *Policy:
		return &r.Inheritance
	}
	return nil
}

// clone returns a copy of a resource whose fields can be set.
func clone(r Resource) (Resource, reflect.Value) {
	v := reflect.New(reflect.TypeOf(r).Elem())
	v.Elem().Set(reflect.ValueOf(r).Elem())
	return v.Interface().(Resource), v.Elem()
}

// NoteGiven notes that the document of a resource gives a field. The caller fills the field first.
func NoteGiven(r Resource, field string) {
	own := inheritance(r)
	if own == nil {
		return // nearly all resources are records, and end here
	}
	for _, h := range heirs()[r.Key().Kind()] {
		if h.name == field && reflect.ValueOf(r).Elem().FieldByIndex(h.index).IsZero() {
			own.Zeroed |= h.bit
		}
	}
}

// Inherit returns the resource with the values of its kind's Defaults in the fields that its document leaves out. The
// Defaults may be nil. Inherit does not check the result.
func Inherit(r Resource, d *Defaults) Resource {
	r = Written(r)
	if d == nil {
		return r
	}
	given, changed, v := reflect.ValueOf(d.Values).Elem(), r, reflect.Value{}
	own := inheritance(r)
	for _, h := range heirs()[d.For] {
		value := given.FieldByIndex(h.index)
		if value.IsZero() || own.Zeroed&h.bit != 0 || !reflect.ValueOf(r).Elem().FieldByIndex(h.index).IsZero() ||
			!h.has(r) {
			continue
		}
		if changed == r {
			changed, v = clone(r)
		}
		v.FieldByIndex(h.index).Set(value)
		inheritance(changed).Inherited |= h.bit
	}
	return changed
}

// has reports whether a field means anything for a resource. A Monitor does not inherit a setting that its check cannot
// use.
func (h heir) has(r Resource) bool {
	m, is := r.(*Monitor)
	switch {
	case !is || h.name == "quorum":
		return true
	case h.name == "load":
		return m.HTTP != nil || m.HTTPS != nil || m.External != nil
	}
	return m.External == nil
}

// Written returns the resource as its document has it: without what it has inherited.
func Written(r Resource) Resource {
	own := inheritance(r)
	if own == nil || own.Inherited == 0 {
		return r
	}
	w, v := clone(r)
	for _, h := range heirs()[r.Key().Kind()] {
		if own.Inherited&h.bit != 0 {
			v.FieldByIndex(h.index).SetZero()
		}
	}
	inheritance(w).Inherited = 0
	return w
}

// WrittenOut returns the resource with everything that it has inherited as its own. It also gives the zero value, or
// the value in effect, for whatever it could inherit and does not give. So no Defaults changes anything about it.
func WrittenOut(r Resource) Resource {
	if inheritance(r) == nil {
		return r
	}
	w, v := clone(r)
	switch w := w.(type) { // kinds whose zero cannot be given
	case *Policy:
		w.TTL, w.Answers = Duration(w.TTL.Or(DefaultPolicyTTL)), max(w.Answers, 1)
	case *Monitor:
		if w.External == nil {
			hold := Duration(w.EffectiveHold())
			w.Vantages, w.Hold, w.Fall, w.Rise = w.EffectiveVantages(), &hold, w.EffectiveFall(), w.EffectiveRise()
			w.Interval, w.Timeout = Duration(w.EffectiveInterval()), Duration(w.EffectiveTimeout())
		}
	}
	*inheritance(w) = Inheritance{}
	for _, h := range heirs()[r.Key().Kind()] {
		if v.FieldByIndex(h.index).IsZero() && h.has(r) {
			inheritance(w).Zeroed |= h.bit
		}
	}
	return w
}

// Inherited returns the names of the fields whose values the resource has from its kind's Defaults.
func Inherited(r Resource) []string {
	var names []string
	if own := inheritance(r); own != nil && own.Inherited != 0 {
		for _, h := range heirs()[r.Key().Kind()] {
			if own.Inherited&h.bit != 0 {
				names = append(names, h.name)
			}
		}
	}
	return names
}

// InheritedValues returns what the resource has from its kind's Defaults, such as "ttl: 20s".
func InheritedValues(r Resource) []string {
	if own := inheritance(r); own != nil && own.Inherited != 0 {
		return valuesOf(r, own.Inherited)
	}
	return nil
}

// GivenValues returns what a Defaults gives, such as "ttl: 20s".
func GivenValues(d *Defaults) []string { return valuesOf(d.Values, ^uint16(0)) }

// valuesOf returns the inheritable fields of these bits that are not zero.
func valuesOf(r Resource, bits uint16) (values []string) {
	for _, h := range heirs()[r.Key().Kind()] {
		field := reflect.ValueOf(r).Elem().FieldByIndex(h.index)
		if bits&h.bit == 0 || field.IsZero() {
			continue
		}
		if text, err := json.Marshal(field.Interface()); err == nil {
			values = append(values, h.name+": "+strings.Trim(string(text), `"`))
		}
	}
	return values
}

// InheritAll returns the resources with what they inherit from the Defaults among them. A resource that cannot have the
// values stays as it is.
func InheritAll(rs []Resource) []Resource {
	given := map[Kind]*Defaults{}
	for _, r := range rs {
		if d, is := r.(*Defaults); is {
			given[d.For] = d
		}
	}
	if len(given) == 0 {
		return rs
	}
	all := make([]Resource, len(rs))
	for i, r := range rs {
		all[i] = r
		if inheritance(r) != nil {
			if with := Inherit(r, given[r.Key().Kind()]); len(ValidateFields(with)) == 0 {
				all[i] = with
			}
		}
	}
	return all
}

// Follow returns the edits of resources that stay as they are written but inherit other values. These changes come in
// addition to Diff of the same two sets.
func Follow(old, new []Resource) (edits []Edit) {
	isDefaults := func(r Resource) bool { return r.Key().Kind() == KindDefaults }
	if !slices.ContainsFunc(old, isDefaults) && !slices.ContainsFunc(new, isDefaults) {
		return nil // nearly always
	}
	all, _ := Diff(InheritAll(old), InheritAll(new))
	for _, e := range all {
		if e.Old != nil && e.New != nil && SameDocument(e.Old, e.New) {
			edits = append(edits, e)
		}
	}
	return edits
}

// appendGiven adds fields to the resource's JSON: those that a document gives the zero value or, with values, all
// inheritable fields that it gives.
func appendGiven(b []byte, r Resource, values bool) ([]byte, error) {
	own, v := inheritance(r), reflect.ValueOf(r).Elem()
	for _, h := range heirs()[r.Key().Kind()] {
		field := v.FieldByIndex(h.index)
		if own.Zeroed&h.bit == 0 && (!values || field.IsZero()) {
			continue
		}
		text, err := json.Marshal(field.Interface())
		if err != nil {
			return nil, err
		}
		b = bytes.TrimSuffix(b, []byte("}"))
		if !bytes.HasSuffix(b, []byte("{")) {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), h.name...), `":`...)
		b = append(append(b, text...), '}')
	}
	return b, nil
}

// defaults checks a Defaults by itself: its values must be able to stand together in a resource that gives none.
func (f *faults) defaults(d *Defaults) {
	names := Inheritable(d.For)
	given := map[string]bool{}
	for _, h := range heirs()[d.For] {
		v := reflect.ValueOf(d.Values).Elem().FieldByIndex(h.index)
		given[h.name] = !v.IsZero()
		if inheritance(d.Values).Zeroed&h.bit != 0 {
			f.add(h.name, "that is what every %s has without a default; take it out", d.For)
		}
	}
	if !slices.ContainsFunc(names, func(name string) bool { return given[name] }) && len(f.found) == 0 {
		f.add("", "it gives no value; give one of %s", strings.Join(names, ", "))
	}
	values := d.Values
	if m, is := values.(*Monitor); is { // with a check that can use all of them
		with := *m
		with.HTTP = &health.HTTP{}
		values = &with
	}
	for _, p := range ValidateFields(values) {
		if given[p.Field] {
			f.found.Add(p)
		}
	}
}

// namedDefaults returns an empty Defaults.
func namedDefaults(name string) (Resource, error) {
	kind := Kind(name)
	values := map[Kind]Resource{KindPool: &Pool{}, KindMonitor: &Monitor{}, KindPolicy: &Policy{}}[kind]
	if values != nil {
		return &Defaults{For: kind, Values: values}, nil
	}
	var kinds []string
	for _, k := range KindsWithDefaults() {
		if strings.EqualFold(string(k), name) {
			return nil, fmt.Errorf("%q is not how the kind is written; write %s", name, k)
		}
		kinds = append(kinds, string(k))
	}
	return nil, fmt.Errorf("%q: a Defaults is named by a kind that has any: %s", name, strings.Join(kinds, ", "))
}
