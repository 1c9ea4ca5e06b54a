package bench

import (
	"cmp"
	"fmt"
	"image/color"
	"io"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// The picture's size, and its colours: two that people with any colour sight tell apart, and grey for what is only said
// beside.
const (
	width  = 9 * vg.Inch
	height = 7 * vg.Inch
)

var (
	blue   = color.RGBA{0x1f, 0x5a, 0xa6, 0xff}
	orange = color.RGBA{0xd9, 0x6b, 0x0b, 0xff}
	grey   = color.RGBA{0x99, 0x99, 0x99, 0xff}
)

// Plot draws the run as a PNG: above, how many queries were answered for how many were asked; below, how long it took.
// A line marks the knee.
func (r *Result) Plot(w io.Writer) error {
	steps := slices.Clone(r.Steps)
	steps = slices.DeleteFunc(steps, func(s Step) bool { return s.Sent == 0 || s.Behind })
	if len(steps) == 0 {
		return fmt.Errorf("there is nothing to draw: no step was measured")
	}
	slices.SortStableFunc(steps, func(a, b Step) int { return cmp.Compare(a.Asked, b.Asked) })
	points := func(value func(Step) float64) (xy plotter.XYs) {
		for _, s := range steps {
			if v := value(s); v > 0 {
				xy = append(xy, plotter.XY{X: s.Asked, Y: v})
			}
		}
		return xy
	}

	rates, times := plot.New(), plot.New()
	rates.Title.Text = fmt.Sprintf("%s: no load held", r.Server)
	switch {
	case r.Knee > 0 && r.AtLeast:
		rates.Title.Text = fmt.Sprintf("%s holds %s queries a second, or more", r.Server, thousands(r.Knee))
	case r.Knee > 0:
		rates.Title.Text = fmt.Sprintf("%s holds %s queries a second", r.Server, thousands(r.Knee))
	}
	rates.Y.Label.Text = "answers a second, in time"
	times.Y.Label.Text = "time to the answer, ms"
	times.X.Label.Text = "queries a second"
	times.Y.Scale, times.Y.Tick.Marker = plot.LogScale{}, decades{}
	top := 0.0
	for _, s := range steps {
		top = math.Max(top, s.Asked)
	}
	for _, p := range []*plot.Plot{rates, times} {
		p.X.Min, p.X.Max = 0, 1.04*top
		p.X.Tick.Marker = readable{}
		p.Legend.Top, p.Legend.Left = true, true
		p.Title.Padding = 3 * vg.Millimeter
		p.Title.TextStyle.Font.Size = font.Length(14)
		p.Add(plotter.NewGrid())
	}
	rates.Y.Min, rates.Y.Max = 0, 1.04*top
	rates.Y.Tick.Marker = readable{}

	asked := plotter.NewFunction(func(x float64) float64 { return x })
	asked.Color, asked.Dashes = grey, []vg.Length{vg.Points(4), vg.Points(3)}
	rates.Add(asked)
	rates.Legend.Add("as asked", asked)
	for _, l := range []struct {
		plot  *plot.Plot
		name  string
		color color.Color
		value func(Step) float64
	}{
		{rates, "answered in time", blue, func(s Step) float64 { return float64(s.Answered-min(s.Late, s.Answered)) / s.Seconds }},
		{times, "median", blue, func(s Step) float64 { return 1e3 * s.P50 }},
		{times, "99th percentile", orange, func(s Step) float64 { return 1e3 * s.P99 }},
	} {
		line, dots, err := plotter.NewLinePoints(points(l.value))
		if err != nil {
			continue // nothing of it was measured
		}
		line.Color, line.Width = l.color, vg.Points(1.5)
		dots.Color, dots.Shape = l.color, draw.CircleGlyph{}
		l.plot.Add(line, dots)
		l.plot.Legend.Add(l.name, line, dots)
	}
	if r.Knee > 0 {
		for _, p := range []*plot.Plot{rates, times} {
			low := math.Max(p.Y.Min, math.SmallestNonzeroFloat64)
			knee, err := plotter.NewLine(plotter.XYs{{X: r.Knee, Y: low}, {X: r.Knee, Y: p.Y.Max}})
			if err != nil {
				return err
			}
			knee.Color, knee.Width = grey, vg.Points(1)
			p.Add(knee)
			if p == rates {
				p.Legend.Add("knee", knee)
			}
		}
	}

	canvas := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(110))
	tiles := draw.Tiles{Rows: 2, Cols: 1, PadX: 4 * vg.Millimeter, PadY: 4 * vg.Millimeter, PadTop: 4 * vg.Millimeter, PadBottom: 3 * vg.Millimeter, PadLeft: 3 * vg.Millimeter, PadRight: 8 * vg.Millimeter}
	for i, c := range plot.Align([][]*plot.Plot{{rates}, {times}}, tiles, draw.New(canvas)) {
		[]*plot.Plot{rates, times}[i].Draw(c[0])
	}
	_, err := vgimg.PngCanvas{Canvas: canvas}.WriteTo(w)
	return err
}

// readable marks axes with numbers as people write them: 150k.
type readable struct{}

func (readable) Ticks(low, high float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(low, high)
	for i := range ticks {
		if ticks[i].Label != "" {
			ticks[i].Label = thousands(ticks[i].Value)
		}
	}
	return ticks
}

// decades marks a logarithmic axis at 1, 2 and 5 of each power of ten.
type decades struct{}

func (decades) Ticks(low, high float64) (ticks []plot.Tick) {
	for e := math.Floor(math.Log10(low)); e <= math.Log10(high); e++ {
		for _, m := range []float64{1, 2, 5} {
			if v := m * math.Pow(10, e); v >= low && v <= high {
				ticks = append(ticks, plot.Tick{Value: v, Label: fmt.Sprintf("%g", v)})
			}
		}
	}
	return ticks
}

func thousands(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.3gM", v/1e6)
	case v >= 1e4:
		return fmt.Sprintf("%.3gk", v/1e3)
	}
	return fmt.Sprintf("%.4g", v)
}
