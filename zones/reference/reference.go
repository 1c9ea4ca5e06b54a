// Package reference says what a document can have: every kind and every field, with its type, default, range and an
// example.
//
//	zones, health: a field's type, json name, default, range, example ──reflection──┐
//	               the comment beside the field ──`make reference`──▶ words.txt ──┴──▶ docs/reference.md
//
// So the field in the model is the one place where it is described. Tests hold that none is without words, that
// examples are accepted, and that ranges are where they say.
package reference

import (
	"embed"
	"fmt"
	"io"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"leeward/health"
	"leeward/zones"
)

// Kind describes the documents of one kind.
type Kind struct {
	Kind    zones.Kind
	Name    string // the form of its name, such as "POOL/ENDPOINT"
	Text    string
	Example string // a whole document
	Fields  []Field
	Gives   map[zones.Kind][]string // of Defaults alone: the fields that it can give, by the kind that it is for
}

// Field describes one field of a kind.
type Field struct {
	Path     string // such as "rules[].when.countries"
	Type     string // in words
	Default  string // "" where leaving it out means nothing at all
	Range    string // "A to B", "a | b | c", or words; "" where there is none
	Example  string // YAML
	Text     string
	Required bool
	Inherit  bool // a Defaults of the kind can give the value
}

// names are the forms of names.
var names = map[zones.Kind]string{
	zones.KindZone: "ORIGIN", zones.KindRecord: "ORIGIN/OWNER/TYPE", zones.KindRegion: "REGION",
	zones.KindMonitor: "MONITOR", zones.KindMap: "MAP", zones.KindPool: "POOL", zones.KindEndpoint: "POOL/ENDPOINT",
	zones.KindDefaults: "KIND",
	zones.KindPolicy:   "FQDN", zones.KindOverride: "region/REGION, pool/POOL or endpoint/POOL/ENDPOINT",
}

// models are the types that the fields of each kind are read from.
var models = map[zones.Kind]reflect.Type{
	zones.KindZone: reflect.TypeFor[zones.Zone](), zones.KindRecord: reflect.TypeFor[zones.Record](),
	zones.KindRegion: reflect.TypeFor[zones.Region](), zones.KindMonitor: reflect.TypeFor[health.Monitor](),
	zones.KindMap: reflect.TypeFor[zones.Map](), zones.KindPool: reflect.TypeFor[zones.Pool](),
	zones.KindEndpoint: reflect.TypeFor[zones.Endpoint](), zones.KindPolicy: reflect.TypeFor[zones.Policy](),
	zones.KindOverride: reflect.TypeFor[zones.Override](), zones.KindDefaults: reflect.TypeFor[zones.Defaults](),
}

//go:embed examples
var examples embed.FS

//go:embed words.txt
var wordsText string

// words are the comments of the model, by type ("zones.Zone") and field ("zones.Zone.ttl").
var words = sync.OnceValue(func() map[string]string {
	m := make(map[string]string)
	for line := range strings.Lines(wordsText) {
		name, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		m[name] = text
	}
	return m
})

// Of describes a kind, which must be one of zones.Kinds.
func Of(kind zones.Kind) Kind {
	model := models[kind]
	example, _ := examples.ReadFile("examples/" + strings.ToLower(string(kind)) + ".yaml")
	k := Kind{
		Kind: kind, Name: names[kind], Text: words()[model.String()], Example: string(example),
		Fields: fields(nil, model, ""),
	}
	if kind == zones.KindDefaults {
		k.Gives = map[zones.Kind][]string{}
		for _, of := range zones.KindsWithDefaults() {
			k.Gives[of] = zones.Inheritable(of)
		}
	}
	return k
}

// fields appends the fields of a struct, and below each those of the structs in it.
func fields(all []Field, t reflect.Type, above string) []Field {
	for i := range t.NumField() {
		sf := t.Field(i)
		name, options, _ := strings.Cut(sf.Tag.Get("json"), ",")
		if only := sf.Tag.Get("only"); name == "" || name == "-" || only != "" && only+"." != above {
			continue
		}
		inner, list := element(sf.Type)
		f := Field{
			Path: above + name, Type: typeName(sf.Type), Default: sf.Tag.Get("default"), Range: sf.Tag.Get("range"),
			Example: sf.Tag.Get("example"), Text: words()[t.String()+"."+name], Required: options == "",
			Inherit: sf.Tag.Get("inherit") != "",
		}
		all = append(all, f)
		if isObject(inner) {
			below := f.Path + "."
			if list {
				below = f.Path + "[]."
			}
			all = fields(all, inner, below)
		}
	}
	return all
}

// element returns the type that a pointer or a list holds.
func element(t reflect.Type) (inner reflect.Type, list bool) {
	switch t.Kind() {
	case reflect.Pointer:
		return t.Elem(), false
	case reflect.Slice:
		return t.Elem(), true
	}
	return t, false
}

// isObject reports whether a type is an object of fields of its own in a document.
func isObject(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && typeNames[t] == ""
}

var typeNames = map[reflect.Type]string{
	reflect.TypeFor[zones.Duration](): "duration", reflect.TypeFor[zones.TTL](): "duration",
	reflect.TypeFor[zones.Percent](): "percentage", reflect.TypeFor[zones.Share](): "percentage or number",
	reflect.TypeFor[health.Quorum](): "word or number", reflect.TypeFor[zones.Step](): "step",
	reflect.TypeFor[netip.Addr](): "address", reflect.TypeFor[netip.Prefix](): "prefix",
	reflect.TypeFor[time.Time](): "time",
}

func typeName(t reflect.Type) string {
	if name := typeNames[t]; name != "" {
		return name
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeName(t.Elem())
	case reflect.Slice:
		return "list of " + plural(typeName(t.Elem()))
	case reflect.Map:
		return "map of " + plural(typeName(t.Elem()))
	case reflect.Struct:
		return "object"
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "boolean"
	case reflect.Float64:
		return "number"
	}
	return "whole number"
}

// plural returns the plural of the name of a type, whose first word changes.
func plural(name string) string {
	first, rest, more := strings.Cut(name, " ")
	switch {
	case first == "text":
	case strings.HasSuffix(first, "s"), strings.HasSuffix(first, "x"):
		first += "es"
	default:
		first += "s"
	}
	if more {
		first += " " + rest
	}
	return first
}

// Facts says in one line what is not words: type, default and range.
func (f Field) Facts() string {
	facts := f.Type
	if f.Required {
		facts += ", required"
	}
	if f.Default != "" {
		facts += ", default " + f.Default
	}
	if f.Inherit {
		facts += ", may be left to Defaults"
	}
	if f.Range != "" {
		facts += "; " + f.Range
	}
	return facts
}

// Markdown writes the page of all kinds.
func Markdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString(head)
	for _, kind := range zones.Kinds {
		k := Of(kind)
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\nName: `%s`. In etcd: `%s`.\n\n```yaml\n%s```\n\n", k.Kind, k.Text, k.Name,
			k.InEtcd(), k.Example)
		if k.Gives != nil {
			b.WriteString("| for | can give |\n|---|---|\n")
			for _, of := range zones.KindsWithDefaults() {
				fmt.Fprintf(&b, "| `%s` | `%s` |\n", of, strings.Join(k.Gives[of], "`, `"))
			}
			continue
		}
		b.WriteString("| field | type | default | range | |\n|---|---|---|---|---|\n")
		for _, f := range k.Fields {
			text := f.Text
			if f.Example != "" {
				text += " Example: `" + f.Example + "`"
			}
			def := f.Default
			if f.Required {
				def = "required"
			}
			if f.Inherit {
				def = strings.TrimPrefix(def+", or of [Defaults](#defaults)", ", or ")
			}
			cells := []string{"`" + f.Path + "`", f.Type, def, f.Range, text}
			for i := range cells {
				cells[i] = strings.ReplaceAll(cells[i], "|", `\|`)
			}
			fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// InEtcd returns the form of the kind's keys below the prefix.
func (k Kind) InEtcd() string {
	name, _, _ := strings.Cut(k.Name, ",")
	return string(zones.KeyOf(k.Kind, name))
}

const head = `# Reference

Every kind of document and every field that it can have. ` + "`leeward reference KIND`" + ` prints the same. This page is made from the
code by ` + "`make reference`" + `; change the comment or the tag of the field, not this page.

A document has ` + "`kind` and `name`" + `, and the fields below. A field that is not listed here is an error. In etcd the key says kind and
name, and the value is the JSON of the other fields.

A document with ` + "`each: [shop, cart]`" + ` stands for one document for each item: ` + "`$each`" + ` is the item in every text, the name
among them. ` + "`kind: List`" + ` with ` + "`each` and `items`" + ` does so for all documents in ` + "`items`" + `. In etcd, and in what ` + "`leeward get`" + `
prints, each is a resource of its own. There may be 1 to 1000 items ([cookbook.md](cookbook.md#many-services-on-the-same-balancers)).

| type | is written |
|---|---|
| duration | ` + "`300s`, `2m`, `1h30m`" + `: a number with its unit |
| percentage | ` + "`20%`" + ` |
| time | ` + "`2026-11-27T00:00:00Z`" + ` (RFC 3339) |
| step | the name of a pool, or pools with weights: ` + "`{www-us: 95, www-us-canary: 5}`" + `. ` + "`atLeast: 50%`" + ` among them has the step passed over when less than that share of its weight is available |
| map | ` + "`{NAME: VALUE}`" + ` |
`

// Write writes a kind, or the fields of it that are path or below, in so many columns; path "" is all of the kind. It
// reports whether there is such a field.
func (k Kind) Write(w io.Writer, path string, columns int) (found bool) {
	var b strings.Builder
	if path == "" {
		fmt.Fprintf(&b, "%s %s\n\n%s\n\nIn etcd: %s\n\n", k.Kind, k.Name, fill(k.Text, "", columns), k.InEtcd())
		for line := range strings.Lines(k.Example) {
			b.WriteString("    " + line)
		}
		b.WriteString("\n")
	}
	for _, of := range zones.KindsWithDefaults() {
		if gives := k.Gives[of]; gives != nil && path == "" {
			fmt.Fprintf(&b, "for %s\n%s\n", of, fill(strings.Join(gives, ", "), "    ", columns))
		}
	}
	for _, f := range k.Fields {
		if plain := strings.ReplaceAll(f.Path, "[]", ""); path != "" && plain != path &&
			!strings.HasPrefix(plain, path+".") {
			continue
		}
		found = true
		fmt.Fprintf(&b, "%s\n%s\n%s\n", f.Path, fill(f.Facts(), "    ", columns), fill(f.Text, "    ", columns))
		if f.Example != "" {
			b.WriteString(fill("Example: "+f.Example, "    ", columns) + "\n")
		}
	}
	_, _ = io.WriteString(w, b.String())
	return found || path == ""
}

// fill breaks text at spaces into lines of so many columns.
func fill(text, indent string, columns int) string {
	var b strings.Builder
	at := 0
	for word := range strings.FieldsSeq(text) {
		switch n := utf8.RuneCountInString(word); {
		case at == 0:
			b.WriteString(indent + word)
			at = len(indent) + n
		case at+1+n > columns:
			b.WriteString("\n" + indent + word)
			at = len(indent) + n
		default:
			b.WriteString(" " + word)
			at += 1 + n
		}
	}
	return b.String()
}
