package drill

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"leeward/cmd/leeward/chart"
)

//go:embed report.html
var page string

var pageTemplate = template.Must(template.New("report").Parse(page))

// HTML writes the report as one page, which loads nothing from elsewhere.
func (r *Report) HTML(w io.Writer, now time.Time) error {
	type event struct{ At, Text string }
	var events []event
	for _, e := range r.Events {
		events = append(events, event{fmt.Sprintf("%.0f s", r.Seconds(e.At)), e.Text})
	}
	outcome := r.Settled(now)
	return pageTemplate.Execute(w, map[string]any{
		"Headline": r.Headline(now), "Outcome": string(outcome), "Class": strings.ReplaceAll(string(outcome), " ", "-"),
		"Date": r.From.UTC().Format("2 January 2006"), "Target": r.Target,
		"Facts": r.Facts(), "Rows": r.Rows(), "Events": events, "Charts": r.charts(),
	})
}

// charts draws the course: shares of regions, loads against capacity, and what resolvers answered.
func (r *Report) charts() (all []template.HTML) {
	c := &r.Course
	if len(c.Seconds) < 2 {
		return nil
	}
	marks := []chart.Mark{{X: 0, Text: "begins"}}
	if r.Ramp > 0 {
		marks = append(marks, chart.Mark{X: r.Ramp, Text: "out"}, chart.Mark{
			X:    r.Seconds(r.Until) - r.Ramp,
			Text: "back",
		})
	}
	marks = append(marks, chart.Mark{X: r.Seconds(r.Until), Text: "ends"})
	draw := func(title string, top float64, lines []chart.Line) {
		if len(lines) > 0 {
			p := chart.Chart{
				Title: title, X: chart.Axis{Time: true}, Y: chart.Axis{Unit: " %", Most: top},
				Lines: lines, Marks: marks,
			}
			all = append(all, p.SVG())
		}
	}
	var led []chart.Line
	names, shares := c.regions()
	for _, name := range names {
		led = append(led, c.line(name, shares[name], 1))
	}
	draw("Where clients were led, by region", 100, led)
	var loads []chart.Line
	for _, p := range c.Pools {
		if _, ok := most(p.Load); ok && p.Max > 0 {
			loads = append(loads, c.line(p.Pool, p.Load, 100/p.Max))
		}
	}
	if len(loads) > 0 {
		full := []chart.Point{{X: c.Seconds[0], Y: 100}, {X: c.Seconds[len(c.Seconds)-1], Y: 100}}
		loads = append(loads, chart.Line{Name: "max", Points: full, Colour: chart.Grey, Dash: chart.Dashed})
	}
	draw("Load, in % of where a pool breaks (its max)", 0, loads)
	var answered []chart.Line
	for _, n := range c.Names {
		name := n.Name
		if c.Names[0].Resolver != c.Names[len(c.Names)-1].Resolver {
			name = n.Resolver + " " + name
		}
		answered = append(answered, c.line(name, n.Away, 100))
	}
	draw("Addresses of the target in what resolvers answered", 100, answered)
	return all
}

// line returns a series, times a factor, as a line.
func (c *Course) line(name string, series []float64, factor float64) chart.Line {
	l := chart.Line{Name: name}
	for i, v := range series[:min(len(series), len(c.Seconds))] {
		if v < 0 { // not observed: a gap
			v = math.NaN()
		}
		l.Points = append(l.Points, chart.Point{X: c.Seconds[i], Y: factor * v})
	}
	return l
}

// regions returns each region's share, in percent, of the queries that were led to any pool; -1 where none was.
func (c *Course) regions() (names []string, of map[string][]float64) {
	sums := make([]float64, len(c.Seconds))
	of = map[string][]float64{}
	for _, p := range c.Pools {
		if of[p.Region] == nil {
			of[p.Region] = make([]float64, len(c.Seconds))
			names = append(names, p.Region)
		}
		for i, q := range p.Queries {
			if q > 0 && i < len(sums) {
				of[p.Region][i] += q
				sums[i] += q
			}
		}
	}
	if v, ok := most(sums); !ok || v == 0 {
		return nil, nil
	}
	slices.Sort(names)
	for _, name := range names {
		for i, sum := range sums {
			if sum == 0 {
				of[name][i] = -1
			} else {
				of[name][i] *= 100 / sum
			}
		}
	}
	return names, of
}
