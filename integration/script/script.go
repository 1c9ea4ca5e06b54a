// Package script is the language of the texts that tests play: settings, what happens when, and what must hold.
//
//	title   one server is killed            ← settings: lines that are not indented, before the first block
//	ttl     5s
//
//	after 1s                                ← a block: when, and below it, indented, its steps
//	  kill server us                        ← it happens
//	  within 4s: eu answers                 ← it must hold by then, counted from the block's beginning
//	  meanwhile: eu,ap agree                ← it must hold until the next block begins
//
// A Language has the lines that a text may have. A line's pattern has words in capitals for the parts that vary. Those
// parts are read with the text. So a text with a mistake is refused, with its line, before anything is played:
//
//	N  a number                P  a share, 40%
//	D  a duration, 1m30s       …  all that is left of the line
//
// Others, such as R for a region, are the language's own (Known). A page explains each line in a row of a table, and
// Explain compares page and language.
package script

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Setting is a line before the first block: S is what it sets.
type Setting[S any] struct {
	Line string
	Set  func(to S, a Args) error
}

// Command is a step. W is the world in which it happens (Do), or is checked (Check).
type Command[W any] struct {
	Line  string
	Do    func(in W, a Args) error
	Check func(in W, a Args) error

	// Promise is called when the block begins, with the step's limit: what a check expects clients to get from then on.
	Promise func(in W, limit time.Duration, a Args) error

	// Quiet says that the event changes nothing for clients, so that promises need not hold yet.
	Quiet bool
}

// Language is the lines of texts of one kind.
type Language[S, W any] struct {
	Settings []Setting[S]
	Commands []Command[W]

	Clock bool // blocks begin at times of one clock, "at 5s", and not "after 1s" or "then"
	// whether the name in place of a word in capitals exists, such as "eu" for R; nil: all do
	Known func(kind, text string) error
}

// Text is the content of a text, in its order.
type Text[W any] struct {
	Name   string // of the file, without .txt
	Blocks []Block[W]
}

// Block is what happens at one time, and what must hold from then on.
type Block[W any] struct {
	Line  int
	When  time.Duration // after everything in the block before holds; on the text's clock, if the language has one
	Steps []Step[W]
}

// Step is one line of a block.
type Step[W any] struct {
	Command[W]
	Args Args

	Number int    // of the line
	Text   string // of the line
	Kind   Kind
	Within time.Duration // of Bounded
}

// Kind is when a step counts.
type Kind int

// The kinds of steps.
const (
	Happens   Kind = iota // now
	Bounded               // it must hold within a time of the block's beginning
	Meanwhile             // it must hold until the next block begins
)

// Read reads a file's text; to gets the settings. Errors name the file and the line.
func (l *Language[S, W]) Read(file string, to S) (*Text[W], error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return l.Parse(file, string(text), to)
}

// Parse is Read for a text without a file.
func (l *Language[S, W]) Parse(file, text string, to S) (*Text[W], error) {
	t := &Text[W]{Name: strings.TrimSuffix(filepath.Base(file), ".txt")}
	for i, line := range strings.Split(text, "\n") {
		indented := strings.HasPrefix(line, " ")
		line, _, _ = strings.Cut(line, " # ")
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		if err := l.line(t, i+1, line, indented, to); err != nil {
			return nil, fmt.Errorf("%s:%d: %s: %w", file, i+1, line, err)
		}
	}
	return t, nil
}

func (l *Language[S, W]) line(t *Text[W], number int, line string, indented bool, to S) error {
	word, rest, _ := strings.Cut(line, " ")
	begins := word == "after" || line == "then"
	how := `"after 1s" or "then"`
	if l.Clock {
		begins, how = word == "at", `"at 5s"`
	}
	switch {
	case indented && len(t.Blocks) == 0:
		return fmt.Errorf("nothing has begun yet: what happens comes below a line such as %s", how)
	case indented:
		s, err := l.step(line)
		s.Number = number
		last := &t.Blocks[len(t.Blocks)-1]
		last.Steps = append(last.Steps, s)
		return err
	case begins:
		b := Block[W]{Line: number}
		var err error
		if line != "then" {
			b.When, err = time.ParseDuration(strings.TrimSpace(rest))
		}
		if n := len(t.Blocks); err == nil && l.Clock && n > 0 && b.When < t.Blocks[n-1].When {
			err = fmt.Errorf("times come in their order")
		}
		t.Blocks = append(t.Blocks, b)
		return err
	}
	for _, s := range l.Settings {
		if a, ok, err := l.match(s.Line, line); err != nil {
			return err
		} else if ok {
			return s.Set(to, a)
		}
	}
	return fmt.Errorf("there is no such setting; a block begins with %s", how)
}

// step reads an indented line.
func (l *Language[S, W]) step(line string) (s Step[W], err error) {
	rest := line
	if after, ok := strings.CutPrefix(line, "within "); ok {
		limit, what, ok := strings.Cut(after, ":")
		if !ok {
			return s, fmt.Errorf("write: within 5s: what must hold")
		}
		if s.Within, err = time.ParseDuration(limit); err != nil {
			return s, err
		}
		s.Kind, rest = Bounded, strings.TrimSpace(what)
	} else if after, ok := strings.CutPrefix(line, "meanwhile: "); ok {
		s.Kind, rest = Meanwhile, after
	}
	s.Text = line
	s.Command, s.Args, err = l.Said(rest, s.Kind != Happens)
	return s, err
}

// Said returns the command of a line: one that checks, or one that does something.
func (l *Language[S, W]) Said(line string, checks bool) (c Command[W], a Args, err error) {
	for _, c := range l.Commands {
		if (c.Check != nil) != checks {
			continue
		}
		if a, ok, err := l.match(c.Line, line); ok || err != nil {
			return c, a, err
		}
	}
	return c, a, fmt.Errorf("nothing known is said so; README.md has what can be said")
}

// match says whether a line fits this pattern, and reads the parts in place of words in capitals.
func (l *Language[S, W]) match(pattern, line string) (a Args, ok bool, err error) {
	words, fields := strings.Fields(pattern), strings.Fields(line)
	for i, p := range words {
		kind := strings.TrimSuffix(p, ":")
		switch {
		case i >= len(fields):
			return a, false, nil
		case p == "…":
			a.kinds, a.texts = append(a.kinds, p), append(a.texts, from(line, i))
			return a, true, l.known(a)
		case kind == strings.ToUpper(kind) && kind != strings.ToLower(kind):
			a.kinds, a.texts = append(a.kinds, kind), append(a.texts, strings.TrimRight(fields[i], ",:"))
		case p != fields[i]:
			return a, false, nil
		}
	}
	if len(words) != len(fields) {
		return a, false, nil
	}
	return a, true, l.known(a)
}

// from returns a line from its n-th field on, with its spaces as they are.
func from(line string, n int) string {
	for range n {
		line = strings.TrimLeft(line, " ")
		line = line[strings.IndexByte(line, ' '):]
	}
	return strings.TrimSpace(line)
}

// known says what is wrong with the parts in place of words in capitals.
func (l *Language[S, W]) known(a Args) (err error) {
	for i, kind := range a.kinds {
		switch kind {
		case "N":
			_, err = strconv.ParseFloat(a.texts[i], 64)
		case "P":
			_, err = share(a.texts[i])
		case "D":
			_, err = time.ParseDuration(a.texts[i])
		default:
			if l.Known != nil {
				err = l.Known(kind, a.texts[i])
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Args is the parts in place of a line's words in capitals, by their order. That numbers, shares and durations are
// valid was checked when the text was read.
type Args struct{ kinds, texts []string }

// Text returns the i-th as it is.
func (a Args) Text(i int) string { return a.texts[i] }

// Number returns an N.
func (a Args) Number(i int) float64 {
	v, _ := strconv.ParseFloat(a.texts[i], 64)
	return v
}

// Int returns an N without its fraction.
func (a Args) Int(i int) int { return int(a.Number(i)) }

// Share returns a P: 0.4 of 40%.
func (a Args) Share(i int) float64 {
	v, _ := share(a.texts[i])
	return v
}

// Duration returns a D.
func (a Args) Duration(i int) time.Duration {
	d, _ := time.ParseDuration(a.texts[i])
	return d
}

func share(text string) (float64, error) {
	number, ok := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || v < 0 {
		return 0, fmt.Errorf("write a share as 50%%, not %q", text)
	}
	return v / 100, nil
}

// Explain compares a page with the language. The page's table has a row for each line, in the order of the code, and no
// other: "| `line` | setting, happens or must hold | what it means |". With update it writes the table anew, with the
// explanations that exist. A line without an explanation is still a fault.
func (l *Language[S, W]) Explain(file string, update bool) error {
	page, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	const begins = "| `"
	means := map[string]string{}
	var rows []string // that there are
	for line := range strings.Lines(string(page)) {
		if row, ok := strings.CutPrefix(line, begins); ok {
			if said, rest, ok := strings.Cut(row, "` | "); ok {
				_, text, _ := strings.Cut(strings.TrimSuffix(strings.TrimSpace(rest), "|"), "|")
				means[said], rows = strings.TrimSpace(text), append(rows, line)
			}
		}
	}
	var want, bare []string
	row := func(line, kind string) {
		want = append(want, fmt.Sprintf("%s%s` | %s | %s |\n", begins, line, kind, means[line]))
		if means[line] == "" {
			bare = append(bare, line)
		}
	}
	for _, s := range l.Settings {
		row(s.Line, "setting")
	}
	for _, c := range l.Commands {
		kind := "happens"
		if c.Check != nil {
			kind = "must hold"
		}
		row(c.Line, kind)
	}
	if update && len(rows) > 0 {
		before, rest, _ := strings.Cut(string(page), rows[0])
		for _, r := range rows[1:] {
			rest = strings.Replace(rest, r, "", 1)
		}
		if err := os.WriteFile(file, []byte(before+strings.Join(want, "")+rest), 0o644); err != nil {
			return err
		}
	} else if !slices.Equal(rows, want) {
		return fmt.Errorf("the table in %s is not what can be said; write it anew with -update", file)
	}
	if len(bare) > 0 {
		return fmt.Errorf("%s does not explain %q", file, bare)
	}
	return nil
}
