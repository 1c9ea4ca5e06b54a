package document

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"leeward/health"
	"leeward/zones"
)

// filler fills resources from nodes.
type filler struct {
	found zones.Problems // the problems of the document; ValidateFields adds others, whose lines come from the nodes
	path  []string       // where the reading stands: names, ".": a field; "[0]": an item
	span  string         // what the field that is being read can have, "" where its tag does not say
}

// here notes a problem at the field that is being read. line is that of the value.
func (f *filler) here(line int, format string, args ...any) {
	f.found.Add(zones.Problem{
		Position: zones.Position{Line: line}, Field: strings.TrimPrefix(strings.Join(f.path, ""), "."),
		Message: fmt.Sprintf(format, args...), Code: zones.CodeSyntax,
	})
}

func (f *filler) within(step string, inner func()) {
	f.path = append(f.path, step)
	inner()
	f.path = f.path[:len(f.path)-1]
}

// fill reads a node into v. It is strict: an unknown field, a repeated field, and a value of another type are problems.
// Field names are those of encoding/json, which does none of this with a line.
func (f *filler) fill(n *node, v reflect.Value) {
	if n.shape == shapeNull {
		f.here(n.line, "there is no value; give one or take the field out")
		return
	}
	switch p := v.Addr().Interface().(type) {
	case *zones.Duration:
		f.fillDuration(n, p)
		return
	case *zones.TTL:
		var d zones.Duration
		before := len(f.found)
		if f.fillDuration(n, &d); len(f.found) == before {
			*p = zones.NewTTL(d.Std())
		}
		return
	case *zones.Step:
		f.fillStep(n, p)
		return
	case *netip.Addr:
		if f.want(n, shapeText) {
			addr, err := netip.ParseAddr(n.text)
			if err != nil {
				f.here(n.line, "%q is not an IP address%s", n.text, hostnameHint(n.text))
				return
			}
			*p = addr
		}
		return
	case *netip.Prefix:
		if f.want(n, shapeText) {
			prefix, err := zones.ParsePrefix(n.text)
			if err != nil {
				f.here(n.line, "%v", err)
				return
			}
			*p = prefix
		}
		return
	case *time.Time:
		if f.want(n, shapeText) {
			t, err := time.Parse(time.RFC3339, n.text)
			if err != nil {
				f.here(n.line, "%q is not a time; write it as %q", n.text, "2026-11-27T00:00:00Z")
				return
			}
			if *p = t.UTC(); p.Year() < 1 || p.Year() > 9999 { // which JSON cannot say, and so no status either
				f.here(n.line, "%q is outside of the years 1 to 9999; leave the field out if there is no such time",
					n.text)
			}
		}
		return
	case json.Unmarshaler:
		if err := p.UnmarshalJSON(appendJSON(nil, n)); err != nil {
			f.here(n.line, "%v", err)
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		inner := reflect.New(v.Type().Elem())
		f.fill(n, inner.Elem())
		v.Set(inner)
	case reflect.Struct:
		f.fillStruct(n, v)
	case reflect.Slice:
		f.fillList(n, v)
	case reflect.Map:
		f.fillMap(n, v)
	case reflect.String:
		if f.want(n, shapeText) {
			v.SetString(n.text)
		}
	case reflect.Bool:
		if f.want(n, shapeBool) {
			v.SetBool(strings.EqualFold(n.text, "true"))
		}
	case reflect.Float64:
		if f.want(n, shapeNumber) {
			x, err := health.ParseNumber(n.text)
			if err != nil {
				f.here(n.line, "%s is not a decimal number%s", n.text, rangeHint(err, f.span))
			} else if err := health.Twofold(n.text); err != nil {
				f.here(n.line, "%v", err)
			} else {
				v.SetFloat(x)
			}
		}
	case reflect.Int:
		if f.want(n, shapeNumber) {
			i, err := strconv.ParseInt(n.text, 10, 32)
			if err != nil {
				f.here(n.line, "%s is not a whole number%s", n.text,
					rangeHint(err, cmp.Or(f.span, "-2147483648 to 2147483647")))
			} else if err := health.Twofold(n.text); err != nil {
				f.here(n.line, "%v", err)
			} else {
				v.SetInt(i)
			}
		}
	case reflect.Uint16, reflect.Uint32:
		if digits, ok := strings.CutPrefix(strings.ToUpper(n.text), "AS"); ok && n.shape == shapeText &&
			v.Kind() == reflect.Uint32 {
			f.here(n.line, "an AS is given by its number alone here; write %s", digits)
			return
		}
		if f.want(n, shapeNumber) {
			bits := v.Type().Bits()
			u, err := strconv.ParseUint(n.text, 10, bits)
			if err != nil {
				f.here(n.line, "%s is not a whole number%s", n.text,
					rangeHint(err, cmp.Or(f.span, fmt.Sprintf("0 to %d", uint64(1)<<bits-1))))
			} else if err := health.Twofold(n.text); err != nil {
				f.here(n.line, "%v", err)
			} else {
				v.SetUint(u)
			}
		}
	default:
		panic("zones: a resource has a field of type " + v.Type().String())
	}
}

// want reports whether the node has the shape. If it does not, it notes how to write it.
func (f *filler) want(n *node, s shape) bool {
	if n.shape == s {
		return true
	}
	hint := ""
	switch {
	case s == shapeText && (n.shape == shapeNumber || n.shape == shapeBool):
		hint = fmt.Sprintf("; write it in quotes: %q", n.text)
	case s == shapeText && n.shape == shapeList && len(n.items) == 1 && n.items[0].shape == shapeText:
		hint = "; write " + n.items[0].text + " without the brackets"
	case s == shapeList && (n.shape == shapeText || n.shape == shapeNumber):
		hint = "; write [" + n.text + "]"
	case s == shapeNumber && n.shape == shapeText && health.IsNumber(n.text) && !looksLike(n.text, s): // as of 1e400
		f.here(n.line, "%s is too large%s", n.text, f.spanned())
		return false
	case (s == shapeNumber || s == shapeBool) && n.shape == shapeText && looksLike(n.text, s):
		hint = "; write " + strings.ToLower(n.text) + " without quotes"
	}
	f.here(n.line, "%s should be here, not %s%s", s, n.shape, hint)
	return false
}

func looksLike(text string, s shape) bool {
	if s == shapeBool {
		return strings.EqualFold(text, "true") || strings.EqualFold(text, "false")
	}
	_, err := health.ParseNumber(text)
	return err == nil
}

func rangeHint(err error, span string) string {
	if errors.Is(err, strconv.ErrRange) && span != "" {
		return " within " + span
	}
	return ""
}

func hostnameHint(text string) string {
	if _, err := netip.ParsePrefix(text); err == nil {
		return "; an endpoint has single addresses, write them one by one"
	}
	if _, err := netip.ParseAddrPort(text); err == nil {
		return "; take the port out, it is the monitor's"
	}
	return ""
}

// mostFields is more than any resource has.
const mostFields = 100

func (f *filler) fillStruct(n *node, v reflect.Value) {
	if !f.want(n, shapeObject) {
		return
	}
	if len(n.fields) > mostFields {
		f.here(n.line, "%d fields are more than any resource has", len(n.fields))
		return
	}
	for i := range n.fields {
		field := &n.fields[i]
		f.within("."+field.name, func() {
			if n.get(field.name) != &field.value {
				f.here(field.line, "it is there twice; take one out")
				return
			}
			target, tag := fieldNamed(v, field.name)
			if !target.IsValid() {
				hint := "; known: " + strings.Join(fieldNames(v.Type(), nil), ", ")
				if near := zones.Nearest(field.name, fieldNames(v.Type(), nil)); near != "" {
					hint = "; did you mean " + near + "?"
				}
				f.here(field.line, "unknown field%s", hint)
				return
			}
			// Everybody writes "status: 200", and it can mean only one thing.
			if field.name == "status" && target.Kind() == reflect.String && field.value.shape == shapeNumber {
				field.value.shape = shapeText
			}
			if example := tag.Get("example"); field.value.shape == shapeNull && example != "" {
				f.here(field.line, "there is no value; give one, such as %s, or take the field out", example)
				return
			}
			before, outer := len(f.found), f.span
			f.span = tag.Get("range")
			f.fill(&field.value, target)
			f.span = outer
			// Refuse a zero that would silently mean the default.
			if k := target.Kind(); len(f.found) == before && target.IsZero() &&
				strings.Contains(tag.Get("json"), ",omitempty") && !givesZero(tag) &&
				(k == reflect.Int || k == reflect.Int64 || k == reflect.Uint16) {
				f.here(field.value.line,
					"%s is not a value it can have; give a greater one, or take the field out for the default",
					field.value.text)
			}
		})
	}
}

// givesZero reports whether a zero in a document is a value of its own, different from leaving the field to the kind's
// Defaults.
func givesZero(tag reflect.StructTag) bool {
	return tag.Get("inherit") != "" && strings.HasPrefix(tag.Get("range"), "0")
}

// fieldNamed returns the field that encoding/json would fill, also in embedded structs, and its tag.
func fieldNamed(v reflect.Value, name string) (field reflect.Value, tag reflect.StructTag) {
	t := v.Type()
	for i := range t.NumField() {
		sf := t.Field(i)
		tag, _, _ := strings.Cut(sf.Tag.Get("json"), ",")
		switch {
		case sf.Anonymous && tag == "":
			if inner, tag := fieldNamed(v.Field(i), name); inner.IsValid() {
				return inner, tag
			}
		case tag == name && tag != "-" && sf.IsExported():
			return v.Field(i), sf.Tag
		}
	}
	return reflect.Value{}, ""
}

func fieldNames(t reflect.Type, names []string) []string {
	for i := range t.NumField() {
		sf := t.Field(i)
		tag, _, _ := strings.Cut(sf.Tag.Get("json"), ",")
		switch {
		case sf.Anonymous && tag == "":
			names = fieldNames(sf.Type, names)
		case tag != "-" && tag != "":
			names = append(names, tag)
		}
	}
	return names
}

func (f *filler) fillList(n *node, v reflect.Value) {
	if !f.want(n, shapeList) {
		return
	}
	list := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
	for i := range n.items {
		f.within("["+strconv.Itoa(i)+"]", func() { f.fill(&n.items[i], list.Index(i)) })
	}
	if len(n.items) > 0 {
		v.Set(list)
	}
}

func (f *filler) fillMap(n *node, v reflect.Value) {
	if !f.want(n, shapeObject) {
		return
	}
	m := reflect.MakeMapWithSize(v.Type(), len(n.fields))
	for i := range n.fields {
		field := &n.fields[i]
		f.within("."+field.name, func() {
			name := reflect.ValueOf(field.name)
			if m.MapIndex(name).IsValid() {
				f.here(field.line, "it is there twice; take one out")
				return
			}
			value := reflect.New(v.Type().Elem()).Elem()
			f.fill(&field.value, value)
			m.SetMapIndex(name, value)
		})
	}
	if len(n.fields) > 0 {
		v.Set(m)
	}
}

func (f *filler) fillDuration(n *node, d *zones.Duration) {
	if n.shape == shapeNumber {
		as := zones.Duration(0)
		switch {
		case strings.HasPrefix(n.text, "-"):
			f.here(n.line, "%s is negative, and has no unit; write it as \"30s\"%s", n.text, f.spanned())
		case as.UnmarshalJSON(appendQuoted(nil, n.text+"s")) != nil:
			f.here(n.line, "%s is no duration; write it with a unit, as \"30s\"%s", n.text, f.spanned())
		default:
			f.here(n.line, "%s has no unit; write it as %ss, %sm or %sh%s", n.text, n.text, n.text, n.text, f.spanned())
		}
		return
	}
	if !f.want(n, shapeText) {
		return
	}
	if v, err := time.ParseDuration(n.text); err == nil && v >= 0 {
		*d = zones.Duration(v)
	} else if err := d.UnmarshalJSON(appendJSON(nil, n)); errors.Is(err, health.ErrTooLong) {
		f.here(n.line, "%v%s", err, f.spanned())
	} else if err != nil {
		f.here(n.line, "%v", err)
	}
}

// spanned says what the field that is being read can have, if its tag does.
func (f *filler) spanned() string {
	if f.span == "" {
		return ""
	}
	return "; it can be " + f.span
}

// fillStep reads one step of a failover order: "www-eu", or {www-us: 95, www-us-canary: 5}.
func (f *filler) fillStep(n *node, s *zones.Step) {
	switch n.shape {
	case shapeText:
		s.Pools = []zones.WeightedPool{{Pool: n.text, Weight: 1}}
	case shapeObject:
		var weights map[string]int
		before := len(f.found)
		pools := node{shape: n.shape, line: n.line}
		for i := range n.fields {
			field := &n.fields[i]
			if field.name != zones.AtLeast {
				pools.fields = append(pools.fields, *field)
				continue
			}
			f.within("."+zones.AtLeast, func() {
				switch {
				case n.get(zones.AtLeast) != &field.value:
					f.here(field.line, "it is there twice; take one out")
				case s.AtLeast.UnmarshalJSON(appendJSON(nil, &field.value)) != nil || s.AtLeast < 1 || s.AtLeast > 100:
					f.here(field.value.line, "it is a share of the step's weight, 1%% to 100%%, such as 50%%")
				}
			})
		}
		f.fillMap(&pools, reflect.ValueOf(&weights).Elem())
		if len(f.found) > before {
			return
		}
		if len(weights) == 0 {
			f.here(n.line, "a step names at least one pool")
			return
		}
		s.SetWeights(weights)
	default:
		f.here(n.line, "a step is a pool's name, or pools with weights such as {www-us: 95, www-us-canary: 5}, not %s",
			n.shape)
	}
}
