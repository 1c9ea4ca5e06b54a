package reference

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/document"
)

var update = flag.Bool("update", false, "make words.txt and docs/reference.md anew")

const page = "../../docs/reference.md"

// TestWords: words.txt and the page are made from the model as it is now.
func TestWords(t *testing.T) {
	words := comments(t, "..", "../../health")
	if *update {
		write(t, "words.txt", words)
	}
	if wordsText != words {
		t.Fatal("words.txt is not what the comments of the model say; run make reference (twice, if you have just " +
			"run it)")
	}
	var b bytes.Buffer
	if err := Markdown(&b); err != nil {
		t.Fatal(err)
	}
	if *update {
		write(t, page, b.String())
	}
	if have, _ := os.ReadFile(page); string(have) != b.String() {
		t.Errorf("%s is not what the model says; run make reference", page)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// comments reads the comments of types and fields of documents.
func comments(t *testing.T, folders ...string) string {
	t.Helper()
	wanted := map[string]bool{}
	var walk func(reflect.Type)
	walk = func(model reflect.Type) {
		if wanted[model.String()] {
			return
		}
		wanted[model.String()] = true
		for i := range model.NumField() {
			if inner, _ := element(model.Field(i).Type); isObject(inner) {
				walk(inner)
			}
		}
	}
	for _, model := range models {
		walk(model)
	}
	var lines []string
	for _, folder := range folders {
		files, err := filepath.Glob(folder + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				g, ok := d.(*ast.GenDecl)
				if !ok || g.Tok != token.TYPE {
					continue
				}
				spec := g.Specs[0].(*ast.TypeSpec)
				name := f.Name.Name + "." + spec.Name.Name
				body, ok := spec.Type.(*ast.StructType)
				if !ok || !wanted[name] {
					continue
				}
				if doc := strings.Join(strings.Fields(g.Doc.Text()), " "); doc != "" {
					lines = append(lines, name+"\t"+about(spec.Name.Name, doc)+"\n")
				}
				for _, field := range body.Fields.List {
					if field.Tag == nil {
						continue
					}
					tag, _ := strconv.Unquote(field.Tag.Value)
					json, _, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
					if text := strings.Join(strings.Fields(field.Doc.Text()), " "); json != "-" && text != "" {
						lines = append(lines, name+"."+json+"\t"+text+"\n")
					}
				}
			}
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// about turns "Zone is an origin." into "An origin."
func about(name, doc string) string {
	rest, ok := strings.CutPrefix(doc, name+" is ")
	if !ok {
		return doc
	}
	return strings.ToUpper(rest[:1]) + rest[1:]
}

// TestEveryFieldIsDescribed: each field has a description that ends in a full stop, and an example or fields of its
// own.
func TestEveryFieldIsDescribed(t *testing.T) {
	for _, kind := range zones.Kinds {
		k := Of(kind)
		if !strings.HasSuffix(k.Text, ".") || k.Example == "" {
			t.Errorf("%s: words %q, example %q", kind, k.Text, k.Example)
		}
		for i, f := range k.Fields {
			if !strings.HasSuffix(f.Text, ".") {
				t.Errorf("%s.%s: %q is not a sentence; write the comment beside the field", kind, f.Path, f.Text)
			}
			object := i+1 < len(k.Fields) && strings.HasPrefix(k.Fields[i+1].Path, f.Path)
			if f.Example == "" && !object {
				t.Errorf("%s.%s has no example; give the field the tag example", kind, f.Path)
			}
		}
	}
}

// TestExamples: the documents are valid together.
func TestExamples(t *testing.T) {
	var docs []zones.Document
	for _, kind := range zones.Kinds {
		read, problems := document.Read(string(kind), strings.NewReader(Of(kind).Example))
		if len(problems) > 0 || len(read) != 1 {
			t.Fatalf("%s: %d documents: %v", kind, len(read), problems)
		}
		docs = append(docs, read...)
	}
	more, problems := document.Read("more", strings.NewReader(`
{kind: Region, name: us-east, latitude: 39, longitude: -77.5}
---
{kind: Pool, name: www-us, region: us-east}
---
{kind: Pool, name: www-us-canary, region: us-east}
---
{kind: Endpoint, name: www-us/lb-1, addresses: [192.0.2.20, "2001:db8::20"]}
---
{kind: Endpoint, name: www-us-canary/lb-1, addresses: [192.0.2.21, "2001:db8::21"]}
---
{kind: Record, name: example.test/ns1/A, data: [192.0.2.1]}
---
{kind: Record, name: example.test/ns2/A, data: [192.0.2.2]}
`))
	if problems := append(problems, catalog.Check(append(docs, more...))...).Errors(); len(problems) > 0 {
		t.Error(problems)
	}
}

// beside is what a field needs beside it, as YAML, and what excludes it.
var beside = map[string]struct{ with, without string }{
	"Endpoint.hostname":                {"", "addresses"},
	"Endpoint.flatten":                 {"hostname: lb.example", "addresses"},
	"Monitor.interval":                 {"", "timeout"},
	"Policy.rules[].nearest":           {"", "rules"},
	"Policy.rules[].bias":              {"rules: [{nearest: [www-eu, www-us]}]", "rules"},
	"Policy.rules[].failover":          {"", "rules"},
	"Policy.rules[].answer":            {"rules: [{when: {countries: [US]}}]", "rules"},
	"Policy.rules[].when.continents":   {"rules: [{failover: [www-eu]}]", "rules"},
	"Policy.rules[].when.countries":    {"rules: [{failover: [www-eu]}]", "rules"},
	"Policy.rules[].when.subdivisions": {"rules: [{failover: [www-eu]}]", "rules"},
	"Policy.rules[].when.asns":         {"rules: [{failover: [www-eu]}]", "rules"},
	"Policy.rules[].when.prefixes":     {"rules: [{failover: [www-eu]}]", "rules"},
	"Policy.schedule[].from":           {"schedule: [{weights: {www-us: 150%}}]", ""},
	"Policy.schedule[].until":          {"schedule: [{from: 2026-11-27T00:00:00Z, weights: {www-us: 150%}}]", ""},
	"Policy.schedule[].ramp":           {"schedule: [{from: 2026-11-27T00:00:00Z, weights: {www-us: 150%}}]", ""},
	"Policy.schedule[].weights":        {"schedule: [{from: 2026-11-27T00:00:00Z}]", ""},
	"Pool.capacity.max":                {"capacity: {target: 1}", ""},
	"Endpoint.capacity.max":            {"capacity: {target: 1}", ""},
	"Override.ramp":                    {"", "until"},
	"Zone.transfer.members":            {"", "update"},
	"Zone.transfer.transferSource":     {"transfer: {primaries: [192.0.2.1]}", "nameservers hostmaster update"},
	"Zone.transfer.primaries":          {"", "nameservers hostmaster update"},
	"Zone.transfer.allowNotify":        {"transfer: {primaries: [192.0.2.1]}", "nameservers hostmaster update"},
	"Zone.transfer.retransfer":         {"transfer: {primaries: [192.0.2.1]}", "nameservers hostmaster update"},
	"Zone.transfer.catalog":            {"transfer: {primaries: [192.0.2.1]}", "nameservers hostmaster update"},
	"Zone.transfer.member":             {"transfer: {primaries: [192.0.2.1]}", "nameservers hostmaster update"},
	"Monitor.grpc.insecure":            {"grpc: {tls: true}", ""},
	"Monitor.grpc.service":             {"grpc: {port: 1}", ""},
	"Monitor.grpc.tls":                 {"grpc: {port: 1}", ""},
	"Monitor.grpc.serverName":          {"grpc: {port: 1}", ""},
	"Monitor.tls.serverName":           {"tls: {port: 1}", ""},
	"Monitor.tls.minValidity":          {"tls: {port: 1}", ""},
	"Monitor.tls.insecure":             {"tls: {port: 1}", ""},
	"Monitor.dns.port":                 {"dns: {name: a.test}", ""},
	"Monitor.dns.type":                 {"dns: {name: a.test}", ""},
}

// with returns the problems of the kind's example once the field has that value.
func with(t *testing.T, k Kind, f Field, value string) zones.Problems {
	t.Helper()
	parse := func(text string) (v any) {
		t.Helper()
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			t.Fatalf("%s.%s: %q: %v", k.Kind, f.Path, text, err)
		}
		return v
	}
	doc := parse(k.Example).(map[string]any)
	if k.Kind == zones.KindMonitor {
		if check, _, isCheck := strings.Cut(f.Path, "."); isCheck || f.Path == "external" {
			delete(doc, "https")
			doc[check] = map[string]any{}
		}
	}
	need := beside[string(k.Kind)+"."+f.Path]
	for field := range strings.FieldsSeq(need.without) {
		delete(doc, field)
	}
	if need.without != "" && strings.Contains(need.without, "nameservers") {
		delete(doc, "transfer")
	}
	if need.with != "" {
		for name, v := range parse(need.with).(map[string]any) {
			doc[name] = v
		}
	}
	if k.Kind == zones.KindMonitor {
		if g, ok := doc["grpc"].(map[string]any); ok && f.Path == "grpc.insecure" {
			g["port"] = 1
		}
		if d, ok := doc["dns"].(map[string]any); ok && f.Path != "dns.name" {
			d["name"] = "a.test"
		}
	}
	at, steps := doc, strings.Split(f.Path, ".")
	for i, step := range steps {
		name, list := strings.CutSuffix(step, "[]")
		if i == len(steps)-1 {
			at[name] = parse(value)
			break
		}
		if list {
			items, _ := at[name].([]any)
			if len(items) == 0 {
				items = []any{map[string]any{}}
				at[name] = items
			}
			at = items[len(items)-1].(map[string]any)
			continue
		}
		inner, _ := at[name].(map[string]any)
		if inner == nil {
			inner = map[string]any{}
			at[name] = inner
		}
		at = inner
	}
	text, err := yaml.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	_, problems := document.Read("", bytes.NewReader(text))
	return problems
}

// TestFieldExamples: each field's example, and each default that is a value, is accepted.
func TestFieldExamples(t *testing.T) {
	value := regexp.MustCompile(`^([0-9.]+(ms|s|m|h)?|[a-z/0-9.]+|[A-Z]+)$`)
	for _, kind := range zones.Kinds {
		k := Of(kind)
		for _, f := range k.Fields {
			if f.Example == "" {
				continue
			}
			alone := f.Path == "transfer.member" || strings.HasPrefix(f.Path, "dnssec.") // these exclude others
			if problems := with(t, k, f, f.Example); !alone && len(problems) > 0 {
				t.Errorf("%s.%s: %s: %v", kind, f.Path, f.Example, problems)
			}
			if f.Default == "" || !value.MatchString(f.Default) || f.Default == "ttl" || f.Default == "any" ||
				f.Default == "never" {
				continue
			}
			// Some fields refuse an explicit zero, so that nobody takes it for more than the default.
			if problems := with(t, k, f, f.Default); len(problems) > 0 && f.Default != "0" && f.Default != "0s" {
				t.Errorf("%s.%s: the default %s: %v", kind, f.Path, f.Default, problems)
			}
		}
	}
}

// TestRanges: each range begins and ends where it says, and a field with words accepts no others.
func TestRanges(t *testing.T) {
	for _, kind := range zones.Kinds {
		k := Of(kind)
		for _, f := range k.Fields {
			refused := func(value string) bool {
				for _, p := range with(t, k, f, value) {
					if strings.HasPrefix(p.Field, strings.FieldsFunc(f.Path, func(r rune) bool {
						return r == '.' || r == '['
					})[0]) {
						return true
					}
				}
				return false
			}
			// as writes one value in the form of the field's example: in a list or a map if that is one.
			as := func(v string) string {
				switch {
				case strings.HasPrefix(f.Example, "["):
					return "[" + v + "]"
				case strings.HasPrefix(f.Example, "{"):
					name, _, _ := strings.Cut(f.Example[1:], ":")
					return "{" + name + ": " + v + "}"
				}
				return v
			}
			low, high, isSpan := strings.Cut(f.Range, " to ")
			switch {
			case strings.Contains(f.Range, " | "):
				for word := range strings.SplitSeq(f.Range, " | ") {
					if word == "a number" {
						continue
					}
					if refused(as(word)) {
						t.Errorf("%s.%s refuses %s: %v", kind, f.Path, word, with(t, k, f, as(word)))
					}
				}
				if !refused(as("zz")) {
					t.Errorf("%s.%s accepts zz", kind, f.Path)
				}
			case isSpan && f.Example != "" && !strings.HasPrefix(f.Type, "list of text"):
				if !refused(as(beyond(t, low, -1))) {
					t.Errorf("%s.%s accepts %s, below %s", kind, f.Path, beyond(t, low, -1), low)
				}
				if high == "interval" {
					high = "5s" // the example's
				}
				if low != "0" && low != "0s" && refused(as(low)) && f.Path != "timeout" {
					t.Errorf("%s.%s refuses %s: %v", kind, f.Path, low, with(t, k, f, as(low)))
				}
				if refused(as(high)) && !strings.HasSuffix(f.Path, "ramp") {
					t.Errorf("%s.%s refuses %s: %v", kind, f.Path, high, with(t, k, f, as(high)))
				}
				if !refused(as(beyond(t, high, 1))) {
					t.Errorf("%s.%s accepts %s, above %s", kind, f.Path, beyond(t, high, 1), high)
				}
			}
		}
	}
}

// beyond returns the value that is one step away.
func beyond(t *testing.T, value string, step int) string {
	t.Helper()
	if n, err := strconv.ParseInt(value, 10, 64); err == nil {
		return strconv.FormatInt(n+int64(step), 10)
	}
	if digits, ok := strings.CutSuffix(value, "%"); ok {
		n, err := strconv.Atoi(digits)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%d%%", n+step)
	}
	d, err := time.ParseDuration(value)
	if err != nil {
		t.Fatalf("%q is no border", value)
	}
	unit := time.Second
	if d < time.Second && d > 0 {
		unit = time.Millisecond
	}
	if d == time.Millisecond {
		return "1us"
	}
	return (d + time.Duration(step)*unit).String()
}
