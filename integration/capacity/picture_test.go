//go:build linux

package capacity

import (
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"leeward/cmd/leeward/chart"
)

// pictureEvery is how far apart the points of a picture and the lines of a table are.
const pictureEvery = 250 * time.Millisecond

// every returns the ticks from 0 s on that are at least d apart.
func every(ticks []tick, d time.Duration) (all []tick) {
	for _, k := range ticks {
		if k.at >= 0 && (len(all) == 0 || k.at-all[len(all)-1].at >= d-tickEvery/2) {
			all = append(all, k)
		}
	}
	return all
}

// table writes the run as CSV, a line for each region and time.
func (l *closedLoop) table(file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	w := csv.NewWriter(f)
	w.Write([]string{
		"seconds", "region", "demand", "load", "target", "max", "up", "answered_home", "keep", "offered",
		"lost",
	})
	number := func(v float64) string {
		if math.IsNaN(v) {
			return ""
		}
		return strconv.FormatFloat(math.Round(v*1000)/1000, 'f', -1, 64)
	}
	for _, k := range every(l.meter.ticks, pictureEvery) {
		for r, region := range l.regions {
			w.Write([]string{
				fmt.Sprintf("%.2f", k.at.Seconds()), region.Name, number(k.demand[r]), number(k.load[r]),
				number(k.target[r]),
				number(k.most[r]),
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

// draw draws runs of a world side by side: loads, whom answers send home, and what is lost, over time.
func draw(file string, titles []string, runs []*closedLoop) error {
	highest := 0.0
	for _, l := range runs {
		highest = max(highest, l.plan.max*float64(l.plan.endpoints)) // what a pool can hold is in the picture
		for _, k := range l.meter.ticks {
			for r := range l.regions {
				highest = max(highest, k.load[r], k.demand[r])
			}
		}
	}
	var rows [3][]*chart.Chart
	for i, l := range runs {
		seconds := chart.Axis{Time: true, Most: l.plan.lasts.Seconds()}
		loads := &chart.Chart{
			Title: l.plan.title + ": " + titles[i], X: seconds,
			Y: chart.Axis{Label: "requests a second", Most: 1.1 * min(highest, 3*l.plan.max*float64(l.plan.endpoints))},
		}
		homes := &chart.Chart{Title: "Sent to their own region", X: seconds, Y: chart.Axis{Unit: " %", Most: 105}}
		lost := &chart.Chart{Title: "Lost", X: seconds, Y: chart.Axis{Unit: " %", Most: 100}}
		ticks := every(l.meter.ticks, pictureEvery)
		draw := func(c *chart.Chart, line chart.Line, value func(tick) float64) {
			for _, k := range ticks {
				line.Points = append(line.Points, chart.Point{X: k.at.Seconds(), Y: value(k)})
			}
			c.Lines = append(c.Lines, line)
		}
		for r, region := range l.regions {
			colour := chart.Palette[r]
			draw(loads, chart.Line{Name: region.Name, Colour: colour}, func(k tick) float64 { return k.load[r] })
			draw(homes, chart.Line{Name: region.Name, Colour: colour}, func(k tick) float64 { return 100 * k.home[r] })
			draw(homes, chart.Line{Colour: colour, Dash: chart.Dotted}, func(k tick) float64 { return 100 * k.kept[r] })
		}
		all := float64(l.plan.endpoints)
		draw(loads, chart.Line{Name: "target of a pool", Colour: chart.Grey, Dash: chart.Dotted},
			func(tick) float64 { return all * l.plan.target })
		draw(loads, chart.Line{Name: "max", Colour: chart.Grey, Dash: chart.Dashed},
			func(tick) float64 { return all * l.plan.max })
		homes.Lines = append(homes.Lines,
			chart.Line{Name: "keep, servers say", Colour: chart.Palette[0], Dash: chart.Dotted})
		draw(lost, chart.Line{Name: "lost", Colour: chart.Red},
			func(k tick) float64 { return 100 * k.lost / total(k.demand) })
		for n, c := range []*chart.Chart{loads, homes, lost} {
			rows[n] = append(rows[n], c)
		}
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := chart.Write(f, len(runs), slices.Concat(rows[:]...)...); err != nil {
		return err
	}
	return f.Close()
}

// written writes the tables and stories of runs, how servers ended, and the picture of the runs of one world, into a
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
		if err := os.WriteFile(base+".txt", []byte(l.figures().String()+"\n"+strings.Join(l.log, "\n")+"\n"+l.story()),
			0o644); err != nil {
			return err
		}
		for r, text := range l.ends {
			if err := os.WriteFile(base+"-server-"+l.regions[r].Name+".txt", []byte(text), 0o644); err != nil {
				return err
			}
		}
	}
	return draw(filepath.Join(dir, name+".svg"), titles, runs)
}
