package demo

import (
	"fmt"
	"io"

	"leeward/cmd/leeward/chart"
)

// Plot draws the film as SVG: a chart for each crowd of what each region carried, against its target and its max.
func (f *Film) Plot(w io.Writer) error {
	const wanted = 100 * usual / (surgeTarget * endpointsEach)
	var charts []*chart.Chart
	for i, c := range f.crowds {
		t := f.last(i).totals
		p := &chart.Chart{
			Title: fmt.Sprintf("%s: %d endpoints broke, %.1f %% of the requests were lost", c.title, t.broken,
				100*t.lost/t.requests),
			X: chart.Axis{Time: true}, Y: chart.Axis{Label: "% of target", Most: surgeTimes * wanted * 1.05},
		}
		line := func(l chart.Line, y func(moment) float64) {
			for _, row := range f.moments {
				l.Points = append(l.Points, chart.Point{X: row[i].at, Y: y(row[i])})
			}
			p.Lines = append(p.Lines, l)
		}
		for _, s := range c.sites {
			line(chart.Line{Name: s.region}, func(m moment) float64 { return 100 * m.load[s.region] })
		}
		line(chart.Line{Name: "demand of " + c.sites[0].region, Colour: chart.Grey, Dash: chart.Dashed},
			func(m moment) float64 { return m.demand * wanted })
		line(chart.Line{Name: "max", Colour: chart.Grey, Dash: chart.Dotted},
			func(moment) float64 { return 100 * surgeMax / surgeTarget })
		charts = append(charts, p)
	}
	return chart.Write(w, 1, charts...)
}
