// Package screen lays out what people read on a terminal. A Page folds text at the terminal's edge (page.go), a Table
// aligns columns (table.go), figures.go spells durations and numbers, and the rest lays out a status and an
// explanation.
//
// Text from outside, such as the reason of a report, is printed without control characters, so that it cannot steer the
// terminal.
package screen

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
)

// Colour is the colour of a cell on a terminal.
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

// drop removes a column.
func (t *Table) drop(i int) {
	t.Heads = slices.Delete(t.Heads, i, i+1)
	for n, row := range t.Rows {
		t.Rows[n] = slices.Delete(row, i, min(i+1, len(row)))
	}
}

// AddTexts adds a row without colours.
func (t *Table) AddTexts(texts ...string) {
	row := make([]Cell, len(texts))
	for i, text := range texts {
		row[i].Text = text
	}
	t.Rows = append(t.Rows, row)
}

// Write prints the table. Columns are as wide as their widest cell, and two spaces apart. On a narrower page a last
// column of text is folded, and columns that do not fit at all continue below, indented.
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
	columns := 0
	if page, ok := w.(interface{ Columns() int }); ok {
		columns = page.Columns()
	}
	places := layOut(rows, columns)
	var b strings.Builder
	for _, row := range rows {
		before := b.Len()
		for from := 0; from < len(row); {
			to := from + 1
			for to < len(row) && !places[to].below {
				to++
			}
			writeBand(&b, row[from:to], places[from:to], colour)
			from = to
		}
		if b.Len() == before {
			b.WriteByte('\n')
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// place is where a column begins, how wide it is, and whether it begins a new line below the columns before it.
type place struct {
	at, width int
	below     bool
}

// leastFolded is the least width of a folded column. If less is left, the column continues below.
const leastFolded = 24

// layOut returns the place of each column of the rows, on a page of so many columns, 0 for any number.
func layOut(rows [][]Cell, columns int) (places []place) {
	var widths, words []int // of each column: its widest cell, and its widest word
	for _, row := range rows {
		for i, c := range row {
			if i == len(widths) {
				widths, words = append(widths, 0), append(words, 0)
			}
			text := Printable(c.Text)
			widths[i] = max(widths[i], Width(text))
			for _, part := range Fold(text, 1) {
				words[i] = max(words[i], Width(part))
			}
		}
	}
	at := 0
	for i, width := range widths {
		p := place{at: at, width: width}
		if left := columns - at; columns > 0 && width > left {
			if i > 0 && (left < leastFolded || words[i] > left || i < len(widths)-1) {
				p.below, p.at = true, hanging
			}
			p.width = min(width, max(columns-p.at, words[i]))
		}
		places = append(places, p)
		at = p.at + p.width + 2
	}
	return places
}

// writeBand writes cells of a row that are beside each other. It writes as many lines as the highest of them has, and
// none if all are empty.
func writeBand(b *strings.Builder, cells []Cell, places []place, colour bool) {
	lines := make([][]string, len(cells))
	height := 0
	for i, c := range cells {
		if text := Printable(c.Text); text != "" {
			lines[i] = Fold(text, max(places[i].width, 1))
			height = max(height, len(lines[i]))
		}
	}
	for n := range height {
		at := 0
		for i, c := range cells {
			if n >= len(lines[i]) {
				continue
			}
			b.WriteString(strings.Repeat(" ", places[i].at-at))
			b.WriteString(Paint(lines[i][n], c.Colour, colour))
			at = places[i].at + Width(lines[i][n])
		}
		b.WriteByte('\n')
	}
}

// Paint returns the text in a colour, if colours are wanted.
func Paint(text string, c Colour, colour bool) string {
	if !colour || c == Plain {
		return text
	}
	return fmt.Sprintf("\x1b[%sm%s\x1b[0m", string(c), text)
}

// Printable replaces each character that does not print by a question mark.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}
