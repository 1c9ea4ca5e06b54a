package document

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"leeward/zones"
)

// documentsOf returns n Records in several ways to write them, and n values that are no Records.
func documentsOf(n int) map[string]string {
	var apart, yaml, json, data strings.Builder
	for i := range n {
		fmt.Fprintf(&apart, "---\nkind: Record\nname: ex.test/h-%d/AAAA\nttl: 60s\ndata: [\"2001:db8::%x\"]\n", i, i)
		fmt.Fprintf(&yaml, "- kind: Record\n  name: ex.test/h-%d/AAAA\n  ttl: 60s\n  data: ['2001:db8::%x']\n", i, i)
		fmt.Fprintf(&json, `,{"kind":"Record","name":"ex.test/h-%d/AAAA","ttl":"60s","data":["2001:db8::%x"]}`, i, i)
		fmt.Fprintf(&data, `,"2001:db8::%x"`, i)
	}
	list := "[" + json.String()[1:] + "]"
	return map[string]string{
		"apart.yaml":    apart.String(),
		"list.yaml":     yaml.String(),
		"List.yaml":     "kind: List\nitems:\n" + yaml.String(),
		"array.json":    list,
		"List.json":     `{"kind":"List","items":` + list + `}`,
		"late.json":     `{"items":` + list + `,"kind":"List"}`,
		"flow.yaml":     "# not JSON\n" + list,
		"one.json":      `{"kind":"Record","name":"ex.test/www/AAAA","ttl":"60s","data":[` + data.String()[1:] + `]}`,
		"one.yaml":      "kind: Record\nname: ex.test/www/AAAA\nttl: 60s\ndata: [" + data.String()[1:] + "]\n",
		"nothing.json":  "[" + strings.Repeat("0,", n) + "0]",
		"nothing.yaml":  "# flow\n[" + strings.Repeat("0,", n) + "0]",
		"objects.yaml":  "kind: Pool\nname: a\nbad:" + strings.Repeat("\n- {a}", n),
		"comments.yaml": strings.Repeat("# a comment is long and says nothing\n", n) + "kind: Region\nname: here\n",
		"each.json":     `{"kind":"Region","name":"$each","each":["a","b"],"labels":{"x":[0` + strings.Repeat(",0", n) + `]}}`,
	}
}

// A List of JSON takes no more than its text and one item. What is refused is refused midway. Whoever gives everything
// back at the end has counted right.
func TestMeter(t *testing.T) {
	const n = 2_000
	for file, text := range documentsOf(n) {
		held, most, read := 0, 0, 0
		keep := func(*zones.Document) (bool, error) { read++; return false, nil }
		take := func(octets int) error {
			held += octets
			most = max(most, held)
			return nil
		}
		_, problems := ReadThrough(file, strings.NewReader(text), keep, take)
		if stays := len(problems) * problemCost; held < stays || held > stays+meterStep {
			t.Errorf("%s: %d octets are held at the end, with %d problems", file, held, len(problems))
		}
		switch file {
		case "apart.yaml", "array.json", "List.json", "late.json":
			if read != n || most > 2*meterStep {
				t.Errorf("%s: %d documents, and %d octets at most", file, read, most)
			}
		case "list.yaml", "List.yaml", "flow.yaml":
			if read != n || most < n*800 {
				t.Errorf("%s: %d documents, and %d octets at most", file, read, most)
			}
		case "one.json", "one.yaml", "nothing.json", "nothing.yaml", "objects.yaml", "each.json":
			if most < n*100 {
				t.Errorf("%s: %d octets at most", file, most)
			}
		}
		if most < 3*meterStep {
			continue
		}
		full, asked := errors.New("full"), 0
		_, problems = ReadThrough(file, strings.NewReader(text), keep, func(octets int) error {
			asked++
			if held += octets; held > most/2 {
				return full
			}
			return nil
		})
		if len(problems) == 0 || problems[len(problems)-1].Message != full.Error() {
			t.Errorf("%s: it does not fit, and the problems are %.300v", file, problems)
		}
	}
}

// Reading holds no more than is counted.
func TestMeterIsEnough(t *testing.T) {
	const n = 10_000
	live := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	for file, text := range documentsOf(n) {
		in := strings.NewReader(text)
		before, held, told, most, counted := live(), 0, 0, 0, 0
		keep := func(*zones.Document) (bool, error) { return false, nil }
		_, _ = ReadThrough(file, in, keep, func(octets int) error {
			if held += octets; held < told {
				told = held // what is reported as released is released just afterwards
			}
			if held-told > 2<<20 {
				told = held
				is := live() - before
				if most < is {
					most, counted = is, held
				}
				// what is counted in steps, and what exists before the first step
				if is > held+len(text)+1<<20 && strings.HasSuffix(file, ".json") ||
					is > held+1<<20 && strings.HasSuffix(file, ".yaml") {
					t.Fatalf("%s: %d octets are in use, and %d are counted", file, is, held)
				}
			}
			return nil
		})
		t.Logf("%s: %d octets of text, %d in use at most, where %d are counted", file, len(text), most, counted)
		runtime.KeepAlive(text)
	}
}

// The yaml package makes no more nodes of a text than are counted.
func TestYAMLWeight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SampledFrom([]string{
			"a", "b", "1", " ", "  ", "\n", "\n  ", "\n- ", "- ", "-", ":", ": ", "? ", "?", ",", ", ",
			"[", "]", "{", "}", "'", `"`, "&x ", "*x", "&", "*", "!", "!!str ", "#", "|\n", ">\n", "\n---\n", "::", "a: ", "a: b\n", "[a: b]",
			"{a,b}", "<<: ", "\t", "\r\n", "é", "~", "@", "%", "`", "...\n",
		})
		checkWeight(t, strings.Join(rapid.SliceOfN(parts, 0, 40).Draw(t, "parts"), ""))
	})
}

func FuzzYAMLWeight(f *testing.F) {
	for _, seed := range []string{
		"[{a},{a}]", "{:a,:b}", "- - - a", "? a\n? b", "[*a:b]", "a: [b, c: d]", "---\n---\na",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) { checkWeight(t, text) })
}

func checkWeight(t interface{ Fatalf(string, ...any) }, text string) {
	w := &yamlWeight{r: strings.NewReader(text), held: newMeter(func(int) error { return nil })}
	decoder, nodes, docs := yaml.NewDecoder(w), 0, 0
	for {
		var doc yaml.Node
		if err := decoder.Decode(&doc); err != nil {
			break
		}
		docs++
		nodes += nodesOf(&doc)
	}
	_, _ = io.Copy(io.Discard, w)
	if counted := w.nodes + 2*docs; nodes > counted {
		t.Fatalf("%q: %d nodes, and %d are counted", text, nodes, counted)
	}
}

func nodesOf(y *yaml.Node) int {
	n := 1
	for _, c := range y.Content {
		n += nodesOf(c)
	}
	return n
}
