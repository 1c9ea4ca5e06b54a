// Package screen is what people read on a terminal: tables, colours, and the status and explanations laid out in them.
package screen

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Colour is how a cell is shown on a terminal.
type Colour string

// The colours; the empty one is the terminal's own.
const (
	Plain  Colour = ""
	Green  Colour = "32"
	Red    Colour = "31"
	Yellow Colour = "33"
	Grey   Colour = "90"
	Bold   Colour = "1"
)

// Cell is one field of a table.
type Cell struct {
	Text   string
	Colour Colour
}

// Table lays cells out in columns.
type Table struct {
	Heads []string
	Rows  [][]Cell
}

// Add adds a row.
func (t *Table) Add(cells ...Cell) { t.Rows = append(t.Rows, cells) }

// Write prints the table; columns are as wide as their widest cell and two spaces apart. Texts from outside are printed
// without their control characters, so that no report can steer the terminal.
func (t *Table) Write(w io.Writer, colour bool) error {
	rows := make([][]Cell, 0, len(t.Rows)+1)
	if len(t.Heads) > 0 {
		head := make([]Cell, len(t.Heads))
		for i, h := range t.Heads {
			head[i] = Cell{h, Bold}
		}
		rows = append(rows, head)
	}
	rows = append(rows, t.Rows...)
	var widths []int
	for _, row := range rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(Printable(c.Text)))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		line := 0 // what is printed of this line, in columns
		at := 0   // where the cell begins
		for i, c := range row {
			if text := Printable(c.Text); text != "" {
				b.WriteString(strings.Repeat(" ", at-line))
				b.WriteString(Paint(text, c.Colour, colour))
				line = at + utf8.RuneCountInString(text)
			}
			at += widths[i] + 2
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Paint returns the text in a colour, if colours are wanted.
func Paint(text string, c Colour, colour bool) string {
	if !colour || c == Plain {
		return text
	}
	return fmt.Sprintf("\x1b[%sm%s\x1b[0m", string(c), text)
}

// Printable returns the text with each character that does not print replaced by a question mark.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}
