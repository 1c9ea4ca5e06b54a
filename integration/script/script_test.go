package script_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leeward/integration/script"
)

// said is what a text has said, line by line.
type said []string

func (s *said) note(format string, a ...any) error {
	*s = append(*s, fmt.Sprintf(format, a...))
	return nil
}

var language = script.Language[*said, *said]{
	Settings: []script.Setting[*said]{
		{"title …", func(s *said, a script.Args) error { return s.note("title %q", a.Text(0)) }},
		{"farms of R: N have P", func(s *said, a script.Args) error {
			return s.note("%s %d %v", a.Text(0), a.Int(1), a.Share(2))
		}},
	},
	Commands: []script.Command[*said]{
		{Line: "R falls for D", Do: func(s *said, a script.Args) error {
			return s.note("%s falls for %v", a.Text(0),
				a.Duration(1))
		}},
		{Line: "R stands", Check: func(s *said, a script.Args) error { return s.note("%s stands", a.Text(0)) }},
		{Line: "R says …", Check: func(s *said, a script.Args) error { return s.note("%s: %q", a.Text(0), a.Text(1)) }},
	},
	Known: func(kind, text string) error {
		if kind == "R" && text != "eu" && text != "us" {
			return fmt.Errorf("%q is no region", text)
		}
		return nil
	},
}

func TestParse(t *testing.T) {
	var s said
	text, err := language.Parse("dir/one.txt", `# A comment.
title  two  words   # a comment
farms of eu: 8, have 12.5%

after 1s
  eu falls for 1m30s
  within 4s: us stands
  meanwhile: us says  that  it  stands
then
  us falls for 0s
`, &s)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range text.Blocks {
		s.note("line %d, %v", b.Line, b.When)
		for _, step := range b.Steps {
			s.note("line %d, kind %d, within %v", step.Number, step.Kind, step.Within)
			if step.Check != nil {
				step.Check(&s, step.Args)
			} else {
				step.Do(&s, step.Args)
			}
		}
	}
	want := `title "two  words"
eu 8 0.125
line 5, 1s
line 6, kind 0, within 0s
eu falls for 1m30s
line 7, kind 1, within 4s
us stands
line 8, kind 2, within 0s
us: "that  it  stands"
line 9, 0s
line 10, kind 0, within 0s
us falls for 0s`
	if got := strings.Join(s, "\n"); text.Name != "one" || got != want {
		t.Errorf("%s:\n%s\nwant\n%s", text.Name, got, want)
	}
}

func TestParseErrors(t *testing.T) {
	clock := language
	clock.Clock = true
	for _, c := range []struct{ text, want string }{
		{"colour red\n", `x.txt:1: colour red: there is no such setting; a block begins with "after 1s" or "then"`},
		{"farms of ap: 8 have 12%\n", `x.txt:1: farms of ap: 8 have 12%: "ap" is no region`},
		{"farms of eu: many have 12%\n", `invalid syntax`},
		{"farms of eu: 8 have 12\n", `write a share as 50%, not "12"`},
		{"title x\n  eu falls for 1s\n", `x.txt:2: eu falls for 1s: nothing has begun yet`},
		{"after noon\n", `invalid duration`},
		{"after 1s\n  eu falls for long\n", `x.txt:2: eu falls for long: time: invalid duration "long"`},
		{"after 1s\n  eu stands\n", `nothing known is said so`}, // it does not happen
		{"after 1s\n  within 1s: eu falls for 1s\n", `nothing known is said so`},
		{"after 1s\n  within 1s eu stands\n", `write: within 5s: what must hold`},
		{"at 1s\n", `there is no such setting`},
	} {
		if _, err := language.Parse("x.txt", c.text, new(said)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.text, err, c.want)
		}
	}
	for _, c := range []struct{ text, want string }{
		{"at 2s\nat 1s\n", "x.txt:2: at 1s: times come in their order"},
		{"then\n", `a block begins with "at 5s"`},
	} {
		if _, err := clock.Parse("x.txt", c.text, new(said)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.text, err, c.want)
		}
	}
	if text, err := clock.Parse("x.txt", "at -2s\nat 90s\n", new(said)); err != nil ||
		text.Blocks[1].When != 90*time.Second {
		t.Errorf("%+v, %v", text, err)
	}
}

// A page that lacks a line, has an obsolete one, or one of another kind is reported, and written anew on demand.
func TestExplain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "README.md")
	page := func(rows ...string) string {
		return "# Page\n\n| line | | what |\n|---|---|---|\n" + strings.Join(rows, "") + "\nmore\n"
	}
	all := []string{
		"| `title …` | setting | a name |\n", "| `farms of R: N have P` | setting | farms |\n",
		"| `R falls for D` | happens | it falls |\n",
		"| `R stands` | must hold | it stands |\n", "| `R says …` | must hold | it says |\n",
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(page(all...))
	if err := language.Explain(file, false); err != nil {
		t.Error(err)
	}
	gone := "| `R flies` | happens | it flies |\n"
	for _, rows := range [][]string{all[1:], append([]string{gone}, all...), {all[1], all[0], all[2], all[3], all[4]}} {
		write(page(rows...))
		if err := language.Explain(file, false); err == nil {
			t.Errorf("%q is taken", rows)
		}
	}
	write(page(all[1], gone, all[3], all[4], all[0]))
	if err := language.Explain(file, true); err == nil || !strings.Contains(err.Error(),
		`does not explain ["R falls for D"]`) {
		t.Errorf("a line that nobody has explained: %v", err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := page(all[0], all[1], "| `R falls for D` | happens |  |\n", all[3], all[4]); string(text) != want {
		t.Errorf("written anew it is\n%s\nwant\n%s", text, want)
	}
}
