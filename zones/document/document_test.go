package document

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"leeward/zones"
	"leeward/zones/catalog"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file, or writes it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\n%swant:\n%s", file, got, want)
	}
}

// TestBadDocuments reads each file of testdata/bad as leeward check does, and compares the result with the .txt beside
// it.
func TestBadDocuments(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.[yj]*")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			docs, problems := Read(filepath.Base(file), bytes.NewReader(text))
			problems = append(problems, catalog.Check(docs, problems...)...)
			if problems.Err() == nil {
				t.Error("nothing is wrong with it")
			}
			golden(t, strings.TrimSuffix(file, filepath.Ext(file))+".txt", problems.Error()+"\n")
		})
	}
}

func readGood(t *testing.T) []zones.Document {
	t.Helper()
	text, err := os.ReadFile("testdata/good/design.yaml")
	if err != nil {
		t.Fatal(err)
	}
	docs, problems := Read("design.yaml", bytes.NewReader(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return docs
}

// TestDesignExample: the documents in the design are valid, except for nameservers without addresses.
func TestDesignExample(t *testing.T) {
	docs := readGood(t)
	var got []string
	for _, p := range catalog.CheckAt(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), docs) {
		got = append(got, p.String())
	}
	want := []string{
		"design.yaml:3: Zone example.test: nameservers[0]: warning: ns1.example.test has no address in the zone; add " +
			"Record example.test/ns1/A",
		"design.yaml:3: Zone example.test: nameservers[1]: warning: ns2.example.test has no address in the zone; add " +
			"Record example.test/ns2/A",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestWrittenDocumentsAreReadAsTheSame(t *testing.T) {
	rs := zones.Resources(readGood(t))
	for _, form := range []string{"written.yaml", "written.json"} {
		var b bytes.Buffer
		write := WriteYAML
		if strings.HasSuffix(form, "json") {
			write = WriteJSON
		}
		if err := write(&b, rs); err != nil {
			t.Fatal(err)
		}
		golden(t, "testdata/good/"+form, b.String())
		docs, problems := Read(form, &b)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		if edits, same := zones.Diff(rs, zones.Resources(docs)); len(edits) > 0 || same != len(rs) {
			t.Errorf("%s: %d edits, %d the same of %d", form, len(edits), same, len(rs))
		}
	}
}

func TestDiffReads(t *testing.T) {
	old := zones.Resources(readGood(t))
	text, err := os.ReadFile("testdata/good/design.yaml")
	if err != nil {
		t.Fatal(err)
	}
	edited := strings.NewReplacer("ttl: 30s", "ttl: 60s", "[www-eu, www-us]", "[www-us, www-eu]", "www-us: 20%",
		"www-ap: 5%",
		"answers: 2", "", "name: example.test\nrules", "name: shop.example.test\nrules", "weight: 100",
		"weight: 50").Replace(string(text))
	docs, problems := Read("edited.yaml", strings.NewReader(edited))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	var b bytes.Buffer
	edits, unchanged := zones.Diff(old, zones.Resources(docs))
	if err := PrintDiff(&b, edits, unchanged, false); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/good/diff.txt", b.String())
}

func TestDecodeRefusesWhatIsNotOneResource(t *testing.T) {
	for _, tt := range []struct{ key, value, want string }{
		{"pools/www-eu", ``, `Pool www-eu: the value is empty; put JSON such as {}, or delete the key`},
		{"pools/www-eu", `{"region":"eu"} {}`, `Pool www-eu: not JSON: line 1: there is more after the end of the JSON; a key holds one resource`},
		{"pools/www-eu", "{\n\"kind\":\"Pool\",\"region\":\"eu\"}", `:2: Pool www-eu: kind: the key says kind and name; leave them out of the value, or write the document with leeward apply`},
		{"pools/www-eu", `["eu"]`, `:1: Pool www-eu: an object should be here, not a list`},
		{"pools/WWW", `{}`, `Pool WWW: pool name "WWW" has upper case; write www`},
		{"poools/www", `{}`, `poools/www: this key is none of Leeward's; delete it`},
		{"records/example.test/www/CNAME", `{"data":["a","b"]}`, `:1: Record example.test/www/CNAME: data[1]: a name can have only one CNAME (RFC 2181 10.1); to balance over several, make a Policy`},
		{"regions/eu", `{"latitude":1e999,"longitude":0}`, `:1: Region eu: latitude: 1e999 is not a decimal number within -90 to 90`},
		{"regions/eu", `{"latitude":null}`, `:1: Region eu: latitude: there is no value; give one, such as 53.3, or take the field out`},
		{"regions/eu", strings.Repeat("[", 100), `Region eu: not JSON: line 1: nested more than 32 deep`},
	} {
		r, err := Decode(zones.Key(tt.key), []byte(tt.value))
		if err == nil {
			t.Errorf("%s %s: taken as %+v", tt.key, tt.value, r)
		} else if err.Error() != tt.want {
			t.Errorf("%s %s:\n%s\nwant:\n%s", tt.key, tt.value, err, tt.want)
		}
	}
}

// Problems with a file of any size are reported in few words, because they go into logs, into status and over the wire.
func TestProblemsAreBrief(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for file, text := range map[string]string{
		"kind.yaml":   "kind: " + long + "\nname: x\n",
		"name.yaml":   "kind: Pool\nname: " + long + "\n",
		"ref.yaml":    "kind: Pool\nname: p\nregion: " + long + "\n",
		"field.yaml":  "kind: Pool\nname: p\n? " + long + "\n: 1\n",
		"number.yaml": "kind: Endpoint\nname: p/a\nweight: " + strings.Repeat("9", 1<<20) + "\n",
		"span.yaml":   "kind: Pool\nname: p\nregion: eu\nramp: " + long + "\n",
		"record.yaml": "kind: Record\nname: a.test/w/A\ndata: [" + long + "]\n",
		"owner.yaml":  "kind: Record\nname: a.test/" + long + "/A\ndata: [192.0.2.1]\n",
		"path.yaml":   "kind: Monitor\nname: m\nhttp: {path: \"" + long + " \"}\n",
		"bias.yaml":   "kind: Policy\nname: a.test\nrules: [{nearest: [a], bias: {" + long[:1000] + ": 1%}}]\n",
		"word.json":   `{"kind":` + long + `}`,
		"a.test.zone": "$TTL 1h\n@ SOA a. b. 1 1 1 1 1\n NS a.\nw A " + long[:1<<19] + "\n" + long[:1<<19] +
			" A 192.0.2.1\n",
	} {
		var problems zones.Problems
		if strings.HasSuffix(file, ".zone") {
			_, problems = ReadMaster(file, "a.test", strings.NewReader(text), nil)
		} else {
			var docs []zones.Document
			docs, problems = Read(file, strings.NewReader(text))
			problems = append(problems, catalog.Check(docs, problems...)...)
		}
		if problems.Err() == nil {
			t.Errorf("%s: nothing is wrong with it", file)
		}
		for _, p := range problems {
			if n := len(p.String()); n > 3000 {
				t.Errorf("%s: %d octets: %.300s", file, n, p)
			}
		}
	}
}
