package screen

import (
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// Page takes text for people. A terminal knows its width: lines and tables that are wider continue below, so that
// nothing is cut. A file or a pipe has lines of any length, for programs that read them by line and column, unless
// COLUMNS in the environment says how wide people see it.
type Page struct {
	out     io.Writer
	columns func() int
	rows    func() int
	at      int  // columns of the current line that are used
	between bool // the current line can be folded where it ends
}

// Descriptor is a stream that may be a terminal, such as an os.File.
type Descriptor interface{ Fd() uintptr }

// NewPage returns a page that is as wide as w, if w is a terminal, and has no edge otherwise.
func NewPage(w io.Writer) *Page {
	size := func() (columns, rows int) {
		f, ok := w.(Descriptor)
		if !ok {
			return 0, 0
		}
		columns, rows, err := term.GetSize(int(f.Fd()))
		if err != nil {
			return 0, 0
		}
		return columns, rows
	}
	return &Page{
		out:     w,
		columns: func() int { columns, _ := size(); return columns },
		rows:    func() int { _, rows := size(); return rows },
	}
}

// ColumnsOf returns how wide COLUMNS in the environment says that pages are, 0 where it says nothing that can be used.
func ColumnsOf(environment string) int {
	columns, err := strconv.Atoi(environment)
	if err != nil || columns < leastColumns {
		return 0
	}
	return columns
}

// leastColumns is how wide a page is at least that COLUMNS says the width of.
const leastColumns = 20

// Within makes the page so many columns wide where its own width is not known.
func (p *Page) Within(columns int) {
	own := p.columns
	p.columns = func() int {
		if wide := own(); wide > 0 {
			return wide
		}
		return columns
	}
}

// NewPageOf returns a page of so many columns, 0 for any number.
func NewPageOf(w io.Writer, columns int) *Page {
	return &Page{out: w, columns: func() int { return columns }, rows: func() int { return 0 }}
}

// Columns returns how wide the page is now, 0 for any number.
func (p *Page) Columns() int { return p.columns() }

// Rows returns how many lines the page shows at a time, 0 for any number.
func (p *Page) Rows() int { return p.rows() }

// hanging is the indentation of the rest of a folded line.
const hanging = 4

// Write writes text. It folds a line that is wider than the page at a space or after a comma. A word that is wider than
// the page stays whole.
func (p *Page) Write(text []byte) (int, error) {
	columns := p.columns()
	if columns <= 0 {
		return p.out.Write(text)
	}
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		body, ended := strings.CutSuffix(line, "\n")
		indent := len(body) - len(strings.TrimLeft(body, " "))
		indent = min(indent+hanging, columns/2)
		for i, part := range foldFrom(body, p.at, columns, indent, p.between) {
			if i > 0 {
				p.at = indent
				b.WriteString("\n" + strings.Repeat(" ", p.at))
			}
			b.WriteString(part)
			p.at += Width(part)
		}
		p.between = strings.HasSuffix(body, " ") || strings.HasSuffix(body, ",")
		if ended {
			b.WriteByte('\n')
			p.at, p.between = 0, false
		}
	}
	if _, err := io.WriteString(p.out, b.String()); err != nil {
		return 0, err
	}
	return len(text), nil
}

// Fold breaks a text into lines of at most so many columns. A word that is wider has a line of its own.
func Fold(text string, columns int) []string { return foldFrom(text, 0, columns, 0, false) }

// foldFrom is Fold of a text that begins in column at. If that is between two words, the text may begin on the next
// line. All but the first line begin in column indent.
func foldFrom(text string, at, columns, indent int, between bool) (lines []string) {
	begin, last := 0, -1 // of the current line: where it begins, and where it can be broken last
	if between {
		last = 0
	}
	for i := 0; i < len(text); {
		size, width := glyph(text[i:])
		if at+width > columns && text[i] != ' ' && last >= 0 {
			lines = append(lines, strings.TrimRight(text[begin:last], " "))
			begin, last = last, -1
			at = indent + Width(text[begin:i])
		}
		at += width
		i += size
		if c := text[i-1]; (c == ' ' || c == ',') && strings.TrimLeft(text[begin:i], " ") != "" {
			last = i
		}
	}
	return append(lines, text[begin:])
}

// Cut cuts each line of a text to so many columns, 0 for any number. A line that was cut ends in an ellipsis, so that
// nothing of it looks whole.
func Cut(text string, columns int) string {
	if columns <= 0 {
		return text
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		body, ended := strings.CutSuffix(line, "\n")
		if Width(body) > columns {
			body = cut(body, columns-1) + "…"
			if strings.Contains(body, "\x1b") {
				body += "\x1b[0m"
			}
		}
		b.WriteString(body)
		if ended {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// cut returns the part of a line that fits into so many columns.
func cut(line string, columns int) string {
	for i := 0; i < len(line); {
		size, width := glyph(line[i:])
		if columns -= width; columns < 0 {
			return line[:i]
		}
		i += size
	}
	return line
}

// Width returns how many columns a text takes. Colours take none.
func Width(text string) (columns int) {
	for i := 0; i < len(text); {
		size, width := glyph(text[i:])
		columns += width
		i += size
	}
	return columns
}

// glyph returns how many octets and how many columns the first character of a text takes. An escape sequence counts as
// one character without width.
func glyph(text string) (size, width int) {
	if strings.HasPrefix(text, "\x1b[") {
		if end := strings.IndexFunc(text[2:], func(r rune) bool { return r >= '@' && r <= '~' }); end >= 0 {
			return 2 + end + 1, 0
		}
	}
	r, size := utf8.DecodeRuneInString(text)
	if r < ' ' {
		return size, 0
	}
	return size, 1
}
