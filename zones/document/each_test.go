package document

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"leeward/zones"
	"leeward/zones/catalog"
)

// TestManyServices: 25 services in two regions, each with a health check of its own, take few documents.
func TestManyServices(t *testing.T) {
	text, err := os.ReadFile("testdata/good/services.yaml")
	if err != nil {
		t.Fatal(err)
	}
	written := bytes.Count(text, []byte("kind: ")) // the List, and those within it, too
	if written > 30 {
		t.Errorf("25 services take %d documents, more than 30", written)
	}
	docs, problems := Read("services.yaml", bytes.NewReader(text))
	if problems = append(problems, catalog.Check(docs)...); len(problems) > 0 {
		t.Fatal(problems)
	}
	kinds := map[zones.Kind]int{}
	for _, d := range docs {
		kinds[d.Resource.Key().Kind()]++
	}
	want := map[zones.Kind]int{
		zones.KindZone: 1, zones.KindRecord: 1, zones.KindRegion: 2, zones.KindMonitor: 1, zones.KindPool: 50,
		zones.KindEndpoint: 100, zones.KindPolicy: 25,
	}
	if fmt.Sprint(kinds) != fmt.Sprint(want) {
		t.Errorf("they stand for %v, want %v", kinds, want)
	}
	for _, d := range docs {
		if e, ok := d.Resource.(*zones.Endpoint); ok && e.ID() == "cart-us/lb-2" && e.Host == "cart.example.test" {
			return
		}
	}
	t.Error("there is no endpoint cart-us/lb-2 that is asked for cart.example.test")
}

// TestEachIsWritingOut: a document with each is equal to what one would write by hand, in YAML and in JSON.
func TestEachIsWritingOut(t *testing.T) {
	short := `{"kind": "Policy", "each": ["shop", "cart"], "name": "$each.example.test", "map": "of-$each",
		"rules": [{"failover": [{"$each-eu": 95, "canary": 5}, "$each-us"]}],
		"schedule": [{"from": "2026-11-27T00:00:00Z", "weights": {"$each-eu": "150%"}}]}`
	one := strings.ReplaceAll(short, `"each": ["shop", "cart"], `, "")
	long := strings.ReplaceAll(one, "$each", "shop") + "\n" + strings.ReplaceAll(one, "$each", "cart")
	print := func(file, text string) string {
		docs, problems := Read(file, strings.NewReader(text))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		var b strings.Builder
		if err := WriteYAML(&b, zones.Resources(docs)); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	for _, file := range []string{"short.json", "short.yaml"} {
		if got, want := print(file, short), print("long.json", long); got != want {
			t.Errorf("%s is\n%s\nwant\n%s", file, got, want)
		}
	}
}

// TestEachIsBounded: a small file cannot stand for more than fits into memory, and a reader can stop in the middle of a
// document with each.
func TestEachIsBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"kind": "Override", "name": "region/$each", "state": "up", "reason": "` +
		strings.Repeat("x", 1<<20) + `", "each": ["0"`)
	for i := range mostEach - 1 {
		fmt.Fprintf(&b, ", \"n%d\"", i)
	}
	b.WriteString("]}")
	read := 0
	keep := func(*zones.Document) (bool, error) { read++; return false, nil }
	if _, problems := ReadThrough("big.json", strings.NewReader(b.String()), keep, nil); read == 0 || read > 256 ||
		len(problems) == 0 || !strings.Contains(problems.Error(), errTooMuch.Error()) {
		t.Errorf("%d of %d are read, and the problems are %.200v", read, mostEach, problems)
	}

	read = 0
	enough := errors.New("enough")
	keep = func(*zones.Document) (bool, error) { read++; return true, enough }
	text := strings.NewReader(`{"kind": "Region", "name": "$each", "each": ["a", "b"]}`)
	_, problems := ReadThrough("a.json", text, keep, nil)
	if read != 1 || !strings.Contains(problems.Error(), "enough") {
		t.Errorf("after the error %d were read: %v", read, problems)
	}
}

// TestEachIsForDocuments: a value in etcd is one resource, and has no each.
func TestEachIsForDocuments(t *testing.T) {
	_, err := Decode("regions/eu", []byte(`{"each": ["a"]}`))
	if err == nil || !strings.Contains(err.Error(), "leeward apply") {
		t.Errorf("the error is %v", err)
	}
}

// TestDefaultsKeepDocumentsShort counts what the cookbook's table says: how many documents 25 services in two regions
// take, and how often they repeat the same five settings.
func TestDefaultsKeepDocumentsShort(t *testing.T) {
	text, err := os.ReadFile("testdata/good/services.yaml")
	if err != nil {
		t.Fatal(err)
	}
	short := strings.ReplaceAll(string(text), "    monitor: web\n", "")
	each := strings.NewReplacer("    region:", "    monitor: web\n    minHealthy: 50%\n    region:",
		"    rules:", "    ttl: 20s\n    pick: sticky\n    rules:", "https:", "fall: 2\nhttps:").Replace(short)
	both := short + "---\nkind: Defaults\nname: Pool\nmonitor: web\nminHealthy: 50%\n---\nkind: Defaults\n" +
		"name: Policy\nttl: 20s\npick: sticky\n---\nkind: Defaults\nname: Monitor\nfall: 2\n"
	settings := regexp.MustCompile(`(?m)^ *(monitor|minHealthy|ttl|pick|fall): `)
	page, err := os.ReadFile("../../docs/cookbook.md")
	if err != nil {
		t.Fatal(err)
	}
	effective := map[string][]zones.Resource{}
	for name, text := range map[string]string{
		"a List with `each`":                             each,
		"a List with `each`, and Defaults":               both,
		"one document for each resource":                 "",
		"one document for each resource, and a Defaults": "",
	} {
		from := text
		if from == "" {
			if from = each; strings.Contains(name, "Defaults") {
				from = both
			}
		}
		docs, problems := Read("a.yaml", strings.NewReader(from))
		if problems = append(problems, catalog.Check(docs)...); len(problems) > 0 {
			t.Fatal(problems)
		}
		if text == "" {
			var b strings.Builder
			if err := WriteYAML(&b, zones.Resources(docs)); err != nil {
				t.Fatal(err)
			}
			text = b.String()
		}
		documents := regexp.MustCompile(`(?m)^ *(- )?kind: `).FindAllString(text, -1)
		row := fmt.Sprintf("| %s | %d | %d |", name, len(documents), len(settings.FindAllString(text, -1)))
		if !strings.Contains(string(page), row) {
			t.Errorf("docs/cookbook.md has no %s", row)
		}
		for _, r := range zones.InheritAll(zones.Resources(docs)) {
			if r.Key().Kind() != zones.KindDefaults {
				effective[name] = append(effective[name], zones.WrittenOut(r))
			}
		}
		if edits, _ := zones.Diff(effective["a List with `each`"], effective[name]); len(edits) > 0 &&
			effective["a List with `each`"] != nil {
			t.Errorf("%s says something else: %v", name, edits)
		}
	}
}
