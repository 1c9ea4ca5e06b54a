package drill

import (
	_ "embed"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"
)

//go:embed report.html
var page string

var pageTemplate = template.Must(template.New("report").Parse(page))

// HTML writes the report as one page that needs nothing else.
func (r *Report) HTML(w io.Writer, now time.Time) error {
	type event struct{ At, Text string }
	var events []event
	for _, e := range r.Events {
		events = append(events, event{seconds(r.Seconds(e.At)), e.Text})
	}
	outcome := r.Settled(now)
	return pageTemplate.Execute(w, map[string]any{
		"Headline": r.Headline(now), "Outcome": string(outcome), "Class": strings.ReplaceAll(string(outcome), " ", "-"),
		"Date": r.From.UTC().Format("2 January 2006"), "Target": r.Target,
		"Facts": r.Facts(), "Rows": r.Rows(), "Events": events, "Charts": r.charts(),
	})
}

func seconds(s float64) string { return strings.TrimSuffix(minutes(s, 1), " s") + " s" }

// charts draws the course: shares of regions, loads against capacity, and what resolvers saw.
func (r *Report) charts() (all []template.HTML) {
	c := &r.Course
	if len(c.Seconds) < 2 {
		return nil
	}
	marks := []Mark{{0, "begins"}}
	if r.Ramp > 0 {
		marks = append(marks, Mark{r.Ramp, "out"}, Mark{r.Seconds(r.Until) - r.Ramp, "back"})
	}
	marks = append(marks, Mark{r.Seconds(r.Until), "ends"})
	draw := func(title, unit string, ceiling float64, lines []Line) {
		if len(lines) > 0 {
			chart := Chart{Title: title, Unit: unit, Seconds: c.Seconds, Lines: lines, Marks: marks, Top: ceiling}
			all = append(all, chart.SVG())
		}
	}
	draw("Where clients were led, by region", " %", 100, c.regions())
	var loads []Line
	for _, p := range c.Pools {
		if _, ok := most(p.Load); ok && p.Max > 0 {
			of := make([]float64, len(p.Load))
			for i, v := range p.Load {
				of[i] = -1
				if v >= 0 {
					of[i] = 100 * v / p.Max
				}
			}
			loads = append(loads, Line{Name: p.Pool, Values: of})
		}
	}
	if len(loads) > 0 {
		line := make([]float64, len(c.Seconds))
		for i := range line {
			line[i] = 100
		}
		loads = append(loads, Line{Name: "max", Values: line, Dashed: true})
	}
	draw("Load, in % of where a pool breaks (its max)", " %", 0, loads)
	var names []Line
	for _, n := range c.Names {
		share := make([]float64, len(n.Away))
		for i, v := range n.Away {
			share[i] = max(100*v, -1)
		}
		name := n.Name
		if c.Names[0].Resolver != c.Names[len(c.Names)-1].Resolver {
			name = n.Resolver + " " + name
		}
		names = append(names, Line{Name: name, Values: share})
	}
	draw("Addresses of the target in what resolvers answered", " %", 100, names)
	return all
}

// regions returns each region's share of what was led anywhere.
func (c *Course) regions() (lines []Line) {
	sums := make([]float64, len(c.Seconds))
	of := map[string][]float64{}
	var names []string
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
		return nil
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
		lines = append(lines, Line{Name: name, Values: of[name]})
	}
	return lines
}
