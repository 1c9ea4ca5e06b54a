package screen_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"leeward/cmd/leeward/screen"
)

// words returns what a text is folded between.
func words(text string) []string {
	return strings.Fields(strings.ReplaceAll(text, ",", ", "))
}

// checkFolded holds that a page has all words of a text, none of them cut, and no line that is wider than it unless it
// is one word.
func checkFolded(t *rapid.T, text, page string, columns int) {
	if got, want := strings.Join(words(page), " "), strings.Join(words(text), " "); got != want {
		t.Fatalf("the words are\n%q, want\n%q", got, want)
	}
	for line := range strings.Lines(page) {
		if line = strings.TrimRight(line, " \n"); screen.Width(line) > columns && len(words(line)) > 1 {
			t.Fatalf("%d columns, not %d: %q", screen.Width(line), columns, line)
		}
	}
}

// wordsDrawn are addresses, names and text, in colour or not.
var wordsDrawn = rapid.StringMatching(`(2001:db8:[0-9a-f:]{2,30}|[a-zäö]{1,12}|(192\.0\.2\.[0-9],){1,9}|\x1b\[31m[a-z]{1,9}\x1b\[0m)`)

func TestPageFolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		columns := rapid.IntRange(40, 100).Draw(t, "columns")
		var text, page strings.Builder
		p := screen.NewPageOf(&page, columns)
		for range rapid.IntRange(1, 5).Draw(t, "lines") {
			indent := rapid.IntRange(0, 8).Draw(t, "indent")
			line := strings.Repeat(" ", indent) + strings.Join(rapid.SliceOfN(wordsDrawn, 0, 20).Draw(t, "words"), " ")
			text.WriteString(line + "\n")
			// What is written in two parts is folded as if it were one, but for a word that both have a part of.
			half := strings.LastIndexByte(line[:len(line)/2], ' ') + 1
			for _, part := range []string{line[:half], line[half:] + "\n"} {
				if _, err := p.Write([]byte(part)); err != nil {
					t.Fatal(err)
				}
			}
		}
		checkFolded(t, text.String(), page.String(), columns)
	})
}

func TestTableFolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		columns := rapid.IntRange(40, 100).Draw(t, "columns")
		word := rapid.StringMatching(`2001:db8:[0-9a-f:]{2,20}|[a-z]{1,12}`)
		cell := rapid.Custom(func(t *rapid.T) string {
			return strings.Join(rapid.SliceOfN(word, 0, 20).Draw(t, "cell"), " ")
		})
		width := rapid.IntRange(1, 10).Draw(t, "width")
		table := screen.Table{Heads: strings.Fields(strings.Repeat("HEAD ", width))}
		all := map[string]int{}
		for range rapid.IntRange(0, 5).Draw(t, "rows") {
			var row []screen.Cell
			for range width {
				text := cell.Draw(t, "text")
				row = append(row, screen.Cell{Text: text})
				for _, w := range words(text) {
					all[w]++
				}
			}
			table.Add(row...)
		}
		var page strings.Builder
		if err := table.Write(screen.NewPageOf(&page, columns), false); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(page.String()) {
			if line = strings.TrimRight(line, " \n"); screen.Width(line) > columns {
				t.Fatalf("%d columns, not %d: %q", screen.Width(line), columns, line)
			}
			for _, w := range words(line) {
				all[w]--
			}
		}
		delete(all, "HEAD")
		for w, n := range all {
			if n != 0 {
				t.Fatalf("%q is there %d times too few", w, n)
			}
		}
	})
}

// A table on a narrow page, as one that reads it would have it.
func TestTableOnANarrowPage(t *testing.T) {
	table := screen.Table{Heads: []string{"ENDPOINT", "ADDRESS", "STATE", "VOTES"}}
	add := func(texts ...string) {
		var row []screen.Cell
		for _, text := range texts {
			row = append(row, screen.Cell{Text: text})
		}
		table.Add(row...)
	}
	add("www-eu/lb-1", "192.0.2.10", "up", "fra up")
	add("www-us/lb-1", "2001:db8:77:1::10", "down",
		"fra down (connection refused), nyc down (no answer within 400ms)")
	for columns, want := range map[int]string{
		72: `
ENDPOINT     ADDRESS            STATE  VOTES
www-eu/lb-1  192.0.2.10         up     fra up
www-us/lb-1  2001:db8:77:1::10  down   fra down (connection refused),
                                       nyc down (no answer within 400ms)
`,
		50: `
ENDPOINT     ADDRESS            STATE
    VOTES
www-eu/lb-1  192.0.2.10         up
    fra up
www-us/lb-1  2001:db8:77:1::10  down
    fra down (connection refused), nyc down (no
    answer within 400ms)
`,
	} {
		var page strings.Builder
		if err := table.Write(screen.NewPageOf(&page, columns), false); err != nil {
			t.Fatal(err)
		}
		if page.String() != want[1:] {
			t.Errorf("on %d columns:\n%swant\n%s", columns, &page, want[1:])
		}
	}
}

// What does not fit is cut where one sees it, colours or not; what fits is as it was.
func TestCut(t *testing.T) {
	for _, c := range []struct {
		text    string
		columns int
		want    string
	}{
		{"192.0.2.10 192.0.2.11\nup\n", 0, "192.0.2.10 192.0.2.11\nup\n"},
		{"192.0.2.10 192.0.2.11\nup\n", 21, "192.0.2.10 192.0.2.11\nup\n"},
		{"192.0.2.10 192.0.2.11\nup\n", 20, "192.0.2.10 192.0.2.…\nup\n"},
		{"\x1b[32meu-west: 192.0.2.10\x1b[0m", 19, "\x1b[32meu-west: 192.0.2.10\x1b[0m"},
		{"\x1b[32meu-west: 192.0.2.10\x1b[0m  x", 19, "\x1b[32meu-west: 192.0.2.1…\x1b[0m"},
		{"\x1b[32meu-west: 192.0.2.10\x1b[0m", 12, "\x1b[32meu-west: 19…\x1b[0m"},
		{"ünï", 2, "ü…"},
		{"ab", 1, "…"},
	} {
		if got := screen.Cut(c.text, c.columns); got != c.want {
			t.Errorf("%q in %d columns: %q, want %q", c.text, c.columns, got, c.want)
		}
	}
}
