package bench

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"leeward/cmd/leeward/chart"
)

// Plot draws the run as SVG: above, how many queries were answered in time for how many were asked; below, how long the
// answers took. A line marks the knee.
func (r *Result) Plot(w io.Writer) error {
	steps := slices.Clone(r.Steps)
	steps = slices.DeleteFunc(steps, func(s Step) bool { return s.Sent == 0 || s.Behind })
	if len(steps) == 0 {
		return errors.New("there is nothing to draw: no step was measured")
	}
	slices.SortStableFunc(steps, func(a, b Step) int { return cmp.Compare(a.Asked, b.Asked) })
	line := func(name string, value func(Step) float64) chart.Line {
		l := chart.Line{Name: name, Dots: true}
		for _, s := range steps {
			l.Points = append(l.Points, chart.Point{X: s.Asked, Y: value(s)})
		}
		return l
	}
	title := r.Server + ": no load held"
	var marks []chart.Mark
	if r.Knee > 0 {
		title = fmt.Sprintf("%s holds %s queries a second", r.Server, chart.Number(r.Knee))
		if r.AtLeast {
			title += ", or more"
		}
		marks = []chart.Mark{{X: r.Knee, Text: "knee"}}
	}
	most := 1.04 * steps[len(steps)-1].Asked
	asked := chart.Axis{Label: "queries a second", Most: most}
	return chart.Write(w, 1,
		&chart.Chart{
			Title: title, X: asked, Y: chart.Axis{Label: "answers a second", Most: most}, Marks: marks,
			Lines: []chart.Line{
				{
					Name: "as asked", Points: []chart.Point{{}, {X: most, Y: most}}, Colour: chart.Grey,
					Dash: chart.Dashed,
				},
				line("answered in time", func(s Step) float64 {
					return float64(s.Answered-min(s.Late,
						s.Answered)) / s.Seconds
				}),
			},
		},
		&chart.Chart{
			Title: "Time to the answer", X: asked, Y: chart.Axis{Unit: " ms", Log: true}, Marks: marks,
			Lines: []chart.Line{
				line("median", func(s Step) float64 { return 1e3 * s.P50 }),
				line("99th percentile", func(s Step) float64 { return 1e3 * s.P99 }),
			},
		},
	)
}
