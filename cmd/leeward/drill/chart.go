package drill

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strings"
)

// Chart is lines over time, drawn as SVG: nothing has to be fetched to look at it.
type Chart struct {
	Title, Unit string
	Seconds     []float64
	Lines       []Line
	Marks       []Mark
	Top         float64 // of the scale; 0: the largest of all lines
}

// Line is one series; what is below 0 was not seen.
type Line struct {
	Name   string
	Values []float64
	Dashed bool
}

// Mark is a time that is marked.
type Mark struct {
	Seconds float64
	Text    string
}

// The size of a chart, and where its lines are in it.
const (
	width, height           = 760., 260.
	left, right, top, below = 52., 172., 34., 30.
)

// Lines are told apart by their colours with any colour sight, and by their dashes and names without any.
var (
	colours = []string{"#1f5aa6", "#d96b0b", "#4d9a4a", "#8a3a8f", "#a0801a", "#2a8f8f", "#b02030", "#555555"}
	dashes  = []string{"", "7 3", "2 3", "9 3 2 3", "4 4", "12 4", "1 2", "6 2 1 2"}
)

// SVG draws it.
func (c *Chart) SVG() template.HTML {
	highest := c.Top
	if highest == 0 {
		for _, l := range c.Lines {
			v, _ := most(l.Values)
			highest = max(highest, v)
		}
	}
	step := nice(highest / 4)
	highest = max(math.Ceil(highest/step-1e-9)*step, step)
	first, last := 0., 1.
	if n := len(c.Seconds); n > 1 {
		first, last = c.Seconds[0], c.Seconds[n-1]
	}
	x := func(s float64) float64 { return left + (s-first)/(last-first)*(width-left-right) }
	y := func(v float64) float64 { return height - below - v/highest*(height-top-below) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" role="img" aria-label="%s">`, width, height, html.EscapeString(c.Title))
	fmt.Fprintf(&b, `<text x="%g" y="18" class="title">%s</text>`, left, html.EscapeString(c.Title))
	for v := 0.; v <= highest+step/2; v += step {
		fmt.Fprintf(&b, `<line x1="%g" x2="%g" y1="%.1f" y2="%.1[3]f" class="grid"/>`, left, width-right, y(v))
		fmt.Fprintf(&b, `<text x="%g" y="%.1f" class="tick" text-anchor="end">%.4g%s</text>`, left-6, y(v)+4, v, html.EscapeString(c.Unit))
	}
	every := tick((last - first) / 6)
	for s := math.Ceil(first/every) * every; s <= last; s += every {
		fmt.Fprintf(&b, `<text x="%.1f" y="%g" class="tick" text-anchor="middle">%s</text>`, x(s), height-below+16, minutes(s, every))
	}
	for _, m := range c.Marks {
		if m.Seconds < first || m.Seconds > last {
			continue
		}
		fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1[1]f" y1="%[2]g" y2="%[3]g" class="mark"/>`, x(m.Seconds), top-6, height-below)
		fmt.Fprintf(&b, `<text x="%.1f" y="%g" class="tick">%s</text>`, x(m.Seconds)+3, top-2, html.EscapeString(m.Text))
	}
	solid := 0
	for i, l := range c.Lines {
		colour, dash := colours[solid%len(colours)], dashes[solid%len(dashes)]
		if l.Dashed {
			colour, dash = "#777777", "3 4"
		} else {
			solid++
		}
		fmt.Fprintf(&b, `<path d="%s" fill="none" stroke="%s" stroke-width="2" stroke-dasharray="%s"/>`, path(c.Seconds, l.Values, x, y), colour, dash)
		at := top + 10 + float64(i)*16
		fmt.Fprintf(&b, `<line x1="%g" x2="%g" y1="%g" y2="%[3]g" class="key" stroke="%[4]s" stroke-width="2" stroke-dasharray="%[5]s"/>`, width-right+8, width-right+30, at, colour, dash)
		fmt.Fprintf(&b, `<text x="%g" y="%g" class="name">%s</text>`, width-right+34, at+4, html.EscapeString(short(l.Name, 20)))
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String()) //nolint:gosec // every text in it is escaped above
}

// path leaves a gap where something was not seen.
func path(seconds, values []float64, x, y func(float64) float64) string {
	var b strings.Builder
	pen := "M"
	for i, v := range values {
		if i >= len(seconds) || v < 0 {
			pen = "M"
			continue
		}
		fmt.Fprintf(&b, "%s%.1f %.1f", pen, x(seconds[i]), y(v))
		pen = "L"
	}
	return b.String()
}

// nice returns 1, 2 or 5 times a power of ten, not below v.
func nice(v float64) float64 {
	if v <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= v-1e-12 {
			return m * power
		}
	}
	return 10 * power
}

// tick returns a span that people count time in, not below that many seconds.
func tick(s float64) float64 {
	for _, t := range []float64{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200} {
		if t >= s {
			return t
		}
	}
	return math.Ceil(s/14400) * 14400
}

// minutes spells a time on an axis whose ticks are so far apart.
func minutes(s, every float64) string {
	if every < 60 {
		return fmt.Sprintf("%.0f s", s)
	}
	return fmt.Sprintf("%.4g min", s/60)
}

// short cuts a name that is too long for its place.
func short(name string, n int) string {
	if r := []rune(name); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return name
}
