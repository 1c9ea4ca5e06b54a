package main

import (
	"fmt"
	"strings"
	"testing"
)

// A terminal shows the head of a status, however long it is, and says how much is left.
func TestHead(t *testing.T) {
	text := func(lines int) (s string) {
		for i := range lines {
			s += fmt.Sprintf("line %d\n", i+1)
		}
		return s
	}
	for _, tt := range []struct{ lines, rows, want, left int }{
		{10, 0, 10, 0},
		{10, 24, 10, 0},
		{23, 24, 23, 0},
		{24, 24, 22, 2},
		{200, 24, 22, 178},
		{5, 3, 1, 4},
		{5, 2, 1, 0},
		{5, 1, 1, 0},
	} {
		got := head(text(tt.lines), 80, tt.rows)
		if !strings.HasPrefix(got, text(tt.want)) {
			t.Errorf("%d lines in %d rows: it begins with\n%s", tt.lines, tt.rows, got)
		}
		rest := strings.TrimPrefix(got, text(tt.want))
		more := fmt.Sprintf("… %d more lines", tt.left)
		if tt.left == 0 && rest != "" || tt.left > 0 && !strings.HasPrefix(rest, more) {
			t.Errorf("%d lines in %d rows: it ends with %q", tt.lines, tt.rows, rest)
		}
		if shown := strings.Count(got, "\n"); tt.rows >= 2 && shown >= tt.rows {
			t.Errorf("%d lines in %d rows: %d lines are shown, and the cursor's line is one more",
				tt.lines, tt.rows, shown)
		}
	}
}

// However narrow a terminal is, a line takes one row, so that the first line stays in sight.
func TestHeadOfANarrowTerminal(t *testing.T) {
	got := head("a word\nand-a-word-that-is-wider-than-the-terminal\n"+strings.Repeat("more\n", 30), 20, 5)
	if want := "a word\nand-a-word-that-is-…\nmore\n… 29 more lines: na…\n"; got != want {
		t.Errorf("it shows\n%s\nnot\n%s", got, want)
	}
}
