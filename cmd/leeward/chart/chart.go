// Package chart draws lines as SVG: for the report of a drill, and for the pictures of bench and demo. An SVG is text,
// so it needs no fonts and no library here, and every browser shows it.
//
//	left                             plot.right    width
//	┌───────────────────────────────────┬──────────┐ 0
//	│  Title          mark              │          │
//	│      ┌───────────┆────────────────┤ ── name  │ top
//	│ 100 ─┤      ╭────┆──╮             │ ╌╌ name  │
//	│      │  ───╯     ┆  ╰──────────── │          │
//	│   0 ─┴─┬───────┬─┆─────┬──────────┤          │ bottom
//	│        0      10      20          │          │
//	│              X.Label              │          │
//	└───────────────────────────────────┴──────────┘ height
//
// chart.go lays a chart out, axis.go turns values into places and chooses the ticks.
package chart

import (
	"fmt"
	"html"
	"html/template"
	"io"
	"strings"
	"unicode/utf8"
)

// Chart is lines in one pair of axes.
type Chart struct {
	Title string
	X, Y  Axis
	Lines []Line
	Marks []Mark
}

// Line is one series.
type Line struct {
	Name   string  // in the key; "" leaves it out of there
	Points []Point // in the order in which they are joined
	Dots   bool    // draw a dot at each point as well

	// Colour and Dash are the stroke's, as SVG writes them. Without a colour the line takes the next of the palette,
	// which has a dash of its own for each colour.
	Colour, Dash string
}

// Point is one value. A Y that is not a number leaves a gap; what is beyond the axes is drawn at their border.
type Point struct{ X, Y float64 }

// Mark is a vertical line at X, with a word above it.
type Mark struct {
	X    float64
	Text string
}

// The strokes of lines that are told apart by what they mean.
const (
	Grey   = "#777777" // limits, and what is there to compare with
	Red    = "#b02030" // losses
	Dashed = "6 4"
	Dotted = "2 3"
)

// Palette is the colours of lines that have none of their own: people with any colour sight tell the first three apart,
// and dashes tell them apart without colours.
var (
	Palette = []string{"#1f5aa6", "#d96b0b", "#4d9a4a", "#8a3a8f", "#a0801a", "#2a8f8f", "#b02030", "#555555"}
	dashes  = []string{"", "7 3", "2 3", "9 3 2 3", "4 4", "12 4", "1 2", "6 2 1 2"}
)

// The size of a chart, and where its plot is in it, in CSS pixels.
const (
	width, height            = 760., 270.
	left, right, top, bottom = 72., 588., 36., 222.
	longestName              = 20 // characters of the key
)

// SVG draws the chart for a place in a page. The page chooses its width.
func (c *Chart) SVG() template.HTML {
	return template.HTML(c.svg("")) //nolint:gosec // every text in it is escaped
}

// Write draws the charts as one SVG file, in rows of so many columns.
func Write(w io.Writer, columns int, charts ...*Chart) error {
	rows := (len(charts) + columns - 1) / columns
	var b strings.Builder
	wide, high := width*float64(columns), height*float64(rows)
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%g" height="%g" viewBox="0 0 %[1]g %[2]g">`+"\n",
		wide, high)
	fmt.Fprintf(&b, `<rect width="%g" height="%g" fill="#ffffff"/>`+"\n", wide, high)
	for i, c := range charts {
		x, y := width*float64(i%columns), height*float64(i/columns)
		b.WriteString(c.svg(fmt.Sprintf(`x="%g" y="%g" width="%g" height="%g" `, x, y, width, height)) + "\n")
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// svg draws the chart; place says where it is in a file with others.
func (c *Chart) svg(place string) string {
	var b strings.Builder
	xs := c.X.over(c.values(func(p Point) float64 { return p.X }), left, right)
	ys := c.Y.rounded(append(c.values(func(p Point) float64 { return p.Y }), 0), bottom, top) // 0 is in sight
	fmt.Fprintf(&b, `<svg %sviewBox="0 0 %g %g" role="img" aria-label="%s" `, place, width, height, text(c.Title))
	b.WriteString(`font-family="system-ui, sans-serif" font-size="12" fill="#333333">`)
	fmt.Fprintf(&b, `<text x="%g" y="18" font-size="14" font-weight="600">%s</text>`, left, text(c.Title))
	for _, t := range ys.ticks() {
		fmt.Fprintf(&b, `<line x1="%g" x2="%g" y1="%.1f" y2="%.1[3]f" stroke="#e2e2e2"/>`, left, right, t.at)
		fmt.Fprintf(&b, `<text x="%g" y="%.1f" text-anchor="end">%s</text>`, left-6, t.at+4, text(t.text))
	}
	for _, t := range xs.ticks() {
		fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1[1]f" y1="%g" y2="%g" stroke="#999999"/>`, t.at, bottom, bottom+4)
		fmt.Fprintf(&b, `<text x="%.1f" y="%g" text-anchor="middle">%s</text>`, t.at, bottom+18, text(t.text))
	}
	if c.X.Label != "" {
		fmt.Fprintf(&b, `<text x="%g" y="%g" text-anchor="middle">%s</text>`, (left+right)/2, bottom+38,
			text(c.X.Label))
	}
	if c.Y.Label != "" {
		fmt.Fprintf(&b, `<text transform="translate(14 %g) rotate(-90)" text-anchor="middle">%s</text>`, (top+bottom)/2,
			text(c.Y.Label))
	}
	for _, m := range c.Marks {
		if xs.knows(m.X) && m.X >= xs.Least && m.X <= xs.Most {
			fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1[1]f" y1="%g" y2="%g" stroke="#999999" stroke-dasharray="2 2"/>`,
				xs.place(m.X), top-6, bottom)
			fmt.Fprintf(&b, `<text x="%.1f" y="%g">%s</text>`, xs.place(m.X)+3, top-2, text(m.Text))
		}
	}
	next, row := 0, 0
	for _, l := range c.Lines {
		if l.Colour == "" {
			l.Colour, l.Dash = Palette[next%len(Palette)], dashes[next%len(dashes)]
			next++
		}
		stroke := fmt.Sprintf(`stroke="%s" stroke-width="2"`, text(l.Colour))
		if l.Dash != "" {
			stroke += fmt.Sprintf(` stroke-dasharray="%s"`, text(l.Dash))
		}
		fmt.Fprintf(&b, `<path d="%s" fill="none" %s/>`, path(l.Points, xs, ys), stroke)
		for _, p := range l.Points {
			if l.Dots && xs.knows(p.X) && ys.knows(p.Y) {
				fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`, xs.place(p.X), ys.place(p.Y),
					text(l.Colour))
			}
		}
		if l.Name != "" {
			y := top + 10 + 16*float64(row)
			fmt.Fprintf(&b, `<line x1="%g" x2="%g" y1="%g" y2="%[3]g" %s/>`, right+8, right+30, y, stroke)
			fmt.Fprintf(&b, `<text x="%g" y="%g">%s</text>`, right+34, y+4, text(short(l.Name)))
			row++
		}
	}
	b.WriteString(`</svg>`)
	return b.String()
}

// values returns one coordinate of every point.
func (c *Chart) values(of func(Point) float64) (all []float64) {
	for _, l := range c.Lines {
		for _, p := range l.Points {
			all = append(all, of(p))
		}
	}
	return all
}

// path joins the points, and lifts the pen where one is not known.
func path(points []Point, xs, ys scale) string {
	var b strings.Builder
	pen := "M"
	for _, p := range points {
		if !xs.knows(p.X) || !ys.knows(p.Y) {
			pen = "M"
			continue
		}
		fmt.Fprintf(&b, "%s%.1f %.1f", pen, xs.place(p.X), ys.place(p.Y))
		pen = "L"
	}
	return b.String()
}

// text escapes a text, and drops what XML cannot hold (XML 1.0, section 2.2).
func text(s string) string {
	return html.EscapeString(strings.Map(func(r rune) rune {
		if r == utf8.RuneError || r < ' ' || r == 0xfffe || r == 0xffff {
			return -1
		}
		return r
	}, s))
}

// short cuts a name that is too long for the key.
func short(name string) string {
	if r := []rune(name); len(r) > longestName {
		return string(r[:longestName-1]) + "…"
	}
	return name
}
