package document

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzParseJSON compares the reader with encoding/json: both accept the same texts, as the same values. Beyond that,
// ours refuses what is nested deeper than maxDepth or is not UTF-8, and knows the line of each value.
func FuzzParseJSON(f *testing.F) {
	for _, seed := range []string{
		`{"ttl":"300s","data":["192.0.2.1"]}`, `[1,]`, `{"a":1,}`, `{} {}`, "\n[\n1,\n{\"a\":\nnull}]\n", `"\ud800"`,
		`{"a":1,"a":2}`, `[`, `nul`, `-`, `1e`, `-0.5E+3`, `01`, `{"a" 1}`, `[1 2]`, `{1:2}`, "\"\t\"", "\"\xff\"", `""""`,
		strings.Repeat("[", maxDepth) + "0" + strings.Repeat("]", maxDepth), strings.Repeat("[", maxDepth+2),
		strings.Repeat(`{"a":`, maxDepth+1) + "0" + strings.Repeat("}", maxDepth+1), "\v1", "\u00a01", "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		root, rest, end, err := parseJSON(text, 1)
		taken := err == nil && len(rest) == 0
		if !json.Valid(text) || !utf8.Valid(text) {
			if taken {
				t.Fatalf("%q is taken", text)
			}
			return
		}
		if !taken {
			if bytes.Count(text, []byte("["))+bytes.Count(text, []byte("{")) <= maxDepth {
				t.Fatalf("%q: %v, rest %q", text, err, rest)
			}
			return
		}
		if want := 1 + bytes.Count(text, []byte("\n")); end != want {
			t.Errorf("%q ends at line %d, want %d", text, end, want)
		}
		if got, want := plain(t, appendJSON(nil, &root)), plain(t, text); !reflect.DeepEqual(got, want) {
			t.Errorf("%q is read as %v, want %v", text, got, want)
		}
	})
}

// plain is a text as encoding/json reads it, with numbers as they are written.
func plain(t *testing.T, text []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return v
}
