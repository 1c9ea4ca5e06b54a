//go:build linux

package integration

import (
	"encoding/csv"
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// pictureEvery is how far apart the points of a picture and the lines of a table are.
const pictureEvery = 250 * time.Millisecond

// regionColours are told apart with any colour sight, and in grey by their lightness.
var regionColours = []color.Color{
	color.RGBA{0x1f, 0x5a, 0xa6, 0xff}, color.RGBA{0xd9, 0x6b, 0x0b, 0xff}, color.RGBA{0x5a, 0xa0, 0x3c, 0xff},
}

var (
	colourOfLimits = color.RGBA{0x99, 0x99, 0x99, 0xff}
	colourOfLost   = color.RGBA{0xb0, 0x20, 0x30, 0xff}
)

// every returns the ticks from 0 s on that are at least d apart.
func every(ticks []tick, d time.Duration) (all []tick) {
	for _, k := range ticks {
		if k.at >= 0 && (len(all) == 0 || k.at-all[len(all)-1].at >= d-tickEvery/2) {
			all = append(all, k)
		}
	}
	return all
}

// table writes what the run was like over time as CSV, a line for each region and time.
func (l *closedLoop) table(file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	w := csv.NewWriter(f)
	w.Write([]string{"seconds", "region", "demand", "load", "target", "max", "up", "answered_home", "keep", "offered", "lost"})
	number := func(v float64) string {
		if math.IsNaN(v) {
			return ""
		}
		return strconv.FormatFloat(math.Round(v*1000)/1000, 'f', -1, 64)
	}
	for _, k := range every(l.meter.ticks, pictureEvery) {
		for r, region := range l.regions {
			w.Write([]string{
				fmt.Sprintf("%.2f", k.at.Seconds()), region.Name, number(k.demand[r]), number(k.load[r]), number(k.target[r]), number(k.most[r]),
				strconv.Itoa(k.up[r]), number(k.home[r]), number(k.kept[r]), number(k.offered[r]), number(k.lost),
			})
		}
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return err
	}
	return f.Close()
}

// drawCapacity draws runs of a world side by side: loads, whom answers send home, and what is lost, over time.
func drawCapacity(file string, titles []string, runs []*closedLoop) error {
	rows := [][]*plot.Plot{nil, nil, nil}
	highest := 0.0
	for _, l := range runs {
		for _, k := range l.meter.ticks {
			for r := range l.regions {
				highest = max(highest, k.load[r], k.demand[r])
			}
		}
	}
	for i, l := range runs {
		loads, homes, lost := plot.New(), plot.New(), plot.New() // the last has room for the legend: little should be lost
		loads.Title.Text = l.plan.title + ": " + titles[i]
		loads.Y.Label.Text = "requests a second"
		homes.Y.Label.Text = "% sent to their region"
		lost.Y.Label.Text = "% lost"
		lost.X.Label.Text = "s"
		loads.Y.Min, loads.Y.Max = 0, 1.1*min(highest, 3*l.plan.max*float64(l.plan.endpoints))
		homes.Y.Min, homes.Y.Max = 0, 105
		lost.Y.Min, lost.Y.Max = 0, 100
		for n, p := range []*plot.Plot{loads, homes, lost} {
			p.X.Min, p.X.Max = 0, l.plan.lasts.Seconds()
			p.Title.TextStyle.Font.Size = font.Length(12)
			p.X.Tick.Marker, p.Y.Tick.Marker = wholeTicks{}, wholeTicks{}
			p.Legend.Top = true
			p.Add(plotter.NewGrid())
			rows[n] = append(rows[n], p)
		}
		ticks := every(l.meter.ticks, pictureEvery)
		curve := func(p *plot.Plot, c color.Color, dashes []vg.Length, value func(tick) float64) (*plotter.Line, error) {
			var xy plotter.XYs
			for _, k := range ticks {
				if v := value(k); !math.IsNaN(v) {
					xy = append(xy, plotter.XY{X: k.at.Seconds(), Y: min(v, p.Y.Max)})
				}
			}
			if len(xy) == 0 {
				return nil, nil
			}
			line, err := plotter.NewLine(xy)
			if err != nil {
				return nil, err
			}
			line.Color, line.Dashes, line.Width = c, dashes, vg.Points(1.5)
			p.Add(line)
			return line, nil
		}
		dots := []vg.Length{vg.Points(1), vg.Points(2)}
		dashes := []vg.Length{vg.Points(4), vg.Points(3)}
		for _, limit := range []struct {
			share  float64
			dashes []vg.Length
			name   string
		}{{l.plan.target, dots, "target of a pool"}, {l.plan.max, dashes, "max"}} {
			line, err := curve(loads, colourOfLimits, limit.dashes, func(tick) float64 { return limit.share * float64(l.plan.endpoints) })
			if err != nil {
				return err
			}
			lost.Legend.Add(limit.name, line)
		}
		for r, region := range l.regions {
			line, err := curve(loads, regionColours[r], nil, func(k tick) float64 { return k.load[r] })
			if err != nil {
				return err
			}
			lost.Legend.Add(region.Name, line)
			if _, err := curve(homes, regionColours[r], nil, func(k tick) float64 { return 100 * k.home[r] }); err != nil {
				return err
			}
			line, err = curve(homes, regionColours[r], dots, func(k tick) float64 { return 100 * k.kept[r] })
			if err != nil {
				return err
			}
			if line != nil && r == 0 {
				lost.Legend.Add("keep, as servers say it", line)
			}
		}
		if _, err := curve(lost, colourOfLost, nil, func(k tick) float64 { return 100 * k.lost / total(k.demand) }); err != nil {
			return err
		}
	}
	for _, p := range rows[2][:len(runs)-1] {
		p.Legend = plot.NewLegend()
	}
	canvas := vgimg.NewWith(vgimg.UseWH(vg.Length(len(runs))*5*vg.Inch, 7*vg.Inch), vgimg.UseDPI(90))
	tiles := draw.Tiles{Rows: 3, Cols: len(runs), PadX: 5 * vg.Millimeter, PadY: 3 * vg.Millimeter, PadTop: 3 * vg.Millimeter, PadBottom: 2 * vg.Millimeter, PadLeft: 2 * vg.Millimeter, PadRight: 5 * vg.Millimeter}
	for r, row := range plot.Align(rows, tiles, draw.New(canvas)) {
		for c := range row {
			rows[r][c].Draw(row[c])
		}
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := (vgimg.PngCanvas{Canvas: canvas}).WriteTo(f); err != nil {
		return err
	}
	return f.Close()
}

// wholeTicks marks an axis at five or so round numbers.
type wholeTicks struct{}

// Ticks is what plot.Ticker wants.
func (wholeTicks) Ticks(least, most float64) (all []plot.Tick) {
	step := math.Pow(10, math.Floor(math.Log10(max(most-least, 1))))
	switch n := (most - least) / step; {
	case n < 2:
		step /= 5
	case n < 5:
		step /= 2
	}
	for v := math.Ceil(least/step) * step; v <= most; v += step {
		all = append(all, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'f', -1, 64)})
	}
	return all
}

// written writes runs' tables, their stories and how servers ended, and the picture of the runs of one world, into a
// folder.
func written(dir, name string, titles []string, runs []*closedLoop) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for i, l := range runs {
		base := filepath.Join(dir, name+"-"+titles[i])
		if err := l.table(base + ".csv"); err != nil {
			return err
		}
		if err := os.WriteFile(base+".txt", []byte(l.figures().String()+"\n"+strings.Join(l.log, "\n")+"\n"+l.story()), 0o644); err != nil {
			return err
		}
		for r, text := range l.ends {
			if err := os.WriteFile(base+"-server-"+l.regions[r].Name+".txt", []byte(text), 0o644); err != nil {
				return err
			}
		}
	}
	return drawCapacity(filepath.Join(dir, name+".png"), titles, runs)
}
