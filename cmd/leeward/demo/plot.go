package demo

import (
	"fmt"
	"image/color"
	"io"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// Colours that people with any colour sight tell apart.
var (
	regionColours = []color.Color{color.RGBA{0xd9, 0x6b, 0x0b, 0xff}, color.RGBA{0x1f, 0x5a, 0xa6, 0xff}, color.RGBA{0x4d, 0x9a, 0x4a, 0xff}}
	grey          = color.RGBA{0x99, 0x99, 0x99, 0xff}
)

// marks marks an axis at each multiple.
type marks float64

func (e marks) Ticks(low, high float64) (ticks []plot.Tick) {
	for v := math.Ceil(low/float64(e)) * float64(e); v <= high; v += float64(e) {
		ticks = append(ticks, plot.Tick{Value: v, Label: fmt.Sprintf("%g", v)})
	}
	return ticks
}

// Plot draws the film as a PNG: a picture for each crowd of what each region carried, against its target and its max.
func (f *Film) Plot(w io.Writer) error {
	var plots [][]*plot.Plot
	top := surgeTimes * usual / (surgeTarget * endpointsEach) * 105
	for i, c := range f.crowds {
		p := plot.New()
		t := f.last(i).totals
		p.Title.Text = fmt.Sprintf("%s: %d endpoints broke, %.1f %% of the requests were lost", c.title, t.broken, 100*t.lost/t.requests)
		p.Title.TextStyle.Font.Size = font.Length(13)
		p.Title.Padding = 2 * vg.Millimeter
		p.Y.Label.Text = "% of target"
		p.Y.Min, p.Y.Max = 0, top
		p.Legend.Top, p.Legend.Left, p.Legend.Padding = true, true, vg.Points(2)
		p.X.Tick.Marker, p.Y.Tick.Marker = marks(5), marks(50)
		p.Add(plotter.NewGrid())
		line := func(name string, colour color.Color, dashed bool, y func(m moment) float64) error {
			var xy plotter.XYs
			for _, row := range f.moments {
				xy = append(xy, plotter.XY{X: row[i].at, Y: min(y(row[i]), top)})
			}
			l, err := plotter.NewLine(xy)
			if err != nil {
				return err
			}
			l.Color, l.Width = colour, vg.Points(1.6)
			if dashed {
				l.Dashes, l.Width = []vg.Length{vg.Points(4), vg.Points(3)}, vg.Points(1)
			}
			p.Add(l)
			if name != "" {
				p.Legend.Add(name, l)
			}
			return nil
		}
		for k, s := range c.sites {
			if err := line(s.region, regionColours[k], false, func(m moment) float64 { return 100 * m.load[s.region] }); err != nil {
				return err
			}
		}
		wanted := usual / (surgeTarget * endpointsEach)
		for _, l := range []struct {
			name string
			y    func(moment) float64
		}{
			{"what " + c.sites[0].region + "'s clients want", func(m moment) float64 { return 100 * m.demand * wanted }},
			{"", func(moment) float64 { return 100 * surgeMax / surgeTarget }},
		} {
			if err := line(l.name, grey, true, l.y); err != nil {
				return err
			}
		}
		plots = append(plots, []*plot.Plot{p})
	}
	plots[len(plots)-1][0].X.Label.Text = "seconds"
	canvas := vgimg.NewWith(vgimg.UseWH(9*vg.Inch, 7*vg.Inch), vgimg.UseDPI(110))
	pad := 4 * vg.Millimeter
	tiles := draw.Tiles{Rows: len(plots), Cols: 1, PadX: pad, PadY: pad, PadTop: pad, PadBottom: pad, PadLeft: pad, PadRight: 2 * pad}
	for i, row := range plot.Align(plots, tiles, draw.New(canvas)) {
		plots[i][0].Draw(row[0])
	}
	_, err := vgimg.PngCanvas{Canvas: canvas}.WriteTo(w)
	return err
}
